//! Objects as the API server gives them.

use serde_json::Value;

/// A field of an object's `metadata`. Every event asks for several of each object: this allocates nothing, where `Value::pointer` does so for each step.
pub fn metadata<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object.get("metadata")?.get(field)
}
