//! What to serve, in no cloud's words.

use crate::{BackendTlsPolicy, CaBundle, Hostname, PlanRule, UnitId};
use portico_crds::NamespacedName;
use portico_crds::v1alpha1::EffectiveProfile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// Everything that one load balancer is to serve.
///
/// A plan is a value: equal inputs give equal plans, whatever the order in which objects came. Every field of Gateway API v1.7.0 has its
/// place here, whoever can serve it; what a provider cannot serve it refuses in its compile step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The load balancer.
    pub unit: UnitId,
    /// The Gateways that it serves, ordered by namespace and name; exactly one unless the load balancer is shared.
    pub gateways: Vec<PlanGateway>,
    /// Cloud settings: the class's LoadBalancerProfile with what the Gateway may override.
    pub profile: EffectiveProfile,
    /// What to listen on, ordered by port and protocol. Clouds merge listeners by port, so the plan does too. One number stands here more than once where
    /// datagrams have it besides (UDP), and where HTTPS and TLS share it: these two are told apart by the server name, as the listeners of each are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PlanPort>,
    /// The BackendTLSPolicies that hold for Services to which routes or listeners of these Gateways refer, ordered by namespace and name. Every one that a
    /// [`crate::ServiceBackend`] names is here; a backend whose policy cannot hold is [`crate::Backend::Invalid`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backend_tls_policies: Vec<BackendTlsPolicy>,
}

impl Plan {
    /// All rules with the port and the listener that serve them, in the order of the plan.
    pub fn rules(&self) -> impl Iterator<Item = (&PlanPort, &PlanListener, &PlanRule)> {
        self.ports
            .iter()
            .flat_map(|port| port.listeners.iter().flat_map(move |listener| listener.rules.iter().map(move |rule| (port, listener, rule))))
    }
}

/// What a plan keeps of a Gateway itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanGateway {
    /// Namespace and name.
    pub key: NamespacedName,
    /// `spec.addresses`: what the user asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressRequest>,
    /// The addresses that it was given out of the profile's pool, as its status says; empty where the cloud gives addresses, or none was given yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assigned: Vec<IpAddr>,
    /// `spec.infrastructure` labels and annotations, for everything that is made for this Gateway.
    #[serde(default, skip_serializing_if = "Infrastructure::is_empty")]
    pub infrastructure: Infrastructure,
    /// `spec.tls.backend.clientCertificateRef`: the certificate shown to backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<Certificate>,
}

/// Labels and annotations of `spec.infrastructure`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Infrastructure {
    /// At most 8 (Gateway API).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// At most 16 (Gateway API).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Infrastructure {
    /// Whether the Gateway asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }
}

/// One entry of `spec.addresses`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressRequest {
    /// What kind of address.
    pub kind: AddressKind,
    /// The address; absent to have one of that kind assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `routability` (experimental channel): empty, `Cluster` or `domain/path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routability: Option<String>,
}

/// Type of a Gateway address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AddressKind {
    /// IPv4 or IPv6.
    IpAddress,
    /// A DNS name.
    Hostname,
    /// An implementation's own type, or one that is not known here.
    Other(String),
}

/// What a cloud listens on: one port with one protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanPort {
    /// 1–65535.
    pub port: u16,
    /// How bytes on this port are read first.
    pub protocol: PortProtocol,
    /// The certificate for clients whose server name matches none; chosen by the rule documented in ARCHITECTURE.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_certificate: Option<Certificate>,
    /// `spec.tls.frontend`: validation of client certificates, of HTTPS ports only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_validation: Option<ClientValidation>,
    /// The listeners on this port, the most specific hostname first; no two have the same hostname. A request belongs to the first
    /// listener whose hostname matches, and to no other (listener isolation).
    pub listeners: Vec<PlanListener>,
}

/// Protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PortProtocol {
    /// Clear-text HTTP/1.1.
    Http,
    /// HTTP over TLS that ends here.
    Https,
    /// TLS, ended here or passed through.
    Tls,
    /// Bytes.
    Tcp,
    /// Datagrams.
    Udp,
}

impl fmt::Display for PortProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// One listener of a Gateway or ListenerSet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanListener {
    /// Whose it is.
    pub owner: ListenerOwner,
    /// The names it serves; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Hostname>,
    /// TLS settings of HTTPS and TLS listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// Where requests come from.
    #[serde(default, skip_serializing_if = "Ingress::is_direct")]
    pub ingress: Ingress,
    /// `filters.requests` (experimental channel): applied before any route is chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<crate::Filter>,
    /// What to do with requests, ordered by [`PlanRule::rank`]; the first that matches decides. No match is answered 404 (gRPC: UNIMPLEMENTED); a connection that
    /// none matches is closed, a datagram dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<PlanRule>,
}

/// Which object and which of its listeners.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerOwner {
    /// Gateway or ListenerSet.
    pub parent: ListenerParent,
    /// Its namespace and name.
    pub key: NamespacedName,
    /// `listeners[].name`.
    pub section: String,
}

impl fmt::Display for ListenerOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.parent {
            ListenerParent::Gateway => "Gateway",
            ListenerParent::ListenerSet => "ListenerSet",
        };
        write!(f, "{kind} {} listener {}", self.key, self.section)
    }
}

/// Kinds that hold listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ListenerParent {
    /// gateway.networking.k8s.io Gateway.
    Gateway,
    /// gateway.networking.k8s.io ListenerSet.
    ListenerSet,
}

/// Where a listener's requests come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Ingress {
    /// Clients connect to it.
    #[default]
    Direct,
    /// Another load balancer stands in front.
    Behind {
        /// How many addresses at the end of X-Forwarded-For were written by proxies that are trusted.
        trusted_hops: u32,
        /// Whether connections begin with a PROXY protocol header.
        proxy_protocol: bool,
    },
}

impl Ingress {
    fn is_direct(&self) -> bool {
        *self == Self::Direct
    }
}

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// Ended here or passed through.
    pub mode: TlsMode,
    /// `certificateRefs` that resolved, in the order written, then those that `options` ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// `tls.options`: provider-specific settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// `tls.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsMode {
    /// TLS ends at the load balancer.
    Terminate,
    /// TLS goes on to the backend.
    Passthrough,
}

/// A certificate by reference. The key stays at the edge that uploads it; nothing here holds secret bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Where it is.
    pub reference: CertificateReference,
    /// SHA-256 of the leaf's DER, in hexadecimal; empty where only the cloud knows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// DNS names that it is valid for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// End of validity, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Key type, for example `RSA-2048` or `ECDSA-P256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_type: Option<String>,
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CertificateReference {
    /// A `kubernetes.io/tls` Secret.
    Secret(NamespacedName),
    /// A certificate that the cloud holds, by its own id (an ACM ARN, for example).
    Cloud(String),
    /// The cloud finds one that fits this hostname.
    Discover(Hostname),
}

/// Validation of client certificates on a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientValidation {
    /// Path of the setting in the Gateway: `spec.tls.frontend.default.validation`.
    pub field: String,
    /// Who may have signed them: any of these.
    pub ca_bundles: Vec<CaBundle>,
    /// `AllowInsecureFallback`: connections without a valid certificate are let through.
    pub allow_insecure_fallback: bool,
}
