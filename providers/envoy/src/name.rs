//! Names of resources. They hold the unit, so that what one unit publishes never meets another's, and they say what they stand for: Envoy shows them in its
//! statistics, logs and error messages.

use portico_crds::NamespacedName;
use portico_providers::{AppProtocol, Hostname, PlanRule, PortProtocol, RuleId, ServiceBackend, UnitId};

/// A listener: `gateway/infra/web/80`, and `gateway/infra/web/53/udp` for datagrams.
pub(crate) fn listener(unit: &UnitId, port: u16, protocol: PortProtocol) -> String {
    match protocol {
        PortProtocol::Udp => format!("{unit}/{port}/udp"),
        _ => format!("{unit}/{port}"),
    }
}

/// The routes of an HTTP port, or of one listener of an HTTPS port: `gateway/infra/web/443/*.example.com`.
pub(crate) fn routes(unit: &UnitId, port: u16, hostname: Option<&Hostname>) -> String {
    format!("{unit}/{port}/{}", domain(hostname))
}

/// The virtual host for a domain: `gateway/infra/web/80/*/www.example.com`. Envoy takes what comes before the last slash for the route configuration that it belongs to.
pub(crate) fn virtual_host(routes: &str, domain: &str) -> String {
    format!("{routes}/{domain}")
}

/// The unit that a resource is of, by its name.
pub fn unit(resource: &str) -> Option<UnitId> {
    let mut parts = resource.strip_prefix("gateway/")?.splitn(3, '/');
    let key = NamespacedName::new(parts.next()?, parts.next()?);
    parts.next().map(|_| UnitId::Gateway(key))
}

/// What Envoy calls the names that a hostname stands for.
pub(crate) fn domain(hostname: Option<&Hostname>) -> &str {
    hostname.map_or("*", Hostname::as_str)
}

/// A cluster: `gateway/infra/web/service/team-a/shop:80`, with how it is spoken to where that is not HTTP/1.1.
pub(crate) fn cluster(unit: &UnitId, backend: &ServiceBackend) -> String {
    let protocol = match backend.protocol {
        AppProtocol::Http => "",
        AppProtocol::H2c => "/h2c",
        AppProtocol::H2 => "/h2",
        AppProtocol::WebSocket => "/ws",
        AppProtocol::Https => "/https",
        AppProtocol::WebSocketSecure => "/wss",
        AppProtocol::Tcp => "/tcp",
        AppProtocol::Udp => "/udp",
    };
    format!("{unit}/service/{}:{}{protocol}", backend.service, backend.port)
}

/// The Service that a cluster stands for.
pub(crate) fn service(unit: &UnitId, cluster: &str) -> Option<NamespacedName> {
    let rest = cluster.strip_prefix(&format!("{unit}/service/"))?;
    let (service, _) = rest.split_once(':')?;
    service.parse().ok()
}

/// A route: `HTTPRoute shop/cart rules[checkout].matches[0]`. Where its author gave a rule no name it goes by its index, as in statuses and plans, and has another name as soon
/// as a rule is put before it. All digits are no name here: an index could be meant.
pub(crate) fn route(rule: &PlanRule) -> String {
    let RuleId { route, rule: _, match_index } = &rule.id;
    match rule.name.as_ref().filter(|name| !name.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(name) => format!("{route} rules[{name}].matches[{match_index}]"),
        None => rule.id.to_string(),
    }
}

/// The cluster that does not exist: shares of invalid backends go there.
pub(crate) const INVALID: &str = "invalid-backend";
