//! From the world to the plan and the report of one unit. Pure and total: nothing that users write makes it fail.

mod address;
mod attach;
mod authority;
mod backend;
mod certificate;
mod class;
mod conflict;
mod defect;
mod filter;
mod gateway;
mod grant;
mod listener;
mod listener_set;
mod matches;
mod policy;
mod precedence;
mod profile;
mod route;
mod rule;
mod shadow;
mod tls;

use crate::World;
use crate::report::Report;
use portico_providers::{Plan, UnitId};

pub use address::choose_addresses;
pub use class::translate_class;
pub use profile::{known_settings, settings};

/// What comes of a unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation {
    /// What to serve. `None` where that cannot be said (the Gateway as a whole is not accepted): whatever exists in the cloud is left as it is.
    pub plan: Option<Plan>,
    /// What to say about every object that was looked at.
    pub report: Report,
}

/// Translates a unit. `None` where it is not [`crate::UnitState::Live`].
pub fn translate(world: &World, unit: &UnitId) -> Option<Translation> {
    gateway::translate(world, unit)
}
