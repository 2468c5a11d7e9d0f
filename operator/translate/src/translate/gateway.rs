//! A unit that is one Gateway with its ListenerSets.

use super::listener::{self, Holder, Listener};
use super::precedence::{self, Candidate};
use super::{Translation, address, certificate, conflict, listener_set, policy, profile, route, shadow};
use crate::report::{Fault, GatewayReport, Report, RouteReport};
use crate::world::object::StoredGateway;
use crate::{UnitState, World};
use portico_crds::Kind;
use portico_crds::condition::GatewayReason;
use portico_crds::normal::{AllowedListeners, GatewaySpec};
use portico_crds::v1alpha1::EffectiveProfile;
use portico_providers::{
    AddressKind, AddressRequest, Capabilities, ClientValidation, Hostname, Infrastructure, Ingress, ListenerOwner, ListenerParent, Plan,
    PlanGateway, PlanListener, PlanPort, PortProtocol, RouteId, UnitId,
};
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) fn translate(world: &World, unit: &UnitId) -> Option<Translation> {
    if world.unit_state(unit) != UnitState::Live {
        return None;
    }
    let key = unit.gateway()?;
    let gateway = world.gateways.get(key)?;
    let class = world.classes.get(gateway.class())?;
    let mut report = GatewayReport { generation: gateway.meta.generation, ..GatewayReport::default() };
    let alone = |report: GatewayReport| {
        let report = Report { gateways: BTreeMap::from([(key.clone(), report)]), ..Report::default() };
        Some(Translation { plan: None, report })
    };
    let class_profile = match profile::of_class(world, class) {
        Ok(profile) => profile,
        Err(message) => {
            report.waiting = Some(format!("GatewayClass {} is not accepted: {message}", gateway.class()));
            return alone(report);
        }
    };
    let Some(spec) = &gateway.spec else {
        report.rejected = Some(Fault::new(GatewayReason::Invalid, format!("The Gateway cannot be read: {}", gateway.unreadable())));
        return alone(report);
    };

    let mut validations = spec.client_validation.iter().chain(spec.client_validation_by_port.values().flatten());
    report.insecure_validation = validations.any(|it| it.insecure_fallback);
    report.notes = listener::notes(&gateway.raw, &gateway.defects);
    // Experimental channel; the generated types do not have it.
    if gateway.raw.pointer("/spec/defaultScope").and_then(Value::as_str).is_some_and(|scope| scope != "None") {
        let note = "spec.defaultScope: routes do not attach to Gateways that they do not name; name this one in their parentRefs, and remove the field";
        report.notes.push(note.to_owned());
    }
    let settings = profile::of_gateway(world, gateway, &class_profile);
    let capabilities = Capabilities::of(settings.as_ref().unwrap_or(&EffectiveProfile::default()));
    let requested = addresses(gateway, spec);
    let unvalued = spec.addresses.iter().enumerate().filter(|(_, address)| address.value.is_none());
    report.any_address = unvalued.map(|(index, _)| format!("spec.addresses[{index}]")).collect();
    report.rejected = requested.as_ref().err().cloned().or_else(|| settings.as_ref().err().cloned());
    let holder = Holder {
        parent: ListenerParent::Gateway,
        key,
        raw: &gateway.raw,
        defects: &gateway.defects,
        listeners: &spec.listeners,
        gateway: spec,
        gateway_namespace: &key.namespace,
        capabilities,
    };
    let mut listeners = listener::evaluate(world, holder);
    let sets = world.sets_of_gateway(key);
    for set in &sets {
        let (set_report, more) = listener_set::evaluate(world, key, spec, set, capabilities);
        report.listener_sets.insert(set.meta.key.clone(), set_report);
        listeners.extend(more);
    }
    report.notes.extend(ports_without_https(spec, &listeners));
    report.counts_listener_sets = !sets.is_empty() || spec.allowed_listeners != AllowedListeners::default();
    conflict::mark(&mut listeners, capabilities);
    let client_certificate = client_certificate(world, gateway, spec, &mut report);
    let (mut rules, mut routes) = route::all(world, key, &listeners);
    for (listener, candidates) in listeners.iter().zip(&mut rules) {
        candidates.sort_by(precedence::compare);
        note_shadowed(&listener.report.owner, candidates, &mut routes);
    }
    if report.rejected.is_some() {
        let note = format!(
            "The route is attached, and Gateway {key} is not accepted itself, as its own conditions say: nothing changes until it is"
        );
        routes.values_mut().flat_map(|route| &mut route.parents).for_each(|parent| parent.notes.push(note.clone()));
    }
    let (backend_tls_policies, mut policies) = policy::all(world, key);
    let plan = match (settings, requested) {
        (Ok(profile), Ok(addresses)) => Some(Plan {
            unit: unit.clone(),
            gateways: vec![PlanGateway {
                key: key.clone(),
                assigned: address::assigned(world, gateway, &profile, &addresses, &mut report.refused),
                addresses,
                infrastructure: Infrastructure { labels: spec.labels.clone(), annotations: spec.annotations.clone() },
                client_certificate,
            }],
            profile,
            ports: ports(&listeners, rules),
            backend_tls_policies,
        }),
        _ => None,
    };
    if plan.is_none() {
        // Without a plan nobody says whether they can be honoured.
        policies.clear();
    }
    for listener in listeners.into_iter().map(|listener| listener.report) {
        match listener.owner.parent {
            ListenerParent::Gateway => report.listeners.push(listener),
            ListenerParent::ListenerSet => {
                if let Some(set) = report.listener_sets.get_mut(&listener.owner.key) {
                    set.listeners.push(listener);
                }
            }
        }
    }
    Some(Translation { plan, report: Report { gateways: BTreeMap::from([(key.clone(), report)]), routes, policies } })
}

