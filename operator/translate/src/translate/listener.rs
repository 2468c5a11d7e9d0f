//! Listeners of a Gateway or ListenerSet, each by itself: protocol, hostname, kinds, TLS. What they do to one another is in [`super::conflict`].

use super::backend::{Referrer, Traffic};
use super::{defect, filter, tls};
use crate::World;
use crate::report::{Fault, ListenerReport, join};
use crate::world::{kind_of_holder, kind_of_route};
use portico_crds::condition::ListenerReason as Reason;
use portico_crds::normal::{self, FromNamespaces, GatewaySpec, TlsMode as Mode};
use portico_crds::{CutScope, Defect, NamespacedName};
use portico_providers::{
    Capabilities, Certificate, ClientValidation, Filter, Hostname, InvalidReason, ListenerOwner, ListenerParent, ListenerTls, PortProtocol,
    RouteKind, TlsMode,
};
use serde_json::Value;

/// A listener on its way into the plan.
pub(super) struct Listener<'a> {
    pub report: ListenerReport,
    /// As its author wrote it; `None` where it cannot be read.
    pub spec: Option<&'a normal::Listener>,
    /// `None` for protocols that Gateway API does not know.
    pub protocol: Option<PortProtocol>,
    pub hostname: Option<Hostname>,
    pub certificates: Vec<Certificate>,
    /// What clients on its port must show.
    pub client_validation: Option<ClientValidation>,
    pub filters: Vec<Filter>,
}

impl Listener<'_> {
    /// The listener's TLS in the plan.
    pub fn tls(&self) -> Option<ListenerTls> {
        let tls = self.spec.and_then(|spec| spec.tls.as_ref())?;
        Some(ListenerTls { mode: mode(tls.mode), certificates: self.certificates.clone(), options: tls.options.clone() })
    }

    /// Whether TLS goes on to the backends.
    pub fn passes_through(&self) -> bool {
        let tls = self.spec.and_then(|spec| spec.tls.as_ref());
        self.protocol == Some(PortProtocol::Tls) && tls.is_some_and(|tls| tls.mode == Mode::Passthrough)
    }

    pub fn reject(&mut self, reason: Reason, message: impl Into<String>) {
        self.report.rejected.get_or_insert(Fault::new(reason, message));
    }

    /// Something of its references does not resolve: the condition has room for the first reason, and for what there is to say of all.
    pub fn unresolve(&mut self, reason: Reason, messages: impl IntoIterator<Item = String>) {
        let before = self.report.unresolved.take();
        let reason = before.as_ref().map_or(reason, |fault| fault.reason);
        self.report.unresolved = Some(Fault::new(reason, join(before.map(|fault| fault.message).into_iter().chain(messages))));
    }
}

fn mode(mode: Mode) -> TlsMode {
    match mode {
        Mode::Terminate => TlsMode::Terminate,
        Mode::Passthrough => TlsMode::Passthrough,
    }
}

/// The object that holds listeners.
#[derive(Clone, Copy)]
pub(super) struct Holder<'a> {
    pub parent: ListenerParent,
    pub key: &'a NamespacedName,
    pub raw: &'a Value,
    pub defects: &'a [Defect],
    pub listeners: &'a [normal::Listener],
    /// The spec of the Gateway, which has a say about every listener's TLS.
    pub gateway: &'a GatewaySpec,
    pub gateway_namespace: &'a str,
    /// What the Gateway's class takes.
    pub capabilities: &'static Capabilities,
}

