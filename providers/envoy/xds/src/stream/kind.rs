//! One kind of resources on one stream.

use super::Mode;
use crate::resource::Resource;
use portico_envoy::observed::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a proxy has, or was sent last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub version: Version,
    /// Absent for what it had before this stream.
    pub resource: Option<Arc<Resource>>,
}

/// A response that was not answered yet.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub nonce: String,
    pub sent: Vec<Arc<Resource>>,
    pub removed: Vec<String>,
    /// What the proxy had of what was sent; by name.
    before: BTreeMap<String, Held>,
}

impl Outstanding {
    /// Whether the proxy had nothing of this name, or another version.
    pub fn changed(&self, name: &str) -> bool {
        let version = self.sent.iter().find(|resource| resource.key.name == name).map(|resource| &resource.version);
        self.before.get(name).map(|held| &held.version) != version
    }
}

/// State of one kind.
#[derive(Debug, Default)]
pub(super) struct KindState {
    /// Whether the proxy asked for anything of this kind.
    pub asked: bool,
    /// Whether it wants all there are.
    pub wildcard: bool,
    /// What it asked for by name.
    pub names: BTreeSet<String>,
    /// Whether its first question must be answered even if there is nothing to say.
    pub answer_due: bool,
    /// What it has, or was sent.
    pub held: BTreeMap<String, Held>,
    /// What may have changed.
    pub dirty: BTreeSet<String>,
    /// What is sent although the proxy has it.
    pub forced: BTreeSet<String>,
    /// What is sent by itself, since it was in a response that was refused.
    pub singly: BTreeSet<String>,
    /// The versions that this proxy refused.
    pub refused: BTreeMap<String, Version>,
    pub outstanding: Option<Outstanding>,
}

impl KindState {
    /// Whether the proxy wants to hear of a name.
    pub fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Whether a resource is news to the proxy.
    pub fn is_news(&self, resource: &Resource) -> bool {
        let name = &resource.key.name;
        let has = self.held.get(name).is_some_and(|held| held.version == resource.version);
        (!has || self.forced.contains(name)) && self.refused.get(name) != Some(&resource.version)
    }

    pub fn sent(&mut self, nonce: String, resources: &[Arc<Resource>], removed: &[String]) {
        let mut before = BTreeMap::new();
        for resource in resources {
            let name = &resource.key.name;
            let held = Held { version: resource.version.clone(), resource: Some(resource.clone()) };
            if let Some(had) = self.held.insert(name.clone(), held) {
                before.insert(name.clone(), had);
            }
            self.dirty.remove(name);
            self.forced.remove(name);
            self.refused.remove(name);
        }
        for name in removed {
            self.held.remove(name);
            self.dirty.remove(name);
            self.refused.remove(name);
        }
        self.answer_due = false;
        self.outstanding = Some(Outstanding { nonce, sent: resources.to_vec(), removed: removed.to_vec(), before });
    }

    /// Takes a refused response back. Returns what is known to be refused: with several resources in a response of changes, each is sent by itself first.
    pub fn refuse(&mut self, mut outstanding: Outstanding, mode: Mode, message: &str) -> Vec<Arc<Resource>> {
        let mut changed: Vec<Arc<Resource>> =
            outstanding.sent.iter().filter(|resource| outstanding.changed(&resource.key.name)).cloned().collect();
        // Envoy names what it refuses, and goes on with the rest.
        if changed.iter().any(|resource| mentions(message, &resource.key.name)) {
            changed.retain(|resource| mentions(message, &resource.key.name));
        }
        for resource in &outstanding.sent {
            let name = &resource.key.name;
            match outstanding.before.remove(name) {
                Some(held) => drop(self.held.insert(name.clone(), held)),
                None => drop(self.held.remove(name)),
            }
        }
        // Envoy makes of a refused response what it can: names that were to go are gone.
        let alone = mode == Mode::StateOfTheWorld || outstanding.sent.len() <= 1;
        if alone {
            for resource in &changed {
                self.singly.remove(&resource.key.name);
                self.refused.insert(resource.key.name.clone(), resource.version.clone());
            }
            return if changed.is_empty() { outstanding.sent } else { changed };
        }
        for resource in &outstanding.sent {
            self.singly.insert(resource.key.name.clone());
            self.dirty.insert(resource.key.name.clone());
        }
        Vec::new()
    }
}

/// Whether a message names a resource, and not just one whose name begins like it.
fn mentions(message: &str, name: &str) -> bool {
    let ends = |(at, _): (usize, &str)| {
        let next = message.get(at + name.len()..).and_then(|rest| rest.chars().next());
        next.is_none_or(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '/' | '*')))
    };
    message.match_indices(name).any(ends)
}
