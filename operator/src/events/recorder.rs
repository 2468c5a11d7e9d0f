//! Writes Events of `events.k8s.io/v1`: one for what is new, a count on it for what happens again, and none where an object has too much to say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use portico_crds::{CONTROLLER_NAME, Kind};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::cluster::{ClusterError, EventSink, key_of};
use crate::metrics::{EventLabels, Metrics};

/// Events that wait to be written; more than these are dropped.
const WAITING: usize = 1024;

/// How long the same news is counted on one Event (as the clients of Kubernetes do it).
const SAME: Duration = Duration::from_secs(600);

/// How often the count of an Event is written at most.
const COUNTED: Duration = Duration::from_secs(60);

/// Events that one object may have at once, and how often it gets one more.
const OBJECT: Bucket = Bucket { burst: 10.0, every: Duration::from_secs(60) };

/// Events that all objects together may have at once, and how often they get one more.
const ALL: Bucket = Bucket { burst: 200.0, every: Duration::from_millis(200) };

/// Longest note (Kubernetes: 1024 bytes).
const NOTE: usize = 1024;

/// Longest part of an Event's name that is the object's (Kubernetes: 253 characters for the whole name).
const NAME: usize = 230;

/// How long Events that wait may take to be written at the end.
const AT_END: Duration = Duration::from_secs(2);

/// Whether anyone has to do anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// No.
    Normal,
    /// Perhaps.
    Warning,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// What an Event says.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// The object, as [`regarding`] makes it.
    pub regarding: Value,
    /// Its type.
    pub severity: Severity,
    /// Why it is told, in CamelCase.
    pub reason: &'static str,
    /// What was being done.
    pub action: &'static str,
    /// For a person: what, why, and what to do about it.
    pub note: String,
}

/// The reference to an object.
pub fn regarding(kind: Kind, object: &Value) -> Value {
    let key = key_of(object);
    let mut reference = json!({"apiVersion": kind.api_version(), "kind": kind.name(), "name": key.name});
    let fields = [("namespace", "/metadata/namespace"), ("uid", "/metadata/uid"), ("resourceVersion", "/metadata/resourceVersion")];
    for (field, pointer) in fields {
        if let (Some(value), Some(map)) = (object.pointer(pointer), reference.as_object_mut()) {
            map.insert(field.to_owned(), value.clone());
        }
    }
    reference
}

/// Takes Events; never waits.
#[derive(Clone)]
pub struct Recorder {
    out: mpsc::Sender<Note>,
    metrics: Arc<Metrics>,
}

impl Recorder {
    /// A recorder, and the task that writes what it takes until `stop`.
    pub fn new(
        sink: Arc<dyn EventSink>,
        instance: String,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (out, notes) = mpsc::channel(WAITING);
        let writer = Writer { sink, instance, metrics: metrics.clone(), aggregator: Aggregator::default(), failing: false };
        (Self { out, metrics }, writer.run(notes, stop))
    }

    /// Takes an Event. It is dropped where too many wait.
    pub fn record(&self, note: Note) {
        if self.out.try_send(note).is_err() {
            self.metrics.events.get_or_create(&EventLabels { result: "dropped" }).inc();
        }
    }
}

struct Writer {
    sink: Arc<dyn EventSink>,
    instance: String,
    metrics: Arc<Metrics>,
    aggregator: Aggregator,
    failing: bool,
}

impl Writer {
    async fn run(mut self, mut notes: mpsc::Receiver<Note>, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                note = notes.recv() => match note {
                    Some(note) => self.write(note).await,
                    None => return,
                },
            }
        }
        let rest = async {
            while let Ok(note) = notes.try_recv() {
                self.write(note).await;
            }
        };
        let _ = tokio::time::timeout(AT_END, rest).await;
    }

    async fn write(&mut self, note: Note) {
        let now = Timestamp::now();
        let (result, written) = match self.aggregator.take(&note, Instant::now()) {
            Verdict::New => {
                let (name, event) = event(&note, now, &self.instance);
                let written = self.sink.create_event(event).await;
                if written.is_ok() {
                    self.aggregator.written(&note, name);
                }
                ("written", written)
            }
            Verdict::Again { name, count } => {
                let series = json!({"series": {"count": count, "lastObservedTime": micro(now)}});
                ("counted", self.sink.patch_event(&namespace(&note), &name, series).await)
            }
            Verdict::Later => ("counted", Ok(())),
            Verdict::TooMany => ("dropped", Ok(())),
        };
        let result = match &written {
            Ok(()) => result,
            // Nobody repeats it: an Event is a courtesy, the status says the same.
            Err(error) => {
                if self.failing {
                    debug!(%error, reason = note.reason, "an Event cannot be written");
                } else {
                    warn!(%error, reason = note.reason, "Events cannot be written; statuses say the same");
                }
                "failed"
            }
        };
        self.failing = matches!(&written, Err(error) if *error != ClusterError::Gone);
        self.metrics.events.get_or_create(&EventLabels { result }).inc();
    }
}

fn namespace(note: &Note) -> String {
    // Kubernetes: Events about objects without a namespace live in `default`.
    note.regarding.get("namespace").and_then(Value::as_str).filter(|it| !it.is_empty()).unwrap_or("default").to_owned()
}

