//! Network load balancers and their target groups as the data plane's configuration.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::rule::forward;
use super::target_group::{balancer_of, health_check, target_protocol};
use super::{Projector, target_group_id, target_id};
use crate::dataplane::config::{
    self as plane, FlowOptions, FlowReach, IngressRule, IpVersion, NetworkListener, NetworkLoadBalancer, NetworkNode, NetworkProtocol,
    NetworkRule, ProtocolVersion, Reach, Reachability, Transport,
};
use crate::elb::action::ActionKind;
use crate::elb::attribute;
use crate::elb::kind::LoadBalancerKind;
use crate::elb::listener::Listener;
use crate::elb::load_balancer::LoadBalancer;
use crate::elb::network_attribute::TCP_LISTENER;
use crate::elb::rule::Rule;
use crate::elb::target::{Target, TargetKey};
use crate::elb::target_group::TargetGroup;
use crate::reachability::Network;
use crate::state::State;

/// AWS: for how long idle connections of TLS listeners are kept.
const TLS_IDLE_TIMEOUT: Duration = Duration::from_secs(350);

impl Projector {
    pub(super) fn network_load_balancer(&mut self, state: &State, network: &Network<'_>, balancer: &LoadBalancer) -> NetworkLoadBalancer {
        let zone = |subnet: &String| state.ec2.subnets.get(subnet).map(|subnet| subnet.zone.clone());
        let nodes = balancer
            .nodes
            .iter()
            .filter_map(|node| Some(NetworkNode { zone: zone(node.subnet.as_ref()?)?, address: node.listens_at }))
            .collect();
        NetworkLoadBalancer {
            id: balancer.arn.as_str().into(),
            zones: balancer.zones(&state.ec2),
            nodes,
            ingress: (!balancer.security_groups.is_empty()).then(|| plane::NetworkIngress {
                tcp: network.ingress(balancer, Transport::Tcp),
                udp: network.ingress(balancer, Transport::Udp),
            }),
            listeners: balancer.listeners.values().filter_map(|listener| self.network_listener(state, balancer, listener)).collect(),
            logs: balancer.log_options(),
        }
    }

    /// Notes which of these target groups have an application load balancer as their target.
    pub(super) fn note_fronts<'a>(&mut self, state: &State, groups: impl Iterator<Item = &'a String>) {
        for group in groups {
            match front(state, group) {
                Some(balancer) => drop(self.fronts.insert(group.clone(), balancer.clone())),
                None => drop(self.fronts.remove(group)),
            }
        }
    }

    /// Who may connect to an application load balancer: whom its groups let in, also as the targets of network load balancers, which send from
    /// other addresses here than they would on AWS.
    pub(super) fn ingress(&self, state: &State, network: &Network<'_>, balancer: &LoadBalancer) -> Vec<IngressRule> {
        let mut rules = network.ingress(balancer, Transport::Tcp);
        let groups =
            self.fronts.iter().filter(|(_, front)| **front == balancer.arn).filter_map(|(group, _)| state.elb.target_groups.get(group));
        let senders: BTreeMap<IpAddr, IpAddr> =
            groups.filter_map(|group| balancer_of(state, group)).flat_map(|front| network.sending_addresses(front)).collect();
        for (private, sends_from) in senders {
            let admits = |rule: &&IngressRule| rule.source.contains(&private);
            let more: Vec<IngressRule> =
                rules.iter().filter(admits).map(|rule| IngressRule { source: sends_from.into(), ..rule.clone() }).collect();
            rules.extend(more);
        }
        rules
    }

    fn network_listener(&mut self, state: &State, balancer: &LoadBalancer, listener: &Listener) -> Option<NetworkListener> {
        let ActionKind::Forward(action) = &listener.default_actions.last()?.kind else { return None };
        let seconds = attribute::value(TCP_LISTENER, &listener.attributes, "tcp.idle_timeout.seconds");
        let protocol = protocol(&listener.protocol);
        let is_tls = protocol == NetworkProtocol::Tls;
        Some(NetworkListener {
            id: listener.arn.as_str().into(),
            port: listener.port,
            protocol,
            tls: self.tls(state, balancer, listener),
            alpn: alpn(listener.tls.as_ref().and_then(|tls| tls.alpn.as_deref())),
            idle_timeout: if is_tls { TLS_IDLE_TIMEOUT } else { Duration::from_secs(seconds.parse().unwrap_or(350)) },
            rules: rules(listener),
            rule: listener.default_rule.as_str().into(),
            forward: forward(action),
        })
    }
}

fn rules(listener: &Listener) -> Vec<NetworkRule> {
    let mut rules: Vec<_> = listener.rules.values().filter_map(rule).collect();
    rules.sort_by_key(|rule| rule.priority);
    rules
}

fn rule(rule: &Rule) -> Option<NetworkRule> {
    let ActionKind::Forward(action) = &rule.actions.last()?.kind else { return None };
    let version = rule.conditions.iter().find_map(|condition| condition.address_type.as_deref())?;
    Some(NetworkRule {
        id: rule.arn.as_str().into(),
        priority: rule.priority,
        source: if version == "ipv6" { IpVersion::V6 } else { IpVersion::V4 },
        forward: forward(action),
    })
}

fn protocol(name: &str) -> NetworkProtocol {
    match name {
        "UDP" => NetworkProtocol::Udp,
        "TLS" => NetworkProtocol::Tls,
        "TCP_UDP" => NetworkProtocol::TcpUdp,
        "QUIC" => NetworkProtocol::Quic,
        "TCP_QUIC" => NetworkProtocol::TcpQuic,
        _ => NetworkProtocol::Tcp,
    }
}

