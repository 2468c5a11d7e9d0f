//! Plans for tests: goldens write only what they are about.

use portico_aws::Account;
use portico_aws::account::Certificates;
use portico_aws::observed::Limits;
use portico_crds::NamespacedName;
use portico_crds::v1alpha1::{AwsSettings, EffectiveProfile};
use portico_providers::{ClusterId, Plan, UnitId};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The cluster of all tests.
pub fn cluster() -> ClusterId {
    ClusterId("0d3adb33-f000-4000-8000-000000000001".into())
}

/// The unit of all tests.
pub fn unit() -> UnitId {
    UnitId::Gateway(NamespacedName::new("infra", "web"))
}

/// A plan from YAML. What a golden leaves out is filled in: the unit, its Gateway, the default profile, the owner of listeners, kind and key of routes, ranks, ports and families
/// of backends.
pub fn plan(yaml: &str) -> Plan {
    let mut value: Value = serde_saphyr::from_str(yaml).unwrap();
    let plan = value.as_object_mut().unwrap();
    plan.remove("limits");
    plan.remove("certificates");
    default(plan, "unit", serde_json::to_value(unit()).unwrap());
    default(plan, "gateways", json!([{ "key": "infra/web" }]));
    let mut settings = serde_json::to_value(AwsSettings::default()).unwrap();
    if let Some(profile) = plan.remove("profile") {
        // A choice replaces the default choice.
        for choice in ["subnets", "securityGroups", "backendSecurityGroups"] {
            if profile.get(choice).is_some() {
                settings[choice] = Value::Null;
            }
        }
        overlay(&mut settings, profile);
    }
    let settings: AwsSettings = serde_json::from_value(settings).unwrap();
    plan.insert("profile".into(), serde_json::to_value(EffectiveProfile::Aws(settings)).unwrap());
    for port in list(plan, "ports") {
        let port = port.as_object_mut().unwrap();
        default(port, "port", json!(80));
        default(port, "protocol", json!("HTTP"));
        for (index, listener) in list(port, "listeners").iter_mut().enumerate() {
            let listener = listener.as_object_mut().unwrap();
            let section = listener.remove("name").unwrap_or_else(|| json!(format!("http-{index}")));
            default(listener, "owner", json!({ "parent": "Gateway", "key": "infra/web", "section": section }));
            for (rank, rule) in list(listener, "rules").iter_mut().enumerate() {
                fill_rule(rule.as_object_mut().unwrap(), rank);
            }
        }
    }
    serde_json::from_value(value).unwrap()
}

/// The account that a golden writes: limits are those of AWS but for what stands under `limits`, ACM holds what stands under `certificates`, and cannot be
/// asked for the reason under `unread`.
pub fn account(yaml: &str) -> Account {
    let value: Value = serde_saphyr::from_str(yaml).unwrap();
    let mut limits = serde_json::to_value(Limits::default()).unwrap();
    if let Some(raised) = value.get("limits") {
        overlay(&mut limits, raised.clone());
    }
    let held = value.get("certificates").map(|held| Arc::new(serde_json::from_value(held.clone()).unwrap()));
    let unread = value.get("unread").map(|unread| serde_json::from_value(unread.clone()).unwrap());
    let certificates = (held.is_some() || unread.is_some()).then(|| Certificates { held: held.unwrap_or_default(), unread });
    Account { limits: serde_json::from_value(limits).unwrap(), certificates, ..Account::default() }
}

fn fill_rule(rule: &mut Map<String, Value>, rank: usize) {
    let kind = if rule.get("grpc").is_some() { "GRPCRoute" } else { "HTTPRoute" };
    let route = rule.remove("route").unwrap_or_else(|| json!("team-a/route"));
    let number = rule.remove("rule").unwrap_or_else(|| json!(rank));
    default(rule, "id", json!({ "route": { "kind": kind, "key": route }, "rule": number, "match": 0 }));
    default(rule, "rank", json!(rank));
    if let Some(grpc) = rule.remove("grpc") {
        rule.insert("matches".into(), json!({ "grpc": grpc }));
    } else {
        let mut http = rule.remove("http").unwrap_or_else(|| json!({}));
        default(http.as_object_mut().unwrap(), "path", json!({ "prefix": "/" }));
        rule.insert("matches".into(), json!({ "http": http }));
    }
    // `backends: [team-a/web:80, 3 x team-a/new:80, invalid]` for short.
    let backends = std::mem::take(list(rule, "backends"));
    if !backends.is_empty() {
        let full = backends.into_iter().enumerate().map(|(index, backend)| full_backend(index, backend)).collect();
        rule.insert("backends".into(), Value::Array(full));
    }
}

fn full_backend(index: usize, backend: Value) -> Value {
    let (text, extra) = match backend {
        Value::String(text) => (text, Map::new()),
        Value::Object(mut fields) => (fields.remove("to").unwrap().as_str().unwrap().to_owned(), fields),
        other => panic!("{other} is no backend"),
    };
    let (weight, name) = text.split_once(" x ").map_or((1, text.as_str()), |(weight, name)| (weight.parse().unwrap(), name));
    let mut service = Map::new();
    let mut full = json!({ "index": index, "weight": weight });
    for (key, value) in extra {
        if key == "filters" { full[key] = value } else { drop(service.insert(key, value)) }
    }
    full["backend"] = if name == "invalid" {
        json!({ "invalid": { "reason": "BackendNotFound", "message": "Service team-a/gone does not exist" } })
    } else {
        let (name, port) = name.split_once(':').unwrap();
        default(&mut service, "service", json!(name));
        default(&mut service, "port", json!(port.parse::<u16>().unwrap()));
        default(&mut service, "families", json!(["IPv4"]));
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

fn overlay(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) if !over.is_empty() => {
            for (key, value) in over {
                overlay(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}
