//! What the diff does, case by case.

use crate::cloud::Cloud;
use crate::plans::{cluster, plan, unit};
use portico_aws::{Operation, Stack, compile, diff};
use portico_providers::{Change, Presence, ProviderError};
use std::fmt::Write;

pub fn stack(yaml: &str) -> Stack {
    compile(&cluster(), &plan(yaml)).stack
}

fn empty() -> Stack {
    Stack::empty(&cluster(), &unit())
}

/// A listener on port 80 with a rule for each path prefix, forwarding to the Service of the same name.
fn prefixes(names: &[&str]) -> Stack {
    let mut yaml = String::from("ports:\n  - listeners:\n      - rules:\n");
    for name in names {
        writeln!(
            yaml,
            "          - {{ http: {{ path: {{ prefix: /{name} }} }}, backends: [team-a/{}:80] }}",
            name.split('/').next().unwrap()
        )
        .unwrap();
    }
    if names.is_empty() { stack("ports: [{ listeners: [{}] }]") } else { stack(&yaml) }
}

/// Makes the changes that lead to a stack, and sees that none are left after that.
pub fn reach(cloud: &mut Cloud, stack: &Stack) -> Vec<Change<Operation>> {
    let changes = diff(stack, &cloud.observe(stack)).unwrap();
    for (index, change) in changes.iter().enumerate() {
        assert!(change.after.iter().all(|before| *before < index), "{change:?}");
        cloud.apply(&change.operation);
    }
    assert_eq!(diff(stack, &cloud.observe(stack)).unwrap(), [], "the changes lead somewhere else");
    changes
}

pub fn calls(changes: &[Change<Operation>]) -> Vec<&'static str> {
    changes.iter().map(|change| change.operation.call()).collect()
}

#[test]
fn a_new_load_balancer_is_made_from_the_ground_up() {
    let changes = reach(&mut Cloud::new(), &prefixes(&["a", "b"]));
    assert_eq!(
        calls(&changes),
        [
            "CreateSecurityGroup",
            "AuthorizeSecurityGroupIngress",
            "AuthorizeSecurityGroupIngress",
            "CreateTargetGroup",
            "CreateTargetGroup",
            "CreateLoadBalancer",
            "ModifyLoadBalancerAttributes",
            "CreateListener",
            "CreateRule",
            "CreateRule",
        ]
    );
    // Rules need their target groups and their listener.
    let last = changes.last().unwrap();
    assert_eq!(last.after, [4, 7], "{last:?}");
}

#[test]
fn deletion_leaves_nothing_and_takes_listeners_and_rules_with_the_load_balancer() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &prefixes(&["a", "b"]));
    let changes = reach(&mut cloud, &empty());
    let expected = ["DeleteLoadBalancer", "DeleteTargetGroup", "DeleteTargetGroup", "RevokeSecurityGroupIngress", "DeleteSecurityGroup"];
    assert_eq!(calls(&changes), expected);
    assert!(cloud.balancers.is_empty() && cloud.groups.is_empty() && cloud.own.is_none() && cloud.nodes.admits_us.is_empty());
}

#[test]
fn one_rule_above_eighty_costs_one_call() {
    let names: Vec<_> = (0..81).map(|n| format!("p{n}")).collect();
    let names: Vec<_> = names.iter().map(|n| &**n).collect();
    let mut cloud = Cloud::new();
    let service = |names: &[&str]| {
        let mut yaml = String::from("ports:\n  - listeners:\n      - rules:\n");
        for name in names {
            writeln!(yaml, "          - {{ http: {{ path: {{ prefix: /{name} }} }}, backends: [team-a/web:80] }}").unwrap();
        }
        stack(&yaml)
    };
    reach(&mut cloud, &service(&names[1..]));
    assert_eq!(calls(&reach(&mut cloud, &service(&names))), ["CreateRule"]);
    assert_eq!(calls(&reach(&mut cloud, &service(&names[1..]))), ["DeleteRule"]);
}

#[test]
fn any_reorder_costs_one_call() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &prefixes(&["a", "b", "c", "d"]));
    assert_eq!(calls(&reach(&mut cloud, &prefixes(&["d", "c", "b", "a"]))), ["SetRulePriorities"]);
}

#[test]
fn other_weights_modify_the_rule_in_place() {
    let mut cloud = Cloud::new();
    let weights = |a: u32, b: u32| {
        stack(&format!("ports: [{{ listeners: [{{ rules: [{{ backends: [{a} x team-a/web:80, {b} x team-a/new:80] }}] }}] }}]"))
    };
    reach(&mut cloud, &weights(90, 10));
    let changes = reach(&mut cloud, &weights(50, 50));
    assert_eq!(calls(&changes), ["ModifyRule"]);
    assert!(changes[0].reason.contains("90 × ") && changes[0].reason.contains("50 × "), "{}", changes[0].reason);
}

