//! The status writer: takes what passes have to say, and writes it where it is news.
//!
//! What several passes say about one object (a route with parents in two load balancers) is merged into one write, in the order in which it
//! was said. Everything of others stays as it is: see [`portico_translate::status::merge`].
//!
//! What was said last is remembered. Where somebody else takes it off an object it is said again, without a pass: at once the first time, then
//! with pauses that double, so that two controllers that claim one name do not write against each other for ever.

mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portico_crds::{Kind, NamespacedName};
use portico_providers::{Leadership, UnitId};
use portico_translate::renew;
use portico_translate::status::{self, Desired};
use serde_json::Value;
use tracing::{debug, info, warn};

use crate::clock::rfc3339;
use crate::cluster::{ClusterError, resource_version};
use crate::metrics::{Metrics, WriteLabels};
use crate::objects::{Objects, Write};
use crate::queue::{Backoff, Finish, Queue};
use memory::Memory;

/// An object with a status.
pub type Place = (Kind, NamespacedName);

/// Who says something about an object: a unit, or nobody in particular.
pub type Speaker = Option<UnitId>;

/// Writes statuses.
pub struct StatusWriter {
    objects: Arc<Objects>,
    leadership: Arc<dyn Leadership>,
    metrics: Arc<Metrics>,
    said: Mutex<BTreeMap<Place, Said>>,
    memory: Mutex<Memory>,
    queue: Queue<Place>,
}

/// What was said about an object, oldest first; one entry per speaker.
type Said = Vec<(Speaker, Arc<Desired>)>;

impl StatusWriter {
    /// A writer.
    pub fn new(objects: Arc<Objects>, leadership: Arc<dyn Leadership>, metrics: Arc<Metrics>) -> Self {
        let backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(60) };
        let queue = Queue::new(backoff, metrics.depth("statuses"));
        Self { objects, leadership, metrics, said: Mutex::default(), memory: Mutex::default(), queue }
    }

    /// The objects that wait.
    pub fn queue(&self) -> &Queue<Place> {
        &self.queue
    }

    /// Takes up all that a unit says, or one thing that nobody in particular does; what it said before about the same objects is void.
    pub fn say(&self, speaker: &Speaker, statuses: impl IntoIterator<Item = (Place, Desired)>) {
        let statuses: Vec<_> = statuses.into_iter().map(|(place, desired)| (place, Arc::new(desired))).collect();
        self.memory().remember(speaker, &statuses);
        for (place, desired) in statuses {
            // Most of what is said is no news: it costs a comparison and no turn in the queue.
            if self.is_standing(&place, speaker, &desired) {
                continue;
            }
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = said.entry(place.clone()).or_default();
            waiting.retain(|(who, _)| who != speaker);
            waiting.push((speaker.clone(), desired));
            drop(said);
            match place.0 {
                // It holds the address, without which nothing is served, and must not wait until thousands of routes are told that they are accepted.
                Kind::Gateway => self.queue.add_next(place),
                _ => self.queue.add(place),
            }
        }
    }

    /// Whether an object's status holds something already, and nothing else waits or is being written.
    fn is_standing(&self, place: &Place, speaker: &Speaker, desired: &Desired) -> bool {
        if self.said.lock().unwrap_or_else(PoisonError::into_inner).contains_key(place) {
            return false;
        }
        let Some(object) = self.objects.newest(place.0, &place.1) else { return false };
        self.memory().is_standing(place, speaker, desired, resource_version(&object))
    }

    /// Forgets what a unit said, which is no more. Returns the objects about which it did.
    pub fn forget(&self, unit: &UnitId) -> BTreeSet<Place> {
        let (speaker, mut memory) = (Some(unit.clone()), self.memory());
        let places = memory.places(&speaker);
        memory.remember(&speaker, &[]);
        places
    }

    /// Somebody wrote an object's status: sees to it that what we said is still there. Costs a comparison where it is.
    pub fn look(&self, place: &Place) {
        let (kind, key) = place;
        if !self.leadership.is_leader() || self.objects.is_our_write(*kind, key) {
            return;
        }
        let said = self.still_meant(place);
        let Some(object) = self.objects.newest(*kind, key).filter(|_| !said.is_empty()) else { return };
        if merged(&object, &said, jiff::Timestamp::now()).is_none() {
            return;
        }
        if let Some(pause) = self.memory().repair(place, Instant::now()) {
            info!(%kind, object = %key, ?pause, "somebody else changed what we said in the status; saying it again");
            self.queue.add_after(place.clone(), pause);
        }
    }

    /// What was said about an object, as far as it holds.
    fn still_meant(&self, place: &Place) -> Said {
        let said = self.memory().said(place);
        let world = self.objects.world().read();
        let renewed = said.into_iter().map(|(who, desired)| Some((who, Arc::new(renew(&world, place.0, &place.1, &desired)?))));
        renewed.flatten().collect()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was said about one object.
    pub async fn write(&self, place: &Place) -> Finish {
        self.memory().begin_write(place);
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).remove(place);
        let repair = self.memory().begin_repair(place);
        if !self.leadership.is_leader() || (said.is_none() && !repair) {
            return Finish::Done;
        }
        let mut said = said.unwrap_or_default();
        if repair {
            let again = self.still_meant(place).into_iter().filter(|(who, _)| said.iter().all(|(newer, _)| newer != who));
            said = again.collect::<Said>().into_iter().chain(said).collect();
        }
        let (kind, key) = place;
        let now = jiff::Timestamp::now();
        let written = self.objects.bring(*kind, key, |object| merged(object, &said, now).map(Write::Status)).await;
        if let Ok(Some(brought)) = &written {
            self.memory().stands(place, &said, resource_version(&brought.object));
        }
        let result = match &written {
            Ok(brought) if !brought.as_ref().is_some_and(|brought| brought.written) => return Finish::Done,
            Ok(_) => {
                debug!(%kind, object = %key, "status written");
                "written"
            }
            Err(ClusterError::Conflict) => "conflict",
            Err(error) => {
                warn!(%kind, object = %key, %error, "the status cannot be written; trying again");
                "failed"
            }
        };
        self.metrics.status_writes.get_or_create(&WriteLabels { kind: kind.name().to_owned(), result: result.to_owned() }).inc();
        if written.is_ok() {
            return Finish::Done;
        }
        self.put_back(place, said);
        Finish::Failed
    }

    /// Keeps what could not be written, unless its speaker has said something newer meanwhile.
    fn put_back(&self, place: &Place, mut said: Said) {
        let mut all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = all.remove(place).unwrap_or_default();
        said.retain(|(who, _)| newer.iter().all(|(newer, _)| newer != who));
        said.extend(newer);
        all.insert(place.clone(), said);
    }
}

/// The object's status after everything that was said, if that changes it.
fn merged(object: &Value, said: &Said, now: jiff::Timestamp) -> Option<Value> {
    let now = rfc3339(now);
    // What is said is no news, mostly: the object is copied only to say more about one that changes.
    let mut changed: Option<Value> = None;
    for (at, (_, desired)) in said.iter().enumerate() {
        let Some(status) = status::merge(changed.as_ref().unwrap_or(object), desired, &now) else { continue };
        if at + 1 == said.len() {
            return Some(status);
        }
        if let Some(map) = changed.get_or_insert_with(|| object.clone()).as_object_mut() {
            map.insert("status".to_owned(), status);
        }
    }
    changed.and_then(|mut changed| changed.get_mut("status").map(Value::take))
}

#[cfg(test)]
mod tests;
