//! Tests of the whole crate: goldens at the seam, and what compile and diff promise.

// A panic is how a test says no; clippy only knows that of functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod goldens;
mod plans;
mod properties;
