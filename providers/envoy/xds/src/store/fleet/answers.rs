//! What proxies answer.

use super::{Entry, Fleet};
use crate::resource::Resource;
use crate::routes::Hosts;
use crate::store::progress::StreamId;
use crate::stream::Feedback;
use portico_envoy::observed::{ResourceKey, ResourceKind, Version};
use portico_providers::UnitId;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Entry {
    /// Whether every proxy should have the newest version.
    fn is_newest(&self) -> bool {
        Arc::ptr_eq(self.effective(), &self.newest)
    }
}

impl Fleet {
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

    /// The resources that an answer for one speaks of: for a route configuration that was told with its virtual hosts in it, each of them.
    fn answered_by(&self, id: StreamId, key: &ResourceKey) -> Vec<ResourceKey> {
        let mut parts = vec![key.clone()];
        if key.kind == ResourceKind::RouteConfiguration && self.streams.get(&id).is_some_and(|listener| listener.hosts == Hosts::Within) {
            parts.extend(self.hosts(&key.name).map(|(key, _)| key.clone()));
        }
        parts
    }

    /// What a stream's proxy should have of this name, if this is the version of it.
    fn current(&self, id: StreamId, key: &ResourceKey, version: &Version) -> Option<Arc<Resource>> {
        self.view(id).of(key).filter(|current| current.version == *version)
    }

    fn acknowledged(&mut self, id: StreamId, key: &ResourceKey, version: Option<&Version>) -> Option<UnitId> {
        let unit = match version {
            Some(version) => {
                let newest = |entry: &&Entry| entry.newest.version == *version;
                let refused_before = self.resources.get(key).filter(newest).is_some_and(|entry| entry.refused);
                if refused_before {
                    // Another proxy does not take it; this one does.
                    self.good(key);
                } else {
                    self.current(id, key, version)?;
                    for part in self.answered_by(id, key) {
                        if self.resources.get(&part).is_some_and(Entry::is_newest) {
                            self.good(&part);
                        }
                    }
                }
                self.resources.get(key)?.newest.unit.clone()
            }
            None if self.resources.contains_key(key) => return None,
            None => {
                let listener = self.streams.get(&id)?;
                listener.owes.iter().find(|(_, owed)| owed.contains_key(key)).map(|(unit, _)| unit.clone())?
            }
        };
        let listener = self.streams.get_mut(&id)?;
        let owed = listener.owes.get_mut(&unit)?;
        owed.remove(key);
        if owed.is_empty() {
            listener.owes.remove(&unit);
            listener.joined.insert(unit.clone());
        }
        Some(unit)
    }

    /// A proxy has the newest version of a resource.
    fn good(&mut self, key: &ResourceKey) {
        let Some(entry) = self.resources.get_mut(key) else { return };
        entry.good = Some(entry.newest.clone());
        let unit = entry.newest.unit.clone();
        if std::mem::take(&mut entry.refused) {
            self.recompose(key);
        }
        if let Some(state) = self.units.get_mut(&unit) {
            state.refused.remove(key);
        }
    }

    fn refused(&mut self, id: StreamId, key: &ResourceKey, version: &Version, message: String) -> Option<UnitId> {
        let entry = self.resources.get(key)?;
        let unit = entry.newest.unit.clone();
        if self.units.get(&unit).is_some_and(|state| state.leaving.contains(key)) {
            // It goes: whoever does not take it is done with it.
            self.streams.get_mut(&id)?.owes.get_mut(&unit)?.remove(key);
            return Some(unit);
        }
        if entry.newest.version != *version {
            self.current(id, key, version)?;
        }
        for part in self.answered_by(id, key) {
            let Some(entry) = self.resources.get_mut(&part).filter(|entry| entry.is_newest()) else { continue };
            if entry.good.as_ref().is_none_or(|good| good.version != entry.newest.version) {
                entry.refused = true;
                if let Some(state) = self.units.get_mut(&unit) {
                    state.refused.insert(part.clone(), message.clone());
                }
            }
        }
        self.recompose(key);
        let listener = self.streams.get_mut(&id)?;
        listener.owes.entry(unit.clone()).or_default().insert(key.clone(), Some(message));
        Some(unit)
    }
}
