//! The report on a ListenerSet.

use super::condition::ConditionType;
use super::{Condition, Fault, GatewayReport, ListenerReport, Truth, join};
use crate::status::{Desired, ObjectStatus};
use portico_crds::condition::{GatewayReason, ListenerSetCondition as Type, ListenerSetReason as Reason};
use portico_providers::ListenerOwner;
use std::collections::BTreeMap;

/// What is to be said about a ListenerSet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListenerSetReport {
    /// The generation that was looked at.
    pub generation: i64,
    /// Its listeners, in the order of the spec; none where it may not attach.
    pub listeners: Vec<ListenerReport>,
    /// Why it is not accepted, whatever its listeners are.
    pub(crate) rejected: Option<Fault<Reason>>,
    /// What was cut out of its spec and belongs to no listener.
    pub(crate) notes: Vec<String>,
}

impl ListenerSetReport {
    /// Whether it is attached to its Gateway, with at least one listener that can be served.
    pub fn is_accepted(&self, gateway: &GatewayReport) -> bool {
        self.accepted(gateway).status == Truth::True
    }

    /// Its conditions; `gateway` is the report on its Gateway.
    pub fn conditions(&self, gateway: &GatewayReport) -> Vec<Condition> {
        let accepted = self.accepted(gateway);
        let programmed = self.programmed(gateway, &accepted);
        vec![accepted, programmed]
    }

    fn accepted(&self, gateway: &GatewayReport) -> Condition {
        if let Some(fault) = &self.rejected {
            return Condition::no(Type::Accepted, fault.reason, fault.message.clone());
        }
        if gateway.rejected.is_some() {
            return Condition::no(Type::Accepted, Reason::ParentNotAccepted, "The Gateway is not accepted; its own conditions say why");
        }
        let faults = self.listeners.iter().filter_map(|it| Some((it, it.rejected.as_ref().or(it.unprogrammable.as_ref())?)));
        let bad: Vec<_> = faults.map(|(it, fault)| format!("listener {}: {}", it.owner.section, fault.message)).collect();
        let message = join(bad.iter().cloned().chain(self.notes.iter().cloned()));
        match (bad.len() < self.listeners.len(), bad.is_empty()) {
            (true, true) if message.is_empty() => Condition::yes(Type::Accepted, Reason::Accepted, "The ListenerSet is attached"),
            (true, true) => Condition::yes(Type::Accepted, Reason::Accepted, message),
            (true, false) => Condition::yes(Type::Accepted, Reason::ListenersNotValid, message),
            (false, _) => Condition::no(Type::Accepted, Reason::ListenersNotValid, message),
        }
    }

    /// Repeats the reason of Accepted where that is False; otherwise it stands with the Gateway.
    fn programmed(&self, gateway: &GatewayReport, accepted: &Condition) -> Condition {
        if accepted.status != Truth::True {
            return Condition { r#type: Type::Programmed.word(), ..accepted.clone() };
        }
        if gateway.serves() {
            return Condition::yes(Type::Programmed, Reason::Programmed, "The load balancer listens");
        }
        let of_gateway = gateway.programmed();
        let pending = of_gateway.reason == GatewayReason::Pending.as_str();
        let reason = if pending { Reason::Pending } else { Reason::ParentNotProgrammed };
        Condition { tentative: of_gateway.tentative, ..Condition::new(Type::Programmed, of_gateway.status, reason, of_gateway.message) }
    }

    pub(super) fn desired(&self, gateway: &GatewayReport, attached: &BTreeMap<&ListenerOwner, usize>) -> Desired {
        Desired::Object(ObjectStatus {
            generation: self.generation,
            owned: Type::TYPES,
            conditions: self.conditions(gateway),
            listeners: Some(self.listeners.iter().map(|listener| listener.status(gateway, attached)).collect()),
            fields: Vec::new(),
        })
    }
}
