//! One fleet: its resources, what changed when, and what each of its streams still owes an answer for.

use super::Publication;
use super::progress::{Progress, StreamId};
use crate::resource::Resource;
use crate::stream::{Feedback, View};
use portico_crds::v1alpha1::envoy::Identification;
use portico_envoy::observed::{Observed, ResourceKey, ResourceKind, Version};
use portico_providers::UnitId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::Notify;

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
}

/// A resource in its versions.
#[derive(Debug)]
struct Entry {
    newest: Arc<Resource>,
    /// The last version that some proxy acknowledged.
    good: Option<Arc<Resource>>,
    /// Whether a proxy refused the newest version.
    refused: bool,
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
}

impl Fleet {
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
            self.streams.values().for_each(|listener| listener.notify.notify_one());
        }
    }

    pub fn publish(&mut self, unit: &UnitId, publication: Publication) {
        let state = self.units.entry(unit.clone()).or_default();
        for key in publication.withdrawals {
            state.published.remove(&key);
            state.refused.remove(&key);
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
        for resource in resources {
            self.set(resource);
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
                self.resources.insert(key.clone(), Entry { newest: resource, good: None, refused: false });
            }
        }
        if let Some(state) = self.units.get_mut(&unit) {
            state.refused.remove(&key);
        }
        self.owe(&unit, &key);
        self.mark(key);
    }

    /// Everybody who hears of it has to answer for it.
    fn owe(&mut self, unit: &UnitId, key: &ResourceKey) {
        for listener in self.streams.values_mut().filter(|listener| listener.hears_of(unit)) {
            listener.owes.entry(unit.clone()).or_default().insert(key.clone(), None);
        }
    }

    fn mark(&mut self, key: ResourceKey) {
        self.sequence += 1;
        if let Some(before) = self.changed_at.insert(key.clone(), self.sequence) {
            self.changes.remove(&before);
        }
        self.changes.insert(self.sequence, key);
        for listener in self.streams.values() {
            listener.notify.notify_one();
        }
    }

    /// Lets go of what is leaving, as far as every proxy has what no longer refers to it: listeners first, then routes, clusters with their endpoints, secrets.
    pub fn settle(&mut self, unit: &UnitId) {
        loop {
            let owed = self.streams.values().any(|listener| listener.owes.get(unit).is_some_and(|owed| !owed.is_empty()));
            let Some(state) = self.units.get_mut(unit) else { break };
            let order = [ResourceKind::Listener, ResourceKind::RouteConfiguration, ResourceKind::Cluster, ResourceKind::Secret];
            let next = order.into_iter().find(|kind| state.leaving.iter().any(|key| key.kind == *kind));
            let Some(kind) = next.filter(|_| !owed) else { break };
            let going: Vec<ResourceKey> = state.leaving.extract_if(.., |key| key.kind == kind).collect();
            for key in going {
                self.resources.remove(&key);
                if kind == ResourceKind::Cluster {
                    let endpoints = ResourceKey { kind: ResourceKind::ClusterLoadAssignment, name: key.name.clone() };
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

    pub fn connect(&mut self, id: StreamId, unit: Option<UnitId>) -> Arc<Notify> {
        let notify = Arc::new(Notify::new());
        let mut owes: BTreeMap<UnitId, BTreeMap<ResourceKey, Option<String>>> = BTreeMap::new();
        for (key, entry) in &self.resources {
            if unit.as_ref().is_none_or(|only| *only == entry.newest.unit) {
                owes.entry(entry.newest.unit.clone()).or_default().insert(key.clone(), None);
            }
        }
        let listener = Listener { unit, notify: notify.clone(), seen: self.sequence, owes, joined: BTreeSet::new() };
        self.streams.insert(id, listener);
        self.tell_all();
        notify
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
        let changed = self.changes.range(listener.seen + 1..).map(|(_, key)| key.clone()).collect();
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

    pub fn view(&self, id: StreamId) -> FleetView<'_> {
        FleetView { fleet: self, unit: self.streams.get(&id).and_then(|listener| listener.unit.as_ref()) }
    }

    /// Books what a stream learnt from its proxy.
    pub fn learn(&mut self, id: StreamId, feedback: Vec<Feedback>) {
        let mut units = BTreeSet::new();
        for feedback in feedback {
            match feedback {
                Feedback::Acknowledged(key, version) => units.extend(self.acknowledged(id, &key, version.as_ref())),
                Feedback::Refused(key, version, message) => units.extend(self.refused(id, &key, &version, message)),
            }
        }
        for unit in units {
            self.settle(&unit);
        }
    }

    fn acknowledged(&mut self, id: StreamId, key: &ResourceKey, version: Option<&Version>) -> Option<UnitId> {
        let listener = self.streams.get_mut(&id)?;
        let unit = match (self.resources.get_mut(key), version) {
            (Some(entry), Some(version)) if entry.newest.version == *version => {
                entry.good = Some(entry.newest.clone());
                entry.refused = false;
                let unit = entry.newest.unit.clone();
                if let Some(state) = self.units.get_mut(&unit) {
                    state.refused.remove(key);
                }
                unit
            }
            // The last good version is all that this proxy is told while the newest is refused.
            (Some(entry), Some(version)) if entry.refused && entry.good.as_ref().is_some_and(|good| good.version == *version) => {
                entry.newest.unit.clone()
            }
            (None, None) => listener.owes.iter().find(|(_, owed)| owed.contains_key(key)).map(|(unit, _)| unit.clone())?,
            _ => return None,
        };
        let owed = listener.owes.get_mut(&unit)?;
        owed.remove(key);
        if owed.is_empty() {
            listener.owes.remove(&unit);
            listener.joined.insert(unit.clone());
        }
        Some(unit)
    }

    fn refused(&mut self, id: StreamId, key: &ResourceKey, version: &Version, message: String) -> Option<UnitId> {
        let listener = self.streams.get_mut(&id)?;
        let entry = self.resources.get_mut(key).filter(|entry| entry.newest.version == *version)?;
        entry.refused = true;
        let unit = entry.newest.unit.clone();
        if entry.good.as_ref().is_none_or(|good| good.version != *version)
            && let Some(state) = self.units.get_mut(&unit)
        {
            state.refused.insert(key.clone(), message.clone());
        }
        listener.owes.entry(unit.clone()).or_default().insert(key.clone(), Some(message));
        Some(unit)
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
                (progress.version.clone(), progress.acknowledged > 0, progress.waiting > 0, progress.proxies > 0, progress.refusals.clone())
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

/// A fleet as one stream may see it.
#[derive(Debug)]
pub struct FleetView<'a> {
    fleet: &'a Fleet,
    unit: Option<&'a UnitId>,
}

impl FleetView<'_> {
    fn may_see(&self, entry: &Entry) -> bool {
        self.unit.is_none_or(|only| *only == entry.newest.unit)
    }
}

impl View for FleetView<'_> {
    fn get(&self, key: &ResourceKey) -> Option<Arc<Resource>> {
        self.fleet.resources.get(key).filter(|entry| self.may_see(entry)).map(|entry| entry.effective().clone())
    }

    fn names(&self, kind: ResourceKind) -> Vec<String> {
        let first = ResourceKey { kind, name: String::new() };
        let of_kind = self.fleet.resources.range(first..).take_while(|(key, _)| key.kind == kind);
        of_kind.filter(|(_, entry)| self.may_see(entry)).map(|(key, _)| key.name.clone()).collect()
    }
}
