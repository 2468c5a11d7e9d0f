//! Target health: states and reasons as DescribeTargetHealth shows them, and the board on which the probes publish them.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::config::{HealthCheck, TargetGroupId, TargetId};

/// State of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthState {
    /// Registration or first probes under way.
    Initial,
    /// Probes succeed.
    Healthy,
    /// Probes fail.
    Unhealthy,
    /// Probes fail, and a network load balancer lets its connections go on for a while.
    UnhealthyDraining,
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
            Self::UnhealthyDraining => "unhealthy.draining",
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

impl TargetHealth {
    fn new(state: HealthState, reason: &'static str, description: impl Into<String>) -> Self {
        Self { state, reason: Some(reason), description: Some(description.into()) }
    }

    /// Probes succeed.
    pub(super) fn healthy() -> Self {
        Self { state: HealthState::Healthy, reason: None, description: None }
    }

    /// Not probed yet.
    pub(super) fn registering() -> Self {
        Self::new(HealthState::Initial, "Elb.RegistrationInProgress", "Target registration is in progress")
    }

    /// The group is not referenced by a rule, or the target's zone is not enabled.
    pub(super) fn not_in_use() -> Self {
        let description = "Target group is not configured to receive traffic from the load balancer";
        Self::new(HealthState::Unused, "Target.NotInUse", description)
    }

    /// Being deregistered.
    pub(super) fn draining() -> Self {
        Self::new(HealthState::Draining, "Target.DeregistrationInProgress", "Target deregistration is in progress")
    }

    /// Health checks are disabled.
    pub(super) fn check_disabled() -> Self {
        Self::new(HealthState::Unavailable, "Target.HealthCheckDisabled", "Health checks are disabled for this target group")
    }
}

/// What came out of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProbeOutcome {
    /// The matcher accepted the answer.
    Success,
    /// It did not: the HTTP or gRPC code.
    Code(u32),
    /// No answer in time.
    Timeout,
    /// The connection failed, or the answer was not what the protocol says.
    Failed,
}

impl ProbeOutcome {
    fn unhealthy(&self, coarse: bool) -> TargetHealth {
        let (reason, description) = match self {
            _ if coarse => ("Target.FailedHealthChecks", "Health checks failed".to_owned()),
            Self::Code(code) => ("Target.ResponseCodeMismatch", format!("Health checks failed with these codes: [{code}]")),
            Self::Timeout => ("Target.Timeout", "Request timed out".to_owned()),
            Self::Failed | Self::Success => ("Target.FailedHealthChecks", "Health checks failed".to_owned()),
        };
        TargetHealth::new(HealthState::Unhealthy, reason, description)
    }
}

/// Turns outcomes of probes into a state: one success for a new target, thresholds afterwards.
#[derive(Debug)]
pub(super) struct HealthTracker {
    health: TargetHealth,
    successes: u32,
    failures: u32,
    /// When it has been unhealthy for long enough to lose its connections.
    drained: Option<Instant>,
}

impl HealthTracker {
    pub(super) fn new() -> Self {
        Self { health: TargetHealth::registering(), successes: 0, failures: 0, drained: None }
    }

    /// Takes an outcome in and says the health after it. `draining`: how long an unhealthy target drains first.
    pub(super) fn record(&mut self, outcome: &ProbeOutcome, check: &HealthCheck, draining: Duration) -> &TargetHealth {
        if *outcome == ProbeOutcome::Success {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            let needed = if self.health.state == HealthState::Initial { 1 } else { check.healthy_threshold };
            if self.successes >= needed {
                self.health = TargetHealth::healthy();
                self.drained = None;
            }
        } else {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
            let was = matches!(self.health.state, HealthState::Unhealthy | HealthState::UnhealthyDraining);
            if self.failures >= check.unhealthy_threshold || was {
                let drained = *self.drained.get_or_insert_with(|| Instant::now() + draining);
                self.health = outcome.unhealthy(check.coarse);
                if Instant::now() < drained {
                    self.health.state = HealthState::UnhealthyDraining;
                }
            } else if self.health.state == HealthState::Initial {
                self.health = TargetHealth::new(HealthState::Initial, "Elb.InitialHealthChecking", "Initial health checks in progress");
            }
        }
        &self.health
    }
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

