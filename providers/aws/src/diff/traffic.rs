//! What the load balancer serves now, so that traffic moves to new target groups only when they take it (make before break).
//!
//! AWS checks the targets of a group only once a rule refers to it; until then, and while a group holds no target at all, requests are answered 503. A group that
//! requests reach already is proven. Where a change would move requests that are served now to a group that is not, it waits behind a gate: a rule that forwards gets
//! the new group at weight 0 first, and the rest of its change when the targets are healthy; any other change waits until the targets are registered.

use crate::limit;
use crate::observed::{self, State};
use crate::stack::{Forward, ForwardTarget, RuleAction, Stack};
use portico_providers::{Gate, TargetSetId};
use std::collections::{BTreeMap, BTreeSet};

/// What the load balancer serves now.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    serving: bool,
    /// Groups that requests reach.
    proven: BTreeSet<TargetSetId>,
    /// Groups that rules name, so that AWS checks them.
    checked: BTreeSet<TargetSetId>,
    /// Groups that will have targets.
    filled: BTreeSet<TargetSetId>,
}

impl Traffic {
    pub fn of(stack: &Stack, existing: Option<&observed::LoadBalancer>) -> Self {
        let Some(existing) = existing.filter(|there| there.state == State::Active) else { return Self::default() };
        let listeners = existing.listeners.present().into_iter().flat_map(BTreeMap::values);
        let actions: Vec<_> = listeners
            .flat_map(|listener| {
                let rules = listener.rules.present().into_iter().flat_map(BTreeMap::values);
                rules.map(|rule| &rule.action).chain([&listener.default_action])
            })
            .collect();
        Self {
            serving: true,
            proven: actions.iter().flat_map(|action| reached(action)).cloned().collect(),
            checked: actions.iter().flat_map(|action| action.target_groups()).cloned().collect(),
            // The group of invalid backends belongs to no Service and never has a target.
            filled: stack.target_groups.iter().filter(|group| !group.sources.is_empty()).map(|group| group.name.clone()).collect(),
        }
    }

    /// Groups that an action would send requests to and that none reach now.
    fn untried(&self, action: &RuleAction) -> Vec<TargetSetId> {
        reached(action).filter(|group| self.serving && self.filled.contains(*group) && !self.proven.contains(*group)).cloned().collect()
    }

    /// What must hold before a rule is made that takes over requests which are served now.
    pub fn gate(&self, action: &RuleAction) -> Gate {
        let untried = self.untried(action);
        if untried.is_empty() {
            Gate::None
        } else if untried.iter().all(|group| self.checked.contains(group)) {
            Gate::TargetsHealthy(untried)
        } else {
            Gate::TargetsRegistered(untried)
        }
    }

    /// What must hold before requests are left to rules that are made before it.
    pub fn gate_release<'a>(&self, heirs: impl Iterator<Item = &'a RuleAction>) -> Gate {
        let untried: BTreeSet<_> = heirs.flat_map(|action| self.untried(action)).collect();
        if untried.is_empty() { Gate::None } else { Gate::TargetsHealthy(untried.into_iter().collect()) }
    }

    /// What must hold before an existing rule is changed.
    pub fn gate_change(&self, before: &RuleAction, after: &RuleAction) -> Gate {
        if serves(before) { self.gate(after) } else { Gate::None }
    }

    /// The action that a rule should have until the groups of its next action are checked: the same, with those groups at weight 0. Nothing if they are checked already,
    /// or if there is no room for them.
    pub fn warm_up(&mut self, before: &RuleAction, after: &RuleAction) -> Option<RuleAction> {
        let RuleAction::Forward(forward) = before else { return None };
        let new: Vec<_> = self.untried(after).into_iter().filter(|group| !self.checked.contains(group)).collect();
        if new.is_empty() || forward.target_groups.len() + new.len() > limit::TARGET_GROUPS_PER_ACTION {
            return None;
        }
        self.checked.extend(new.iter().cloned());
        let mut target_groups = forward.target_groups.clone();
        target_groups.extend(new.into_iter().map(|target_group| ForwardTarget { target_group, weight: 0 }));
        target_groups.sort();
        Some(RuleAction::Forward(Forward { target_groups }))
    }
}

/// The groups of an action that get requests.
fn reached(action: &RuleAction) -> impl Iterator<Item = &TargetSetId> {
    let targets = match action {
        RuleAction::Forward(forward) => forward.target_groups.as_slice(),
        _ => &[],
    };
    targets.iter().filter(|target| target.weight > 0).map(|target| &target.target_group)
}

/// Whether requests get more from an action than an error.
pub(super) fn serves(action: &RuleAction) -> bool {
    match action {
        RuleAction::Forward(_) | RuleAction::Redirect(_) | RuleAction::Foreign(_) => true,
        RuleAction::FixedResponse(response) => response.status_code < 400,
    }
}

/// What must hold before the load balancer that this one replaces goes: all that have targets take requests.
pub(super) fn gate_replacement(stack: &Stack) -> Gate {
    let mut groups: Vec<_> = stack.target_groups.iter().filter(|group| !group.sources.is_empty()).map(|group| group.name.clone()).collect();
    groups.sort();
    if stack.load_balancer.is_none() || groups.is_empty() { Gate::None } else { Gate::TargetsHealthy(groups) }
}

/// The target groups that a load balancer's listeners and rules name.
pub(super) fn named_groups<'a>(listeners: impl Iterator<Item = &'a observed::Listener>) -> impl Iterator<Item = &'a TargetSetId> {
    listeners.flat_map(|listener| {
        let rules = listener.rules.present().into_iter().flat_map(BTreeMap::values);
        rules.map(|rule| &rule.action).chain([&listener.default_action]).flat_map(RuleAction::target_groups)
    })
}
