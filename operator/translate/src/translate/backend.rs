//! Backend references.

use super::{grant, policy};
use crate::World;
use crate::world::kind_of_route;
use portico_crds::Kind;
use portico_crds::normal::BackendRef;
use portico_providers::{AppProtocol, Backend, InvalidReason, RouteId, RouteKind, ServiceBackend};
use std::fmt::Arguments;

/// Who refers to a backend, and what goes there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Referrer<'a> {
    /// The kind, as ReferenceGrants name it.
    pub kind: Kind,
    pub namespace: &'a str,
    /// The kind with its article.
    pub who: &'static str,
    pub traffic: Traffic,
}

/// What goes to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    Http,
    Grpc,
    /// Bytes, TLS that ended here among them.
    Tcp,
    /// TLS that ends at the backend: no policy wraps it once more.
    PassedThrough,
    Udp,
}

impl Traffic {
    /// What the listeners of a kind of route receive; TLS ends there.
    pub fn of(kind: RouteKind) -> Self {
        match kind {
            RouteKind::Http => Self::Http,
            RouteKind::Grpc => Self::Grpc,
            RouteKind::Tls | RouteKind::Tcp => Self::Tcp,
            RouteKind::Udp => Self::Udp,
        }
    }

    /// The protocol that the Service's port must have.
    fn transport(self) -> &'static str {
        if self == Self::Udp { "UDP" } else { "TCP" }
    }

    /// How to talk to a port with this appProtocol: the protocols of GEP-1911, IANA's names for HTTP, and the names that service meshes made common. What is
    /// not HTTP goes as it is. Names of services have no case (RFC 6335, 5.1).
    fn protocol(self, name: Option<&str>) -> Option<AppProtocol> {
        let name = name.map(str::to_ascii_lowercase);
        let http = match (self, name.as_deref()) {
            (Self::Tcp | Self::PassedThrough, _) => return Some(AppProtocol::Tcp),
            (Self::Udp, _) => return Some(AppProtocol::Udp),
            (Self::Http | Self::Grpc, None | Some("http")) => AppProtocol::Http,
            (_, Some("kubernetes.io/h2c" | "h2c" | "http2" | "grpc")) => AppProtocol::H2c,
            (_, Some("kubernetes.io/ws" | "ws")) => AppProtocol::WebSocket,
            (_, Some("https")) => AppProtocol::Https,
            (_, Some("kubernetes.io/wss" | "wss")) => AppProtocol::WebSocketSecure,
            (_, Some(_)) => return None,
        };
        match (self, http) {
            // gRPC is HTTP/2, whatever else the port's HTTP is called.
            (Self::Grpc, AppProtocol::Http | AppProtocol::H2c) => Some(AppProtocol::H2c),
            (Self::Grpc, AppProtocol::Https) => Some(AppProtocol::H2),
            (Self::Grpc, _) => None,
            (_, http) => Some(http),
        }
    }

    /// The appProtocols that are understood.
    fn protocols(self) -> &'static str {
        match self {
            Self::Grpc => "http, https, grpc or kubernetes.io/h2c",
            _ => "http, https, kubernetes.io/h2c, kubernetes.io/ws or kubernetes.io/wss",
        }
    }
}

impl<'a> Referrer<'a> {
    /// A route.
    pub fn route(id: &'a RouteId, traffic: Traffic) -> Self {
        Self { kind: kind_of_route(id.kind), namespace: &id.key.namespace, who: id.kind.with_article(), traffic }
    }
}

/// Resolves a reference at `path`. One that leads nowhere is a value too: it keeps its weight, and its share is answered 500.
pub(super) fn resolve(world: &World, referrer: &Referrer<'_>, path: Arguments<'_>, reference: &BackendRef) -> Backend {
    service(world, referrer, path, reference).map_or_else(|(reason, message)| Backend::Invalid { reason, message }, Backend::Service)
}

fn service(
    world: &World,
    referrer: &Referrer<'_>,
    path: Arguments<'_>,
    reference: &BackendRef,
) -> Result<ServiceBackend, (InvalidReason, String)> {
    let fault = |reason, message: String| (reason, format!("{path}: {message}"));
    if reference.known_kind() != Some(Kind::Service) {
        let message = format!("kind {} of group {:?} is not served; refer to a Service", reference.kind, reference.group);
        return Err(fault(InvalidReason::InvalidKind, message));
    }
    let key = reference.resolve(referrer.namespace);
    grant::check(world, referrer.kind, referrer.namespace, Kind::Service, &key)
        .map_err(|message| fault(InvalidReason::RefNotPermitted, message))?;
    let Some(service) = world.services.get(&key) else {
        return Err(fault(InvalidReason::BackendNotFound, format!("Service {key} does not exist; create it, or correct the reference")));
    };
    if service.external_name {
        let message =
            format!("Service {key} is of type ExternalName, which has no endpoints; use one that selects pods or has EndpointSlices");
        return Err(fault(InvalidReason::UnsupportedValue, message));
    }
    let transport = referrer.traffic.transport();
    let ports = || {
        let ports: Vec<_> = service.ports.iter().filter(|port| port.protocol == transport).map(|port| port.port.to_string()).collect();
        if ports.is_empty() {
            format!("it has none for {transport}: add one")
        } else {
            format!("use one of its {transport} ports: {}", ports.join(", "))
        }
    };
    let Some(number) = reference.port else {
        return Err(fault(InvalidReason::UnsupportedValue, format!("port is missing for Service {key}; {}", ports())));
    };
    // A Service may have one number twice, for TCP and for UDP.
    let mut found = service.ports.iter().filter(|port| port.port == number);
    let Some(port) = found.clone().find(|port| port.protocol == transport).or_else(|| found.next()) else {
        return Err(fault(InvalidReason::BackendNotFound, format!("Service {key} has no port {number}; {}", ports())));
    };
    if port.protocol != transport {
        let message = format!("port {number} of Service {key} is {}, and {} needs {transport}; {}", port.protocol, referrer.who, ports());
        return Err(fault(InvalidReason::UnsupportedProtocol, message));
    }
    let Some(protocol) = referrer.traffic.protocol(port.app_protocol.as_deref()) else {
        let message = format!(
            "appProtocol {:?} of port {number} of Service {key} is not served; use {}",
            port.app_protocol.as_deref().unwrap_or_default(),
            referrer.traffic.protocols()
        );
        return Err(fault(InvalidReason::UnsupportedProtocol, message));
    };
    let unwrapped = matches!(referrer.traffic, Traffic::PassedThrough | Traffic::Udp);
    let tls_policy = world.policy_of(&key, &port.name).filter(|_| !unwrapped).cloned();
    if let Some(policy) = &tls_policy
        && policy::judge(world, policy).is_none_or(|judged| judged.accepted.is_err())
    {
        let message = format!("no requests go to Service {key}, since BackendTLSPolicy {policy} cannot hold: its own conditions say why");
        return Err(fault(InvalidReason::InvalidBackendTlsPolicy, message));
    }
    Ok(ServiceBackend {
        port: number,
        port_name: port.name.clone(),
        protocol,
        families: service.families.clone(),
        tls_policy,
        service: key,
    })
}
