//! What a route of any kind says wrong is told with its path, and harms no other route of its kind.

use crate::isolation::{complaints, places};
use crate::world::{service, upsert};
use portico_crds::gateway::{GrpcRoute, TcpRoute, TlsRoute, UdpRoute};
use portico_crds::{Defect, Kind, NamespacedName, decode};
use portico_providers::{PlanRule, UnitId};
use portico_translate::{World, status, translate};
use serde_json::{Value, json};

const KINDS: [Kind; 4] = [Kind::GrpcRoute, Kind::TlsRoute, Kind::TcpRoute, Kind::UdpRoute];

/// A Gateway of a class that takes every kind, with a listener for each.
fn world() -> World {
    let mut world = World::new();
    let parameters = json!({"group": "portico.dev", "kind": "LoadBalancerProfile", "namespace": "apps", "name": "envoy"});
    let class =
        json!({"metadata": {"name": "envoy"}, "spec": {"controllerName": "portico.dev/gateway-controller", "parametersRef": parameters}});
    upsert(&mut world, Kind::GatewayClass, class);
    upsert(&mut world, Kind::LoadBalancerProfile, json!({"metadata": {"name": "envoy", "namespace": "apps"}, "spec": {"envoy": {}}}));
    let listeners = json!([
        {"name": "http", "port": 80, "protocol": "HTTP"},
        {"name": "tls", "port": 443, "protocol": "TLS", "tls": {"mode": "Passthrough"}},
        {"name": "tcp", "port": 9000, "protocol": "TCP"},
        {"name": "udp", "port": 9000, "protocol": "UDP"},
    ]);
    let gateway = json!({"metadata": {"name": "web", "namespace": "apps"}, "spec": {"gatewayClassName": "envoy", "listeners": listeners}});
    upsert(&mut world, Kind::Gateway, gateway);
    upsert(&mut world, Kind::Service, service(80));
    let datagrams = json!({"metadata": {"name": "log", "namespace": "apps"}, "spec": {"ports": [{"port": 80, "protocol": "UDP"}]}});
    upsert(&mut world, Kind::Service, datagrams);
    world
}

/// A route in which most fields of its kind are used.
fn route(kind: Kind, name: &str, created: &str) -> Value {
    let service = if kind == Kind::UdpRoute { "log" } else { "web" };
    let mut rule = json!({"name": "r", "backendRefs": [{"name": service, "port": 80, "weight": 2}, {"kind": "Service", "group": "", "name": service, "port": 80}]});
    let mut spec = json!({"parentRefs": [{"name": "web"}]});
    match kind {
        Kind::GrpcRoute => {
            spec["hostnames"] = json!(["a.example.com", format!("{name}.example.com")]);
            rule["matches"] = json!([
                {"method": {"type": "Exact", "service": format!("{name}.A"), "method": "M"}, "headers": [{"type": "Exact", "name": "h", "value": "v"}]},
                {"method": {"type": "RegularExpression", "service": format!("{name}.B.*")}},
            ]);
            rule["filters"] =
                json!([{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "web", "port": 80}, "percent": 10}}]);
            rule["backendRefs"][0]["filters"] =
                json!([{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "x", "value": "y"}]}}]);
            rule["sessionPersistence"] = json!({"type": "Cookie", "absoluteTimeout": "1h", "cookie": {"name": "c", "path": "/"}});
        }
        Kind::TlsRoute => spec["hostnames"] = json!(["*.example.com", format!("{name}.example.com")]),
        _ => {}
    }
    spec["rules"] = json!([rule]);
    json!({"metadata": {"name": name, "namespace": "apps", "generation": 1, "creationTimestamp": created}, "spec": spec})
}

fn defects(kind: Kind, raw: &Value) -> Vec<Defect> {
    match kind {
        Kind::GrpcRoute => decode::<GrpcRoute>(raw).defects,
        Kind::TlsRoute => decode::<TlsRoute>(raw).defects,
        Kind::TcpRoute => decode::<TcpRoute>(raw).defects,
        _ => decode::<UdpRoute>(raw).defects,
    }
}

/// The rules of a route in the plan, without their ranks, and its status.
fn outcome(world: &World, kind: Kind, name: &str) -> (Vec<PlanRule>, Value) {
    let translation = translate(world, &UnitId::Gateway(NamespacedName::new("apps", "web"))).unwrap();
    let plan = translation.plan.as_ref().unwrap();
    let rules = plan.rules().filter(|(_, _, rule)| rule.id.route.kind.as_str() == kind.name() && rule.id.route.key.name == name);
    let rules = rules.map(|(_, _, rule)| PlanRule { rank: 0, ..rule.clone() }).collect();
    let key = NamespacedName::new("apps", name);
    let statuses = translation.report.statuses(world);
    let merged = statuses.get(&(kind, key.clone())).and_then(|it| status::merge(world.raw(kind, &key)?, it, "2026-01-01T00:00:00Z"));
    (rules, merged.unwrap_or_default())
}

#[test]
fn a_wrong_value_anywhere_harms_nobody_else() {
    for kind in KINDS {
        let mut without = world();
        upsert(&mut without, kind, route(kind, "good", "2026-01-01T00:00:00Z"));
        let expected = outcome(&without, kind, "good");
        assert!(!expected.0.is_empty() && complaints(Some(&expected.1)).is_empty(), "{kind}: {}", expected.1);
        let bad = route(kind, "bad", "2026-02-01T00:00:00Z");
        let mut all = Vec::new();
        places(&bad["spec"], "/spec".to_owned(), "spec".to_owned(), &mut all);
        for (pointer, path) in all {
            for wrong in [json!("wrong"), json!(-7), json!(true), json!([]), json!({}), json!([{"wrong": 1}])] {
                let mut object = bad.clone();
                *object.pointer_mut(&pointer).unwrap() = wrong.clone();
                let found = defects(kind, &object);
                let mut world = without.clone();
                upsert(&mut world, kind, object);
                let what = format!("{kind}: {path} = {wrong}");
                assert_eq!(outcome(&world, kind, "good"), expected, "{what}");
                // Without a parent that can be read there is no entry in which it could be told.
                if path == "spec" || path.starts_with("spec.parentRefs") {
                    continue;
                }
                let complaints = complaints(Some(&outcome(&world, kind, "bad").1));
                for defect in found {
                    assert!(complaints.contains(&defect.path), "{what}: {} is not told: {complaints}", defect.path);
                }
            }
        }
    }
}
