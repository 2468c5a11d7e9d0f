//! Addresses out of a profile's pool: given once, kept in the status, never given twice.

use crate::world::upsert;
use portico_crds::{Kind, NamespacedName};
use portico_providers::{LoadBalancerState, Outcome, Plan, ProviderError, UnitId};
use portico_translate::{Event, Impact, World, choose_addresses, translate};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

fn unit(name: &str) -> UnitId {
    UnitId::Gateway(NamespacedName::new("infra", name))
}

/// A class on a fleet that owns these addresses.
fn fleet(addresses: &[&str]) -> World {
    let mut world = World::new();
    let parameters = json!({"group": "portico.dev", "kind": "LoadBalancerProfile", "namespace": "infra", "name": "edge"});
    let class =
        json!({"metadata": {"name": "fleet"}, "spec": {"controllerName": "portico.dev/gateway-controller", "parametersRef": parameters}});
    upsert(&mut world, Kind::GatewayClass, class);
    profile(&mut world, addresses);
    world
}

fn profile(world: &mut World, addresses: &[&str]) -> Impact {
    let spec = if addresses.is_empty() { json!({"envoy": {}}) } else { json!({"envoy": {"addresses": addresses}}) };
    let profile = json!({"apiVersion": "portico.dev/v1alpha1", "kind": "LoadBalancerProfile", "metadata": {"namespace": "infra", "name": "edge"}, "spec": spec});
    upsert(world, Kind::LoadBalancerProfile, profile)
}

/// A Gateway that asks for some addresses and has some; `age` is its second of creation.
fn gateway(world: &mut World, name: &str, age: u32, asks: Value, has: &[&str]) -> Impact {
    gateway_of("fleet", world, name, age, asks, has)
}

fn gateway_of(class: &str, world: &mut World, name: &str, age: u32, asks: Value, has: &[&str]) -> Impact {
    let metadata = json!({"namespace": "infra", "name": name, "generation": 1, "creationTimestamp": format!("2026-01-01T00:00:{age:02}Z")});
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let mut spec = json!({"gatewayClassName": class, "listeners": listeners});
    if !asks.is_null() {
        spec["addresses"] = asks;
    }
    let has: Vec<_> = has.iter().map(|value| json!({"type": "IPAddress", "value": value})).collect();
    upsert(world, Kind::Gateway, json!({"metadata": metadata, "spec": spec, "status": {"addresses": has}}))
}

fn plan(world: &World, name: &str) -> Plan {
    translate(world, &unit(name)).unwrap().plan.unwrap()
}

fn assigned(world: &World, name: &str) -> Vec<String> {
    plan(world, name).gateways[0].assigned.iter().map(ToString::to_string).collect()
}

fn chosen(world: &World, name: &str, reserved: &[(&str, &str)]) -> Result<Vec<String>, ProviderError> {
    let reserved: BTreeMap<IpAddr, UnitId> = reserved.iter().map(|(address, holder)| (address.parse().unwrap(), unit(holder))).collect();
    choose_addresses(world, &plan(world, name), &reserved, None).map(|all| all.iter().map(ToString::to_string).collect())
}

