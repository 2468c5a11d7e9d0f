//! The contract between translation and the clouds.
//!
//! A [`Plan`] says what to serve, in no cloud's words. A [`Provider`] compiles it to a stack of its own cloud objects plus [`Refusal`]s,
//! observes what exists, computes [`Change`]s and executes them. Nothing in this crate does I/O.

mod backend;
mod binding;
mod capability;
mod change;
mod duration;
mod filter;
mod hostname;
mod observed;
mod ownership;
mod plan;
mod provider;
mod refusal;
mod rule;
mod secret;
mod support;
mod trust;
mod unit;

pub use backend::{AppProtocol, Backend, InvalidReason, ServiceBackend, WeightedBackend};
pub use binding::{
    AddressFamily, Binding, Endpoint, RejectedTarget, ServiceTargets, TargetHealth, TargetSetId, TargetState, TargetsReport,
};
pub use capability::Capabilities;
pub use change::{Action, Change, ChangeId, Gate, Source};
pub use filter::{
    Cors, ExtensionRef, ExternalAuth, ExternalAuthProtocol, Filter, HeaderModifier, HeaderValue, PathModifier, RequestMirror,
    RequestRedirect, UrlRewrite,
};
pub use hostname::{Hostname, HostnameError};
pub use observed::Presence;
pub use ownership::{ClusterId, Ownership, ResourceId, TagSet, mark, stable_hash, stable_name};
pub use plan::{
    AddressKind, AddressRequest, Certificate, CertificateReference, ClientValidation, Infrastructure, Ingress, ListenerOwner,
    ListenerParent, ListenerTls, Plan, PlanGateway, PlanListener, PlanPort, PortProtocol, TlsMode,
};
pub use provider::{
    Compiled, Feature, Gathering, Leadership, LoadBalancerAddress, LoadBalancerState, Outcome, Progress, Provider, ProviderError,
};
pub use refusal::{Refusal, RefusalCause, Residue, Subject};
pub use rule::{
    GrpcMatch, HeaderMatch, HttpMatch, PathMatch, PlanRule, QueryParamMatch, Retry, RouteId, RouteKind, RuleId, RuleMatch,
    SessionPersistence, SessionPersistenceKind, StringMatch, Timeouts,
};
pub use secret::{KeyMaterial, Secrets};
pub use support::{Support, claimed};
pub use trust::{Authorities, BackendTlsPolicy, CaBundle, CaBundleSource, SubjectAltName};
pub use unit::UnitId;
