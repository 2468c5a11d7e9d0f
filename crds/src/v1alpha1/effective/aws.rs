//! Settings of one load balancer in AWS, with every default filled in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::v1alpha1::aws::{
    AccessLogs, Algorithm, AwsProfile, BackendSecurityGroups, Discovery, HealthCheckProtocol, IpAddressType, LoadBalancerType, Scheme,
    SecurityGroups, Subnets, XForwardedFor,
};

/// Settings of a load balancer in Amazon Web Services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AwsSettings {
    /// Kind of load balancer.
    pub load_balancer: LoadBalancerType,
    /// Region; absent is the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The cluster's name in tags of the form `kubernetes.io/cluster/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// Reachability.
    pub scheme: Scheme,
    /// Address families.
    pub ip_address_type: IpAddressType,
    /// Where the load balancer's subnets come from.
    pub subnets: SubnetSource,
    /// Where the load balancer's security groups come from.
    pub security_groups: SecurityGroupSource,
    /// Where the backends' security groups come from.
    pub backend_security_groups: BackendSecurityGroupSource,
    /// Whether Portico keeps the rules in the backends' groups that let the load balancer in.
    pub manage_backend_rules: bool,
    /// Tags for everything that is made, besides Portico's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Security policy of HTTPS listeners that name none; absent is the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_policy: Option<String>,
    /// Attributes of the load balancer.
    pub attributes: LoadBalancerSettings,
    /// Defaults for target groups.
    pub target_group: TargetGroupSettings,
}

/// Where a load balancer's subnets come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SubnetSource {
    /// By the role tags: `kubernetes.io/role/elb` or `kubernetes.io/role/internal-elb`, with the value `1` or none.
    #[default]
    RoleTags,
    /// By tags; the value `*` stands for any.
    Tags(BTreeMap<String, String>),
    /// By id.
    Ids(Vec<String>),
}

/// Where a load balancer's security groups come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecurityGroupSource {
    /// Portico keeps one that lets these CIDR blocks in on the listeners' ports.
    #[serde(rename_all = "camelCase")]
    Managed {
        /// CIDR blocks; absent is everybody: `0.0.0.0/0`, and `::/0` on a dual-stack load balancer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source_ranges: Option<Vec<String>>,
        /// Inbound rules that a group may have per address family; absent is AWS's default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule_quota: Option<u32>,
    },
    /// By id.
    Ids(Vec<String>),
}

impl Default for SecurityGroupSource {
    fn default() -> Self {
        Self::Managed { source_ranges: None, rule_quota: None }
    }
}

/// Where the backends' security groups come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BackendSecurityGroupSource {
    /// The nodes' groups: those with the tag `kubernetes.io/cluster/NAME`.
    #[default]
    ClusterTag,
    /// By tags; the value `*` stands for any.
    Tags(BTreeMap<String, String>),
    /// By id.
    Ids(Vec<String>),
}

/// Attributes of a load balancer, every one with a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerSettings {
    /// Seconds without data after which a connection is closed.
    pub idle_timeout_seconds: u32,
    /// Seconds that a client's connection is kept at most.
    pub client_keep_alive_seconds: u32,
    /// Whether AWS refuses to delete the load balancer.
    pub deletion_protection: bool,
    /// Whether clients may speak HTTP/2.
    pub http2: bool,
    /// Whether invalid header fields are dropped.
    pub drop_invalid_header_fields: bool,
    /// What happens to the X-Forwarded-For header.
    pub x_forwarded_for: XForwardedFor,
    /// Whether backends see the Host header as the client sent it.
    pub preserve_host_header: bool,
    /// Where access logs go; absent is nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_logs: Option<AccessLogs>,
}

impl Default for LoadBalancerSettings {
    fn default() -> Self {
        Self {
            idle_timeout_seconds: 60,
            client_keep_alive_seconds: 3600,
            deletion_protection: false,
            http2: true,
            drop_invalid_header_fields: false,
            x_forwarded_for: XForwardedFor::Append,
            preserve_host_header: true,
            access_logs: None,
        }
    }
}

/// Defaults for target groups, every one with a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetGroupSettings {
    /// Health check.
    pub health_check: HealthCheckSettings,
    /// Seconds for which a removed target finishes its requests.
    pub deregistration_delay_seconds: u32,
    /// How a target is chosen.
    pub algorithm: Algorithm,
}

impl Default for TargetGroupSettings {
    fn default() -> Self {
        Self { health_check: HealthCheckSettings::default(), deregistration_delay_seconds: 300, algorithm: Algorithm::default() }
    }
}

/// A health check of targets, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheckSettings {
    /// Path.
    pub path: String,
    /// Seconds between checks.
    pub interval_seconds: u32,
    /// Seconds for the answer.
    pub timeout_seconds: u32,
    /// Good checks in a row that make a target healthy.
    pub healthy_threshold: u32,
    /// Bad checks in a row that make a target unhealthy.
    pub unhealthy_threshold: u32,
    /// Status codes of a good check.
    pub matcher: String,
    /// Port; absent is the one that receives the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Protocol; absent is that of the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<HealthCheckProtocol>,
}

impl Default for HealthCheckSettings {
    /// Whether a pod is fit is for its readiness probe to say. The check only finds out whether it answers: a 404 on `/` is an answer.
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            interval_seconds: 15,
            timeout_seconds: 5,
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            matcher: "200-499".to_owned(),
            port: None,
            protocol: None,
        }
    }
}

