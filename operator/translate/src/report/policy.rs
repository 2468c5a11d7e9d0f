//! The report on a BackendTLSPolicy, for one Gateway.

use super::condition::ConditionType;
use super::{Condition, Fault, join};
use crate::status::{Desired, EntriesStatus, ParentStatus};
use crate::world::{World, ancestor};
use portico_crds::NamespacedName;
use portico_crds::condition::{PolicyCondition as Type, PolicyReason as Reason};

/// What is to be said about a policy as far as a Gateway is concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyReport {
    /// The generation that was looked at.
    pub generation: i64,
    /// The Gateway.
    pub gateway: NamespacedName,
    /// Why it does not take effect.
    pub(crate) rejected: Option<Fault<Reason>>,
    /// References that do not resolve.
    pub(crate) unresolved: Option<Fault<Reason>>,
    /// What of it has no effect, though the rest has.
    pub(crate) notes: Vec<String>,
}

impl PolicyReport {
    /// Its conditions.
    pub fn conditions(&self) -> Vec<Condition> {
        let accepted = match &self.rejected {
            Some(fault) => Condition::no(Type::Accepted, fault.reason, fault.message.clone()),
            None if self.notes.is_empty() => {
                Condition::yes(Type::Accepted, Reason::Accepted, "The certificates of backends are checked as the policy says")
            }
            None => Condition::yes(Type::Accepted, Reason::Accepted, join(self.notes.iter().cloned())),
        };
        let resolved = match &self.unresolved {
            Some(fault) => Condition::no(Type::ResolvedRefs, fault.reason, fault.message.clone()),
            None => Condition::yes(Type::ResolvedRefs, Reason::ResolvedRefs, "All references resolve"),
        };
        vec![accepted, resolved]
    }

    pub(super) fn desired(&self, world: &World, key: &NamespacedName) -> Desired {
        let entry = ParentStatus { parent: ancestor(&self.gateway), conditions: self.conditions() };
        status(world, key, self.generation, vec![entry])
    }
}

fn status(world: &World, key: &NamespacedName, generation: i64, parents: Vec<ParentStatus>) -> Desired {
    let kept = world.served_ancestors(key);
    Desired::Policy(EntriesStatus { generation, namespace: key.namespace.clone(), owned: Type::TYPES, parents, kept })
}

/// What the status of a policy should hold that lost an ancestor ([`crate::Impact::policies`]): the entries of ours for Gateways that it still
/// concerns stay as they are, the others go. `None` where the policy is gone.
pub fn policy_cleanup(world: &World, key: &NamespacedName) -> Option<Desired> {
    let policy = world.policies.get(key)?;
    Some(status(world, key, policy.meta.generation, Vec::new()))
}
