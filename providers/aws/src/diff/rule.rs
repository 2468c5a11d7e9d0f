//! Rules of one listener.
//!
//! A rule in AWS is known by what it says, and needs no tags: one that says the same is kept, one with the same conditions is modified, and so is one that does the
//! same for other requests, where that cannot lead any astray (see [`order`] for what comes when). Any other difference makes another rule. Rules that nothing of the stack accounts for go: the
//! listener is ours, and so are they.

mod order;
mod place;
mod reshape;

use super::changes::Changes;
use super::traffic::{self, Traffic};
use super::{priority, target_group};
use crate::limit;
use crate::matcher::Matcher;
use crate::observed;
use crate::operation::{Operation, when};
use crate::stack::{Listener, Rule, RuleAction, Transform};
use order::{Order, Turn};
use portico_providers::{Action, Gate, ProviderError, ResourceId};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be done on one listener.
#[derive(Default)]
pub(super) struct RuleChanges {
    pub priorities: BTreeMap<String, u32>,
    /// Highest precedence first.
    pub create: Vec<(Rule, u32)>,
    /// Highest precedence first.
    pub modify: Vec<Modification>,
    /// Lowest precedence first.
    pub delete: Vec<(u32, observed::Rule)>,
}

/// A rule that becomes another one.
pub(super) struct Modification {
    wanted: Rule,
    there: observed::Rule,
    /// Its priority once rules have changed their place.
    at: u32,
    reason: String,
    before: Matcher,
    after: Matcher,
}

impl Modification {
    fn turn(&self) -> Turn {
        Turn::of(&self.before, &self.after)
    }

    fn reshaped(&self) -> bool {
        self.wanted.conditions != self.there.conditions
    }
}

/// Compares a listener's rules with those that exist, by priority. `room` is how many more rules the load balancer may have.
pub(super) fn compare(wanted: &Listener, existing: &BTreeMap<u32, observed::Rule>, room: i64) -> Result<RuleChanges, ProviderError> {
    // Rules that are made anew although one that says the same exists: it cannot move to their place.
    let mut apart = BTreeSet::new();
    let (matched, stale, priorities) = loop {
        let mut matched = pair(&wanted.rules, existing);
        apart.iter().for_each(|index| matched.get_mut(*index).into_iter().for_each(|slot| *slot = None));
        reshape::pair(&wanted.rules, existing, &apart, &mut matched);
        let used: BTreeSet<u32> = matched.iter().flatten().copied().collect();
        let stale: BTreeSet<u32> = existing.keys().copied().filter(|priority| !used.contains(priority)).collect();
        let priorities = priority::assign(&matched, &stale).ok_or_else(|| ProviderError::Limit {
            operation: "CreateRule".into(),
            message: format!("{} rules need more priorities than the {} of a listener", wanted.rules.len(), limit::HIGHEST_PRIORITY),
        })?;
        let stuck = place::stuck(&wanted.rules, existing, &matched, &priorities);
        let new = matched.iter().filter(|slot| slot.is_none()).count() + stuck.len();
        // Without room for both, the old ones would have to go first, which is worse.
        if stuck.is_empty() || i64::try_from(new).map_or(true, |new| new > room) {
            break (matched, stale, priorities);
        }
        apart.extend(stuck);
    };
    let mut changes = RuleChanges::default();
    for ((rule, current), priority) in wanted.rules.iter().zip(&matched).zip(priorities) {
        let Some((current, there)) = current.and_then(|current| existing.get(&current).map(|there| (current, there))) else {
            changes.create.push((rule.clone(), priority));
            continue;
        };
        if current != priority {
            changes.priorities.insert(there.arn.clone(), priority);
        }
        if there.conditions != rule.conditions || !same_outcome(rule, there) {
            let reason = if there.conditions != rule.conditions {
                format!("it was there {}", when(&there.conditions))
            } else if there.action == rule.action {
                "another rewrite".to_owned()
            } else {
                format!("{} → {}", there.action, rule.action)
            };
            let (before, after) = (Matcher::read(&there.conditions), Matcher::read(&rule.conditions));
            changes.modify.push(Modification { wanted: rule.clone(), there: there.clone(), at: priority, reason, before, after });
        }
    }
    changes.delete =
        existing.iter().rev().filter(|(priority, _)| stale.contains(priority)).map(|(priority, rule)| (*priority, rule.clone())).collect();
    Ok(changes)
}

