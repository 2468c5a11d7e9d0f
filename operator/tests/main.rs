//! The `portico` binary and the operator's engine, from outside: no cluster, no account, loopback only.

mod commands;
mod engine;
mod harness;
