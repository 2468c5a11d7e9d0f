//! The addresses behind a binding.

use crate::world::upsert;
use portico_crds::{Kind, NamespacedName};
use portico_providers::{AddressFamily, AppProtocol, Binding, ServiceBackend, TargetSetId};
use portico_translate::{World, endpoints};
use serde_json::{Value, json};

fn slice(name: &str, family: &str, port: Value, endpoints: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "apps", "labels": {"kubernetes.io/service-name": "web"}}, "addressType": family, "ports": [port], "endpoints": endpoints})
}

/// `address:port` with `r`eady, `s`erving, `t`erminating.
fn found(world: &World, port_name: &str, family: AddressFamily) -> Vec<String> {
    let service = NamespacedName::new("apps", "web");
    let source = ServiceBackend {
        service,
        port: 80,
        port_name: port_name.to_owned(),
        protocol: AppProtocol::Http,
        families: vec![family],
        tls_policy: None,
    };
    let targets = endpoints(world, &Binding { source, family, sink: TargetSetId("t".to_owned()) });
    let flag = |set: bool, letter: &'static str| if set { letter } else { "" };
    targets
        .endpoints
        .iter()
        .map(|it| format!("{}:{} {}{}{}", it.address, it.port, flag(it.ready, "r"), flag(it.serving, "s"), flag(it.terminating, "t")))
        .collect()
}

#[test]
fn ports_are_found_by_name_and_may_differ_per_slice() {
    let mut world = World::new();
    upsert(
        &mut world,
        Kind::EndpointSlice,
        slice("a", "IPv4", json!({"name": "http", "port": 8080}), json!([{"addresses": ["10.0.0.1"]}])),
    );
    upsert(
        &mut world,
        Kind::EndpointSlice,
        slice("b", "IPv4", json!({"name": "http", "port": 9090}), json!([{"addresses": ["10.0.0.2"]}])),
    );
    upsert(&mut world, Kind::EndpointSlice, slice("c", "IPv4", json!({"name": "other", "port": 1}), json!([{"addresses": ["10.0.0.3"]}])));
    assert_eq!(found(&world, "http", AddressFamily::V4), ["10.0.0.1:8080 rs", "10.0.0.2:9090 rs"]);
    assert_eq!(found(&world, "", AddressFamily::V4), [""; 0]);
}

#[test]
fn families_are_apart_and_names_are_no_addresses() {
    let mut world = World::new();
    upsert(&mut world, Kind::EndpointSlice, slice("a", "IPv4", json!({"port": 80}), json!([{"addresses": ["10.0.0.1"]}])));
    upsert(&mut world, Kind::EndpointSlice, slice("b", "IPv6", json!({"name": "", "port": 80}), json!([{"addresses": ["fd00::1"]}])));
    upsert(&mut world, Kind::EndpointSlice, slice("c", "FQDN", json!({"port": 80}), json!([{"addresses": ["example.com"]}])));
    assert_eq!(found(&world, "", AddressFamily::V4), ["10.0.0.1:80 rs"]);
    assert_eq!(found(&world, "", AddressFamily::V6), ["fd00::1:80 rs"]);
}

#[test]
fn conditions_default_as_kubernetes_says_and_one_address_counts_once() {
    let mut world = World::new();
    let conditions =
        |ready: Value, serving: Value, terminating: Value| json!({"ready": ready, "serving": serving, "terminating": terminating});
    let null = || Value::Null;
    upsert(
        &mut world,
        Kind::EndpointSlice,
        slice(
            "a",
            "IPv4",
            json!({"port": 80}),
            json!([
                {"addresses": ["10.0.0.1"], "conditions": conditions(json!(false), null(), null())},
                {"addresses": ["10.0.0.2"], "conditions": conditions(json!(false), json!(true), json!(true))},
                {"addresses": ["10.0.0.3"], "conditions": {}},
                {"addresses": ["10.0.0.4"], "conditions": conditions(json!(false), null(), null())},
            ]),
        ),
    );
    upsert(&mut world, Kind::EndpointSlice, slice("b", "IPv4", json!({"port": 80}), json!([{"addresses": ["10.0.0.4"]}])));
    assert_eq!(found(&world, "", AddressFamily::V4), ["10.0.0.1:80 ", "10.0.0.2:80 st", "10.0.0.3:80 rs", "10.0.0.4:80 rs"]);
}
