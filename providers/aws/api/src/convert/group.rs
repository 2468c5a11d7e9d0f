//! Security groups and subnets.

use super::read_ec2_tags;
use aws_sdk_ec2::types as sdk;
use portico_aws::observed::{BackendGroup, PortRange, SecurityGroup, Subnet};
use portico_aws::stack::IngressRule;

/// Rules of the load balancer's own group as the API takes them.
pub(crate) fn permissions(rules: &[IngressRule]) -> Vec<sdk::IpPermission> {
    rules
        .iter()
        .map(|rule| {
            let port = i32::from(rule.port);
            let permission = sdk::IpPermission::builder().ip_protocol("tcp").from_port(port).to_port(port);
            if rule.source.contains(':') {
                permission.ipv6_ranges(sdk::Ipv6Range::builder().cidr_ipv6(&rule.source).build()).build()
            } else {
                permission.ip_ranges(sdk::IpRange::builder().cidr_ip(&rule.source).build()).build()
            }
        })
        .collect()
}

/// A rule of another group whose source is ours.
pub(crate) fn permission_from(group: &str, range: &PortRange, description: Option<&str>) -> sdk::IpPermission {
    let pair = sdk::UserIdGroupPair::builder().group_id(group).set_description(description.map(str::to_owned)).build();
    let permission = sdk::IpPermission::builder().ip_protocol(&range.protocol).user_id_group_pairs(pair);
    // A protocol without ports shows none, and takes none.
    if range.from < 0 { permission.build() } else { permission.from_port(range.from).to_port(range.to).build() }
}

/// The load balancer's own group. Rules of kinds that Portico never writes (other protocols, ranges of ports, groups, prefix lists) are left out, and so left alone.
pub(crate) fn security_group(found: &sdk::SecurityGroup) -> Option<SecurityGroup> {
    let mut ingress = Vec::new();
    for permission in found.ip_permissions() {
        let (Some("tcp"), Some(from), Some(to)) = (permission.ip_protocol(), permission.from_port(), permission.to_port()) else {
            continue;
        };
        let Some(port) = u16::try_from(from).ok().filter(|_| from == to) else { continue };
        let ipv4 = permission.ip_ranges().iter().filter_map(|range| range.cidr_ip());
        let ipv6 = permission.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6());
        ingress.extend(ipv4.chain(ipv6).map(|source| IngressRule { port, source: source.to_owned() }));
    }
    ingress.sort();
    Some(SecurityGroup {
        id: found.group_id()?.to_owned(),
        vpc: found.vpc_id().unwrap_or_default().to_owned(),
        ingress,
        tags: read_ec2_tags(found.tags()),
    })
}

/// Whether a rule of a group lets another one in.
pub(crate) fn admits(found: &sdk::SecurityGroup, other: &str) -> bool {
    let mut pairs = found.ip_permissions().iter().flat_map(sdk::IpPermission::user_id_group_pairs);
    pairs.any(|pair| pair.group_id() == Some(other))
}

/// A group of nodes or pods; `own` is the id of the load balancer's group.
pub(crate) fn backend_group(found: &sdk::SecurityGroup, own: Option<&str>) -> Option<BackendGroup> {
    let from_us =
        |permission: &&sdk::IpPermission| own.is_some() && permission.user_id_group_pairs().iter().any(|pair| pair.group_id() == own);
    let mut admits_us: Vec<_> = found
        .ip_permissions()
        .iter()
        .filter(from_us)
        .map(|permission| PortRange {
            protocol: permission.ip_protocol().unwrap_or("-1").to_owned(),
            from: permission.from_port().unwrap_or(-1),
            to: permission.to_port().unwrap_or(-1),
        })
        .collect();
    admits_us.sort();
    Some(BackendGroup {
        id: found.group_id()?.to_owned(),
        vpc: found.vpc_id().unwrap_or_default().to_owned(),
        tags: read_ec2_tags(found.tags()),
        admits_us,
    })
}

/// A subnet.
pub(crate) fn subnet(found: &sdk::Subnet) -> Option<Subnet> {
    Some(Subnet {
        id: found.subnet_id()?.to_owned(),
        vpc: found.vpc_id().unwrap_or_default().to_owned(),
        zone: found.availability_zone().unwrap_or_default().to_owned(),
        free_addresses: found.available_ip_address_count().and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
        tags: read_ec2_tags(found.tags()),
    })
}
