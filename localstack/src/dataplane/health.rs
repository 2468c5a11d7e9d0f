//! Target health: states and reasons as DescribeTargetHealth shows them, and the board on which the probes publish them.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::watch;

use super::config::{TargetGroupId, TargetId};

/// State of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthState {
    /// Registration or first probes under way.
    Initial,
    /// Probes succeed.
    Healthy,
    /// Probes fail.
    Unhealthy,
    /// Not probed: its group is not referenced, or its zone is not enabled.
    Unused,
    /// Being deregistered.
    Draining,
    /// Not probed: health checks are disabled.
    Unavailable,
}

impl HealthState {
    /// The state as `TargetHealth.State` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unused => "unused",
            Self::Draining => "draining",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Health of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetHealth {
    /// Its state.
    pub state: HealthState,
    /// `TargetHealth.Reason`, such as `Target.Timeout`; None when healthy.
    pub reason: Option<&'static str>,
    /// `TargetHealth.Description`; None when healthy.
    pub description: Option<String>,
}

/// The health of all targets; clones share it.
#[derive(Clone, Debug, Default)]
pub struct HealthBoard {
    board: Arc<Board>,
}

#[derive(Debug)]
struct Board {
    targets: RwLock<HashMap<TargetGroupId, HashMap<TargetId, TargetHealth>>>,
    revision: watch::Sender<u64>,
}

impl Default for Board {
    fn default() -> Self {
        Self { targets: RwLock::default(), revision: watch::Sender::new(0) }
    }
}

impl HealthBoard {
    /// The health of a target; None if the configuration in force does not hold it.
    pub fn get(&self, group: &TargetGroupId, target: &TargetId) -> Option<TargetHealth> {
        self.board.targets.read().unwrap_or_else(PoisonError::into_inner).get(group)?.get(target).cloned()
    }

    /// A number that changes whenever any target's health does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.board.revision.subscribe()
    }
}
