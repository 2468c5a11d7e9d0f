//! The load balancer's security group, and its way to the pods.

use super::changes::Changes;
use super::subnet::{CLUSTER_TAG, has_tag};
use super::{all_tags, describe, missing, unknown};
use crate::limit;
use crate::observed::{BackendGroup, Observed, PortRange};
use crate::operation::Operation;
use crate::stack::{BackendAccess, BackendGroups, SecurityGroup, Stack};
use portico_providers::{Action, Presence, ProviderError, ResourceId};
use std::collections::BTreeSet;

/// Brings the group, its rules, and the rules in the groups of nodes and pods to where they should be.
pub(super) fn ensure(stack: &Stack, vpc: &str, observed: &Observed, changes: &mut Changes) -> Result<(), ProviderError> {
    let Some(wanted) = &stack.security_group else { return Ok(()) };
    own(stack, wanted, vpc, observed, changes)?;
    let groups = match (&observed.backend_groups, &stack.backend_access) {
        (Presence::Present(groups), _) => groups.as_slice(),
        (Presence::Absent, _) | (Presence::Unknown, None) => &[],
        (Presence::Unknown, Some(_)) => return Err(unknown("the security groups of the nodes")),
    };
    let selected = match &stack.backend_access {
        Some(access) => select(access, vpc, groups)?,
        None => Vec::new(),
    };
    let range = PortRange::backend_access();
    if let Some(access) = &stack.backend_access {
        for group in selected.iter().filter(|group| !group.admits_us.contains(&range)) {
            let operation = Operation::AuthorizeBackend { group: group.id.clone(), description: access.description.clone() };
            changes.push(
                Action::Create,
                &backend_rule(access, group),
                &[&wanted.id],
                operation,
                "the load balancer must reach the pods",
                &[],
            );
        }
    }
    for group in groups {
        let keep = selected.iter().any(|chosen| chosen.id == group.id);
        let ranges: Vec<_> = group.admits_us.iter().filter(|found| !keep || **found != range).cloned().collect();
        if !ranges.is_empty() {
            let operation = Operation::RevokeBackend { group: group.id.clone(), ranges };
            changes.delete(&ResourceId(format!("backend-access/{}", group.id)), operation, "the load balancer needs it no more");
        }
    }
    Ok(())
}

fn backend_rule(access: &BackendAccess, group: &BackendGroup) -> ResourceId {
    ResourceId(format!("{}/{}", access.id, group.id))
}

fn own(stack: &Stack, wanted: &SecurityGroup, vpc: &str, observed: &Observed, changes: &mut Changes) -> Result<(), ProviderError> {
    let tags = all_tags(stack.marks(&wanted.id), &wanted.tags);
    let (ingress, new) = match &observed.security_group {
        Presence::Unknown => return Err(unknown("the load balancer's security group")),
        Presence::Absent => {
            let operation = Operation::CreateSecurityGroup {
                name: wanted.name.clone(),
                description: wanted.description.clone(),
                vpc: vpc.to_owned(),
                tags: tags.clone(),
            };
            changes.push(Action::Create, &wanted.id, &[], operation, "not there yet", &[]);
            (BTreeSet::new(), true)
        }
        Presence::Present(there) => {
            let tags = missing(&tags, &there.tags);
            if !tags.is_empty() {
                let reason = describe(&tags, &there.tags);
                changes.push(Action::Update, &wanted.id, &[], Operation::TagSecurityGroup { tags }, reason, &[]);
            }
            (there.ingress.iter().collect(), false)
        }
    };
    let missing: Vec<_> = wanted.ingress.iter().filter(|rule| !ingress.contains(rule)).cloned().collect();
    let stale: Vec<_> = ingress.iter().filter(|rule| !wanted.ingress.contains(rule)).map(|rule| (*rule).clone()).collect();
    // Where there is no room for both, those that nobody wants any more go first.
    let crowded = ingress.len() + missing.len() > limit::INBOUND_RULES_PER_SECURITY_GROUP as usize;
    let reason = if new { "clients must reach the listeners" } else { "what may connect has changed" };
    let mut steps = [Operation::AuthorizeIngress { rules: missing }, Operation::RevokeIngress { rules: stale }];
    if crowded {
        steps.reverse();
    }
    let mut before = None;
    for operation in steps {
        if matches!(&operation, Operation::AuthorizeIngress { rules } | Operation::RevokeIngress { rules } if !rules.is_empty()) {
            changes.push(Action::Update, &wanted.id, &[&wanted.id], operation, reason, &[]);
            changes.after(before);
            before = changes.last();
        }
    }
    Ok(())
}

