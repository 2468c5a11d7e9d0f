//! Security groups: who reaches the load balancer, and how it reaches pods.

use portico_providers::{ResourceId, TagSet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The load balancer's own security group. What leaves it is not restricted (AWS's default for a new group): which pods it reaches is decided by their groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroup {
    /// `security-group`.
    pub id: ResourceId,
    /// Name in AWS, unique in its VPC.
    pub name: String,
    /// Description; cannot be changed later, so that it is not compared.
    pub description: String,
    /// Who may connect, ordered.
    pub ingress: Vec<IngressRule>,
    /// Tags that users ask for; the marks come on top.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: TagSet,
}

/// Lets a range of addresses connect to TCP ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressRule {
    /// Port.
    pub port: u16,
    /// Addresses, IPv4 or IPv6, as CIDR.
    pub source: String,
}

/// One rule in each of the groups of nodes or pods: TCP from the load balancer's security group.
///
/// It admits all ports, since a Service's target ports are known from its endpoints only, and change with every rollout; one rule per load balancer and group also
/// spares the quota (AWS: 60 rules per group). It is found by its source group, which no other load balancer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendAccess {
    /// `backend-access`.
    pub id: ResourceId,
    /// Whose groups.
    pub groups: BackendGroups,
    /// Description of the rule: for people.
    pub description: String,
}

/// Which groups guard the pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum BackendGroups {
    /// These, by id.
    Ids(Vec<String>),
    /// Those in the load balancer's VPC that carry all these tags (`*` stands for any value).
    Tags(BTreeMap<String, String>),
    /// Those in the load balancer's VPC with a tag `kubernetes.io/cluster/NAME`, as EKS and other installers set it.
    Discover {
        /// NAME; where it is not given, it must be the same for all of the VPC's groups.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cluster_name: Option<String>,
    },
}
