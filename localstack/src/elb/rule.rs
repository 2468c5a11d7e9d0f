//! Rules of listeners.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::action::{self, Action};
use super::condition::{self, Condition};
use super::kind::LoadBalancerKind;
use super::listener::Listener;
use super::load_balancer::LoadBalancer;
use super::transform::{self, Transform};
use super::{arn, protocol, tagging, validation};
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};

/// A rule that is not a listener's default one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// Its ARN.
    pub arn: String,
    /// Lower is evaluated first; unique in its listener (AWS: 1–50000).
    pub priority: u32,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// What happens then.
    pub actions: Vec<Action>,
    /// What is rewritten before.
    pub transforms: Vec<Transform>,
    /// Its tags.
    pub tags: Tags,
}

impl Rule {
    /// As describing calls show it.
    pub fn record(&self) -> Record {
        Record::new()
            .with("RuleArn", &self.arn)
            .with("Priority", self.priority.to_string())
            .list("Conditions", self.conditions.iter().map(Condition::record))
            .list("Actions", action::records(&self.actions))
            .with("IsDefault", false)
            .list("Transforms", self.transforms.iter().map(Transform::record))
    }
}

/// The default rule of a listener as describing calls show it.
fn default_record(listener: &Listener) -> Record {
    Record::new()
        .with("RuleArn", &listener.default_rule)
        .with("Priority", "default")
        .list("Conditions", Vec::<Record>::new())
        .list("Actions", action::records(&listener.default_actions))
        .with("IsDefault", true)
        .list("Transforms", Vec::<Record>::new())
}

/// A priority, checked.
pub fn check_priority(priority: i64) -> Answer<u32> {
    validation::within(priority, "priority", 1, 50_000)?;
    Ok(u32::try_from(priority).unwrap_or_default())
}

/// Whether a listener can have rules, and such ones. AWS: those of a network load balancer need a dualstack one and rewrite nothing (network user guide,
/// "Listener rules for your Network Load Balancer").
fn check_listener(balancer: &LoadBalancer, listener: &Listener, transforms: &[Transform]) -> Answer<()> {
    let fault = |why: String| Err(ApiError::new("InvalidConfigurationRequest", why));
    if balancer.kind == LoadBalancerKind::Application {
        return Ok(());
    }
    if balancer.ip_address_type == "ipv4" {
        return fault(format!(
            "Listener rules of load balancers of type 'network' require the IP address type 'dualstack'; '{}' has '{}'",
            balancer.arn, balancer.ip_address_type
        ));
    }
    if protocol::is_quic(&listener.protocol) {
        return fault(format!("Listener rules are not supported on {} listeners", listener.protocol));
    }
    if !transforms.is_empty() {
        return fault("Transforms are not supported in listener rules of load balancers of type 'network'".into());
    }
    Ok(())
}

/// CreateRule.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let listener_arn = input.required("ListenerArn")?.to_string();
    state.elb.listener(&listener_arn)?;
    let priority = input.required("Priority").and_then(|_| input.parse::<i64>("Priority"))?.unwrap_or_default();
    let tags = tagging::read(input)?;
    let quotas = state.config.quotas;
    let conditions = condition::read(input, &quotas)?;
    let transforms = transform::read(input)?.unwrap_or_default();
    let (balancer, listener) = state.elb.listener(&listener_arn)?;
    let actions = action::read(input, "Actions", (&listener.protocol, listener.port), &quotas)?;
    input.done()?;
    check_listener(balancer, listener, &transforms)?;
    let conditions = conditions.ok_or_else(|| ApiError::validation("A rule must have at least one condition"))?;
    let mut actions = actions.ok_or_else(|| ApiError::validation("A rule must have at least one action"))?;
    condition::check_kind(&conditions, balancer.kind)?;
    action::settle_secrets(&mut actions, &[])?;
    let priority = check_priority(priority)?;
    if listener.rules.values().any(|rule| rule.priority == priority) {
        return Err(ApiError::new("PriorityInUse", format!("Priority '{priority}' is currently in use")));
    }
    if balancer.rule_count() >= quotas.rules_per_load_balancer {
        return Err(ApiError::new(
            "TooManyRules",
            format!("The maximum number of rules per load balancer has been reached: [{}]", quotas.rules_per_load_balancer),
        ));
    }
    state.check_actions(&balancer.arn, &listener.protocol, &actions, &[])?;
    let balancer_arn = balancer.arn.clone();
    let arn = arn::child(&listener_arn, arn::Kind::Rule, &state.ids.hex(16));
    let rule = Rule { arn: arn.clone(), priority, conditions, actions, transforms, tags };
    let (record, named) = (rule.record(), action::target_groups(&rule.actions));
    state.elb.rules_mut(&listener_arn, [arn.clone()])?.insert(arn, rule);
    state.reindex_rule(&balancer_arn, &BTreeSet::new(), &named);
    Ok(Record::new().list("Rules", [record]))
}