/// The groups of nodes and pods that the load balancer is let into.
fn select<'a>(access: &BackendAccess, vpc: &str, groups: &'a [BackendGroup]) -> Result<Vec<&'a BackendGroup>, ProviderError> {
    let settings = |message: String| ProviderError::Settings { message };
    let here = || groups.iter().filter(|group| group.vpc == vpc);
    match &access.groups {
        BackendGroups::Ids(ids) => {
            ids.iter()
                .map(|id| {
                    groups.iter().find(|group| group.id == *id).ok_or_else(|| {
                        settings(format!("spec.aws.backendSecurityGroups.ids names {id}, which does not exist; correct the id"))
                    })
                })
                .collect()
        }
        BackendGroups::Tags(tags) => {
            let found: Vec<_> = here().filter(|group| tags.iter().all(|(key, value)| has_tag(&group.tags, key, value))).collect();
            if found.is_empty() {
                return Err(settings(format!(
                    "spec.aws.backendSecurityGroups.discover finds no security group in {vpc}; tag one, or name it under ids"
                )));
            }
            Ok(found)
        }
        BackendGroups::Discover { cluster_name } => {
            let names = |group: &'a BackendGroup| group.tags.keys().filter_map(|key| key.strip_prefix(CLUSTER_TAG));
            let all: BTreeSet<_> = here().flat_map(names).collect();
            let name = match (cluster_name, all.len()) {
                (Some(name), _) => name.as_str(),
                (None, 0 | 1) => all.first().copied().unwrap_or_default(),
                (None, _) => {
                    let all: Vec<_> = all.into_iter().collect();
                    return Err(settings(format!(
                        "security groups in {vpc} belong to several clusters ({}): set spec.aws.clusterName of the LoadBalancerProfile to the name of this one",
                        all.join(", ")
                    )));
                }
            };
            let found: Vec<_> = here().filter(|group| names(group).any(|found| found == name)).collect();
            if found.is_empty() {
                return Err(settings(format!(
                    "no security group in {vpc} has a tag kubernetes.io/cluster/{}, so that nothing says which groups guard the pods: name them in \
                     spec.aws.backendSecurityGroups of the LoadBalancerProfile, or set manageRules to false there",
                    if name.is_empty() { "NAME" } else { name }
                )));
            }
            Ok(found)
        }
    }
}

/// Takes away what the unit's group opened, and the group. AWS: a group that another one's rule refers to cannot be deleted.
pub(super) fn delete(observed: &Observed, changes: &mut Changes) {
    let Presence::Present(own) = &observed.security_group else { return };
    // Not knowing who refers to it is no reason to keep it: AWS refuses the deletion as long as somebody does.
    for group in observed.backend_groups.present().into_iter().flatten().filter(|group| !group.admits_us.is_empty()) {
        let operation = Operation::RevokeBackend { group: group.id.clone(), ranges: group.admits_us.clone() };
        changes.delete(&ResourceId(format!("backend-access/{}", group.id)), operation, "the load balancer is gone");
    }
    changes.delete(
        &ResourceId("security-group".into()),
        Operation::DeleteSecurityGroup { id: own.id.clone() },
        "the load balancer is gone",
    );
    changes.after(changes.made(|operation| matches!(operation, Operation::DeleteLoadBalancer { .. } | Operation::RevokeBackend { .. })));
}