/// Looks at every listener of an object, in the order of the spec, those that cannot be read included.
pub(super) fn evaluate<'a>(world: &World, holder: Holder<'a>) -> Vec<Listener<'a>> {
    let mut listeners: Vec<(usize, Listener<'a>)> =
        holder.listeners.iter().map(|listener| (listener.index, readable(world, holder, listener))).collect();
    for defect in holder.defects.iter().filter(|defect| defect.cut == CutScope::Listener) {
        let Some(index) = index(defect).filter(|index| !listeners.iter().any(|(other, _)| other == index)) else { continue };
        let name = holder.raw.pointer(&format!("/spec/listeners/{index}/name")).and_then(Value::as_str);
        // Without a name there is nothing that a status could be attached to; the object's Accepted condition tells of the defect.
        let Some(name) = name else { continue };
        let mut listener = empty(holder, name);
        listener.reject(Reason::UnsupportedValue, defect::message(defect));
        listeners.push((index, listener));
    }
    listeners.sort_by_key(|(index, _)| *index);
    let mut found: Vec<Listener<'a>> = Vec::new();
    for (index, listener) in listeners {
        match found.iter_mut().find(|other| other.report.owner == listener.report.owner) {
            // Status has one entry per name, so neither can be told from the other.
            Some(first) => first.reject(
                Reason::UnsupportedValue,
                format!(
                    "spec.listeners[{index}].name: {} is the name of another listener too; give each its own",
                    listener.report.owner.section
                ),
            ),
            None => found.push(listener),
        }
    }
    found
}

/// What was cut out of the spec of an object that holds listeners and shows in none of their entries, for the object's own Accepted condition.
pub(super) fn notes(raw: &Value, defects: &[Defect]) -> Vec<String> {
    let has_entry = |defect: &Defect| {
        let name = index(defect).and_then(|index| raw.pointer(&format!("/spec/listeners/{index}/name")));
        defect.cut == CutScope::Listener && name.is_some_and(Value::is_string)
    };
    defects.iter().filter(|defect| !has_entry(defect)).map(defect::message).collect()
}

/// The author's index of the listener that a defect lies in.
fn index(defect: &Defect) -> Option<usize> {
    defect.path.strip_prefix("spec.listeners[")?.split_once(']')?.0.parse().ok()
}

fn empty<'a>(holder: Holder<'a>, name: &str) -> Listener<'a> {
    Listener {
        report: ListenerReport {
            owner: ListenerOwner { parent: holder.parent, key: holder.key.clone(), section: name.to_owned() },
            supported_kinds: Vec::new(),
            rejected: None,
            conflicted: false,
            unresolved: None,
            unprogrammable: None,
            overlapping: None,
            warnings: Vec::new(),
        },
        spec: None,
        protocol: None,
        hostname: None,
        certificates: Vec::new(),
        client_validation: None,
        filters: Vec::new(),
    }
}

fn readable<'a>(world: &World, holder: Holder<'a>, listener: &'a normal::Listener) -> Listener<'a> {
    let path = format!("spec.listeners[{}]", listener.index);
    let mut found = Listener { spec: Some(listener), ..empty(holder, &listener.name) };
    found.protocol = match listener.protocol.as_str() {
        "HTTP" => Some(PortProtocol::Http),
        "HTTPS" => Some(PortProtocol::Https),
        "TLS" => Some(PortProtocol::Tls),
        "TCP" => Some(PortProtocol::Tcp),
        "UDP" => Some(PortProtocol::Udp),
        _ => None,
    };
    let capabilities = holder.capabilities;
    let tls_mode = mode(listener.tls.as_ref().map(|tls| tls.mode).unwrap_or_default());
    let routes = found.protocol.and_then(|protocol| capabilities.routes(protocol, tls_mode));
    if routes.is_none() {
        let known = found.protocol.is_some_and(|protocol| capabilities.protocols().any(|it| it == protocol));
        if known {
            let message = format!("{path}.tls.mode: {tls_mode:?} is not served; use the other mode");
            found.reject(Reason::UnsupportedValue, message);
        } else {
            let protocols: Vec<_> = capabilities.protocols().map(|it| it.to_string()).collect();
            let message = format!("{path}.protocol: {} is not served; use {}", listener.protocol, alternatives(&protocols));
            found.reject(Reason::UnsupportedProtocol, message);
        }
    }
    if let Some(text) = &listener.hostname {
        match Hostname::new(text) {
            Ok(hostname) => found.hostname = Some(hostname),
            Err(error) => found.reject(Reason::UnsupportedValue, format!("{path}.hostname: {error}")),
        }
    }
    kinds(&mut found, listener, routes.unwrap_or_default(), &path);
    if let FromNamespaces::Selector(selector) = &listener.allowed_routes.from
        && let Some(problem) = selector.problem()
    {
        found.reject(Reason::UnsupportedValue, format!("{path}.allowedRoutes.namespaces.selector: {problem}"));
    }
    filters(&mut found, world, holder, listener, &path);
    match found.protocol {
        Some(PortProtocol::Https) => tls::https(&mut found, world, holder, listener, &path),
        Some(PortProtocol::Tls) => tls::tls(&mut found, world, holder, listener, &path),
        Some(PortProtocol::Http) if listener.tls.is_some() => {
            let message = format!("{path}.tls: an HTTP listener has no TLS; remove it, or make the protocol HTTPS");
            found.reject(Reason::UnsupportedValue, message);
        }
        Some(PortProtocol::Tcp) if listener.tls.is_some() => {
            let message = format!("{path}.tls: a TCP listener has no TLS; remove it, or make the protocol TLS");
            found.reject(Reason::UnsupportedValue, message);
        }
        Some(PortProtocol::Udp) if listener.tls.is_some() => {
            found.reject(Reason::UnsupportedValue, format!("{path}.tls: a UDP listener has no TLS; remove it"));
        }
        _ => {}
    }
    if let (Some(protocol @ (PortProtocol::Tcp | PortProtocol::Udp)), true) = (found.protocol, found.hostname.is_some()) {
        let message = format!("{path}.hostname: {protocol} knows no hostnames; remove it");
        found.reject(Reason::UnsupportedValue, message);
        found.hostname = None;
    }
    found
}

