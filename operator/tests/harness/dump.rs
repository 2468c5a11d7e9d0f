//! What is there in the end, without what two ways to the same end may differ in: ids, times, numbers of versions, gaps between priorities.

use std::collections::BTreeMap;

use portico::cluster::MemoryCluster;
use portico_crds::Kind;
use serde_json::{Map, Value, json};

/// What differs from run to run, and what is counted elsewhere.
const PASSING: [&str; 14] = [
    "arn",
    "provided",
    "id",
    "created",
    "active_at",
    "revision",
    "address",
    "listens_at",
    "dns_name",
    "default_rule",
    "owner",
    "released",
    "group",
    "priority",
];

/// Everything in the cloud that somebody could have made.
pub fn cloud(state: &Value) -> Value {
    let kinds = ["load_balancers", "target_groups", "security_groups", "certificates"];
    let mut names = BTreeMap::new();
    for kind in kinds {
        for object in state[kind].as_array().unwrap() {
            let id = object.get("arn").or_else(|| object.get("id")).and_then(Value::as_str).unwrap();
            names.insert(id.to_owned(), format!("{kind}/{}", object.get("name").unwrap_or(&object["domain"]).as_str().unwrap()));
        }
    }
    // The account's own network has other ids in every account.
    for kind in ["vpcs", "subnets"] {
        for object in state[kind].as_array().unwrap() {
            let range = object.get("cidr").or_else(|| object.get("cidrs").and_then(|cidrs| cidrs.get(0))).cloned().unwrap_or_default();
            names.insert(object["id"].as_str().unwrap().to_owned(), format!("{kind}/{range}"));
        }
    }
    let of = |kind: &str| sorted(state[kind].as_array().unwrap().iter().map(|object| clean(object, &names)).collect());
    Value::Object(kinds.into_iter().map(|kind| (kind.to_owned(), of(kind))).collect())
}

fn sorted(mut values: Vec<Value>) -> Value {
    values.sort_by_key(Value::to_string);
    Value::Array(values)
}

fn clean(value: &Value, names: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => json!(names.get(text).unwrap_or(text)),
        Value::Array(items) if items.iter().all(Value::is_string) => sorted(items.iter().map(|item| clean(item, names)).collect()),
        Value::Array(items) => items.iter().map(|item| clean(item, names)).collect(),
        Value::Object(members) => {
            let clean = |(key, value): (&String, &Value)| {
                let value = match (key.as_str(), value) {
                    // By ARN or id: only their order in evaluation means something.
                    ("listeners" | "rules", Value::Object(members)) => {
                        let mut members: Vec<_> = members.values().collect();
                        members.sort_by_key(|member| member.get("priority").and_then(Value::as_u64));
                        let ordered = members.iter().all(|member| member.get("priority").is_some());
                        let members = members.into_iter().map(|member| clean(member, names)).collect();
                        if ordered { Value::Array(members) } else { sorted(members) }
                    }
                    ("targets", Value::Object(members)) => {
                        let registered = members.iter().filter(|(_, target)| target["draining"].is_null());
                        registered.map(|(key, target)| (key.clone(), target["zone"].clone())).collect::<Map<_, _>>().into()
                    }
                    _ => clean(value, names),
                };
                (key.clone(), value)
            };
            members.iter().filter(|(key, _)| !PASSING.contains(&key.as_str())).map(clean).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// Every object of the cluster with its status.
pub fn cluster(cluster: &MemoryCluster) -> Value {
    let mut objects = Map::new();
    for kind in Kind::ALL {
        for key in cluster.keys(kind) {
            if let Some(mut object) = cluster.read(kind, &key) {
                forget(&mut object);
                objects.insert(format!("{kind} {key}"), object);
            }
        }
    }
    Value::Object(objects)
}

fn forget(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| !["resourceVersion", "uid", "lastTransitionTime"].contains(&key.as_str()));
            members.values_mut().for_each(forget);
            // Whose load balancer is ready first reports first.
            if let Some(parents) = members.get_mut("parents").and_then(Value::as_array_mut) {
                parents.sort_by_key(Value::to_string);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        Value::String(text) if text.ends_with(".elb.amazonaws.com") => "a load balancer".clone_into(text),
        _ => {}
    }
}

/// Where two values differ: paths with both values, at most a screenful.
pub fn differences(wanted: &Value, found: &Value) -> String {
    let mut out = Vec::new();
    compare("", wanted, found, &mut out);
    out.truncate(20);
    out.join("\n")
}

fn compare(path: &str, wanted: &Value, found: &Value, out: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                compare(&format!("{path}/{key}"), a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), out);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for index in 0..a.len().max(b.len()) {
                compare(&format!("{path}/{index}"), a.get(index).unwrap_or(&Value::Null), b.get(index).unwrap_or(&Value::Null), out);
            }
        }
        _ if wanted == found => {}
        _ => out.push(format!("{path}: wanted {wanted}, found {found}")),
    }
}
