//! A cluster behind an API server.

use std::time::Duration;

use async_trait::async_trait;
use kube_client::api::{Api, Patch, PatchParams, PostParams};
use kube_client::{Client, Error};
use portico_crds::kubernetes::{DynamicObject, Event, TypeMeta};
use portico_crds::{Kind, NamespacedName};
use serde_json::{Value, json};

use super::{Cluster, ClusterError, EventSink, key_of, merge_patch, resource_version};

/// Our name in `managedFields`.
pub const FIELD_MANAGER: &str = "portico";

/// The client retries by itself for minutes; a queue of ours decides better.
const LIMIT: Duration = Duration::from_secs(15);

/// A cluster behind an API server.
#[derive(Clone)]
pub struct KubeCluster {
    client: Client,
}

impl KubeCluster {
    /// A cluster reached through a client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    fn api(&self, kind: Kind, key: &NamespacedName) -> Api<DynamicObject> {
        let resource = kind.api_resource();
        if kind.namespaced() {
            Api::namespaced_with(self.client.clone(), &key.namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }
}

#[async_trait]
impl Cluster for KubeCluster {
    async fn get(&self, kind: Kind, key: &NamespacedName) -> Result<Option<Value>, ClusterError> {
        let api = self.api(kind, key);
        Ok(within(api.get_opt(&key.name)).await?.map(|object| raw(kind, object)))
    }

    async fn write_status(&self, kind: Kind, object: &Value, status: Value) -> Result<Value, ClusterError> {
        let key = key_of(object);
        let old = object.get("status").cloned().unwrap_or_else(|| json!({}));
        let patch = json!({"metadata": {"resourceVersion": resource_version(object)}, "status": merge_patch(&old, &status)});
        let (api, parameters) = (self.api(kind, &key), PatchParams::apply(FIELD_MANAGER));
        let written = within(api.patch_status(&key.name, &parameters, &Patch::Merge(&patch))).await?;
        Ok(raw(kind, written))
    }

    async fn apply(&self, kind: Kind, object: Value) -> Result<(), ClusterError> {
        let key = key_of(&object);
        let (api, parameters) = (self.api(kind, &key), PatchParams::apply(FIELD_MANAGER).force());
        within(api.patch(&key.name, &parameters, &Patch::Apply(&object))).await.map(drop)
    }

    async fn write_finalizers(&self, kind: Kind, object: &Value, finalizers: Vec<String>) -> Result<Value, ClusterError> {
        let key = key_of(object);
        let patch = json!({"metadata": {"resourceVersion": resource_version(object), "finalizers": finalizers}});
        let (api, parameters) = (self.api(kind, &key), PatchParams::apply(FIELD_MANAGER));
        let written = within(api.patch(&key.name, &parameters, &Patch::Merge(&patch))).await?;
        Ok(raw(kind, written))
    }
}

#[async_trait]
impl EventSink for KubeCluster {
    async fn create_event(&self, event: Value) -> Result<(), ClusterError> {
        let event: Event = serde_json::from_value(event).map_err(|error| ClusterError::Failed(error.to_string()))?;
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        within(api.create(&parameters, &event)).await.map(drop)
    }

    async fn patch_event(&self, namespace: &str, name: &str, patch: Value) -> Result<(), ClusterError> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        within(api.patch(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Merge(&patch))).await.map(drop)
    }
}

fn raw(kind: Kind, mut object: DynamicObject) -> Value {
    object.metadata.managed_fields = None;
    object.types = Some(TypeMeta { api_version: kind.api_version(), kind: kind.name().to_owned() });
    serde_json::to_value(object).unwrap_or_default()
}

async fn within<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, ClusterError> {
    match tokio::time::timeout(LIMIT, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Error::Api(status))) if status.code == 409 => Err(ClusterError::Conflict),
        Ok(Err(Error::Api(status))) if status.code == 404 => Err(ClusterError::Gone),
        Ok(Err(Error::Api(status))) => Err(ClusterError::Failed(format!("{} ({})", status.message, status.code))),
        Ok(Err(error)) => Err(ClusterError::Failed(error.to_string())),
        Err(_) => Err(ClusterError::Failed(format!("no answer from the API server within {} s", LIMIT.as_secs()))),
    }
}
