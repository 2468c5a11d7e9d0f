//! Private keys and certificates of authorities, read from the cluster at the moment when one is uploaded, and kept nowhere.

use std::sync::Arc;

use async_trait::async_trait;
use portico_crds::{Kind, NamespacedName};
use portico_providers::{CaBundleSource, KeyMaterial, ProviderError, Secrets};
use serde_json::Value;

use crate::cluster::Cluster;

/// Secrets of a cluster.
pub struct ClusterSecrets<C>(Arc<C>);

impl<C: Cluster> ClusterSecrets<C> {
    /// Secrets of this cluster.
    pub fn new(cluster: Arc<C>) -> Self {
        Self(cluster)
    }

    /// An object as it is now; `what` names it in errors.
    async fn read(&self, kind: Kind, key: &NamespacedName, what: &str) -> Result<Value, ProviderError> {
        let found = self.0.get(kind, key).await;
        let found = found.map_err(|error| ProviderError::Transient { operation: format!("reading {what}"), message: error.to_string() })?;
        found.ok_or_else(|| ProviderError::NotReady { message: format!("{what} does not exist") })
    }
}

#[async_trait]
impl<C: Cluster> Secrets for ClusterSecrets<C> {
    async fn tls(&self, secret: &NamespacedName) -> Result<KeyMaterial, ProviderError> {
        let found = self.read(Kind::Secret, secret, &format!("Secret {secret}")).await?;
        portico_translate::key_material(&found).map_err(|problem| ProviderError::NotReady { message: format!("Secret {secret} {problem}") })
    }

    async fn ca_bundle(&self, source: &CaBundleSource) -> Result<String, ProviderError> {
        let what = source.to_string();
        let (kind, key) = match source {
            CaBundleSource::ConfigMap(key) => (Kind::ConfigMap, key.clone()),
            CaBundleSource::ClusterTrustBundle(name) => (Kind::ClusterTrustBundle, NamespacedName::new("", name.as_str())),
        };
        let found = self.read(kind, &key, &what).await?;
        portico_translate::ca_certificates(kind, &found).map_err(|problem| ProviderError::NotReady { message: format!("{what} {problem}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::MemoryCluster;
    use serde_json::json;

    /// Whatever goes wrong, nobody gets to see a key.
    #[tokio::test]
    async fn what_is_missing_or_malformed_is_named_without_its_content() {
        let (out, _seen) = tokio::sync::mpsc::unbounded_channel();
        let cluster = Arc::new(MemoryCluster::new(out));
        let secrets = ClusterSecrets::new(cluster.clone());
        let key = NamespacedName::new("infra", "web-tls");
        let error = secrets.tls(&key).await.unwrap_err().to_string();
        assert_eq!(error, "not ready: Secret infra/web-tls does not exist");
        let metadata = json!({ "namespace": "infra", "name": "web-tls" });
        let data = json!({ "tls.crt": "not a certificate", "tls.key": "hush" });
        cluster.apply(Kind::Secret, json!({ "type": "kubernetes.io/tls", "metadata": metadata, "stringData": data }));
        let error = secrets.tls(&key).await.unwrap_err().to_string();
        assert!(
            error.starts_with("not ready: Secret infra/web-tls has no usable certificate under tls.crt") && !error.contains("hush"),
            "{error}"
        );
        let bundle = CaBundleSource::ConfigMap(key);
        let error = secrets.ca_bundle(&bundle).await.unwrap_err().to_string();
        assert_eq!(error, "not ready: ConfigMap infra/web-tls does not exist");
        cluster.apply(Kind::ConfigMap, json!({ "metadata": { "namespace": "infra", "name": "web-tls" }, "data": {} }));
        let error = secrets.ca_bundle(&bundle).await.unwrap_err().to_string();
        assert!(error.starts_with("not ready: ConfigMap infra/web-tls has nothing under ca.crt"), "{error}");
    }
}
