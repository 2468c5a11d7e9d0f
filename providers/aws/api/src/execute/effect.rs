//! What a call did, written through to what is remembered of the unit.

use crate::cache::UnitState;
use portico_aws::Operation;
use portico_aws::observed::{
    BackendGroup, Certificate, Listener, ListenerTls, LoadBalancer, Observed, PortRange, Rule, SecurityGroup, TargetGroup,
};
use portico_providers::{Presence, ProviderError, TagSet};
use std::collections::BTreeMap;

/// What a call made, beyond what it says itself.
#[derive(Debug)]
pub(super) enum Effect {
    /// Nothing that has an id.
    Done,
    /// A load balancer.
    LoadBalancer(Box<LoadBalancer>),
    /// A target group.
    TargetGroup(Box<TargetGroup>),
    /// A listener; its rules may be known.
    Listener(Box<Listener>),
    /// A rule's ARN.
    Rule(String),
    /// A security group.
    SecurityGroup(Box<SecurityGroup>),
    /// A certificate's ARN, with its tags.
    Certificate(String, TagSet),
    /// What a listener has of TLS now; nothing without.
    ListenerTls(Option<ListenerTls>),
}

/// Writes an outcome through.
pub(super) fn apply(operation: &Operation, effect: Effect, state: &mut UnitState) -> Result<(), ProviderError> {
    let observed = &mut state.observed;
    match (operation, effect) {
        (Operation::CreateSecurityGroup { .. }, Effect::SecurityGroup(group)) => observed.security_group = Presence::Present(*group),
        (Operation::CreateTargetGroup { target_group, .. }, Effect::TargetGroup(group)) => {
            observed.target_groups.insert(target_group.name.clone(), Presence::Present(*group));
        }
        (Operation::CreateLoadBalancer { name, .. }, Effect::LoadBalancer(balancer)) => {
            observed.load_balancers.insert(name.clone(), Presence::Present(*balancer));
        }
        (Operation::CreateListener { load_balancer, port, .. }, Effect::Listener(listener)) => {
            if let Some(listeners) = listeners(observed, load_balancer) {
                listeners.insert(*port, *listener);
            }
        }
        (Operation::CreateRule { load_balancer, port, priority, conditions, transforms, action }, Effect::Rule(arn)) => {
            if let Some(rules) = rules(observed, load_balancer, *port) {
                let mut transforms = transforms.clone();
                transforms.sort();
                rules.insert(*priority, Rule { arn, conditions: conditions.clone(), transforms, action: action.clone() });
            }
            for name in action.target_groups() {
                let arn = observed.load_balancers.get(load_balancer).and_then(Presence::present).map(|balancer| balancer.arn.clone());
                if let (Some(Presence::Present(group)), Some(arn)) = (observed.target_groups.get_mut(name), arn)
                    && !group.load_balancers.contains(&arn)
                {
                    group.load_balancers.push(arn);
                }
            }
        }
        (Operation::ImportCertificate { .. }, Effect::Certificate(arn, tags)) => {
            observed.certificates.insert(arn, Presence::Present(Certificate { tags }));
        }
        (
            Operation::ModifyListener { load_balancer, port, .. } | Operation::AddListenerCertificate { load_balancer, port, .. },
            Effect::ListenerTls(tls),
        ) => {
            if let Some(listener) = listeners(observed, load_balancer).and_then(|listeners| listeners.get_mut(port)) {
                listener.tls = tls;
            }
            done(operation, observed);
        }
        (operation, Effect::Done) => done(operation, observed),
        (operation, effect) => {
            return Err(ProviderError::Transient {
                operation: operation.call().to_owned(),
                message: format!("the answer is not one that fits: {effect:?}"),
            });
        }
    }
    Ok(())
}

