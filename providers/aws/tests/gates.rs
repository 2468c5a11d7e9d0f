//! Make before break: requests that are served now move to a new target group only when it takes them.

use crate::cloud::Cloud;
use crate::diff::{calls, reach, stack};
use portico_aws::stack::RuleAction;
use portico_aws::{Operation, Stack, diff};
use portico_providers::{Change, Gate};

/// A listener on port 80 with these rules: conditions as a plan writes them, and backends.
fn rules(rules: &[(&str, &str)]) -> Stack {
    let rules: Vec<_> = rules.iter().map(|(http, backends)| format!("{{ http: {{ {http} }}, backends: [{backends}] }}")).collect();
    stack(&format!("ports: [{{ listeners: [{{ rules: [{}] }}] }}]", rules.join(", ")))
}

fn to(backends: &str) -> Stack {
    rules(&[("path: { prefix: / }", backends)])
}

fn path(prefix: &str) -> String {
    format!("path: {{ prefix: {prefix} }}")
}

/// What each change is, and whether it waits: `*` for healthy targets, `+` for registered ones.
fn shown(changes: &[Change<Operation>]) -> Vec<String> {
    let mark = |gate: &Gate| match gate {
        Gate::None => "",
        Gate::TargetsHealthy(_) => "*",
        Gate::TargetsRegistered(_) => "+",
        other => panic!("{other:?}"),
    };
    changes.iter().map(|change| format!("{}{}", change.operation.call(), mark(&change.gate))).collect()
}

fn changes(cloud: &Cloud, wanted: &Stack) -> Vec<Change<Operation>> {
    diff(wanted, &cloud.observe(wanted)).unwrap()
}

/// Makes those changes whose gate is open when no target set is ready, as a pass does.
fn pass(cloud: &mut Cloud, wanted: &Stack) -> Vec<&'static str> {
    let mut waiting = std::collections::BTreeSet::new();
    let mut made = Vec::new();
    for (id, change) in changes(cloud, wanted).iter().enumerate() {
        if change.gate != Gate::None || change.after.iter().any(|before| waiting.contains(before)) {
            waiting.insert(id);
        } else {
            cloud.apply(&change.operation);
            made.push(change.operation.call());
        }
    }
    made
}

#[test]
fn another_service_is_checked_at_weight_0_and_the_old_one_goes_last() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &to("team-a/old:80"));
    let wanted = to("team-a/new:80");
    let list = changes(&cloud, &wanted);
    assert_eq!(shown(&list), ["CreateTargetGroup", "ModifyRule", "ModifyRule*", "DeleteTargetGroup"]);
    let Operation::ModifyRule { action: RuleAction::Forward(warm), .. } = &list[1].operation else { panic!() };
    let mut weights: Vec<_> = warm.target_groups.iter().map(|target| target.weight).collect();
    weights.sort();
    assert_eq!(weights, [0, 1]);
    assert_eq!((list[2].after.clone(), list[3].after.clone()), (vec![0, 1], vec![2]));
    // While the targets are not ready, nothing is made twice and nothing goes.
    assert_eq!(pass(&mut cloud, &wanted), ["CreateTargetGroup", "ModifyRule"]);
    assert_eq!(pass(&mut cloud, &wanted), [""; 0]);
    assert_eq!(shown(&changes(&cloud, &wanted)), ["ModifyRule*", "DeleteTargetGroup"]);
    assert_eq!(calls(&reach(&mut cloud, &wanted)), ["ModifyRule", "DeleteTargetGroup"]);
}

#[test]
fn going_back_waits_for_nothing() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &to("team-a/old:80"));
    pass(&mut cloud, &to("team-a/new:80"));
    assert_eq!(shown(&changes(&cloud, &to("team-a/old:80"))), ["ModifyRule", "DeleteTargetGroup"]);
}

#[test]
fn a_canary_gets_its_share_when_it_is_healthy() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &to("team-a/web:80"));
    let canary = to("90 x team-a/web:80, 10 x team-a/canary:80");
    assert_eq!(shown(&changes(&cloud, &canary)), ["CreateTargetGroup", "ModifyRule", "ModifyRule*"]);
    reach(&mut cloud, &canary);
    assert_eq!(shown(&changes(&cloud, &to("50 x team-a/web:80, 50 x team-a/canary:80"))), ["ModifyRule"]);
}

#[test]
fn a_backend_of_weight_0_is_checked_already() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &to("1 x team-a/web:80, 0 x team-a/canary:80"));
    assert_eq!(shown(&changes(&cloud, &to("1 x team-a/web:80, 1 x team-a/canary:80"))), ["ModifyRule*"]);
}

#[test]
fn several_rules_that_move_to_one_service_check_it_once() {
    let mut cloud = Cloud::new();
    let with = |service: &str| rules(&[(&path("/a"), service), (&path("/b"), service)]);
    reach(&mut cloud, &with("team-a/old:80"));
    assert_eq!(
        shown(&changes(&cloud, &with("team-a/new:80"))),
        ["CreateTargetGroup", "ModifyRule", "ModifyRule*", "ModifyRule*", "DeleteTargetGroup"]
    );
}

