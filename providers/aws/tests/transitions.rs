//! On the way from one stack to another no request gets an answer that neither gives.

use crate::cloud::Cloud;
use crate::diff::{calls, reach, stack};
use crate::plans::{cluster, plan};
use crate::semantics::request::Request;
use crate::semantics::{Matches, further_match, request, rule_of_matches, spread, stack_side};
use portico_aws::stack::{RuleAction, Transform};
use portico_aws::{Stack, compile, diff};
use portico_providers::Gate;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;

/// A listener whose rules have these matches, each a piece of YAML, all of the first rule of a route.
fn matches(matches: &[&str]) -> Stack {
    let rules: Vec<_> = matches
        .iter()
        .enumerate()
        .map(|(index, one)| {
            let id = format!("{{ route: {{ kind: HTTPRoute, key: team-a/route }}, rule: 0, match: {index} }}");
            format!("{{ id: {id}, {one}, backends: [team-a/web:80] }}")
        })
        .collect();
    stack(&format!("ports: [{{ listeners: [{{ rules: [{}] }}] }}]", rules.join(", ")))
}

fn paths(paths: &[&str]) -> Stack {
    let texts: Vec<_> = paths.iter().map(|path| format!("http: {{ path: {{ prefix: {path} }} }}")).collect();
    matches(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What it takes to come from one stack to another.
fn between(from: &Stack, to: &Stack) -> Vec<&'static str> {
    let mut cloud = Cloud::new();
    reach(&mut cloud, from);
    calls(&reach(&mut cloud, to))
}

#[test]
fn a_match_that_comes_or_goes_costs_one_call() {
    assert_eq!(between(&paths(&["/a"]), &paths(&["/a", "/b"])), ["ModifyRule"]);
    assert_eq!(between(&paths(&["/a", "/b"]), &paths(&["/a"])), ["ModifyRule"]);
    assert_eq!(between(&paths(&["/a", "/b"]), &paths(&["/b"])), ["ModifyRule"]);
    // Another form: plain values no longer fit.
    assert_eq!(between(&paths(&["/a", "/b"]), &paths(&["/a", "/b", "/c", "/d"])), ["ModifyRule"]);
    assert_eq!(between(&paths(&["/a", "/b"]), &paths(&["/b", "/a"])), [""; 0]);
    let host = |name: &str| format!("hostname: {name}.example.com, http: {{ path: {{ prefix: /a }} }}");
    assert_eq!(between(&matches(&[&host("a")]), &matches(&[&host("a"), &host("b")])), ["ModifyRule"]);
}

#[test]
fn a_match_that_has_no_room_costs_a_rule() {
    let long = |count: usize| -> Stack {
        let names: Vec<_> = (0..count).map(|n| format!("/{}-{n:02}", "a-long-path-of-fifty-characters-or-so-or-a-few-more")).collect();
        paths(&names.iter().map(String::as_str).collect::<Vec<_>>())
    };
    // Two to an expression, five expressions to a rule.
    assert_eq!(long(10).rule_count(), 1);
    assert_eq!(between(&long(10), &long(11)), ["CreateRule"]);
    assert_eq!(between(&long(11), &long(10)), ["DeleteRule"]);
}

#[test]
fn other_conditions_and_another_action_make_another_rule() {
    let web = paths(&["/a", "/b"]);
    let new = |path: &str| {
        stack(&format!(
            "ports: [{{ listeners: [{{ rules: [{{ http: {{ path: {{ prefix: {path} }} }}, backends: [team-a/new:80] }}] }}] }}]"
        ))
    };
    let changes = between(&web, &new("/a"));
    assert_eq!(changes, ["CreateTargetGroup", "CreateRule", "DeleteRule", "DeleteTargetGroup"]);
}

fn config(rules: Vec<Matches>) -> Stack {
    let yaml = json!({ "ports": [{ "listeners": [{ "rules": spread(rules, 0) }] }] }).to_string();
    compile(&cluster(), &plan(&yaml)).stack
}

type Outcome = (RuleAction, Vec<Transform>);

/// What the listener does with a request now.
fn outcome(cloud: &Cloud, request: &Request) -> Outcome {
    let balancer = cloud.balancers.values().next().unwrap();
    let listener = balancer.listeners.present().unwrap().values().next().unwrap();
    let mut rules = listener.rules.present().unwrap().values();
    let found = rules.find(|rule| rule.conditions.iter().all(|condition| stack_side::holds(condition, request)));
    found.map_or((listener.default_action.clone(), Vec::new()), |rule| (rule.action.clone(), rule.transforms.clone()))
}

/// The same but for target groups that get no requests, which a rule may name for a while.
fn settled((action, transforms): Outcome) -> Outcome {
    let action = match action {
        RuleAction::Forward(mut forward) => {
            forward.target_groups.retain(|target| target.weight > 0);
            RuleAction::Forward(forward)
        }
        other => other,
    };
    (action, transforms)
}

/// Goes from one stack to another, change by change, and says which request gets an answer on the way that neither gives. Where it `waits`, targets are not ready in the
/// first pass.
fn walk(first: &Stack, second: &Stack, requests: &[Request], waits: bool) -> Result<Vec<&'static str>, String> {
    let mut cloud = Cloud::new();
    reach(&mut cloud, first);
    let before: Vec<_> = requests.iter().map(|request| settled(outcome(&cloud, request))).collect();
    let after: Vec<_> = {
        let mut cloud = cloud.clone();
        reach(&mut cloud, second);
        requests.iter().map(|request| settled(outcome(&cloud, request))).collect()
    };
    let mut made = Vec::new();
    for closed in [waits, false] {
        let mut waiting = BTreeSet::new();
        for (id, change) in diff(second, &cloud.observe(second)).unwrap().iter().enumerate() {
            if (closed && change.gate != Gate::None) || change.after.iter().any(|before| waiting.contains(before)) {
                waiting.insert(id);
                continue;
            }
            cloud.apply(&change.operation);
            made.push(change.operation.call());
            for ((request, before), after) in requests.iter().zip(&before).zip(&after) {
                let now = settled(outcome(&cloud, request));
                if now != *before && now != *after {
                    return Err(format!("{request:?} after {}: {now:?}, neither {before:?} nor {after:?}", change.operation));
                }
            }
        }
    }
    let left = diff(second, &cloud.observe(second)).unwrap();
    if left.is_empty() { Ok(made) } else { Err(format!("left to do: {left:?}")) }
}

