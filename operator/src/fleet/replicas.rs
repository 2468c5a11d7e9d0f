//! How far the proxies of each replica are, told to the others through ConfigMaps of its own, so that the leader's statuses speak for all proxies: one says that the replica is there, and others
//! hold what it says, a sheet for so many Gateways.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube_client::Client;
use kube_client::api::Api;
use kube_runtime::WatchStreamExt;
use kube_runtime::watcher::{Config, Event, watcher};
use portico_crds::kubernetes::{ConfigMap, ResourceExt};
use portico_envoy_xds::{Acknowledgement, Envoy};
use portico_providers::Leadership;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::record::{Record, acknowledgements, field, remove};
use crate::clock::rfc3339;

/// What marks the ConfigMaps of replicas. Its value says of which.
pub(super) const LABEL: &str = "portico.dev/replica";

/// Where the first ConfigMap says when it was written.
const RENEWED: &str = "renewed";

/// What happens in one moment is told at once.
const GATHER: Duration = Duration::from_millis(50);

/// How often a replica says that it is there.
const RENEW: Duration = Duration::from_secs(10);

/// Who is silent this long is gone, and its proxies are with others.
const SILENT: Duration = Duration::from_secs(35);

/// Who could not say for this long that it is there tells everything again. The rest of [`SILENT`] is for what is under way.
const LATE: Duration = Duration::from_secs(25);

/// The replicas of one operator.
#[derive(Clone)]
pub struct Replicas {
    client: Client,
    namespace: String,
    /// Of this replica, as its label has it.
    id: String,
    envoy: Envoy,
    leadership: Arc<dyn Leadership>,
}

/// What this replica tells.
struct Telling {
    record: Record,
    /// When it said last that it is there.
    renewed: Option<Instant>,
}

impl Replicas {
    /// The replicas in a namespace, of which this one has a unique identity.
    pub fn new(client: Client, namespace: &str, identity: &uuid::Uuid, envoy: Envoy, leadership: Arc<dyn Leadership>) -> Self {
        Self { client, namespace: namespace.to_owned(), id: identity.simple().to_string(), envoy, leadership }
    }

    /// Tells how far this replica's proxies are, until `stop`; then takes it back. While it leads there is nobody who would have to hear it: whoever leads next does so after this
    /// replica has ended, and its proxies are with others.
    pub async fn tell(self, stop: CancellationToken) {
        let mut changes = self.envoy.changes();
        let name = format!("portico-replica-{}", self.id);
        let record = Record::new(self.client.clone(), &self.namespace, name, (LABEL, self.id.clone()));
        let mut telling = Telling { record, renewed: None };
        while !stop.is_cancelled() {
            let said = if self.leadership.is_leader() { Vec::new() } else { self.envoy.acknowledgements() };
            if let Err(error) = telling.tell(said).await {
                warn!(%error, "the other replicas cannot be told how far this one's proxies are; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => break,
                changed = changes.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(RENEW) => {}
            }
            tokio::time::sleep(GATHER).await;
        }
        if let Err(error) = telling.tell(Vec::new()).await {
            debug!(%error, "what this replica told of its proxies cannot be taken back; the others find out by themselves");
        }
    }

    /// Hears what the others tell, until `stop`.
    pub async fn hear(self, stop: CancellationToken) {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut stream = watcher(api.clone(), Config::default().labels(LABEL)).default_backoff().boxed();
        let mut heard = Heard::default();
        let mut failing = false;
        let mut clock = tokio::time::interval(RENEW);
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                _ = clock.tick() => {
                    for name in heard.forget_silent(Instant::now()) {
                        self.forget(&name);
                        if let Err(error) = remove(&api, &name).await {
                            debug!(name, %error, "the ConfigMap of a replica that is gone cannot be deleted");
                        }
                    }
                    continue;
                }
                event = stream.next() => event,
            };
            failing = match event {
                None => return,
                Some(Ok(event)) => {
                    self.take(&mut heard, event);
                    false
                }
                Some(Err(error)) => {
                    if !failing {
                        warn!(%error, "what other replicas say of their proxies cannot be read; trying again");
                    }
                    true
                }
            };
        }
    }

    fn take(&self, heard: &mut Heard, event: Event<ConfigMap>) {
        match event {
            Event::Init => heard.listing = Some(BTreeSet::new()),
            Event::InitApply(object) | Event::Apply(object) => {
                let (name, replica) = (object.name_any(), replica_of(&object));
                if replica != self.id {
                    heard.note(&name, replica, Instant::now());
                    match acknowledgements(&object) {
                        Ok(said) => self.envoy.hear_replica(&name, said),
                        Err(error) => {
                            warn!(name, %error, "what a replica says of its proxies cannot be read; is it of another version?");
                        }
                    }
                }
            }
            // What is not listed went while nobody watched.
            Event::InitDone => heard.unlisted().iter().for_each(|name| self.forget(name)),
            Event::Delete(object) => {
                heard.forget(&object.name_any());
                self.forget(&object.name_any());
            }
        }
    }

    fn forget(&self, name: &str) {
        self.envoy.hear_replica(name, Vec::new());
    }
}

