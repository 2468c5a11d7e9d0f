//! Objects made from a schema.

use serde_json::{Map, Value, json};

/// How an object is made from a schema.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recipe<'a> {
    /// Counts through enum values, flags, and the ends of number ranges.
    pub choice: usize,
    /// The one list that is as long as it may be.
    pub longest: Option<&'a str>,
    /// The one list or map that is as short as it may be.
    pub shortest: Option<&'a str>,
    /// The one field that is absent, where it is not required.
    pub without: Option<&'a str>,
}

/// Lists without a bound are made this long at most.
const LONG: u64 = 20;

/// Makes an object that has every field of the schema, but for what the recipe says. Paths are written `spec.rules[].name`.
pub fn object(schema: &Value, path: &str, recipe: Recipe<'_>) -> Value {
    let number = |field: &str| schema.get(field).and_then(Value::as_u64);
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.get(recipe.choice % values.len()).cloned().unwrap();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => Value::Object(fields(schema, path, recipe)),
        Some("array") => {
            let at_least = number("minItems").unwrap_or(0);
            let length = match path {
                path if recipe.longest == Some(path) => number("maxItems").unwrap_or(LONG),
                path if recipe.shortest == Some(path) => at_least,
                _ => at_least.max(2).min(number("maxItems").unwrap_or(LONG)),
            };
            let item = |index: u64| {
                let choice = recipe.choice + usize::try_from(index).unwrap();
                object(schema.get("items").unwrap(), &format!("{path}[]"), Recipe { choice, ..recipe })
            };
            Value::Array((0..length).map(item).collect())
        }
        Some("string") => match schema.get("format").and_then(Value::as_str) {
            Some("date-time") => json!("2026-11-21T03:04:05Z"),
            Some(format) => panic!("{path} has the unknown format {format}"),
            None => json!(format!("text-{}", recipe.choice)),
        },
        Some("boolean") => json!(recipe.choice.is_multiple_of(2)),
        Some("integer") => {
            let (least, most) = match schema.get("format").and_then(Value::as_str) {
                Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
                _ => (i64::MIN, i64::MAX),
            };
            let bound = |field: &str, other: i64| schema.get(field).and_then(Value::as_i64).unwrap_or(other);
            json!(if recipe.choice.is_multiple_of(2) { bound("minimum", least) } else { bound("maximum", most) })
        }
        other => panic!("{path} has the unknown type {other:?}"),
    }
}

fn fields(schema: &Value, path: &str, recipe: Recipe<'_>) -> Map<String, Value> {
    if let Some(values) = schema.get("additionalProperties") {
        let entries = if recipe.shortest == Some(path) { 0 } else { 2 };
        return (0..entries).map(|index| (format!("example.com/key-{index}"), object(values, &format!("{path}.*"), recipe))).collect();
    }
    let required: Vec<&str> = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut made = Map::new();
    for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = join(path, name);
        if recipe.without != Some(&path) || required.contains(&name.as_str()) {
            made.insert(name.clone(), object(schema, &path, recipe));
        }
    }
    made
}

/// Every path of a schema, with its schema.
pub fn paths<'a>(schema: &'a Value, path: &str, visit: &mut impl FnMut(&str, &'a Value)) {
    if !path.is_empty() {
        visit(path, schema);
    }
    for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        paths(schema, &join(path, name), visit);
    }
    if let Some(items) = schema.get("items") {
        paths(items, &format!("{path}[]"), visit);
    }
    if let Some(values) = schema.get("additionalProperties").filter(|it| it.is_object()) {
        paths(values, &format!("{path}.*"), visit);
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
