//! The report on a listener of a Gateway or ListenerSet.

use super::{Condition, Fault, GatewayReport, join};
use crate::status::ListenerStatus;
use portico_crds::GATEWAY_GROUP;
use portico_crds::condition::{ListenerCondition, ListenerReason};
use portico_providers::{ListenerOwner, RouteKind};
use serde_json::json;
use std::collections::BTreeMap;

/// What is to be said about a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerReport {
    /// Whose it is.
    pub owner: ListenerOwner,
    /// The kinds of routes that may attach.
    pub supported_kinds: Vec<RouteKind>,
    /// Why it is not accepted.
    pub(crate) rejected: Option<Fault<ListenerReason>>,
    /// Whether that is because of another listener.
    pub(crate) conflicted: bool,
    /// What of its references does not resolve.
    pub(crate) unresolved: Option<Fault<ListenerReason>>,
    /// Why it cannot be programmed although it is accepted.
    pub(crate) unprogrammable: Option<Fault<ListenerReason>>,
    /// What of its TLS overlaps with that of other listeners.
    pub(crate) overlapping: Option<Fault<ListenerReason>>,
    /// What its author should know although it is served.
    pub(crate) warnings: Vec<String>,
}

impl ListenerReport {
    /// Whether it is, or is to be, served.
    pub fn is_served(&self) -> bool {
        self.rejected.is_none() && self.unprogrammable.is_none()
    }

    /// Its conditions; `gateway` is the report on its Gateway, or on its ListenerSet's.
    pub fn conditions(&self, gateway: &GatewayReport) -> Vec<Condition> {
        use ListenerCondition as Type;
        use ListenerReason as Reason;
        let programmed = match (&self.rejected, &self.unprogrammable) {
            (Some(fault), _) if self.conflicted => Condition::no(Type::Programmed, fault.reason, fault.message.clone()),
            (Some(fault), _) => Condition::no(Type::Programmed, Reason::Invalid, fault.message.clone()),
            (None, Some(fault)) => Condition::no(Type::Programmed, fault.reason, fault.message.clone()),
            (None, None) => gateway.listener_progress(),
        };
        let mut conditions = vec![
            match &self.rejected {
                Some(fault) => Condition::no(Type::Accepted, fault.reason, fault.message.clone()),
                None => Condition::yes(Type::Accepted, Reason::Accepted, "The listener is valid"),
            },
            programmed,
            match &self.unresolved {
                Some(fault) => Condition::no(Type::ResolvedRefs, fault.reason, self.with_warnings(&fault.message)),
                None => Condition::yes(Type::ResolvedRefs, Reason::ResolvedRefs, self.with_warnings("All references resolve")),
            },
        ];
        if let Some(fault) = self.rejected.as_ref().filter(|_| self.conflicted) {
            conditions.push(Condition::yes(Type::Conflicted, fault.reason, fault.message.clone()));
        }
        if let Some(fault) = &self.overlapping {
            conditions.push(Condition::yes(Type::OverlappingTLSConfig, fault.reason, fault.message.clone()));
        }
        conditions
    }

    fn with_warnings(&self, message: &str) -> String {
        join(std::iter::once(message.to_owned()).chain(self.warnings.iter().cloned()))
    }

    /// Its entry in `status.listeners`.
    pub(super) fn status(&self, gateway: &GatewayReport, attached: &BTreeMap<&ListenerOwner, usize>) -> ListenerStatus {
        let kinds = self.supported_kinds.iter().map(|kind| json!({"group": GATEWAY_GROUP, "kind": kind.as_str()}));
        ListenerStatus {
            name: self.owner.section.clone(),
            conditions: self.conditions(gateway),
            fields: vec![
                ("attachedRoutes", json!(attached.get(&self.owner).copied().unwrap_or_default())),
                ("supportedKinds", kinds.collect()),
            ],
        }
    }
}
