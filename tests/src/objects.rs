//! Objects of any kind at the API server, many at once: what kubectl would take a process each for.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::stream::{self, StreamExt, TryStreamExt};
use http::{Method, Request};
use kube_client::config::{KubeConfigOptions, Kubeconfig};
use kube_client::{Client, Config};
use serde_json::{Value, json};

use crate::session::Session;

/// Whose fields they are that are applied.
const FIELD_MANAGER: &str = "lab";
/// How many objects one answer lists; further ones are asked for.
const PAGE: usize = 500;

/// The API server of the lab that we are in, as its administrator.
pub async fn connect(session: &Session) -> Result<Client> {
    let path = session.env.get("KUBECONFIG").map(PathBuf::from).context("the lab has no kubeconfig")?;
    let kubeconfig = Kubeconfig::read_from(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.context("the lab's kubeconfig")?;
    config.read_timeout = Some(Duration::from_secs(120));
    Client::try_from(config).context("cannot talk to the API server")
}

/// The API server, as its administrator.
#[derive(Clone)]
pub struct Objects {
    client: Client,
}

impl Objects {
    /// Uses the kubeconfig of the lab that we are in.
    pub async fn connect(session: &Session) -> Result<Self> {
        Ok(Self { client: connect(session).await? })
    }

    /// Applies objects on the server's side, so many at once; what comes back is as it was stored.
    pub async fn apply_all(&self, objects: &[Value], at_once: usize) -> Result<Vec<Value>> {
        let applied = stream::iter(objects).map(|object| self.apply(object)).buffered(at_once);
        applied.try_collect().await
    }

    /// Applies an object on the server's side.
    pub async fn apply(&self, object: &Value) -> Result<Value> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}&force=true", path_of(object)?);
        self.send(Method::PATCH, &path, "application/apply-patch+yaml", object).await.with_context(|| describe(object))
    }

    /// Changes an object by a merge patch.
    pub async fn merge(&self, object: &Value, change: &Value) -> Result<Value> {
        self.send(Method::PATCH, &path_of(object)?, "application/merge-patch+json", change).await.with_context(|| describe(object))
    }

    /// Deletes objects, so many at once; those that are gone already are no error.
    pub async fn delete_all(&self, objects: &[Value], at_once: usize) -> Result<()> {
        let deleted = stream::iter(objects).map(|object| self.delete(object)).buffer_unordered(at_once);
        deleted.try_collect().await
    }

    async fn delete(&self, object: &Value) -> Result<()> {
        let request = Request::delete(path_of(object)?).body(Vec::new()).context("request")?;
        match self.client.request::<Value>(request).await {
            Ok(_) => Ok(()),
            Err(kube_client::Error::Api(error)) if error.code == 404 => Ok(()),
            Err(error) => Err(error).with_context(|| describe(object)),
        }
    }

    /// All objects of a kind, in all namespaces, with their kind.
    pub async fn list(&self, kind: &str) -> Result<Vec<Value>> {
        let (prefix, plural) = resource(kind)?;
        let mut found = Vec::new();
        let mut next = String::new();
        // Bounded: the lab holds no more than this many pages of anything.
        for _ in 0..1000 {
            let path = format!("{prefix}/{plural}?limit={PAGE}&continue={next}");
            let request = Request::get(path).body(Vec::new()).context("request")?;
            let mut page: Value = self.client.request(request).await.with_context(|| format!("cannot list {plural}"))?;
            let version = page.get("apiVersion").cloned().unwrap_or_default();
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                found.extend(items.into_iter().map(|mut item| {
                    if let Some(members) = item.as_object_mut() {
                        members.insert("apiVersion".to_owned(), version.clone());
                        members.insert("kind".to_owned(), json!(kind));
                    }
                    item
                }));
            }
            next = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default().to_owned();
            if next.is_empty() {
                return Ok(found);
            }
        }
        bail!("there is no end of {plural}")
    }

    /// A text of the API server's own, such as `/metrics`.
    pub async fn text(&self, path: &str) -> Result<String> {
        let request = Request::get(path).body(Vec::new()).context("request")?;
        self.client.request_text(request).await.with_context(|| path.to_owned())
    }

    async fn send(&self, method: Method, path: &str, content: &str, body: &Value) -> Result<Value> {
        let request = Request::builder().method(method).uri(path).header("Content-Type", content);
        let request = request.body(serde_json::to_vec(body)?).context("request")?;
        Ok(self.client.request(request).await?)
    }
}

/// `KIND NAMESPACE/NAME`.
fn describe(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("{} {}/{}", text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

/// Where an object is.
fn path_of(object: &Value) -> Result<String> {
    let (prefix, plural) = resource(object.get("kind").and_then(Value::as_str).unwrap_or_default())?;
    let name = object.pointer("/metadata/name").and_then(Value::as_str).context("an object without a name")?;
    Ok(match object.pointer("/metadata/namespace").and_then(Value::as_str) {
        Some(namespace) => format!("{prefix}/namespaces/{namespace}/{plural}/{name}"),
        None => format!("{prefix}/{plural}/{name}"),
    })
}

/// Where objects of a kind are.
fn resource(kind: &str) -> Result<(&'static str, &'static str)> {
    const GATEWAY: &str = "/apis/gateway.networking.k8s.io/v1";
    Ok(match kind {
        "Namespace" => ("/api/v1", "namespaces"),
        "Service" => ("/api/v1", "services"),
        "Secret" => ("/api/v1", "secrets"),
        "EndpointSlice" => ("/apis/discovery.k8s.io/v1", "endpointslices"),
        "GatewayClass" => (GATEWAY, "gatewayclasses"),
        "Gateway" => (GATEWAY, "gateways"),
        "ListenerSet" => (GATEWAY, "listenersets"),
        "HTTPRoute" => (GATEWAY, "httproutes"),
        "GRPCRoute" => (GATEWAY, "grpcroutes"),
        "ReferenceGrant" => ("/apis/gateway.networking.k8s.io/v1beta1", "referencegrants"),
        "LoadBalancerProfile" => ("/apis/portico.dev/v1alpha1", "loadbalancerprofiles"),
        other => bail!("the lab does not know where objects of kind {other:?} are"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_by_kind_namespace_and_name() {
        let of = |object: Value| path_of(&object).unwrap();
        assert_eq!(of(json!({"kind": "Namespace", "metadata": {"name": "a"}})), "/api/v1/namespaces/a");
        assert_eq!(
            of(json!({"kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "a"}})),
            "/apis/gateway.networking.k8s.io/v1/namespaces/a/httproutes/r"
        );
        assert!(path_of(&json!({"kind": "Nothing", "metadata": {"name": "a"}})).is_err());
    }
}
