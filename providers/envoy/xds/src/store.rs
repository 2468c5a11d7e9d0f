//! The store: what fleets are told, by unit, and how far their proxies are with it.

mod endpoints;
mod fleet;
mod progress;
#[cfg(test)]
mod tests;

use crate::resource::Resource;
use crate::routes::Hosts;
use crate::stream::Feedback;
pub use endpoints::EndpointChange;
use endpoints::Endpoints;
use fleet::Fleet;
use portico_crds::v1alpha1::envoy::Identification;
use portico_envoy::observed::{Observed, ResourceKey, Version};
use portico_providers::{TargetSetId, UnitId};
pub use progress::{Progress, StreamId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

pub use fleet::FleetView;

/// Resources of a unit that are to be told, and those that are not any more.
#[derive(Debug, Default)]
pub struct Publication {
    /// What is new, or has new content; with the version that the stack gives it.
    pub upserts: Vec<(Version, Arc<Resource>)>,
    /// What goes.
    pub withdrawals: Vec<ResourceKey>,
    /// How proxies of the fleet prove who they are.
    pub identification: Identification,
    /// Whether that is another way than before.
    pub identify: bool,
}

/// Everything that this process tells.
#[derive(Debug, Default)]
pub struct Store {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    fleets: BTreeMap<String, Fleet>,
    endpoints: BTreeMap<TargetSetId, Endpoints>,
    streams: u64,
    /// Units of which nobody can say what they are to be.
    left_alone: BTreeSet<UnitId>,
    /// Units whose progress changed, since it was asked for last.
    news: BTreeSet<UnitId>,
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nobody panics while holding it; what a panic elsewhere left is still whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a fleet of a unit's changes, all at once. Costs what changed, for each stream.
    pub fn publish(&self, fleet: &str, unit: &UnitId, publication: Publication) {
        let mut inner = self.lock();
        let Inner { fleets, endpoints, news, .. } = &mut *inner;
        let fleet = fleets.entry(fleet.to_owned()).or_default();
        if publication.identify || !publication.upserts.is_empty() || !fleet.has_units() {
            fleet.identify_by(publication.identification);
        }
        let clusters: Vec<String> = publication
            .upserts
            .iter()
            .filter(|(_, resource)| resource.key.kind == portico_envoy::observed::ResourceKind::Cluster)
            .map(|(_, resource)| resource.key.name.clone())
            .collect();
        fleet.publish(unit, publication);
        for name in clusters {
            if let Some(known) = endpoints.get_mut(&TargetSetId(name)) {
                known.used = true;
                fleet.set_endpoints(unit, known.resource(unit));
            }
        }
        fleet.settle(unit);
        news.extend(fleet.take_news());
    }

    /// Says whether proxies keep what they have of a unit that is not published: nobody can say what it is to be.
    pub fn leave_alone(&self, unit: &UnitId, alone: bool) {
        let mut inner = self.lock();
        if alone {
            inner.left_alone.insert(unit.clone());
        } else if inner.left_alone.remove(unit) {
            inner.fleets.values().for_each(Fleet::wake);
        }
    }

    /// What is published for a unit on a fleet.
    pub fn observed(&self, fleet: &str, unit: &UnitId) -> Observed {
        self.lock().fleets.get(fleet).map(|fleet| fleet.observed(unit)).unwrap_or_default()
    }

    /// The fleets on which a unit has something published.
    pub fn fleets_of(&self, unit: &UnitId) -> Vec<String> {
        self.lock().fleets.iter().filter(|(_, fleet)| fleet.has(unit)).map(|(name, _)| name.clone()).collect()
    }

    /// All units that have something published.
    pub fn units(&self) -> BTreeSet<UnitId> {
        self.lock().fleets.values().flat_map(Fleet::units).cloned().collect()
    }

    /// Where the proxies are with what is published for a unit.
    pub fn progress(&self, fleet: &str, unit: &UnitId) -> Progress {
        self.lock().fleets.get(fleet).map(|fleet| fleet.progress(unit)).unwrap_or_default()
    }

    /// Where the proxies are with all units.
    pub fn all_progress(&self) -> Vec<(String, UnitId, Progress)> {
        let inner = self.lock();
        let each =
            inner.fleets.iter().flat_map(|(name, fleet)| fleet.units().map(move |unit| (name.clone(), unit.clone(), fleet.progress(unit))));
        each.collect()
    }

    /// Units whose progress changed since the last call.
    pub fn take_news(&self) -> BTreeSet<UnitId> {
        std::mem::take(&mut self.lock().news)
    }

    /// Sets the endpoints of a cluster, published or not.
    pub fn set_endpoints(&self, set: &TargetSetId, addresses: BTreeSet<(IpAddr, u16)>) -> EndpointChange {
        let mut inner = self.lock();
        let Inner { fleets, endpoints, news, .. } = &mut *inner;
        let change = endpoints.entry(set.clone()).or_default().set(&set.0, addresses);
        if change.is_some() {
            for fleet in fleets.values_mut() {
                if let (Some(unit), Some(known)) = (fleet.unit_of_cluster(&set.0), endpoints.get_mut(set)) {
                    known.used = true;
                    fleet.set_endpoints(&unit, known.resource(&unit));
                    fleet.tell(&unit);
                    news.extend(fleet.take_news());
                }
            }
        }
        change.unwrap_or_else(|| EndpointChange {
            held: endpoints.get(set).map(Endpoints::len).unwrap_or_default(),
            ..EndpointChange::default()
        })
    }

    /// The endpoints of a cluster, if they are known.
    pub fn endpoints(&self, set: &TargetSetId) -> Option<BTreeSet<(IpAddr, u16)>> {
        self.lock().endpoints.get(set).map(Endpoints::addresses)
    }

    /// Forgets the endpoints of clusters that nobody has any more.
    pub fn forget_endpoints(&self) {
        let mut inner = self.lock();
        let Inner { fleets, endpoints, .. } = &mut *inner;
        endpoints.retain(|set, known| !known.used || fleets.values().any(|fleet| fleet.unit_of_cluster(&set.0).is_some()));
    }

    /// How proxies of a fleet prove who they are; nothing where there is no such fleet.
    pub fn identification(&self, fleet: &str) -> Option<Identification> {
        self.lock().fleets.get(fleet).filter(|fleet| fleet.has_units()).map(|fleet| fleet.identification)
    }

    /// A stream begins. It hears of changes by the notification that comes back.
    pub fn connect(&self, fleet: &str, unit: Option<UnitId>, hosts: Hosts) -> (StreamId, Arc<Notify>) {
        let mut inner = self.lock();
        inner.streams += 1;
        let id = StreamId(inner.streams);
        let Inner { fleets, news, .. } = &mut *inner;
        let fleet = fleets.entry(fleet.to_owned()).or_default();
        let notify = fleet.connect(id, unit, hosts);
        news.extend(fleet.take_news());
        (id, notify)
    }

    /// A proxy could not prove that it is one of a fleet.
    pub fn turn_away(&self, fleet: &str, reason: &str) {
        let mut inner = self.lock();
        let Inner { fleets, news, .. } = &mut *inner;
        if let Some(fleet) = fleets.get_mut(fleet) {
            fleet.turn_away(reason);
            news.extend(fleet.take_news());
        }
    }

    /// A stream has ended.
    pub fn disconnect(&self, fleet: &str, id: StreamId) {
        let mut inner = self.lock();
        let Inner { fleets, news, .. } = &mut *inner;
        if let Some(fleet) = fleets.get_mut(fleet) {
            fleet.disconnect(id);
            news.extend(fleet.take_news());
        }
    }

    /// Lets a stream look at its fleet, with the names of what changed since it did so last; what it learns from its proxy is booked.
    pub fn attend<T>(
        &self,
        fleet: &str,
        id: StreamId,
        look: impl FnOnce(&FleetView<'_>, &[ResourceKey]) -> (T, Vec<Feedback>),
    ) -> Option<T> {
        let mut inner = self.lock();
        let Inner { fleets, news, left_alone, .. } = &mut *inner;
        let fleet = fleets.get_mut(fleet)?;
        let changed = fleet.changed(id);
        let (result, feedback) = look(&fleet.view(id).leaving_alone(left_alone), &changed);
        fleet.learn(id, feedback);
        news.extend(fleet.take_news());
        Some(result)
    }
}