/// Whether requests get the same from both.
fn same_outcome(rule: &Rule, there: &observed::Rule) -> bool {
    there.action == rule.action && there.transforms == sorted(rule)
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
pub(super) fn append(
    load_balancer: &str,
    listener: &Listener,
    mut rules: RuleChanges,
    existing: &BTreeMap<u32, observed::Rule>,
    traffic: &mut Traffic,
    room: &mut i64,
    changes: &mut Changes,
) {
    let on = On { load_balancer: load_balancer.to_owned(), port: listener.port };
    let moved = |priorities: &BTreeMap<String, u32>, at: u32, there: &observed::Rule| priorities.get(&there.arn).copied().unwrap_or(at);
    let standing: Vec<(u32, &observed::Rule, Matcher)> =
        existing.iter().map(|(at, there)| (moved(&rules.priorities, *at, there), there, Matcher::read(&there.conditions))).collect();
    // Requests of a new rule are served by this one now, if it comes after it and could match them.
    let served = |rule: &Rule, priority: u32| {
        let wanted = Matcher::read(&rule.conditions);
        standing.iter().any(|(at, there, matcher)| *at > priority && traffic::serves(&there.action) && matcher.meets(&wanted))
    };
    let taking_over: Vec<bool> = rules.create.iter().map(|(rule, priority)| served(rule, *priority)).collect();
    if !rules.priorities.is_empty() {
        let reason = format!("{} rules change their place", rules.priorities.len());
        let priorities = std::mem::take(&mut rules.priorities);
        let operation = Operation::SetRulePriorities { load_balancer: on.load_balancer.clone(), port: on.port, priorities };
        changes.push(Action::Update, &listener.id, &[], operation, reason, &listener.sources);
    }
    for change in &rules.modify {
        // What Portico cannot write it cannot leave in place.
        let foreign = change.there.transforms.iter().any(|transform| matches!(transform, Transform::Foreign(_)));
        if !foreign && let Some(action) = traffic.warm_up(&change.there.action, &change.wanted.action) {
            let reason = "the new targets are checked before they get requests";
            on.modify(change, change.there.transforms.clone(), action, reason, changes);
        }
    }
    let mut order = Order::default();
    let (widened, rest): (Vec<_>, Vec<_>) = rules.modify.into_iter().partition(|change| change.turn() == Turn::Take);
    let (narrowed, changed): (Vec<_>, Vec<_>) = rest.into_iter().partition(|change| change.turn() == Turn::Leave);
    let mut take: Vec<_> = widened.into_iter().map(|change| (change.at, Taking::Widened(Box::new(change)))).collect();
    take.extend(rules.create.into_iter().zip(taking_over).map(|((rule, at), takes_over)| (at, Taking::New(Box::new(rule), takes_over))));
    take.sort_by_key(|(at, _)| *at);
    let mut stale = rules.delete.into_iter();
    for (at, step) in take {
        let (rule, takes_over) = match step {
            Taking::Widened(change) => {
                on.become_wanted(*change, &mut order, traffic, changes);
                continue;
            }
            Taking::New(rule, takes_over) => (*rule, takes_over),
        };
        let gate = if takes_over { traffic.gate(&rule.action) } else { Gate::None };
        let mut early = None;
        if *room <= 0
            && let Some(gone) = stale.next()
        {
            on.delete(gone, "no route asks for it any more, and the load balancer has no room for another rule before it goes", changes);
            // Nothing is left to serve its requests once it is gone: both wait.
            changes.gate(gate.clone());
            early = changes.last();
            *room += 1;
        }
        *room -= 1;
        let groups: Vec<_> = rule.action.target_groups().map(target_group::by_name).collect();
        let needs: Vec<_> = groups.iter().chain([&listener.id]).collect();
        let operation = Operation::CreateRule {
            load_balancer: on.load_balancer.clone(),
            port: on.port,
            priority: at,
            conditions: rule.conditions.clone(),
            transforms: rule.transforms.clone(),
            action: rule.action.clone(),
        };
        changes.push(Action::Create, &rule.id, &needs, operation, "not there yet", &rule.sources);
        changes.gate(gate);
        changes.after(early);
        let matcher = Matcher::read(&rule.conditions);
        order.put(Turn::Take, at, [&matcher, &matcher], Some(rule.action), traffic, changes);
    }
    for change in changed {
        on.become_wanted(change, &mut order, traffic, changes);
    }
    let mut leave: Vec<_> = narrowed.into_iter().map(|change| (change.at, Leaving::Narrowed(Box::new(change)))).collect();
    leave.extend(stale.map(|(at, gone)| (at, Leaving::Gone(gone))));
    leave.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    for (at, step) in leave {
        match step {
            Leaving::Narrowed(change) => on.become_wanted(*change, &mut order, traffic, changes),
            Leaving::Gone(gone) => {
                let matcher = Matcher::read(&gone.conditions);
                on.delete((at, gone), "no route asks for it any more", changes);
                order.put(Turn::Leave, at, [&matcher, &matcher], None, traffic, changes);
                *room += 1;
            }
        }
    }
}

/// A rule that takes requests which it did not take.
enum Taking {
    New(Box<Rule>, bool),
    Widened(Box<Modification>),
}

/// A rule that takes requests no longer.
enum Leaving {
    Gone(observed::Rule),
    Narrowed(Box<Modification>),
}

/// Where rules are.
struct On {
    load_balancer: String,
    port: u16,
}

impl On {
    fn delete(&self, (priority, rule): (u32, observed::Rule), reason: &str, changes: &mut Changes) {
        let id = ResourceId(format!("rule/{}/priority-{priority}", self.port));
        let operation = Operation::DeleteRule { load_balancer: self.load_balancer.clone(), port: self.port, arn: rule.arn };
        changes.delete(&id, operation, reason);
        changes.releases(rule.action.target_groups());
    }

    /// Makes an existing rule the wanted one.
    fn become_wanted(&self, change: Modification, order: &mut Order, traffic: &Traffic, changes: &mut Changes) {
        let (before, after) = (&change.there.action, &change.wanted.action);
        self.modify(&change, change.wanted.transforms.clone(), after.clone(), change.reason.as_str(), changes);
        changes.gate(traffic.gate_change(before, after));
        let kept: BTreeSet<_> = after.target_groups().collect();
        changes.releases(before.target_groups().filter(|group| !kept.contains(group)));
        order.put(change.turn(), change.at, [&change.before, &change.after], Some(after.clone()), traffic, changes);
    }

    fn modify(
        &self,
        change: &Modification,
        transforms: Vec<Transform>,
        action: RuleAction,
        reason: impl Into<String>,
        changes: &mut Changes,
    ) {
        let rule = &change.wanted;
        let groups: Vec<_> = action.target_groups().map(target_group::by_name).collect();
        let needs: Vec<_> = groups.iter().collect();
        let operation = Operation::ModifyRule {
            load_balancer: self.load_balancer.clone(),
            port: self.port,
            arn: change.there.arn.clone(),
            conditions: change.reshaped().then(|| rule.conditions.clone()),
            transforms,
            action,
        };
        changes.push(Action::Update, &rule.id, &needs, operation, reason, &rule.sources);
    }
}
