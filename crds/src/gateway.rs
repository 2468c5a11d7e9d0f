//! Gateway API's types under short names.
//!
//! HTTPRoute and GRPCRoute come from the `gateway-api` crate's experimental module, which has every field of the standard one and more
//! (`retry` is standard since Gateway API v1.7 and only there). TCPRoute and UDPRoute are ours: the crate knows them as `v1alpha2` only,
//! which the standard channel does not serve. Nothing here carries defaults or validation: those are the API server's, see
//! [`crate::defaulting`].

use gateway_api as api;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

use crate::kubernetes::Condition;

pub use api::{
    backendtlspolicies::{BackendTlsPolicy, BackendTlsPolicySpec},
    experimental::{
        grpcroutes::{GrpcRoute, GrpcRouteSpec},
        httproutes::{HttpRoute, HttpRouteSpec},
    },
    gatewayclasses::{GatewayClass, GatewayClassSpec},
    gateways::{Gateway, GatewaySpec},
    listenersets::{ListenerSet, ListenerSetSpec},
    referencegrants::{ReferenceGrant, ReferenceGrantSpec},
    tlsroutes::{TlsRoute, TlsRouteSpec},
};

/// Defines a route of the transport layer: TCPRoute and UDPRoute differ in nothing but their names.
macro_rules! l4_route {
    ($spec:ident, $kind:tt, $root:tt, $plural:tt) => {
        #[doc = concat!("The spec of a ", $kind, " (`gateway.networking.k8s.io/v1`).")]
        #[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[kube(group = "gateway.networking.k8s.io", version = "v1", kind = $kind, root = $root, plural = $plural)]
        #[kube(namespaced, status = "RouteStatus", schema = "disabled", derive = "PartialEq", derive = "Default")]
        #[serde(rename_all = "camelCase")]
        pub struct $spec {
            /// What the route attaches to.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub parent_refs: Option<Vec<ParentReference>>,
            /// Exactly one rule (Gateway API v1.7.0).
            #[serde(default)]
            pub rules: Vec<L4RouteRule>,
        }
    };
}

l4_route!(TcpRouteSpec, "TCPRoute", "TcpRoute", "tcproutes");
l4_route!(UdpRouteSpec, "UDPRoute", "UdpRoute", "udproutes");

/// A rule of a TCPRoute or UDPRoute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L4RouteRule {
    /// Name of the rule, unique within the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the traffic goes, at most 16 (Gateway API v1.7.0).
    #[serde(default)]
    pub backend_refs: Vec<L4BackendRef>,
}

/// A backend of a TCPRoute or UDPRoute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L4BackendRef {
    /// Group; absent or empty is the core group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; absent is `Service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; absent is the route's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Port of the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// Share of the traffic in proportion to the sum of all weights; absent is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
}

/// The reference of a route to its parent, as it stands in the API (defaults not filled in; see [`crate::normal::ParentRef`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentReference {
    /// Group; absent is `gateway.networking.k8s.io`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; absent is `Gateway`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Namespace; absent is the route's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Name of one section of the parent: a listener's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// Port that the parent's listeners must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}

/// The status of a route of any kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// One entry per parent and controller, at most 32. The list is atomic: whoever writes it must keep the entries of others.
    #[serde(default)]
    pub parents: Vec<RouteParentStatus>,
}

/// What one controller says of a route's attachment to one parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteParentStatus {
    /// The parent, as the route's spec names it, with group and kind set.
    pub parent_ref: ParentReference,
    /// Name of the controller that owns the entry.
    pub controller_name: String,
    /// Conditions, at most 8.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}
