//! The `aws` branch of a profile: as its author writes it. [`super::EffectiveProfile`] is what comes of it.
//!
//! In the generated YAML a field whose type is an enum has the enum's description, not its own: defaults are named there too.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings for load balancers in Amazon Web Services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.tags) || self.tags.all(key, size(key) >= 1 && size(key) <= 128)")
        .message("AWS: a tag's key has 1 to 128 characters").field_path(".tags"),
    validation = Rule::new("!has(self.tags) || self.tags.all(key, !key.startsWith('aws:') && !key.startsWith('portico.dev/'))")
        .message("tags that start with aws: belong to AWS, those that start with portico.dev/ mark what Portico owns").field_path(".tags"),
    validation = Rule::new("!has(self.ipAddressType) || self.ipAddressType != 'dualstack-without-public-ipv4' || !has(self.scheme) || self.scheme == 'internet-facing'")
        .message("AWS: dualstack-without-public-ipv4 is for internet-facing load balancers").field_path(".ipAddressType")
)]
pub struct AwsProfile {
    /// Kind of load balancer. Default: application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancerType>,
    /// Region. Default: the region that the operator runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z]{2}(-[a-z]+)+-[0-9]+$"))]
    pub region: Option<String>,
    /// The cluster's name in tags of the form `kubernetes.io/cluster/NAME` on subnets and security groups, by which discovery prefers them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub cluster_name: Option<String>,
    /// Whether the load balancer is reachable from the internet. Default: internet-facing. A change replaces the load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// Address families of the load balancer. Default: ipv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address_type: Option<IpAddressType>,
    /// Subnets of the load balancer, one per zone. Default: discovery by the role tags `kubernetes.io/role/elb` (internet-facing) or
    /// `kubernetes.io/role/internal-elb` (internal).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnets: Option<Subnets>,
    /// Security groups of the load balancer. Default: one that Portico keeps, open to all on the listeners' ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<SecurityGroups>,
    /// Security groups of the backends, which must let the load balancer in. Default: those of the nodes that have the cluster's tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_security_groups: Option<BackendSecurityGroups>,
    /// Tags for everything that is made, besides Portico's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "tags")]
    pub tags: Option<BTreeMap<String, String>>,
    /// TLS of HTTPS listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Attributes of the load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<LoadBalancerAttributes>,
    /// Defaults for target groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_group: Option<TargetGroupDefaults>,
}

/// Kind of load balancer. Default: application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LoadBalancerType {
    /// Application Load Balancer.
    #[default]
    Application,
}

/// Whether the load balancer is reachable from the internet. Default: internet-facing. A change replaces the load balancer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Public addresses.
    #[default]
    InternetFacing,
    /// Private addresses only.
    Internal,
}

/// Address families of the load balancer. Default: ipv4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum IpAddressType {
    /// IPv4.
    #[default]
    #[serde(rename = "ipv4")]
    Ipv4,
    /// IPv4 and IPv6.
    #[serde(rename = "dualstack")]
    Dualstack,
    /// Public IPv6 with private IPv4, for internet-facing load balancers.
    #[serde(rename = "dualstack-without-public-ipv4")]
    DualstackWithoutPublicIpv4,
}

/// Which subnets a load balancer has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.ids) != has(self.discover)").message("exactly one of ids and discover must be set"))]
pub struct Subnets {
    /// Subnets by id, one per zone, of at least two zones (AWS: Application Load Balancer).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "subnet_ids")]
    pub ids: Option<Vec<String>>,
    /// Subnets by tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discover: Option<Discovery>,
}

/// Finds resources of the cluster's VPC by tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Discovery {
    /// Tags that a resource must have, all of them; the value `*` stands for any.
    #[schemars(schema_with = "discovery_tags")]
    pub tags: BTreeMap<String, String>,
}

/// Which security groups a load balancer has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.ids) != has(self.managed)").message("exactly one of ids and managed must be set"))]
pub struct SecurityGroups {
    /// Groups by id; their rules are their owner's business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "security_group_ids")]
    pub ids: Option<Vec<String>>,
    /// A group that Portico makes and whose rules it keeps in step with the listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedSecurityGroup>,
}

/// A security group that Portico keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedSecurityGroup {
    /// Who may reach the listeners, as CIDR blocks. Default: everybody (0.0.0.0/0, and ::/0 on a dual-stack load balancer).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "cidrs")]
    pub source_ranges: Option<Vec<String>>,
    /// How many inbound rules the account's security groups may have, for IPv4 and as many for IPv6: each source range takes one for each port. Default: 60, as AWS
    /// allows until it is asked for more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "integer::<1, 1000>")]
    pub rule_quota: Option<u32>,
}

/// Which security groups the backends have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.ids) && has(self.discover))").message("at most one of ids and discover may be set"))]
pub struct BackendSecurityGroups {
    /// Groups by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "security_group_ids")]
    pub ids: Option<Vec<String>>,
    /// Groups by tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discover: Option<Discovery>,
    /// Whether Portico keeps the rules in these groups that let the load balancer in. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage_rules: Option<bool>,
}

/// TLS of HTTPS listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// AWS's security policy (TLS versions and ciphers) for ports whose listeners name none under `portico.dev/ssl-policy` of their `tls.options`. Default: ELBSecurityPolicy-TLS13-1-2-2021-06.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^ELBSecurityPolicy-[A-Za-z0-9-]+$"))]
    pub ssl_policy: Option<String>,
}