#[test]
fn a_new_path_is_there_before_the_old_one_goes() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &prefixes(&["a/one"]));
    assert_eq!(calls(&reach(&mut cloud, &prefixes(&["a/two"]))), ["CreateRule", "DeleteRule"]);
}

#[test]
fn where_a_quota_leaves_no_room_rules_go_before_others_come() {
    let mut cloud = Cloud::new();
    cloud.rules = 3;
    reach(&mut cloud, &prefixes(&["a/1", "a/2", "a/3"]));
    let changes = reach(&mut cloud, &prefixes(&["a/4", "a/5", "a/3"]));
    assert_eq!(calls(&changes), ["DeleteRule", "CreateRule", "DeleteRule", "CreateRule"]);
    let error = diff(&prefixes(&["a/1", "a/2", "a/3", "a/4"]), &cloud.observe(&empty())).unwrap_err();
    assert!(
        matches!(&error, ProviderError::Limit { message, .. } if message.contains("4 rules are needed, the account allows 3")),
        "{error}"
    );
}

#[test]
fn listeners_get_new_tags_before_the_load_balancer() {
    let tagged = |team: &str, ports: &str| stack(&format!("profile: {{ tags: {{ team: {team} }} }}\nports: [{ports}]"));
    let mut cloud = Cloud::new();
    reach(&mut cloud, &tagged("red", "{ listeners: [{}] }, { port: 8080, listeners: [{ name: gone }] }"));
    let blue = tagged("blue", "{ listeners: [{}] }, { port: 8081, listeners: [{ name: new }] }");
    let changes = reach(&mut cloud, &blue);
    let shown: Vec<_> = changes.iter().map(|change| change.operation.to_string()).filter(|text| text.contains("team=")).collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(shown[0].starts_with("tag the security group") && shown[1] == "tag the listener on port 80 with team=blue", "{shown:?}");
    let place = |call: &str| changes.iter().position(|change| change.operation.to_string().starts_with(call)).unwrap();
    assert!(changes[place("tag load balancer")].after.contains(&place("tag the listener")));
    let Operation::CreateListener { tags, .. } = &changes[place("listen on port 8081")].operation else { panic!() };
    assert_eq!(tags["team"], "blue");
}

#[test]
fn source_ranges_without_room_for_both_go_before_others_come() {
    let from = |net: u8| {
        let ranges: Vec<_> = (0..40).map(|n| format!("{net}.{n}.0.0/16")).collect();
        stack(&format!(
            "profile: {{ securityGroups: {{ managed: {{ sourceRanges: [{}] }} }} }}\nports: [{{ listeners: [{{}}] }}]",
            ranges.join(", ")
        ))
    };
    let mut cloud = Cloud::new();
    reach(&mut cloud, &from(10));
    assert_eq!(calls(&reach(&mut cloud, &from(11))), ["RevokeSecurityGroupIngress", "AuthorizeSecurityGroupIngress"]);
}

#[test]
fn ports_come_and_go_with_their_rules_in_the_security_group() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &stack("ports: [{ listeners: [{}] }]"));
    let changes = reach(&mut cloud, &stack("ports: [{ port: 8080, listeners: [{}] }]"));
    assert_eq!(calls(&changes), ["AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress", "CreateListener", "DeleteListener"]);
}

#[test]
fn another_scheme_is_built_beside_the_old_one_which_goes_when_the_new_one_serves() {
    let mut cloud = Cloud::new();
    let with = |scheme: &str| {
        stack(&format!("profile: {{ scheme: {scheme} }}\nports: [{{ listeners: [{{ rules: [{{ backends: [team-a/web:80] }}] }}] }}]"))
    };
    reach(&mut cloud, &with("internet-facing"));
    let wanted = with("internal");
    for change in diff(&wanted, &cloud.observe(&wanted)).unwrap() {
        assert!(!change.operation.call().starts_with("Delete"), "{change:?}");
        cloud.apply(&change.operation);
    }
    assert_eq!(cloud.balancers.len(), 2);
    let changes = reach(&mut cloud, &wanted);
    assert_eq!(calls(&changes), ["DeleteLoadBalancer", "DeleteTargetGroup"]);
    assert_eq!(cloud.balancers.len(), 1);
}

