//! Envoy, pure: stack, compile and diff for fleets of Envoy proxies; no I/O.
//!
//! * [`compile()`]: the resources of Envoy's API v3 that serve a plan ([`stack::Stack`]), and what Envoy cannot serve of it.
//! * [`observed::Observed`]: what is published, by name and version.
//! * [`diff()`]: what to publish and to withdraw ([`operation::Operation`]) to get from one to the other; [`source::attribute`] says where that comes from.
//!
//! The types of [`stack`] are Envoy's own messages, as far as Portico uses them: they are serialised as Envoy's documentation writes them (proto3 JSON), and encoded
//! as Envoy reads them.

mod compile;
mod diff;
mod name;
pub mod observed;
pub mod operation;
pub mod re2;
pub mod source;
pub mod stack;
pub mod supported;

pub use compile::compile;
pub use diff::diff;
pub use name::unit as unit_of;
pub use observed::Observed;
pub use operation::Operation;
pub use stack::Stack;