/// Attributes of a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerAttributes {
    /// Seconds without data after which a connection is closed (AWS: 1 to 4000). Default: 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "integer::<1, 4000>")]
    pub idle_timeout_seconds: Option<u32>,
    /// Seconds that a client's connection is kept at most (AWS: 60 to 604800). Default: 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "integer::<60, 604_800>")]
    pub client_keep_alive_seconds: Option<u32>,
    /// Whether AWS refuses to delete the load balancer, for Portico too. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,
    /// Whether clients may speak HTTP/2. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http2: Option<bool>,
    /// Whether invalid header fields are dropped instead of passed on. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_invalid_header_fields: Option<bool>,
    /// What happens to the X-Forwarded-For header. Default: append.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_forwarded_for: Option<XForwardedFor>,
    /// Whether backends see the Host header as the client sent it. Default: true, as Gateway API wants it (AWS's own default is false).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preserve_host_header: Option<bool>,
    /// Where access logs go. Default: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_logs: Option<AccessLogs>,
}

/// What the load balancer does to the X-Forwarded-For header. Default: append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum XForwardedFor {
    /// Adds the client's address.
    #[default]
    Append,
    /// Leaves the header alone.
    Preserve,
    /// Removes the header.
    Remove,
}

/// Where access logs go.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessLogs {
    /// S3 bucket, in the load balancer's region (S3: 3 to 63 characters).
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$"))]
    pub bucket: String,
    /// Prefix of the objects in the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub prefix: Option<String>,
}

/// Defaults for target groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetGroupDefaults {
    /// Health check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Seconds for which a removed target finishes its requests (AWS: 0 to 3600). Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "integer::<0, 3600>")]
    pub deregistration_delay_seconds: Option<u32>,
    /// How a target is chosen. Default: round_robin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
}

/// How a target is chosen. Default: round_robin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// In turn.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastOutstandingRequests,
    /// At random.
    WeightedRandom,
}

/// A health check of targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.timeoutSeconds) || !has(self.intervalSeconds) || self.timeoutSeconds < self.intervalSeconds")
        .message("AWS: timeoutSeconds must be smaller than intervalSeconds")
)]
pub struct HealthCheck {
    /// Path that is asked for (AWS: at most 1024 characters). Default: `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^/"))]
    pub path: Option<String>,
    /// Seconds between checks (AWS: 5 to 300). Default: 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "integer::<5, 300>")]
    pub interval_seconds: Option<u32>,
    /// Seconds for the answer (AWS: 2 to 120, and less than the interval). Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "integer::<2, 120>")]
    pub timeout_seconds: Option<u32>,
    /// Good checks in a row that make a target healthy (AWS: 2 to 10). Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "integer::<2, 10>")]
    pub healthy_threshold: Option<u32>,
    /// Bad checks in a row that make a target unhealthy (AWS: 2 to 10). Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "integer::<2, 10>")]
    pub unhealthy_threshold: Option<u32>,
    /// Status codes of a good check: codes and ranges from 200 to 499, such as `200,202` or `200-399` (AWS). Default: 200-499: whether a pod is fit is for its readiness probe to say, the check only finds out whether it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^[2-4][0-9]{2}(-[2-4][0-9]{2})?(,[2-4][0-9]{2}(-[2-4][0-9]{2})?)*$"))]
    pub matcher: Option<String>,
    /// Port that is asked. Default: the one that receives the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "integer::<1, 65_535>")]
    pub port: Option<u16>,
    /// Protocol of the check. Default: that of the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<HealthCheckProtocol>,
}

/// Protocol of the health check. Default: that of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HealthCheckProtocol {
    /// HTTP.
    Http,
    /// HTTPS; the certificate is not checked (AWS).
    Https,
}

// Schemas that derive cannot express: bounds on integers without a Rust-specific format, and on the entries of lists and maps.

fn schema(value: serde_json::Value) -> schemars::Schema {
    value.try_into().unwrap_or_default()
}

fn integer<const MIN: i64, const MAX: i64>(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schema(serde_json::json!({ "type": "integer", "format": "int32", "minimum": MIN, "maximum": MAX, "nullable": true }))
}

fn strings(max_items: u32, max_length: u32, pattern: &str) -> schemars::Schema {
    schema(serde_json::json!({
        "type": "array", "nullable": true, "minItems": 1, "maxItems": max_items, "x-kubernetes-list-type": "set",
        "items": { "type": "string", "maxLength": max_length, "pattern": pattern },
    }))
}

/// AWS: ids have 8 or 17 digits. An Application Load Balancer has one subnet per zone; no region has 16 zones.
fn subnet_ids(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    strings(16, 24, "^subnet-[0-9a-f]{8}([0-9a-f]{9})?$")
}

/// AWS: at most 5 security groups per load balancer (quota, adjustable to 16).
fn security_group_ids(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    strings(16, 20, "^sg-[0-9a-f]{8}([0-9a-f]{9})?$")
}

/// AWS: 60 rules per security group and direction (quota); each listener port needs one per range.
fn cidrs(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    strings(
        60,
        43,
        "^([0-9]{1,3}(\\.[0-9]{1,3}){3}/([0-9]|[12][0-9]|3[0-2])|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))$",
    )
}

fn tag_map(min: u32, max: u32) -> schemars::Schema {
    schema(serde_json::json!({
        "type": "object", "nullable": true, "minProperties": min, "maxProperties": max,
        "additionalProperties": { "type": "string", "maxLength": 256 },
    }))
}

/// AWS: 50 tags per resource, values of at most 256 characters; the rest of the 50 is for Portico's own.
fn tags(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    tag_map(0, 40)
}

fn discovery_tags(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = tag_map(1, 10);
    schema.remove("nullable");
    schema
}
