//! Tests against the real Gateway API CRDs, and the golden of our own.

// clippy.toml lets tests panic; these lints do not count the helpers of an integration test as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conditions;
mod defaults;
mod module;
mod round_trip;
mod schema;
mod yaml;
