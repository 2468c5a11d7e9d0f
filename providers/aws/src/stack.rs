//! The stack: which AWS resources one load balancer consists of, and how they refer to one another.
//!
//! A stack is a value without ARNs: resources refer to each other by [`ResourceId`], by port (listeners) or by name (target groups).

mod balancer;
mod certificate;
mod group;
mod listener;
mod rule;
mod target;

pub use balancer::{IpAddressType, LoadBalancer, Scheme, SecurityGroups, SubnetSelection};
pub use certificate::{Certificate, CertificateId};
pub use group::{BackendAccess, BackendGroups, IngressRule, SecurityGroup};
pub use listener::{Listener, ListenerProtocol, ListenerTls};
pub use rule::{Condition, FixedResponse, Forward, ForwardTarget, Patterns, QueryPattern, Redirect, Rule, RuleAction, Transform};
pub use target::{HealthCheck, TargetFamily, TargetGroup, TargetProtocol, TargetVersion};

use portico_providers::{ClusterId, Ownership, ResourceId, TagSet, TargetSetId, UnitId, mark};
use serde::{Deserialize, Serialize};

/// What should exist in AWS for one unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stack {
    /// The cluster that every mark names.
    pub cluster: ClusterId,
    /// The unit that every mark names.
    pub unit: UnitId,
    /// AWS region; absent for the one that the operator runs with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The load balancer; absent for a unit that is to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// The security group of the load balancer; absent where the profile brings its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_group: Option<SecurityGroup>,
    /// Rules that let the load balancer reach pods; absent where the profile brings its own security groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_access: Option<BackendAccess>,
    /// Certificates that are imported, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// Listeners by port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Listener>,
    /// Target groups by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_groups: Vec<TargetGroup>,
}

impl Stack {
    /// The stack of a unit that is to go.
    pub fn empty(cluster: &ClusterId, unit: &UnitId) -> Self {
        Self {
            cluster: cluster.clone(),
            unit: unit.clone(),
            region: None,
            load_balancer: None,
            security_group: None,
            backend_access: None,
            certificates: Vec::new(),
            listeners: Vec::new(),
            target_groups: Vec::new(),
        }
    }

    /// The marks of a resource of this stack.
    pub fn marks(&self, resource: &ResourceId) -> TagSet {
        mark::tags(&self.cluster, &self.unit, resource)
    }

    /// Whether tags say that a resource belongs to this stack's unit.
    pub fn owns(&self, tags: &TagSet) -> bool {
        mark_of(tags) == Some((mark::value(&self.cluster.0).as_str(), mark::value(&self.unit.to_string()).as_str()))
    }

    /// How a resource of this stack is known as ours.
    ///
    /// Load balancer, certificates, security group and target groups carry the marks as tags from the call that makes them. Listeners and rules are ours because their load
    /// balancer is: reading their tags would cost a call for every 20 of them. A rule of the nodes' groups is ours because its source is our security group.
    pub fn ownership(&self, resource: &ResourceId) -> Ownership {
        match resource.0.split('/').next() {
            Some("listener") => Ownership::Parent(ResourceId("load-balancer".into())),
            Some("rule") => Ownership::Parent(ResourceId(format!("listener/{}", resource.0.split('/').nth(1).unwrap_or_default()))),
            Some("backend-access") => Ownership::Parent(ResourceId("security-group".into())),
            _ => Ownership::Tags(self.marks(resource)),
        }
    }

    /// A target group by name.
    pub fn target_group(&self, name: &TargetSetId) -> Option<&TargetGroup> {
        self.target_groups.iter().find(|group| group.name == *name)
    }

    /// Rules of all listeners.
    pub fn rule_count(&self) -> usize {
        self.listeners.iter().map(|listener| listener.rules.len()).sum()
    }
}

/// Cluster and unit that tags name, if they carry our marks at all.
pub fn mark_of(tags: &TagSet) -> Option<(&str, &str)> {
    Some((tags.get(mark::CLUSTER)?.as_str(), tags.get(mark::UNIT)?.as_str()))
}
