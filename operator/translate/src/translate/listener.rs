//! Listeners of a Gateway or ListenerSet, each by itself: protocol, hostname, kinds, TLS. What they do to one another is in [`super::conflict`].

use super::certificate::{self, Problem};
use super::defect;
use crate::World;
use crate::report::{Fault, ListenerReport, join};
use crate::world::{kind_of_holder, kind_of_route};
use portico_crds::condition::ListenerReason as Reason;
use portico_crds::normal::{self, FromNamespaces, GatewaySpec, TlsMode as Mode};
use portico_crds::{CutScope, Defect, Kind, NamespacedName};
use portico_providers::{
    Certificate, CertificateReference, Hostname, ListenerOwner, ListenerParent, ListenerTls, PortProtocol, RouteKind, TlsMode,
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
}

impl Listener<'_> {
    /// The listener's TLS in the plan.
    pub fn tls(&self) -> Option<ListenerTls> {
        let tls = self.spec.and_then(|spec| spec.tls.as_ref())?;
        let mode = match tls.mode {
            Mode::Terminate => TlsMode::Terminate,
            Mode::Passthrough => TlsMode::Passthrough,
        };
        Some(ListenerTls { mode, certificates: self.certificates.clone(), options: tls.options.clone() })
    }

    fn reject(&mut self, reason: Reason, message: impl Into<String>) {
        self.report.rejected.get_or_insert(Fault::new(reason, message));
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
    if !matches!(found.protocol, Some(PortProtocol::Http | PortProtocol::Https)) {
        let message = format!("{path}.protocol: {} is not served; use HTTP or HTTPS", listener.protocol);
        found.reject(Reason::UnsupportedProtocol, message);
    }
    if let Some(text) = &listener.hostname {
        match Hostname::new(text) {
            Ok(hostname) => found.hostname = Some(hostname),
            Err(error) => found.reject(Reason::UnsupportedValue, format!("{path}.hostname: {error}")),
        }
    }
    kinds(&mut found, listener, &path);
    if let FromNamespaces::Selector(selector) = &listener.allowed_routes.from
        && let Some(problem) = selector.problem()
    {
        found.reject(Reason::UnsupportedValue, format!("{path}.allowedRoutes.namespaces.selector: {problem}"));
    }
    // Experimental channel; the generated types do not have it, and to serve without it would let in whom it is to keep out.
    let filters = holder.raw.pointer(&format!("/spec/listeners/{}/filters", listener.index));
    if filters.is_some_and(|filters| !filters.is_null()) {
        found.reject(Reason::UnsupportedValue, format!("{path}.filters: filters of listeners are not served; put them into the routes"));
    }
    match found.protocol {
        Some(PortProtocol::Https) => https(&mut found, world, holder, listener, &path),
        Some(PortProtocol::Http) if listener.tls.is_some() => {
            found.reject(
                Reason::UnsupportedValue,
                format!("{path}.tls: an HTTP listener has no TLS; remove it, or make the protocol HTTPS"),
            );
        }
        _ => {}
    }
    found
}

/// Which kinds of routes may attach: those that its protocol has here, narrowed by `allowedRoutes.kinds`.
fn kinds(found: &mut Listener<'_>, listener: &normal::Listener, path: &str) {
    let served: &[RouteKind] = match found.protocol {
        Some(PortProtocol::Http | PortProtocol::Https) => &[RouteKind::Http],
        _ => &[],
    };
    if listener.allowed_routes.kinds.is_empty() {
        found.report.supported_kinds = served.to_vec();
        return;
    }
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
                Kind::HttpRoute
            )),
        }
    }
    if !unknown.is_empty() && !served.is_empty() {
        found.report.unresolved = Some(Fault::new(Reason::InvalidRouteKinds, join(unknown)));
    }
}

