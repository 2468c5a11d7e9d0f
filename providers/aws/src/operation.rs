//! Operations: one variant for each call to AWS, with all that it needs but the ARNs of what the same run creates.

use crate::stack::{
    CertificateId, Condition, HealthCheck, IngressRule, IpAddressType, ListenerProtocol, ListenerTls, RuleAction, Scheme, TargetGroup,
    Transform,
};
use portico_crds::NamespacedName;
use portico_providers::{ResourceId, TagSet, TargetSetId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// One call to AWS. Load balancers and target groups are named by name, listeners by port, rules by ARN (they have nothing else, and every rule that is named
/// here was there before).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Operation {
    /// EC2 CreateSecurityGroup.
    CreateSecurityGroup {
        /// Name.
        name: String,
        /// Description.
        description: String,
        /// VPC.
        vpc: String,
        /// Tags, marks included.
        tags: TagSet,
    },
    /// EC2 AuthorizeSecurityGroupIngress on the unit's own group.
    AuthorizeIngress {
        /// Rules that are added.
        rules: Vec<IngressRule>,
    },
    /// EC2 RevokeSecurityGroupIngress on the unit's own group.
    RevokeIngress {
        /// Rules that are taken away.
        rules: Vec<IngressRule>,
    },
    /// EC2 AuthorizeSecurityGroupIngress on a group of nodes or pods, with the unit's own group as the source.
    AuthorizeBackend {
        /// Whose rule.
        group: String,
        /// Description of the rule.
        description: String,
    },
    /// EC2 RevokeSecurityGroupIngress on a group of nodes or pods, of rules whose source is the unit's own group.
    RevokeBackend {
        /// Whose rules.
        group: String,
        /// Rules.
        ranges: Vec<crate::observed::PortRange>,
    },
    /// EC2 CreateTags on the unit's own group.
    TagSecurityGroup {
        /// Tags that are missing or different.
        tags: TagSet,
    },
    /// EC2 DeleteSecurityGroup.
    DeleteSecurityGroup {
        /// Id.
        id: String,
    },
    /// CreateTargetGroup.
    CreateTargetGroup {
        /// All of it.
        target_group: Box<TargetGroup>,
        /// VPC.
        vpc: String,
        /// Tags, marks included.
        tags: TagSet,
    },
    /// ModifyTargetGroup.
    ModifyTargetGroup {
        /// Which.
        target_group: TargetSetId,
        /// New health check.
        health_check: HealthCheck,
    },
    /// ModifyTargetGroupAttributes.
    ModifyTargetGroupAttributes {
        /// Which.
        target_group: TargetSetId,
        /// Attributes that differ.
        attributes: BTreeMap<String, String>,
    },
    /// AddTags on a target group.
    TagTargetGroup {
        /// Which.
        target_group: TargetSetId,
        /// Tags that are missing or different.
        tags: TagSet,
    },
    /// DeleteTargetGroup.
    DeleteTargetGroup {
        /// Which.
        target_group: TargetSetId,
    },
    /// ACM ImportCertificate, of a new one.
    ImportCertificate {
        /// Which, within the stack.
        certificate: ResourceId,
        /// Where it comes from.
        secret: NamespacedName,
        /// What the Secret must hold: SHA-256 of the leaf.
        sha256: String,
        /// Tags, marks included.
        tags: TagSet,
    },
    /// ACM ImportCertificate, in the place of one that is there: its listeners serve the new one from then on.
    ReimportCertificate {
        /// Which.
        arn: String,
        /// Where it comes from.
        secret: NamespacedName,
        /// What the Secret must hold: SHA-256 of the leaf.
        sha256: String,
    },
    /// ACM AddTagsToCertificate.
    TagCertificate {
        /// Which.
        arn: String,
        /// Tags that are missing or different.
        tags: TagSet,
    },
    /// ACM DeleteCertificate.
    DeleteCertificate {
        /// Which.
        arn: String,
    },
    /// CreateLoadBalancer.
    CreateLoadBalancer {
        /// Name.
        name: String,
        /// Scheme.
        scheme: Scheme,
        /// Address families.
        ip_address_type: IpAddressType,
        /// Subnets.
        subnets: Vec<String>,
        /// Security groups by id; empty for the unit's own group.
        security_groups: Vec<String>,
        /// Tags, marks included.
        tags: TagSet,
    },
    /// ModifyLoadBalancerAttributes.
    ModifyLoadBalancerAttributes {
        /// Which.
        load_balancer: String,
        /// Attributes that differ.
        attributes: BTreeMap<String, String>,
    },
    /// SetIpAddressType.
    SetIpAddressType {
        /// Which.
        load_balancer: String,
        /// Address families.
        ip_address_type: IpAddressType,
    },
    /// SetSubnets.
    SetSubnets {
        /// Which.
        load_balancer: String,
        /// All of them.
        subnets: Vec<String>,
    },
    /// SetSecurityGroups.
    SetSecurityGroups {
        /// Which.
        load_balancer: String,
        /// All of them, by id; empty for the unit's own group.
        security_groups: Vec<String>,
    },
    /// AddTags on a load balancer.
    TagLoadBalancer {
        /// Which.
        load_balancer: String,
        /// Tags that are missing or different.
        tags: TagSet,
    },
    /// DeleteLoadBalancer, with its listeners and rules.
    DeleteLoadBalancer {
        /// Which.
        load_balancer: String,
    },
    /// CreateListener.
    CreateListener {
        /// On which load balancer.
        load_balancer: String,
        /// Port.
        port: u16,
        /// Protocol.
        protocol: ListenerProtocol,
        /// Policy and default certificate of an HTTPS listener; the others are added by calls of their own (AWS).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tls: Option<ListenerTls>,
        /// Default action.
        default_action: RuleAction,
        /// Tags, marks included.
        tags: TagSet,
    },
    /// ModifyListener.
    ModifyListener {
        /// On which load balancer.
        load_balancer: String,
        /// Port.
        port: u16,
        /// Protocol.
        protocol: ListenerProtocol,
        /// Policy and default certificate of an HTTPS listener.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tls: Option<ListenerTls>,
        /// Default action.
        default_action: RuleAction,
    },
    /// AddTags on a listener.
    TagListener {
        /// On which load balancer.
        load_balancer: String,
        /// Port.
        port: u16,
        /// Tags that the load balancer is missing or has different.
        tags: TagSet,
    },
    /// AddListenerCertificates.
    AddListenerCertificate {
        /// On which load balancer.
        load_balancer: String,
        /// On which listener.
        port: u16,
        /// Which.
        certificate: CertificateId,
    },
    /// RemoveListenerCertificates.
    RemoveListenerCertificate {
        /// On which load balancer.
        load_balancer: String,
        /// On which listener.
        port: u16,
        /// ARN of which.
        arn: String,
    },
    /// DeleteListener, with its rules.
    DeleteListener {
        /// On which load balancer.
        load_balancer: String,
        /// Port.
        port: u16,
    },
    /// CreateRule.
    CreateRule {
        /// On which load balancer.
        load_balancer: String,
        /// On which listener.
        port: u16,
        /// 1–50000, free when the call is made.
        priority: u32,
        /// Conditions.
        conditions: Vec<Condition>,
        /// Transforms.
        transforms: Vec<Transform>,
        /// Action.
        action: RuleAction,
    },
    /// ModifyRule: transforms and action, and conditions where the rule goes on doing the same for other requests.
    ModifyRule {
        /// On which load balancer.
        load_balancer: String,
        /// On which listener.
        port: u16,
        /// Which.
        arn: String,
        /// New conditions; nothing to leave them as they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conditions: Option<Vec<Condition>>,
        /// Transforms; empty to have none.
        transforms: Vec<Transform>,
        /// Action.
        action: RuleAction,
    },
    /// SetRulePriorities.
    SetRulePriorities {
        /// On which load balancer.
        load_balancer: String,
        /// On which listener.
        port: u16,
        /// New priorities by rule ARN.
        priorities: BTreeMap<String, u32>,
    },
    /// DeleteRule.
    DeleteRule {
        /// On which load balancer.
        load_balancer: String,
        /// On which listener.
        port: u16,
        /// Which.
        arn: String,
    },
}

