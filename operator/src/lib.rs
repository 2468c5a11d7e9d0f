//! The operator and its commands.
//!
//! * [`run`] watches a cluster; [`plan`] and `demo` read files. All three feed the same World and go through the same words: translate, compile,
//!   observe, diff, execute.
//! * [`keeper`] keeps the world and says whom events concern; [`operator`] puts the parts together: [`queue`] says when, [`engine`] makes a pass over one
//!   load balancer, [`targets`] keeps endpoints registered, [`status`] writes what is to be reported, [`sweep`] looks for what was changed from outside,
//!   [`lease`] says who may.

#[cfg(feature = "count-allocations")]
pub mod allocations;
pub mod bootstrap;
pub mod cli;
pub mod clock;
#[cfg(feature = "embedded-cloud")]
pub mod cloud;
pub mod clouds;
pub mod cluster;
#[cfg(feature = "embedded-cloud")]
pub mod demo;
pub mod engine;
pub mod events;
pub mod fleet;
pub mod gate;
pub mod health;
pub mod install;
pub mod keeper;
pub mod kubernetes;
pub mod lease;
pub mod log;
pub mod manifests;
pub mod metrics;
pub mod news;
pub mod objects;
pub mod operator;
pub mod output;
pub mod plan;
pub mod queue;
pub mod run;
pub mod secrets;
pub mod shutdown;
pub mod snapshot;
pub mod status;
pub mod sweep;
pub mod targets;
pub mod watch;
pub mod witness;
