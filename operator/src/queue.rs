//! The work queue: keys wait until they are due, each is worked on by one worker at a time, and a key that comes again while it is being
//! worked on runs once more afterwards.
//!
//! [`Schedule`] decides, purely; [`Queue`] is the thing that tasks share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

/// Pause after a key's failures: doubles from `first` up to `longest`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Pause after the first failure.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(250), longest: Duration::from_secs(120) }
    }
}

impl Backoff {
    /// The pause after `failures` failures in a row, between half and the whole of the exponential step: `jitter` in 0–1 says where.
    pub fn pause(&self, failures: u32, jitter: f64) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.longest).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

/// How work on a key ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Done; its failures are forgotten.
    Done,
    /// Done, and worth another look after a pause.
    Again(Duration),
    /// Failed: comes back after its backoff.
    Failed,
}

/// When each key is worked on. No clock and no randomness of its own.
#[derive(Debug)]
pub struct Schedule<K> {
    backoff: Backoff,
    entries: BTreeMap<K, Entry>,
    waiting: BTreeSet<(Instant, u64, K)>,
    sequence: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    phase: Phase,
    failures: u32,
}

#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    #[default]
    Idle,
    Waiting {
        due: Instant,
        sequence: u64,
    },
    Running {
        again: Option<Instant>,
    },
}

impl<K: Clone + Ord> Schedule<K> {
    /// An empty schedule.
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, entries: BTreeMap::new(), waiting: BTreeSet::new(), sequence: 0 }
    }

    /// Wants the key worked on at `due`, or earlier if it is already wanted earlier. A key that is being worked on runs again afterwards.
    pub fn add(&mut self, key: K, due: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        match &mut entry.phase {
            Phase::Running { again } => *again = Some(again.map_or(due, |earlier| earlier.min(due))),
            Phase::Waiting { due: earlier, .. } if *earlier <= due => {}
            phase => {
                if let Phase::Waiting { due, sequence } = *phase {
                    self.waiting.remove(&(due, sequence, key.clone()));
                }
                self.sequence += 1;
                *phase = Phase::Waiting { due, sequence: self.sequence };
                self.waiting.insert((due, self.sequence, key));
            }
        }
    }

    /// The key that has been due longest, which is now being worked on.
    pub fn take(&mut self, now: Instant) -> Option<K> {
        if self.next_due()? > now {
            return None;
        }
        let (_, _, key) = self.waiting.pop_first()?;
        self.entries.entry(key.clone()).or_default().phase = Phase::Running { again: None };
        Some(key)
    }

    /// A key that waits, due or not, which is now being worked on; false if it does not wait.
    pub fn take_key(&mut self, key: &K) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let Phase::Waiting { due, sequence } = entry.phase else { return false };
        entry.phase = Phase::Running { again: None };
        self.waiting.remove(&(due, sequence, key.clone()))
    }

    /// When the next key is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, ..)| *due)
    }

    /// Ends work on a key. Returns the pause until it runs again, if it does.
    pub fn finish(&mut self, key: &K, finish: Finish, now: Instant, jitter: f64) -> Option<Duration> {
        let entry = self.entries.get_mut(key)?;
        let Phase::Running { again } = entry.phase else { return None };
        entry.phase = Phase::Idle;
        let pause = match finish {
            Finish::Done => None,
            Finish::Again(pause) => Some(pause),
            Finish::Failed => Some(self.backoff.pause(entry.failures.saturating_add(1), jitter)),
        };
        entry.failures = if finish == Finish::Failed { entry.failures.saturating_add(1) } else { 0 };
        let due = match (again, pause.map(|pause| now + pause)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        match due {
            Some(due) => self.add(key.clone(), due),
            None => {
                self.entries.remove(key);
            }
        }
        due.map(|due| due.saturating_duration_since(now))
    }

    /// Keys that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no key waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether no key waits that is due by `now`, and none is being worked on.
    pub fn is_settled(&self, now: Instant) -> bool {
        self.next_due().is_none_or(|due| due > now) && !self.entries.values().any(|entry| matches!(entry.phase, Phase::Running { .. }))
    }
}

