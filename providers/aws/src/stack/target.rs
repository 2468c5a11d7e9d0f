//! Target groups.

use portico_providers::{AddressFamily, ResourceId, Source, TagSet, TargetSetId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A target group of IP targets. One for each Service port that the load balancer forwards to, however many rules do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetGroup {
    /// `target-group/NAMESPACE/SERVICE:PORT`, with what sets it apart from others of the same port.
    pub id: ResourceId,
    /// Name in AWS; its hash covers all that cannot be changed.
    pub name: TargetSetId,
    /// Protocol towards targets; cannot be changed.
    pub protocol: TargetProtocol,
    /// HTTP version towards targets; cannot be changed.
    pub version: TargetVersion,
    /// Port where a target names none; ours always do. Cannot be changed.
    pub port: u16,
    /// Address family; cannot be changed.
    pub family: TargetFamily,
    /// Health check.
    pub health_check: HealthCheck,
    /// `ModifyTargetGroupAttributes`: only the keys that matter; others stay as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Tags that users ask for; the marks come on top.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: TagSet,
    /// The Service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

/// Protocol towards targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TargetProtocol {
    /// Clear text.
    Http,
    /// TLS; the target's certificate is not checked (AWS).
    Https,
}

impl TargetProtocol {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
        }
    }
}

/// HTTP version towards targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TargetVersion {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// gRPC.
    Grpc,
}

impl TargetVersion {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP1",
            Self::Http2 => "HTTP2",
            Self::Grpc => "GRPC",
        }
    }
}

/// Address family of targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetFamily {
    /// IPv4.
    Ipv4,
    /// IPv6; the load balancer must be dual-stack (AWS).
    Ipv6,
}

impl TargetFamily {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

impl From<AddressFamily> for TargetFamily {
    fn from(family: AddressFamily) -> Self {
        match family {
            AddressFamily::V4 => Self::Ipv4,
            AddressFamily::V6 => Self::Ipv6,
        }
    }
}

/// A target group's health check. Which pods take requests Kubernetes decides, by their readiness; the load balancer's own check finds out whether it reaches them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// Protocol.
    pub protocol: TargetProtocol,
    /// Port; absent for each target's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Path, at most 1024 characters (AWS).
    pub path: String,
    /// Status codes that count as healthy: `200-399`, `200,202` (AWS: within 200–499).
    pub matcher: String,
    /// Seconds between checks: 5–300 (AWS).
    pub interval_seconds: u32,
    /// Seconds that a check may take: 2–120, less than the interval (AWS).
    pub timeout_seconds: u32,
    /// Checks in a row that make an unhealthy target healthy: 2–10 (AWS).
    pub healthy_threshold: u32,
    /// Checks in a row that make a healthy target unhealthy: 2–10 (AWS).
    pub unhealthy_threshold: u32,
}
