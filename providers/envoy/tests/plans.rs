//! Plans for tests: goldens write only what they are about.

use portico_crds::NamespacedName;
use portico_crds::v1alpha1::{EffectiveProfile, EnvoySettings};
use portico_providers::{ClusterId, Plan, UnitId};
use serde_json::{Map, Value, json};

/// The cluster of all tests.
pub fn cluster() -> ClusterId {
    ClusterId("0d3adb33-f000-4000-8000-000000000001".into())
}

/// The unit of all tests.
pub fn unit() -> UnitId {
    UnitId::Gateway(NamespacedName::new("infra", "web"))
}

/// A plan from YAML. What a golden leaves out is filled in: the unit, its Gateway with an address, the default profile, the owner of listeners, kind and key of routes, ranks,
/// ports and families of backends.
pub fn plan(yaml: &str) -> Plan {
    let mut value: Value = serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}: {yaml}"));
    let plan = value.as_object_mut().unwrap();
    default(plan, "unit", serde_json::to_value(unit()).unwrap());
    default(plan, "gateways", json!([{ "key": "infra/web", "assigned": ["192.0.2.10"] }]));
    let mut settings = serde_json::to_value(EnvoySettings::default()).unwrap();
    if let Some(profile) = plan.remove("profile") {
        settings.as_object_mut().unwrap().extend(profile.as_object().unwrap().clone());
    }
    let settings: EnvoySettings = serde_json::from_value(settings).unwrap();
    plan.insert("profile".into(), serde_json::to_value(EffectiveProfile::Envoy(settings)).unwrap());
    for port in list(plan, "ports") {
        let port = port.as_object_mut().unwrap();
        default(port, "port", json!(80));
        default(port, "protocol", json!("HTTP"));
        let kind = match port["protocol"].as_str().unwrap() {
            "TLS" => "TLSRoute",
            "TCP" => "TCPRoute",
            "UDP" => "UDPRoute",
            _ => "HTTPRoute",
        };
        for (index, listener) in list(port, "listeners").iter_mut().enumerate() {
            let listener = listener.as_object_mut().unwrap();
            let section = listener.remove("name").unwrap_or_else(|| json!(format!("listener-{index}")));
            default(listener, "owner", json!({ "parent": "Gateway", "key": "infra/web", "section": section }));
            for (rank, rule) in list(listener, "rules").iter_mut().enumerate() {
                fill_rule(rule.as_object_mut().unwrap(), rank, kind);
            }
        }
    }
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}: {yaml}"))
}

fn fill_rule(rule: &mut Map<String, Value>, rank: usize, kind: &str) {
    let kind = if rule.contains_key("grpc") { "GRPCRoute" } else { kind };
    let route = rule.remove("route").unwrap_or_else(|| json!("team-a/route"));
    let number = rule.remove("rule").unwrap_or_else(|| json!(rank));
    default(rule, "id", json!({ "route": { "kind": kind, "key": route }, "rule": number, "match": 0 }));
    default(rule, "rank", json!(rank));
    let matches = match kind {
        "GRPCRoute" => json!({ "grpc": rule.remove("grpc").unwrap() }),
        "HTTPRoute" => {
            let mut http = rule.remove("http").unwrap_or_else(|| json!({}));
            default(http.as_object_mut().unwrap(), "path", json!({ "prefix": "/" }));
            json!({ "http": http })
        }
        _ => json!("connection"),
    };
    rule.insert("matches".into(), matches);
    // `backends: [team-a/web:80, 3 x team-a/new:80, invalid]` for short.
    let backends = std::mem::take(list(rule, "backends"));
    let protocol = match kind {
        "GRPCRoute" => "h2c",
        "TLSRoute" | "TCPRoute" => "tcp",
        "UDPRoute" => "udp",
        _ => "http",
    };
    let full = backends.into_iter().enumerate().map(|(index, backend)| full_backend(index, backend, protocol)).collect();
    rule.insert("backends".into(), Value::Array(full));
    for filter in list(rule, "filters") {
        fill_filter(filter, protocol);
    }
}

fn fill_filter(filter: &mut Value, protocol: &str) {
    for kind in ["requestMirror", "externalAuth"] {
        if let Some(text) = filter.get(kind).and_then(|it| it.get("backend")).and_then(Value::as_str).map(str::to_owned) {
            filter[kind]["backend"] = full_backend(0, Value::String(text), protocol)["backend"].take();
        }
    }
}

fn full_backend(index: usize, backend: Value, protocol: &str) -> Value {
    let (text, extra) = match backend {
        Value::String(text) => (text, Map::new()),
        Value::Object(mut fields) => (fields.remove("to").unwrap().as_str().unwrap().to_owned(), fields),
        other => panic!("{other} is no backend"),
    };
    let (weight, name) = text.split_once(" x ").map_or((1, text.as_str()), |(weight, name)| (weight.parse().unwrap(), name));
    let mut service = Map::new();
    let mut full = json!({ "index": index, "weight": weight });
    for (key, mut value) in extra {
        if key == "filters" {
            value.as_array_mut().unwrap().iter_mut().for_each(|filter| fill_filter(filter, protocol));
            full[key] = value;
        } else {
            service.insert(key, value);
        }
    }
    full["backend"] = if name == "invalid" {
        json!({ "invalid": { "reason": "BackendNotFound", "message": "Service team-a/gone does not exist" } })
    } else {
        let (name, port) = name.split_once(':').unwrap();
        default(&mut service, "service", json!(name));
        default(&mut service, "port", json!(port.parse::<u16>().unwrap()));
        default(&mut service, "families", json!(["IPv4"]));
        default(&mut service, "protocol", json!(protocol));
        json!({ "service": service })
    };
    full
}

fn default(object: &mut Map<String, Value>, key: &str, value: Value) {
    object.entry(key.to_owned()).or_insert(value);
}

fn list<'a>(object: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    object.entry(key.to_owned()).or_insert_with(|| json!([])).as_array_mut().unwrap()
}
