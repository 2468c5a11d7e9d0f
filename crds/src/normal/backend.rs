//! Backends of routes.

use gateway_api as api;

use super::{RouteFilter, filter::to_filters, port};
use crate::{CutScope, Defect, Kind, NamespacedName, ObjectRef, gateway};

/// A backend of a rule, with the API's defaults filled in. It may be invalid in every other way: the object may not exist, and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendRef {
    /// The author's index in the rule's `backendRefs`; 0 for the backend of a filter.
    pub index: usize,
    /// Group; empty (core) by default.
    pub group: String,
    /// Kind; `Service` by default.
    pub kind: String,
    /// Namespace, where the reference names one; otherwise the route's is meant.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Port of the Service.
    pub port: Option<u16>,
    /// Share of the traffic in proportion to the sum of the rule's weights; 1 by default, 0 is no traffic.
    pub weight: u32,
    /// Filters for requests that go to this backend.
    pub filters: Vec<RouteFilter>,
    /// A filter of this backend was cut out: traffic for it must be answered with 500, never sent on without the filter.
    pub incomplete: bool,
}

impl BackendRef {
    /// The kind, if Portico knows it.
    pub fn known_kind(&self) -> Option<Kind> {
        Kind::of(&self.group, &self.kind)
    }

    /// Namespace and name, seen from a route in `route_namespace`.
    pub fn resolve(&self, route_namespace: &str) -> NamespacedName {
        NamespacedName::new(self.namespace.as_deref().unwrap_or(route_namespace), self.name.as_str())
    }

    /// The reference as such, without port and weight.
    pub fn object(&self) -> ObjectRef {
        ObjectRef { group: self.group.clone(), kind: self.kind.clone(), namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

/// The fields that all generated backend references share.
pub(super) struct Parts<'a> {
    pub group: Option<&'a String>,
    pub kind: Option<&'a String>,
    pub namespace: Option<&'a String>,
    pub name: &'a str,
    pub port: Option<i32>,
    pub weight: Option<i32>,
}

impl Parts<'_> {
    /// Fills the defaults in. A port or weight out of range is a defect, and the backend is cut out.
    pub(super) fn backend(self, index: usize, path: &str, defects: &mut Vec<Defect>) -> Option<BackendRef> {
        let weight = u32::try_from(self.weight.unwrap_or(1)).ok();
        let defect = |field: &str, value: Option<i32>, what: &str| Defect {
            path: format!("{path}.{field}"),
            value: value.unwrap_or_default().to_string(),
            message: format!("{} is not a {what}", value.unwrap_or_default()),
            cut: CutScope::BackendRef,
            weight: Some(weight.unwrap_or(1)),
        };
        let Some(weight) = weight else {
            defects.push(defect("weight", self.weight, "weight (0 to 1000000)"));
            return None;
        };
        let valid = self.port.and_then(port);
        if valid.is_none() && self.port.is_some() {
            defects.push(defect("port", self.port, "port (1 to 65535)"));
            return None;
        }
        Some(BackendRef {
            index,
            group: self.group.cloned().unwrap_or_default(),
            kind: self.kind.cloned().unwrap_or_else(|| Kind::Service.name().to_owned()),
            namespace: self.namespace.cloned(),
            name: self.name.to_owned(),
            port: valid,
            weight,
            filters: Vec::new(),
            incomplete: false,
        })
    }
}

/// The shared fields of a generated backend reference; those of filters have no weight.
macro_rules! parts {
    ($from:expr, $weight:expr) => {
        crate::normal::backend::Parts {
            group: $from.group.as_ref(),
            kind: $from.kind.as_ref(),
            namespace: $from.namespace.as_ref(),
            name: &$from.name,
            port: $from.port,
            weight: $weight,
        }
    };
}
pub(super) use parts;

/// A generated backend reference of a rule.
pub(super) trait ToBackend {
    /// Converts the entry `index` of the rule's list, which is at `path`.
    fn to_backend(&self, index: usize, path: &str, defects: &mut Vec<Defect>) -> Option<BackendRef>;
}

macro_rules! with_filters {
    ($($from:ty),+) => {$(
        impl ToBackend for $from {
            fn to_backend(&self, index: usize, path: &str, defects: &mut Vec<Defect>) -> Option<BackendRef> {
                let mut backend = parts!(self, self.weight).backend(index, path, defects)?;
                let before = defects.len();
                backend.filters = to_filters(self.filters.as_deref(), path, defects);
                backend.incomplete = defects.len() > before;
                Some(backend)
            }
        }
    )+};
}

macro_rules! without_filters {
    ($($from:ty),+) => {$(
        impl ToBackend for $from {
            fn to_backend(&self, index: usize, path: &str, defects: &mut Vec<Defect>) -> Option<BackendRef> {
                parts!(self, self.weight).backend(index, path, defects)
            }
        }
    )+};
}

with_filters!(api::experimental::httproutes::HttpRouteRulesBackendRefs, api::experimental::grpcroutes::GrpcRouteRulesBackendRefs);
without_filters!(api::tlsroutes::TlsRouteRulesBackendRefs, gateway::L4BackendRef);
