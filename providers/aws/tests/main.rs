//! Tests of the whole crate: goldens at the seam, and what the diff promises.

// A panic is how a test, and the model of the cloud in it, says no; clippy only knows that of functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod certificates;
mod cloud;
mod diff;
mod gates;
mod goldens;
mod plans;
mod properties;
mod quotas;
mod semantics;
mod transitions;
