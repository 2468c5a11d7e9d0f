//! Whom an event concerns, and whom it does not.

use portico_crds::{Kind, NamespacedName};
use portico_providers::UnitId;
use portico_translate::{Event, FINALIZER, Impact, UnitState, World};
use serde_json::{Value, json};
use std::sync::Arc;

pub fn upsert(world: &mut World, kind: Kind, mut object: Value) -> Impact {
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(kind.name());
    world.apply(Event::Upsert { kind, object: Arc::new(object) })
}

fn delete(world: &mut World, kind: Kind, namespace: &str, name: &str) -> Impact {
    world.apply(Event::Delete { kind, key: NamespacedName::new(namespace, name) })
}

pub fn class(name: &str, controller: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"controllerName": controller}})
}

pub fn gateway(name: &str, class: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "infra"}, "spec": {"gatewayClassName": class, "listeners": [
        {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}}}
    ]}})
}

pub fn route(name: &str, gateways: &[&str], service: &str) -> Value {
    let parents: Vec<_> = gateways.iter().map(|name| json!({"name": name, "namespace": "infra"})).collect();
    json!({"metadata": {"name": name, "namespace": "apps"}, "spec": {"parentRefs": parents, "rules": [{"backendRefs": [{"name": service, "port": 80}]}]}})
}

pub fn service(port: u16) -> Value {
    json!({"metadata": {"name": "web", "namespace": "apps"}, "spec": {"ports": [{"port": port}]}})
}

fn world() -> World {
    let mut world = World::new();
    upsert(&mut world, Kind::GatewayClass, class("alb", "portico.dev/gateway-controller"));
    upsert(&mut world, Kind::GatewayClass, class("other", "example.com/other"));
    upsert(&mut world, Kind::Gateway, gateway("one", "alb"));
    upsert(&mut world, Kind::Gateway, gateway("two", "alb"));
    upsert(&mut world, Kind::Gateway, gateway("theirs", "other"));
    upsert(&mut world, Kind::HttpRoute, route("web", &["one", "theirs"], "web"));
    world
}

fn units(names: &[&str]) -> Impact {
    Impact { units: names.iter().map(|name| UnitId::Gateway(NamespacedName::new("infra", *name))).collect(), ..Impact::default() }
}

#[test]
fn a_service_concerns_the_gateways_of_its_routes_only() {
    let mut world = world();
    assert_eq!(upsert(&mut world, Kind::Service, service(80)), units(&["one"]));
    assert_eq!(upsert(&mut world, Kind::Service, service(80)), Impact::default());
    let mut labelled = service(80);
    labelled["metadata"]["labels"] = json!({"a": "b"});
    labelled["spec"]["selector"] = json!({"app": "web"});
    assert_eq!(upsert(&mut world, Kind::Service, labelled), Impact::default());
    assert_eq!(upsert(&mut world, Kind::Service, service(81)), units(&["one"]));
    assert_eq!(delete(&mut world, Kind::Service, "apps", "web"), units(&["one"]));
    assert_eq!(delete(&mut world, Kind::Service, "apps", "web"), Impact::default());
}

