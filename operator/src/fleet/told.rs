//! What fleets are told, written down by the leader: one version for each Gateway. `portico plan` compares with it, and nobody else reads it. It stays when the operator
//! ends, as proxies keep what they were told.

use std::sync::Arc;
use std::time::Duration;

use kube_client::Client;
use kube_client::api::{Api, ListParams, Patch, PatchParams};
use portico_crds::kubernetes::{ConfigMap, ResourceExt};
use portico_envoy_xds::{Acknowledgement, Envoy, Progress};
use portico_providers::Leadership;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::replicas;
use crate::cluster::FIELD_MANAGER;

/// What marks the leader's ConfigMap.
const LABEL: &str = "portico.dev/fleets";

/// Its name.
const NAME: &str = "portico-fleets";

/// What happens in one moment is written at once.
const GATHER: Duration = Duration::from_millis(50);

/// How often it is written at most: it has a line for each Gateway, however little has changed.
const PAUSE: Duration = Duration::from_secs(2);

/// How often a replica looks whether it leads, and how long a write may take.
const LOOK: Duration = Duration::from_secs(10);

/// Keeps the ConfigMap while this replica leads, until `stop`.
pub async fn keep(client: Client, namespace: String, envoy: Envoy, leadership: Arc<dyn Leadership>, stop: CancellationToken) {
    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let mut changes = envoy.changes();
    let mut written: Option<Vec<Acknowledgement>> = None;
    loop {
        if leadership.is_leader() {
            let now: Vec<Acknowledgement> = envoy.acknowledgements().into_iter().map(version_only).collect();
            let due = written.as_ref() != Some(&now) && (written.is_some() || !now.is_empty());
            if due {
                match write(&api, &now).await {
                    Ok(()) => written = Some(now),
                    Err(error) => warn!(%error, "what Envoy fleets are told cannot be written down for plans; trying again"),
                }
                tokio::time::sleep(PAUSE).await;
            }
        } else {
            written = None;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
        tokio::time::sleep(GATHER).await;
    }
}

fn version_only(said: Acknowledgement) -> Acknowledgement {
    Acknowledgement { progress: Progress { version: said.progress.version, ..Progress::default() }, ..said }
}

async fn write(api: &Api<ConfigMap>, told: &[Acknowledgement]) -> Result<(), String> {
    let text = serde_json::to_string(told).map_err(|error| error.to_string())?;
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "labels": {LABEL: "true", "app.kubernetes.io/managed-by": "portico"}},
        "data": {replicas::PROXIES: text},
    });
    let (parameters, patch) = (PatchParams::apply(FIELD_MANAGER).force(), Patch::Apply(&object));
    match tokio::time::timeout(LOOK, api.patch(NAME, &parameters, &patch)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the API server does not answer".to_owned()),
    }
}

/// What leader and replicas of a cluster's operator say that fleets are told.
///
/// # Errors
/// In words, if it cannot be read.
pub async fn read(client: &Client) -> Result<Vec<Vec<Acknowledgement>>, String> {
    let api: Api<ConfigMap> = Api::all(client.clone());
    let list = async |label: &str| -> Result<Vec<ConfigMap>, String> {
        let listed = api.list(&ListParams::default().labels(label)).await;
        Ok(listed.map_err(|error| format!("What Envoy fleets are told cannot be read: {error}"))?.items)
    };
    let mut objects = list(LABEL).await?;
    objects.extend(replicas::speaking(list(replicas::LABEL).await?));
    let read = |object: &ConfigMap| {
        let why =
            |error| format!("What ConfigMap {} says of fleets cannot be read (is it of another version?): {error}", object.name_any());
        replicas::acknowledgements(object).map_err(why)
    };
    objects.iter().map(read).collect()
}
