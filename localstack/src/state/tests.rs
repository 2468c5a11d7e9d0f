//! The state machine, without a network: calls in, answers out, time by hand.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::State;
use crate::clock;
use crate::config::{CloudConfig, Quotas, Reregistration, Times};
use crate::dataplane::config::Reachability;
use crate::dataplane::health::HealthBoard;
use crate::elb::target_health;
use crate::error::Answer;
use crate::integrity;
use crate::projection;
use crate::service::Service;
use crate::wire::{Output, Record, query};

const FIXED: &str = "DefaultActions.member.1.Type=fixed-response&DefaultActions.member.1.FixedResponseConfig.StatusCode=404";

/// A state with a load balancer, to call and to wait on.
struct Fixture {
    state: State,
}

impl Fixture {
    fn new(config: CloudConfig) -> Self {
        let config = CloudConfig { seed: Some(7), ..config };
        Self { state: State::new(config, Timestamp::UNIX_EPOCH, HealthBoard::default()).unwrap() }
    }

    fn call(&mut self, service: Service, operation: &str, parameters: &str) -> Answer<Record> {
        let found = service.operation(operation)?;
        let answer = service.run(found, &mut self.state, &query::parse(parameters));
        assert_eq!(integrity::violations(&self.state), Vec::<String>::new(), "after {operation} {parameters}");
        answer
    }

    fn elb(&mut self, operation: &str, parameters: &str) -> Answer<Record> {
        self.call(Service::Elb, operation, parameters)
    }

    fn code(&mut self, operation: &str, parameters: &str) -> String {
        self.elb(operation, parameters).map_or_else(|error| error.code.into_owned(), |_| "ok".into())
    }

    fn wait(&mut self, time: Duration) {
        let later = clock::after(self.state.now, time);
        self.state.advance(later);
    }

    fn subnets(&self, zones: &str) -> Vec<String> {
        let public = self.state.ec2.subnets.values().filter(|subnet| subnet.public);
        public.filter(|subnet| zones.contains(subnet.zone.chars().last().unwrap())).map(|subnet| subnet.id.clone()).collect()
    }

    fn vpc(&self) -> String {
        self.state.ec2.vpcs.keys().next().unwrap().clone()
    }

    fn group(&self, name: &str) -> String {
        self.state.ec2.security_groups.values().find(|group| group.name == name).unwrap().id.clone()
    }

    fn balancer(&mut self, name: &str, zones: &str) -> String {
        let subnets = self.subnets(zones);
        let subnets: Vec<String> = subnets.iter().enumerate().map(|(n, id)| format!("Subnets.member.{}={id}", n + 1)).collect();
        let answer = self.elb("CreateLoadBalancer", &format!("Name={name}&{}", subnets.join("&"))).unwrap();
        text(&answer, &["LoadBalancers", "LoadBalancerArn"])
    }

    fn listener(&mut self, balancer: &str, port: u16) -> String {
        let answer = self.elb("CreateListener", &format!("LoadBalancerArn={balancer}&Protocol=HTTP&Port={port}&{FIXED}")).unwrap();
        text(&answer, &["Listeners", "ListenerArn"])
    }

    fn target_group(&mut self, name: &str) -> String {
        let vpc = self.vpc();
        let parameters = format!("Name={name}&Protocol=HTTP&Port=8080&VpcId={vpc}&TargetType=ip");
        text(&self.elb("CreateTargetGroup", &parameters).unwrap(), &["TargetGroups", "TargetGroupArn"])
    }

    fn forward(&mut self, listener: &str, priority: u32, group: &str) -> Answer<String> {
        let parameters = format!(
            "ListenerArn={listener}&Priority={priority}&Conditions.member.1.Field=path-pattern&Conditions.member.1.Values.member.1=/x\
             &Actions.member.1.Type=forward&Actions.member.1.TargetGroupArn={group}"
        );
        self.elb("CreateRule", &parameters).map(|answer| text(&answer, &["Rules", "RuleArn"]))
    }

    fn health(&self, group: &str) -> Vec<(String, Option<String>)> {
        let group = self.state.elb.target_group(group).unwrap();
        group
            .targets
            .keys()
            .map(|key| target_health::of(&self.state, group, key))
            .map(|health| (health.state.to_string(), health.reason))
            .collect()
    }

    fn balancer_state(&mut self, arn: &str) -> String {
        let answer = self.elb("DescribeLoadBalancers", &format!("LoadBalancerArns.member.1={arn}")).unwrap();
        text(&answer, &["LoadBalancers", "State", "Code"])
    }
}

