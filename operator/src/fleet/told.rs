//! What fleets are told, written down by the leader: one version for each Gateway. `portico plan` compares with it, and nobody else reads it. It stays when the operator
//! ends, as proxies keep what they were told.

use std::sync::Arc;
use std::time::Duration;

use kube_client::Client;
use kube_client::api::{Api, ListParams};
use portico_crds::kubernetes::{ConfigMap, ResourceExt};
use portico_envoy_xds::{Acknowledgement, Envoy, Progress};
use portico_providers::Leadership;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::record::{self, Record};
use super::replicas;

/// What marks the leader's ConfigMaps, and with which value.
const LABEL: (&str, &str) = ("portico.dev/fleets", "true");

/// What their names begin with.
const NAME: &str = "portico-fleets";

/// What happens in one moment is written at once.
const GATHER: Duration = Duration::from_millis(50);

/// How often they are written at most.
const PAUSE: Duration = Duration::from_secs(2);

/// How often a replica looks whether it leads.
const LOOK: Duration = Duration::from_secs(10);

/// Keeps the ConfigMaps while this replica leads, until `stop`.
pub async fn keep(client: Client, namespace: String, envoy: Envoy, leadership: Arc<dyn Leadership>, stop: CancellationToken) {
    let mut changes = envoy.changes();
    let mut told: Option<Record> = None;
    // What is not published yet was told all the same, by whoever led before.
    tokio::select! {
        () = stop.cancelled() => return,
        () = envoy.completed() => {}
    }
    loop {
        if leadership.is_leader() {
            let before = told.take();
            match write(before, &client, &namespace, &envoy).await {
                Ok(written) => told = Some(written),
                Err(error) => warn!(%error, "what Envoy fleets are told cannot be written down for plans; trying again"),
            }
            tokio::time::sleep(PAUSE).await;
        } else {
            told = None;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
        tokio::time::sleep(GATHER).await;
    }
}

/// Writes what changed since the last time, or since somebody else led.
async fn write(before: Option<Record>, client: &Client, namespace: &str, envoy: &Envoy) -> Result<Record, String> {
    let mut record = match before {
        Some(record) => record,
        None => {
            let mut record = Record::new(client.clone(), namespace, NAME.to_owned(), (LABEL.0, LABEL.1.to_owned()));
            record.resume().await?;
            record
        }
    };
    record.say(envoy.acknowledgements().into_iter().map(version_only).collect()).await?;
    Ok(record)
}

fn version_only(said: Acknowledgement) -> Acknowledgement {
    Acknowledgement { progress: Progress { version: said.progress.version, ..Progress::default() }, ..said }
}

/// What leader and replicas of a cluster's operator say that fleets are told.
///
/// # Errors
/// In words, if it cannot be read.
pub async fn read(client: &Client) -> Result<Vec<Vec<Acknowledgement>>, String> {
    let api: Api<ConfigMap> = Api::all(client.clone());
    let list = async |label: &str| -> Result<Vec<ConfigMap>, String> {
        let parameters = ListParams::default().labels(label);
        let listed = record::within(api.list(&parameters)).await;
        Ok(listed.map_err(|error| format!("What Envoy fleets are told cannot be read: {error}"))?.items)
    };
    let mut objects = list(LABEL.0).await?;
    objects.extend(replicas::speaking(list(replicas::LABEL).await?));
    let read = |object: &ConfigMap| {
        let why =
            |error| format!("What ConfigMap {} says of fleets cannot be read (is it of another version?): {error}", object.name_any());
        record::acknowledgements(object).map_err(why)
    };
    objects.iter().map(read).collect()
}