    pub(super) fn publish(&self, group: &TargetGroupId, target: &TargetId, health: &TargetHealth) {
        {
            let targets = self.board.targets.read().unwrap_or_else(PoisonError::into_inner);
            if targets.get(group).and_then(|group| group.get(target)) == Some(health) {
                return;
            }
        }
        {
            let mut targets = self.board.targets.write().unwrap_or_else(PoisonError::into_inner);
            targets.entry(group.clone()).or_default().insert(target.clone(), health.clone());
        }
        self.board.revision.send_modify(|revision| *revision += 1);
    }

    pub(super) fn remove(&self, group: &TargetGroupId, target: &TargetId) {
        {
            let mut groups = self.board.targets.write().unwrap_or_else(PoisonError::into_inner);
            let Some(targets) = groups.get_mut(group) else { return };
            targets.remove(target);
            if targets.is_empty() {
                groups.remove(group);
            }
        }
        self.board.revision.send_modify(|revision| *revision += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> HealthCheck {
        HealthCheck { healthy_threshold: 3, ..HealthCheck::default() }
    }

    #[test]
    fn a_new_target_needs_one_success_and_an_unhealthy_one_the_threshold() {
        use HealthState::{Healthy, Initial, Unhealthy};
        use ProbeOutcome::{Code, Failed, Success, Timeout};
        let mut tracker = HealthTracker::new();
        let steps = [
            (Failed, Initial, Some("Elb.InitialHealthChecking")),
            (Success, Healthy, None),
            // One failure is not two.
            (Timeout, Healthy, None),
            (Success, Healthy, None),
            (Timeout, Healthy, None),
            (Timeout, Unhealthy, Some("Target.Timeout")),
            // The reason follows the latest probe.
            (Code(503), Unhealthy, Some("Target.ResponseCodeMismatch")),
            (Failed, Unhealthy, Some("Target.FailedHealthChecks")),
            (Success, Unhealthy, Some("Target.FailedHealthChecks")),
            (Success, Unhealthy, Some("Target.FailedHealthChecks")),
            // A failure starts the count again.
            (Failed, Unhealthy, Some("Target.FailedHealthChecks")),
            (Success, Unhealthy, Some("Target.FailedHealthChecks")),
            (Success, Unhealthy, Some("Target.FailedHealthChecks")),
            (Success, Healthy, None),
        ];
        for (index, (outcome, state, reason)) in steps.into_iter().enumerate() {
            let health = tracker.record(&outcome, &check(), Duration::ZERO);
            assert_eq!((health.state, health.reason), (state, reason), "step {index}");
        }
    }

    #[test]
    fn a_new_target_that_fails_becomes_unhealthy_and_then_needs_the_threshold() {
        let mut tracker = HealthTracker::new();
        tracker.record(&ProbeOutcome::Code(404), &check(), Duration::ZERO);
        let health = tracker.record(&ProbeOutcome::Code(404), &check(), Duration::ZERO);
        assert_eq!(health.description.as_deref(), Some("Health checks failed with these codes: [404]"));
        for expected in [HealthState::Unhealthy, HealthState::Unhealthy, HealthState::Healthy] {
            assert_eq!(tracker.record(&ProbeOutcome::Success, &check(), Duration::ZERO).state, expected);
        }
    }

    #[test]
    fn the_board_tells_changes_only() {
        let board = HealthBoard::default();
        let (group, target) = (TargetGroupId::from("g"), TargetId::from("t"));
        let mut changes = board.changes();
        board.publish(&group, &target, &TargetHealth::healthy());
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        board.publish(&group, &target, &TargetHealth::healthy());
        assert!(!changes.has_changed().unwrap());
        board.remove(&group, &target);
        assert!(changes.has_changed().unwrap());
        assert_eq!(board.get(&group, &target), None);
    }
}
