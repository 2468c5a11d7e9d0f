//! Whom an event concerns, and whom it does not.

use portico_crds::{Kind, NamespacedName};
use portico_providers::UnitId;
use portico_translate::{Event, FINALIZER, Impact, UnitState, World, translate};
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
fn a_fleet_passes_on_when_its_oldest_profile_goes_or_agrees() {
    let mut world = World::new();
    let class = |name: &str| {
        let parameters = json!({"group": "portico.dev", "kind": "LoadBalancerProfile", "namespace": "infra", "name": name});
        json!({"metadata": {"name": name}, "spec": {"controllerName": "portico.dev/gateway-controller", "parametersRef": parameters}})
    };
    let profile = |name: &str, second: u32, identification: &str| {
        let created = format!("2026-01-01T00:00:0{second}Z");
        let envoy = json!({"fleet": "edge", "identification": identification, "addresses": ["198.51.100.1"]});
        json!({"metadata": {"namespace": "infra", "name": name, "creationTimestamp": created}, "spec": {"envoy": envoy}})
    };
    for name in ["old", "young"] {
        upsert(&mut world, Kind::GatewayClass, class(name));
        upsert(&mut world, Kind::Gateway, gateway(name, name));
    }
    upsert(&mut world, Kind::LoadBalancerProfile, profile("young", 2, "node"));
    let refused =
        |world: &World| -> Vec<&str> { ["old", "young"].into_iter().filter(|name| refused_if_live(world, name) == Some(true)).collect() };
    let both = Impact { classes: ["old".to_owned(), "young".to_owned()].into(), ..units(&["old", "young"]) };
    assert_eq!(refused(&world), ["old"], "its profile is not there yet");
    assert_eq!(upsert(&mut world, Kind::LoadBalancerProfile, profile("old", 1, "certificate")), both);
    assert_eq!(refused(&world), ["young"]);
    // It agrees, and then it does not again; other settings of it are nobody else's business.
    let mine = |name: &str| Impact { classes: [name.to_owned()].into(), ..units(&[name]) };
    assert_eq!(upsert(&mut world, Kind::LoadBalancerProfile, profile("young", 2, "certificate")), mine("young"));
    assert_eq!(refused(&world), [""; 0]);
    assert_eq!(upsert(&mut world, Kind::LoadBalancerProfile, profile("old", 1, "node")), both);
    assert_eq!(refused(&world), ["young"]);
    let mut drained = profile("old", 1, "node");
    drained["spec"]["envoy"]["drainSeconds"] = json!(9);
    assert_eq!(upsert(&mut world, Kind::LoadBalancerProfile, drained.clone()), mine("old"));
    // A mistake elsewhere in it does not take the fleet from it.
    drained["spec"]["envoy"]["addresses"] = json!(["198.51.100.9-198.51.100.1"]);
    assert_eq!(upsert(&mut world, Kind::LoadBalancerProfile, drained), mine("old"));
    assert_eq!(refused(&world), ["old", "young"]);
    // It is made anew with what it says: now it is the younger one.
    assert_eq!(upsert(&mut world, Kind::LoadBalancerProfile, profile("old", 3, "node")), both);
    assert_eq!(refused(&world), ["old"]);
    assert_eq!(delete(&mut world, Kind::GatewayClass, "", "young"), both);
    assert_eq!(refused_if_live(&world, "old"), Some(false));
}

/// Whether a unit has no plan; nothing where it is not served.
fn refused_if_live(world: &World, name: &str) -> Option<bool> {
    translate(world, &UnitId::Gateway(NamespacedName::new("infra", name))).map(|translation| translation.plan.is_none())
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
