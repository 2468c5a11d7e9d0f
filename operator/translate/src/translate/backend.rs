//! Backend references.

use super::grant;
use crate::World;
use crate::world::kind_of_route;
use portico_crds::Kind;
use portico_crds::normal::BackendRef;
use portico_providers::{AppProtocol, Backend, InvalidReason, RouteId, ServiceBackend};

/// Resolves a reference of a route at `path`. One that leads nowhere is a value too: it keeps its weight, and its share is answered 500.
pub(super) fn resolve(world: &World, route: &RouteId, path: &str, reference: &BackendRef) -> Backend {
    service(world, route, path, reference).map_or_else(|(reason, message)| Backend::Invalid { reason, message }, Backend::Service)
}

fn service(world: &World, route: &RouteId, path: &str, reference: &BackendRef) -> Result<ServiceBackend, (InvalidReason, String)> {
    let fault = |reason, message: String| (reason, format!("{path}: {message}"));
    if reference.known_kind() != Some(Kind::Service) {
        let message = format!("kind {} of group {:?} is not served; refer to a Service", reference.kind, reference.group);
        return Err(fault(InvalidReason::InvalidKind, message));
    }
    let key = reference.resolve(&route.key.namespace);
    grant::check(world, kind_of_route(route.kind), &route.key.namespace, Kind::Service, &key)
        .map_err(|message| fault(InvalidReason::RefNotPermitted, message))?;
    let Some(service) = world.services.get(&key) else {
        return Err(fault(InvalidReason::BackendNotFound, format!("Service {key} does not exist; create it, or correct the reference")));
    };
    if service.external_name {
        let message =
            format!("Service {key} is of type ExternalName, which has no endpoints; use one that selects pods or has EndpointSlices");
        return Err(fault(InvalidReason::UnsupportedValue, message));
    }
    let ports = || {
        let ports: Vec<_> = service.ports.iter().filter(|port| port.protocol == "TCP").map(|port| port.port.to_string()).collect();
        if ports.is_empty() { "it has none for TCP: add one".to_owned() } else { format!("use one of its TCP ports: {}", ports.join(", ")) }
    };
    let Some(number) = reference.port else {
        return Err(fault(InvalidReason::UnsupportedValue, format!("port is missing for Service {key}; {}", ports())));
    };
    // A Service may have one number twice, for TCP and for UDP.
    let mut found = service.ports.iter().filter(|port| port.port == number);
    let Some(port) = found.clone().find(|port| port.protocol == "TCP").or_else(|| found.next()) else {
        return Err(fault(InvalidReason::BackendNotFound, format!("Service {key} has no port {number}; {}", ports())));
    };
    if port.protocol != "TCP" {
        let message = format!("port {number} of Service {key} is {}, and an {} needs TCP; {}", port.protocol, route.kind.as_str(), ports());
        return Err(fault(InvalidReason::UnsupportedProtocol, message));
    }
    let Some(protocol) = app_protocol(port.app_protocol.as_deref()) else {
        let message = format!(
            "appProtocol {:?} of port {number} of Service {key} is not served; use http, https, kubernetes.io/h2c, kubernetes.io/ws or kubernetes.io/wss",
            port.app_protocol.as_deref().unwrap_or_default()
        );
        return Err(fault(InvalidReason::UnsupportedProtocol, message));
    };
    let tls_policy = world.policy_of(&key, &port.name).cloned();
    Ok(ServiceBackend {
        port: number,
        port_name: port.name.clone(),
        protocol,
        families: service.families.clone(),
        tls_policy,
        service: key,
    })
}

/// The protocols of GEP-1911, IANA's names for HTTP, and the names that service meshes made common.
fn app_protocol(name: Option<&str>) -> Option<AppProtocol> {
    match name {
        None | Some("http") => Some(AppProtocol::Http),
        Some("kubernetes.io/h2c" | "h2c" | "http2" | "grpc") => Some(AppProtocol::H2c),
        Some("kubernetes.io/ws" | "ws") => Some(AppProtocol::WebSocket),
        Some("https") => Some(AppProtocol::Https),
        Some("kubernetes.io/wss" | "wss") => Some(AppProtocol::WebSocketSecure),
        Some(_) => None,
    }
}
