//! Target groups as the data plane's configuration.

use std::sync::Arc;
use std::time::Duration;

use super::network;
use super::{target_group_id, target_id};
use crate::dataplane::config::{
    self as plane, Algorithm, FlowOptions, Matcher, ProtocolVersion, Reachability, TargetProtocol, TargetStickiness, Transport,
};
use crate::elb::load_balancer::LoadBalancer;
use crate::elb::protocol;
use crate::elb::target_group::TargetGroup;
use crate::reachability::Network;
use crate::state::State;

/// A target group of any protocol.
pub(super) fn any_target_group(state: &State, network: &Network<'_>, group: &TargetGroup) -> plane::TargetGroup {
    if protocol::is_network(&group.protocol) {
        return network::target_group(state, network, group);
    }
    target_group(state, network, group)
}

fn target_group(state: &State, network: &Network<'_>, group: &TargetGroup) -> plane::TargetGroup {
    let is = |key: &str| group.attribute(key);
    let seconds = |key: &str| Duration::from_secs(is(key).parse().unwrap_or_default());
    let stickiness = (is("stickiness.enabled") == "true").then(|| {
        if is("stickiness.type") == "app_cookie" {
            TargetStickiness::ApplicationCookie {
                name: is("stickiness.app_cookie.cookie_name"),
                duration: seconds("stickiness.app_cookie.duration_seconds"),
            }
        } else {
            TargetStickiness::LoadBalancerCookie { duration: seconds("stickiness.lb_cookie.duration_seconds") }
        }
    });
    plane::TargetGroup {
        id: target_group_id(&group.arn),
        protocol: target_protocol(&group.protocol),
        version: match group.protocol_version.as_str() {
            "HTTP2" => ProtocolVersion::Http2,
            "GRPC" => ProtocolVersion::Grpc,
            _ => ProtocolVersion::Http1,
        },
        health_check: plane::HealthCheck {
            log: balancer_of(state, group).and_then(|balancer| balancer.health_check_log(&group.name)),
            ..health_check(group)
        },
        flows: FlowOptions::default(),
        algorithm: match is("load_balancing.algorithm.type").as_str() {
            "least_outstanding_requests" => Algorithm::LeastOutstandingRequests,
            "weighted_random" => Algorithm::WeightedRandom,
            _ => Algorithm::RoundRobin,
        },
        stickiness,
        cross_zone: is("load_balancing.cross_zone.enabled") != "false",
        minimum_healthy_count: is("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count").parse().unwrap_or(1),
        minimum_healthy_percentage: is("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage").parse().ok(),
        slow_start: seconds("slow_start.duration_seconds"),
        targets: targets(state, network, group),
    }
}

/// How targets are spoken to.
pub(super) fn target_protocol(name: &str) -> TargetProtocol {
    match name {
        "HTTP" => TargetProtocol::Http,
        "HTTPS" => TargetProtocol::Https,
        "TLS" => TargetProtocol::Tls,
        _ => TargetProtocol::Tcp,
    }
}

/// What of a target group's health check does not depend on the load balancer.
pub(super) fn health_check(group: &TargetGroup) -> plane::HealthCheck {
    let check = &group.health_check;
    plane::HealthCheck {
        enabled: check.enabled,
        protocol: target_protocol(&check.protocol),
        port: check.port.parse().ok(),
        path: check.path.clone(),
        interval: Duration::from_secs(check.interval.into()),
        timeout: Duration::from_secs(check.timeout.into()),
        healthy_threshold: check.healthy_threshold,
        unhealthy_threshold: check.unhealthy_threshold,
        matcher: if check.grpc { Matcher::Grpc(check.matcher.clone()) } else { Matcher::Http(check.matcher.clone()) },
        ..plane::HealthCheck::default()
    }
}

/// The load balancer that uses a target group.
pub(super) fn balancer_of<'a>(state: &'a State, group: &TargetGroup) -> Option<&'a LoadBalancer> {
    group.load_balancers.iter().find_map(|arn| state.elb.load_balancers.get(arn))
}

fn targets(state: &State, network: &Network<'_>, group: &TargetGroup) -> Vec<plane::Target> {
    let balancer = balancer_of(state, group);
    let check_port: Option<u16> = group.health_check.port.parse().ok();
    group
        .targets
        .iter()
        .filter_map(|(key, target)| {
            let (outside, address) = (target.zone == "all", target.address?);
            let reaches = |balancer, port| network.reaches(balancer, address, Transport::Tcp, port, outside);
            let judge = |port| balancer.map_or(Reachability::Allowed, |balancer| reaches(balancer, port));
            let reachability = judge(key.port);
            Some(plane::Target {
                id: target_id(key),
                address,
                port: key.port,
                zone: (!outside).then(|| target.zone.clone()),
                reachability,
                flow_reach: Arc::default(),
                check_reachability: check_port.map_or(reachability, judge),
                draining: target.draining.is_some(),
            })
        })
        .collect()
}
