//! Application load balancers and their listeners as the data plane's configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::{Projector, rule};
use crate::dataplane::config::{
    self as plane, DesyncMitigation, ForwardedFor, ListenerAttributes, ListenerProtocol, LoadBalancerAttributes, Tls,
};
use crate::elb::attribute;
use crate::elb::listener::Listener;
use crate::elb::load_balancer::LoadBalancer;
use crate::reachability::Network;
use crate::state::State;

impl Projector {
    pub(super) fn load_balancer(&mut self, state: &State, network: &Network<'_>, balancer: &LoadBalancer) -> plane::LoadBalancer {
        let value = |key: &str| attribute::value(attribute::LOAD_BALANCER, &balancer.attributes, key);
        let is = |key: &str| value(key) == "true";
        let seconds = |key: &str| Duration::from_secs(value(key).parse().unwrap_or_default());
        plane::LoadBalancer {
            id: balancer.arn.as_str().into(),
            address: balancer.address().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            zones: balancer.zones(&state.ec2),
            attributes: LoadBalancerAttributes {
                idle_timeout: seconds("idle_timeout.timeout_seconds"),
                client_keep_alive: seconds("client_keep_alive.seconds"),
                preserve_host_header: is("routing.http.preserve_host_header.enabled"),
                forwarded_for: match value("routing.http.xff_header_processing.mode").as_str() {
                    "preserve" => ForwardedFor::Preserve,
                    "remove" => ForwardedFor::Remove,
                    _ => ForwardedFor::Append,
                },
                forwarded_for_client_port: is("routing.http.xff_client_port.enabled"),
                drop_invalid_header_fields: is("routing.http.drop_invalid_header_fields.enabled"),
                desync_mitigation: match value("routing.http.desync_mitigation_mode").as_str() {
                    "monitor" => DesyncMitigation::Monitor,
                    "strictest" => DesyncMitigation::Strictest,
                    _ => DesyncMitigation::Defensive,
                },
                http2: is("routing.http2.enabled"),
                web_acl: state.wafv2.of(&balancer.arn).is_some(),
                blocked: state.wafv2.of(&balancer.arn).is_some_and(|acl| acl.blocks),
                logs: balancer.log_options(),
            },
            ingress: self.ingress(state, network, balancer),
            listeners: balancer.listeners.values().map(|one| Arc::new(listener(one, self.tls(state, balancer, one)))).collect(),
        }
    }
}

/// A load balancer of which only these rules changed, by listener, made of what is served.
pub(super) fn with_rules(
    served: &plane::LoadBalancer,
    balancer: &LoadBalancer,
    changed: &BTreeMap<String, BTreeSet<String>>,
) -> plane::LoadBalancer {
    let anew = |served: &Arc<plane::Listener>| {
        let (listener, rules) = (balancer.listeners.get(served.id.as_str())?, changed.get(served.id.as_str())?);
        let mut made = plane::Listener::clone(served);
        made.rules.retain(|rule| !rules.contains(rule.id.as_str()));
        made.rules.extend(rules.iter().filter_map(|arn| listener.rules.get(arn)).map(|rule| Arc::new(rule::rule(rule))));
        made.rules.sort_by_key(|rule| rule.priority);
        Some(Arc::new(made))
    };
    let listeners = served.listeners.iter().map(|listener| anew(listener).unwrap_or_else(|| Arc::clone(listener))).collect();
    plane::LoadBalancer { listeners, ..served.clone() }
}

fn listener(listener: &Listener, tls: Option<Tls>) -> plane::Listener {
    let value = |key: &str| attribute::value(attribute::LISTENER, &listener.attributes, key);
    let headers = attribute::LISTENER.iter().filter_map(|(key, _, _)| {
        let name = key.strip_prefix("routing.http.response.")?.strip_suffix(".header_value")?;
        let text = Some(value(key)).filter(|text| !text.is_empty())?;
        Some((name.replace('_', "-"), text))
    });
    let mut rules: Vec<_> = listener.rules.values().map(|rule| Arc::new(rule::rule(rule))).collect();
    rules.sort_by_key(|rule| rule.priority);
    plane::Listener {
        id: listener.arn.as_str().into(),
        port: listener.port,
        protocol: if listener.protocol == "HTTPS" { ListenerProtocol::Https } else { ListenerProtocol::Http },
        tls,
        attributes: ListenerAttributes {
            server_header: value("routing.http.response.server.enabled") == "true",
            response_headers: headers.collect(),
        },
        rules,
        default_rule: plane::DefaultRule { id: listener.default_rule.as_str().into(), action: rule::actions(&listener.default_actions) },
    }
}
