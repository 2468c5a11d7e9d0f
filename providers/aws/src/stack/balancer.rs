//! The load balancer itself.

use portico_providers::{ResourceId, TagSet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// An application load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// `load-balancer`.
    pub id: ResourceId,
    /// Name in AWS.
    pub name: String,
    /// Who reaches it; cannot be changed, so that it is part of the name.
    pub scheme: Scheme,
    /// Address families of its frontend.
    pub ip_address_type: IpAddressType,
    /// Where it lives.
    pub subnets: SubnetSelection,
    /// Its security groups.
    pub security_groups: SecurityGroups,
    /// `ModifyLoadBalancerAttributes`: only the keys that matter; others stay as they are.
    pub attributes: BTreeMap<String, String>,
    /// Tags that users ask for; the marks come on top. A tag that is no longer asked for stays, since nobody knows whose it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: TagSet,
}

/// Who reaches a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// The Internet: public addresses.
    InternetFacing,
    /// The VPC only.
    Internal,
}

impl Scheme {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InternetFacing => "internet-facing",
            Self::Internal => "internal",
        }
    }

    /// The tag by which subnets for this scheme are found: `kubernetes.io/role/elb` or `kubernetes.io/role/internal-elb`.
    pub fn subnet_role(self) -> &'static str {
        match self {
            Self::InternetFacing => "kubernetes.io/role/elb",
            Self::Internal => "kubernetes.io/role/internal-elb",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Address families of a load balancer's frontend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IpAddressType {
    /// IPv4.
    #[default]
    Ipv4,
    /// IPv4 and IPv6.
    Dualstack,
    /// IPv6 for clients, and IPv4 only within the VPC.
    DualstackWithoutPublicIpv4,
}

impl IpAddressType {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Dualstack => "dualstack",
            Self::DualstackWithoutPublicIpv4 => "dualstack-without-public-ipv4",
        }
    }

    /// Whether IPv6 clients and targets are served.
    pub fn has_ipv6(self) -> bool {
        self != Self::Ipv4
    }
}

impl fmt::Display for IpAddressType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which subnets a load balancer lives in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SubnetSelection {
    /// These, by id.
    Ids(Vec<String>),
    /// Those that carry all these tags (`*` stands for any value), one per zone.
    Tags(BTreeMap<String, String>),
    /// Those with the role tag of the scheme (`kubernetes.io/role/elb`, `kubernetes.io/role/internal-elb`), one per zone.
    Discover {
        /// The cluster's name in tags `kubernetes.io/cluster/NAME`: subnets tagged for it are preferred, those tagged for other clusters only are not taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cluster_name: Option<String>,
    },
}

/// Which security groups a load balancer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecurityGroups {
    /// The one of this stack.
    Managed,
    /// The user's, by id. Portico changes nothing in them, nor opens the nodes' groups for them.
    Ids(Vec<String>),
}
