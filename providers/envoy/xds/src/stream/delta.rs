//! The form of the protocol that tells changes only.

use super::kind::Held;
use super::{Feedback, Request, Response, Stream, View};
use portico_envoy::observed::{ResourceKey, ResourceKind};

/// A response is cut here, in bytes: a proxy takes a large fleet's resources in pieces.
const LARGEST_RESPONSE: usize = 1 << 20;
/// Stands for all names.
const WILDCARD: &str = "*";

impl Stream {
    pub(super) fn subscribe_delta(&mut self, kind: ResourceKind, request: &Request, view: &impl View) {
        let state = self.kind_mut(kind);
        let first = !state.asked;
        state.asked = true;
        if first {
            // Nobody asks for nothing: the first request without names asks for all, of the kinds where that means something.
            let all = matches!(kind, ResourceKind::Cluster | ResourceKind::Listener);
            state.wildcard = all && request.subscribe.is_empty();
            state.answer_due = state.wildcard;
            for (name, version) in &request.initial_versions {
                state.held.insert(name.clone(), Held { version: version.clone(), resource: None });
                state.dirty.insert(name.clone());
            }
        }
        let had = |name: &String| first && request.initial_versions.iter().any(|(initial, _)| initial == name);
        for name in &request.subscribe {
            if name == WILDCARD {
                state.answer_due |= !state.wildcard;
                state.wildcard = true;
                continue;
            }
            state.names.insert(name.clone());
            if state.held.contains_key(name) && !had(name) {
                // Whoever asks again for what it was told is told again.
                state.forced.insert(name.clone());
            }
            state.dirty.insert(name.clone());
        }
        for name in &request.unsubscribe {
            if name == WILDCARD {
                state.wildcard = false;
            }
            state.names.remove(name);
            if !state.wants(name) {
                state.held.remove(name);
                state.dirty.remove(name);
                state.forced.remove(name);
                state.refused.remove(name);
            }
        }
        if state.answer_due {
            state.dirty.extend(view.names(kind));
        }
    }

    pub(super) fn tell_delta(&mut self, kind: ResourceKind, view: &impl View) -> Option<Response> {
        let state = self.kind(kind);
        let (mut resources, mut removed, mut settled, mut size) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for name in &state.dirty {
            let key = ResourceKey { kind, name: name.clone() };
            match view.get(&key).filter(|_| state.wants(name)) {
                Some(resource) if state.is_news(&resource) => {
                    if state.singly.contains(name) && !resources.is_empty() {
                        continue;
                    }
                    size += resource.body.len();
                    if size > LARGEST_RESPONSE && !resources.is_empty() {
                        break;
                    }
                    resources.push(resource);
                    if state.singly.contains(name) {
                        break;
                    }
                }
                Some(resource) => settled.push((key, Some(resource.version.clone()))),
                // Only of the kinds that stand by themselves is the end of one news: a proxy gives up the others when nothing refers to them.
                None if state.held.contains_key(name) && matches!(kind, ResourceKind::Cluster | ResourceKind::Listener) => {
                    removed.push(name.clone());
                }
                None => settled.push((key, None)),
            }
        }
        for (key, version) in settled {
            let state = self.kind_mut(kind);
            state.dirty.remove(&key.name);
            let has = version.is_some() && state.held.get(&key.name).map(|held| &held.version) == version.as_ref();
            if version.is_none() {
                state.held.remove(&key.name);
                self.feedback.push(Feedback::Acknowledged(key, None));
            } else if has {
                self.awaited.remove(&key);
                self.feedback.push(Feedback::Acknowledged(key, version));
            }
        }
        if resources.is_empty() && removed.is_empty() && !self.kind(kind).answer_due {
            return None;
        }
        Some(self.send(kind, resources, removed))
    }
}
