//! Private keys, read from the cluster at the moment when one is uploaded, and kept nowhere.

use std::sync::Arc;

use async_trait::async_trait;
use portico_crds::{Kind, NamespacedName};
use portico_providers::{KeyMaterial, ProviderError, Secrets};
use serde_json::Value;

use crate::cluster::Cluster;

/// Secrets of a cluster.
pub struct ClusterSecrets<C>(Arc<C>);

impl<C: Cluster> ClusterSecrets<C> {
    /// Secrets of this cluster.
    pub fn new(cluster: Arc<C>) -> Self {
        Self(cluster)
    }

    async fn read(&self, kind: Kind, key: &NamespacedName) -> Result<Value, ProviderError> {
        let found = self
            .0
            .get(kind, key)
            .await
            .map_err(|error| ProviderError::Transient { operation: format!("reading {kind} {key}"), message: error.to_string() })?;
        found.ok_or_else(|| ProviderError::NotReady { message: format!("{kind} {key} does not exist") })
    }
}

#[async_trait]
impl<C: Cluster> Secrets for ClusterSecrets<C> {
    async fn tls(&self, secret: &NamespacedName) -> Result<KeyMaterial, ProviderError> {
        let found = self.read(Kind::Secret, secret).await?;
        portico_translate::key_material(&found).map_err(|problem| ProviderError::NotReady { message: format!("Secret {secret} {problem}") })
    }

    async fn ca_bundle(&self, config_map: &NamespacedName) -> Result<String, ProviderError> {
        let found = self.read(Kind::ConfigMap, config_map).await?;
        portico_translate::authorities(&found)
            .map_err(|problem| ProviderError::NotReady { message: format!("ConfigMap {config_map} {problem}") })
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
    }
}