impl Default for AwsSettings {
    fn default() -> Self {
        Self {
            load_balancer: LoadBalancerType::Application,
            region: None,
            cluster_name: None,
            scheme: Scheme::default(),
            ip_address_type: IpAddressType::default(),
            subnets: SubnetSource::default(),
            security_groups: SecurityGroupSource::default(),
            backend_security_groups: BackendSecurityGroupSource::default(),
            manage_backend_rules: true,
            tags: BTreeMap::new(),
            ssl_policy: None,
            attributes: LoadBalancerSettings::default(),
            target_group: TargetGroupSettings::default(),
        }
    }
}

/// Fills the defaults in, and checks what concerns several fields (the API server has checked it too, if the profile came from one).
pub(super) fn settle(profile: &AwsProfile) -> Result<AwsSettings, String> {
    let default = AwsSettings::default();
    let attributes = profile.attributes.clone().unwrap_or_default();
    let target_group = profile.target_group.clone().unwrap_or_default();
    let check = target_group.health_check.unwrap_or_default();
    let backend = profile.backend_security_groups.clone().unwrap_or_default();
    let settings = AwsSettings {
        load_balancer: profile.load_balancer.unwrap_or_default(),
        region: profile.region.clone(),
        cluster_name: profile.cluster_name.clone(),
        scheme: profile.scheme.unwrap_or_default(),
        ip_address_type: profile.ip_address_type.unwrap_or_default(),
        subnets: profile.subnets.as_ref().map(subnets).transpose()?.unwrap_or_default(),
        security_groups: profile.security_groups.as_ref().map(security_groups).transpose()?.unwrap_or_default(),
        manage_backend_rules: backend.manage_rules.unwrap_or(default.manage_backend_rules),
        backend_security_groups: backend_security_groups(backend)?,
        tags: profile.tags.clone().unwrap_or_default(),
        ssl_policy: profile.tls.as_ref().and_then(|tls| tls.ssl_policy.clone()),
        attributes: LoadBalancerSettings {
            idle_timeout_seconds: attributes.idle_timeout_seconds.unwrap_or(default.attributes.idle_timeout_seconds),
            client_keep_alive_seconds: attributes.client_keep_alive_seconds.unwrap_or(default.attributes.client_keep_alive_seconds),
            deletion_protection: attributes.deletion_protection.unwrap_or(default.attributes.deletion_protection),
            http2: attributes.http2.unwrap_or(default.attributes.http2),
            drop_invalid_header_fields: attributes.drop_invalid_header_fields.unwrap_or(default.attributes.drop_invalid_header_fields),
            x_forwarded_for: attributes.x_forwarded_for.unwrap_or(default.attributes.x_forwarded_for),
            preserve_host_header: attributes.preserve_host_header.unwrap_or(default.attributes.preserve_host_header),
            access_logs: attributes.access_logs,
        },
        target_group: TargetGroupSettings {
            health_check: HealthCheckSettings {
                path: check.path.unwrap_or(default.target_group.health_check.path),
                interval_seconds: check.interval_seconds.unwrap_or(default.target_group.health_check.interval_seconds),
                timeout_seconds: check.timeout_seconds.unwrap_or(default.target_group.health_check.timeout_seconds),
                healthy_threshold: check.healthy_threshold.unwrap_or(default.target_group.health_check.healthy_threshold),
                unhealthy_threshold: check.unhealthy_threshold.unwrap_or(default.target_group.health_check.unhealthy_threshold),
                matcher: check.matcher.unwrap_or(default.target_group.health_check.matcher),
                port: check.port,
                protocol: check.protocol,
            },
            deregistration_delay_seconds: target_group
                .deregistration_delay_seconds
                .unwrap_or(default.target_group.deregistration_delay_seconds),
            algorithm: target_group.algorithm.unwrap_or_default(),
        },
    };
    let check = &settings.target_group.health_check;
    if check.timeout_seconds >= check.interval_seconds {
        return Err(format!(
            "spec.aws.targetGroup.healthCheck: timeoutSeconds ({}) must be smaller than intervalSeconds ({})",
            check.timeout_seconds, check.interval_seconds
        ));
    }
    if settings.ip_address_type == IpAddressType::DualstackWithoutPublicIpv4 && settings.scheme == Scheme::Internal {
        return Err(
            "spec.aws.ipAddressType: dualstack-without-public-ipv4 is for internet-facing load balancers; use ipv4 or dualstack".to_owned()
        );
    }
    Ok(settings)
}

fn subnets(from: &Subnets) -> Result<SubnetSource, String> {
    match (&from.ids, &from.discover) {
        (Some(ids), None) => Ok(SubnetSource::Ids(ids.clone())),
        (None, Some(Discovery { tags })) => Ok(SubnetSource::Tags(tags.clone())),
        _ => Err("spec.aws.subnets: exactly one of ids and discover must be set".to_owned()),
    }
}

fn security_groups(from: &SecurityGroups) -> Result<SecurityGroupSource, String> {
    match (&from.ids, &from.managed) {
        (Some(ids), None) => Ok(SecurityGroupSource::Ids(ids.clone())),
        (None, Some(managed)) => {
            Ok(SecurityGroupSource::Managed { source_ranges: managed.source_ranges.clone(), rule_quota: managed.rule_quota })
        }
        _ => Err("spec.aws.securityGroups: exactly one of ids and managed must be set".to_owned()),
    }
}

fn backend_security_groups(from: BackendSecurityGroups) -> Result<BackendSecurityGroupSource, String> {
    match (from.ids, from.discover) {
        (None, None) => Ok(BackendSecurityGroupSource::ClusterTag),
        (Some(ids), None) => Ok(BackendSecurityGroupSource::Ids(ids)),
        (None, Some(Discovery { tags })) => Ok(BackendSecurityGroupSource::Tags(tags)),
        (Some(_), Some(_)) => Err("spec.aws.backendSecurityGroups: at most one of ids and discover may be set".to_owned()),
    }
}
