//! Target groups.

use super::attributes::Resource;
use super::changes::Changes;
use super::{all_tags, beyond_defaults, foreign, load_balancer, unknown};
use crate::attributes;
use crate::observed::{self, Observed, TARGET_GROUP_DEFAULTS};
use crate::operation::Operation;
use crate::stack::Stack;
use portico_providers::{Action, Presence, ProviderError, ResourceId, TargetSetId};
use std::collections::BTreeMap;

/// Creates target groups and brings them to where they should be.
pub(super) fn ensure(stack: &Stack, vpc: &str, observed: &Observed, changes: &mut Changes) -> Result<(), ProviderError> {
    for group in &stack.target_groups {
        let mut tags = all_tags(stack.marks(&group.id), &group.tags);
        tags.extend(attributes::mark(&group.attributes));
        let there = match observed.target_groups.get(&group.name) {
            None | Some(Presence::Unknown) => return Err(unknown(&format!("target group {}", group.name))),
            Some(Presence::Absent) => {
                let operation = Operation::CreateTargetGroup { target_group: Box::new(group.clone()), vpc: vpc.to_owned(), tags };
                changes.push(Action::Create, &group.id, &[], operation, "not there yet", &group.sources);
                changes.alias(by_name(&group.name));
                let attributes = beyond_defaults(&group.attributes, TARGET_GROUP_DEFAULTS);
                if !attributes.is_empty() {
                    let operation = Operation::ModifyTargetGroupAttributes { target_group: group.name.clone(), attributes };
                    changes.push(Action::Update, &group.id, &[&group.id], operation, "not AWS's defaults", &group.sources);
                }
                continue;
            }
            Some(Presence::Present(there)) if !stack.owns(&there.tags) => return Err(foreign("target group", &group.name.0, &there.tags)),
            Some(Presence::Present(there)) => there,
        };
        if there.health_check.as_ref() != Some(&group.health_check) {
            let operation = Operation::ModifyTargetGroup { target_group: group.name.clone(), health_check: group.health_check.clone() };
            changes.push(Action::Update, &group.id, &[], operation, "another health check", &group.sources);
        }
        let name = || group.name.clone();
        let resource = Resource {
            id: &group.id,
            sources: &group.sources,
            attributes: [&group.attributes, &there.attributes],
            tags: [&tags, &there.tags],
            tags_after: Vec::new(),
            in_use: !there.load_balancers.is_empty(),
        };
        let tag = |tags| Operation::TagTargetGroup { target_group: name(), tags };
        resource.ensure(|attributes| Operation::ModifyTargetGroupAttributes { target_group: name(), attributes }, tag, changes);
    }
    Ok(())
}

/// How rules know a target group.
pub(super) fn by_name(name: &TargetSetId) -> ResourceId {
    ResourceId(format!("target-group/name/{name}"))
}

/// Deletes this unit's target groups that the stack does not want and that no load balancer still uses that stays for now.
pub(super) fn delete_others(stack: &Stack, observed: &Observed, changes: &mut Changes) {
    let staying = load_balancer::staying(stack, observed);
    for (name, there) in &observed.target_groups {
        let Presence::Present(there) = there else { continue };
        let used = staying.iter().any(|balancer| there.load_balancers.contains(&balancer.arn) || forwards_to(balancer, name));
        if stack.target_group(name).is_some() || used || !stack.owns(&there.tags) {
            continue;
        }
        let id = there.tags.get(portico_providers::mark::RESOURCE).cloned().unwrap_or_else(|| format!("target-group/{name}"));
        changes.delete(&ResourceId(id), Operation::DeleteTargetGroup { target_group: name.clone() }, "nothing forwards to it any more");
        changes.after(changes.releasing(name));
    }
}

/// Whether a rule of a load balancer names a target group. What AWS says of its users may be older than our own calls.
fn forwards_to(balancer: &observed::LoadBalancer, name: &TargetSetId) -> bool {
    let listeners = balancer.listeners.present().into_iter().flat_map(BTreeMap::values);
    let rules = listeners.flat_map(|listener| listener.rules.present().into_iter().flat_map(BTreeMap::values));
    rules.flat_map(|rule| rule.action.target_groups()).any(|group| group == name)
}
