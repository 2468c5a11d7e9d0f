//! The form of the protocol that tells changes only.

use super::kind::Held;
use super::{Feedback, Request, Response, Stream, View};
use crate::resource::Resource;
use portico_envoy::observed::{ResourceKey, ResourceKind, Version};
use std::collections::BTreeSet;
use std::sync::Arc;

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
            let all = matches!(kind, ResourceKind::Cluster | ResourceKind::Listener | ResourceKind::VirtualHost);
            state.wildcard = all && request.subscribe.is_empty();
            // Of virtual hosts Envoy waits for its own, and not for an answer.
            state.answer_due = state.wildcard && kind != ResourceKind::VirtualHost;
            for (name, version) in &request.initial_versions {
                state.held.insert(name.clone(), Held { version: version.clone(), resource: None });
                state.dirty.insert(name.clone());
            }
        }
        let before: BTreeSet<&String> = request.initial_versions.iter().filter(|_| first).map(|(name, _)| name).collect();
        for name in &request.subscribe {
            if name == WILDCARD {
                state.answer_due |= !state.wildcard;
                state.wildcard = true;
                continue;
            }
            state.names.insert(name.clone());
            if state.held.contains_key(name) && !before.contains(name) {
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
        match kind {
            ResourceKind::VirtualHost if first => self.ask_for_hosts(view),
            ResourceKind::RouteConfiguration => request.unsubscribe.iter().for_each(|routes| self.look_at_hosts(routes)),
            _ => {}
        }
    }

    pub(super) fn tell_delta(&mut self, kind: ResourceKind, view: &impl View) -> Option<Response> {
        let state = self.kind(kind);
        let (mut news, mut removed, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        for name in &state.dirty {
            let key = ResourceKey { kind, name: name.clone() };
            match view.get(&key).filter(|_| state.wants(name)) {
                Some(resource) if state.is_news(&resource) => news.push(resource),
                Some(resource) => settled.push((key, Some(resource.version.clone()))),
                None if view.leaves_alone(name) => {}
                // Only of the kinds that stand by themselves is the end of one news: a proxy gives up the others when nothing refers to them.
                None if state.held.contains_key(name) && matches!(kind, ResourceKind::Cluster | ResourceKind::Listener) => {
                    removed.push(name.clone());
                }
                None => settled.push((key, None)),
            }
        }
        let resources = portion(state.together(news));
        self.settle(settled);
        if resources.is_empty() && removed.is_empty() && !self.kind(kind).answer_due {
            return None;
        }
        Some(self.send(kind, resources, removed, view))
    }

    /// What the proxy needs not be told.
    pub(super) fn settle(&mut self, settled: Vec<(ResourceKey, Option<Version>)>) {
        for (key, version) in settled {
            let state = self.kind_mut(key.kind);
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
    }
}

/// As many resources as a response takes.
fn portion(resources: Vec<Arc<Resource>>) -> Vec<Arc<Resource>> {
    let mut size = 0;
    let fits = |resource: &Arc<Resource>| {
        let first = size == 0;
        size += resource.body.len();
        first || size <= LARGEST_RESPONSE
    };
    resources.into_iter().take_while(fits).collect()
}
