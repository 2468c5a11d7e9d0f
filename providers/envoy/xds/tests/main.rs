//! Tests of the whole crate: the protocol with made-up proxies, and with a real Envoy where `PORTICO_ENVOY` says where one is.

// A panic is how a test says no; clippy only knows that of functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod authorization;
mod authorizer;
mod backend;
mod behaviour;
mod client;
mod clients;
mod fleet;
mod goldens;
mod keys;
mod lifecycle;
#[path = "../../tests/plans.rs"]
mod plans;
mod proxy;
mod virtual_hosts;
