//! What is remembered: per unit until it may be wrong, for a region for a while.

use crate::error::Failure;
use portico_aws::observed::Observed;
use portico_aws::stack::{BackendGroups, Stack};
use portico_providers::mark;
use std::time::{Duration, Instant};

/// Cluster and unit, as marks write them.
pub(crate) type UnitKey = (String, String);

/// The key of a stack's unit.
pub(crate) fn key(stack: &Stack) -> UnitKey {
    (mark::value(&stack.cluster.0), mark::value(&stack.unit.to_string()))
}

/// What is remembered of a unit. Every call of ours is written through, so that it stays true until a call fails in an unclear way or somebody else interferes.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnitState {
    /// What exists; subnets and limits are the region's.
    pub observed: Observed,
    /// The selection by which `observed.backend_groups` were found.
    pub backend: Option<BackendGroups>,
    /// Whether an import may have been carried out of which no ARN is known: the account's certificates are looked through.
    pub import_lost: bool,
    /// Why imports of the unit may exist that are not known: nothing is imported until certificates can be listed.
    pub certificates_unread: Option<Failure>,
    /// Number of the inventory in which was last looked for what belongs to it.
    pub inventory: u64,
    /// Whether it must be read again before it is believed. Names in it are then worth looking for.
    pub stale: bool,
}

/// A value that is believed for a while.
#[derive(Clone, Debug)]
pub(crate) struct Fresh<T> {
    for_at_most: Duration,
    value: Option<(Instant, T)>,
}

impl<T: Clone> Fresh<T> {
    pub fn for_at_most(for_at_most: Duration) -> Self {
        Self { for_at_most, value: None }
    }

    /// The value, if it is young enough.
    pub fn get(&self) -> Option<T> {
        self.value.as_ref().filter(|(read, _)| read.elapsed() < self.for_at_most).map(|(_, value)| value.clone())
    }

    pub fn set(&mut self, value: T) {
        self.value = Some((Instant::now(), value));
    }
}