impl Operation {
    /// The call's name in AWS's API.
    pub fn call(&self) -> &'static str {
        match self {
            Self::CreateSecurityGroup { .. } => "CreateSecurityGroup",
            Self::AuthorizeIngress { .. } | Self::AuthorizeBackend { .. } => "AuthorizeSecurityGroupIngress",
            Self::RevokeIngress { .. } | Self::RevokeBackend { .. } => "RevokeSecurityGroupIngress",
            Self::TagSecurityGroup { .. } => "CreateTags",
            Self::DeleteSecurityGroup { .. } => "DeleteSecurityGroup",
            Self::CreateTargetGroup { .. } => "CreateTargetGroup",
            Self::ModifyTargetGroup { .. } => "ModifyTargetGroup",
            Self::ModifyTargetGroupAttributes { .. } => "ModifyTargetGroupAttributes",
            Self::TagTargetGroup { .. } | Self::TagLoadBalancer { .. } | Self::TagListener { .. } => "AddTags",
            Self::DeleteTargetGroup { .. } => "DeleteTargetGroup",
            Self::ImportCertificate { .. } | Self::ReimportCertificate { .. } => "ImportCertificate",
            Self::TagCertificate { .. } => "AddTagsToCertificate",
            Self::DeleteCertificate { .. } => "DeleteCertificate",
            Self::CreateLoadBalancer { .. } => "CreateLoadBalancer",
            Self::ModifyLoadBalancerAttributes { .. } => "ModifyLoadBalancerAttributes",
            Self::SetIpAddressType { .. } => "SetIpAddressType",
            Self::SetSubnets { .. } => "SetSubnets",
            Self::SetSecurityGroups { .. } => "SetSecurityGroups",
            Self::DeleteLoadBalancer { .. } => "DeleteLoadBalancer",
            Self::CreateListener { .. } => "CreateListener",
            Self::ModifyListener { .. } => "ModifyListener",
            Self::AddListenerCertificate { .. } => "AddListenerCertificates",
            Self::RemoveListenerCertificate { .. } => "RemoveListenerCertificates",
            Self::DeleteListener { .. } => "DeleteListener",
            Self::CreateRule { .. } => "CreateRule",
            Self::ModifyRule { .. } => "ModifyRule",
            Self::SetRulePriorities { .. } => "SetRulePriorities",
            Self::DeleteRule { .. } => "DeleteRule",
        }
    }
}

