//! How far the proxies of each replica are, told to the others through a ConfigMap for each, so that the leader's statuses speak for all proxies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube_client::Client;
use kube_client::api::{Api, DeleteParams, Patch, PatchParams};
use kube_runtime::WatchStreamExt;
use kube_runtime::watcher::{Config, Event, watcher};
use portico_crds::kubernetes::{ConfigMap, ResourceExt};
use portico_envoy_xds::{Acknowledgement, Envoy};
use portico_providers::Leadership;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::rfc3339;
use crate::cluster::FIELD_MANAGER;

/// What marks the ConfigMaps of replicas.
pub(super) const LABEL: &str = "portico.dev/replica";

/// Where a ConfigMap says how far proxies are.
pub(super) const PROXIES: &str = "proxies";

/// Where it says when.
const RENEWED: &str = "renewed";

/// What happens in one moment is told at once.
const GATHER: Duration = Duration::from_millis(50);

/// How often a replica says that it is there.
const RENEW: Duration = Duration::from_secs(10);

/// Who is silent this long is gone, and its proxies are with others.
const SILENT: Duration = Duration::from_secs(35);

/// The replicas of one operator.
#[derive(Clone)]
pub struct Replicas {
    api: Api<ConfigMap>,
    name: String,
    envoy: Envoy,
    leadership: Arc<dyn Leadership>,
}

impl Replicas {
    /// The replicas in a namespace, of which this one has a unique identity.
    pub fn new(client: Client, namespace: &str, identity: &uuid::Uuid, envoy: Envoy, leadership: Arc<dyn Leadership>) -> Self {
        Self { api: Api::namespaced(client, namespace), name: format!("portico-replica-{}", identity.simple()), envoy, leadership }
    }

    /// Tells how far this replica's proxies are, until `stop`; then takes it back. While it leads there is nobody who would have to hear it: whoever leads next does so after this
    /// replica has ended, and its proxies are with others.
    pub async fn tell(self, stop: CancellationToken) {
        let mut changes = self.envoy.changes();
        let mut told: Option<(Vec<Acknowledgement>, Instant)> = None;
        while !stop.is_cancelled() {
            if self.leadership.is_leader() {
                if told.take().is_some() {
                    self.remove(&self.name).await;
                }
            } else {
                self.tell_once(&mut told).await;
            }
            tokio::select! {
                () = stop.cancelled() => break,
                changed = changes.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(RENEW) => {}
            }
            tokio::time::sleep(GATHER).await;
        }
        if told.is_some() {
            self.remove(&self.name).await;
        }
    }

    async fn tell_once(&self, told: &mut Option<(Vec<Acknowledgement>, Instant)>) {
        let now = self.envoy.acknowledgements();
        let due = told.as_ref().is_none_or(|(before, at)| *before != now || at.elapsed() >= RENEW);
        // Where no proxies are, nobody need hear of it.
        if due && (told.is_some() || now.iter().any(|it| it.progress.proxies > 0)) {
            match self.write(&now).await {
                Ok(()) => *told = Some((now, Instant::now())),
                Err(error) => warn!(%error, "the other replicas cannot be told how far this one's proxies are; trying again"),
            }
        }
    }

    async fn write(&self, acknowledgements: &[Acknowledgement]) -> Result<(), String> {
        let text = serde_json::to_string(acknowledgements).map_err(|error| error.to_string())?;
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name, "labels": {LABEL: "true", "app.kubernetes.io/managed-by": "portico"}},
            "data": {PROXIES: text, RENEWED: rfc3339(jiff::Timestamp::now())},
        });
        let (parameters, patch) = (PatchParams::apply(FIELD_MANAGER).force(), Patch::Apply(&object));
        let written = self.api.patch(&self.name, &parameters, &patch);
        match tokio::time::timeout(RENEW, written).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the API server does not answer".to_owned()),
        }
    }

    async fn remove(&self, name: &str) {
        let parameters = DeleteParams::default();
        let removed = self.api.delete(name, &parameters);
        if let Ok(Err(error)) = tokio::time::timeout(RENEW, removed).await {
            debug!(name, %error, "the ConfigMap of a replica cannot be deleted");
        }
    }

    /// Hears what the others tell, until `stop`.
    pub async fn hear(self, stop: CancellationToken) {
        let mut stream = watcher(self.api.clone(), Config::default().labels(LABEL)).default_backoff().boxed();
        let mut heard: BTreeMap<String, Instant> = BTreeMap::new();
        let mut failing = false;
        let mut clock = tokio::time::interval(RENEW);
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                _ = clock.tick() => {
                    self.forget_silent(&mut heard).await;
                    continue;
                }
                event = stream.next() => event,
            };
            match event {
                None => return,
                Some(Ok(Event::Init | Event::InitDone)) => failing = false,
                Some(Ok(Event::InitApply(object) | Event::Apply(object))) => {
                    failing = false;
                    let name = object.name_any();
                    if name != self.name {
                        heard.insert(name.clone(), Instant::now());
                        self.take(&name, &object);
                    }
                }
                Some(Ok(Event::Delete(object))) => {
                    let name = object.name_any();
                    heard.remove(&name);
                    self.envoy.hear_replica(&name, Vec::new());
                }
                Some(Err(error)) => {
                    if !failing {
                        warn!(%error, "what other replicas say of their proxies cannot be read; trying again");
                    }
                    failing = true;
                }
            }
        }
    }

    fn take(&self, name: &str, object: &ConfigMap) {
        match acknowledgements(object) {
            Ok(said) => self.envoy.hear_replica(name, said),
            Err(error) => warn!(name, %error, "what a replica says of its proxies cannot be read; is it of another version?"),
        }
    }

    async fn forget_silent(&self, heard: &mut BTreeMap<String, Instant>) {
        let silent: Vec<String> = heard.iter().filter(|(_, at)| at.elapsed() > SILENT).map(|(name, _)| name.clone()).collect();
        for name in silent {
            debug!(name, "a replica is silent; its proxies are with others by now");
            heard.remove(&name);
            self.envoy.hear_replica(&name, Vec::new());
            self.remove(&name).await;
        }
    }
}

/// What a ConfigMap says of proxies.
pub(super) fn acknowledgements(object: &ConfigMap) -> Result<Vec<Acknowledgement>, serde_json::Error> {
    serde_json::from_str(field(object, PROXIES).unwrap_or("[]"))
}

/// The ConfigMaps of replicas that are there: whoever is silent while others speak is gone.
pub(super) fn speaking(objects: Vec<ConfigMap>) -> impl Iterator<Item = ConfigMap> {
    let renewed = |object: &ConfigMap| field(object, RENEWED).and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let newest = objects.iter().filter_map(renewed).max();
    objects.into_iter().filter(move |object| match (renewed(object), newest) {
        (Some(at), Some(newest)) => newest.duration_since(at).unsigned_abs() <= SILENT,
        _ => true,
    })
}

fn field<'a>(object: &'a ConfigMap, name: &str) -> Option<&'a str> {
    object.data.as_ref().and_then(|data| data.get(name)).map(String::as_str)
}
