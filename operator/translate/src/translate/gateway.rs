//! A unit that is one Gateway.

use super::attach::{self, Name, RouteNames};
use super::http::{self, Rules};
use super::listener::{self, Listener};
use super::precedence::{self, Candidate};
use super::{Translation, certificate, conflict, defect, profile};
use crate::report::{Drop, Fault, GatewayReport, ParentReport, Report, RouteReport, Verdict};
use crate::world::object::{StoredGateway, StoredRoute};
use crate::world::reference;
use crate::{UnitState, World};
use portico_crds::condition::{GatewayReason, RouteReason};
use portico_crds::normal::GatewaySpec;
use portico_crds::{CutScope, NamespacedName};
use portico_providers::{
    AddressKind, AddressRequest, Hostname, Infrastructure, Ingress, Plan, PlanGateway, PlanListener, PlanPort, PortProtocol, RouteId,
    UnitId,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn translate(world: &World, unit: &UnitId) -> Option<Translation> {
    if world.unit_state(unit) != UnitState::Live {
        return None;
    }
    let key = unit.gateway()?;
    let gateway = world.gateways.get(key)?;
    let class = world.classes.get(gateway.class())?;
    let mut report = GatewayReport { generation: gateway.meta.generation, ..GatewayReport::default() };
    let alone = |report: GatewayReport| {
        Some(Translation { plan: None, report: Report { gateways: BTreeMap::from([(key.clone(), report)]), routes: BTreeMap::new() } })
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

    let elsewhere = gateway.defects.iter().filter(|defect| defect.cut != CutScope::Listener);
    report.notes = elsewhere.map(defect::message).collect();
    let settings = profile::of_gateway(world, gateway, &class_profile);
    let requested = addresses(gateway, spec);
    report.rejected = requested.as_ref().err().cloned().or_else(|| settings.as_ref().err().cloned());
    let mut listeners = listener::evaluate(world, gateway, spec);
    conflict::mark(&mut listeners);
    let client_certificate = client_certificate(world, gateway, spec, &mut report);
    let (rules, mut routes) = routes(world, key, &listeners);
    if report.rejected.is_some() {
        let note = format!("The route is attached, and Gateway {key} is not accepted itself: nothing changes until it is");
        routes.values_mut().flat_map(|route| &mut route.parents).for_each(|parent| parent.notes.push(note.clone()));
    }
    let plan = match (settings, requested) {
        (Ok(profile), Ok(addresses)) => Some(Plan {
            unit: unit.clone(),
            gateways: vec![PlanGateway {
                key: key.clone(),
                addresses,
                infrastructure: Infrastructure { labels: spec.labels.clone(), annotations: spec.annotations.clone() },
                client_certificate,
            }],
            profile,
            ports: ports(&listeners, rules),
        }),
        _ => None,
    };
    report.listeners = listeners.into_iter().map(|listener| listener.report).collect();
    Some(Translation { plan, report: Report { gateways: BTreeMap::from([(key.clone(), report)]), routes } })
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
    match certificate::resolve(world, &gateway.meta.key.namespace, "spec.tls.backend.clientCertificateRef", reference) {
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

/// The rules of each listener by its position, unordered, and the reports on the routes.
fn routes(world: &World, key: &NamespacedName, listeners: &[Listener<'_>]) -> (Vec<Vec<Candidate>>, BTreeMap<RouteId, RouteReport>) {
    let mut rules = vec![Vec::new(); listeners.len()];
    let mut reports = BTreeMap::new();
    for (id, route) in world.routes_of(key) {
        reports.insert(id.clone(), one_route(world, key, listeners, id, route, &mut rules));
    }
    (rules, reports)
}

fn one_route(
    world: &World,
    key: &NamespacedName,
    listeners: &[Listener<'_>],
    id: &RouteId,
    route: &StoredRoute,
    rules: &mut [Vec<Candidate>],
) -> RouteReport {
    let parents = route.parents.iter().filter(|parent| reference::gateway_of(parent, &id.key.namespace).as_ref() == Some(key));
    let mut report = RouteReport { generation: route.stored.meta.generation, parents: Vec::new() };
    let Some(spec) = &route.stored.spec else {
        let unreadable: Vec<_> = route.stored.defects.iter().map(defect::message).collect();
        let verdict = Verdict::Unreadable(format!("The route cannot be read: {}", unreadable.join("; ")));
        report.parents = parents.map(|parent| entry(parent.clone(), verdict.clone(), &Rules::default())).collect();
        return report;
    };
    let names = RouteNames::of(&spec.hostnames);
    let mut resolved = http::resolve(world, id, spec);
    let faults = names.faults.iter().map(|message| Drop { reason: RouteReason::UnsupportedValue, rule: None, message: message.clone() });
    resolved.dropped.extend(faults);
    // Several parent references may lead to one listener; the route's rules are there once.
    let mut attached: BTreeMap<usize, Vec<Name>> = BTreeMap::new();
    for parent in parents {
        let outcome = attach::attach(world, key, listeners, id, parent, &names);
        let mut notes = Vec::new();
        let verdict = match outcome {
            Err(fault) => Verdict::Rejected(fault),
            Ok(attachments) => {
                let owners: BTreeSet<_> =
                    attachments.iter().filter_map(|(at, _)| listeners.get(*at)).map(|it| it.report.owner.clone()).collect();
                let idle: Vec<_> = attachments
                    .iter()
                    .filter_map(|(at, _)| listeners.get(*at))
                    .filter(|listener| !listener.report.is_served())
                    .map(|listener| listener.report.owner.section.clone())
                    .collect();
                if !idle.is_empty() {
                    notes.push(format!("The route is attached, and these listeners are not served themselves: {}", idle.join(", ")));
                }
                attached.extend(attachments);
                Verdict::Attached(owners)
            }
        };
        report.parents.push(ParentReport { notes, ..entry(parent.clone(), verdict, &resolved) });
    }
    for (at, names) in attached {
        let Some(candidates) = rules.get_mut(at) else { continue };
        for Name { written, common } in names {
            candidates.extend(resolved.rules.iter().map(|rule| Candidate {
                written: written.clone(),
                created: route.stored.meta.created.clone(),
                rule: portico_providers::PlanRule { hostname: common.clone(), ..rule.clone() },
            }));
        }
    }
    report
}

fn entry(parent: portico_crds::normal::ParentRef, verdict: Verdict, resolved: &Rules) -> ParentReport {
    ParentReport {
        parent,
        verdict,
        serving: resolved.serving.clone(),
        dropped: resolved.dropped.clone(),
        unresolved: resolved.unresolved.clone(),
        notes: Vec::new(),
    }
}

/// What to listen on: the listeners that can be served, by port and protocol, the most specific hostname first.
fn ports(listeners: &[Listener<'_>], rules: Vec<Vec<Candidate>>) -> Vec<PlanPort> {
    let mut ports: BTreeMap<(u16, PortProtocol), Vec<PlanListener>> = BTreeMap::new();
    for (listener, mut candidates) in listeners.iter().zip(rules) {
        let (Some(spec), Some(protocol), true) = (listener.spec, listener.protocol, listener.report.is_served()) else { continue };
        candidates.sort_by(precedence::compare);
        let ranked = (0..).zip(candidates).map(|(rank, candidate)| portico_providers::PlanRule { rank, ..candidate.rule });
        ports.entry((spec.port, protocol)).or_default().push(PlanListener {
            owner: listener.report.owner.clone(),
            hostname: listener.hostname.clone(),
            tls: listener.tls(),
            ingress: Ingress::Direct,
            filters: Vec::new(),
            rules: ranked.collect(),
        });
    }
    let port = |((port, protocol), mut listeners): ((u16, PortProtocol), Vec<PlanListener>)| {
        listeners.sort_by(|a, b| Hostname::by_specificity(&a.hostname, &b.hostname));
        PlanPort {
            port,
            protocol,
            // For clients whose server name matches none: that of the listener with the widest hostname.
            default_certificate: listeners.iter().rev().find_map(|it| it.tls.as_ref()?.certificates.first().cloned()),
            client_validation: None,
            listeners,
        }
    };
    ports.into_iter().map(port).collect()
}