/// What an ALPN policy negotiates, the preferred protocol first (network user guide, "ALPN policies").
fn alpn(policy: Option<&str>) -> Vec<&'static str> {
    match policy {
        Some("HTTP1Only") => vec!["http/1.1", "http/1.0"],
        Some("HTTP2Only") => vec!["h2"],
        Some("HTTP2Optional") => vec!["http/1.1", "http/1.0", "h2"],
        Some("HTTP2Preferred") => vec!["h2", "http/1.1", "http/1.0"],
        _ => vec![],
    }
}

/// A target group behind a network load balancer.
pub(super) fn target_group(state: &State, network: &Network<'_>, group: &TargetGroup) -> plane::TargetGroup {
    let is = |key: &str| group.attribute(key);
    let on = |key: &str| is(key) == "true";
    let balancer = balancer_of(state, group);
    let flows = FlowOptions {
        preserve_client_ip: on("preserve_client_ip.enabled"),
        proxy_protocol: on("proxy_protocol_v2.enabled"),
        source_ip_stickiness: on("stickiness.enabled"),
        terminate_deregistered: on("deregistration_delay.connection_termination.enabled"),
        terminate_unhealthy: on("target_health_state.unhealthy.connection_termination.enabled"),
        unhealthy_draining: Duration::from_secs(is("target_health_state.unhealthy.draining_interval_seconds").parse().unwrap_or_default()),
    };
    plane::TargetGroup {
        id: target_group_id(&group.arn),
        protocol: target_protocol(&group.protocol),
        version: ProtocolVersion::Http1,
        health_check: plane::HealthCheck {
            source: balancer.and_then(LoadBalancer::address),
            host: balancer.and_then(|balancer| host(balancer, group)),
            proxy_protocol: flows.proxy_protocol,
            coarse: true,
            unhealthy_draining: flows.unhealthy_draining,
            // AWS keeps logs of them for application load balancers only.
            ..health_check(group)
        },
        flows,
        cross_zone: match is("load_balancing.cross_zone.enabled").as_str() {
            "use_load_balancer_configuration" => balancer.is_some_and(LoadBalancer::is_cross_zone),
            set => set == "true",
        },
        minimum_healthy_count: is("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count").parse().unwrap_or(1),
        minimum_healthy_percentage: is("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage").parse().ok(),
        algorithm: plane::Algorithm::default(),
        stickiness: None,
        slow_start: Duration::ZERO,
        targets: targets(state, network, group),
    }
}

/// The Host header of health checks: AWS sends the node's address and the listener's port.
fn host(balancer: &LoadBalancer, group: &TargetGroup) -> Option<String> {
    let uses = |listener: &&Listener| {
        let mut actions = listener.rules.values().flat_map(|rule| &rule.actions).chain(&listener.default_actions);
        actions.any(|action| action.target_groups().contains(&&group.arn))
    };
    let listener = balancer.listeners.values().find(uses)?;
    Some(format!("{}:{}", balancer.address()?, listener.port))
}

fn targets(state: &State, network: &Network<'_>, group: &TargetGroup) -> Vec<plane::Target> {
    let balancer = balancer_of(state, group);
    let check_port: Option<u16> = group.health_check.port.parse().ok();
    let preserved = group.attribute("preserve_client_ip.enabled") == "true";
    let mut made = Vec::new();
    for (key, target) in &group.targets {
        let Some(address) = address(state, key, target) else { continue };
        let outside = target.zone == "all";
        let judge = |transport, port| -> Reach {
            let Some(balancer) = balancer else { return Reach::Everybody };
            match state.elb.load_balancers.get(&key.id) {
                // It judges by itself who comes.
                Some(front) if network.lets_out_to(balancer, front, transport, port) => Reach::Everybody,
                Some(_) => Reach::Nobody,
                None if preserved && !outside => network.reached_by(balancer, address, transport, port),
                None => match network.reaches(balancer, address, transport, port, outside) {
                    Reachability::Allowed => Reach::Everybody,
                    Reachability::Blocked => Reach::Nobody,
                },
            }
        };
        let check = check_port.unwrap_or(key.port);
        let checked = match (balancer, state.elb.load_balancers.get(&key.id)) {
            (Some(balancer), None) => network.reaches(balancer, address, Transport::Tcp, check, outside),
            (Some(balancer), Some(front)) if !network.lets_out_to(balancer, front, Transport::Tcp, check) => Reachability::Blocked,
            _ => Reachability::Allowed,
        };
        made.push(plane::Target {
            id: target_id(key),
            address,
            port: key.port,
            zone: (!outside).then(|| target.zone.clone()),
            reachability: Reachability::Allowed,
            flow_reach: Arc::new(FlowReach { tcp: judge(Transport::Tcp, key.port), udp: judge(Transport::Udp, key.port) }),
            check_reachability: checked,
            draining: target.draining.is_some(),
        });
    }
    made
}

/// Where a target is; a load balancer is where it listens.
fn address(state: &State, key: &TargetKey, target: &Target) -> Option<IpAddr> {
    target.address.or_else(|| state.elb.load_balancers.get(&key.id)?.address())
}

/// The application load balancer that is the target of a target group.
pub(super) fn front<'a>(state: &'a State, group: &str) -> Option<&'a String> {
    let group = state.elb.target_groups.get(group).filter(|group| group.target_type == "alb")?;
    group.targets.keys().next().map(|key| &key.id)
}

/// Whether it is a network load balancer.
pub(super) fn is_network(balancer: &LoadBalancer) -> bool {
    balancer.kind == LoadBalancerKind::Network
}
