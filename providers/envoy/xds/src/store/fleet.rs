//! One fleet: its resources, what changed when, and what each of its streams still owes an answer for.

mod answers;
mod view;

use super::Publication;
use super::progress::{Progress, StreamId};
use crate::resource::Resource;
use crate::routes::Hosts;
use portico_crds::v1alpha1::envoy::Identification;
use portico_envoy::observed::{Observed, ResourceKey, ResourceKind, Version};
use portico_providers::UnitId;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::Notify;
pub use view::FleetView;

/// A fleet.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    pub identification: Identification,
    resources: BTreeMap<ResourceKey, Entry>,
    units: BTreeMap<UnitId, Unit>,
    streams: BTreeMap<StreamId, Listener>,
    /// The names of what changed, by when that was; each name once, under its last change.
    changes: BTreeMap<u64, ResourceKey>,
    changed_at: BTreeMap<ResourceKey, u64>,
    sequence: u64,
    news: BTreeSet<UnitId>,
    /// Why the last proxy that was not let in was turned away, until one is let in.
    turned_away: Option<String>,
}

/// A resource in its versions.
#[derive(Debug)]
struct Entry {
    newest: Arc<Resource>,
    /// The last version that some proxy acknowledged.
    good: Option<Arc<Resource>>,
    /// Whether a proxy refused the newest version.
    refused: bool,
    /// A route configuration with its virtual hosts in it, for proxies that take it so; put together when one asks, from what each should have.
    whole: OnceCell<Arc<Resource>>,
}

impl Entry {
    /// What a proxy should have: the newest version, unless one refused it and none took it.
    fn effective(&self) -> &Arc<Resource> {
        match &self.good {
            Some(good) if self.refused => good,
            _ => &self.newest,
        }
    }
}

/// What is published for a unit.
#[derive(Debug, Default)]
struct Unit {
    /// Versions as the stack has them.
    published: BTreeMap<ResourceKey, Version>,
    /// Version of all that is published.
    version: Option<Version>,
    /// What goes as soon as every proxy has what no longer refers to it.
    leaving: BTreeSet<ResourceKey>,
    /// What a proxy refused and none took since, with the reason.
    refused: BTreeMap<ResourceKey, String>,
    /// What was last said of its progress.
    told: Progress,
}

/// A stream, as its fleet sees it.
#[derive(Debug)]
struct Listener {
    /// The one unit that it may hear of; absent for all.
    unit: Option<UnitId>,
    /// Where its proxy takes virtual hosts.
    hosts: Hosts,
    notify: Arc<Notify>,
    seen: u64,
    /// What its proxy has not answered for, by unit; with the reason where it refused.
    owes: BTreeMap<UnitId, BTreeMap<ResourceKey, Option<String>>>,
    /// Units of which it has had everything once.
    joined: BTreeSet<UnitId>,
}

impl Listener {
    fn hears_of(&self, unit: &UnitId) -> bool {
        self.unit.as_ref().is_none_or(|only| only == unit)
    }

    /// The resource by which this proxy is told of one, and by which it answers.
    fn told_by(&self, key: &ResourceKey) -> ResourceKey {
        key.routes().filter(|_| self.hosts == Hosts::Within).unwrap_or_else(|| key.clone())
    }
}

impl Fleet {
    /// Has all streams look again at what they did not tell.
    pub fn wake(&self) {
        self.streams.values().for_each(|listener| listener.notify.notify_one());
    }

    pub fn has_units(&self) -> bool {
        !self.units.is_empty()
    }

    pub fn has(&self, unit: &UnitId) -> bool {
        self.units.contains_key(unit)
    }

    pub fn units(&self) -> impl Iterator<Item = &UnitId> {
        self.units.keys()
    }

    pub fn take_news(&mut self) -> BTreeSet<UnitId> {
        std::mem::take(&mut self.news)
    }

    pub fn observed(&self, unit: &UnitId) -> Observed {
        let identification = self.has_units().then_some(self.identification);
        let resources = self.units.get(unit).map(|unit| unit.published.clone()).unwrap_or_default();
        Observed { identification, resources }
    }

    /// The unit whose cluster this is.
    pub fn unit_of_cluster(&self, name: &str) -> Option<UnitId> {
        let key = ResourceKey { kind: ResourceKind::Cluster, name: name.to_owned() };
        self.resources.get(&key).map(|entry| entry.newest.unit.clone())
    }

    /// Says how proxies prove who they are. Streams look whether that still is how theirs did.
    pub fn identify_by(&mut self, identification: Identification) {
        if self.identification != identification {
            self.identification = identification;
            self.wake();
        }
    }

