//! Attributes that network load balancers, their listeners and their target groups have, and how they must fit together (network user guide,
//! "Load balancer attributes", "Connection idle timeout", "Target group attributes").

use std::collections::BTreeMap;

use super::attribute::{Attribute, Values, value};
use super::protocol;
use crate::error::{Answer, ApiError};

/// Attributes of network load balancers.
pub const LOAD_BALANCER: &[Attribute] = &[
    ("access_logs.s3.bucket", "", Values::Text(255)),
    ("access_logs.s3.enabled", "false", Values::Flag),
    ("access_logs.s3.prefix", "", Values::Text(512)),
    ("deletion_protection.enabled", "false", Values::Flag),
    (
        "dns_record.client_routing_policy",
        "any_availability_zone",
        Values::OneOf(&["availability_zone_affinity", "partial_availability_zone_affinity", "any_availability_zone"]),
    ),
    ("ipv6.deny_all_igw_traffic", "false", Values::Flag),
    ("load_balancing.cross_zone.enabled", "false", Values::Flag),
    ("secondary_ips.auto_assigned.per_subnet", "0", Values::Number(0, 7)),
    ("zonal_shift.config.enabled", "false", Values::Flag),
];

/// Attributes of TCP listeners. (TLS listeners keep idle connections for 350 s, UDP flows end after 120 s; neither can be changed.)
pub const TCP_LISTENER: &[Attribute] = &[("tcp.idle_timeout.seconds", "350", Values::Number(60, 6000))];

/// Attributes of target groups behind network load balancers, with the defaults of type `ip` and protocol TCP.
const TARGET_GROUP: &[Attribute] = &[
    ("deregistration_delay.connection_termination.enabled", "false", Values::Flag),
    ("deregistration_delay.timeout_seconds", "300", Values::Number(0, 3600)),
    (
        "load_balancing.cross_zone.enabled",
        "use_load_balancer_configuration",
        Values::OneOf(&["true", "false", "use_load_balancer_configuration"]),
    ),
    ("preserve_client_ip.enabled", "false", Values::Flag),
    ("proxy_protocol_v2.enabled", "false", Values::Flag),
    ("stickiness.enabled", "false", Values::Flag),
    ("stickiness.type", "source_ip", Values::OneOf(&["source_ip", "lb_cookie", "app_cookie"])),
    ("target_group_health.dns_failover.minimum_healthy_targets.count", "1", Values::OffOr(1, 1000)),
    ("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", Values::OffOr(1, 100)),
    ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1", Values::Number(1, 1000)),
    ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off", Values::OffOr(1, 100)),
    ("target_health_state.unhealthy.connection_termination.enabled", "true", Values::Flag),
    ("target_health_state.unhealthy.draining_interval_seconds", "0", Values::Number(0, 360_000)),
];

/// The attributes of a target group of this protocol and target type, with their defaults.
pub fn target_group(group_protocol: &str, target_type: &str) -> Vec<Attribute> {
    let datagrams = protocol::has_datagrams(group_protocol);
    let preserved = datagrams || target_type != "ip";
    let adapt = |(key, default, values): &Attribute| {
        let default = match *key {
            "preserve_client_ip.enabled" => flag(preserved),
            "deregistration_delay.connection_termination.enabled" => flag(datagrams),
            "target_health_state.unhealthy.connection_termination.enabled" => flag(!datagrams),
            _ => *default,
        };
        (*key, default, *values)
    };
    TARGET_GROUP.iter().map(adapt).collect()
}

fn flag(set: bool) -> &'static str {
    if set { "true" } else { "false" }
}

/// Checks what no attribute of a target group can tell alone.
pub fn check(table: &[Attribute], group_protocol: &str, set: &BTreeMap<String, String>) -> Answer<()> {
    let is = |key: &str| value(table, set, key);
    let fault = |message: String| Err(ApiError::new("InvalidConfigurationRequest", message));
    let kind = is("stickiness.type");
    if kind != "source_ip" {
        return fault(format!("Stickiness type '{kind}' is not supported for target groups with the {group_protocol} protocol"));
    }
    if is("stickiness.enabled") == "true" && group_protocol == "TLS" {
        return fault("Stickiness is not supported for target groups with the TLS protocol".into());
    }
    if protocol::has_datagrams(group_protocol) {
        if is("preserve_client_ip.enabled") == "false" {
            return fault(format!("Client IP preservation cannot be disabled for target groups with the {group_protocol} protocol"));
        }
        if is("target_health_state.unhealthy.connection_termination.enabled") == "true" {
            return fault(format!(
                "Connection termination for unhealthy targets cannot be enabled for target groups with the {group_protocol} protocol"
            ));
        }
    }
    let draining = is("target_health_state.unhealthy.draining_interval_seconds") != "0";
    if draining && is("target_health_state.unhealthy.connection_termination.enabled") == "true" {
        return fault(
            "'target_health_state.unhealthy.draining_interval_seconds' can be set only if connection termination for unhealthy targets is disabled"
                .into(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Protocol, target type; preserve_client_ip, deregistration's and unhealthy targets' connection termination.
    #[test]
    fn defaults_depend_on_protocol_and_type() {
        let rows = [
            ("TCP", "ip", "false", "false", "true"),
            ("TLS", "ip", "false", "false", "true"),
            ("TCP", "instance", "true", "false", "true"),
            ("TLS", "instance", "true", "false", "true"),
            ("UDP", "ip", "true", "true", "false"),
            ("TCP_UDP", "instance", "true", "true", "false"),
            ("TCP", "alb", "true", "false", "true"),
        ];
        for (protocol, target_type, preserved, deregistered, unhealthy) in rows {
            let table = target_group(protocol, target_type);
            let is = |key: &str| value(&table, &BTreeMap::new(), key);
            let found = (
                is("preserve_client_ip.enabled"),
                is("deregistration_delay.connection_termination.enabled"),
                is("target_health_state.unhealthy.connection_termination.enabled"),
            );
            assert_eq!(found, (preserved.into(), deregistered.into(), unhealthy.into()), "{protocol} {target_type}");
        }
    }

    #[test]
    fn attributes_must_fit_together() {
        let termination = "target_health_state.unhealthy.connection_termination.enabled";
        let draining = "target_health_state.unhealthy.draining_interval_seconds";
        type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], bool);
        let rows: [Row<'_>; 9] = [
            ("TCP", &[], true),
            ("TCP", &[("stickiness.enabled", "true")], true),
            ("TCP", &[("stickiness.type", "lb_cookie")], false),
            ("TLS", &[("stickiness.enabled", "true")], false),
            ("UDP", &[], true),
            ("UDP", &[("preserve_client_ip.enabled", "false")], false),
            ("TCP_UDP", &[(termination, "true")], false),
            ("TCP", &[(draining, "60")], false),
            ("TCP", &[(draining, "60"), (termination, "false")], true),
        ];
        for (protocol, set, fine) in rows {
            let set = set.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect();
            let table = target_group(protocol, "ip");
            assert_eq!(check(&table, protocol, &set).is_ok(), fine, "{protocol} {set:?}");
        }
    }
}