/// `spec.addresses` in the plan's words; types that nobody knows reject the Gateway (Gateway API: UnsupportedAddress).
fn addresses(gateway: &StoredGateway, spec: &GatewaySpec) -> Result<Vec<AddressRequest>, Fault<GatewayReason>> {
    let one = |(index, it): (usize, &portico_crds::normal::GatewayAddress)| {
        let kind = match it.r#type.as_str() {
            "IPAddress" => AddressKind::IpAddress,
            "Hostname" => AddressKind::Hostname,
            other => {
                let message =
                    format!("spec.addresses[{index}].type: {other} is not served; use IPAddress or Hostname, or remove the entry");
                return Err(Fault::new(GatewayReason::UnsupportedAddress, message));
            }
        };
        // Experimental channel; the generated types do not have it.
        let routability = gateway.raw.pointer(&format!("/spec/addresses/{index}/routability")).and_then(Value::as_str).map(str::to_owned);
        Ok(AddressRequest { kind, value: it.value.clone(), routability })
    };
    spec.addresses.iter().enumerate().map(one).collect()
}

/// The certificate that is shown to backends. Where it does not resolve, the Gateway serves without it and says so.
fn client_certificate(
    world: &World,
    gateway: &StoredGateway,
    spec: &GatewaySpec,
    report: &mut GatewayReport,
) -> Option<portico_providers::Certificate> {
    let reference = spec.backend_client_certificate.as_ref()?;
    match certificate::resolve(world, Kind::Gateway, &gateway.meta.key.namespace, "spec.tls.backend.clientCertificateRef", reference) {
        Ok(certificate) => Some(certificate),
        Err(fault) => {
            let reason = match fault.reason {
                certificate::Problem::Invalid => GatewayReason::InvalidClientCertificateRef,
                certificate::Problem::NotPermitted => GatewayReason::RefNotPermitted,
            };
            report.unresolved = Some(Fault::new(reason, fault.message));
            None
        }
    }
}

/// The settings for clients' certificates that are for ports on which nothing asks for any.
fn ports_without_https(spec: &GatewaySpec, listeners: &[Listener<'_>]) -> Vec<String> {
    let is_https = |port: u16| {
        listeners.iter().any(|it| it.protocol == Some(PortProtocol::Https) && it.spec.is_some_and(|listener| listener.port == port))
    };
    let ports = spec.client_validation_by_port.keys().filter(|port| !is_https(**port));
    ports
        .map(|port| format!("spec.tls.frontend.perPort[port {port}]: no HTTPS listener has this port; correct it, or remove the entry"))
        .collect()
}

/// Tells the authors of rules that get no requests on a listener.
fn note_shadowed(owner: &ListenerOwner, candidates: &[Candidate], routes: &mut BTreeMap<RouteId, RouteReport>) {
    for (route, message) in shadow::find(candidates) {
        let parents = routes.get_mut(&route).into_iter().flat_map(|route| &mut route.parents);
        parents.filter(|parent| parent.is_attached_to(owner)).for_each(|parent| parent.notes.push(message.clone()));
    }
}

/// What to listen on, by ordered rules: the listeners that can be served, by port and protocol, the most specific hostname first.
fn ports(listeners: &[Listener<'_>], rules: Vec<Vec<Candidate>>) -> Vec<PlanPort> {
    type Port = (Option<ClientValidation>, Vec<PlanListener>);
    let mut ports: BTreeMap<(u16, PortProtocol), Port> = BTreeMap::new();
    for (listener, candidates) in listeners.iter().zip(rules) {
        let (Some(spec), Some(protocol), true) = (listener.spec, listener.protocol, listener.report.is_served()) else { continue };
        let ranked = (0..).zip(candidates).map(|(rank, candidate)| portico_providers::PlanRule {
            rank,
            created: candidate.created,
            ..candidate.rule
        });
        let (client_validation, on_port) = ports.entry((spec.port, protocol)).or_default();
        // It is the Gateway's, and so the same for all listeners of the port.
        client_validation.clone_from(&listener.client_validation);
        on_port.push(PlanListener {
            owner: listener.report.owner.clone(),
            hostname: listener.hostname.clone(),
            tls: listener.tls(),
            ingress: Ingress::Direct,
            filters: listener.filters.clone(),
            rules: ranked.collect(),
        });
    }
    let port = |((port, protocol), (client_validation, mut listeners)): ((u16, PortProtocol), Port)| {
        listeners.sort_by(|a, b| Hostname::by_specificity(&a.hostname, &b.hostname));
        PlanPort {
            port,
            protocol,
            // For clients whose server name matches none: that of the listener with the widest hostname.
            default_certificate: listeners.iter().rev().find_map(|it| it.tls.as_ref()?.certificates.first().cloned()),
            client_validation,
            listeners,
        }
    };
    ports.into_iter().map(port).collect()
}
