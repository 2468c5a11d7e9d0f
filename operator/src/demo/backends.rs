//! Backends of the demo: a small HTTP server for every replica of every Deployment, each on an address of its own, and the EndpointSlices
//! that a cluster's controllers would have written.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use portico_crds::{Kind, NamespacedName};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A replica of a Deployment: who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replica {
    /// Namespace of the Deployment.
    pub namespace: String,
    /// Name of the Deployment.
    pub deployment: String,
    /// Name of the made-up Pod.
    pub pod: String,
}

/// What a backend answers.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    replica: Replica,
    method: String,
    host: String,
    path: String,
    headers: BTreeMap<String, String>,
}

/// A Deployment, as much of it as the demo needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Deployment {
    key: NamespacedName,
    replicas: u8,
    labels: BTreeMap<String, String>,
    named_ports: BTreeMap<String, u16>,
}

/// A server that is to run: one port of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Who answers.
    pub replica: Replica,
    /// The address of the replica.
    pub address: Ipv4Addr,
    /// The port that the Service names as its target.
    pub wanted_port: u16,
    /// The port that is bound.
    pub port: u16,
}

/// The backends of a set of manifests.
#[derive(Debug, Default)]
pub struct Backends {
    /// Servers that run, in the order of their addresses.
    pub servers: Vec<Server>,
    /// EndpointSlices for the Services.
    pub slices: Vec<Value>,
    /// Services whose selector finds no Deployment here, so that they have no endpoints.
    pub without_deployment: Vec<NamespacedName>,
}

/// Starts a server for each replica and target port until `stop`.
pub async fn start(objects: &[Value], tracker: &TaskTracker, stop: &CancellationToken) -> anyhow::Result<Backends> {
    let deployments: Vec<Deployment> = objects.iter().filter_map(deployment).collect();
    let mut backends = Backends::default();
    // One listener per address and wanted port, though several Services may lead to it.
    let mut bound: BTreeMap<(Ipv4Addr, u16), u16> = BTreeMap::new();
    for service in objects.iter().filter(|object| is(object, "v1", "Service")) {
        let key = crate::cluster::key_of(service);
        let Some(selector) = labels(service.pointer("/spec/selector")) else { continue };
        if selector.is_empty() || has_slice(objects, &key) {
            continue;
        }
        let chosen: Vec<(usize, &Deployment)> = deployments
            .iter()
            .enumerate()
            .filter(|(_, d)| d.key.namespace == key.namespace && selector.iter().all(|(k, v)| d.labels.get(k) == Some(v)))
            .collect();
        if chosen.is_empty() {
            backends.without_deployment.push(key);
            continue;
        }
        let ports = service.pointer("/spec/ports").and_then(Value::as_array).cloned().unwrap_or_default();
        // A slice has one port of each name for all its endpoints; where stand-in ports differ, each endpoint gets a slice of its own.
        for (number, deployment) in chosen {
            for replica in 0..deployment.replicas {
                let address = Ipv4Addr::new(127, 2, u8::try_from(number % 250).unwrap_or(0) + 1, replica + 1);
                let who = Replica {
                    namespace: key.namespace.clone(),
                    deployment: deployment.key.name.clone(),
                    pod: format!("{}-{}", deployment.key.name, replica + 1),
                };
                let mut slice_ports = Vec::new();
                for port in &ports {
                    let Some(wanted) = target_port(port, deployment) else { continue };
                    let port_bound = match bound.get(&(address, wanted)) {
                        Some(port) => *port,
                        None => {
                            let listener = listen(address, wanted).await?;
                            let actual = listener.local_addr()?.port();
                            bound.insert((address, wanted), actual);
                            backends.servers.push(Server { replica: who.clone(), address, wanted_port: wanted, port: actual });
                            serve(listener, who.clone(), tracker, stop.clone());
                            actual
                        }
                    };
                    let name = port.get("name").and_then(Value::as_str).unwrap_or_default();
                    slice_ports.push(json!({"name": name, "port": port_bound, "protocol": "TCP"}));
                }
                backends.slices.push(slice(&key, &who, address, slice_ports));
            }
        }
    }
    Ok(backends)
}

fn is(object: &Value, api_version: &str, kind: &str) -> bool {
    object.get("apiVersion").and_then(Value::as_str) == Some(api_version) && object.get("kind").and_then(Value::as_str) == Some(kind)
}

/// Whether the manifests bring endpoints of their own for a Service.
fn has_slice(objects: &[Value], service: &NamespacedName) -> bool {
    objects.iter().any(|object| {
        is(object, &Kind::EndpointSlice.api_version(), Kind::EndpointSlice.name())
            && crate::cluster::key_of(object).namespace == service.namespace
            && object.pointer("/metadata/labels/kubernetes.io~1service-name").and_then(Value::as_str) == Some(&service.name)
    })
}

