//! Tests against the real Gateway API CRDs, and the golden of our own.

mod conditions;
mod defaults;
mod module;
mod round_trip;
mod schema;
mod yaml;
