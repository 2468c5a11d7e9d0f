//! What passes tell of: gauges, Events and the log are made of it.

use portico_crds::NamespacedName;
use portico_providers::{Outcome, Refusal, RejectedTarget};

/// What a pass has to tell.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// What the backend cannot serve, from each compile: most of it is known.
    Refused(&'a [Refusal]),
    /// The sweep found the load balancer changed from outside; the pass puts it right.
    Drifted,
    /// The pass ended well.
    Passed(&'a Outcome),
    /// The pass failed.
    Failed {
        /// Why, in words.
        error: &'a str,
        /// The class of the error.
        class: &'static str,
        /// Whether it comes back by itself.
        again: bool,
    },
    /// The targets of a Service did not become ready within so many seconds; traffic is moved to them nevertheless.
    Unready {
        /// The Service.
        service: &'a NamespacedName,
        /// The patience that there was.
        seconds: u64,
    },
    /// The cloud does not take an address of a Service, and did before, or it is new; all others are registered.
    Rejected {
        /// The Service.
        service: &'a NamespacedName,
        /// `Kind/namespace/name` of what has the address, where it is known.
        target: Option<&'a str>,
        /// The address, and why.
        rejected: &'a RejectedTarget,
    },
    /// Everything of the unit is gone.
    Removed,
}
