//! Refusals: what the provider cannot serve becomes conditions on the objects that asked for it.

use super::{Drop, Fault, ListenerReport, Report, Verdict, join};
use portico_crds::condition::{GatewayReason, ListenerReason, PolicyReason, RouteReason};
use portico_crds::tls_option::{CERTIFICATE_ARN, CERTIFICATE_DISCOVERY};
use portico_providers::{Refusal, RefusalCause, Residue, RuleId, Subject};

impl Report {
    /// Takes up what cannot be served. Each refusal shows on its own object and nowhere else.
    pub fn refuse(&mut self, refusals: &[Refusal]) {
        for refusal in refusals {
            match &refusal.subject {
                Subject::Rule(id) => self.refuse_rule(id, refusal),
                Subject::Listener(owner) => {
                    let listeners = self.gateways.values_mut().flat_map(|gateway| {
                        gateway.listeners.iter_mut().chain(gateway.listener_sets.values_mut().flat_map(|set| &mut set.listeners))
                    });
                    for listener in listeners.filter(|listener| listener.owner == *owner) {
                        listener.refuse(refusal);
                    }
                }
                Subject::Gateway(key) => {
                    if let Some(gateway) = self.gateways.get_mut(key) {
                        let reason = gateway_reason(refusal, gateway.any_address.contains(&refusal.field));
                        gateway.refused.push(Fault::new(reason, refusal.to_string()));
                    }
                }
                Subject::BackendTlsPolicy(key) => {
                    if let Some(policy) = self.policies.get_mut(key) {
                        policy.rejected.get_or_insert(Fault::new(PolicyReason::Invalid, refusal.to_string()));
                    }
                }
            }
        }
    }

    fn refuse_rule(&mut self, id: &RuleId, refusal: &Refusal) {
        let Some(route) = self.routes.get_mut(&id.route) else { return };
        let attached = route.parents.iter_mut().filter(|parent| matches!(parent.verdict, Verdict::Attached(_)));
        for parent in attached {
            // Where the rule cannot be read, translation has said so already, better than a provider can.
            if parent.dropped.iter().any(|drop| drop.rule == Some(id.rule)) && !parent.serving.iter().any(|(rule, _)| *rule == id.rule) {
                continue;
            }
            if matches!(refusal.residue, Residue::Answer500 | Residue::FallsThrough) {
                parent.serving.remove(&(id.rule, id.match_index));
            }
            parent.dropped.push(Drop {
                reason: RouteReason::UnsupportedValue,
                rule: None,
                field: Some(refusal.field.clone()),
                message: refusal.why(),
            });
        }
    }
}

impl ListenerReport {
    fn refuse(&mut self, refusal: &Refusal) {
        let message = refusal.to_string();
        if matches!(refusal.cause, RefusalCause::Quota { .. }) && refusal.residue != Residue::Served {
            self.unprogrammable.get_or_insert(Fault::new(ListenerReason::Invalid, message));
        } else if names_certificate(&refusal.field) && !matches!(refusal.cause, RefusalCause::Quota { .. }) {
            if refusal.residue != Residue::Served {
                self.unprogrammable.get_or_insert(Fault::new(ListenerReason::Invalid, message.clone()));
            }
            self.unresolved = Some(match self.unresolved.take() {
                Some(before) => Fault::new(before.reason, join([before.message, message])),
                None => Fault::new(ListenerReason::InvalidCertificateRef, message),
            });
        } else if refusal.residue == Residue::Served {
            self.warnings.push(message);
        } else {
            self.rejected.get_or_insert(Fault::new(listener_reason(&refusal.field), message));
        }
    }
}

/// Whether a listener's field refers to a certificate.
fn names_certificate(field: &str) -> bool {
    [".certificateRefs", CERTIFICATE_ARN, CERTIFICATE_DISCOVERY].iter().any(|name| field.contains(name))
}

/// Which reason a listener's field gives.
fn listener_reason(field: &str) -> ListenerReason {
    match field.rsplit('.').next() {
        Some("protocol") => ListenerReason::UnsupportedProtocol,
        Some("port") => ListenerReason::PortUnavailable,
        _ => ListenerReason::UnsupportedValue,
    }
}

/// Which reason a refusal of a Gateway's own fields gives. `any_address`: the field asks for whatever address of a type there is.
fn gateway_reason(refusal: &Refusal, any_address: bool) -> GatewayReason {
    match &refusal.cause {
        RefusalCause::Quota { .. } => GatewayReason::NoResources,
        _ if any_address => GatewayReason::AddressNotAssigned,
        _ if refusal.field.starts_with("spec.addresses") => GatewayReason::AddressNotUsable,
        RefusalCause::Unsupported { .. } | RefusalCause::Invalid { .. } => GatewayReason::Invalid,
    }
}
