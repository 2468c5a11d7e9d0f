//! SetRulePriorities: one atomic step, so that rules can swap their priorities.

use std::collections::{BTreeMap, BTreeSet};

use super::arn;
use super::rule::{Rule, check_priority};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

/// Gives rules new priorities. Rules that are not named keep theirs; conflicts are judged in the new order only.
pub fn set(state: &mut State, input: &Input) -> Answer<Record> {
    let mut wanted: BTreeMap<String, u32> = BTreeMap::new();
    let mut given = Vec::new();
    for item in input.items("RulePriorities") {
        let rule = item.required("RuleArn")?.to_string();
        let priority = item.required("Priority").and_then(|_| item.parse::<i64>("Priority"))?.unwrap_or_default();
        given.push((rule, priority));
    }
    input.done()?;
    if given.is_empty() {
        return Err(ApiError::validation("You must specify at least one rule priority"));
    }
    for (rule, priority) in given {
        let priority = check_priority(priority)?;
        if wanted.values().any(|other| *other == priority) {
            return Err(ApiError::validation(format!("Priority '{priority}' was provided multiple times")));
        }
        if wanted.insert(rule.clone(), priority).is_some() {
            return Err(ApiError::validation(format!("Rule '{rule}' was provided multiple times")));
        }
    }
    let mut listener_arn: Option<String> = None;
    for arn in wanted.keys() {
        let (_, listener, rule) = state.elb.rule(arn)?;
        if rule.is_none() {
            return Err(ApiError::new("OperationNotPermitted", format!("The priority of default rule '{arn}' cannot be changed")));
        }
        if listener_arn.get_or_insert_with(|| listener.arn.clone()) != &listener.arn {
            return Err(ApiError::validation("All rules must belong to the same listener"));
        }
    }
    let listener_arn = listener_arn.unwrap_or_default();
    arn::check(&listener_arn, arn::Kind::Listener)?;
    let (_, listener) = state.elb.listener(&listener_arn)?;
    let taken: BTreeSet<u32> = wanted.values().copied().collect();
    let clash = listener.rules.values().find(|rule| !wanted.contains_key(&rule.arn) && taken.contains(&rule.priority));
    if let Some(clash) = clash {
        return Err(ApiError::new("PriorityInUse", format!("Priority '{}' is currently in use", clash.priority)));
    }
    let rules = state.elb.rules_mut(&listener_arn, wanted.keys().cloned())?;
    for (arn, priority) in &wanted {
        if let Some(rule) = rules.get_mut(arn) {
            rule.priority = *priority;
        }
    }
    let mut changed: Vec<&Rule> = wanted.keys().filter_map(|arn| rules.get(arn)).collect();
    changed.sort_by_key(|rule| rule.priority);
    Ok(Record::new().list("Rules", changed.into_iter().map(Rule::record)))
}
