//! Watches: every kind that is installed, raw, pruned of what nobody reads, into one channel.
//!
//! What a watch says is told as it is; [`crate::keeper`] makes it the world's events. A watch that fails is retried with backoff for ever: a
//! list that cannot be read is not an empty list.

mod discovery;

use std::sync::Arc;

use futures::StreamExt;
use kube_client::{Api, Client};
use kube_runtime::WatchStreamExt;
use kube_runtime::watcher::{self, Config, Event, watcher};
use portico_crds::Kind;
use portico_crds::kubernetes::{DynamicObject, TypeMeta};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use discovery::{Discovery, Installed};

use crate::metrics::{KindLabel, Metrics};

/// The kinds that are watched where they are installed, in the order in which they are started.
pub const WATCHED: [Kind; 18] = [
    Kind::CustomResourceDefinition,
    Kind::GatewayClass,
    Kind::LoadBalancerProfile,
    Kind::Namespace,
    Kind::Gateway,
    Kind::ListenerSet,
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::TlsRoute,
    Kind::TcpRoute,
    Kind::UdpRoute,
    Kind::ReferenceGrant,
    Kind::BackendTlsPolicy,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Secret,
    Kind::ConfigMap,
    Kind::ClusterTrustBundle,
];

/// The kinds without which there is nothing to do.
pub const REQUIRED: [Kind; 3] = [Kind::GatewayClass, Kind::Gateway, Kind::HttpRoute];

/// What a watch of one kind says.
#[derive(Debug)]
pub struct Sighting {
    /// The kind.
    pub kind: Kind,
    /// What was seen.
    pub seen: Seen,
}

/// What was seen.
#[derive(Debug)]
pub enum Seen {
    /// A list begins: what does not come before its end is gone.
    ListBegins,
    /// An object of the list.
    Listed(Value),
    /// The list is whole.
    ListEnds,
    /// An object was made or changed.
    Applied(Value),
    /// An object was deleted.
    Deleted(Value),
}

/// Watches one kind until `stop`.
pub async fn watch(client: Client, kind: Kind, out: mpsc::Sender<Sighting>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let api: Api<DynamicObject> = Api::all_with(client, &kind.api_resource());
    let label = KindLabel { kind: kind.name().to_owned() };
    let mut stream = watcher(api, config(kind)).default_backoff().boxed();
    let mut failing = false;
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = stream.next() => event,
        };
        let seen = match event {
            None => return,
            Some(Ok(event)) => {
                if failing {
                    failing = false;
                    info!(%kind, "the watch works again");
                }
                translate_event(kind, event)
            }
            Some(Err(error)) => {
                metrics.watch_failures.get_or_create(&label).inc();
                // Once per failure, not once per attempt: a missing permission would fill the log.
                if !failing {
                    failing = true;
                    warn!(%kind, error = %explain(&error), "the watch fails; trying again until it works");
                }
                continue;
            }
        };
        if !matches!(seen, Seen::ListBegins | Seen::ListEnds) {
            metrics.watch_events.get_or_create(&label).inc();
        }
        if out.send(Sighting { kind, seen }).await.is_err() {
            return;
        }
    }
}

fn explain(error: &watcher::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// The field selector with which a kind is read. Never all Secrets: only those that a listener may name.
pub(crate) fn selector(kind: Kind) -> Option<&'static str> {
    (kind == Kind::Secret).then_some("type=kubernetes.io/tls")
}

fn config(kind: Kind) -> Config {
    let config = selector(kind).map_or_else(Config::default, |fields| Config::default().fields(fields));
    // CRDs are large and pruned one page at a time.
    if kind == Kind::CustomResourceDefinition { config.page_size(50) } else { config }
}

fn translate_event(kind: Kind, event: Event<DynamicObject>) -> Seen {
    match event {
        Event::Init => Seen::ListBegins,
        Event::InitApply(object) => Seen::Listed(object_of(kind, object)),
        Event::InitDone => Seen::ListEnds,
        Event::Apply(object) => Seen::Applied(object_of(kind, object)),
        Event::Delete(object) => Seen::Deleted(object_of(kind, object)),
    }
}

/// The object as JSON, without what nobody reads: it would double the memory.
pub(crate) fn object_of(kind: Kind, mut object: DynamicObject) -> Value {
    object.metadata.managed_fields = None;
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    // Items of a list come without their type.
    object.types = Some(TypeMeta { api_version: kind.api_version(), kind: kind.name().to_owned() });
    // Only CA bundles are read from ConfigMaps.
    if kind == Kind::ConfigMap {
        if let Some(data) = object.data.pointer_mut("/data").and_then(Value::as_object_mut) {
            data.retain(|key, _| key == "ca.crt");
        }
        if let Some(object) = object.data.as_object_mut() {
            object.remove("binaryData");
        }
    }
    // A DynamicObject is JSON already; its serialisation cannot fail.
    let mut object = serde_json::to_value(object).unwrap_or_default();
    match kind {
        Kind::Secret => portico_translate::strip_private_key(&mut object),
        Kind::CustomResourceDefinition => portico_translate::strip_schemas(&mut object),
        _ => {}
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dynamic(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_nobody_reads_is_pruned_and_the_type_is_filled_in() {
        let seen = object_of(
            Kind::ConfigMap,
            dynamic(json!({
                "metadata": {"name": "ca", "namespace": "a", "resourceVersion": "7", "managedFields": [{"manager": "kubectl"}],
                    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": "yes"}},
                "data": {"ca.crt": "PEM", "big": "text"}, "binaryData": {"x": "eA=="}
            })),
        );
        assert_eq!(
            seen,
            json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "ca", "namespace": "a", "resourceVersion": "7", "annotations": {"kept": "yes"}},
                "data": {"ca.crt": "PEM"}})
        );
    }

    #[test]
    fn private_keys_stay_outside() {
        let key = include_str!("../translate/tests/certificates/a.key");
        let seen = object_of(
            Kind::Secret,
            dynamic(
                json!({"metadata": {"name": "cert"}, "type": "kubernetes.io/tls", "stringData": {"tls.key": key}, "data": {"tls.crt": ""}}),
            ),
        );
        assert!(!seen.to_string().contains("PRIVATE KEY"), "{seen}");
        assert_eq!(seen.pointer("/data/tls.crt"), Some(&json!("")));
    }

    #[test]
    fn fields_that_no_type_knows_survive() {
        let object = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r"},
            "spec": {"fromTheFuture": {"a": [1]}}, "status": {"parents": [{"odd": true}]}});
        assert_eq!(object_of(Kind::HttpRoute, dynamic(object.clone())), object);
    }
}
