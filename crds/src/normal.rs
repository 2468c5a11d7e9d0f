//! The normal form of foreign objects: one type per concept, however often the generated types repeat it.
//!
//! The generated types have one `…ParentRefs`, `…BackendRefs`, `…Filters` per kind and nesting place. [`Normal::normal`] converts them once,
//! at the edge, with the API's defaults filled in; behind it, one function serves all kinds. Values that JSON and the generated types admit
//! but the API does not (a port above 65535, a duration that is none) are cut out as decoding does and recorded in the normal form's
//! `defects`. [`crate::Decoded::normal`] does this for a decoded object and speaks of its author's indexes throughout.

mod backend;
mod duration;
mod filter;
mod grant;
mod listener;
mod matches;
mod reference;
mod route;
mod selector;
mod session;

pub use backend::BackendRef;
pub use duration::parse_duration;
pub use filter::{
    Cors, ExternalAuth, ExternalAuthProtocol, Header, HeaderModifier, PathModifier, RequestMirror, RequestRedirect, RouteFilter, UrlRewrite,
};
pub use grant::{Grant, GrantFrom, GrantTo};
pub use listener::{
    AllowedListeners, AllowedRoutes, CertificateValidation, FromNamespaces, GatewayAddress, GatewaySpec, Listener, ListenerSetSpec,
    ListenerTls, RouteKind, TlsMode,
};
pub use matches::{GrpcMethodMatch, GrpcRouteMatch, HeaderMatch, HttpRouteMatch, PathMatch, QueryParamMatch, StringMatch};
pub use reference::{ParentRef, SecretRef};
pub use route::{Retry, RouteMatches, RouteRule, RouteSpec, Timeouts};
pub use selector::{Requirement, Selector};
pub use session::{CookieLifetime, SessionPersistence, SessionPersistenceType};

use serde_json::Value;

use crate::{CutIndexes, Defect};

/// An object that has a normal form.
pub trait Normal {
    /// The normal form.
    type Spec: NormalSpec;

    /// Converts. Never fails: what has no place in the normal form stands in its defects.
    fn normal(&self) -> Self::Spec;
}

/// A normal form, which can take up what decoding found.
pub trait NormalSpec {
    /// Everything that was cut out of the object, with the author's indexes.
    fn defects(&self) -> &[Defect];

    /// Takes up what was cut while decoding (`defects`, with the author's indexes) and rewrites its own indexes to the author's.
    fn adopt(&mut self, defects: &[Defect], indexes: &CutIndexes);

    /// Takes from the raw object what the generated types do not have: fields of Gateway API v1.7.0 that are newer than they are. To be called after [`Self::adopt`].
    fn complete(&mut self, raw: &Value);
}

/// A port in an `i32` of the generated types; `None` where it is no port.
fn port(value: i32) -> Option<u16> {
    u16::try_from(value).ok().filter(|port| *port > 0)
}

/// The text, if it is neither absent nor empty.
fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

#[cfg(test)]
mod tests;