/// Reason and message of Programmed before anything was executed.
fn programmed(world: &World, name: &str) -> String {
    let mut report = translate(world, &unit(name)).unwrap().report;
    report.finish(&Outcome { state: LoadBalancerState::Absent, addresses: Vec::new() });
    let conditions = report.gateways.values().next().unwrap().conditions();
    let programmed = conditions.into_iter().find(|it| it.r#type == "Programmed").unwrap();
    format!("{}: {}", programmed.reason, programmed.message)
}

#[test]
fn the_first_free_address_is_chosen_and_what_a_status_says_is_kept() {
    let mut world = fleet(&["198.51.100.10-198.51.100.12"]);
    gateway(&mut world, "a", 1, Value::Null, &["198.51.100.10"]);
    gateway(&mut world, "b", 2, Value::Null, &[]);
    assert_eq!(assigned(&world, "a"), ["198.51.100.10"]);
    assert_eq!(chosen(&world, "a", &[]).unwrap(), ["198.51.100.10"]);
    assert!(assigned(&world, "b").is_empty());
    assert_eq!(chosen(&world, "b", &[]).unwrap(), ["198.51.100.11"]);
    assert_eq!(chosen(&world, "b", &[("198.51.100.11", "c")]).unwrap(), ["198.51.100.12"]);
    assert_eq!(chosen(&world, "b", &[("198.51.100.11", "b")]).unwrap(), ["198.51.100.11"]);
    let none = chosen(&world, "b", &[("198.51.100.11", "c"), ("198.51.100.12", "d")]);
    assert!(none.is_err_and(|error| matches!(error, ProviderError::Limit { .. })));
    let after = |last: &str| choose_addresses(&world, &plan(&world, "b"), &BTreeMap::new(), last.parse().ok()).unwrap()[0].to_string();
    assert_eq!([after("198.51.100.11"), after("198.51.100.12"), after("203.0.113.1")], ["198.51.100.12", "198.51.100.11", "198.51.100.11"]);
    // Chosen a moment ago: it is not chosen anew.
    let before: BTreeMap<IpAddr, UnitId> = [("198.51.100.12".parse().unwrap(), unit("b"))].into();
    let again = choose_addresses(&world, &plan(&world, "b"), &before, "198.51.100.12".parse().ok()).unwrap();
    assert_eq!(again[0].to_string(), "198.51.100.12");
    // Not the pool's any more: another one.
    profile(&mut world, &["198.51.100.20"]);
    assert!(assigned(&world, "a").is_empty());
    assert_eq!(chosen(&world, "a", &[]).unwrap(), ["198.51.100.20"]);
    profile(&mut world, &[]);
    assert!(chosen(&world, "a", &[]).is_err_and(|error| error.to_string().contains("spec.envoy.addresses")));
}

#[test]
fn of_two_that_claim_an_address_the_older_keeps_it_and_both_hear_of_it() {
    let mut world = fleet(&["198.51.100.0/28"]);
    gateway(&mut world, "young", 9, Value::Null, &["198.51.100.1"]);
    assert_eq!(assigned(&world, "young"), ["198.51.100.1"]);
    let impact = gateway(&mut world, "old", 1, Value::Null, &["198.51.100.1"]);
    assert_eq!(impact.units, [unit("old"), unit("young")].into());
    assert!(assigned(&world, "young").is_empty());
    assert_eq!(assigned(&world, "old"), ["198.51.100.1"]);
    let impact = world.apply(Event::Delete { kind: Kind::Gateway, key: NamespacedName::new("infra", "old") });
    assert!(impact.units.contains(&unit("young")));
    assert_eq!(assigned(&world, "young"), ["198.51.100.1"]);
    // A status that says nothing new concerns nobody.
    assert!(gateway(&mut world, "young", 9, Value::Null, &["198.51.100.1"]).is_empty());
}

#[test]
fn what_is_asked_for_is_given_if_it_is_in_the_pool_and_free_and_what_was_given_is_kept_meanwhile() {
    let ip = |value: &str| json!([{"type": "IPAddress", "value": value}]);
    let mut world = fleet(&["198.51.100.0/28"]);
    gateway(&mut world, "other", 1, Value::Null, &["198.51.100.5"]);
    gateway(&mut world, "web", 2, ip("198.51.100.7"), &["198.51.100.2"]);
    assert_eq!(assigned(&world, "web"), ["198.51.100.2"]);
    assert_eq!(chosen(&world, "web", &[]).unwrap(), ["198.51.100.7"]);
    assert!(chosen(&world, "web", &[("198.51.100.7", "other")]).unwrap().is_empty());
    gateway(&mut world, "web", 2, ip("198.51.100.7"), &["198.51.100.7"]);
    assert_eq!(assigned(&world, "web"), ["198.51.100.7"]);
    for (asks, says) in [
        (ip("203.0.113.1"), "spec.addresses[0]: 203.0.113.1 is not among the addresses"),
        (ip("198.51.100.5"), "spec.addresses[0]: 198.51.100.5 belongs to Gateway infra/other"),
        (json!([{"type": "Hostname", "value": "web.example"}]), "spec.addresses[0]: only addresses of type IPAddress"),
        (ip("everywhere"), "spec.addresses[0]: everywhere is no IP address"),
    ] {
        gateway(&mut world, "web", 2, asks, &["198.51.100.7"]);
        assert_eq!(assigned(&world, "web"), ["198.51.100.7"], "what it has is kept");
        assert!(chosen(&world, "web", &[]).unwrap().is_empty());
        let said = programmed(&world, "web");
        assert!(said.starts_with(&format!("AddressNotUsable: {says}")), "{said}");
    }
    gateway(&mut world, "web", 2, json!([{"type": "IPAddress"}]), &[]);
    assert_eq!(chosen(&world, "web", &[]).unwrap(), ["198.51.100.0"]);
}

/// Two profiles may own some of the same addresses, on one fleet or on two: whoever has an address has it everywhere.
#[test]
fn an_address_of_two_pools_is_given_once() {
    for fleet in ["portico", "core"] {
        let mut world = fleet_of_another(fleet, &["198.51.100.11-198.51.100.12"]);
        gateway(&mut world, "a", 1, Value::Null, &["198.51.100.11"]);
        gateway_of("another", &mut world, "b", 2, Value::Null, &[]);
        assert_eq!(chosen(&world, "b", &[]).unwrap(), ["198.51.100.12"]);
        // What was chosen in one pool and no status shows yet is not chosen in the other.
        gateway(&mut world, "c", 3, Value::Null, &[]);
        assert_eq!(chosen(&world, "c", &[("198.51.100.10", "x"), ("198.51.100.12", "b")]).unwrap(), ["198.51.100.13"]);
        let asked = json!([{"type": "IPAddress", "value": "198.51.100.11"}]);
        gateway_of("another", &mut world, "b", 2, asked, &["198.51.100.12"]);
        assert_eq!((chosen(&world, "b", &[]).unwrap(), assigned(&world, "b")), (vec![], vec!["198.51.100.12".to_owned()]));
        assert!(programmed(&world, "b").contains("belongs to Gateway infra/a"));
        // Two statuses that hold it, whoever wrote them: it is the older one's.
        gateway_of("another", &mut world, "b", 2, Value::Null, &["198.51.100.11"]);
        assert_eq!((assigned(&world, "a"), assigned(&world, "b")), (vec!["198.51.100.11".to_owned()], vec![]));
    }
}

/// A second class, whose profile names a fleet and owns some addresses.
fn fleet_of_another(fleet_name: &str, addresses: &[&str]) -> World {
    let mut world = fleet(&["198.51.100.10-198.51.100.13"]);
    let parameters = json!({"group": "portico.dev", "kind": "LoadBalancerProfile", "namespace": "infra", "name": "another"});
    let spec = json!({"controllerName": "portico.dev/gateway-controller", "parametersRef": parameters});
    upsert(&mut world, Kind::GatewayClass, json!({"metadata": {"name": "another"}, "spec": spec}));
    let metadata = json!({"namespace": "infra", "name": "another"});
    let spec = json!({"envoy": {"fleet": fleet_name, "addresses": addresses}});
    upsert(&mut world, Kind::LoadBalancerProfile, json!({"metadata": metadata, "spec": spec}));
    world
}
