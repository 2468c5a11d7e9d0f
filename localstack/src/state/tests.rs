//! The state machine, without a network: calls in, answers out, time by hand.

use std::time::Duration;

use super::State;
use crate::clock;
use crate::config::{CloudConfig, Quotas, Reregistration, Times};
use crate::dataplane::health::HealthBoard;
use crate::elb::target_health;
use crate::error::Answer;
use crate::integrity;
use crate::projection;
use crate::service::Service;
use crate::wire::{Output, Record, json, query};
use jiff::Timestamp;

mod property;
mod reach;

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

    fn acm(&mut self, operation: &str, parameters: &str) -> Answer<Record> {
        let found = Service::Acm.operation(operation)?;
        let answer = Service::Acm.run(found, &mut self.state, &json::parse(parameters)?);
        assert_eq!(integrity::violations(&self.state), Vec::<String>::new(), "after {operation}");
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
fn a_listener_is_found_a_while_after_its_creation() {
    let mut fixture = Fixture::new(times(Times { listener_lag: Duration::from_secs(2), ..Times::default() }));
    let balancer = fixture.balancer("web", "ab");
    let (listener, group) = (fixture.listener(&balancer, 80), fixture.target_group("g"));
    let look = format!("ListenerArns.member.1={listener}");
    for (seconds, code) in [(0, "ListenerNotFound"), (1, "ListenerNotFound"), (1, "ok")] {
        fixture.wait(Duration::from_secs(seconds));
        assert_eq!(fixture.code("DescribeListeners", &look), code);
        assert_eq!(fixture.forward(&listener, 1, &group).map_or_else(|error| error.code.to_string(), |_| "ok".into()), code);
        // A list has it at once.
        let listed = fixture.elb("DescribeListeners", &format!("LoadBalancerArn={balancer}")).unwrap();
        assert_eq!(text(&listed, &["Listeners", "ListenerArn"]), listener);
    }
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
fn a_thousand_load_balancers_have_addresses_of_their_own() {
    let quotas = Quotas { load_balancers: 1000, ..Quotas::default() };
    let mut fixture = Fixture::new(CloudConfig { quotas, ..CloudConfig::default() });
    let subnets = fixture.subnets("ab");
    let create = Service::Elb.operation("CreateLoadBalancer").unwrap();
    let mut codes = (0..1001).map(|n| {
        let call = format!("Name=b{n}&Subnets.member.1={}&Subnets.member.2={}", subnets[0], subnets[1]);
        Service::Elb.run(create, &mut fixture.state, &query::parse(&call)).map_or_else(|error| error.code.into_owned(), |_| "ok".into())
    });
    assert!(codes.by_ref().take(1000).all(|code| code == "ok"));
    assert_eq!(codes.next().as_deref(), Some("TooManyLoadBalancers"));
    drop(codes);
    // That no address is taken twice is part of it.
    assert_eq!(integrity::violations(&fixture.state), Vec::<String>::new());
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
