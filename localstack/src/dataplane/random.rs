//! The data plane's one source of random choices.

use std::sync::{Mutex, PoisonError};

use rand::{Rng, SeedableRng, rngs::StdRng};

/// A generator that all requests share, so that a seed decides every choice of a sequence of requests.
#[derive(Debug)]
pub(super) struct Random(Mutex<StdRng>);

impl Random {
    /// Seeded, or from the operating system.
    pub(super) fn new(seed: Option<u64>) -> Self {
        Self(Mutex::new(seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64)))
    }

    /// A number below `limit`, 0 if that is 0.
    pub(super) fn below(&self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..limit) }
    }

    /// 128 random bits.
    pub(super) fn bits(&self) -> u128 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// The index of one of the weights, in proportion; None if all are 0.
    pub(super) fn weighted(&self, weights: impl Iterator<Item = u64> + Clone) -> Option<usize> {
        let total: u64 = weights.clone().sum();
        if total == 0 {
            return None;
        }
        let mut rest = self.below(total);
        weights.enumerate().find_map(|(index, weight)| {
            if rest < weight {
                return Some(index);
            }
            rest -= weight;
            None
        })
    }
}