/// A text in an answer; of lists, the first member's.
fn text(record: &Record, path: &[&str]) -> String {
    let mut value = Output::Record(record.clone());
    for name in path {
        if let Output::Record(record) = &value {
            value = record.members.iter().find(|(key, _)| key == name).unwrap().1.clone();
        }
        if let Output::List(items) = &value {
            value = items.first().unwrap().clone();
        }
    }
    match value {
        Output::Text(text) => text,
        other => panic!("{path:?} is {other:?}"),
    }
}

fn times(times: Times) -> CloudConfig {
    CloudConfig { times, ..CloudConfig::default() }
}

#[test]
fn a_load_balancer_is_provisioned_and_then_active() {
    let mut fixture = Fixture::new(times(Times { provisioning: Duration::from_secs(120), ..Times::default() }));
    let balancer = fixture.balancer("web", "ab");
    let rows = [(0, "provisioning", 0), (119, "provisioning", 0), (1, "active", 1), (9999, "active", 1)];
    for (seconds, code, served) in rows {
        fixture.wait(Duration::from_secs(seconds));
        assert_eq!(fixture.balancer_state(&balancer), code);
        assert_eq!(projection::project(&fixture.state).load_balancers.len(), served);
    }
}

#[test]
fn listeners_and_rules_need_not_wait_for_active() {
    let mut fixture = Fixture::new(times(Times { provisioning: Duration::from_secs(120), ..Times::default() }));
    let balancer = fixture.balancer("web", "ab");
    let (listener, group) = (fixture.listener(&balancer, 80), fixture.target_group("g"));
    assert!(fixture.forward(&listener, 1, &group).is_ok());
    assert_eq!(fixture.balancer_state(&balancer), "provisioning");
}

#[test]
fn a_deleted_balancers_interfaces_and_groups_linger() {
    let mut fixture = Fixture::new(times(Times { network_interface_lag: Duration::from_secs(40), ..Times::default() }));
    let balancer = fixture.balancer("web", "abc");
    let count = |fixture: &Fixture| fixture.state.ec2.network_interfaces.values().filter(|i| i.description.starts_with("ELB ")).count();
    assert_eq!(count(&fixture), 3);
    fixture.elb("DeleteLoadBalancer", &format!("LoadBalancerArn={balancer}")).unwrap();
    assert_eq!(count(&fixture), 3);
    fixture.wait(Duration::from_secs(39));
    assert_eq!(count(&fixture), 3);
    fixture.wait(Duration::from_secs(1));
    assert_eq!(count(&fixture), 0);
}

#[test]
fn a_target_group_counts_as_used_for_a_while() {
    let mut fixture = Fixture::new(times(Times { target_group_delete_lag: Duration::from_secs(5), ..Times::default() }));
    let balancer = fixture.balancer("web", "ab");
    let (listener, group) = (fixture.listener(&balancer, 80), fixture.target_group("g"));
    let rule = fixture.forward(&listener, 1, &group).unwrap();
    let delete = format!("TargetGroupArn={group}");
    assert_eq!(fixture.code("DeleteTargetGroup", &delete), "ResourceInUse");
    fixture.elb("DeleteRule", &format!("RuleArn={rule}")).unwrap();
    assert_eq!(fixture.code("DeleteTargetGroup", &delete), "ResourceInUse");
    assert!(fixture.state.next_event().is_some());
    fixture.wait(Duration::from_secs(5));
    assert_eq!(fixture.code("DeleteTargetGroup", &delete), "ok");
    assert_eq!(fixture.code("DeleteTargetGroup", &delete), "ok", "deleting what is gone succeeds");
}

#[test]
fn targets_go_from_unused_over_initial_to_draining_and_away() {
    let mut fixture = Fixture::new(times(Times { deregistration_scale: 1.0, ..Times::default() }));
    let balancer = fixture.balancer("web", "ab");
    let (listener, group) = (fixture.listener(&balancer, 80), fixture.target_group("g"));
    let target = format!("TargetGroupArn={group}&Targets.member.1.Id=10.0.0.9");
    let is = |state: &str, reason: &str| vec![(state.to_string(), Some(reason.to_string()))];
    fixture.elb("RegisterTargets", &target).unwrap();
    assert_eq!(fixture.health(&group), is("unused", "Target.NotInUse"));
    let rule = fixture.forward(&listener, 1, &group).unwrap();
    assert_eq!(fixture.health(&group), is("initial", "Elb.RegistrationInProgress"));
    fixture.elb("DeregisterTargets", &target).unwrap();
    assert_eq!(fixture.health(&group), is("draining", "Target.DeregistrationInProgress"));
    fixture.elb("DeregisterTargets", &target).unwrap();
    fixture.wait(Duration::from_secs(299));
    assert_eq!(fixture.health(&group), is("draining", "Target.DeregistrationInProgress"));
    fixture.wait(Duration::from_secs(1));
    assert_eq!(fixture.health(&group), vec![]);
    // Of a group that nothing uses, targets go at once.
    fixture.elb("RegisterTargets", &target).unwrap();
    fixture.elb("DeleteRule", &format!("RuleArn={rule}")).unwrap();
    fixture.elb("DeregisterTargets", &target).unwrap();
    assert_eq!(fixture.health(&group), vec![]);
}

