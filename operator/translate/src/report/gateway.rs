//! The report on a Gateway and its listeners.

use super::condition::ConditionType;
use super::{Condition, ListenerReport, ListenerSetReport, join};
use crate::status::{Desired, ObjectStatus};
use portico_crds::NamespacedName;
use portico_crds::condition::{GatewayCondition, GatewayReason, ListenerCondition, ListenerReason};
use portico_providers::{AddressKind, ListenerOwner, LoadBalancerAddress, LoadBalancerState, Outcome, ProviderError};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What is wrong with something, as a reason and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault<R> {
    pub reason: R,
    pub message: String,
}

impl<R> Fault<R> {
    pub fn new(reason: R, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// How far the unit's load balancer is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Progress {
    /// Nothing was tried yet.
    #[default]
    Pending,
    /// It was looked at after a pass.
    Outcome(Outcome),
    /// The pass failed.
    Failed(ProviderError),
}

/// What is to be said about a Gateway.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GatewayReport {
    /// The generation that was looked at.
    pub generation: i64,
    /// Its listeners, in the order of the spec.
    pub listeners: Vec<ListenerReport>,
    /// The ListenerSets that name it as their parent.
    pub listener_sets: BTreeMap<NamespacedName, ListenerSetReport>,
    /// Whether `status.attachedListenerSets` is to be told; CRDs before Gateway API v1.5 have no such field.
    pub(crate) counts_listener_sets: bool,
    /// Why the Gateway as a whole is not accepted.
    pub(crate) rejected: Option<Fault<GatewayReason>>,
    /// The class does not let the Gateway be looked at.
    pub(crate) waiting: Option<String>,
    /// The Gateway's own references that do not resolve.
    pub(crate) unresolved: Option<Fault<GatewayReason>>,
    /// What of it cannot be served, though the rest is.
    pub(crate) refused: Vec<Fault<GatewayReason>>,
    /// The entries of `spec.addresses` that ask for any address of their type, by path.
    pub(crate) any_address: Vec<String>,
    /// Whether it lets in clients whose certificates are not valid.
    pub(crate) insecure_validation: bool,
    /// What was cut out of its spec and belongs to no listener.
    pub(crate) notes: Vec<String>,
    pub(crate) progress: Progress,
}

impl GatewayReport {
    /// Its own listeners and those of its ListenerSets.
    pub fn all_listeners(&self) -> impl Iterator<Item = &ListenerReport> {
        self.listeners.iter().chain(self.listener_sets.values().flat_map(|set| &set.listeners))
    }

    /// Whether the Gateway as a whole may be served.
    pub fn is_accepted(&self) -> bool {
        self.waiting.is_none() && self.rejected.is_none() && self.all_listeners().any(|listener| listener.rejected.is_none())
    }

    /// Its conditions.
    pub fn conditions(&self) -> Vec<Condition> {
        let insecure = self.insecure_validation.then(|| {
            let message = "spec.tls.frontend lets clients without a valid certificate in (AllowInsecureFallback); use AllowValidOnly to keep them out";
            Condition::yes(GatewayCondition::InsecureFrontendValidationMode, GatewayReason::ConfigurationChanged, message)
        });
        [self.accepted(), self.programmed(), self.resolved()].into_iter().chain(insecure).collect()
    }

    /// The conditions of one of its listeners.
    pub fn listener_conditions(&self, section: &str) -> Vec<Condition> {
        self.listeners.iter().find(|it| it.owner.section == section).map(|it| it.conditions(self)).unwrap_or_default()
    }

    fn accepted(&self) -> Condition {
        use GatewayCondition::Accepted as Type;
        if let Some(message) = &self.waiting {
            return Condition { tentative: false, ..Condition::pending(Type, GatewayReason::Pending, message.clone()) };
        }
        if let Some(fault) = &self.rejected {
            return Condition::no(Type, fault.reason, fault.message.clone());
        }
        let rejected = self.listeners.iter().filter_map(|it| Some((it, it.rejected.as_ref()?)));
        let bad: Vec<_> = rejected.map(|(it, fault)| format!("listener {}: {}", it.owner.section, fault.message)).collect();
        if bad.is_empty() && self.notes.is_empty() && self.is_accepted() {
            return Condition::yes(Type, GatewayReason::Accepted, "The Gateway is valid");
        }
        let none = self.all_listeners().next().is_none().then(|| "spec.listeners is empty: add a listener".to_owned());
        let message = join(none.into_iter().chain(bad.iter().cloned()).chain(self.notes.iter().cloned()));
        match (self.is_accepted(), bad.is_empty()) {
            (true, true) => Condition::yes(Type, GatewayReason::Accepted, message),
            (true, false) => Condition::yes(Type, GatewayReason::ListenersNotValid, message),
            (false, _) => Condition::no(Type, GatewayReason::ListenersNotValid, message),
        }
    }

    fn resolved(&self) -> Condition {
        use GatewayCondition::ResolvedRefs as Type;
        if let Some(fault) = &self.unresolved {
            return Condition::no(Type, fault.reason, fault.message.clone());
        }
        let unresolved = self.listeners.iter().filter_map(|it| Some((it, it.unresolved.as_ref()?)));
        let bad: Vec<_> = unresolved.map(|(it, fault)| format!("listener {}: {}", it.owner.section, fault.message)).collect();
        if bad.is_empty() {
            return Condition::yes(Type, GatewayReason::ResolvedRefs, "All references resolve");
        }
        Condition::no(Type, GatewayReason::ListenersNotResolved, join(bad))
    }

