//! `LoadBalancerProfile`: how the load balancers of a class, or of one Gateway, are built.

// The lint takes the `type_ = "string"` of two print columns for one attribute.
#![allow(clippy::duplicated_attributes)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aws::AwsProfile;
use super::envoy::EnvoyProfile;
use crate::kubernetes::Condition;

/// Settings for load balancers in a cloud.
///
/// A GatewayClass refers to a profile by `spec.parametersRef` (with its namespace), a Gateway to one in its own namespace by
/// `spec.infrastructure.parametersRef`. What a Gateway's profile sets must be listed in `overridable` of the class's profile.
/// No field has a default in the schema: absent means "as the class says", and then the default that its description names.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "portico.dev",
    version = "v1alpha1",
    kind = "LoadBalancerProfile",
    plural = "loadbalancerprofiles",
    shortname = "lbp",
    category = "portico",
    namespaced,
    status = "LoadBalancerProfileStatus",
    derive = "PartialEq",
    doc = "Settings for load balancers in a cloud, referred to by a GatewayClass or by a Gateway of the same namespace.",
    printcolumn(name = "Scheme", type_ = "string", json_path = ".spec.aws.scheme"),
    printcolumn(name = "Fleet", type_ = "string", json_path = ".spec.envoy.fleet"),
    printcolumn(name = "Overridable", type_ = "string", json_path = ".spec.overridable", priority = 1),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type==\"Accepted\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.aws), has(self.envoy)].filter(branch, branch).size() == 1").message("exactly one of aws and envoy must be set")
)]
pub struct LoadBalancerProfileSpec {
    /// Load balancers in Amazon Web Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsProfile>,
    /// A fleet of Envoy proxies that Portico configures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envoy: Option<EnvoyProfile>,
    /// Fields of the branch that the profiles of Gateways may set. Only in profiles of GatewayClasses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub overridable: Vec<OverridableField>,
}

impl Default for LoadBalancerProfileSpec {
    /// What counts where a class has no profile: an internet-facing application load balancer, and nothing may be overridden.
    fn default() -> Self {
        Self { aws: Some(AwsProfile::default()), envoy: None, overridable: Vec::new() }
    }
}

/// A field that a Gateway's profile may set if its class says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OverridableField {
    /// `scheme`.
    Scheme,
    /// `ipAddressType`.
    IpAddressType,
    /// `subnets`, as a whole.
    Subnets,
    /// `securityGroups`, as a whole.
    SecurityGroups,
    /// `backendSecurityGroups`, as a whole.
    BackendSecurityGroups,
    /// `tags`: a Gateway may add and replace.
    Tags,
    /// `tls`, field by field.
    Tls,
    /// `attributes`, field by field.
    Attributes,
    /// `targetGroup`, field by field.
    TargetGroup,
    /// `accessLog` of the `envoy` branch, as a whole.
    AccessLog,
    /// `drainSeconds` of the `envoy` branch.
    DrainSeconds,
}

/// What Portico found out about a profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerProfileStatus {
    /// The generation that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions; `Accepted` says whether the profile is valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// A list of conditions as Kubernetes has it: a map by type, so that several controllers can write to it.
fn conditions(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = generator.subschema_for::<Vec<Condition>>();
    schema.insert("maxItems".to_owned(), 8.into());
    schema.insert("x-kubernetes-list-type".to_owned(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".to_owned(), serde_json::json!(["type"]));
    schema
}