fn micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// The Event with its name.
fn event(note: &Note, now: Timestamp, instance: &str) -> (String, Value) {
    let object = note.regarding.get("name").and_then(Value::as_str).unwrap_or_default();
    let name = format!("{}.{:x}", cut(object, NAME).trim_end_matches(['.', '-']), now.as_nanosecond());
    let event = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace(note)},
        "eventTime": micro(now),
        "reportingController": CONTROLLER_NAME,
        "reportingInstance": cut(instance, 128),
        "type": note.severity.as_str(),
        "reason": note.reason,
        "action": note.action,
        "note": shortened(&note.note),
        "regarding": note.regarding,
    });
    (name, event)
}

/// At most so many bytes, in whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn shortened(note: &str) -> String {
    if note.len() <= NOTE { note.to_owned() } else { format!("{}…", cut(note, NOTE - '…'.len_utf8())) }
}

/// What is to be done about news.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// Write an Event.
    New,
    /// It was told a short while ago: count it there.
    Again {
        /// The Event's name.
        name: String,
        /// How often it happened.
        count: u32,
    },
    /// It was told and counted a short while ago.
    Later,
    /// The object, or all together, said too much.
    TooMany,
}

/// A rate: a burst, and one more after each period.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    burst: f64,
    every: Duration,
}

/// How full a bucket is.
#[derive(Clone, Copy, Debug)]
struct Level {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn take(self, level: &mut Option<Level>, now: Instant) -> bool {
        let old = level.unwrap_or(Level { left: self.burst, at: now });
        let gained = now.saturating_duration_since(old.at).as_secs_f64() / self.every.as_secs_f64();
        let left = (old.left + gained).min(self.burst);
        let enough = left >= 1.0;
        *level = Some(Level { left: if enough { left - 1.0 } else { left }, at: now });
        enough
    }
}

#[derive(Debug)]
struct Told {
    name: String,
    count: u32,
    last: Instant,
    written: Instant,
}

/// Decides what is written. No clock of its own.
#[derive(Debug, Default)]
struct Aggregator {
    told: BTreeMap<String, Told>,
    objects: BTreeMap<String, Option<Level>>,
    all: Option<Level>,
}

fn object_of(note: &Note) -> String {
    let field = |name: &str| note.regarding.get(name).and_then(Value::as_str).unwrap_or_default();
    format!("{} {}/{} {}", field("kind"), field("namespace"), field("name"), field("uid"))
}

fn key(note: &Note) -> String {
    format!("{}\n{}\n{}\n{}", object_of(note), note.severity.as_str(), note.reason, note.note)
}

impl Aggregator {
    fn take(&mut self, note: &Note, now: Instant) -> Verdict {
        self.told.retain(|_, told| now.saturating_duration_since(told.last) < SAME);
        if let Some(told) = self.told.get_mut(&key(note)) {
            told.count = told.count.saturating_add(1);
            told.last = now;
            if told.name.is_empty() || now.saturating_duration_since(told.written) < COUNTED {
                return Verdict::Later;
            }
            told.written = now;
            return Verdict::Again { name: told.name.clone(), count: told.count };
        }
        // A level that is full again need not be remembered.
        let full = OBJECT.every.mul_f64(OBJECT.burst);
        self.objects.retain(|_, level| level.is_some_and(|level| now.saturating_duration_since(level.at) < full));
        if !OBJECT.take(self.objects.entry(object_of(note)).or_default(), now) || !ALL.take(&mut self.all, now) {
            return Verdict::TooMany;
        }
        self.told.insert(key(note), Told { name: String::new(), count: 1, last: now, written: now });
        Verdict::New
    }

    /// The Event was written under this name.
    fn written(&mut self, note: &Note, name: String) {
        if let Some(told) = self.told.get_mut(&key(note)) {
            told.name = name;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(object: &str, text: &str) -> Note {
        let gateway = json!({"metadata": {"name": object, "namespace": "a", "uid": "u", "resourceVersion": "7"}});
        Note { regarding: regarding(Kind::Gateway, &gateway), severity: Severity::Warning, reason: "R", action: "A", note: text.into() }
    }

    #[test]
    fn the_same_news_is_counted_and_each_object_has_its_share() {
        let (mut aggregator, start) = (Aggregator::default(), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(aggregator.take(&note("g", "x"), start), Verdict::New);
        aggregator.written(&note("g", "x"), "g.1".into());
        assert_eq!(aggregator.take(&note("g", "x"), start + second), Verdict::Later);
        assert_eq!(aggregator.take(&note("g", "x"), start + 61 * second), Verdict::Again { name: "g.1".into(), count: 3 });
        assert_eq!(aggregator.take(&note("g", "x"), start + 62 * second), Verdict::Later);
        // After ten quiet minutes it is news again.
        assert_eq!(aggregator.take(&note("g", "x"), start + 700 * second), Verdict::New);
        let later = start + 2000 * second;
        let verdicts: Vec<_> = (0..12).map(|number| aggregator.take(&note("g", &number.to_string()), later)).collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::New).count(), 10);
        assert_eq!(aggregator.take(&note("h", "x"), later), Verdict::New);
        assert_eq!(aggregator.take(&note("g", "y"), later + 61 * second), Verdict::New);
    }

    #[test]
    fn an_event_has_what_the_api_asks_for_within_its_limits() {
        let (name, event) = event(&note(&"g".repeat(253), &"ä".repeat(1000)), Timestamp::UNIX_EPOCH, "host");
        assert!(name.len() <= 253, "{name}");
        let text = event["note"].as_str().unwrap();
        assert!(text.len() <= 1024 && text.ends_with('…'));
        assert_eq!(event["eventTime"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(event["reportingController"], "portico.dev/gateway-controller");
        assert_eq!(event["metadata"]["namespace"], "a");
        assert_eq!(event["regarding"]["uid"], "u");
    }
}
