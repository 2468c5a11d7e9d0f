//! What exists in AWS for one unit, in the words of the stack: what AWS fills in by itself is already written out, and ARNs of target groups are read as names.

use crate::limit;
use crate::stack::{
    Condition, HealthCheck, IngressRule, IpAddressType, ListenerProtocol, RuleAction, Scheme, TargetFamily, TargetProtocol, TargetVersion,
    Transform,
};
use portico_providers::{Presence, TagSet, TargetSetId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What exists for one unit, and what else its stack refers to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// Load balancers by name: the one that the stack wants, and others of this unit.
    pub load_balancers: BTreeMap<String, Presence<LoadBalancer>>,
    /// The unit's own security group.
    pub security_group: Presence<SecurityGroup>,
    /// Groups of nodes and pods: those that the stack selects, and those that let our security group in.
    pub backend_groups: Presence<Vec<BackendGroup>>,
    /// Target groups by name: those that the stack wants, and others of this unit.
    pub target_groups: BTreeMap<TargetSetId, Presence<TargetGroup>>,
    /// Imported certificates of this unit by ARN.
    #[serde(default)]
    pub certificates: BTreeMap<String, Presence<Certificate>>,
    /// Whether there may be others, because ACM's certificates could not be listed.
    #[serde(default)]
    pub certificates_unread: bool,
    /// Subnets that the stack's selection can choose from.
    pub subnets: Presence<Vec<Subnet>>,
    /// VPC that the operator was told to work in; absent to take that of the subnets.
    pub vpc: Option<String>,
    /// Limits of the account.
    pub limits: Limits,
}

/// Limits of the account, as far as it can have them raised and AWS tells them (DescribeAccountLimits); else AWS's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Rules of one load balancer, default rules not counted.
    pub rules_per_load_balancer: u32,
    /// Listeners of one load balancer.
    pub listeners_per_load_balancer: u32,
    /// Target groups of one load balancer.
    pub target_groups_per_load_balancer: u32,
    /// Certificates of one load balancer, default ones not counted.
    pub certificates_per_load_balancer: u32,
    /// Targets of one target group.
    pub targets_per_target_group: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rules_per_load_balancer: limit::RULES_PER_LOAD_BALANCER,
            listeners_per_load_balancer: limit::LISTENERS_PER_LOAD_BALANCER,
            target_groups_per_load_balancer: limit::TARGET_GROUPS_PER_LOAD_BALANCER,
            certificates_per_load_balancer: limit::CERTIFICATES_PER_LOAD_BALANCER,
            targets_per_target_group: limit::TARGETS_PER_TARGET_GROUP,
        }
    }
}

/// A load balancer of this unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// ARN.
    pub arn: String,
    /// DNS name, lower case.
    pub dns_name: String,
    /// State.
    pub state: State,
    /// Scheme.
    pub scheme: Scheme,
    /// Address families.
    pub ip_address_type: IpAddressType,
    /// VPC.
    pub vpc: String,
    /// Subnets, sorted.
    pub subnets: Vec<String>,
    /// Security groups, sorted.
    pub security_groups: Vec<String>,
    /// Attributes, all that AWS tells.
    pub attributes: BTreeMap<String, String>,
    /// Tags.
    pub tags: TagSet,
    /// Listeners by port.
    pub listeners: Presence<BTreeMap<u16, Listener>>,
}

/// Where a load balancer stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Being built.
    Provisioning,
    /// Takes traffic, perhaps with fewer resources than it should have (`active_impaired`).
    Active,
    /// AWS gave up, for this reason.
    Failed(String),
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// ARN.
    pub arn: String,
    /// Protocol; nothing for one that Portico never uses.
    pub protocol: Option<ListenerProtocol>,
    /// Certificates and policy; nothing for a listener without TLS.
    #[serde(default)]
    pub tls: Option<ListenerTls>,
    /// Default action.
    pub default_action: RuleAction,
    /// Rules but the default one, by priority.
    pub rules: Presence<BTreeMap<u32, Rule>>,
}

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// Name of the security policy.
    pub policy: String,
    /// ARN of the default certificate.
    pub default_certificate: String,
    /// ARNs of the others; the default one may be among them.
    pub certificates: BTreeSet<String>,
}

