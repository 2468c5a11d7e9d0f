//! Load balancers and target groups.

use aws_sdk_elasticloadbalancingv2::types as sdk;
use portico_aws::observed::{LOAD_BALANCER_DEFAULTS, LoadBalancer, State, TARGET_GROUP_DEFAULTS, TargetGroup};
use portico_aws::stack::{HealthCheck, IpAddressType, ListenerProtocol, Scheme, TargetFamily, TargetProtocol, TargetVersion};
use portico_providers::{Presence, TagSet, TargetSetId};
use std::collections::BTreeMap;

/// A protocol as the API takes it.
pub(crate) fn protocol(protocol: TargetProtocol) -> sdk::ProtocolEnum {
    match protocol {
        TargetProtocol::Http => sdk::ProtocolEnum::Http,
        TargetProtocol::Https => sdk::ProtocolEnum::Https,
    }
}

/// A target group's protocol as the stack writes it.
fn target_protocol(protocol: Option<&sdk::ProtocolEnum>) -> Option<TargetProtocol> {
    match protocol {
        Some(sdk::ProtocolEnum::Http) => Some(TargetProtocol::Http),
        Some(sdk::ProtocolEnum::Https) => Some(TargetProtocol::Https),
        _ => None,
    }
}

/// A listener's protocol as the stack writes it.
pub(crate) fn listener_protocol(protocol: Option<&sdk::ProtocolEnum>) -> Option<ListenerProtocol> {
    match protocol {
        Some(sdk::ProtocolEnum::Http) => Some(ListenerProtocol::Http),
        Some(sdk::ProtocolEnum::Https) => Some(ListenerProtocol::Https),
        _ => None,
    }
}

/// The port of a health check as the API takes it.
pub(crate) fn health_check_port(check: &HealthCheck) -> String {
    check.port.map_or_else(|| "traffic-port".to_owned(), |port| port.to_string())
}

fn pairs(defaults: &[(&str, &str)]) -> BTreeMap<String, String> {
    defaults.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A load balancer as an answer shows it: its attributes are those of a new one, its listeners not known.
pub(crate) fn load_balancer(found: &sdk::LoadBalancer, tags: TagSet) -> Option<LoadBalancer> {
    let state = match found.state() {
        Some(state) => match state.code() {
            Some(sdk::LoadBalancerStateEnum::Active | sdk::LoadBalancerStateEnum::ActiveImpaired) => State::Active,
            Some(sdk::LoadBalancerStateEnum::Failed) => State::Failed(state.reason().unwrap_or("AWS gives no reason").to_owned()),
            _ => State::Provisioning,
        },
        None => State::Provisioning,
    };
    let mut subnets: Vec<_> = found.availability_zones().iter().filter_map(|zone| zone.subnet_id().map(str::to_owned)).collect();
    subnets.sort();
    let mut security_groups = found.security_groups().to_vec();
    security_groups.sort();
    Some(LoadBalancer {
        arn: found.load_balancer_arn()?.to_owned(),
        dns_name: found.dns_name().unwrap_or_default().to_ascii_lowercase(),
        state,
        scheme: if found.scheme() == Some(&sdk::LoadBalancerSchemeEnum::Internal) { Scheme::Internal } else { Scheme::InternetFacing },
        ip_address_type: match found.ip_address_type() {
            Some(sdk::IpAddressType::Dualstack) => IpAddressType::Dualstack,
            Some(sdk::IpAddressType::DualstackWithoutPublicIpv4) => IpAddressType::DualstackWithoutPublicIpv4,
            _ => IpAddressType::Ipv4,
        },
        vpc: found.vpc_id().unwrap_or_default().to_owned(),
        subnets,
        security_groups,
        attributes: pairs(LOAD_BALANCER_DEFAULTS),
        tags,
        listeners: Presence::Unknown,
    })
}

/// A target group as an answer shows it: its attributes are those of a new one.
pub(crate) fn target_group(found: &sdk::TargetGroup, tags: TagSet) -> Option<(TargetSetId, TargetGroup)> {
    let number = |value: Option<i32>| value.and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
    let health_check = target_protocol(found.health_check_protocol()).map(|protocol| HealthCheck {
        protocol,
        port: found.health_check_port().and_then(|port| port.parse().ok()),
        path: found.health_check_path().unwrap_or("/").to_owned(),
        matcher: found.matcher().and_then(|m| m.http_code()).unwrap_or("200").to_owned(),
        interval_seconds: number(found.health_check_interval_seconds()),
        timeout_seconds: number(found.health_check_timeout_seconds()),
        healthy_threshold: number(found.healthy_threshold_count()),
        unhealthy_threshold: number(found.unhealthy_threshold_count()),
    });
    let version = match found.protocol_version() {
        Some("HTTP1") | None => Some(TargetVersion::Http1),
        Some("HTTP2") => Some(TargetVersion::Http2),
        Some("GRPC") => Some(TargetVersion::Grpc),
        Some(_) => None,
    };
    let group = TargetGroup {
        arn: found.target_group_arn()?.to_owned(),
        protocol: target_protocol(found.protocol()),
        version,
        port: found.port().and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
        family: if found.ip_address_type() == Some(&sdk::TargetGroupIpAddressTypeEnum::Ipv6) {
            TargetFamily::Ipv6
        } else {
            TargetFamily::Ipv4
        },
        vpc: found.vpc_id().unwrap_or_default().to_owned(),
        health_check,
        attributes: pairs(TARGET_GROUP_DEFAULTS),
        tags,
        load_balancers: found.load_balancer_arns().to_vec(),
    };
    Some((TargetSetId(found.target_group_name()?.to_owned()), group))
}
