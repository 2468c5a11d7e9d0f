//! One bad object harms only itself.

use crate::world::{class, service, upsert};
use portico_crds::gateway::HttpRoute;
use portico_crds::{Kind, NamespacedName, decode};
use portico_providers::{Backend, PlanRule, UnitId};
use portico_translate::{Translation, World, status, translate};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ROUTES: usize = 50;

fn name(index: usize) -> String {
    format!("r{index:02}")
}

/// A route with two rules, most of whose fields are used; neighbours share hostnames or paths.
fn route(index: usize) -> Value {
    let (host, path) = (format!("h{}.example.com", index / 4), format!("/p{}", index % 4));
    json!({
        "metadata": {"name": name(index), "namespace": "apps", "generation": 1},
        "spec": {
            "parentRefs": [{"name": "web", "namespace": "infra", "sectionName": "http"}],
            "hostnames": [host, format!("*.{host}")],
            "rules": [
                {"name": "first", "matches": [{"path": {"type": "Exact", "value": path}}], "backendRefs": [{"name": "web", "port": 80, "weight": 2}]},
                {
                    "matches": [
                        {"path": {"type": "PathPrefix", "value": path}, "method": "GET", "headers": [{"type": "Exact", "name": "a", "value": "b"}]},
                        {"path": {"type": "PathPrefix", "value": path}, "queryParams": [{"type": "Exact", "name": "q", "value": "1"}]},
                    ],
                    "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x", "value": "y"}]}}],
                    "timeouts": {"request": "10s"},
                    "backendRefs": [
                        {"name": "web", "port": 80, "weight": 1, "filters": [{"type": "URLRewrite", "urlRewrite": {"hostname": "b.example.com"}}]},
                        {"name": "web", "port": 80, "weight": 3},
                    ],
                },
            ],
        },
    })
}