    pub(super) fn programmed(&self) -> Condition {
        use GatewayCondition::Programmed as Type;
        use GatewayReason as Reason;
        if let Some(message) = &self.waiting {
            return Condition::pending(Type, Reason::Pending, message.clone());
        }
        if self.rejected.is_some() {
            return Condition::no(
                Type,
                Reason::Invalid,
                "The Gateway is not accepted, as its Accepted condition says; its load balancer, if it has one, is left as it is",
            );
        }
        if !self.is_accepted() {
            return Condition::no(Type, Reason::Invalid, "No listener is valid, so that nothing is served; their own conditions say why");
        }
        if !self.all_listeners().any(ListenerReport::is_served) {
            return Condition::no(Type, Reason::Invalid, "No listener can be served; their own conditions say why");
        }
        match &self.progress {
            Progress::Pending => Condition::pending(Type, Reason::Pending, "The load balancer is being brought up to date"),
            Progress::Failed(error) if passes(error) => Condition::pending(Type, Reason::Pending, error.to_string()),
            Progress::Failed(error @ ProviderError::Limit { .. }) => Condition::no(Type, Reason::NoResources, error.to_string()),
            Progress::Failed(error) => Condition::no(Type, Reason::Invalid, error.to_string()),
            Progress::Outcome(outcome) => match (&outcome.state, self.refused.first()) {
                (LoadBalancerState::Absent, Some(fault)) => Condition::no(Type, fault.reason, fault.message.clone()),
                (LoadBalancerState::Absent, None) => Condition::no(Type, Reason::Pending, "The load balancer does not exist yet"),
                (LoadBalancerState::Unknown { message, .. }, _) => Condition::pending(Type, Reason::Pending, message.clone()),
                (LoadBalancerState::Provisioning { message, .. }, _) => Condition::no(Type, Reason::Pending, message.clone()),
                (LoadBalancerState::Failed(message), _) => Condition::no(Type, Reason::Invalid, message.clone()),
                (LoadBalancerState::Active, _) if outcome.addresses.is_empty() => {
                    Condition::no(Type, Reason::AddressNotAssigned, "The load balancer has no address yet")
                }
                (LoadBalancerState::Active, Some(fault)) => {
                    Condition::no(Type, fault.reason, join(self.refused.iter().map(|fault| fault.message.clone())))
                }
                (LoadBalancerState::Active, None) => Condition::yes(Type, Reason::Programmed, "The load balancer serves this Gateway"),
            },
        }
    }

    /// Whether the load balancer serves its listeners, whatever else of the Gateway is refused.
    pub(super) fn serves(&self) -> bool {
        let active = matches!(&self.progress, Progress::Outcome(outcome) if outcome.state == LoadBalancerState::Active);
        active && self.is_accepted()
    }

    /// Programmed of a listener that nothing is wrong with.
    pub(super) fn listener_progress(&self) -> Condition {
        use ListenerCondition::Programmed as Type;
        let gateway = self.programmed();
        if self.serves() {
            return Condition::yes(Type, ListenerReason::Programmed, "The load balancer listens");
        }
        let reason = if gateway.reason == GatewayReason::Pending.as_str() { ListenerReason::Pending } else { ListenerReason::Invalid };
        Condition { tentative: gateway.tentative, ..Condition::new(Type, gateway.status, reason, gateway.message) }
    }

    pub(crate) fn desired(&self, attached: &BTreeMap<&ListenerOwner, usize>) -> Desired {
        let mut fields = Vec::new();
        if let Progress::Outcome(outcome) = &self.progress {
            fields.push(("addresses", Value::Array(outcome.addresses.iter().map(address).collect())));
        }
        if self.counts_listener_sets && self.waiting.is_none() {
            let accepted = self.listener_sets.values().filter(|set| set.is_accepted(self)).count();
            fields.push(("attachedListenerSets", json!(accepted)));
        }
        let listeners = self.listeners.iter().map(|listener| listener.status(self, attached));
        Desired::Object(ObjectStatus {
            generation: self.generation,
            owned: GatewayCondition::TYPES,
            conditions: self.conditions(),
            // Where the Gateway was not looked into, nothing new is known about its listeners.
            listeners: (self.waiting.is_none()).then(|| listeners.collect()),
            fields,
        })
    }
}

/// Whether an error passes by itself.
fn passes(error: &ProviderError) -> bool {
    matches!(
        error,
        ProviderError::Throttled { .. }
            | ProviderError::Transient { .. }
            | ProviderError::Busy { .. }
            | ProviderError::NotReady { .. }
            | ProviderError::NotLeader
    )
}

fn address(address: &LoadBalancerAddress) -> Value {
    let kind = match &address.kind {
        AddressKind::IpAddress => "IPAddress",
        AddressKind::Hostname => "Hostname",
        AddressKind::Other(kind) => kind,
    };
    json!({"type": kind, "value": address.value})
}
