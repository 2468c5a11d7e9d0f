//! Leader election by a Lease: every replica watches and is ready to take over, one changes clouds and statuses.
//!
//! [`Election`] decides, purely, by the local clock: how long a holder may keep the lease counts from the moment when this replica *saw* it
//! change, so that clocks of different machines are never compared. [`Holder`] is what the rest of the program asks; it says no as soon as
//! the renewal deadline has passed, whether or not anyone has noticed yet.

mod elector;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use portico_providers::Leadership;

pub use elector::{Elector, LeaseError};

/// Times of the election.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTimes {
    /// How long others wait for a silent holder before they take over; stands in the Lease.
    pub duration: Duration,
    /// How long the holder may go without a successful renewal before it stops by itself. Less than `duration`.
    pub deadline: Duration,
    /// Pause between renewals.
    pub renew: Duration,
    /// Pause between looks of those who wait.
    pub retry: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            renew: Duration::from_secs(4),
            retry: Duration::from_secs(2),
        }
    }
}

/// What the election needs of a Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `spec.holderIdentity`; empty if nobody holds it.
    pub holder: String,
    /// `spec.leaseDurationSeconds`.
    pub duration: Duration,
    /// Changes whenever the holder renews: `metadata.resourceVersion`.
    pub version: String,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody made the Lease yet: create it.
    Create,
    /// It is free, or its holder has been silent too long: take it.
    Acquire,
    /// It is ours: renew it.
    Renew,
    /// Another holds it; it can expire in this time at the earliest.
    Wait(Duration),
}

/// The election as one replica sees it.
#[derive(Debug)]
pub struct Election {
    identity: String,
    seen: Option<(Record, Instant)>,
}

impl Election {
    /// An election for a replica of this identity.
    pub fn new(identity: impl Into<String>) -> Self {
        Self { identity: identity.into(), seen: None }
    }

    /// What to do about the Lease as it is now.
    pub fn evaluate(&mut self, lease: Option<&Record>, now: Instant) -> Verdict {
        let Some(record) = lease else {
            self.seen = None;
            return Verdict::Create;
        };
        let since = match &self.seen {
            Some((seen, since)) if seen == record => *since,
            _ => {
                self.seen = Some((record.clone(), now));
                now
            }
        };
        if record.holder == self.identity {
            return Verdict::Renew;
        }
        if record.holder.is_empty() {
            return Verdict::Acquire;
        }
        match record.duration.checked_sub(now.saturating_duration_since(since)) {
            Some(rest) if !rest.is_zero() => Verdict::Wait(rest),
            _ => Verdict::Acquire,
        }
    }
}

/// Whether this process holds the lease; the fence before every mutation.
#[derive(Debug, Default)]
pub struct Holder {
    until: Mutex<Option<Until>>,
}

#[derive(Clone, Copy, Debug)]
enum Until {
    Time(Instant),
    Always,
}

impl Holder {
    /// A process that needs no lease: one that is alone by construction (the demo), or was told so.
    pub fn unrivalled() -> Self {
        Self { until: Mutex::new(Some(Until::Always)) }
    }

    /// The lease was renewed; it may be relied on until `until`.
    pub fn extend(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Until::Time(until));
    }

    /// The lease is gone.
    pub fn drop_lease(&self) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the lease is held at this time.
    pub fn holds_at(&self, now: Instant) -> bool {
        match *self.until.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Until::Always) => true,
            Some(Until::Time(until)) => now < until,
            None => false,
        }
    }
}

impl Leadership for Holder {
    fn is_leader(&self) -> bool {
        self.holds_at(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn record(holder: &str, version: &str) -> Record {
        Record { holder: holder.into(), duration: 15 * SECOND, version: version.into() }
    }

    #[test]
    fn a_lease_is_created_taken_when_free_and_renewed_when_ours() {
        let (mut election, t) = (Election::new("me"), Instant::now());
        assert_eq!(election.evaluate(None, t), Verdict::Create);
        assert_eq!(election.evaluate(Some(&record("", "1")), t), Verdict::Acquire);
        assert_eq!(election.evaluate(Some(&record("me", "2")), t), Verdict::Renew);
        assert_eq!(election.evaluate(Some(&record("me", "2")), t + 60 * SECOND), Verdict::Renew);
    }

    #[test]
    fn a_silent_holder_is_replaced_after_its_duration_by_the_local_clock() {
        let (mut election, t) = (Election::new("me"), Instant::now());
        assert_eq!(election.evaluate(Some(&record("other", "1")), t), Verdict::Wait(15 * SECOND));
        assert_eq!(election.evaluate(Some(&record("other", "1")), t + 14 * SECOND), Verdict::Wait(SECOND));
        assert_eq!(election.evaluate(Some(&record("other", "1")), t + 15 * SECOND), Verdict::Acquire);
    }

    #[test]
    fn every_renewal_of_the_holder_starts_the_wait_afresh() {
        let (mut election, t) = (Election::new("me"), Instant::now());
        election.evaluate(Some(&record("other", "1")), t);
        assert_eq!(election.evaluate(Some(&record("other", "2")), t + 14 * SECOND), Verdict::Wait(15 * SECOND));
        assert_eq!(election.evaluate(Some(&record("other", "2")), t + 28 * SECOND), Verdict::Wait(SECOND));
    }

    #[test]
    fn the_fence_falls_by_itself() {
        let (holder, t) = (Holder::default(), Instant::now());
        assert!(!holder.holds_at(t));
        holder.extend(t + 10 * SECOND);
        assert!(holder.holds_at(t + 9 * SECOND));
        assert!(!holder.holds_at(t + 10 * SECOND));
        holder.extend(t + 20 * SECOND);
        holder.drop_lease();
        assert!(!holder.holds_at(t));
        assert!(Holder::unrivalled().holds_at(t + 1_000_000 * SECOND));
    }
}
