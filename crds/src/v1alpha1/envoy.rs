//! The `envoy` branch of a profile: as its author writes it. [`super::EffectiveProfile`] is what comes of it.

use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings for Gateways that a fleet of Envoy proxies serves, which run outside the cluster (or in it) and take their configuration from Portico by xDS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvoyProfile {
    /// The name by which the fleet's proxies announce themselves: `node.cluster` of their bootstrap. Default: portico.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub fleet: Option<String>,
    /// The addresses that the fleet owns, out of which each Gateway gets one of its own: CIDR blocks (`198.51.100.0/24`), ranges (`198.51.100.10-198.51.100.19`) and single
    /// addresses, IPv4 or IPv6. What brings their packets to the proxies (routes, BGP, VRRP, an address of the host) is the platform's business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "addresses")]
    pub addresses: Option<Vec<String>>,
    /// What the proxies' listeners bind. Default: gatewayAddress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind: Option<Bind>,
    /// How proxies prove that they may have the fleet's configuration. Default: node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identification: Option<Identification>,
    /// Where the proxies write their access logs. Default: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<EnvoyAccessLog>,
    /// How long HTTP/2 and gRPC clients may begin further requests on a connection that a proxy is about to end, because its listener changed or went away or the proxy drains:
    /// Envoy's `drain_timeout`. When a proxy begins and ends to drain is up to its command line (`--drain-time-s`). Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub drain_seconds: Option<u32>,
}

impl EnvoyProfile {
    /// The name of the fleet, by default that of [`DEFAULT_FLEET`].
    pub fn fleet_name(&self) -> &str {
        self.fleet.as_deref().unwrap_or(DEFAULT_FLEET)
    }
}

/// The fleet of a profile that names none.
pub const DEFAULT_FLEET: &str = "portico";

/// What the proxies' listeners bind. Default: gatewayAddress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Bind {
    /// The Gateway's own address: many Gateways share the proxies, which must be able to bind it.
    #[default]
    GatewayAddress,
    /// All addresses of the host: for fleets that serve one Gateway, behind an address that the host does not have itself.
    AnyAddress,
}

/// How proxies prove that they may have the fleet's configuration. Default: node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Identification {
    /// Not at all: whoever reaches the port and says the fleet's name gets it, private keys included. For networks in which nobody else can reach the port.
    #[default]
    Node,
    /// By a client certificate whose subject alternative names hold the fleet's name as a DNS name.
    Certificate,
    /// By the token of the ServiceAccount that Portico keeps for each Gateway, in its namespace; the proxy is then given that Gateway alone.
    ServiceAccountToken,
}

/// As it is written in a profile.
impl fmt::Display for Identification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Certificate => "certificate",
            Self::ServiceAccountToken => "serviceAccountToken",
        })
    }
}

/// Where Envoy writes its access log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvoyAccessLog {
    /// File on the proxy's host; `/dev/stdout` for its output.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
    /// Envoy's format string; absent for Envoy's own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub format: Option<String>,
}

fn schema(value: serde_json::Value) -> schemars::Schema {
    value.try_into().unwrap_or_default()
}

fn addresses(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schema(serde_json::json!({
        "type": "array", "nullable": true, "minItems": 1, "maxItems": 64, "x-kubernetes-list-type": "set",
        "items": { "type": "string", "maxLength": 96, "pattern": "^[0-9a-fA-F:.]+(/[0-9]{1,3}|-[0-9a-fA-F:.]+)?$" },
    }))
}
