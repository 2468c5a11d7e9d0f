//! The JSON 1.1 protocol: `X-Amz-Target: Service_Date.Operation` and a JSON body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Input, Output, Record};
use crate::error::{Answer, ApiError};

/// Decodes a body.
pub fn parse(body: &str) -> Answer<Input> {
    let text = if body.trim().is_empty() { "{}" } else { body };
    let value: Value = serde_json::from_str(text).map_err(|error| ApiError::new("SerializationException", error.to_string()))?;
    Ok(input(&value))
}

/// A value as parameters.
pub fn input(value: &Value) -> Input {
    node("", value)
}

fn node(name: &str, value: &Value) -> Input {
    match value {
        Value::Null => Input::new(),
        Value::Bool(flag) => Input::leaf(name, if *flag { "true" } else { "false" }),
        Value::Number(number) => Input::leaf(name, &number.to_string()),
        Value::String(text) => Input::leaf(name, text),
        Value::Array(items) => {
            Input::sequence(name, items.iter().enumerate().map(|(index, item)| node(&format!("{name}.{}", index + 1), item)).collect())
        }
        Value::Object(members) => {
            let mut input = Input::named(name);
            for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                let path = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                input.put(key, node(&path, value));
            }
            input
        }
    }
}

/// Encodes an answer.
pub fn answer(record: &Record) -> String {
    members(record).to_string()
}

fn members(record: &Record) -> Value {
    Value::Object(record.members.iter().map(|(name, value)| (name.to_string(), encode(value))).collect::<Map<_, _>>())
}

/// A value as JSON.
pub fn encode(value: &Output) -> Value {
    match value {
        Output::Text(text) => Value::String(text.clone()),
        Output::Number(number) => json!(number),
        Output::Flag(flag) => Value::Bool(*flag),
        Output::Blob(bytes) => Value::String(STANDARD.encode(bytes)),
        // As AWS does: seconds with milliseconds.
        Output::Moment(at) => json!(at.as_millisecond() as f64 / 1000.0),
        Output::List(items) => Value::Array(items.iter().map(encode).collect()),
        Output::Record(record) => members(record),
    }
}

/// Encodes an error.
pub fn error(error: &ApiError) -> String {
    json!({ "__type": error.code, "message": error.message }).to_string()
}