fn labels(value: Option<&Value>) -> Option<BTreeMap<String, String>> {
    value?.as_object().map(|map| map.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect())
}

fn deployment(object: &Value) -> Option<Deployment> {
    if !is(object, "apps/v1", "Deployment") {
        return None;
    }
    let containers = object.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    let ports = containers.into_iter().flatten().filter_map(|c| c.get("ports").and_then(Value::as_array)).flatten();
    let named_ports = ports
        .filter_map(|port| Some((port.get("name")?.as_str()?.to_owned(), u16::try_from(port.get("containerPort")?.as_u64()?).ok()?)))
        .collect();
    let replicas = object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    Some(Deployment {
        key: crate::cluster::key_of(object),
        replicas: u8::try_from(replicas.min(200)).unwrap_or(200),
        labels: labels(object.pointer("/spec/template/metadata/labels")).unwrap_or_default(),
        named_ports,
    })
}

/// `targetPort`: a number, the name of a container's port, or the Service's own port.
fn target_port(port: &Value, deployment: &Deployment) -> Option<u16> {
    match port.get("targetPort") {
        Some(Value::String(name)) => deployment.named_ports.get(name).copied(),
        Some(number) => u16::try_from(number.as_u64()?).ok(),
        None => u16::try_from(port.get("port")?.as_u64()?).ok(),
    }
}

/// The port that is wanted, or any where that one cannot be had (below 1024 without privilege, or taken).
async fn listen(address: Ipv4Addr, wanted: u16) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::from((address, wanted))).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(SocketAddr::from((address, 0)))
            .await
            .map_err(|error| anyhow::anyhow!("no backend can listen on {address}: {error}. On Linux every 127.x.y.z address is there; elsewhere it must be added to the loopback interface")),
    }
}

fn slice(service: &NamespacedName, replica: &Replica, address: Ipv4Addr, ports: Vec<Value>) -> Value {
    json!({
        "apiVersion": Kind::EndpointSlice.api_version(),
        "kind": Kind::EndpointSlice.name(),
        "metadata": {
            "name": format!("{}-{}", service.name, replica.pod),
            "namespace": service.namespace,
            "labels": {"kubernetes.io/service-name": service.name, "endpointslice.kubernetes.io/managed-by": "portico-demo"},
        },
        "addressType": "IPv4",
        "endpoints": [{
            "addresses": [address.to_string()],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "targetRef": {"kind": "Pod", "namespace": replica.namespace, "name": replica.pod},
        }],
        "ports": ports,
    })
}

fn serve(listener: TcpListener, replica: Replica, tracker: &TaskTracker, stop: CancellationToken) {
    let router = Router::new().fallback(answer).with_state(replica);
    tracker.spawn(async move {
        let server = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
        if let Err(error) = server.await {
            tracing::warn!(%error, "a backend of the demo stopped");
        }
    });
}

async fn answer(State(replica): State<Replica>, request: Request) -> Response {
    let headers: BTreeMap<String, String> =
        request.headers().iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect();
    let host = headers.get("host").cloned().unwrap_or_default();
    let path = request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let answer = Answer { replica, method: request.method().to_string(), host, path, headers };
    match serde_json::to_string(&answer) {
        // A line of its own, since people read it in a terminal.
        Ok(body) => ([(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_replica_gets_an_address_and_an_endpoint() {
        let objects = [
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart", "namespace": "shop"},
                "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "cart"}},
                    "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 39231}]}]}}}}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"},
                "spec": {"selector": {"app": "cart"}, "ports": [{"port": 80, "targetPort": "http"}]}}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lost", "namespace": "shop"},
                "spec": {"selector": {"app": "lost"}, "ports": [{"port": 80}]}}),
        ];
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let backends = start(&objects, &tracker, &stop).await.unwrap();
        stop.cancel();
        tracker.close();
        tracker.wait().await;
        assert_eq!(backends.servers.iter().map(|s| s.replica.pod.as_str()).collect::<Vec<_>>(), ["cart-1", "cart-2"]);
        assert_eq!(backends.slices.len(), 2);
        assert_eq!(backends.slices[0].pointer("/endpoints/0/addresses/0"), Some(&json!(backends.servers[0].address.to_string())));
        assert_eq!(backends.slices[0].pointer("/ports/0/port"), Some(&json!(backends.servers[0].port)));
        assert_eq!(backends.without_deployment, [NamespacedName::new("shop", "lost")]);
    }
}
