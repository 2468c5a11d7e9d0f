//! The load balancer.

use super::attributes::Resource;
use super::changes::Changes;
use super::{Place, all_tags, beyond_defaults, foreign, unknown};
use super::{listener, traffic};
use crate::attributes;
use crate::observed::{self, LOAD_BALANCER_DEFAULTS, Observed, State};
use crate::operation::Operation;
use crate::stack::{LoadBalancer, SecurityGroups, Stack};
use portico_providers::{Action, Presence, ProviderError, ResourceId};
use std::collections::BTreeMap;

/// Creates the load balancer or brings it to where it should be. Gives what exists of it.
pub(super) fn ensure<'a>(
    stack: &Stack,
    wanted: &LoadBalancer,
    place: Place,
    observed: &'a Observed,
    changes: &mut Changes,
) -> Result<Option<&'a observed::LoadBalancer>, ProviderError> {
    let own = ResourceId("security-group".into());
    let security_groups = match &wanted.security_groups {
        SecurityGroups::Managed => Vec::new(),
        SecurityGroups::Ids(ids) => ids.clone(),
    };
    let mut tags = all_tags(stack.marks(&wanted.id), &wanted.tags);
    tags.extend(attributes::mark(&wanted.attributes));
    let there = match observed.load_balancers.get(&wanted.name) {
        None | Some(Presence::Unknown) => return Err(unknown("the load balancer")),
        Some(Presence::Absent) => {
            let operation = Operation::CreateLoadBalancer {
                name: wanted.name.clone(),
                scheme: wanted.scheme,
                ip_address_type: wanted.ip_address_type,
                subnets: place.subnets,
                security_groups,
                tags,
            };
            changes.push(Action::Create, &wanted.id, &[&own], operation, "not there yet", &[]);
            let attributes = beyond_defaults(&wanted.attributes, LOAD_BALANCER_DEFAULTS);
            if !attributes.is_empty() {
                let operation = Operation::ModifyLoadBalancerAttributes { load_balancer: wanted.name.clone(), attributes };
                changes.push(Action::Update, &wanted.id, &[&wanted.id], operation, "not AWS's defaults", &[]);
            }
            return Ok(None);
        }
        Some(Presence::Present(there)) if !stack.owns(&there.tags) => return Err(foreign("load balancer", &wanted.name, &there.tags)),
        Some(Presence::Present(there)) => there,
    };
    let name = || wanted.name.clone();
    let resource = Resource {
        id: &wanted.id,
        sources: &[],
        attributes: [&wanted.attributes, &there.attributes],
        tags: [&tags, &there.tags],
        tags_after: listener::tag(stack, there, changes),
        in_use: there.listeners.present().is_some_and(|listeners| !listeners.is_empty()),
    };
    let tag = |tags| Operation::TagLoadBalancer { load_balancer: name(), tags };
    resource.ensure(|attributes| Operation::ModifyLoadBalancerAttributes { load_balancer: name(), attributes }, tag, changes);
    if there.ip_address_type != wanted.ip_address_type {
        let reason = format!("{} → {}", there.ip_address_type, wanted.ip_address_type);
        let operation = Operation::SetIpAddressType { load_balancer: name(), ip_address_type: wanted.ip_address_type };
        changes.push(Action::Update, &wanted.id, &[], operation, reason, &[]);
    }
    if there.subnets != place.subnets {
        let reason = format!("{} → {}", there.subnets.join(", "), place.subnets.join(", "));
        changes.push(Action::Update, &wanted.id, &[], Operation::SetSubnets { load_balancer: name(), subnets: place.subnets }, reason, &[]);
    }
    let current = observed.security_group.present().map(|group| group.id.clone());
    let mut wanted_groups: Vec<_> = if security_groups.is_empty() { current.into_iter().collect() } else { security_groups.clone() };
    wanted_groups.sort();
    if there.security_groups != wanted_groups || wanted_groups.is_empty() {
        let reason = format!(
            "{} → {}",
            there.security_groups.join(", "),
            if security_groups.is_empty() { "its own".into() } else { security_groups.join(", ") }
        );
        changes.push(
            Action::Update,
            &wanted.id,
            &[&own],
            Operation::SetSecurityGroups { load_balancer: name(), security_groups },
            reason,
            &[],
        );
    }
    Ok(Some(there))
}

/// Deletes this unit's load balancers that the stack does not want. Beside a new one, the old one stays until the new one takes traffic; a later pass deletes it.
pub(super) fn delete_others(stack: &Stack, observed: &Observed, changes: &mut Changes) {
    for name in others(stack, observed) {
        let operation = Operation::DeleteLoadBalancer { load_balancer: name.to_owned() };
        let reason =
            if stack.load_balancer.is_some() { "replaced, since a load balancer cannot change its scheme" } else { "its Gateway is gone" };
        changes.delete(&ResourceId("load-balancer".into()), operation, reason);
        changes.gate(traffic::gate_replacement(stack));
        let there = observed.load_balancers.get(name).and_then(Presence::present);
        changes.releases(traffic::named_groups(there.into_iter().filter_map(|there| there.listeners.present()).flat_map(BTreeMap::values)));
    }
}

/// Load balancers that stay for now although the stack does not want them.
pub(super) fn staying<'a>(stack: &'a Stack, observed: &'a Observed) -> Vec<&'a observed::LoadBalancer> {
    let wanted = stack.load_balancer.as_ref().map(|balancer| balancer.name.as_str());
    let going: Vec<_> = others(stack, observed).collect();
    let there = observed.load_balancers.iter().filter(|(name, _)| Some(name.as_str()) != wanted && !going.contains(&name.as_str()));
    there.filter_map(|(_, there)| there.present()).collect()
}

/// Names of the load balancers that go now.
pub(super) fn others<'a>(stack: &'a Stack, observed: &'a Observed) -> impl Iterator<Item = &'a str> {
    let wanted = stack.load_balancer.as_ref().map(|balancer| balancer.name.as_str());
    let active = wanted
        .is_none_or(|name| observed.load_balancers.get(name).and_then(Presence::present).is_some_and(|there| there.state == State::Active));
    observed
        .load_balancers
        .iter()
        .filter(move |(name, there)| {
            active && Some(name.as_str()) != wanted && there.present().is_some_and(|there| stack.owns(&there.tags))
        })
        .map(|(name, _)| name.as_str())
}
