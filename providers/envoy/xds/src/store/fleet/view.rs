//! A fleet as one stream may see it.

use super::{Entry, Fleet, Listener, StreamId};
use crate::resource::Resource;
use crate::routes::{Hosts, whole};
use crate::stream::View;
use portico_envoy::observed::{ResourceKey, ResourceKind};
use portico_envoy::unit_of;
use portico_providers::UnitId;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A fleet as one stream may see it.
#[derive(Debug)]
pub struct FleetView<'a> {
    fleet: &'a Fleet,
    listener: Option<&'a Listener>,
    left_alone: Option<&'a BTreeSet<UnitId>>,
}

impl Fleet {
    pub fn view(&self, id: StreamId) -> FleetView<'_> {
        FleetView { fleet: self, listener: self.streams.get(&id), left_alone: None }
    }

    /// The virtual hosts of a route configuration.
    pub(super) fn hosts(&self, routes: &str) -> impl Iterator<Item = (&ResourceKey, &Entry)> {
        let prefix = format!("{routes}/");
        let first = ResourceKey { kind: ResourceKind::VirtualHost, name: prefix.clone() };
        self.resources.range(first..).take_while(move |(key, _)| key.kind == ResourceKind::VirtualHost && key.name.starts_with(&prefix))
    }
}

impl<'a> FleetView<'a> {
    /// The same, with the units of which nobody can say what they are to be.
    pub(in crate::store) fn leaving_alone(self, units: &'a BTreeSet<UnitId>) -> Self {
        Self { left_alone: Some(units), ..self }
    }

    fn may_see(&self, entry: &Entry) -> bool {
        self.listener.is_some_and(|listener| listener.hears_of(&entry.newest.unit))
    }

    /// What the proxy should have of a name.
    pub(super) fn of(&self, key: &ResourceKey) -> Option<Arc<Resource>> {
        let entry = self.fleet.resources.get(key).filter(|entry| self.may_see(entry))?;
        let within = self.listener.is_some_and(|listener| listener.hosts == Hosts::Within);
        match key.kind {
            ResourceKind::RouteConfiguration if within => {
                let compose = || Arc::new(whole(entry.effective(), self.fleet.hosts(&key.name).map(|(_, host)| host.effective())));
                Some(entry.whole.get_or_init(compose).clone())
            }
            ResourceKind::VirtualHost if within => None,
            _ => Some(entry.effective().clone()),
        }
    }
}

impl View for FleetView<'_> {
    fn get(&self, key: &ResourceKey) -> Option<Arc<Resource>> {
        self.of(key)
    }

    fn names(&self, kind: ResourceKind) -> Vec<String> {
        let first = ResourceKey { kind, name: String::new() };
        let of_kind = self.fleet.resources.range(first..).take_while(|(key, _)| key.kind == kind);
        of_kind.filter(|(_, entry)| self.may_see(entry)).map(|(key, _)| key.name.clone()).collect()
    }

    fn leaves_alone(&self, name: &str) -> bool {
        let units = self.left_alone.filter(|units| !units.is_empty());
        units.is_some_and(|units| unit_of(name).is_some_and(|unit| units.contains(&unit)))
    }

    fn hosts(&self, routes: &str) -> Vec<String> {
        self.fleet.hosts(routes).filter(|(_, entry)| self.may_see(entry)).map(|(key, _)| key.name.clone()).collect()
    }
}
