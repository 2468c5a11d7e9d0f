//! Changes: what is done to a cloud, in an order that people can read and approve.

use crate::{ResourceId, RuleId};
use portico_crds::ObjectRef;
use serde::{Deserialize, Serialize};

/// Position of a change in its list; `after` refers to it.
pub type ChangeId = usize;

/// One step towards the stack. Every change is safely repeatable after a crash, a throttle or a lost response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change<Operation> {
    /// Whether something appears, changes or goes.
    pub action: Action,
    /// What it is done to.
    pub resource: ResourceId,
    /// The call, in the provider's own words.
    pub operation: Operation,
    /// Changes that must be done before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<ChangeId>,
    /// What must hold before it is done.
    #[serde(default, skip_serializing_if = "Gate::is_none")]
    pub gate: Gate,
    /// Why: one line for a person ("weights 50/50 → 90/10").
    pub reason: String,
    /// The Kubernetes objects that it comes from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

impl<Operation> Change<Operation> {
    /// The same change with its call in other words.
    pub fn map<Other>(self, words: impl FnOnce(Operation) -> Other) -> Change<Other> {
        let Self { action, resource, operation, after, gate, reason, sources } = self;
        Change { action, resource, operation: words(operation), after, gate, reason, sources }
    }

    /// The same change with its call in other words, or nothing if there are none for it.
    pub fn filter_map<Other>(self, words: impl FnOnce(Operation) -> Option<Other>) -> Option<Change<Other>> {
        let Self { action, resource, operation, after, gate, reason, sources } = self;
        Some(Change { action, resource, operation: words(operation)?, after, gate, reason, sources })
    }
}

/// Kind of a change, as a plan prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// `+`
    Create,
    /// `~`
    Update,
    /// `-`
    Delete,
}

/// What must hold before a change is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Gate {
    /// Nothing.
    #[default]
    None,
    /// The targets of these sets have been checked and take requests (make before break): the change moves traffic to them that others serve now. A set without
    /// endpoints to wait for, and patience that has run out, open the gate as well.
    TargetsHealthy(Vec<crate::TargetSetId>),
    /// The targets of these sets are registered. For sets that nothing refers to before the change, so that the cloud does not check them yet.
    TargetsRegistered(Vec<crate::TargetSetId>),
    /// A long operation of the cloud is over.
    OperationDone(String),
    /// An earlier change has reached the data plane.
    Propagated(ChangeId),
}

impl Gate {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Where a cloud resource comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A rule of a route.
    Rule(RuleId),
    /// Any other object.
    Object(ObjectRef),
}
