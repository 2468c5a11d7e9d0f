//! The `portico` binary and the operator's engine, from outside: no cluster, no account, loopback only.
//!
//! The modules are `cfg(test)` so that lints know their helpers as tests.

#[cfg(test)]
mod absence;
#[cfg(test)]
mod apiserver;
#[cfg(test)]
mod bootstrap;
#[cfg(test)]
mod churn;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod cost;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod drift;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod fleets;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod https;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod leadership;
#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod process;
#[cfg(test)]
mod regions;
#[cfg(test)]
mod targets;
#[cfg(test)]
mod weather;
