//! Backends: where requests go.

use crate::{AddressFamily, Filter};
use portico_crds::NamespacedName;
use serde::{Deserialize, Serialize};

/// A backend with its share of the rule's requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightedBackend {
    /// Index in `backendRefs`, as its author wrote it.
    pub index: u32,
    /// Share relative to the rule's other backends: 0–1,000,000 (Gateway API).
    pub weight: u32,
    /// Where the requests go.
    pub backend: Backend,
    /// Filters for requests to this backend only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Backend {
    /// The endpoints of a Service's port.
    Service(ServiceBackend),
    /// The Envoy tier behind this load balancer, for what the cloud cannot do itself.
    Tier {
        /// Name of the tier.
        name: String,
    },
    /// A reference that leads nowhere: it keeps its weight, and its share is answered 500. Connections of its share are closed, datagrams dropped.
    Invalid {
        /// Why.
        reason: InvalidReason,
        /// For the person who wrote it.
        message: String,
    },
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceBackend {
    /// The Service.
    pub service: NamespacedName,
    /// `spec.ports[].port`.
    pub port: u16,
    /// `spec.ports[].name`; empty for a single unnamed port. EndpointSlices name their ports by it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub port_name: String,
    /// How to talk to it.
    #[serde(default, skip_serializing_if = "AppProtocol::is_http")]
    pub protocol: AppProtocol,
    /// Address families of the Service, in its order of preference.
    pub families: Vec<AddressFamily>,
    /// The BackendTLSPolicy that asks for TLS and says how the backend's certificate is checked, one of [`crate::Plan::backend_tls_policies`]: no request may go there
    /// without that. It wraps whatever `protocol` says in TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_policy: Option<NamespacedName>,
}

/// How to talk to a backend, from `spec.ports[].appProtocol`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AppProtocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// `kubernetes.io/h2c`: HTTP/2 with prior knowledge, in clear text unless a BackendTLSPolicy asks for TLS. GRPCRoutes imply it.
    H2c,
    /// HTTP/2 over TLS: a GRPCRoute's backend with appProtocol `https`.
    H2,
    /// `kubernetes.io/ws`: WebSocket over HTTP/1.1.
    WebSocket,
    /// `https`: HTTP over TLS.
    Https,
    /// `kubernetes.io/wss`: WebSocket over TLS.
    WebSocketSecure,
    /// Bytes, whatever the Service's appProtocol: TCPRoutes and TLSRoutes.
    Tcp,
    /// Datagrams: UDPRoutes.
    Udp,
}

impl AppProtocol {
    fn is_http(&self) -> bool {
        *self == Self::Http
    }
}

/// Why a backend reference leads nowhere; becomes the reason of the route's ResolvedRefs condition, unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum InvalidReason {
    /// The referenced object does not exist, or has no such port.
    BackendNotFound,
    /// No ReferenceGrant lets the route refer to it.
    RefNotPermitted,
    /// Its group or kind is not supported.
    InvalidKind,
    /// Its appProtocol is not supported.
    UnsupportedProtocol,
    /// It cannot be used as written (no port given, for example).
    UnsupportedValue,
    /// The BackendTLSPolicy of the Service cannot hold, and without it no request may go there. The policy's status says why; the route's reference resolves.
    InvalidBackendTlsPolicy,
}
