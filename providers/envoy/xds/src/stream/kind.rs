//! One kind of resources on one stream.

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

impl Held {
    /// Something, and nobody knows which version.
    fn unknown() -> Self {
        Self { version: Version(String::new()), resource: None }
    }
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
    /// The names that it is about.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sent.iter().map(|resource| resource.key.name.as_str()).chain(self.removed.iter().map(String::as_str))
    }

    /// Whether the proxy had nothing of the name of this resource, which was sent, or another version.
    pub fn changed(&self, sent: &Resource) -> bool {
        self.before.get(&sent.key.name).is_none_or(|held| held.version != sent.version)
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
    /// What was in a response that was refused: each with those of its group only, which is halved until it is known what is at fault.
    pub suspects: BTreeMap<String, u64>,
    groups: u64,
    /// The versions that this proxy refused.
    pub refused: BTreeMap<String, Version>,
    /// Responses that were not answered yet: one, or of virtual hosts one for each route configuration.
    pub outstanding: Vec<Outstanding>,
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

    /// Of resources that are news those that go into one response: of a group under suspicion nothing else, and otherwise what is under none.
    pub fn together(&self, news: Vec<Arc<Resource>>) -> Vec<Arc<Resource>> {
        let group = |resource: &Arc<Resource>| self.suspects.get(&resource.key.name);
        match news.iter().find_map(group) {
            Some(first) => news.into_iter().filter(|resource| group(resource) == Some(first)).collect(),
            None => news,
        }
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
            if self.refused.get(name) != Some(&resource.version) {
                self.refused.remove(name);
            }
        }
        for name in removed {
            self.held.remove(name);
            self.dirty.remove(name);
            self.refused.remove(name);
        }
        self.answer_due = false;
        self.outstanding.push(Outstanding { nonce, sent: resources.to_vec(), removed: removed.to_vec(), before });
    }

    /// Takes an answer without an error.
    pub fn accept(&mut self, outstanding: &Outstanding) {
        for resource in &outstanding.sent {
            self.suspects.remove(&resource.key.name);
        }
    }

    /// Takes a refused response back. Of several resources that need not go together each half is sent alone, to find out which is at fault; where all have to
    /// (`whole`), the proxy's message says it.
    pub fn refuse(&mut self, mut outstanding: Outstanding, whole: bool, message: &str) -> Verdict {
        let mut verdict = Verdict::default();
        if !whole && !outstanding.sent.is_empty() {
            // What was to go in the same response may have stayed.
            for name in std::mem::take(&mut outstanding.removed) {
                self.held.insert(name.clone(), Held::unknown());
                self.dirty.insert(name);
            }
        }
        if !whole && outstanding.sent.len() > 1 {
            for half in outstanding.sent.chunks(outstanding.sent.len().div_ceil(2)) {
                self.groups += 1;
                for resource in half {
                    let name = &resource.key.name;
                    // The proxy may have taken it or not: whatever comes next for this name is news.
                    self.held.insert(name.clone(), Held::unknown());
                    self.suspects.insert(name.clone(), self.groups);
                    self.dirty.insert(name.clone());
                }
            }
            return verdict;
        }
        let suspect =
            |resource: &&Arc<Resource>| outstanding.changed(resource) || self.refused.get(&resource.key.name) == Some(&resource.version);
        let mut at_fault: Vec<Arc<Resource>> = outstanding.sent.iter().filter(suspect).cloned().collect();
        // Envoy names what it refuses, and goes on with the rest.
        if at_fault.iter().any(|resource| mentions(message, &resource.key.name)) {
            at_fault.retain(|resource| mentions(message, &resource.key.name));
        }
        if at_fault.is_empty() {
            at_fault.clone_from(&outstanding.sent);
        }
        for resource in outstanding.sent {
            let name = &resource.key.name;
            self.suspects.remove(name);
            if at_fault.contains(&resource) {
                // A proxy may have a better version from before this stream. Where all go together it keeps that as long as this one is among them.
                let before = outstanding.before.remove(name);
                if before.is_some() || !whole {
                    self.restore(name, before);
                }
                self.refused.insert(name.clone(), resource.version.clone());
                verdict.refused.push(resource);
            } else {
                verdict.accepted.push(resource);
            }
        }
        verdict
    }

    fn restore(&mut self, name: &str, before: Option<Held>) {
        match before {
            Some(held) => drop(self.held.insert(name.to_owned(), held)),
            None => drop(self.held.remove(name)),
        }
    }
}

/// What is known of the resources of a refused response.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// At fault.
    pub refused: Vec<Arc<Resource>>,
    /// Taken nevertheless.
    pub accepted: Vec<Arc<Resource>>,
}

/// Whether a message names a resource, and not just one whose name begins like it.
fn mentions(message: &str, name: &str) -> bool {
    let ends = |(at, _): (usize, &str)| {
        let next = message.get(at + name.len()..).and_then(|rest| rest.chars().next());
        next.is_none_or(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '/' | '*')))
    };
    message.match_indices(name).any(ends)
}