/// ModifyRule: lists that are given replace those that are there; absent and empty lists change nothing.
pub fn modify(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("RuleArn")?.to_string();
    let quotas = state.config.quotas;
    let conditions = condition::read(input, &quotas)?;
    let transforms = transform::read(input)?;
    let reset = input.flag("ResetTransforms")?.unwrap_or(false);
    let (balancer, listener, rule) = state.elb.rule(&arn)?;
    let actions = action::read(input, "Actions", (&listener.protocol, listener.port), &quotas)?;
    input.done()?;
    let rule = rule.ok_or_else(|| ApiError::new("OperationNotPermitted", format!("Default rule '{arn}' cannot be modified")))?;
    if conditions.is_none() && actions.is_none() && transforms.is_none() && !reset {
        return Err(ApiError::validation("Either conditions or actions must be specified"));
    }
    if transforms.is_some() && reset {
        return Err(ApiError::validation("You cannot specify both 'Transforms' and 'ResetTransforms'"));
    }
    check_listener(balancer, listener, transforms.as_deref().unwrap_or_default())?;
    condition::check_kind(conditions.as_deref().unwrap_or_default(), balancer.kind)?;
    let mut actions = actions;
    if let Some(actions) = &mut actions {
        action::settle_secrets(actions, &rule.actions)?;
        state.check_actions(&balancer.arn, &listener.protocol, actions, &rule.actions)?;
    }
    let (balancer_arn, listener_arn) = (balancer.arn.clone(), listener.arn.clone());
    let before = action::target_groups(&rule.actions);
    let (mut record, mut after) = (Record::new(), BTreeSet::new());
    if let Some(rule) = state.elb.rules_mut(&listener_arn, [arn.clone()])?.get_mut(&arn) {
        if let Some(conditions) = conditions {
            rule.conditions = conditions;
        }
        if let Some(actions) = actions {
            rule.actions = actions;
        }
        if reset {
            rule.transforms.clear();
        }
        if let Some(transforms) = transforms {
            rule.transforms = transforms;
        }
        (record, after) = (rule.record(), action::target_groups(&rule.actions));
    }
    state.reindex_rule(&balancer_arn, &before, &after);
    Ok(Record::new().list("Rules", [record]))
}

/// DeleteRule.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("RuleArn")?.to_string();
    input.done()?;
    let (balancer, listener, rule) = state.elb.rule(&arn)?;
    let Some(rule) = rule else {
        return Err(ApiError::new("OperationNotPermitted", format!("Default rule '{arn}' cannot be deleted")));
    };
    let named = action::target_groups(&rule.actions);
    let (balancer_arn, listener_arn) = (balancer.arn.clone(), listener.arn.clone());
    state.elb.rules_mut(&listener_arn, [arn.clone()])?.remove(&arn);
    state.reindex_rule(&balancer_arn, &named, &BTreeSet::new());
    Ok(Record::new())
}

/// DescribeRules, of a listener (by ascending priority, the default rule last) or by ARN.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let listener = input.text("ListenerArn").filter(|arn| !arn.is_empty());
    let arns = input.strings("RuleArns");
    let (marker, size) = validation::paging(input)?;
    input.done()?;
    // The key sorts by priority, and names the rule.
    let key = |rule: &Rule| format!("{:05} {}", rule.priority, rule.arn);
    let mut chosen: Vec<(String, Record)> = match (listener, arns.is_empty()) {
        (None, true) => return Err(ApiError::validation("You must specify either listener rule ARNs or a listener ARN")),
        (Some(_), false) => {
            return Err(ApiError::validation("Listener rule ARNs and a listener ARN cannot be specified at the same time"));
        }
        (Some(arn), true) => {
            let (_, listener) = state.elb.listener(arn)?;
            let rules = listener.rules.values().map(|rule| (key(rule), rule.record()));
            rules.chain([(format!("default {}", listener.default_rule), default_record(listener))]).collect()
        }
        (None, false) => {
            validation::at_most_twenty(&arns, "listener rules")?;
            let mut found = Vec::new();
            for arn in &arns {
                let (_, listener, rule) = state.elb.rule(arn)?;
                found.push(rule.map_or_else(
                    || (format!("default {}", listener.default_rule), default_record(listener)),
                    |rule| (key(rule), rule.record()),
                ));
            }
            found
        }
    };
    chosen.sort_by(|a, b| a.0.cmp(&b.0));
    chosen.dedup_by(|a, b| a.0 == b.0);
    let (shown, next) = page::page(chosen, |(key, _)| key.clone(), marker.as_deref(), size)?;
    Ok(Record::new().list("Rules", shown.into_iter().map(|(_, record)| record)).maybe("NextMarker", next))
}