#[test]
fn a_draining_target_registered_again() {
    let rows = [
        (Reregistration::Reject, "InvalidTarget", "draining", 0),
        (Reregistration::KeepDraining, "ok", "draining", 0),
        (Reregistration::Accept, "ok", "initial", 1),
    ];
    for (reregistration, code, state, left) in rows {
        let mut fixture = Fixture::new(CloudConfig { reregistration, ..CloudConfig::default() });
        let balancer = fixture.balancer("web", "ab");
        let (listener, group) = (fixture.listener(&balancer, 80), fixture.target_group("g"));
        fixture.forward(&listener, 1, &group).unwrap();
        let target = format!("TargetGroupArn={group}&Targets.member.1.Id=10.0.0.9");
        fixture.elb("RegisterTargets", &target).unwrap();
        fixture.elb("DeregisterTargets", &target).unwrap();
        assert_eq!(fixture.code("RegisterTargets", &target), code, "{reregistration:?}");
        assert_eq!(fixture.health(&group)[0].0, state, "{reregistration:?}");
        fixture.wait(Duration::from_secs(300));
        assert_eq!(fixture.health(&group).len(), left, "{reregistration:?}");
    }
}

/// The reachability of the only target.
fn reach(fixture: &Fixture) -> Reachability {
    projection::project(&fixture.state).target_groups.values().next().unwrap().targets[0].reachability
}

#[test]
fn security_groups_decide_what_a_balancer_reaches() {
    // Which of the two rules towards the node's group, from the balancer's group or from its addresses, over which ports.
    let own = "&IpPermissions.1.Groups.1.GroupId=LB";
    let rows = [
        ("none", None, Reachability::Blocked),
        ("from the group", Some(format!("8080&IpPermissions.1.ToPort=8080{own}")), Reachability::Allowed),
        ("a range", Some(format!("8000&IpPermissions.1.ToPort=9000{own}")), Reachability::Allowed),
        ("another port", Some(format!("80&IpPermissions.1.ToPort=80{own}")), Reachability::Blocked),
        (
            "from everywhere",
            Some("8080&IpPermissions.1.ToPort=8080&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0".into()),
            Reachability::Allowed,
        ),
        (
            "from both zones",
            Some("8080&IpPermissions.1.ToPort=8080&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/16".into()),
            Reachability::Allowed,
        ),
        (
            "from one zone",
            Some("8080&IpPermissions.1.ToPort=8080&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/20".into()),
            Reachability::Blocked,
        ),
        (
            "from elsewhere",
            Some("8080&IpPermissions.1.ToPort=8080&IpPermissions.1.IpRanges.1.CidrIp=192.0.2.0/24".into()),
            Reachability::Blocked,
        ),
    ];
    for (name, rule, expected) in rows {
        let mut fixture = Fixture::new(CloudConfig::default());
        let balancer = fixture.balancer("web", "ab");
        let (listener, group) = (fixture.listener(&balancer, 80), fixture.target_group("g"));
        fixture.forward(&listener, 1, &group).unwrap();
        fixture.elb("RegisterTargets", &format!("TargetGroupArn={group}&Targets.member.1.Id=198.19.0.77")).unwrap();
        let (nodes, own) = (fixture.group("nodes"), fixture.group("default"));
        if let Some(rule) = rule {
            let ports = rule.replace("LB", &own);
            let call = format!("GroupId={nodes}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort={ports}");
            fixture.call(Service::Ec2, "AuthorizeSecurityGroupIngress", &call).unwrap();
        }
        assert_eq!(reach(&fixture), expected, "{name}");
        // Without a way out nothing is reached.
        let out = format!("GroupId={own}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0");
        fixture.call(Service::Ec2, "RevokeSecurityGroupEgress", &out).unwrap();
        assert_eq!(reach(&fixture), Reachability::Blocked, "{name}, no way out");
    }
}

#[test]
fn an_address_that_no_interface_holds_is_never_reached() {
    for (address, zone, expected) in
        [("10.0.0.99", "", Reachability::Blocked), ("192.168.0.9", "&Targets.member.1.AvailabilityZone=all", Reachability::Allowed)]
    {
        let mut fixture = Fixture::new(CloudConfig { open_nodes: true, ..CloudConfig::default() });
        let balancer = fixture.balancer("web", "ab");
        let (listener, group) = (fixture.listener(&balancer, 80), fixture.target_group("g"));
        fixture.forward(&listener, 1, &group).unwrap();
        fixture.elb("RegisterTargets", &format!("TargetGroupArn={group}&Targets.member.1.Id={address}{zone}")).unwrap();
        assert_eq!(reach(&fixture), expected, "{address}");
    }
}