    pub fn publish(&mut self, unit: &UnitId, publication: Publication) {
        let state = self.units.entry(unit.clone()).or_default();
        for key in publication.withdrawals {
            state.published.remove(&key);
            state.refused.remove(&key);
            // Nobody has to answer any more for what goes.
            for owed in self.streams.values_mut().filter_map(|listener| listener.owes.get_mut(unit)) {
                owed.remove(&key);
                if key.kind == ResourceKind::Cluster {
                    owed.remove(&endpoints_of(&key));
                }
            }
            if self.resources.contains_key(&key) {
                state.leaving.insert(key);
            }
        }
        let mut resources = Vec::new();
        for (version, resource) in publication.upserts {
            state.leaving.remove(&resource.key);
            state.published.insert(resource.key.clone(), version);
            resources.push(resource);
        }
        state.version = Some(Version::of_all(&state.published));
        // Nothing refers to a virtual host: it goes at once, unless its route configuration goes as well, which waits for its listener.
        let routes: BTreeSet<ResourceKey> =
            state.leaving.iter().filter(|key| key.kind == ResourceKind::RouteConfiguration).cloned().collect();
        let alone = |key: &ResourceKey| key.routes().is_some_and(|of| !routes.contains(&of));
        let hosts: Vec<ResourceKey> = state.leaving.extract_if(.., |key| alone(key)).collect();
        for key in hosts {
            self.resources.remove(&key);
            self.recompose(&key);
            self.owe(unit, &key);
            self.mark(key);
        }
        for resource in resources {
            self.set(resource);
        }
    }

    /// What holds a resource has to be put together anew.
    fn recompose(&mut self, key: &ResourceKey) {
        let routes = key.routes().unwrap_or_else(|| key.clone());
        if let Some(entry) = self.resources.get_mut(&routes) {
            entry.whole.take();
        }
    }

    /// Endpoints go with their cluster. Whoever calls this tells of the unit afterwards.
    pub fn set_endpoints(&mut self, unit: &UnitId, resource: Arc<Resource>) {
        let key = resource.key.clone();
        let known = self.resources.contains_key(&key);
        self.set(resource);
        if known {
            // Pods come and go: whether a configuration is acknowledged does not depend on them.
            for listener in self.streams.values_mut() {
                if let Some(owed) = listener.owes.get_mut(unit) {
                    owed.remove(&key);
                }
            }
        }
    }

    fn set(&mut self, resource: Arc<Resource>) {
        let (key, unit) = (resource.key.clone(), resource.unit.clone());
        match self.resources.get_mut(&key) {
            Some(entry) if entry.newest.version == resource.version => return,
            Some(entry) => {
                entry.refused = false;
                entry.newest = resource;
            }
            None => {
                self.resources.insert(key.clone(), Entry { newest: resource, good: None, refused: false, whole: OnceCell::new() });
            }
        }
        if let Some(state) = self.units.get_mut(&unit) {
            state.refused.remove(&key);
        }
        self.recompose(&key);
        self.owe(&unit, &key);
        self.mark(key);
    }

    /// Everybody who hears of it has to answer for it.
    fn owe(&mut self, unit: &UnitId, key: &ResourceKey) {
        for listener in self.streams.values_mut().filter(|listener| listener.hears_of(unit)) {
            let by = listener.told_by(key);
            listener.owes.entry(unit.clone()).or_default().insert(by, None);
        }
    }

    fn mark(&mut self, key: ResourceKey) {
        self.sequence += 1;
        if let Some(before) = self.changed_at.insert(key.clone(), self.sequence) {
            self.changes.remove(&before);
        }
        self.changes.insert(self.sequence, key);
        self.wake();
    }

    /// Lets go of what is leaving, as far as every proxy has what no longer refers to it: listeners first, then routes with
    /// their virtual hosts, clusters with their endpoints, secrets.
    pub fn settle(&mut self, unit: &UnitId) {
        loop {
            let owed = self.streams.values().any(|listener| listener.owes.get(unit).is_some_and(|owed| !owed.is_empty()));
            let Some(state) = self.units.get_mut(unit) else { break };
            let order = [
                ResourceKind::Listener,
                ResourceKind::RouteConfiguration,
                ResourceKind::VirtualHost,
                ResourceKind::Cluster,
                ResourceKind::Secret,
            ];
            let next = order.into_iter().find(|kind| state.leaving.iter().any(|key| key.kind == *kind));
            let Some(kind) = next.filter(|_| !owed) else { break };
            let going: Vec<ResourceKey> = state.leaving.extract_if(.., |key| key.kind == kind).collect();
            for key in going {
                self.resources.remove(&key);
                if kind == ResourceKind::Cluster {
                    let endpoints = endpoints_of(&key);
                    self.resources.remove(&endpoints);
                    self.mark(endpoints);
                }
                // Of routes and secrets proxies hear nothing: they give them up by themselves.
                if matches!(kind, ResourceKind::Listener | ResourceKind::Cluster) {
                    self.owe(unit, &key);
                }
                self.mark(key);
            }
        }
        let gone = |state: &Unit| state.published.is_empty() && state.leaving.is_empty();
        if self.units.get(unit).is_some_and(gone) && !self.streams.values().any(|it| it.owes.get(unit).is_some_and(|owed| !owed.is_empty()))
        {
            self.units.remove(unit);
            for listener in self.streams.values_mut() {
                listener.owes.remove(unit);
                listener.joined.remove(unit);
            }
            self.news.insert(unit.clone());
        } else {
            self.tell(unit);
        }
    }

