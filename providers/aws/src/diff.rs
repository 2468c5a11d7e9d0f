//! diff: the calls that lead from what exists to the stack, in an order that breaks nothing on the way.
//!
//! Order: security groups, target groups, load balancer, certificates, listeners, rules, then what goes: rules, listeners, load balancers, target groups, access to
//! pods, security group, certificates. What exists stays until what takes its place is there, and requests move to new target groups only when those take them.

mod attributes;
mod certificate;
mod changes;
mod listener;
mod load_balancer;
mod priority;
mod rule;
mod security_group;
mod subnet;
mod target_group;
mod traffic;

use crate::limit;
use crate::observed::Observed;
use crate::operation::Operation;
use crate::stack::{LoadBalancer, Stack, mark_of};
use changes::Changes;
use portico_providers::{Change, Presence, ProviderError, TagSet};
use std::collections::BTreeMap;

/// The calls that lead from what is observed to the stack; none if it is already there. Pure.
///
/// Only a proven absence or presence leads to a change: where something that the stack needs is not known, nothing is done at all.
///
/// # Errors
/// [`ProviderError::NotReady`] if what the stack needs is not known, [`ProviderError::Settings`] if no subnets or groups fit, [`ProviderError::Limit`] if the
/// load balancer would need more than the account allows.
pub fn diff(stack: &Stack, observed: &Observed) -> Result<Vec<Change<Operation>>, ProviderError> {
    let mut changes = Changes::default();
    let existing = stack.load_balancer.as_ref().and_then(|wanted| observed.load_balancers.get(&wanted.name)?.present());
    let stack = &*certificate::settled(stack, existing, observed);
    let Some(wanted) = &stack.load_balancer else {
        if observed.load_balancers.values().any(Presence::is_unknown) {
            return Err(unknown("the unit's load balancers"));
        }
        load_balancer::delete_others(stack, observed, &mut changes);
        target_group::delete_others(stack, observed, &mut changes);
        security_group::delete(observed, &mut changes);
        certificate::delete_others(stack, observed, &mut changes);
        return Ok(changes.into_list());
    };
    check_limits(stack, observed)?;
    let place = place(stack, wanted, observed)?;
    security_group::ensure(stack, &place.vpc, observed, &mut changes)?;
    target_group::ensure(stack, &place.vpc, observed, &mut changes)?;
    let existing = load_balancer::ensure(stack, wanted, place, observed, &mut changes)?;
    certificate::ensure(stack, observed, &mut changes)?;
    listener::ensure(stack, wanted, existing, observed, &mut changes)?;
    load_balancer::delete_others(stack, observed, &mut changes);
    target_group::delete_others(stack, observed, &mut changes);
    if stack.security_group.is_none() && load_balancer::staying(stack, observed).is_empty() {
        security_group::delete(observed, &mut changes);
    }
    certificate::delete_others(stack, observed, &mut changes);
    Ok(changes.into_list())
}

/// Where the load balancer goes.
struct Place {
    vpc: String,
    subnets: Vec<String>,
}

fn place(stack: &Stack, wanted: &LoadBalancer, observed: &Observed) -> Result<Place, ProviderError> {
    let existing = observed.load_balancers.get(&wanted.name).and_then(Presence::present);
    let Presence::Present(subnets) = &observed.subnets else {
        // A load balancer that is there stays where it is until subnets are known.
        return match existing {
            Some(there) => Ok(Place { vpc: there.vpc.clone(), subnets: there.subnets.clone() }),
            None => Err(unknown("the VPC's subnets")),
        };
    };
    let current = existing.map(|there| there.subnets.as_slice()).unwrap_or_default();
    let chosen = subnet::choose(wanted, current, subnets, observed.vpc.as_deref())?;
    if let Some(there) = existing.filter(|there| there.vpc != chosen.vpc) {
        return Err(ProviderError::Settings {
            message: format!(
                "load balancer {} of {} lives in {}, and spec.aws.subnets of the LoadBalancerProfile now lead to {}: AWS cannot move it; choose subnets of {}, \
                 or make a new Gateway",
                wanted.name, stack.unit, there.vpc, chosen.vpc, there.vpc
            ),
        });
    }
    Ok(Place { vpc: chosen.vpc, subnets: chosen.ids })
}

/// Limits that no order of calls gets around, told before the first call.
fn check_limits(stack: &Stack, observed: &Observed) -> Result<(), ProviderError> {
    let limits = observed.limits;
    for (what, need, have) in [
        ("rules", stack.rule_count(), limits.rules_per_load_balancer),
        ("listeners", stack.listeners.len(), limits.listeners_per_load_balancer),
        ("target groups", stack.target_groups.len(), limits.target_groups_per_load_balancer),
    ] {
        if need > have as usize {
            return Err(ProviderError::Limit {
                operation: format!("the load balancer of {}", stack.unit),
                message: format!("{need} {what} are needed, the account allows {have} for one load balancer"),
            });
        }
    }
    Ok(())
}

/// What the error is when something that the stack needs is not known.
fn unknown(what: &str) -> ProviderError {
    ProviderError::NotReady { message: format!("{what} could not be looked up yet") }
}

/// What the error is when somebody else's resource has a name that we need.
fn foreign(kind: &str, name: &str, tags: &TagSet) -> ProviderError {
    let message = match mark_of(tags) {
        Some((cluster, unit)) => format!("it belongs to {unit} of the cluster {cluster}"),
        None => "it carries no marks of Portico".to_owned(),
    };
    ProviderError::Foreign { resource: format!("{kind} {name}"), message }
}

/// Wanted pairs that are missing or different.
fn missing(wanted: &BTreeMap<String, String>, existing: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    wanted.iter().filter(|(key, value)| existing.get(*key) != Some(value)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Wanted attributes that differ from those that AWS gives a new resource.
fn beyond_defaults(wanted: &BTreeMap<String, String>, defaults: &[(&str, &str)]) -> BTreeMap<String, String> {
    missing(wanted, &defaults.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

/// Marks on top of the user's tags.
fn all_tags(marks: TagSet, tags: &TagSet) -> TagSet {
    let mut all = tags.clone();
    all.extend(marks);
    all.into_iter().take(limit::TAGS_PER_RESOURCE).collect()
}

/// `a → b, …` of maps of settings.
fn describe(differences: &BTreeMap<String, String>, existing: &BTreeMap<String, String>) -> String {
    let texts: Vec<_> =
        differences.iter().map(|(key, value)| format!("{key} {} → {value}", existing.get(key).map_or("unset", String::as_str))).collect();
    texts.join(", ")
}