/// The world with all routes but one.
fn world(bad: usize) -> World {
    let mut world = World::new();
    upsert(&mut world, Kind::GatewayClass, class("alb", "portico.dev/gateway-controller"));
    let listener = json!({"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}});
    let gateway = json!({"metadata": {"name": "web", "namespace": "infra"}, "spec": {"gatewayClassName": "alb", "listeners": [listener]}});
    upsert(&mut world, Kind::Gateway, gateway);
    upsert(&mut world, Kind::Service, service(80));
    for index in (0..ROUTES).filter(|index| *index != bad) {
        upsert(&mut world, Kind::HttpRoute, route(index));
    }
    world
}

fn translated(world: &World) -> Translation {
    translate(world, &UnitId::Gateway(NamespacedName::new("infra", "web"))).unwrap()
}

/// The rules of the plan in their order, without the ranks, those of one route apart from the others'.
fn rules(translation: &Translation, bad: usize) -> (Vec<PlanRule>, Vec<PlanRule>) {
    let rules = translation.plan.as_ref().unwrap().rules().map(|(_, _, rule)| PlanRule { rank: 0, ..rule.clone() });
    rules.partition(|rule| rule.id.route.key.name == name(bad))
}

type Statuses = BTreeMap<String, Value>;

/// The statuses of all routes.
fn statuses(world: &World, translation: &Translation) -> Statuses {
    let routes = translation.report.statuses(world).into_iter().filter(|((kind, _), _)| *kind == Kind::HttpRoute);
    let merged = routes.filter_map(|((kind, key), desired)| {
        Some((key.name.clone(), status::merge(world.raw(kind, &key)?, &desired, "2026-01-01T00:00:00Z")?))
    });
    merged.collect()
}

/// Everything that conditions of a status say while something is wrong.
pub fn complaints(status: Option<&Value>) -> String {
    let parents = status.and_then(|status| status["parents"].as_array()).into_iter().flatten();
    let conditions = parents.flat_map(|parent| parent["conditions"].as_array().into_iter().flatten());
    let wrong = conditions.filter(|it| (it["status"] == "True") == (it["type"] == "PartiallyInvalid"));
    wrong.map(|it| it["message"].as_str().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// What the others are without the bad one, and with it; and what becomes of the bad one.
struct Trial {
    bad: usize,
    without: World,
    others: Vec<PlanRule>,
    statuses: Statuses,
}

impl Trial {
    fn new(bad: usize) -> Self {
        let without = world(bad);
        let translation = translated(&without);
        Self { bad, others: rules(&translation, bad).1, statuses: statuses(&without, &translation), without }
    }

    /// Checks that the others come out the same; returns the bad one's own rules and complaints.
    fn with(&self, object: Value, what: &str) -> (Vec<PlanRule>, String) {
        let mut world = self.without.clone();
        upsert(&mut world, Kind::HttpRoute, object);
        let translation = translated(&world);
        let (own, others) = rules(&translation, self.bad);
        assert!(others == self.others, "{what}: the other routes' rules changed");
        let mut said = statuses(&world, &translation);
        let complaints = complaints(said.remove(&name(self.bad)).as_ref());
        assert!(said == self.statuses, "{what}: the other routes' statuses changed");
        (own, complaints)
    }
}

/// Whether a rule serves as it was written.
fn serves(own: &[PlanRule], rule: u32) -> bool {
    let of_rule = || own.iter().filter(|it| it.id.rule == rule);
    of_rule().next().is_some() && of_rule().all(|it| it.backends.iter().all(|backend| matches!(backend.backend, Backend::Service(_))))
}

#[test]
fn every_mistake_is_told_with_its_path_and_costs_its_rule_alone() {
    let filter = |value: Value| move |route: &mut Value| route["spec"]["rules"][1]["filters"][0] = value.clone();
    let set = |pointer: &'static str, value: Value| move |route: &mut Value| *route.pointer_mut(pointer).unwrap() = value.clone();
    type Change = Box<dyn Fn(&mut Value)>;
    let mistakes: Vec<(Change, &str)> = vec![
        (Box::new(filter(json!({"type": "Sparkle"}))), "spec.rules[1].filters[0].type"),
        (Box::new(filter(json!("none"))), "spec.rules[1].filters[0]"),
        (Box::new(filter(json!({"type": "URLRewrite"}))), "spec.rules[1].filters[0]"),
        (
            Box::new(filter(json!({"type": "ExtensionRef", "extensionRef": {"group": "x.io", "kind": "X", "name": "x"}}))),
            "spec.rules[1].filters[0]",
        ),
        (Box::new(set("/spec/rules/1/backendRefs/1/name", json!("none"))), "spec.rules[1].backendRefs[1]"),
        (Box::new(set("/spec/rules/1/backendRefs/1", json!({"kind": "Bucket", "name": "b"}))), "spec.rules[1].backendRefs[1]"),
        (Box::new(set("/spec/rules/1/backendRefs/0/port", json!(81))), "spec.rules[1].backendRefs[0]"),
        (Box::new(set("/spec/rules/1/backendRefs/0/port", json!("http"))), "spec.rules[1].backendRefs[0].port"),
        (Box::new(set("/spec/rules/1/matches/1/path/type", json!("Fuzzy"))), "spec.rules[1].matches[1].path.type"),
        (Box::new(set("/spec/rules/1/matches/0/method", json!("FETCH"))), "spec.rules[1].matches[0].method"),
        (Box::new(set("/spec/rules/1/timeouts/request", json!("soon"))), "spec.rules[1].timeouts.request"),
        (Box::new(set("/spec/rules/1", json!("none"))), "spec.rules[1]"),
    ];
    for bad in 0..ROUTES {
        let trial = Trial::new(bad);
        // Each mistake in several places, each place with several mistakes.
        for (change, path) in mistakes.iter().cycle().skip(bad).step_by(5).take(3) {
            let mut object = route(bad);
            change(&mut object);
            let (own, complaints) = trial.with(object, path);
            assert!(complaints.contains(path), "{path} is not told: {complaints}");
            assert!(serves(&own, 0), "{path}: the good rule does not serve");
        }
    }
}

/// Every place in a value, as a pointer and as its author would write it.
pub fn places(value: &Value, pointer: String, path: String, found: &mut Vec<(String, String)>) {
    found.push((pointer.clone(), path.clone()));
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| places(value, format!("{pointer}/{key}"), format!("{path}.{key}"), found)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, value)| places(value, format!("{pointer}/{at}"), format!("{path}[{at}]"), found));
        }
        _ => {}
    }
}

