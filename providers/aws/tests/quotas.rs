//! Where an ALB has no room for everything, older routes go on being served, and the rest says so.

use crate::plans::{cluster, plan};
use portico_aws::observed::Limits;
use portico_aws::stack::RuleAction;
use portico_aws::{Stack, compile_within};
use portico_providers::{Compiled, Refusal, Residue, Subject};

fn within(rules: u32, groups: u32, yaml: &str) -> Compiled<Stack> {
    let limits = Limits { rules_per_load_balancer: rules, target_groups_per_load_balancer: groups, ..Limits::default() };
    compile_within(&cluster(), &plan(yaml), &limits.into())
}

/// Routes `a`, `b`, … with a path and a Service of their own, and the years in which they were made.
fn routes(years: &[(&str, u32)]) -> String {
    let rules: Vec<_> = years
        .iter()
        .map(|(name, year)| {
            let created = if *year == 0 { String::new() } else { format!("created: \"{year}-01-01T00:00:00Z\", ") };
            format!("{{ route: team-a/{name}, rule: 0, {created}http: {{ path: {{ prefix: /{name} }} }}, backends: [team-a/{name}:80] }}")
        })
        .collect();
    format!("ports: [{{ listeners: [{{ rules: [{}] }}] }}]", rules.join(", "))
}

fn served(compiled: &Compiled<Stack>) -> Vec<String> {
    let rules = compiled.stack.listeners.iter().flat_map(|listener| &listener.rules);
    rules.filter(|rule| matches!(rule.action, RuleAction::Forward(_))).map(|rule| rule.id.0.split('/').nth(4).unwrap().to_owned()).collect()
}

fn refused(refusals: &[Refusal]) -> Vec<String> {
    refusals
        .iter()
        .map(|refusal| match &refusal.subject {
            Subject::Rule(id) => id.route.key.name.clone(),
            Subject::Listener(owner) => format!("listener {}", owner.section),
            Subject::Gateway(key) | Subject::BackendTlsPolicy(key) => key.to_string(),
        })
        .collect()
}

#[test]
fn older_routes_keep_their_rules() {
    let compiled = within(2, 100, &routes(&[("a", 2024), ("b", 2021), ("c", 0), ("d", 2023)]));
    assert_eq!((served(&compiled), refused(&compiled.refusals)), (vec!["b".into(), "d".into()], vec!["a".into(), "c".into()]));
    let refusal = &compiled.refusals[0];
    assert_eq!(refusal.residue, Residue::FallsThrough);
    let text = refusal.to_string();
    assert!(text.starts_with("spec.rules[0].matches[0]: needs 4 rules, the ALB allows 2; its requests FALL THROUGH"), "{text}");
    // What is not served needs no target group, and nothing to fill it.
    assert_eq!((compiled.stack.target_groups.len(), compiled.bindings.len()), (2, 2));
    let ranks: Vec<_> = compiled.stack.listeners[0].rules.iter().map(|rule| rule.rank).collect();
    assert_eq!(ranks, [0, 1]);
}

#[test]
fn of_routes_of_one_age_the_first_by_name_is_served() {
    let compiled = within(1, 100, &routes(&[("b", 2024), ("a", 2024)]));
    assert_eq!(served(&compiled), ["a"]);
}

#[test]
fn exactly_enough_room_refuses_nothing() {
    let compiled = within(2, 2, &routes(&[("a", 2024), ("b", 2021)]));
    assert_eq!((served(&compiled).len(), compiled.refusals.len()), (2, 0));
}

#[test]
fn a_service_without_a_target_group_answers_500() {
    let compiled = within(100, 1, &routes(&[("a", 2024), ("b", 2021)]));
    assert_eq!((served(&compiled), refused(&compiled.refusals)), (vec!["b".into()], vec!["a".into()]));
    assert_eq!(compiled.stack.listeners[0].rules[0].action, RuleAction::status(500));
    let text = compiled.refusals[0].to_string();
    assert!(text.contains("needs 2 target groups, the ALB allows 1; its requests are answered 500"), "{text}");
}

#[test]
fn a_newer_route_to_a_service_that_has_its_group_is_served() {
    let yaml = "ports: [{ listeners: [{ rules: [
        { route: team-a/a, rule: 0, created: \"2021-01-01T00:00:00Z\", http: { path: { prefix: /a } }, backends: [team-a/web:80] },
        { route: team-a/b, rule: 0, created: \"2022-01-01T00:00:00Z\", http: { path: { prefix: /b } }, backends: [team-a/other:80] },
        { route: team-a/c, rule: 0, created: \"2023-01-01T00:00:00Z\", http: { path: { prefix: /c } }, backends: [team-a/web:80] }] }] }]";
    let compiled = within(100, 1, yaml);
    assert_eq!((served(&compiled), refused(&compiled.refusals)), (vec!["a".into(), "c".into()], vec!["b".into()]));
}

#[test]
fn a_redirect_of_two_rules_has_both_or_none() {
    let yaml = "ports: [{ listeners: [{ rules: [
        { route: team-a/a, rule: 0, created: \"2021-01-01T00:00:00Z\", http: { path: { prefix: /a } }, backends: [team-a/web:80] },
        { route: team-a/b, rule: 0, created: \"2022-01-01T00:00:00Z\", http: { path: { prefix: /b } },
          filters: [{ requestRedirect: { path: { replacePrefixMatch: /c }, statusCode: 302 } }] }] }] }]";
    let compiled = within(2, 100, yaml);
    assert_eq!((compiled.stack.rule_count(), refused(&compiled.refusals)), (1, vec!["b".into()]));
    assert_eq!(within(3, 100, yaml).stack.rule_count(), 3);
}

#[test]
fn the_rules_that_keep_listeners_apart_come_first() {
    let yaml = "ports: [{ listeners: [
        { hostname: a.example.com, rules: [{ route: team-a/a, rule: 0, backends: [team-a/a:80], http: { path: { prefix: /a } } }] },
        { rules: [{ route: team-a/b, rule: 0, created: \"2021-01-01T00:00:00Z\", backends: [team-a/b:80] }] }] }]";
    assert_eq!(within(3, 100, yaml).refusals, []);
    let compiled = within(2, 100, yaml);
    assert_eq!((served(&compiled), refused(&compiled.refusals)), (vec!["b".into()], vec!["a".into()]));
    let isolated = |compiled: &Compiled<Stack>| compiled.stack.listeners[0].rules.iter().any(|rule| rule.id.0.contains("/isolation/"));
    assert!(isolated(&compiled));
    let none = within(0, 100, yaml);
    assert!(!isolated(&none));
    assert_eq!(refused(&none.refusals), ["a", "b", "listener http-0"]);
}
