//! World and translate: Gateway API objects to a Plan and a Report.
//!
//! * [`World`] holds what is watched, with indexes; [`World::apply`] says which units an event can affect ([`Impact`]).
//! * [`translate()`] makes the [`Plan`](portico_providers::Plan) of a unit and the [`Report`] on every object that it touched;
//!   [`translate_class`] reports on a GatewayClass.
//! * [`Report::refuse`] takes up what a provider cannot serve, [`Report::finish`] where the load balancer stands.
//! * [`status::merge`] makes of what is desired the whole new `status` of an object, and keeps what is not ours byte for byte.
//! * [`renew`] says again what was said, where somebody took it away ([`Impact::statuses`]).
//! * [`endpoints()`] are the addresses behind a binding.
//!
//! [`strip_private_key`] and [`strip_schemas`] are for the edge: no private key ever enters the world, and no schema.
//!
//! The crate is pure: no client, no async runtime, no clock, no randomness. The order in which objects come never matters.

mod endpoints;
mod report;
pub mod status;
mod translate;
mod world;

pub use endpoints::endpoints;
pub use report::{
    ClassReport, Condition, GatewayReport, ListenerReport, ListenerSetReport, ParentReport, PolicyReport, Report, RouteReport, Truth,
    policy_cleanup, renew, route_cleanup,
};
pub use translate::{Translation, choose_addresses, known_settings, settings, translate, translate_class};
pub use world::{Event, Impact, UnitState, World, ca_certificates, key_material, strip_private_key, strip_schemas};

/// The finalizer of Gateways that have, or may have, a load balancer.
pub const FINALIZER: &str = "portico.dev/load-balancer";

/// The finalizer of GatewayClasses that have Gateways (Gateway API: `gateway-exists-finalizer.gateway.networking.k8s.io`).
pub const CLASS_FINALIZER: &str = "gateway-exists-finalizer.gateway.networking.k8s.io";