fn https(found: &mut Listener<'_>, world: &World, holder: Holder<'_>, listener: &normal::Listener, path: &str) {
    client_validation(found, world, holder, listener.port);
    let Some(tls) = &listener.tls else {
        let message =
            format!("{path}.tls is missing: an HTTPS listener needs a certificate; refer to a Secret under certificateRefs there");
        found.report.unprogrammable = Some(Fault::new(Reason::InvalidTLSConfig, message));
        return;
    };
    if tls.mode == Mode::Passthrough {
        found.reject(
            Reason::UnsupportedValue,
            format!("{path}.tls.mode: TLS of an HTTPS listener ends at the load balancer; use Terminate"),
        );
        return;
    }
    let mut faults = Vec::new();
    for (index, reference) in tls.certificate_refs.iter().enumerate() {
        let path = format!("{path}.tls.certificateRefs[{index}]");
        match certificate::resolve(world, kind_of_holder(holder.parent), &holder.key.namespace, &path, reference) {
            Ok(certificate) => found.certificates.push(certificate),
            Err(fault) => faults.push(fault),
        }
    }
    let mut faults: Vec<_> = faults
        .into_iter()
        .map(|fault| {
            let reason = match fault.reason {
                Problem::Invalid => Reason::InvalidCertificateRef,
                Problem::NotPermitted => Reason::RefNotPermitted,
            };
            Fault::new(reason, fault.message)
        })
        .collect();
    let outdated = found.certificates.iter().filter_map(|certificate| {
        let index = tls.certificate_refs.iter().position(|it| certificate.reference == reference_to(&holder.key.namespace, it));
        certificate::out_of_date(world, &format!("{path}.tls.certificateRefs[{}]", index.unwrap_or_default()), certificate)
    });
    faults.extend(outdated.map(|message| Fault::new(Reason::InvalidCertificateRef, message)));
    let (held, problems) = certificate::of_options(&format!("{path}.tls.options"), &tls.options, found.hostname.as_ref());
    found.certificates.extend(held);
    faults.extend(problems.into_iter().map(|message| Fault::new(Reason::InvalidCertificateRef, message)));
    let asked = !faults.is_empty();
    // One condition has room for one reason: certificates come first, since without them nothing listens.
    faults.extend(found.report.unresolved.take());
    if let Some(first) = faults.first() {
        found.report.unresolved = Some(Fault::new(first.reason, join(faults.iter().map(|fault| fault.message.clone()))));
    }
    if let Some(warning) = found.hostname.as_ref().and_then(|hostname| certificate::for_another_name(&found.certificates, hostname)) {
        found.report.warnings.push(format!("{path}.tls.certificateRefs: {warning}"));
    }
    if found.certificates.is_empty() {
        let (reason, message) = match &found.report.unresolved {
            Some(fault) if asked => (Reason::Invalid, fault.message.clone()),
            _ => (Reason::InvalidTLSConfig, certificate::none_given(&format!("{path}.tls"), &tls.options)),
        };
        found.report.unprogrammable = Some(Fault::new(reason, message));
    }
}

fn reference_to(namespace: &str, reference: &normal::SecretRef) -> CertificateReference {
    CertificateReference::Secret(reference.resolve(namespace))
}

/// What is to be said of the certificates that clients must show on a port.
fn client_validation(found: &mut Listener<'_>, world: &World, holder: Holder<'_>, port: u16) {
    let Some(validation) = holder.gateway.client_validation_on(port) else { return };
    let path = if holder.gateway.client_validation_by_port.contains_key(&port) {
        format!("spec.tls.frontend.perPort[port {port}].tls.validation")
    } else {
        "spec.tls.frontend.default.validation".to_owned()
    };
    // Serving without the check would let in whom the author wants out.
    let unserved = format!(
        "{path}: to check clients' certificates the load balancer needs a trust store, which Portico does not make yet, and port {port} is not served without the \
         check; remove it for this port, and let backends tell clients apart"
    );
    let (bundles, faults) = certificate::ca_bundles(world, holder.gateway_namespace, &path, &validation.ca_certificates);
    if let Some(first) = faults.first() {
        let message = join(faults.iter().map(|fault| fault.message.clone()));
        if bundles.is_empty() {
            found.reject(Reason::NoValidCACertificate, join([message.clone(), unserved.clone()]));
        }
        found.report.unresolved = Some(Fault::new(first.reason, message));
    }
    found.reject(Reason::UnsupportedValue, unserved);
}
