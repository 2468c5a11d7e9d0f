//! References between objects.

use std::fmt;

use gateway_api as api;
use serde::{Deserialize, Serialize};

use super::port;
use crate::{GATEWAY_GROUP, Kind, NamespacedName, ObjectRef, gateway};

/// What a route attaches to, with the API's defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Group; `gateway.networking.k8s.io` by default.
    pub group: String,
    /// Kind; `Gateway` by default.
    pub kind: String,
    /// Namespace, where the reference names one; otherwise the route's is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Name of one listener of the parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// Port that the parent's listeners must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl ParentRef {
    /// The kind, if Portico knows it.
    pub fn known_kind(&self) -> Option<Kind> {
        Kind::of(&self.group, &self.kind)
    }

    /// Namespace and name of the parent of a route in `route_namespace`.
    pub fn resolve(&self, route_namespace: &str) -> NamespacedName {
        NamespacedName::new(self.namespace.as_deref().unwrap_or(route_namespace), self.name.as_str())
    }

    /// The parent of a route in `route_namespace`, as a reference to an object.
    pub fn object(&self, route_namespace: &str) -> ObjectRef {
        let NamespacedName { namespace, name } = self.resolve(route_namespace);
        ObjectRef { group: self.group.clone(), kind: self.kind.clone(), namespace: Some(namespace), name }
    }
}

impl fmt::Display for ParentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)?;
        if let Some(section) = &self.section_name {
            write!(f, ", section {section}")?;
        }
        if let Some(port) = self.port {
            write!(f, ", port {port}")?;
        }
        Ok(())
    }
}

impl From<&ParentRef> for gateway::ParentReference {
    fn from(parent: &ParentRef) -> Self {
        Self {
            group: Some(parent.group.clone()),
            kind: Some(parent.kind.clone()),
            namespace: parent.namespace.clone(),
            name: parent.name.clone(),
            section_name: parent.section_name.clone(),
            port: parent.port.map(i32::from),
        }
    }
}

/// Converts one of the generator's parent references. Fails with the value of `port` if that is no port.
macro_rules! parent_ref {
    ($($from:ty),+ $(,)?) => {$(
        impl TryFrom<&$from> for ParentRef {
            type Error = i32;

            fn try_from(from: &$from) -> Result<Self, i32> {
                Ok(Self {
                    group: from.group.clone().unwrap_or_else(|| GATEWAY_GROUP.to_owned()),
                    kind: from.kind.clone().unwrap_or_else(|| Kind::Gateway.name().to_owned()),
                    namespace: from.namespace.clone(),
                    name: from.name.clone(),
                    section_name: from.section_name.clone(),
                    port: from.port.map(|value| port(value).ok_or(value)).transpose()?,
                })
            }
        }
    )+};
}

parent_ref!(
    api::experimental::httproutes::HttpRouteParentRefs,
    api::experimental::httproutes::HttpRouteStatusParentsParentRef,
    api::experimental::grpcroutes::GrpcRouteParentRefs,
    api::experimental::grpcroutes::GrpcRouteStatusParentsParentRef,
    api::tlsroutes::TlsRouteParentRefs,
    api::tlsroutes::TlsRouteStatusParentsParentRef,
    gateway::ParentReference,
);

impl From<&api::listenersets::ListenerSetParentRef> for ParentRef {
    fn from(from: &api::listenersets::ListenerSetParentRef) -> Self {
        Self {
            group: from.group.clone().unwrap_or_else(|| GATEWAY_GROUP.to_owned()),
            kind: from.kind.clone().unwrap_or_else(|| Kind::Gateway.name().to_owned()),
            namespace: from.namespace.clone(),
            name: from.name.clone(),
            section_name: None,
            port: None,
        }
    }
}

/// A reference to a certificate: a Secret unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretRef {
    /// Group; empty (core) by default.
    pub group: String,
    /// Kind; `Secret` by default.
    pub kind: String,
    /// Namespace, where the reference names one; otherwise the referring object's is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl SecretRef {
    /// Whether the reference is to a Secret; other kinds are implementation-specific.
    pub fn is_secret(&self) -> bool {
        self.group.is_empty() && self.kind == "Secret"
    }

    /// Namespace and name, seen from an object in `namespace`.
    pub fn resolve(&self, namespace: &str) -> NamespacedName {
        NamespacedName::new(self.namespace.as_deref().unwrap_or(namespace), self.name.as_str())
    }
}

macro_rules! secret_ref {
    ($($from:ty),+ $(,)?) => {$(
        impl From<&$from> for SecretRef {
            fn from(from: &$from) -> Self {
                Self {
                    group: from.group.clone().unwrap_or_default(),
                    kind: from.kind.clone().unwrap_or_else(|| "Secret".to_owned()),
                    namespace: from.namespace.clone(),
                    name: from.name.clone(),
                }
            }
        }
    )+};
}

secret_ref!(
    api::gateways::GatewayListenersTlsCertificateRefs,
    api::gateways::GatewayTlsBackendClientCertificateRef,
    api::listenersets::ListenerSetListenersTlsCertificateRefs,
);
