//! No field of the standard CRDs is lost or breaks decoding.

use std::collections::BTreeMap;

use portico_crds::{Kind, decode, gateway};
use serde_json::{Value, json};

use crate::{
    module::{Definition, standard_crds},
    schema::{Recipe, object, paths},
};

/// Fields that the types that `crds` offers may lose. None: keep it so.
const LOST: &[(Kind, &str)] = &[];

/// Decodes and encodes an object with the type of its kind; the error is what decoding had to cut out.
fn round_trip(kind: Kind, raw: &Value) -> Result<Value, String> {
    fn through<K: serde::de::DeserializeOwned + serde::Serialize>(raw: &Value) -> Result<Value, String> {
        let decoded = decode::<K>(raw);
        match (decoded.object, decoded.defects.as_slice()) {
            (Some(object), []) => Ok(serde_json::to_value(object).unwrap()),
            (_, defects) => Err(format!("{defects:?}")),
        }
    }
    match kind {
        Kind::GatewayClass => through::<gateway::GatewayClass>(raw),
        Kind::Gateway => through::<gateway::Gateway>(raw),
        Kind::ListenerSet => through::<gateway::ListenerSet>(raw),
        Kind::HttpRoute => through::<gateway::HttpRoute>(raw),
        Kind::GrpcRoute => through::<gateway::GrpcRoute>(raw),
        Kind::TlsRoute => through::<gateway::TlsRoute>(raw),
        Kind::TcpRoute => through::<gateway::TcpRoute>(raw),
        Kind::UdpRoute => through::<gateway::UdpRoute>(raw),
        Kind::ReferenceGrant => through::<gateway::ReferenceGrant>(raw),
        Kind::BackendTlsPolicy => through::<gateway::BackendTlsPolicy>(raw),
        other => panic!("{other} is no kind of Gateway API"),
    }
}

/// The leaves of a value by path; empty lists and objects are leaves.
fn leaves(value: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) if !map.is_empty() => map.iter().for_each(|(name, value)| leaves(value, &format!("{path}.{name}"), found)),
        Value::Array(list) if !list.is_empty() => {
            list.iter().enumerate().for_each(|(index, value)| leaves(value, &format!("{path}[{index}]"), found));
        }
        _ => drop(found.insert(path.trim_start_matches('.').to_owned(), value.clone())),
    }
}

/// `spec.rules[3].name` as `spec.rules[].name`.
fn without_indexes(path: &str) -> String {
    let mut keep = true;
    path.chars()
        .filter(|it| {
            keep |= *it == ']';
            let kept = keep;
            keep &= *it != '[';
            kept
        })
        .collect()
}

/// Sends one object through the types and adds what went wrong.
fn try_one(definition: &Definition, what: &str, recipe: Recipe<'_>, wrong: &mut Vec<String>) -> usize {
    let kind = definition.kind;
    let mut raw = object(&definition.schema, "", recipe);
    raw["apiVersion"] = json!(kind.api_version());
    raw["kind"] = json!(kind.name());
    raw["metadata"] = json!({ "name": "name", "generation": 7, "labels": { "a": "b" }, "creationTimestamp": "2026-11-21T03:04:05Z" });
    let after = match round_trip(kind, &raw) {
        Ok(after) => after,
        Err(defects) => {
            wrong.push(format!("{kind} {what} does not decode: {defects}"));
            return 0;
        }
    };
    let (mut had, mut has) = (BTreeMap::new(), BTreeMap::new());
    leaves(&raw, "", &mut had);
    leaves(&after, "", &mut has);
    for (path, value) in &had {
        if has.get(path) != Some(value) && !LOST.contains(&(kind, &without_indexes(path))) {
            wrong.push(format!("{kind} {what}: {path} was {value} and is {:?}", has.get(path)));
        }
    }
    for path in has.keys().filter(|path| !had.contains_key(*path)) {
        wrong.push(format!("{kind} {what}: {path} was invented"));
    }
    had.len()
}

#[test]
fn no_field_of_the_standard_crds_is_lost_or_breaks_decoding() {
    let mut wrong = Vec::new();
    let (mut objects, mut values) = (0, 0);
    for definition in &standard_crds() {
        let (mut lists, mut optional, mut choices) = (Vec::new(), Vec::new(), 2);
        paths(&definition.schema, "", &mut |path, schema| {
            if path.starts_with("spec") || path.starts_with("status") {
                let is = |kind: &str| schema.get("type").and_then(Value::as_str) == Some(kind);
                if is("array") || schema.get("additionalProperties").is_some() {
                    lists.push(path.to_owned());
                }
                optional.push(path.to_owned());
                choices = choices.max(schema.get("enum").and_then(Value::as_array).map_or(0, Vec::len));
            }
        });
        assert!(!optional.is_empty(), "{} has no fields", definition.kind);
        let mut go = |what: String, recipe: Recipe<'_>| {
            objects += 1;
            values += try_one(definition, &what, recipe, &mut wrong);
        };
        // Entries of lists count on from the choice, and so do lists in lists: twice the number of values reaches them all.
        for choice in 0..2 * choices {
            go(format!("of choice {choice}"), Recipe { choice, ..Recipe::default() });
        }
        for path in &lists {
            go(format!("with the longest {path}"), Recipe { longest: Some(path), ..Recipe::default() });
            go(format!("with the shortest {path}"), Recipe { shortest: Some(path), ..Recipe::default() });
        }
        for path in &optional {
            go(format!("without {path}"), Recipe { without: Some(path), ..Recipe::default() });
        }
    }
    println!("{objects} objects with {values} values went through the types");
    assert!(wrong.is_empty(), "{} deviations:\n{}", wrong.len(), wrong.join("\n"));
}

/// The test above would notice: fields that no schema has are lost, and values that no schema admits do not decode.
#[test]
fn the_comparison_notices() {
    let crds = standard_crds();
    let http = crds.iter().find(|it| it.kind == Kind::HttpRoute).unwrap();
    for (pointer, broken) in [
        ("/properties/spec/properties/invented", json!({ "type": "string" })),
        ("/properties/spec/properties/rules/items/properties/filters/items/properties/type/enum", json!(["Teleport"])),
        ("/properties/spec/properties/rules/items/properties/name/type", json!("integer")),
    ] {
        let mut schema = http.schema.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        schema.pointer_mut(parent).unwrap()[name] = broken;
        let mut wrong = Vec::new();
        try_one(&Definition { kind: http.kind, schema }, "broken", Recipe::default(), &mut wrong);
        assert!(!wrong.is_empty(), "{pointer}");
    }
}
