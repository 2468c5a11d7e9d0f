//! Whoever begins to speak for a fleet has not heard its proxies: what they acknowledged before is known to nobody but them until they are connected again.

use portico_providers::UnitId;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long nothing is said of proxies that are not there. A proxy finds out within 15 s that its connection is dead, and opens another after 5 s at the latest, as its bootstrap
/// says; the rest is for its answers.
const LIMIT: Duration = Duration::from_secs(30);

/// Since when proxies are waited for, and of which units they were heard.
#[derive(Debug)]
pub(crate) struct Patience {
    since: Instant,
    heard: BTreeSet<(String, UnitId)>,
}

impl Patience {
    /// Begins to wait.
    pub fn begin(now: Instant) -> Self {
        Self { since: now, heard: BTreeSet::new() }
    }

    /// All proxies have a unit, or one refuses it: from now on what is known of it is known at once.
    pub fn hear(&mut self, fleet: &str, unit: &UnitId) {
        self.heard.insert((fleet.to_owned(), unit.clone()));
    }

    /// How long proxies of a unit are still waited for; nothing if it is known how far they are.
    pub fn left(&self, fleet: &str, unit: &UnitId, now: Instant) -> Option<Duration> {
        let left = LIMIT.checked_sub(now.saturating_duration_since(self.since)).filter(|left| !left.is_zero())?;
        (!self.heard.contains(&(fleet.to_owned(), unit.clone()))).then_some(left)
    }
}
