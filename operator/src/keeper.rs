//! The one task that writes the world: it takes what watches (or files) say, makes events of it and passes on whom they concern.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use portico_crds::{Kind, NamespacedName};
use portico_providers::{RouteId, RouteKind};
use portico_translate::{Event, Impact, World};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::clock::rfc3339;
use crate::cluster::key_of;
use crate::watch::{Seen, Sighting};

/// The world, for all to read and for one task to write.
#[derive(Clone, Debug, Default)]
pub struct SharedWorld(Arc<RwLock<World>>);

impl SharedWorld {
    /// The world as it is now. Hold it briefly: events wait meanwhile.
    pub fn read(&self) -> RwLockReadGuard<'_, World> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, events: impl IntoIterator<Item = Event>) -> Impact {
        let mut world = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut impact = Impact::default();
        for event in events {
            impact.merge(world.apply(event));
        }
        impact
    }
}

/// What is known of one kind's objects between lists.
#[derive(Debug, Default)]
struct Store {
    known: BTreeSet<NamespacedName>,
    listing: Option<BTreeSet<NamespacedName>>,
    synced: bool,
}

impl Store {
    /// The events that a sighting means. What a whole list does not hold is gone; a list that is not whole proves nothing.
    fn take(&mut self, kind: Kind, seen: Seen) -> Vec<Event> {
        match seen {
            Seen::ListBegins => {
                self.listing = Some(BTreeSet::new());
                Vec::new()
            }
            Seen::Listed(mut object) | Seen::Applied(mut object) => {
                // Files and clusters in memory come this way too.
                if kind == Kind::Secret {
                    portico_translate::strip_private_key(&mut object);
                }
                let key = key_of(&object);
                if let Some(listing) = &mut self.listing {
                    listing.insert(key.clone());
                }
                self.known.insert(key);
                vec![Event::Upsert { kind, object: Arc::new(object) }]
            }
            Seen::Deleted(object) => {
                let key = key_of(&object);
                self.known.remove(&key);
                if let Some(listing) = &mut self.listing {
                    listing.remove(&key);
                }
                vec![Event::Delete { kind, key }]
            }
            Seen::ListEnds => {
                self.synced = true;
                let Some(listed) = self.listing.take() else { return Vec::new() };
                let gone: Vec<_> = self.known.difference(&listed).cloned().collect();
                self.known = listed;
                gone.into_iter().map(|key| Event::Delete { kind, key }).collect()
            }
        }
    }
}

/// The keeper of the world.
pub struct Keeper {
    world: SharedWorld,
    stores: BTreeMap<Kind, Store>,
    awaited: BTreeSet<Kind>,
    synced: watch::Sender<bool>,
}

/// How often the world is told the time where nothing else happens.
const CLOCK: Duration = Duration::from_secs(60);

/// How many sightings are taken in under one lock.
const BATCH: usize = 512;

impl Keeper {
    /// A keeper that is synced when the lists of all awaited kinds were whole once.
    pub fn new(world: SharedWorld, awaited: BTreeSet<Kind>) -> Self {
        let synced = watch::Sender::new(awaited.is_empty());
        Self { world, stores: BTreeMap::new(), awaited, synced }
    }

    /// Whether all awaited lists were whole once.
    pub fn synced(&self) -> watch::Receiver<bool> {
        self.synced.subscribe()
    }

    /// Keeps the world until `stop` or the last sender is gone. `concern` hears whom events concern, but nothing before all stores are synced:
    /// a store that is not synced looks like one whose objects were all deleted.
    pub async fn run(mut self, mut sightings: mpsc::Receiver<Sighting>, stop: CancellationToken, concern: impl Fn(Impact) + Send) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut clock = tokio::time::interval(CLOCK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                received = sightings.recv_many(&mut batch, BATCH) => if received == 0 {
                    return;
                },
                // Certificates expire while nothing else happens.
                _ = clock.tick() => {}
            }
            let impact = self.take(batch.drain(..));
            if *self.synced.borrow() {
                if !impact.is_empty() {
                    debug!(units = impact.units.len(), classes = impact.classes.len(), services = impact.services.len(), "events");
                    concern(impact);
                }
            } else if self.awaited.iter().all(|kind| self.stores.get(kind).is_some_and(|store| store.synced)) {
                self.synced.send_replace(true);
                // Whoever hears of it may take the world's lock himself.
                let impact = everything(&self.world.read(), &self.stores);
                concern(impact);
            }
        }
    }

    /// Takes sightings in without a task: for commands that read files and end.
    pub fn take(&mut self, sightings: impl IntoIterator<Item = Sighting>) -> Impact {
        let now = Event::Now(rfc3339(jiff::Timestamp::now()));
        let events =
            sightings.into_iter().flat_map(|sighting| self.stores.entry(sighting.kind).or_default().take(sighting.kind, sighting.seen));
        let events: Vec<Event> = std::iter::once(now).chain(events).collect();
        self.world.apply(events)
    }
}

/// Everything there is: after a start all of it is looked at once.
fn everything(world: &World, stores: &BTreeMap<Kind, Store>) -> Impact {
    let mut impact = all(world);
    for kind in Kind::ROUTES {
        let Some(route) = route_kind(kind) else { continue };
        let keys = stores.get(&kind).into_iter().flat_map(|store| &store.known);
        impact.routes.extend(keys.map(|key| RouteId { kind: route, key: key.clone() }));
    }
    impact.policies = stores.get(&Kind::BackendTlsPolicy).map(|store| store.known.clone()).unwrap_or_default();
    impact
}

/// The kind of a route in plans.
pub fn route_kind(kind: Kind) -> Option<RouteKind> {
    [RouteKind::Http, RouteKind::Grpc, RouteKind::Tls, RouteKind::Tcp, RouteKind::Udp]
        .into_iter()
        .find(|route| route.as_str() == kind.name())
}

/// All units and classes of a world.
pub fn all(world: &World) -> Impact {
    Impact { units: world.units().collect(), classes: world.classes().map(str::to_owned).collect(), ..Impact::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn service(name: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "a"}})
    }

    fn deleted(events: Vec<Event>) -> Vec<String> {
        let name = |event| if let Event::Delete { key, .. } = event { Some(key.name) } else { None };
        events.into_iter().filter_map(name).collect()
    }

    #[test]
    fn only_a_whole_list_proves_that_something_is_gone() {
        let mut store = Store::default();
        let mut take = |seen| deleted(store.take(Kind::Service, seen));
        take(Seen::ListBegins);
        take(Seen::Listed(service("one")));
        take(Seen::Listed(service("two")));
        assert!(take(Seen::ListEnds).is_empty());
        // A list that breaks off and begins again.
        take(Seen::ListBegins);
        take(Seen::ListBegins);
        take(Seen::Listed(service("two")));
        take(Seen::Applied(service("three")));
        assert_eq!(take(Seen::ListEnds), ["one"]);
        assert_eq!(take(Seen::Deleted(service("three"))), ["three"]);
    }
}
