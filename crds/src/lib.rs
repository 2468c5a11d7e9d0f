//! The only door to Kubernetes and Gateway API types: our CRDs, tolerant decoding, condition types and reasons.
//!
//! * [`gateway`] and [`kubernetes`]: foreign types under short names. No other crate names `gateway_api::` or `k8s_openapi::`.
//! * [`decode()`]: raw JSON to a typed object; what cannot be decoded is cut out and recorded, the rest serves.
//! * [`normal`]: one type per concept for every place in which the generated types repeat it, with the API's defaults filled in.
//! * [`v1alpha1`]: our own kinds, and [`crd_yaml`] prints their definitions.
//! * [`manifest`] and [`defaulting`]: manifests that never saw an API server.
//! * [`condition`]: the vocabulary of statuses.
//! * [`tls_option`]: keys of a listener's `tls.options`.
//!
//! The crate is pure: no client, no async runtime, no clock.

pub mod condition;
pub mod decode;
pub mod defaulting;
pub mod gateway;
pub mod kind;
pub mod kubernetes;
pub mod manifest;
mod name;
pub mod normal;
mod raw;
pub mod tls_option;
pub mod v1alpha1;

pub use decode::{CutIndexes, CutScope, Decoded, Defect, decode};
pub use kind::Kind;
pub use name::{NamespacedName, ObjectRef};
pub use raw::metadata;
pub use v1alpha1::crd_yaml;

/// The value of `GatewayClass.spec.controllerName` of the classes that Portico serves, and of `controllerName` in its status entries.
pub const CONTROLLER_NAME: &str = "portico.dev/gateway-controller";

/// The API group of Gateway API.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// The API group of Portico's own kinds.
pub const PORTICO_GROUP: &str = "portico.dev";
