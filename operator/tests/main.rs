//! The `portico` binary and the operator's engine, from outside: no cluster, no account, loopback only.
//!
//! The modules are `cfg(test)` so that lints know their helpers as tests.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod harness;