#[test]
fn who_reaches_a_balancer_follows_from_its_groups() {
    let mut fixture = Fixture::new(CloudConfig::default());
    fixture.balancer("web", "ab");
    let own = fixture.group("default");
    let ingress = |fixture: &Fixture| projection::project(&fixture.state).load_balancers[0].ingress.clone();
    // The default group lets in its own members only: the balancer's two interfaces.
    assert_eq!(ingress(&fixture).len(), 2);
    let call = format!(
        "GroupId={own}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=81&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0"
    );
    fixture.call(Service::Ec2, "AuthorizeSecurityGroupIngress", &call).unwrap();
    let open: Vec<_> = ingress(&fixture).into_iter().filter(|rule| rule.source.prefix_len() == 0).collect();
    assert_eq!((open.len(), open[0].from_port, open[0].to_port), (1, 80, 81));
    let udp = call.replace("tcp", "udp");
    fixture.call(Service::Ec2, "AuthorizeSecurityGroupIngress", &udp).unwrap();
    assert_eq!(ingress(&fixture).len(), 3, "UDP opens nothing");
}

#[test]
fn quotas_come_from_the_configuration() {
    let quotas =
        Quotas { load_balancers: 1, listeners_per_load_balancer: 1, rules_per_load_balancer: 1, target_groups: 1, ..Quotas::default() };
    let mut fixture = Fixture::new(CloudConfig { quotas, ..CloudConfig::default() });
    let balancer = fixture.balancer("web", "ab");
    let (listener, group) = (fixture.listener(&balancer, 80), fixture.target_group("g"));
    fixture.forward(&listener, 1, &group).unwrap();
    let subnets = fixture.subnets("ab");
    let vpc = fixture.vpc();
    let rows = [
        ("CreateLoadBalancer", format!("Name=b&Subnets.member.1={}&Subnets.member.2={}", subnets[0], subnets[1]), "TooManyLoadBalancers"),
        ("CreateListener", format!("LoadBalancerArn={balancer}&Protocol=HTTP&Port=81&{FIXED}"), "TooManyListeners"),
        ("CreateTargetGroup", format!("Name=h&Protocol=HTTP&Port=80&VpcId={vpc}"), "TooManyTargetGroups"),
    ];
    for (operation, parameters, code) in rows {
        assert_eq!(fixture.code(operation, &parameters), code);
    }
    assert_eq!(fixture.forward(&listener, 2, &group).unwrap_err().code, "TooManyRules");
}

#[test]
fn a_full_subnet_takes_no_load_balancer() {
    let mut fixture = Fixture::new(CloudConfig::default());
    let subnets = fixture.subnets("ab");
    let full = fixture.state.ec2.subnets.get_mut(&subnets[0]).unwrap();
    full.cidr = "10.0.0.0/28".parse().unwrap();
    let parameters = format!("Name=b&Subnets.member.1={}&Subnets.member.2={}", subnets[0], subnets[1]);
    assert_eq!(fixture.code("CreateLoadBalancer", &parameters), "InvalidSubnet");
}

#[test]
fn the_same_seed_gives_the_same_ids() {
    let dump = |_: u8| {
        let mut fixture = Fixture::new(CloudConfig::default());
        fixture.balancer("web", "ab")
    };
    assert_eq!(dump(1), dump(2));
}

/// Addresses of a pod, of nobody, and of the load balancers' own interfaces.
fn address(n: u8) -> String {
    ["198.19.0.7", "10.0.0.4", "10.0.0.99", "10.0.16.5"][usize::from(n)].to_string()
}

/// A call of the random test, as numbers that are turned into names of things that may or may not exist.
fn step() -> impl Strategy<Value = (u8, u8, u8)> {
    (0_u8..15, 0_u8..4, 0_u8..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is called in whatever order: every call succeeds or fails cleanly, and the state holds together after each.
    #[test]
    fn the_state_holds_together(steps in proptest::collection::vec(step(), 1..60)) {
        let mut fixture = Fixture::new(times(Times { network_interface_lag: Duration::from_secs(3), ..Times::default() }));
        let (mut balancers, mut listeners, mut rules, mut groups) = (vec![], vec![], vec![], vec![]);
        let mut projector = projection::Projector::default();
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
            prop_assert_eq!(projector.project(&fixture.state), projection::project(&fixture.state));
        }
    }
}