fn done(operation: &Operation, observed: &mut Observed) {
    match operation {
        Operation::AuthorizeIngress { rules } => {
            if let Presence::Present(group) = &mut observed.security_group {
                group.ingress.extend(rules.iter().cloned());
                group.ingress.sort();
                group.ingress.dedup();
            }
        }
        Operation::RevokeIngress { rules } => {
            if let Presence::Present(group) = &mut observed.security_group {
                group.ingress.retain(|rule| !rules.contains(rule));
            }
        }
        Operation::AuthorizeBackend { group, .. } => {
            if let Some(group) = backend(observed, group) {
                group.admits_us.push(PortRange::backend_access());
                group.admits_us.sort();
                group.admits_us.dedup();
            }
        }
        Operation::RevokeBackend { group, ranges } => {
            if let Some(group) = backend(observed, group) {
                group.admits_us.retain(|range| !ranges.contains(range));
            }
        }
        Operation::TagSecurityGroup { tags } => {
            if let Presence::Present(group) = &mut observed.security_group {
                overlay(&mut group.tags, tags);
            }
        }
        Operation::DeleteSecurityGroup { .. } => observed.security_group = Presence::Absent,
        Operation::ModifyTargetGroup { target_group, health_check } => {
            if let Some(Presence::Present(group)) = observed.target_groups.get_mut(target_group) {
                group.health_check = Some(health_check.clone());
            }
        }
        Operation::ModifyTargetGroupAttributes { target_group, attributes } => {
            if let Some(Presence::Present(group)) = observed.target_groups.get_mut(target_group) {
                overlay(&mut group.attributes, attributes);
            }
        }
        Operation::TagTargetGroup { target_group, tags } => {
            if let Some(Presence::Present(group)) = observed.target_groups.get_mut(target_group) {
                overlay(&mut group.tags, tags);
            }
        }
        Operation::DeleteTargetGroup { target_group } => drop(observed.target_groups.insert(target_group.clone(), Presence::Absent)),
        Operation::ModifyLoadBalancerAttributes { load_balancer, attributes } => {
            if let Some(there) = balancer(observed, load_balancer) {
                overlay(&mut there.attributes, attributes);
            }
        }
        Operation::SetIpAddressType { load_balancer, ip_address_type } => {
            if let Some(there) = balancer(observed, load_balancer) {
                there.ip_address_type = *ip_address_type;
            }
        }
        Operation::SetSubnets { load_balancer, subnets } => {
            if let Some(there) = balancer(observed, load_balancer) {
                there.subnets = subnets.clone();
                there.subnets.sort();
            }
        }
        Operation::SetSecurityGroups { load_balancer, security_groups } => {
            let own = observed.security_group.present().map(|group| vec![group.id.clone()]).unwrap_or_default();
            if let Some(there) = balancer(observed, load_balancer) {
                there.security_groups = if security_groups.is_empty() { own } else { security_groups.clone() };
                there.security_groups.sort();
            }
        }
        Operation::TagLoadBalancer { load_balancer, tags } => {
            if let Some(there) = balancer(observed, load_balancer) {
                overlay(&mut there.tags, tags);
            }
        }
        Operation::DeleteLoadBalancer { load_balancer } => {
            let gone = balancer(observed, load_balancer).map(|there| there.arn.clone());
            for group in observed.target_groups.values_mut() {
                if let Presence::Present(group) = group {
                    group.load_balancers.retain(|arn| Some(arn) != gone.as_ref());
                }
            }
            observed.load_balancers.insert(load_balancer.clone(), Presence::Absent);
        }
        Operation::ReimportCertificate { .. } | Operation::AddListenerCertificate { .. } | Operation::ImportCertificate { .. } => {}
        Operation::TagCertificate { arn, tags } => {
            if let Some(Presence::Present(there)) = observed.certificates.get_mut(arn) {
                overlay(&mut there.tags, tags);
            }
        }
        Operation::DeleteCertificate { arn } => drop(observed.certificates.insert(arn.clone(), Presence::Absent)),
        Operation::RemoveListenerCertificate { load_balancer, port, arn } => {
            let listener = listeners(observed, load_balancer).and_then(|listeners| listeners.get_mut(port));
            if let Some(tls) = listener.and_then(|listener| listener.tls.as_mut()) {
                tls.certificates.remove(arn);
            }
        }
        Operation::ModifyListener { load_balancer, port, protocol, default_action, .. } => {
            if let Some(listener) = listeners(observed, load_balancer).and_then(|listeners| listeners.get_mut(port)) {
                listener.protocol = Some(protocol.clone());
                listener.default_action = default_action.clone();
            }
        }
        Operation::DeleteListener { load_balancer, port } => {
            drop(listeners(observed, load_balancer).and_then(|listeners| listeners.remove(port)))
        }
        Operation::ModifyRule { load_balancer, port, arn, conditions, transforms, action } => {
            if let Some(rule) = rules(observed, load_balancer, *port).and_then(|rules| rules.values_mut().find(|rule| rule.arn == *arn)) {
                if let Some(conditions) = conditions {
                    rule.conditions = conditions.clone();
                }
                rule.transforms = transforms.clone();
                rule.transforms.sort();
                rule.action = action.clone();
            }
        }
        Operation::SetRulePriorities { load_balancer, port, priorities } => {
            if let Some(rules) = rules(observed, load_balancer, *port) {
                let moved = std::mem::take(rules).into_iter();
                *rules = moved.map(|(priority, rule)| (priorities.get(&rule.arn).copied().unwrap_or(priority), rule)).collect();
            }
        }
        Operation::DeleteRule { load_balancer, port, arn } => {
            if let Some(rules) = rules(observed, load_balancer, *port) {
                rules.retain(|_, rule| rule.arn != *arn);
            }
        }
        Operation::CreateSecurityGroup { .. }
        | Operation::CreateTargetGroup { .. }
        | Operation::CreateLoadBalancer { .. }
        | Operation::CreateListener { .. }
        | Operation::TagListener { .. }
        | Operation::CreateRule { .. } => {}
    }
}

fn overlay(target: &mut TagSet, pairs: &TagSet) {
    target.extend(pairs.iter().map(|(key, value)| (key.clone(), value.clone())));
}

fn backend<'a>(observed: &'a mut Observed, id: &str) -> Option<&'a mut BackendGroup> {
    match &mut observed.backend_groups {
        Presence::Present(groups) => groups.iter_mut().find(|group| group.id == id),
        _ => None,
    }
}

fn balancer<'a>(observed: &'a mut Observed, name: &str) -> Option<&'a mut LoadBalancer> {
    match observed.load_balancers.get_mut(name) {
        Some(Presence::Present(there)) => Some(there),
        _ => None,
    }
}

fn listeners<'a>(observed: &'a mut Observed, name: &str) -> Option<&'a mut BTreeMap<u16, Listener>> {
    match &mut balancer(observed, name)?.listeners {
        Presence::Present(listeners) => Some(listeners),
        _ => None,
    }
}

fn rules<'a>(observed: &'a mut Observed, name: &str, port: u16) -> Option<&'a mut BTreeMap<u32, Rule>> {
    match &mut listeners(observed, name)?.get_mut(&port)?.rules {
        Presence::Present(rules) => Some(rules),
        _ => None,
    }
}
