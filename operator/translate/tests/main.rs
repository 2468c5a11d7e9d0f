//! Tests of the crate as others see it.

// Helpers of tests may unwrap as tests do: a panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod addresses;
mod endpoints;
mod goldens;
mod isolation;
mod kinds;
mod properties;
mod report;
mod steps;
mod universe;
mod versions;
mod world;
