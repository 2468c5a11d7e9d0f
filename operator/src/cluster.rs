//! What the operator writes to Kubernetes, as a trait: an API server for `run`, memory for `demo` and tests.

mod kube;
mod memory;

use std::fmt;

use async_trait::async_trait;
use portico_crds::{Kind, NamespacedName, metadata};
use serde_json::Value;

pub use kube::{FIELD_MANAGER, KubeCluster};
pub use memory::{Deletion, MemoryCluster};

/// The objects of a cluster, to read afresh and to write.
#[async_trait]
pub trait Cluster: Send + Sync + 'static {
    /// The newest object; `None` if there is none.
    async fn get(&self, kind: Kind, key: &NamespacedName) -> Result<Option<Value>, ClusterError>;

    /// Makes `status` the object's whole status, if its resourceVersion is still that of `object`. Returns the object afterwards.
    async fn write_status(&self, kind: Kind, object: &Value, status: Value) -> Result<Value, ClusterError>;

    /// Makes an object what it is given as, field by field (server-side apply); fields that others own stay.
    async fn apply(&self, kind: Kind, object: Value) -> Result<(), ClusterError>;

    /// Makes `finalizers` the object's finalizers, if its resourceVersion is still that of `object`. Returns the object afterwards.
    async fn write_finalizers(&self, kind: Kind, object: &Value, finalizers: Vec<String>) -> Result<Value, ClusterError>;
}

/// Where Events go.
#[async_trait]
pub trait EventSink: Send + Sync + 'static {
    /// Makes an Event of `events.k8s.io/v1`, whole, with its name.
    async fn create_event(&self, event: Value) -> Result<(), ClusterError>;

    /// Changes fields of one.
    async fn patch_event(&self, namespace: &str, name: &str, patch: Value) -> Result<(), ClusterError>;
}

/// Why a write did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// Someone else wrote first: read again.
    Conflict,
    /// The object is gone.
    Gone,
    /// Anything else, in the server's words.
    Failed(String),
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("the object was changed by someone else"),
            Self::Gone => f.write_str("the object is gone"),
            Self::Failed(message) => f.write_str(message),
        }
    }
}

/// `metadata.resourceVersion` of a raw object; empty if it has none.
pub fn resource_version(object: &Value) -> &str {
    metadata(object, "resourceVersion").and_then(Value::as_str).unwrap_or_default()
}

/// Namespace and name of a raw object.
pub fn key_of(object: &Value) -> NamespacedName {
    let text = |field| metadata(object, field).and_then(Value::as_str).unwrap_or_default();
    NamespacedName::new(text("namespace"), text("name"))
}

/// `metadata.finalizers` of a raw object.
pub fn finalizers_of(object: &Value) -> Vec<String> {
    let list = metadata(object, "finalizers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The JSON merge patch (RFC 7386) that makes `old` into `new`. Lists are replaced whole.
pub fn merge_patch(old: &Value, new: &Value) -> Value {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let gone = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null));
            let changed = new.iter().filter(|(key, value)| old.get(*key) != Some(value)).map(|(key, value)| {
                let patch = old.get(key).map_or_else(|| value.clone(), |before| merge_patch(before, value));
                (key.clone(), patch)
            });
            Value::Object(gone.chain(changed).collect())
        }
        _ => new.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_merge_patch_names_what_changes_and_what_goes() {
        let old = json!({"addresses": [1], "conditions": [{"type": "A"}], "deep": {"a": 1, "b": 2}});
        let new = json!({"conditions": [{"type": "A"}, {"type": "B"}], "deep": {"a": 1, "c": 3}});
        assert_eq!(
            merge_patch(&old, &new),
            json!({"addresses": null, "conditions": [{"type": "A"}, {"type": "B"}], "deep": {"b": null, "c": 3}})
        );
        assert_eq!(merge_patch(&old, &old), json!({}));
        assert_eq!(merge_patch(&Value::Null, &new), new);
    }
}
