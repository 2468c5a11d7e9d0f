//! The list under construction.

use crate::operation::Operation;
use portico_providers::{Action, Change, ChangeId, Gate, ResourceId, Source, TargetSetId};
use std::collections::BTreeMap;

/// Changes so far, with who creates what.
#[derive(Default)]
pub(super) struct Changes {
    list: Vec<Change<Operation>>,
    creators: BTreeMap<ResourceId, ChangeId>,
    releases: BTreeMap<TargetSetId, Vec<ChangeId>>,
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

    /// Position of the last change.
    pub fn last(&self) -> Option<ChangeId> {
        self.list.len().checked_sub(1)
    }

    /// Lets the last change wait for a gate.
    pub fn gate(&mut self, gate: Gate) {
        if let Some(last) = self.list.last_mut() {
            last.gate = gate;
        }
    }

    /// Whether the last change waits for a gate.
    pub fn gated(&self) -> bool {
        self.list.last().is_some_and(|last| last.gate != Gate::None)
    }

    /// Lets the last change come after others.
    pub fn after(&mut self, others: impl IntoIterator<Item = ChangeId>) {
        let Some(id) = self.last() else { return };
        if let Some(last) = self.list.last_mut() {
            last.after.extend(others.into_iter().filter(|other| *other < id));
            last.after.sort_unstable();
            last.after.dedup();
        }
    }

    /// The last change ends a use of these target groups: they go after it.
    pub fn releases<'a>(&mut self, groups: impl IntoIterator<Item = &'a TargetSetId>) {
        let Some(last) = self.last() else { return };
        for group in groups {
            self.releases.entry(group.clone()).or_default().push(last);
        }
    }

    /// The changes so far whose operation is such a one.
    pub fn made(&self, such: impl Fn(&Operation) -> bool) -> Vec<ChangeId> {
        self.list.iter().enumerate().filter(|(_, change)| such(&change.operation)).map(|(id, _)| id).collect()
    }

    /// The changes that end a use of a target group.
    pub fn releasing(&self, group: &TargetSetId) -> Vec<ChangeId> {
        self.releases.get(group).cloned().unwrap_or_default()
    }

    pub fn into_list(self) -> Vec<Change<Operation>> {
        self.list
    }
}
