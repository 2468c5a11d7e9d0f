//! What passes tell of: gauges, Events and the log are made of it.

use portico_providers::{Outcome, Refusal};

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
    /// Everything of the unit is gone.
    Removed,
}