/// As a person would say it.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateSecurityGroup { name, vpc, .. } => write!(f, "create security group {name} in {vpc}"),
            Self::AuthorizeIngress { rules } => write!(f, "let {} reach the load balancer", ingress(rules)),
            Self::RevokeIngress { rules } => write!(f, "no longer let {} reach the load balancer", ingress(rules)),
            Self::AuthorizeBackend { group, .. } => write!(f, "let the load balancer reach pods behind security group {group}"),
            Self::RevokeBackend { group, .. } => write!(f, "no longer let the load balancer reach pods behind security group {group}"),
            Self::TagSecurityGroup { tags } => write!(f, "tag the security group with {}", pairs(tags)),
            Self::DeleteSecurityGroup { id } => write!(f, "delete security group {id}"),
            Self::CreateTargetGroup { target_group: group, .. } => {
                write!(
                    f,
                    "create target group {} ({} {} {}, port {})",
                    group.name,
                    group.family.as_str(),
                    group.protocol.as_str(),
                    group.version.as_str(),
                    group.port
                )
            }
            Self::ModifyTargetGroup { target_group, health_check } => {
                write!(f, "check the targets of {target_group} by {} every {} s", health_check.path, health_check.interval_seconds)
            }
            Self::ModifyTargetGroupAttributes { target_group, attributes } => {
                write!(f, "set {} on target group {target_group}", pairs(attributes))
            }
            Self::TagTargetGroup { target_group, tags } => write!(f, "tag target group {target_group} with {}", pairs(tags)),
            Self::DeleteTargetGroup { target_group } => write!(f, "delete target group {target_group}"),
            Self::ImportCertificate { secret, .. } => write!(f, "import the certificate of Secret {secret}"),
            Self::ReimportCertificate { arn, secret, .. } => write!(f, "import the certificate of Secret {secret} anew as {}", short(arn)),
            Self::TagCertificate { arn, tags } => write!(f, "tag certificate {} with {}", short(arn), pairs(tags)),
            Self::DeleteCertificate { arn } => write!(f, "delete certificate {}", short(arn)),
            Self::CreateLoadBalancer { name, scheme, ip_address_type, subnets, .. } => {
                write!(f, "create {scheme} application load balancer {name} ({ip_address_type}) in {}", subnets.join(", "))
            }
            Self::ModifyLoadBalancerAttributes { load_balancer, attributes } => {
                write!(f, "set {} on load balancer {load_balancer}", pairs(attributes))
            }
            Self::SetIpAddressType { load_balancer, ip_address_type } => write!(f, "make load balancer {load_balancer} {ip_address_type}"),
            Self::SetSubnets { load_balancer, subnets } => write!(f, "move load balancer {load_balancer} to {}", subnets.join(", ")),
            Self::SetSecurityGroups { load_balancer, security_groups } if security_groups.is_empty() => {
                write!(f, "give load balancer {load_balancer} its own security group")
            }
            Self::SetSecurityGroups { load_balancer, security_groups } => {
                write!(f, "give load balancer {load_balancer} the security groups {}", security_groups.join(", "))
            }
            Self::TagLoadBalancer { load_balancer, tags } => write!(f, "tag load balancer {load_balancer} with {}", pairs(tags)),
            Self::DeleteLoadBalancer { load_balancer } => write!(f, "delete load balancer {load_balancer} with its listeners and rules"),
            Self::CreateListener { port, protocol, tls, .. } => write!(f, "listen on port {port} ({protocol}){}", secured(tls.as_ref())),
            Self::ModifyListener { port, protocol, default_action, tls, .. } => {
                write!(f, "make the listener on port {port} speak {protocol}{}, otherwise {default_action}", secured(tls.as_ref()))
            }
            Self::TagListener { port, tags, .. } => write!(f, "tag the listener on port {port} with {}", pairs(tags)),
            Self::AddListenerCertificate { port, certificate, .. } => write!(f, "on port {port}, serve {}", named(certificate)),
            Self::RemoveListenerCertificate { port, arn, .. } => write!(f, "on port {port}, no longer serve certificate {}", short(arn)),
            Self::DeleteListener { port, .. } => write!(f, "stop listening on port {port}"),
            Self::CreateRule { port, priority, conditions, transforms, action, .. } => {
                write!(f, "on port {port} at priority {priority}, {}: {action}{}", when(conditions), with(transforms))
            }
            Self::ModifyRule { port, conditions: Some(conditions), transforms, action, .. } => {
                write!(f, "on port {port}, change a rule to {}: {action}{}", when(conditions), with(transforms))
            }
            Self::ModifyRule { port, transforms, action, .. } => write!(f, "on port {port}, change a rule to {action}{}", with(transforms)),
            Self::SetRulePriorities { port, priorities, .. } => write!(f, "on port {port}, give {} rules new priorities", priorities.len()),
            Self::DeleteRule { port, arn, .. } => write!(f, "on port {port}, delete rule {}", short(arn)),
        }
    }
}

fn ingress(rules: &[IngressRule]) -> String {
    let texts: Vec<_> = rules.iter().map(|rule| format!("{} on port {}", rule.source, rule.port)).collect();
    texts.join(", ")
}

/// The last part of an ARN.
fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

fn named(certificate: &CertificateId) -> String {
    match certificate {
        CertificateId::Imported(id) => id.to_string(),
        CertificateId::Arn(arn) => format!("certificate {}", short(arn)),
        CertificateId::Discovered(hostname) | CertificateId::Unresolved(hostname) => format!("the certificate that ACM has for {hostname}"),
    }
}

fn secured(tls: Option<&ListenerTls>) -> String {
    tls.map(|tls| format!(" with {} and {}", named(&tls.default_certificate), tls.policy)).unwrap_or_default()
}

fn pairs(pairs: &BTreeMap<String, String>) -> String {
    let texts: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    texts.join(", ")
}

/// `if host a.example.com and path /x`.
pub(crate) fn when(conditions: &[Condition]) -> String {
    let texts: Vec<_> = conditions.iter().map(ToString::to_string).collect();
    format!("if {}", texts.join(" and "))
}

fn with(transforms: &[Transform]) -> String {
    transforms.iter().map(|transform| format!("; {transform}")).collect()
}
