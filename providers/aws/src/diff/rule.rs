//! Rules of one listener.
//!
//! A rule in AWS is known by what it says, and needs no tags: one that says the same is kept, one with the same conditions is modified, and any other condition
//! makes another rule. Rules that nothing of the stack accounts for go: the listener is ours, and so are they.

use super::changes::Changes;
use super::{priority, target_group};
use crate::limit;
use crate::observed;
use crate::operation::Operation;
use crate::stack::{Listener, Rule};
use portico_providers::{Action, ProviderError, ResourceId};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be done on one listener, in the order in which it is to be done.
#[derive(Default)]
pub(super) struct RuleChanges {
    pub priorities: BTreeMap<String, u32>,
    /// Highest precedence first: a broad new rule never takes, even for a moment, what a narrow new rule should get.
    pub create: Vec<(Rule, u32)>,
    pub modify: Vec<(Rule, String, String)>,
    /// Lowest precedence first, for the same reason.
    pub delete: Vec<(u32, String)>,
}

/// Compares a listener's rules with those that exist, by priority.
pub(super) fn compare(wanted: &Listener, existing: &BTreeMap<u32, observed::Rule>) -> Result<RuleChanges, ProviderError> {
    let matched = pair(&wanted.rules, existing);
    let used: BTreeSet<u32> = matched.iter().flatten().copied().collect();
    let stale: BTreeSet<u32> = existing.keys().copied().filter(|priority| !used.contains(priority)).collect();
    let priorities = priority::assign(&matched, &stale).ok_or_else(|| ProviderError::Limit {
        operation: "CreateRule".into(),
        message: format!("{} rules need more priorities than the {} of a listener", wanted.rules.len(), limit::HIGHEST_PRIORITY),
    })?;
    let mut changes = RuleChanges::default();
    for ((rule, current), priority) in wanted.rules.iter().zip(&matched).zip(priorities) {
        let Some((current, there)) = current.and_then(|current| existing.get(&current).map(|there| (current, there))) else {
            changes.create.push((rule.clone(), priority));
            continue;
        };
        if current != priority {
            changes.priorities.insert(there.arn.clone(), priority);
        }
        if there.action != rule.action || there.transforms != sorted(rule) {
            let reason =
                if there.action == rule.action { "another rewrite".to_owned() } else { format!("{} → {}", there.action, rule.action) };
            changes.modify.push((rule.clone(), there.arn.clone(), reason));
        }
    }
    changes.delete = existing
        .iter()
        .rev()
        .filter(|(priority, _)| stale.contains(priority))
        .map(|(priority, rule)| (*priority, rule.arn.clone()))
        .collect();
    Ok(changes)
}

fn sorted(rule: &Rule) -> Vec<crate::stack::Transform> {
    let mut transforms = rule.transforms.clone();
    transforms.sort();
    transforms
}

/// For each wanted rule the priority of the existing rule that becomes it: one that says the same, else one with the same conditions.
fn pair(wanted: &[Rule], existing: &BTreeMap<u32, observed::Rule>) -> Vec<Option<u32>> {
    let mut free: BTreeSet<u32> = existing.keys().copied().collect();
    let mut pairs = vec![None; wanted.len()];
    for exact in [true, false] {
        // Existing rules by what they are compared by, the highest precedence first.
        let mut by_content: BTreeMap<_, Vec<u32>> = BTreeMap::new();
        for (priority, rule) in existing.iter().rev().filter(|(priority, _)| free.contains(priority)) {
            let content = exact.then_some((&rule.transforms, &rule.action));
            by_content.entry((&rule.conditions, content.map(|(t, a)| (t.clone(), a)))).or_default().push(*priority);
        }
        for (rule, slot) in wanted.iter().zip(pairs.iter_mut()).filter(|(_, slot)| slot.is_none()) {
            let content = exact.then(|| (sorted(rule), &rule.action));
            if let Some(priority) = by_content.get_mut(&(&rule.conditions, content)).and_then(Vec::pop) {
                free.remove(&priority);
                *slot = Some(priority);
            }
        }
    }
    pairs
}

/// Appends one listener's changes. `room` is how many more rules the load balancer may have: where there are fewer than rules to create, as many as are needed go
/// before they should.
pub(super) fn append(load_balancer: &str, listener: &Listener, mut rules: RuleChanges, room: &mut i64, changes: &mut Changes) {
    let port = listener.port;
    let load_balancer = load_balancer.to_owned();
    let delete = |(priority, arn): (u32, String), reason: String, changes: &mut Changes| {
        let id = ResourceId(format!("rule/{port}/priority-{priority}"));
        changes.delete(&id, Operation::DeleteRule { load_balancer: load_balancer.clone(), port, arn }, reason);
    };
    if !rules.priorities.is_empty() {
        let reason = format!("{} rules change their place", rules.priorities.len());
        let priorities = std::mem::take(&mut rules.priorities);
        let operation = Operation::SetRulePriorities { load_balancer: load_balancer.clone(), port, priorities };
        changes.push(Action::Update, &listener.id, &[], operation, reason, &listener.sources);
    }
    let mut stale = rules.delete.into_iter();
    for (rule, priority) in rules.create {
        if *room <= 0
            && let Some(gone) = stale.next()
        {
            delete(
                gone,
                "no route asks for it any more, and the load balancer has no room for another rule before it goes".into(),
                changes,
            );
            *room += 1;
        }
        *room -= 1;
        let groups: Vec<_> = rule.action.target_groups().map(target_group::by_name).collect();
        let needs: Vec<_> = groups.iter().chain([&listener.id]).collect();
        let operation = Operation::CreateRule {
            load_balancer: load_balancer.clone(),
            port,
            priority,
            conditions: rule.conditions,
            transforms: rule.transforms,
            action: rule.action.clone(),
        };
        changes.push(Action::Create, &rule.id, &needs, operation, "not there yet", &rule.sources);
    }
    for (rule, arn, reason) in rules.modify {
        let groups: Vec<_> = rule.action.target_groups().map(target_group::by_name).collect();
        let needs: Vec<_> = groups.iter().collect();
        let operation = Operation::ModifyRule {
            load_balancer: load_balancer.clone(),
            port,
            arn,
            transforms: rule.transforms,
            action: rule.action.clone(),
        };
        changes.push(Action::Update, &rule.id, &needs, operation, reason, &rule.sources);
    }
    for gone in stale {
        delete(gone, "no route asks for it any more".into(), changes);
        *room += 1;
    }
}
