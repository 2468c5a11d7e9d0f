//! The list under construction.

use crate::operation::Operation;
use portico_providers::{Action, Change, ChangeId, Gate, ResourceId, Source};
use std::collections::BTreeMap;

/// Changes so far, with who creates what.
#[derive(Default)]
pub(super) struct Changes {
    list: Vec<Change<Operation>>,
    creators: BTreeMap<ResourceId, ChangeId>,
}

impl Changes {
    /// Appends a change. `needs` names resources: where this list creates or changes one of them, that comes first.
    pub fn push(
        &mut self,
        action: Action,
        resource: &ResourceId,
        needs: &[&ResourceId],
        operation: Operation,
        reason: impl Into<String>,
        sources: &[Source],
    ) {
        let mut after: Vec<_> = needs.iter().filter_map(|id| self.creators.get(*id).copied()).collect();
        if action != Action::Create {
            after.extend(self.creators.get(resource).copied());
        }
        after.sort_unstable();
        after.dedup();
        if action != Action::Delete {
            self.creators.entry(resource.clone()).or_insert(self.list.len());
        }
        self.list.push(Change {
            action,
            resource: resource.clone(),
            operation,
            after,
            gate: Gate::None,
            reason: reason.into(),
            sources: sources.to_vec(),
        });
    }

    /// Appends a deletion that must come after everything before it that touches what it deletes; the list's order says so.
    pub fn delete(&mut self, resource: &ResourceId, operation: Operation, reason: impl Into<String>) {
        self.push(Action::Delete, resource, &[], operation, reason, &[]);
    }

    /// Lets the last change be found by another name, too: rules know target groups by name.
    pub fn alias(&mut self, resource: ResourceId) {
        if let Some(last) = self.list.len().checked_sub(1) {
            self.creators.entry(resource).or_insert(last);
        }
    }

    pub fn into_list(self) -> Vec<Change<Operation>> {
        self.list
    }
}
