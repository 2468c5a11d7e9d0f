//! Bindings: which endpoints fill which target set.

use crate::ServiceBackend;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// Ties a Service's endpoints to a target set in a cloud. Comes out of compile; the target loop follows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// Whose endpoints.
    pub source: ServiceBackend,
    /// Which of its addresses.
    pub family: AddressFamily,
    /// Where they go.
    pub sink: TargetSetId,
}

/// Names a target set (an AWS target group, a Google network endpoint group, an Envoy cluster) within its provider: the name that it has, or will have, in the cloud.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TargetSetId(pub String);

impl fmt::Display for TargetSetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AddressFamily {
    /// IPv4.
    #[serde(rename = "IPv4")]
    V4,
    /// IPv6.
    #[serde(rename = "IPv6")]
    V6,
}

/// One address that can take requests, from an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Address of the pod, or of whatever a hand-made slice names.
    pub address: IpAddr,
    /// Port on it.
    pub port: u16,
    /// `conditions.ready`.
    pub ready: bool,
    /// `conditions.serving`.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// Node that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Zone that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// `targetRef`: `Kind/namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<String>,
}

/// What a target set should hold now: the outcome of a binding's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTargets {
    /// The binding.
    pub binding: Binding,
    /// Its endpoints of the right family, whatever their conditions; the provider registers those that are ready.
    pub endpoints: BTreeSet<Endpoint>,
}

impl ServiceTargets {
    /// The addresses and ports that should get requests: those of endpoints that are ready and do not terminate.
    pub fn in_use(&self) -> BTreeSet<(IpAddr, u16)> {
        self.endpoints
            .iter()
            .filter(|endpoint| endpoint.ready && !endpoint.terminating)
            .map(|endpoint| (endpoint.address, endpoint.port))
            .collect()
    }
}

/// What became of a target set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetsReport {
    /// Addresses newly registered.
    pub registered: usize,
    /// Addresses taken out.
    pub deregistered: usize,
    /// Addresses that the set holds now and that should get requests.
    pub held: usize,
    /// Addresses that cannot be registered yet, since their deregistration is still running; the loop comes back for them.
    pub waiting: usize,
    /// Addresses that the cloud does not take, ordered; all others are registered nevertheless.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<RejectedTarget>,
}

/// An address that the cloud does not take as a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RejectedTarget {
    /// Address.
    pub address: IpAddr,
    /// Port on it.
    pub port: u16,
    /// Why, in the cloud's words.
    pub reason: String,
}

/// Health of one target as the cloud sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetHealth {
    /// Address and port.
    pub address: IpAddr,
    /// Port on it.
    pub port: u16,
    /// State.
    pub state: TargetState,
    /// The cloud's own words for the reason, where it is not healthy.
    pub reason: Option<String>,
}

/// State of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TargetState {
    /// Takes requests.
    Healthy,
    /// Not yet checked.
    Initial,
    /// Fails its checks.
    Unhealthy,
    /// Being taken out.
    Draining,
    /// Registered, but nothing sends it requests.
    Unused,
    /// Not known.
    Unavailable,
}