    pub fn connect(&mut self, id: StreamId, unit: Option<UnitId>, hosts: Hosts) -> Arc<Notify> {
        self.turned_away = None;
        let notify = Arc::new(Notify::new());
        let (owes, joined) = (BTreeMap::new(), BTreeSet::new());
        let mut listener = Listener { unit, hosts, notify: notify.clone(), seen: self.sequence, owes, joined };
        for (key, entry) in &self.resources {
            let leaves = self.units.get(&entry.newest.unit).is_some_and(|state| state.leaving.contains(key));
            if listener.hears_of(&entry.newest.unit) && !leaves {
                let by = listener.told_by(key);
                listener.owes.entry(entry.newest.unit.clone()).or_default().insert(by, None);
            }
        }
        self.streams.insert(id, listener);
        self.tell_all();
        notify
    }

    pub fn turn_away(&mut self, reason: &str) {
        self.turned_away = Some(reason.to_owned());
        self.tell_all();
    }

    pub fn disconnect(&mut self, id: StreamId) {
        let Some(gone) = self.streams.remove(&id) else { return };
        self.forget_changes();
        for unit in gone.owes.into_keys() {
            self.settle(&unit);
        }
        self.tell_all();
    }

    /// The names of what changed since a stream looked last.
    pub fn changed(&mut self, id: StreamId) -> Vec<ResourceKey> {
        let Some(listener) = self.streams.get_mut(&id) else { return Vec::new() };
        let mut changed: Vec<ResourceKey> = self.changes.range(listener.seen + 1..).map(|(_, key)| listener.told_by(key)).collect();
        changed.dedup();
        listener.seen = self.sequence;
        self.forget_changes();
        changed
    }

    /// What every stream has seen need not be remembered.
    fn forget_changes(&mut self) {
        let seen = self.streams.values().map(|listener| listener.seen).min().unwrap_or(self.sequence);
        while let Some(first) = self.changes.first_entry() {
            if *first.key() > seen {
                break;
            }
            self.changed_at.remove(&first.remove());
        }
    }

    pub fn progress(&self, unit: &UnitId) -> Progress {
        let Some(state) = self.units.get(unit) else { return Progress::default() };
        let mut progress = Progress { version: state.version.clone(), ..Progress::default() };
        let mut refusals: BTreeSet<String> = state.refused.iter().map(|(key, message)| format!("{key}: {message}")).collect();
        let mut new = 0;
        for listener in self.streams.values().filter(|listener| listener.hears_of(unit)) {
            progress.proxies += 1;
            match listener.owes.get(unit).filter(|owed| !owed.is_empty()) {
                None => progress.acknowledged += 1,
                Some(owed) => {
                    refusals.extend(owed.iter().filter_map(|(key, message)| Some(format!("{key}: {}", message.as_ref()?))));
                    if listener.joined.contains(unit) { progress.waiting += 1 } else { new += 1 }
                }
            }
        }
        if progress.acknowledged == 0 {
            progress.waiting += new;
        }
        progress.refusals = refusals.into_iter().collect();
        progress.turned_away = self.turned_away.clone().filter(|_| progress.proxies == 0);
        progress
    }

    /// Notes where the proxies are with a unit, and that it is news if it is.
    pub fn tell(&mut self, unit: &UnitId) {
        let progress = self.progress(unit);
        if let Some(state) = self.units.get_mut(unit)
            && state.told != progress
        {
            // How many proxies there are, beyond whether there are any, is for metrics and not for statuses.
            let matters = |progress: &Progress| {
                let Progress { version, proxies, acknowledged, waiting, refusals, turned_away } = progress;
                (version.clone(), *acknowledged > 0, *waiting > 0, *proxies > 0, refusals.clone(), turned_away.clone())
            };
            if matters(&state.told) != matters(&progress) {
                self.news.insert(unit.clone());
            }
            state.told = progress;
        }
    }

    fn tell_all(&mut self) {
        let units: Vec<UnitId> = self.units.keys().cloned().collect();
        for unit in units {
            self.tell(&unit);
        }
    }
}

/// The endpoints of a cluster go by its name.
fn endpoints_of(cluster: &ResourceKey) -> ResourceKey {
    ResourceKey { kind: ResourceKind::ClusterLoadAssignment, name: cluster.name.clone() }
}