/// `a, b or c`.
fn alternatives(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}

/// Which kinds of routes may attach: those that its protocol has here, narrowed by `allowedRoutes.kinds`.
fn kinds(found: &mut Listener<'_>, listener: &normal::Listener, served: &[RouteKind], path: &str) {
    if listener.allowed_routes.kinds.is_empty() {
        found.report.supported_kinds = served.to_vec();
        return;
    }
    let names: Vec<_> = served.iter().map(|kind| kind.as_str().to_owned()).collect();
    let mut unknown = Vec::new();
    for (index, kind) in listener.allowed_routes.kinds.iter().enumerate() {
        match served.iter().find(|it| kind.known().is_some_and(|known| known == kind_of_route(**it))) {
            Some(kind) if !found.report.supported_kinds.contains(kind) => found.report.supported_kinds.push(*kind),
            Some(_) => {}
            None => unknown.push(format!(
                "{path}.allowedRoutes.kinds[{index}]: kind {} of group {:?} is not served by {} listeners; name {} or nothing",
                kind.kind,
                kind.group,
                listener.protocol,
                names.join(", ")
            )),
        }
    }
    if !unknown.is_empty() && !served.is_empty() {
        found.unresolve(Reason::InvalidRouteKinds, unknown);
    }
}

/// What is done before a route is chosen (experimental channel). To serve without it would let in whom it is to keep out.
fn filters(found: &mut Listener<'_>, world: &World, holder: Holder<'_>, listener: &normal::Listener, path: &str) {
    let filters = match &listener.filters {
        Ok(filters) => filters,
        Err(defect) => {
            found.reject(Reason::InvalidListenerFilter, format!("{}; correct or remove the filter", defect::message(defect)));
            return;
        }
    };
    if filters.is_empty() {
        return;
    }
    if !matches!(found.protocol, None | Some(PortProtocol::Http | PortProtocol::Https)) {
        let message = format!("{path}.filters: a listener of protocol {} sees no requests; remove them", listener.protocol);
        found.reject(Reason::InvalidListenerFilter, message);
        return;
    }
    let referrer =
        Referrer { kind: kind_of_holder(holder.parent), namespace: &holder.key.namespace, who: "a filter", traffic: Traffic::Http };
    let converted = filter::convert(world, &referrer, format_args!("{path}.filters.requests"), filters);
    if !converted.unreadable.is_empty() {
        found.reject(Reason::InvalidListenerFilter, join(converted.unreadable));
    }
    if !converted.unresolved.is_empty() {
        // Requests are answered with an error meanwhile.
        let reason = match converted.unresolved.as_slice() {
            [(InvalidReason::RefNotPermitted, _), ..] => Reason::RefNotPermitted,
            _ => Reason::InvalidListenerFilterRef,
        };
        found.unresolve(reason, converted.unresolved.into_iter().map(|(_, message)| message));
    }
    found.filters = converted.filters;
}
