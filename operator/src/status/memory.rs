//! What was said last about each object, and how often it had to be said again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portico_translate::status::Desired;

use super::{Place, Said, Speaker};
use crate::queue::Backoff;

/// Pauses before something is said again: none the first time, then these.
const PAUSES: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(600) };

/// After so long without a repair an object's repairs are forgotten. Longer than the longest pause, so that a quarrel never starts anew.
const QUIET: Duration = Duration::from_secs(1800);

/// The memory of a status writer.
#[derive(Debug, Default)]
pub(super) struct Memory {
    said: BTreeMap<Place, Said>,
    places: BTreeMap<Speaker, BTreeSet<Place>>,
    repairs: BTreeMap<Place, Repairs>,
    standing: BTreeMap<Place, Standing>,
}

/// What an object's status holds already.
#[derive(Debug)]
struct Standing {
    speaker: Speaker,
    desired: Arc<Desired>,
    /// The object's resourceVersion.
    version: String,
}

#[derive(Clone, Copy, Debug)]
struct Repairs {
    count: u32,
    last: Instant,
    waiting: bool,
}

impl Memory {
    /// Remembers what a speaker said. What a unit says is all that it has to say. What nobody in particular says about a route or a policy is about entries that are to
    /// go, and holds for that moment only.
    pub fn remember(&mut self, speaker: &Speaker, statuses: &[(Place, Arc<Desired>)]) {
        let mut before = if speaker.is_some() { self.places.remove(speaker).unwrap_or_default() } else { BTreeSet::new() };
        let lasting = statuses.iter().filter(|(_, desired)| speaker.is_some() || matches!(**desired, Desired::Object(_)));
        let mut places = BTreeSet::new();
        for (place, desired) in lasting {
            // Of what it spoke about before the texts are there: a pass speaks of each of its routes.
            match self.said.get_mut(place).map(|said| said.as_mut_slice()) {
                Some([(who, only)]) if who == speaker => only.clone_from(desired),
                _ => {
                    let said = self.said.entry(place.clone()).or_default();
                    said.retain(|(who, _)| who != speaker);
                    said.push((speaker.clone(), desired.clone()));
                }
            }
            places.insert(before.take(place).unwrap_or_else(|| place.clone()));
        }
        for gone in before.difference(&places) {
            if let Some(said) = self.said.get_mut(gone) {
                said.retain(|(who, _)| who != speaker);
                if said.is_empty() {
                    self.said.remove(gone);
                    self.repairs.remove(gone);
                    self.standing.remove(gone);
                }
            }
        }
        if speaker.is_some() && !places.is_empty() {
            self.places.insert(speaker.clone(), places);
        }
    }

    /// The objects about which a speaker said something that holds.
    pub fn places(&self, speaker: &Speaker) -> BTreeSet<Place> {
        self.places.get(speaker).cloned().unwrap_or_default()
    }

    /// What was said last about an object.
    pub fn said(&self, place: &Place) -> Said {
        self.said.get(place).cloned().unwrap_or_default()
    }

    /// Remembers what a status holds at a resourceVersion; nothing where several speak about the object.
    pub fn stands(&mut self, place: &Place, said: &Said, version: &str) {
        if let [(speaker @ Some(_), desired)] = said.as_slice()
            && self.places.get(speaker).is_some_and(|places| places.contains(place))
        {
            let standing = Standing { speaker: speaker.clone(), desired: desired.clone(), version: version.to_owned() };
            self.standing.insert(place.clone(), standing);
        }
    }

    /// A write begins: what the status holds is known again when it has ended.
    pub fn begin_write(&mut self, place: &Place) {
        self.standing.remove(place);
    }

    /// Whether the status of an object at this resourceVersion holds what a speaker has to say.
    pub fn is_standing(&self, place: &Place, speaker: &Speaker, desired: &Desired, version: &str) -> bool {
        let standing = self.standing.get(place);
        standing.is_some_and(|it| it.version == version && it.speaker == *speaker && *it.desired == *desired)
    }

    /// Wants an object's status said again. Returns the pause before that; nothing where it is wanted already.
    pub fn repair(&mut self, place: &Place, now: Instant) -> Option<Duration> {
        self.repairs.retain(|_, repairs| repairs.waiting || now.saturating_duration_since(repairs.last) < QUIET);
        let repairs = self.repairs.entry(place.clone()).or_insert(Repairs { count: 0, last: now, waiting: false });
        if repairs.waiting {
            return None;
        }
        let pause = if repairs.count == 0 { Duration::ZERO } else { PAUSES.pause(repairs.count, 1.0) };
        *repairs = Repairs { count: repairs.count.saturating_add(1), last: now + pause, waiting: true };
        Some(pause)
    }

    /// Whether an object's status is to be said again, which is now being done.
    pub fn begin_repair(&mut self, place: &Place) -> bool {
        self.repairs.get_mut(place).is_some_and(|repairs| std::mem::take(&mut repairs.waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portico_crds::{Kind, NamespacedName};

    #[test]
    fn pauses_between_repairs_grow_and_are_forgotten_after_quiet() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let place = (Kind::HttpRoute, NamespacedName::new("a", "r"));
        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let pause = memory.repair(&place, now).unwrap();
            assert_eq!(memory.repair(&place, now), None, "it waits already");
            now += pause;
            assert!(memory.begin_repair(&place));
            assert!(!memory.begin_repair(&place));
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600]);
        assert_eq!(memory.repair(&place, now + QUIET), Some(Duration::ZERO));
    }
}
