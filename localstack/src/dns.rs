//! DNS names of load balancers, as AWS's name servers resolve them.

use std::net::IpAddr;

use crate::dataplane::health::HealthState;
use crate::elb::load_balancer::LoadBalancer;
use crate::elb::target_group::TargetGroup;
use crate::projection::{target_group_id, target_id};
use crate::state::State;

/// How many names may stand for one another before the DNS gives up.
const HOPS: usize = 8;

/// The addresses of any name in lower case without a dot at its end: a load balancer's own, or one that record sets of Route 53 lead to.
pub fn lookup(state: &State, name: &str) -> Option<Vec<IpAddr>> {
    let mut name = name.to_string();
    for _ in 0..HOPS {
        if let Some(addresses) = resolve(state, name.strip_prefix("dualstack.").unwrap_or(&name)) {
            return Some(addresses);
        }
        let sets = state.route53.lookup(&format!("{name}."))?;
        let next = match (sets.get("A"), sets.get("CNAME")) {
            (Some(set), _) => match &set.alias {
                Some(alias) => alias.name.clone(),
                None => return Some(set.values.iter().filter_map(|value| value.parse().ok()).collect()),
            },
            (None, set) => set?.values.first().cloned()?,
        };
        name = next.trim_end_matches('.').to_ascii_lowercase();
    }
    None
}

/// The addresses of a name in lower case without a dot at its end: a load balancer's, or `ZONE.` before a network load balancer's for its node in
/// that zone. `None` if no load balancer has it.
pub fn resolve(state: &State, name: &str) -> Option<Vec<IpAddr>> {
    let called = |name: &str| state.elb.load_balancers.values().find(|balancer| balancer.dns_name.eq_ignore_ascii_case(name));
    if let Some(balancer) = called(name) {
        return Some(in_service(state, balancer));
    }
    let (zone, rest) = name.split_once('.')?;
    let balancer = called(rest)?;
    let node = balancer.nodes.iter().find(|node| node.subnet.as_deref().and_then(|id| zone_of(state, id)) == Some(zone))?;
    Some(vec![node.listens_at])
}

fn zone_of<'a>(state: &'a State, subnet: &str) -> Option<&'a str> {
    state.ec2.subnets.get(subnet).map(|subnet| subnet.zone.as_str())
}

/// The addresses of a load balancer's nodes, without those of zones that target group health has taken out of DNS (user guides, "DNS failover"):
/// unless that were all of them.
fn in_service(state: &State, balancer: &LoadBalancer) -> Vec<IpAddr> {
    let groups: Vec<&TargetGroup> = balancer.target_groups.iter().filter_map(|arn| state.elb.target_groups.get(arn)).collect();
    let healthy = |subnet: Option<&str>| {
        let Some(zone) = subnet.and_then(|subnet| zone_of(state, subnet)) else { return true };
        groups.iter().all(|group| is_zone_healthy(state, balancer, group, zone))
    };
    let all = || balancer.nodes.iter();
    let kept: Vec<IpAddr> = all().filter(|node| healthy(node.subnet.as_deref())).map(|node| node.listens_at).collect();
    if kept.is_empty() { all().map(|node| node.listens_at).collect() } else { kept }
}

fn is_zone_healthy(state: &State, balancer: &LoadBalancer, group: &TargetGroup, zone: &str) -> bool {
    let cross_zone = match group.attribute("load_balancing.cross_zone.enabled").as_str() {
        "use_load_balancer_configuration" => balancer.is_cross_zone(),
        set => set == "true",
    };
    let targets = || {
        let registered = group.targets.iter().filter(|(_, target)| target.draining.is_none());
        registered.filter(|(_, target)| cross_zone || target.zone == zone || target.zone == "all")
    };
    let id = target_group_id(&group.arn);
    let is_healthy = |key| state.health.get(&id, &target_id(key)).is_some_and(|health| health.state == HealthState::Healthy);
    let (total, healthy) = (targets().count(), targets().filter(|(key, _)| is_healthy(*key)).count());
    let least =
        |key: &str| group.attribute(&format!("target_group_health.dns_failover.minimum_healthy_targets.{key}")).parse::<usize>().ok();
    least("count").is_none_or(|count| healthy >= count) && least("percentage").is_none_or(|share| healthy * 100 >= total * share)
}
