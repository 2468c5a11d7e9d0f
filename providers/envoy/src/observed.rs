//! What is published: resources by name, with their versions.

use portico_crds::v1alpha1::envoy::Identification;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// Kinds of resources, in the order in which a proxy must have them: what comes later refers to what comes earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResourceKind {
    /// Where requests go (CDS).
    Cluster,
    /// The endpoints of a cluster (EDS).
    ClusterLoadAssignment,
    /// Certificates and authorities (SDS).
    Secret,
    /// What listens (LDS).
    Listener,
    /// The frame of an HTTP listener's routes (RDS): all but the virtual hosts.
    RouteConfiguration,
    /// The routes for one name (VHDS). Proxies that cannot be told of one by itself get it within its route configuration.
    VirtualHost,
}

impl ResourceKind {
    /// All kinds, in order.
    pub const ALL: [Self; 6] =
        [Self::Cluster, Self::ClusterLoadAssignment, Self::Secret, Self::Listener, Self::RouteConfiguration, Self::VirtualHost];

    /// URL of the type in Envoy's API.
    pub const fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::ClusterLoadAssignment => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::RouteConfiguration => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::VirtualHost => "type.googleapis.com/envoy.config.route.v3.VirtualHost",
        }
    }

    /// The kind with this URL.
    pub fn by_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    /// The word for people, and in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::ClusterLoadAssignment => "endpoints",
            Self::Secret => "secret",
            Self::Listener => "listener",
            Self::RouteConfiguration => "routes",
            Self::VirtualHost => "virtual-host",
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Names a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ResourceKey {
    /// Its kind.
    pub kind: ResourceKind,
    /// Its name, unique in its kind and fleet.
    pub name: String,
}

impl ResourceKey {
    /// The route configuration that a virtual host belongs to: Envoy knows it by the name before the last slash. Nothing for other kinds.
    pub fn routes(&self) -> Option<Self> {
        let (routes, _) = self.name.rsplit_once('/').filter(|_| self.kind == ResourceKind::VirtualHost)?;
        Some(Self { kind: ResourceKind::RouteConfiguration, name: routes.to_owned() })
    }
}

/// `listener gateway/infra/web/80`.
impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl From<ResourceKey> for String {
    fn from(key: ResourceKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for ResourceKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (word, name) = text.split_once(' ').ok_or_else(|| format!("{text:?} names no resource"))?;
        let kind = ResourceKind::ALL.into_iter().find(|kind| kind.word() == word);
        Ok(Self { kind: kind.ok_or_else(|| format!("{word:?} is no kind of resource"))?, name: name.to_owned() })
    }
}

/// Version of a resource: the beginning of a SHA-256 of its content, in hexadecimal. Equal contents have equal versions, on every replica and after every restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub String);

impl Version {
    /// The version of some content.
    pub fn of(content: &[u8]) -> Self {
        Self::of_digest(&Sha256::digest(content))
    }

    /// The version of several resources together.
    pub fn of_all(versions: &BTreeMap<ResourceKey, Self>) -> Self {
        let mut digest = Sha256::new();
        for (key, version) in versions {
            for part in [key.kind.word(), " ", &key.name, " ", &version.0, "\n"] {
                digest.update(part.as_bytes());
            }
        }
        Self::of_digest(&digest.finalize())
    }

    fn of_digest(digest: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = digest.iter().take(10).flat_map(|byte| [byte >> 4, byte & 15]);
        Self(digits.filter_map(|digit| DIGITS.get(usize::from(digit))).map(|digit| char::from(*digit)).collect())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is published for one unit, endpoints apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// How the fleet's proxies prove who they are; absent where nothing is published on the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identification: Option<Identification>,
    /// Resources with their versions.
    pub resources: BTreeMap<ResourceKey, Version>,
}