/// A [`Schedule`] that tasks share, and a gauge that says how many keys wait in it.
#[derive(Debug)]
pub struct Queue<K> {
    schedule: Mutex<Schedule<K>>,
    changed: Notify,
    depth: Gauge,
}

impl<K: Clone + Ord> Queue<K> {
    /// An empty queue, whose depth the gauge follows.
    pub fn new(backoff: Backoff, depth: Gauge) -> Self {
        Self { schedule: Mutex::new(Schedule::new(backoff)), changed: Notify::new(), depth }
    }

    fn measure(&self, schedule: &Schedule<K>) {
        self.depth.set(i64::try_from(schedule.len()).unwrap_or(i64::MAX));
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule<K>> {
        // A panic while the lock is held leaves the schedule as good as it was: every method finishes its bookkeeping or does nothing.
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wants the key worked on now.
    pub fn add(&self, key: K) {
        self.add_after(key, Duration::ZERO);
    }

    /// Wants the key worked on next, whatever else is due; what was added so before comes before it.
    pub fn add_next(&self, key: K) {
        let mut schedule = self.schedule();
        let now = Instant::now();
        let due = schedule.next_due().map_or(now, |first| first.min(now));
        schedule.add(key, due);
        self.measure(&schedule);
        drop(schedule);
        self.changed.notify_one();
    }

    /// Wants the key worked on after a pause.
    pub fn add_after(&self, key: K, pause: Duration) {
        let mut schedule = self.schedule();
        schedule.add(key, Instant::now() + pause);
        self.measure(&schedule);
        drop(schedule);
        self.changed.notify_one();
    }

    /// Waits for the next key that is due. One task at a time may call this.
    pub async fn next(&self) -> K {
        loop {
            let changed = self.changed.notified();
            let due = {
                let mut schedule = self.schedule();
                if let Some(key) = schedule.take(Instant::now()) {
                    self.measure(&schedule);
                    return key;
                }
                schedule.next_due()
            };
            match due {
                Some(due) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(due.into()) => {}
                },
                None => changed.await,
            }
        }
    }

    /// Takes a key out of its turn, if it waits; whoever does so works on it and calls [`Queue::finish`].
    pub fn take(&self, key: &K) -> bool {
        let mut schedule = self.schedule();
        let taken = schedule.take_key(key);
        self.measure(&schedule);
        taken
    }

    /// Ends work on a key that [`Queue::next`] or [`Queue::take`] gave. Returns the pause until it runs again, if it does.
    pub fn finish(&self, key: &K, finish: Finish) -> Option<Duration> {
        let mut schedule = self.schedule();
        let pause = schedule.finish(key, finish, Instant::now(), rand::random());
        self.measure(&schedule);
        drop(schedule);
        self.changed.notify_one();
        pause
    }

    /// Whether nothing is due and nothing is being worked on.
    pub fn is_settled(&self) -> bool {
        self.is_settled_for(Duration::ZERO)
    }

    /// Whether nothing is being worked on, and nothing will be due within a time.
    pub fn is_settled_for(&self, time: Duration) -> bool {
        self.schedule().is_settled(Instant::now() + time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_secs(1);

    fn schedule() -> (Schedule<&'static str>, Instant) {
        (Schedule::new(Backoff { first: STEP, longest: 8 * STEP }), Instant::now())
    }

    #[test]
    fn a_key_waits_once_and_at_its_earliest_time() {
        let (mut s, t) = schedule();
        s.add("a", t + 2 * STEP);
        s.add("a", t + STEP);
        s.add("a", t + 3 * STEP);
        assert_eq!((s.len(), s.next_due()), (1, Some(t + STEP)));
        assert_eq!(s.take(t), None);
        assert_eq!(s.take(t + STEP), Some("a"));
        assert_eq!(s.take(t + 9 * STEP), None);
    }

    #[test]
    fn keys_due_at_one_time_come_in_the_order_they_were_added() {
        let (mut s, t) = schedule();
        for key in ["c", "a", "b"] {
            s.add(key, t);
        }
        assert_eq!([s.take(t), s.take(t), s.take(t)], [Some("c"), Some("a"), Some("b")]);
    }

    #[test]
    fn a_key_that_comes_while_it_runs_runs_once_more_and_never_twice_at_once() {
        let (mut s, t) = schedule();
        s.add("a", t);
        assert_eq!(s.take(t), Some("a"));
        s.add("a", t);
        s.add("a", t);
        assert_eq!(s.take(t), None);
        assert_eq!(s.finish(&"a", Finish::Done, t, 0.0), Some(Duration::ZERO));
        assert_eq!(s.take(t), Some("a"));
        assert_eq!(s.finish(&"a", Finish::Done, t, 0.0), None);
        assert!(s.is_empty() && s.is_settled(t));
    }

    #[test]
    fn failures_back_off_per_key_until_success() {
        let (mut s, t) = schedule();
        s.add("a", t);
        let mut pauses = Vec::new();
        for _ in 0..5 {
            let now = s.next_due().unwrap();
            assert_eq!(s.take(now), Some("a"));
            pauses.push(s.finish(&"a", Finish::Failed, now, 1.0).unwrap());
        }
        assert_eq!(pauses, [STEP, 2 * STEP, 4 * STEP, 8 * STEP, 8 * STEP]);
        let now = s.next_due().unwrap();
        s.take(now);
        s.finish(&"a", Finish::Done, now, 1.0);
        s.add("a", now);
        s.take(now);
        assert_eq!(s.finish(&"a", Finish::Failed, now, 0.0), Some(STEP / 2));
    }

    #[test]
    fn a_key_can_be_taken_out_of_its_turn_if_nobody_works_on_it() {
        let (mut s, t) = schedule();
        assert!(!s.take_key(&"a"));
        s.add("a", t + STEP);
        s.add("b", t);
        assert!(s.take_key(&"a") && !s.take_key(&"a"));
        assert_eq!([s.take(t), s.take(t + STEP)], [Some("b"), None]);
        s.add("a", t);
        assert_eq!(s.finish(&"a", Finish::Done, t, 0.0), Some(Duration::ZERO));
        assert_eq!(s.take(t), Some("a"));
    }

    #[test]
    fn an_event_ends_a_backoff() {
        let (mut s, t) = schedule();
        s.add("a", t);
        s.take(t);
        s.finish(&"a", Finish::Failed, t, 1.0);
        s.add("a", t);
        assert_eq!(s.take(t), Some("a"));
    }

    #[test]
    fn the_largest_number_of_failures_is_harmless() {
        let backoff = Backoff::default();
        assert_eq!(backoff.pause(u32::MAX, 1.0), backoff.longest);
        assert_eq!(backoff.pause(0, 1.0), backoff.first);
    }

    #[tokio::test]
    async fn a_shared_queue_hands_out_next_what_is_wanted_next() {
        let queue = Queue::new(Backoff::default(), Gauge::default());
        for key in ["first", "b", "d"] {
            queue.add(key);
        }
        queue.add_after("late", STEP);
        for key in ["d", "a", "late"] {
            queue.add_next(key);
        }
        let mut order = Vec::new();
        while !queue.is_settled() && order.len() < 5 {
            let key = queue.next().await;
            queue.finish(&key, Finish::Done);
            order.push(key);
        }
        assert_eq!(order, ["first", "d", "a", "late", "b"]);
    }

    #[tokio::test]
    async fn a_shared_queue_hands_out_delayed_keys() {
        let depth = Gauge::default();
        let queue = Queue::new(Backoff::default(), depth.clone());
        queue.add_after("late", Duration::from_millis(20));
        queue.add("now");
        assert_eq!(depth.get(), 2);
        assert_eq!(queue.next().await, "now");
        assert_eq!(queue.next().await, "late");
        queue.finish(&"now", Finish::Done);
        queue.finish(&"late", Finish::Done);
        assert!(queue.is_settled());
        assert_eq!(depth.get(), 0);
    }
}