#[test]
fn nothing_waits_on_a_new_load_balancer_or_for_a_group_that_serves_already() {
    let mut cloud = Cloud::new();
    let one = rules(&[(&path("/a"), "team-a/a:80"), (&path("/"), "team-a/web:80")]);
    assert!(changes(&cloud, &one).iter().all(|change| change.gate == Gate::None));
    reach(&mut cloud, &one);
    assert_eq!(
        shown(&changes(&cloud, &rules(&[(&path("/a"), "team-a/web:80"), (&path("/"), "team-a/web:80")]))),
        ["ModifyRule", "DeleteTargetGroup"]
    );
}

#[test]
fn a_rule_above_another_waits_until_its_targets_are_registered() {
    let mut cloud = Cloud::new();
    let root = (path("/"), "team-a/web:80");
    reach(&mut cloud, &to(root.1));
    let with = |prefix: &str| rules(&[(&path(prefix), "team-a/api:80"), (&root.0, root.1)]);
    assert_eq!(shown(&changes(&cloud, &with("/api"))), ["CreateTargetGroup", "CreateRule+"]);
    // Requests that nobody serves now lose nothing.
    let mut cloud = Cloud::new();
    let shop = (path("/shop"), "team-a/web:80");
    reach(&mut cloud, &rules(&[(&shop.0, shop.1)]));
    assert_eq!(
        shown(&changes(&cloud, &rules(&[(&path("/api"), "team-a/api:80"), (&shop.0, shop.1)]))),
        ["CreateTargetGroup", "CreateRule"]
    );
    let below = rules(&[(&shop.0, shop.1), (&path("/"), "team-a/api:80")]);
    assert_eq!(shown(&changes(&cloud, &below)), ["CreateTargetGroup", "CreateRule"]);
}

#[test]
fn hostnames_that_exclude_one_another_do_not_wait_for_one_another() {
    let mut cloud = Cloud::new();
    let hosts = |hosts: &[&str]| {
        let rules: Vec<_> = hosts.iter().map(|host| format!("{{ hostname: {host}.example.com, backends: [team-a/{host}:80] }}")).collect();
        stack(&format!("ports: [{{ listeners: [{{ rules: [{}] }}] }}]", rules.join(", ")))
    };
    reach(&mut cloud, &hosts(&["b"]));
    assert_eq!(shown(&changes(&cloud, &hosts(&["a", "b"]))), ["CreateTargetGroup", "CreateRule"]);
}

#[test]
fn a_rule_goes_after_the_one_that_takes_its_requests_over() {
    let mut cloud = Cloud::new();
    let canary = format!("{}, headers: [{{ name: x, value: {{ exact: one }} }}]", path("/a"));
    let root = (path("/"), "team-a/web:80");
    reach(&mut cloud, &rules(&[(&path("/a"), "team-a/old:80"), (&root.0, root.1)]));
    let wanted = rules(&[(&canary, "team-a/new:80"), (&root.0, root.1)]);
    let list = changes(&cloud, &wanted);
    assert_eq!(shown(&list), ["CreateTargetGroup", "CreateRule+", "DeleteRule", "DeleteTargetGroup"]);
    assert_eq!((list[2].after.clone(), list[3].after.clone()), (vec![1], vec![2]));
}

#[test]
fn a_rule_that_answers_an_error_is_replaced_at_once() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &to("invalid"));
    assert_eq!(shown(&changes(&cloud, &to("team-a/web:80"))), ["CreateTargetGroup", "ModifyRule"]);
}

#[test]
fn a_redirect_is_replaced_when_targets_are_registered() {
    let mut cloud = Cloud::new();
    let redirect = "{ requestRedirect: { hostname: example.org, statusCode: 302 } }";
    reach(&mut cloud, &stack(&format!("ports: [{{ listeners: [{{ rules: [{{ filters: [{redirect}] }}] }}] }}]")));
    assert_eq!(shown(&changes(&cloud, &to("team-a/web:80"))), ["CreateTargetGroup", "ModifyRule+"]);
}

#[test]
fn the_replaced_load_balancer_goes_when_the_targets_of_the_new_one_are_healthy() {
    let mut cloud = Cloud::new();
    let with = |scheme: &str| {
        stack(&format!("profile: {{ scheme: {scheme} }}\nports: [{{ listeners: [{{ rules: [{{ backends: [team-a/web:80] }}] }}] }}]"))
    };
    reach(&mut cloud, &with("internet-facing"));
    let wanted = with("internal");
    pass(&mut cloud, &wanted);
    let list = changes(&cloud, &wanted);
    assert_eq!(shown(&list), ["DeleteLoadBalancer*", "DeleteTargetGroup"]);
    assert_eq!(list[1].after, [0]);
}