fn get(path: &str) -> Request {
    let headers = vec![("x".to_owned(), "1".to_owned())];
    Request { host: "a.example.com".into(), path: path.into(), query: String::new(), method: "GET".into(), headers }
}

/// A rule of the route's rule with this number.
fn rule(number: u32, index: u32, path: &str, backend: &str) -> String {
    let id = format!("{{ route: {{ kind: HTTPRoute, key: team-a/route }}, rule: {number}, match: {index} }}");
    format!("{{ id: {id}, http: {{ path: {{ {path} }} }}, backends: [team-a/{backend}:80] }}")
}

fn rules(rules: &[String]) -> Stack {
    stack(&format!("ports: [{{ listeners: [{{ rules: [{}] }}] }}]", rules.join(", ")))
}

#[test]
fn a_rule_that_gets_narrower_leaves_nothing_to_one_that_goes() {
    let exact = rule(0, 0, "exact: /a", "web");
    let first = rules(&[exact.clone(), rule(0, 1, "exact: /a/b", "web"), rule(1, 0, "prefix: /a/b", "other")]);
    let changes = walk(&first, &rules(&[exact]), &[get("/a"), get("/a/b"), get("/a/b/c")], true).unwrap();
    assert_eq!(changes, ["DeleteRule", "ModifyRule", "DeleteTargetGroup"]);
}

#[test]
fn a_rule_that_gets_wider_takes_nothing_from_a_new_one_before_it() {
    let wide = [rule(1, 0, "exact: /a", "web"), rule(1, 1, "prefix: /b", "web"), rule(2, 0, "prefix: /", "other")];
    let second = [&[rule(0, 0, "exact: /b/c", "new")], &wide[..]].concat();
    let first = [wide[0].clone(), wide[2].clone()];
    for waits in [false, true] {
        walk(&rules(&first), &rules(&second), &[get("/a"), get("/b"), get("/b/c")], waits).unwrap();
    }
}

#[test]
fn one_that_takes_and_leaves_is_made_anew_where_one_behind_it_goes() {
    let first = rules(&[rule(0, 0, "prefix: /a", "web"), rule(0, 1, "prefix: /b", "web"), rule(1, 0, "prefix: /", "other")]);
    let second = rules(&[rule(0, 0, "prefix: /a", "web"), rule(0, 1, "prefix: /c", "web")]);
    let changes = walk(&first, &second, &[get("/a"), get("/b"), get("/c")], true).unwrap();
    assert_eq!(changes, ["CreateRule", "DeleteRule", "DeleteRule", "DeleteTargetGroup"]);
    // Nothing behind it comes or goes.
    let third = rules(&[rule(0, 0, "prefix: /a", "web"), rule(0, 1, "prefix: /d", "web")]);
    assert_eq!(walk(&second, &third, &[get("/a"), get("/c"), get("/d")], true).unwrap(), ["ModifyRule"]);
}

#[test]
fn a_rule_moves_unless_a_new_one_takes_its_requests() {
    let (narrow, wide) = (rule(0, 0, "prefix: /a/b", "web"), rule(1, 0, "prefix: /a", "other"));
    let first = rules(&[narrow.clone(), rule(1, 0, "regularExpression: '/a/.*'", "other")]);
    let moved = rules(&[rule(1, 0, "regularExpression: '/a/.*'", "other"), narrow.clone()]);
    assert_eq!(walk(&first, &moved, &[get("/a/b"), get("/a/c")], true).unwrap(), ["SetRulePriorities"]);
    let new = rule(2, 0, "exact: /a/b/c", "new");
    let second = rules(&[new, rule(1, 0, "regularExpression: '/a/.*'", "other"), narrow, wide]);
    for waits in [false, true] {
        let changes = walk(&first, &second, &[get("/a/b"), get("/a/c"), get("/a/b/c")], waits).unwrap();
        assert!(!changes.contains(&"SetRulePriorities"), "{changes:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Matches of one rule come and go; what waits for targets waits through the first pass.
    #[test]
    fn no_request_goes_astray_when_matches_come_and_go(
        rules in prop::collection::vec(rule_of_matches(), 1..5),
        at in any::<prop::sample::Index>(),
        further in prop::collection::vec(further_match(), 0..6),
        requests in prop::collection::vec(request(), 30),
        waits in any::<bool>(),
    ) {
        let first = config(rules.clone());
        let mut changed = rules;
        at.get_mut(&mut changed).1 = further;
        let second = config(changed);
        walk(&first, &second, &requests, waits).map_err(TestCaseError::fail)?;
    }
}