#[test]
fn endpoints_concern_their_service_only() {
    let mut world = world();
    let slice = |address: &str| {
        json!({"metadata": {"name": "web-1", "namespace": "apps", "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4",
            "ports": [{"name": "", "port": 8080}], "endpoints": [{"addresses": [address]}]})
    };
    let services = Impact { services: [NamespacedName::new("apps", "web")].into(), ..Impact::default() };
    assert_eq!(upsert(&mut world, Kind::EndpointSlice, slice("10.0.0.1")), services);
    assert_eq!(upsert(&mut world, Kind::EndpointSlice, slice("10.0.0.1")), Impact::default());
    assert_eq!(upsert(&mut world, Kind::EndpointSlice, slice("10.0.0.2")), services);
    assert_eq!(delete(&mut world, Kind::EndpointSlice, "apps", "web-1"), services);
}

#[test]
fn labels_of_a_namespace_matter_where_a_selector_sees_a_difference() {
    let mut world = world();
    let namespace = |team: &str, noise: &str| json!({"metadata": {"name": "apps", "labels": {"team": team, "noise": noise}}});
    assert_eq!(upsert(&mut world, Kind::Namespace, namespace("b", "1")), Impact::default());
    assert_eq!(upsert(&mut world, Kind::Namespace, namespace("a", "1")), units(&["one"]));
    assert_eq!(upsert(&mut world, Kind::Namespace, namespace("a", "2")), Impact::default());
    assert_eq!(delete(&mut world, Kind::Namespace, "", "apps"), units(&["one"]));
}

#[test]
fn a_route_concerns_its_old_and_its_new_parents() {
    let mut world = world();
    let id = portico_providers::RouteId { kind: portico_providers::RouteKind::Http, key: NamespacedName::new("apps", "web") };
    let moved = upsert(&mut world, Kind::HttpRoute, route("web", &["two", "theirs"], "web"));
    assert_eq!(moved, Impact { routes: [id].into(), ..units(&["one", "two"]) });
    assert_eq!(upsert(&mut world, Kind::HttpRoute, route("web", &["two"], "web")), units(&["two"]));
    assert_eq!(delete(&mut world, Kind::HttpRoute, "apps", "web"), units(&["two"]));
}

#[test]
fn what_is_of_others_costs_nothing() {
    let mut world = world();
    assert_eq!(upsert(&mut world, Kind::HttpRoute, route("x", &["theirs"], "x")), Impact::default());
    let mut changed = gateway("theirs", "other");
    changed["spec"]["listeners"][0]["port"] = json!(81);
    assert_eq!(upsert(&mut world, Kind::Gateway, changed), Impact::default());
    assert_eq!(upsert(&mut world, Kind::GatewayClass, class("third", "example.com/third")), Impact::default());
    assert_eq!(upsert(&mut world, Kind::ConfigMap, json!({"metadata": {"name": "x", "namespace": "apps"}})), Impact::default());
}

#[test]
fn states_of_a_unit() {
    let mut world = world();
    let unit = UnitId::Gateway(NamespacedName::new("infra", "one"));
    assert_eq!(world.unit_state(&unit), UnitState::Live);
    let marked = |deleting: bool, class: &str| {
        let mut object = gateway("one", class);
        object["metadata"]["finalizers"] = json!([FINALIZER]);
        if deleting {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        object
    };
    for (object, state) in [
        (marked(false, "alb"), UnitState::Live),
        (marked(true, "alb"), UnitState::Deleting),
        (marked(false, "other"), UnitState::Deleting),
        (marked(false, "gone"), UnitState::Held),
        (marked(true, "gone"), UnitState::Deleting),
        (gateway("one", "other"), UnitState::Absent),
        (gateway("one", "gone"), UnitState::Absent),
    ] {
        upsert(&mut world, Kind::Gateway, object.clone());
        assert_eq!(world.unit_state(&unit), state, "{object}");
    }
    // A class that vanishes takes nothing with it.
    upsert(&mut world, Kind::Gateway, marked(false, "alb"));
    let impact = delete(&mut world, Kind::GatewayClass, "", "alb");
    assert!(impact.units.contains(&unit) && impact.routes.is_empty(), "{impact:?}");
    assert_eq!(world.unit_state(&unit), UnitState::Held);
    // A Gateway that goes leaves the entries on its routes to be taken away.
    let impact = delete(&mut world, Kind::Gateway, "infra", "one");
    assert_eq!(impact.routes.len(), 1);
    assert_eq!(world.unit_state(&unit), UnitState::Absent);
}

#[test]
fn a_gateway_that_comes_or_goes_concerns_its_class() {
    let mut world = world();
    assert_eq!(upsert(&mut world, Kind::Gateway, gateway("three", "alb")).classes, ["alb".to_owned()].into());
    let mut changed = gateway("three", "alb");
    changed["spec"]["listeners"][0]["port"] = json!(81);
    assert_eq!(upsert(&mut world, Kind::Gateway, changed).classes, [].into());
    assert_eq!(delete(&mut world, Kind::Gateway, "infra", "three").classes, ["alb".to_owned()].into());
    assert_eq!(world.gateways_of_class("alb").count(), 2);
}
