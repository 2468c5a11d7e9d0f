//! The form of the protocol that tells the state of the world: all listeners and clusters each time; of what is asked for by name, whatever changed.

use super::{Feedback, Request, Response, Stream, View};
use portico_envoy::observed::{ResourceKey, ResourceKind};
use std::collections::BTreeSet;

impl Stream {
    pub(super) fn subscribe_world(&mut self, kind: ResourceKind, request: &Request, view: &impl View) {
        let whole = is_whole(kind);
        let state = self.kind_mut(kind);
        let first = !state.asked;
        state.asked = true;
        let wildcard = request.subscribe.iter().any(|name| name == "*") || (whole && first && request.subscribe.is_empty());
        let wildcard = wildcard || (state.wildcard && request.subscribe.is_empty());
        let names: BTreeSet<String> = request.subscribe.iter().filter(|name| *name != "*").cloned().collect();
        let new: Vec<String> = names.difference(&state.names).cloned().collect();
        state.answer_due |= whole && (first || wildcard != state.wildcard || !new.is_empty());
        (state.wildcard, state.names) = (wildcard, names);
        state.dirty.extend(new);
        let gone: Vec<String> = state.held.keys().filter(|name| !state.wants(name)).cloned().collect();
        for name in gone {
            state.held.remove(&name);
            state.dirty.remove(&name);
            state.forced.remove(&name);
        }
        if state.answer_due {
            state.dirty.extend(view.names(kind));
        }
    }

    pub(super) fn tell_world(&mut self, kind: ResourceKind, view: &impl View) -> Option<Response> {
        let state = self.kind(kind);
        let (mut news, mut gone, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        for name in &state.dirty {
            match view.get(&ResourceKey { kind, name: name.clone() }).filter(|_| state.wants(name)) {
                Some(resource) if state.is_news(&resource) => news.push(resource),
                Some(resource) => {
                    let held = state.held.get(name).is_some_and(|held| held.version == resource.version);
                    let has = held && state.refused.get(name) != Some(&resource.version);
                    settled.extend(has.then(|| Feedback::Acknowledged(resource.key.clone(), Some(resource.version.clone()))));
                }
                None if is_whole(kind) && state.held.contains_key(name) => gone.push(name.clone()),
                None => settled.push(Feedback::Acknowledged(ResourceKey { kind, name: name.clone() }, None)),
            }
        }
        self.feedback.extend(settled);
        let state = self.kind(kind);
        if news.is_empty() && gone.is_empty() && !state.answer_due {
            self.kind_mut(kind).dirty.clear();
            return None;
        }
        if is_whole(kind) {
            // What was refused stays as the proxy has it, and what it has goes along with what is new.
            let new: BTreeSet<&String> = news.iter().map(|resource| &resource.key.name).collect();
            let rest = state.held.iter().filter(|(name, _)| !new.contains(name) && !gone.contains(name));
            let rest: Vec<_> = rest.filter_map(|(_, held)| held.resource.clone()).collect();
            news.extend(rest);
            news.sort_by(|a, b| a.key.cmp(&b.key));
        }
        let state = self.kind_mut(kind);
        let all = news.len();
        news = if is_whole(kind) { news } else { state.together(news) };
        if news.len() == all {
            state.dirty.clear();
        }
        Some(self.send(kind, news, gone, view))
    }
}

/// Whether a response holds all that the proxy is to have of a kind, so that what is missing goes.
pub(super) fn is_whole(kind: ResourceKind) -> bool {
    matches!(kind, ResourceKind::Cluster | ResourceKind::Listener)
}
