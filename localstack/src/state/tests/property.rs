//! Random calls in random order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{FIXED, Fixture, text, times};
use crate::config::Times;
use crate::dataplane::config::{Changes, DataPlaneConfig, LoadBalancer, LoadBalancerId, TargetGroup, TargetGroupId};
use crate::projection;
use crate::service::Service;

/// Addresses of a pod, of nobody, and of the load balancers' own interfaces.
fn address(n: u8) -> String {
    ["198.19.0.7", "10.0.0.4", "10.0.0.99", "10.0.16.5"][usize::from(n)].to_string()
}

/// A call of the random test, as numbers that are turned into names of things that may or may not exist.
fn step() -> impl Strategy<Value = (u8, u8, u8)> {
    (0_u8..15, 0_u8..4, 0_u8..4)
}

/// What is served, change by change.
#[derive(Debug, Default, PartialEq)]
struct Served {
    load_balancers: BTreeMap<LoadBalancerId, Arc<LoadBalancer>>,
    target_groups: BTreeMap<TargetGroupId, Arc<TargetGroup>>,
}

fn update<K: Ord, V>(map: &mut BTreeMap<K, V>, whole: bool, changes: Vec<(K, Option<V>)>) {
    if whole {
        map.clear();
    }
    for (key, value) in changes {
        match value {
            Some(value) => drop(map.insert(key, value)),
            None => drop(map.remove(&key)),
        }
    }
}

impl Served {
    fn of(config: DataPlaneConfig) -> Self {
        let mut served = Self::default();
        served.change(config.into());
        served
    }

    fn change(&mut self, changes: Changes) {
        update(&mut self.load_balancers, changes.whole, changes.load_balancers);
        update(&mut self.target_groups, changes.whole, changes.target_groups);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is called in whatever order: every call succeeds or fails cleanly, and the state holds together after each.
    #[test]
    fn the_state_holds_together(steps in proptest::collection::vec(step(), 1..60)) {
        let mut fixture = Fixture::new(times(Times { network_interface_lag: Duration::from_secs(3), ..Times::default() }));
        let (mut balancers, mut listeners, mut rules, mut groups) = (vec![], vec![], vec![], vec![]);
        let mut projector = projection::Projector::default();
        let mut served = Served::default();
        let pick = |list: &[String], n: u8| list.get(usize::from(n) % list.len().max(1)).cloned().unwrap_or_else(|| "none".into());
        for (kind, a, b) in steps {
            let (balancer, listener) = (pick(&balancers, a), pick(&listeners, a));
            let (rule, group) = (pick(&rules, a), pick(&groups, b));
            match kind {
                0 => {
                    let subnets = fixture.subnets("ab");
                    let call = format!("Name=b{a}&Subnets.member.1={}&Subnets.member.2={}", subnets[0], subnets[1]);
                    balancers.extend(fixture.elb("CreateLoadBalancer", &call).ok().map(|answer| text(&answer, &["LoadBalancers", "LoadBalancerArn"])));
                }
                1 if balancer != "none" => {
                    let port = 80 + u16::from(b);
                    let call = format!("LoadBalancerArn={balancer}&Protocol=HTTP&Port={port}&{FIXED}");
                    listeners.extend(fixture.elb("CreateListener", &call).ok().map(|answer| text(&answer, &["Listeners", "ListenerArn"])));
                }
                2 => groups.push(fixture.target_group(&format!("g{a}"))),
                3 | 4 => rules.extend(fixture.forward(&listener, u32::from(b) + 1, &group).ok()),
                5 => drop(fixture.elb("DeleteRule", &format!("RuleArn={rule}"))),
                6 => drop(fixture.elb("DeleteListener", &format!("ListenerArn={listener}"))),
                7 => drop(fixture.elb("DeleteTargetGroup", &format!("TargetGroupArn={group}"))),
                8 => drop(fixture.elb("DeleteLoadBalancer", &format!("LoadBalancerArn={balancer}"))),
                9 => drop(fixture.elb("RegisterTargets", &format!("TargetGroupArn={group}&Targets.member.1.Id={}", address(a)))),
                10 => drop(fixture.elb("DeregisterTargets", &format!("TargetGroupArn={group}&Targets.member.1.Id={}", address(a)))),
                11 => {
                    let subnets = fixture.subnets(["ab", "bc", "ac", "abc"][usize::from(b)]);
                    let subnets: Vec<String> = subnets.iter().enumerate().map(|(n, id)| format!("Subnets.member.{}={id}", n + 1)).collect();
                    drop(fixture.elb("SetSubnets", &format!("LoadBalancerArn={balancer}&{}", subnets.join("&"))));
                }
                12 => {
                    let other = pick(&rules, b);
                    let call = format!(
                        "RulePriorities.member.1.RuleArn={rule}&RulePriorities.member.1.Priority={}\
                         &RulePriorities.member.2.RuleArn={other}&RulePriorities.member.2.Priority={}", b + 1, a + 1
                    );
                    drop(fixture.elb("SetRulePriorities", &call));
                }
                13 => {
                    let (nodes, port) = (fixture.group("nodes"), 8080 + u16::from(b));
                    let own = fixture.group("default");
                    let call = format!(
                        "GroupId={nodes}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort={port}\
                         &IpPermissions.1.ToPort={port}&IpPermissions.1.Groups.1.GroupId={own}"
                    );
                    let operation = if a < 3 { "AuthorizeSecurityGroupIngress" } else { "RevokeSecurityGroupIngress" };
                    drop(fixture.call(Service::Ec2, operation, &call));
                }
                _ => fixture.wait(Duration::from_secs(a.into())),
            }
            // What is projected step by step is what is projected at once.
            served.change(projector.changes(&mut fixture.state));
            prop_assert_eq!(&served, &Served::of(projection::project(&fixture.state)));
        }
    }
}
