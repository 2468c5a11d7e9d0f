//! What the demo shows of the Gateways that are served: where they are, and a request for each of their rules.

use std::net::{IpAddr, SocketAddr};

use portico_cloud::Cloud;
use portico_crds::v1alpha1::EffectiveProfile;
use portico_providers::{Backend, Plan, PortProtocol, UnitId};
use serde_json::Value;

use super::proxies::Proxies;
use super::requests::{Answer, ExampleRequest, examples};
use crate::output::{DELETE, DIM, HEADING, line, styled};

/// A Gateway and what can be asked of it.
pub struct Shown {
    /// Its load balancer.
    pub unit: UnitId,
    /// Whether its status says Programmed, or what it says instead.
    pub programmed: Result<(), String>,
    plan: Option<Plan>,
    name: Option<String>,
    address: Option<IpAddr>,
    ports: Vec<Port>,
    requests: Vec<(ExampleRequest, Option<SocketAddr>)>,
}

/// A port of a Gateway.
struct Port {
    scheme: &'static str,
    /// As its listener says.
    wanted: u16,
    /// What is bound for it, or why nothing is.
    bound: Result<u16, String>,
}

impl Shown {
    /// What can be shown of a Gateway, as its object is now.
    pub fn new(unit: UnitId, plan: Option<Plan>, gateway: &Value, cloud: Option<&Cloud>, proxies: Option<&Proxies>) -> Self {
        let name = gateway.pointer("/status/addresses/0/value").and_then(Value::as_str).map(str::to_owned);
        let of_fleet = plan.as_ref().is_some_and(|plan| matches!(plan.profile, EffectiveProfile::Envoy(_)));
        let place = if of_fleet { None } else { name.as_deref().and_then(|name| cloud?.load_balancer(name)) };
        let address = if of_fleet { name.as_deref().and_then(|name| name.parse().ok()) } else { place.as_ref().map(|place| place.address) };
        let ports: Vec<Port> = match &plan {
            Some(plan) if of_fleet => plan
                .ports
                .iter()
                .map(|port| {
                    let wanted = proxies.map_or(port.port, |proxies| proxies.wanted_port(port.port));
                    Port { scheme: scheme(port.protocol), wanted, bound: Ok(port.port) }
                })
                .collect(),
            _ => place.iter().flat_map(|it| it.ports.clone()).map(|(wanted, bound)| Port { scheme: "http", wanted, bound }).collect(),
        };
        let bound = |port: u16| {
            let bound = ports.iter().find(|it| if of_fleet { it.bound == Ok(port) } else { it.wanted == port })?.bound.clone();
            Some(SocketAddr::new(address?, bound.ok()?))
        };
        let requests = plan.iter().flat_map(examples).map(|request| (bound(request.port), request)).map(|(at, it)| (it, at)).collect();
        Self { unit, programmed: programmed(gateway), plan, name, address, ports, requests }
    }

    fn introduce(&self) -> anyhow::Result<()> {
        let name = self.name.as_deref().unwrap_or("no address");
        match &self.programmed {
            Ok(()) => line(format_args!("  {}  {name}", self.unit))?,
            Err(why) => line(format_args!("  {}  {}", self.unit, styled(DELETE, why)))?,
        }
        let Some(address) = self.address else { return Ok(()) };
        for Port { scheme, wanted, bound } in &self.ports {
            match bound {
                Ok(bound) if bound == wanted => line(format_args!("    port {wanted} at {scheme}://{address}:{wanted}"))?,
                Ok(bound) => line(format_args!(
                    "    port {wanted} at {scheme}://{address}:{bound} (port {bound} stands in: {wanted} cannot be bound here)"
                ))?,
                Err(why) => line(format_args!("    {} port {wanted}: {why}", styled(DELETE, "!")))?,
            }
        }
        Ok(())
    }

    /// Whether an answer is what the route says: one of its rule's backends where it has some that are valid, an error or a redirect otherwise.
    fn is_right(&self, request: &ExampleRequest, answer: &Answer) -> bool {
        let rule = self.plan.iter().flat_map(Plan::rules).map(|(_, _, rule)| rule).find(|rule| rule.id == request.rule);
        let services = rule.is_some_and(|rule| rule.backends.iter().any(|b| b.weight > 0 && matches!(b.backend, Backend::Service(_))));
        if services { answer.status == 200 && answer.backend.is_some() } else { answer.status >= 300 }
    }
}

fn scheme(protocol: PortProtocol) -> &'static str {
    match protocol {
        PortProtocol::Http => "http",
        PortProtocol::Https => "https",
        PortProtocol::Tls => "tls",
        PortProtocol::Tcp => "tcp",
        PortProtocol::Udp => "udp",
    }
}

/// Prints what is served; makes every request once and says what answered. Returns whether everything is as the routes say.
pub async fn report(shown: &[Shown], unhealthy: Vec<String>) -> anyhow::Result<bool> {
    let mut good = unhealthy.is_empty();
    line(styled(HEADING, "Addresses"))?;
    for gateway in shown {
        gateway.introduce()?;
        good &= gateway.programmed.is_ok();
    }
    for target in unhealthy {
        line(format_args!("  {} {target}", styled(DELETE, "!")))?;
    }
    line("")?;
    line(format_args!("{} (each was just made; this is what answered)", styled(HEADING, "Try")))?;
    for gateway in shown {
        for (request, address) in &gateway.requests {
            line("")?;
            line(format_args!("{}", styled(DIM, format_args!("# {}", request.rule))))?;
            let Some(address) = address else {
                good = false;
                line(format_args!("# port {} is not bound, so that nothing can be asked", request.port))?;
                continue;
            };
            line(request.curl(*address))?;
            let answer = request.send(*address).await;
            good &= answer.as_ref().is_ok_and(|answer| gateway.is_right(request, answer));
            line(format_args!("{}", styled(DIM, format_args!("# {}", words(&answer)))))?;
        }
    }
    line("")?;
    Ok(good)
}

/// The Programmed condition of a Gateway: its status, reason and message.
fn condition<'a>(gateway: &'a Value, field: &str) -> &'a str {
    let conditions = gateway.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|condition| condition.get("type").and_then(Value::as_str) == Some("Programmed"));
    found.and_then(|condition| condition.get(field)).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a Gateway's status says Programmed, or what it says instead.
fn programmed(gateway: &Value) -> Result<(), String> {
    let text = |field| condition(gateway, field);
    if text("status") == "True" { Ok(()) } else { Err(format!("not programmed: {}: {}", text("reason"), text("message"))) }
}

/// Whether somebody is still at work on a Gateway.
pub fn is_pending(gateway: &Value) -> bool {
    matches!(condition(gateway, "reason"), "" | "Pending")
}

fn words(answer: &anyhow::Result<Answer>) -> String {
    match answer {
        Err(error) => format!("no answer: {}", crate::output::explain(error)),
        Ok(Answer { status, backend: Some((namespace, pod)), seen_path }) => {
            let path = seen_path.as_deref().unwrap_or("/");
            format!("{status} from {namespace}/{pod}, which saw {path}")
        }
        Ok(Answer { status, .. }) => format!("{status} from the load balancer itself"),
    }
}