#[test]
fn a_wrong_value_anywhere_harms_nobody_else() {
    let bad = 17;
    let trial = Trial::new(bad);
    let mut all = Vec::new();
    places(&route(bad)["spec"], "/spec".to_owned(), "spec".to_owned(), &mut all);
    assert!(all.len() > 50);
    for (pointer, path) in all {
        for wrong in [json!("wrong"), json!(-7), json!(true), json!([]), json!({}), json!([{"wrong": 1}])] {
            let mut object = route(bad);
            *object.pointer_mut(&pointer).unwrap() = wrong.clone();
            let defects = decode::<HttpRoute>(&object).defects;
            let what = format!("{path} = {wrong}");
            let (own, complaints) = trial.with(object, &what);
            // Without a parent that can be read there is no entry in which it could be told.
            if path == "spec" || path.starts_with("spec.parentRefs") {
                continue;
            }
            for defect in defects {
                assert!(complaints.contains(&defect.path), "{what}: {} is not told: {complaints}", defect.path);
                assert!(defect.path.starts_with(&path) || path.starts_with(&defect.path), "{what}: {defect}");
            }
            if path.starts_with("spec.rules[1]") {
                assert!(serves(&own, 0), "{what}: the good rule does not serve");
            }
        }
    }
}

#[test]
fn unknown_fields_change_nothing() {
    let bad = 17;
    let trial = Trial::new(bad);
    let (untouched, _) = trial.with(route(bad), "nothing");
    let mut all = Vec::new();
    places(&route(bad), String::new(), String::new(), &mut all);
    for (pointer, _) in all {
        let mut object = route(bad);
        let Some(map) = object.pointer_mut(&pointer).and_then(Value::as_object_mut) else { continue };
        map.insert("fromTheFuture".to_owned(), json!({"a": [1]}));
        let (own, complaints) = trial.with(object, &pointer);
        assert_eq!((own, complaints.as_str()), (untouched.clone(), ""), "{pointer}");
    }
}

/// A listener that cannot be read harms no other listener.
#[test]
fn a_bad_listener_harms_only_itself() {
    let good = |name: &str, port: u16| json!({"name": name, "port": port, "protocol": "HTTP"});
    let plan = |second: Value| {
        let mut world = World::new();
        upsert(&mut world, Kind::GatewayClass, class("alb", "portico.dev/gateway-controller"));
        let listeners = json!([good("a", 80), second, good("c", 82)]);
        let gateway =
            json!({"metadata": {"name": "web", "namespace": "infra"}, "spec": {"gatewayClassName": "alb", "listeners": listeners}});
        upsert(&mut world, Kind::Gateway, gateway);
        let found = translated(&world);
        let conditions = found.report.gateways[&NamespacedName::new("infra", "web")].listener_conditions("b");
        (found.plan.unwrap().ports, conditions)
    };
    let expected: Vec<_> = plan(good("b", 81)).0.into_iter().filter(|port| port.port != 81).collect();
    for (second, path) in [
        (json!({"name": "b", "port": "x", "protocol": "HTTP"}), "spec.listeners[1].port"),
        (json!({"name": "b", "port": 99999, "protocol": "HTTP"}), "spec.listeners[1].port"),
        (json!({"name": "b", "port": 81, "protocol": "ODD"}), "spec.listeners[1].protocol"),
        (json!({"name": "b", "port": 81, "protocol": "HTTP", "hostname": "*"}), "spec.listeners[1].hostname"),
        (json!({"name": "b", "port": 81, "protocol": "HTTP", "allowedRoutes": "all"}), "spec.listeners[1].allowedRoutes"),
        (
            json!({"name": "b", "port": 81, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "Friends"}}}),
            "spec.listeners[1].allowedRoutes.namespaces.from",
        ),
        (json!({"name": "b", "port": 81, "protocol": "HTTPS", "tls": {"certificateRefs": "c"}}), "spec.listeners[1].tls.certificateRefs"),
    ] {
        let (ports, conditions) = plan(second.clone());
        assert_eq!(ports, expected, "{second}");
        assert!(conditions.iter().any(|it| it.message.contains(path)), "{path}: {conditions:?}");
    }
}