impl Telling {
    /// Tells what is so now, and that this replica is there; takes everything back where there is nothing to tell.
    async fn tell(&mut self, mut said: Vec<Acknowledgement>) -> Result<(), String> {
        // Where no proxies are, nobody need hear of it.
        said.retain(|Acknowledgement { progress, .. }| {
            progress.proxies > 0 || !progress.refusals.is_empty() || progress.turned_away.is_some()
        });
        let silent = said.is_empty();
        if !silent && self.renewed.is_none_or(|at| at.elapsed() >= RENEW) {
            // Others may have taken it for gone, and deleted what it told.
            if self.renewed.is_some_and(|at| at.elapsed() >= LATE) {
                self.record.doubt();
            }
            self.record.write(self.record.name(), &json!({ RENEWED: rfc3339(jiff::Timestamp::now()) })).await?;
            self.renewed = Some(Instant::now());
        }
        self.record.say(said).await?;
        if silent && self.renewed.is_some() {
            remove(self.record.api(), self.record.name()).await?;
            self.renewed = None;
        }
        Ok(())
    }
}

/// Who was heard, and when.
#[derive(Default)]
struct Heard {
    /// The ConfigMaps of each replica, and when one of them was written last.
    replicas: BTreeMap<String, (Instant, BTreeSet<String>)>,
    /// What a list that is under way has named so far.
    listing: Option<BTreeSet<String>>,
}

impl Heard {
    fn note(&mut self, name: &str, replica: &str, now: Instant) {
        let (at, names) = self.replicas.entry(replica.to_owned()).or_insert((now, BTreeSet::new()));
        *at = now;
        names.insert(name.to_owned());
        if let Some(listed) = &mut self.listing {
            listed.insert(name.to_owned());
        }
    }

    fn forget(&mut self, name: &str) {
        self.replicas.retain(|_, (_, names)| {
            names.remove(name);
            !names.is_empty()
        });
    }

    /// The list has ended: forgets, and returns, what it did not name.
    fn unlisted(&mut self) -> Vec<String> {
        let Some(listed) = self.listing.take() else { return Vec::new() };
        let known = self.replicas.values().flat_map(|(_, names)| names);
        let gone: Vec<String> = known.filter(|name| !listed.contains(*name)).cloned().collect();
        gone.iter().for_each(|name| self.forget(name));
        gone
    }

    /// Forgets the replicas that are silent, and returns their ConfigMaps.
    fn forget_silent(&mut self, now: Instant) -> Vec<String> {
        let silent = |_: &String, (at, _): &mut (Instant, BTreeSet<String>)| now.saturating_duration_since(*at) > SILENT;
        let gone: Vec<_> = self.replicas.extract_if(.., silent).collect();
        gone.into_iter()
            .flat_map(|(replica, (_, names))| {
                debug!(replica, "a replica is silent; its proxies are with others by now");
                names
            })
            .collect()
    }
}

/// The ConfigMaps of replicas that are there: whoever is silent while others speak is gone.
pub(super) fn speaking(objects: Vec<ConfigMap>) -> impl Iterator<Item = ConfigMap> {
    let renewed = |object: &ConfigMap| field(object, RENEWED).and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let said = objects.iter().filter_map(|object| Some((replica_of(object).to_owned(), renewed(object)?)));
    let said: BTreeMap<String, jiff::Timestamp> = said.collect();
    let newest = said.values().max().copied();
    objects.into_iter().filter(move |object| match (said.get(replica_of(object)), newest) {
        (Some(at), Some(newest)) => newest.duration_since(*at).unsigned_abs() <= SILENT,
        _ => false,
    })
}

/// The replica that a ConfigMap is of.
fn replica_of(object: &ConfigMap) -> &str {
    object.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL)).map(String::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(replica: &str, name: &str, data: serde_json::Value) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": name, "labels": {LABEL: replica}}, "data": data})).unwrap()
    }

    #[test]
    fn of_who_is_silent_nothing_counts() {
        let at = |second: u32| json!({ RENEWED: format!("2026-01-01T00:00:{second:02}Z") });
        let all = vec![
            object("a", "a", at(50)),
            object("a", "a-0", json!({"proxies": "[]"})),
            object("b", "b", at(10)),
            object("b", "b-0", json!({"proxies": "[]"})),
            object("c", "c-0", json!({"proxies": "[]"})),
        ];
        assert_eq!(speaking(all).map(|it| it.name_any()).collect::<Vec<_>>(), ["a", "a-0"]);
    }

    #[test]
    fn what_goes_while_nobody_watches_is_forgotten() {
        let (mut heard, start) = (Heard::default(), Instant::now());
        heard.listing = Some(BTreeSet::new());
        for (name, replica) in [("a", "a"), ("a-0", "a"), ("a-1", "a"), ("b", "b")] {
            heard.note(name, replica, start);
        }
        assert_eq!(heard.unlisted(), [""; 0]);
        heard.listing = Some(BTreeSet::new());
        heard.note("a", "a", start);
        heard.note("a-0", "a", start);
        assert_eq!(heard.unlisted(), ["a-1", "b"]);
        assert_eq!(heard.forget_silent(start + SILENT), [""; 0]);
        heard.note("a", "a", start + SILENT);
        assert_eq!(heard.forget_silent(start + SILENT * 2), [""; 0]);
        assert_eq!(heard.forget_silent(start + SILENT * 3), ["a", "a-0"]);
        assert_eq!(heard.forget_silent(start + SILENT * 4), [""; 0]);
    }
}