impl ListenerTls {
    /// Whether a certificate is the default one or one of the others.
    pub fn refers_to(&self, arn: &str) -> bool {
        self.default_certificate == arn || self.certificates.contains(arn)
    }
}

/// An imported certificate of this unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Tags; the mark of its SHA-256 among them.
    pub tags: TagSet,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// ARN.
    pub arn: String,
    /// Conditions in canonical order.
    pub conditions: Vec<Condition>,
    /// Transforms, sorted.
    pub transforms: Vec<Transform>,
    /// Action.
    pub action: RuleAction,
}

/// A target group of this unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetGroup {
    /// ARN.
    pub arn: String,
    /// Protocol; nothing for one that Portico never uses.
    pub protocol: Option<TargetProtocol>,
    /// HTTP version; nothing for one that Portico never uses.
    pub version: Option<TargetVersion>,
    /// Port.
    pub port: u16,
    /// Address family.
    pub family: TargetFamily,
    /// VPC.
    pub vpc: String,
    /// Health check; nothing for one that Portico never uses.
    pub health_check: Option<HealthCheck>,
    /// Attributes, all that AWS tells.
    pub attributes: BTreeMap<String, String>,
    /// Tags.
    pub tags: TagSet,
    /// ARNs of load balancers that use it; at most one (AWS).
    pub load_balancers: Vec<String>,
}

/// The unit's security group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroup {
    /// Id.
    pub id: String,
    /// VPC.
    pub vpc: String,
    /// Who may connect, sorted; rules of a kind that Portico never writes are not among them and are left alone.
    pub ingress: Vec<IngressRule>,
    /// Tags.
    pub tags: TagSet,
}

/// A group of nodes or pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendGroup {
    /// Id.
    pub id: String,
    /// VPC.
    pub vpc: String,
    /// Tags.
    pub tags: TagSet,
    /// Protocol and ports (from, to) of rules whose source is our security group.
    pub admits_us: Vec<PortRange>,
}

/// Protocol and ports of a rule in a group of nodes or pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortRange {
    /// `tcp`, `udp` or `-1`, as the API writes it.
    pub protocol: String,
    /// First port; -1 where the protocol has none.
    pub from: i32,
    /// Last port; -1 where the protocol has none.
    pub to: i32,
}

impl PortRange {
    /// What backend access admits: every TCP port.
    pub fn backend_access() -> Self {
        Self { protocol: "tcp".into(), from: 0, to: 65535 }
    }
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
    /// Id.
    pub id: String,
    /// VPC.
    pub vpc: String,
    /// Availability zone.
    pub zone: String,
    /// Addresses that are free.
    pub free_addresses: u32,
    /// Tags.
    pub tags: TagSet,
}

/// Attribute values that AWS gives a new load balancer; others of its attributes are not ours.
pub const LOAD_BALANCER_DEFAULTS: &[(&str, &str)] = &[
    ("access_logs.s3.enabled", "false"),
    ("client_keep_alive.seconds", "3600"),
    ("deletion_protection.enabled", "false"),
    ("idle_timeout.timeout_seconds", "60"),
    ("routing.http.drop_invalid_header_fields.enabled", "false"),
    ("routing.http.preserve_host_header.enabled", "false"),
    ("routing.http.xff_header_processing.mode", "append"),
    ("routing.http2.enabled", "true"),
];

/// Attribute values that AWS gives a new target group; others of its attributes are not ours.
pub const TARGET_GROUP_DEFAULTS: &[(&str, &str)] =
    &[("deregistration_delay.timeout_seconds", "300"), ("load_balancing.algorithm.type", "round_robin")];