#[test]
fn what_was_altered_by_hand_is_set_right() {
    let mut cloud = Cloud::new();
    let wanted = prefixes(&["a", "b"]);
    reach(&mut cloud, &wanted);
    let balancer = cloud.balancers.values_mut().next().unwrap();
    balancer.attributes.insert("routing.http.preserve_host_header.enabled".into(), "false".into());
    let Presence::Present(listeners) = &mut balancer.listeners else { panic!() };
    let Presence::Present(rules) = &mut listeners.get_mut(&80).unwrap().rules else { panic!() };
    rules.values_mut().next().unwrap().action = portico_aws::stack::RuleAction::status(200);
    let mut extra = rules.values().next().unwrap().clone();
    extra.arn = "arn:rule/by-hand".into();
    extra.conditions.clear();
    rules.insert(7, extra);
    let changes = reach(&mut cloud, &wanted);
    // The mark that vouches for attributes is taken back and given again.
    assert_eq!(calls(&changes), ["AddTags", "ModifyLoadBalancerAttributes", "AddTags", "ModifyRule", "DeleteRule"]);
}

#[test]
fn attributes_change_between_two_marks() {
    let mut cloud = Cloud::new();
    let mut wanted = prefixes(&["a"]);
    reach(&mut cloud, &wanted);
    wanted.target_groups[0].attributes.insert("deregistration_delay.timeout_seconds".into(), "7".into());
    wanted.target_groups[0].tags.insert("team".into(), "a".into());
    let changes = reach(&mut cloud, &wanted);
    assert_eq!(calls(&changes), ["AddTags", "ModifyTargetGroupAttributes", "AddTags"]);
    assert!(changes[1].after.contains(&0) && changes[2].after.contains(&1), "{changes:?}");
    let Operation::TagTargetGroup { tags, .. } = &changes[2].operation else { panic!() };
    assert_eq!(tags.len(), 2, "the user's tag costs no call of its own: {tags:?}");
}

#[test]
fn what_is_not_ours_is_never_touched() {
    let mut cloud = Cloud::new();
    let wanted = prefixes(&["a"]);
    reach(&mut cloud, &wanted);
    let foreign = cloud.balancers.values().next().unwrap().clone();
    for balancer in cloud.balancers.values_mut() {
        balancer.tags.insert("portico.dev/cluster".into(), "another".into());
    }
    for group in cloud.groups.values_mut() {
        group.tags.clear();
    }
    let error = diff(&wanted, &cloud.observe(&wanted)).unwrap_err();
    assert!(matches!(error, ProviderError::Foreign { .. }), "{error}");
    cloud.balancers.insert("made-by-hand".into(), portico_aws::observed::LoadBalancer { tags: Default::default(), ..foreign });
    let changes = diff(&empty(), &cloud.observe(&empty())).unwrap();
    assert_eq!(calls(&changes), ["RevokeSecurityGroupIngress", "DeleteSecurityGroup"]);
}

#[test]
fn what_is_not_known_leads_to_nothing() {
    let mut cloud = Cloud::new();
    let wanted = prefixes(&["a"]);
    reach(&mut cloud, &wanted);
    type Forget = fn(&mut portico_aws::Observed);
    let forgets: [Forget; 5] = [
        |o| o.load_balancers.values_mut().for_each(|b| *b = Presence::Unknown),
        |o| o.target_groups.values_mut().for_each(|g| *g = Presence::Unknown),
        |o| o.security_group = Presence::Unknown,
        |o| o.backend_groups = Presence::Unknown,
        |o| {
            for balancer in o.load_balancers.values_mut() {
                if let Presence::Present(balancer) = balancer {
                    balancer.listeners = Presence::Unknown;
                }
            }
        },
    ];
    for (index, forget) in forgets.into_iter().enumerate() {
        let mut observed = cloud.observe(&wanted);
        forget(&mut observed);
        assert!(matches!(diff(&wanted, &observed), Err(ProviderError::NotReady { .. })), "{index}");
    }
    let mut observed = cloud.observe(&wanted);
    observed.subnets = Presence::Unknown;
    assert_eq!(diff(&wanted, &observed).unwrap(), []);
    let mut observed = cloud.observe(&empty());
    observed.load_balancers.values_mut().for_each(|b| *b = Presence::Unknown);
    assert!(matches!(diff(&empty(), &observed), Err(ProviderError::NotReady { .. })));
}

#[test]
fn own_security_groups_replace_the_managed_one() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &stack("ports: [{ listeners: [{}] }]"));
    let changes = reach(&mut cloud, &stack("profile: { securityGroups: { ids: [sg-mine] } }\nports: [{ listeners: [{}] }]"));
    assert_eq!(calls(&changes), ["SetSecurityGroups", "RevokeSecurityGroupIngress", "DeleteSecurityGroup"]);
}
