//! diff: from what is published to the stack.

use crate::observed::{Observed, ResourceKey, ResourceKind};
use crate::operation::Operation;
use crate::stack::Stack;
use portico_providers::{Action, Change, ChangeId, Gate, ResourceId};

/// What to publish and what to withdraw, ordered: what others refer to comes first, and goes last. Empty for a stack that is published as it is.
pub fn diff(stack: &Stack, observed: &Observed) -> Vec<Change<Operation>> {
    let wanted = stack.versions();
    let mut changes = Vec::new();
    if !wanted.is_empty() && observed.identification.is_some_and(|there| there != stack.identification) {
        changes.push(Change {
            action: Action::Update,
            resource: ResourceId(format!("fleet {}", stack.fleet)),
            operation: Operation::Identify(stack.identification),
            after: Vec::new(),
            gate: Gate::None,
            reason: "the profile says so".to_owned(),
            sources: Vec::new(),
        });
    }
    // Keys are ordered by kind, which is the order of reference.
    for (key, version) in &wanted {
        match observed.resources.get(key) {
            Some(there) if there == version => {}
            Some(_) => push(&mut changes, Action::Update, key, "its content changed"),
            None => push(&mut changes, Action::Create, key, "it is new"),
        }
    }
    let published = changes.len();
    let order =
        [ResourceKind::Listener, ResourceKind::RouteConfiguration, ResourceKind::VirtualHost, ResourceKind::Cluster, ResourceKind::Secret];
    for kind in order {
        for key in observed.resources.keys().filter(|key| key.kind == kind && !wanted.contains_key(*key)) {
            push(&mut changes, Action::Delete, key, "nothing needs it any more");
        }
    }
    for index in published..changes.len() {
        let after: Vec<ChangeId> = index.checked_sub(1).into_iter().collect();
        if let Some(change) = changes.get_mut(index) {
            change.after = after;
        }
    }
    changes
}

fn push(changes: &mut Vec<Change<Operation>>, action: Action, key: &ResourceKey, reason: &str) {
    let kind = if key.kind == ResourceKind::RouteConfiguration { "route-configuration" } else { key.kind.word() };
    let operation = if action == Action::Delete { Operation::Withdraw(key.clone()) } else { Operation::Publish(key.clone()) };
    changes.push(Change {
        action,
        resource: ResourceId(format!("{kind}/{}", key.name)),
        operation,
        after: Vec::new(),
        gate: Gate::None,
        reason: reason.to_owned(),
        sources: Vec::new(),
    });
}
