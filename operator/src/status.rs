//! The status writer: takes what passes have to say, and writes it where it is news.
//!
//! What several passes say about one object (a route with parents in two load balancers) is merged into one write, in the order in which it
//! was said. Everything of others stays as it is: see [`portico_translate::status::merge`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portico_crds::{Kind, NamespacedName};
use portico_providers::{Leadership, UnitId};
use portico_translate::status::{self, Desired};
use serde_json::Value;
use tracing::{debug, warn};

use crate::cluster::ClusterError;
use crate::metrics::{Metrics, WriteLabels};
use crate::objects::{Objects, Write};
use crate::queue::{Backoff, Finish, Queue};

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
    queue: Queue<Place>,
}

/// What was said about an object and is not written yet, oldest first; one entry per speaker.
type Said = Vec<(Speaker, Desired)>;

impl StatusWriter {
    /// A writer.
    pub fn new(objects: Arc<Objects>, leadership: Arc<dyn Leadership>, metrics: Arc<Metrics>) -> Self {
        let backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(60) };
        Self { objects, leadership, metrics, said: Mutex::default(), queue: Queue::new(backoff) }
    }

    /// The objects that wait.
    pub fn queue(&self) -> &Queue<Place> {
        &self.queue
    }

    /// Takes up what a speaker says; what it said before about the same objects is void.
    pub fn say(&self, speaker: &Speaker, statuses: impl IntoIterator<Item = (Place, Desired)>) {
        for (place, desired) in statuses {
            // Most of what is said is no news: it costs a comparison and no turn in the queue.
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = said.entry(place.clone()).or_default();
            waiting.retain(|(who, _)| who != speaker);
            waiting.push((speaker.clone(), desired));
            drop(said);
            self.queue.add(place);
        }
    }

    /// Writes what was said about one object.
    pub async fn write(&self, place: &Place) -> Finish {
        let Some(said) = self.said.lock().unwrap_or_else(PoisonError::into_inner).remove(place) else { return Finish::Done };
        if !self.leadership.is_leader() {
            return Finish::Done;
        }
        let (kind, key) = place;
        let now = jiff::Timestamp::now();
        let written = self.objects.write(*kind, key, |object| merged(object, &said, now).map(Write::Status)).await;
        let result = match &written {
            Ok(false) => return Finish::Done,
            Ok(true) => {
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
    let mut object = object.clone();
    let mut changed = false;
    for (_, desired) in said {
        if let Some(status) = status::merge(&object, desired, &rfc3339(now)) {
            if let Some(map) = object.as_object_mut() {
                map.insert("status".to_owned(), status);
            }
            changed = true;
        }
    }
    if changed { object.get("status").cloned() } else { None }
}

/// As Kubernetes writes times: UTC, in whole seconds.
fn rfc3339(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
