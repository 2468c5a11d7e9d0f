//! What comes of a class's profile and of what a Gateway may override in it.

mod aws;
mod envoy;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{LoadBalancerProfileSpec, OverridableField, aws::AwsProfile, envoy::EnvoyProfile};

pub use aws::{
    AwsSettings, BackendSecurityGroupSource, HealthCheckSettings, LoadBalancerSettings, SecurityGroupSource, SubnetSource,
    TargetGroupSettings,
};
pub use envoy::{AddressRange, AddressRangeError, EnvoySettings};

/// Settings of one load balancer, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
// A plan has one of them.
#[allow(clippy::large_enum_variant)]
pub enum EffectiveProfile {
    /// In Amazon Web Services.
    Aws(AwsSettings),
    /// On a fleet of Envoy proxies.
    Envoy(EnvoySettings),
}

impl Default for EffectiveProfile {
    /// What counts without any profile: an internet-facing application load balancer in discovered subnets.
    fn default() -> Self {
        Self::Aws(AwsSettings::default())
    }
}

impl EffectiveProfile {
    /// Whether every replica of the operator serves it from its own memory, as the configuration of Envoy fleets, and not the leader alone by calls to a cloud.
    pub fn is_served_by_every_replica(&self) -> bool {
        matches!(self, Self::Envoy(_))
    }

    /// The addresses out of which Portico gives each Gateway one; none where the cloud gives them.
    pub fn address_pool(&self) -> Option<&[AddressRange]> {
        match self {
            Self::Aws(_) => None,
            Self::Envoy(settings) => Some(&settings.addresses),
        }
    }
}

/// Why a class's and a Gateway's profile do not go together. Displayed as a sentence for the Gateway's or the class's status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The class's profile is invalid.
    #[error("the class's profile: {0}")]
    Class(String),
    /// The Gateway's profile is invalid.
    #[error("the Gateway's profile: {0}")]
    Gateway(String),
    /// The Gateway's profile sets a field that the class does not let it.
    #[error("{field} is set by the Gateway's profile, and the class's profile does not list it in overridable")]
    NotOverridable {
        /// Path of the field, such as `spec.aws.scheme`.
        field: String,
    },
}

impl MergeError {
    /// Whether the class's profile is to blame, and not the Gateway's.
    pub fn blames_class(&self) -> bool {
        matches!(self, Self::Class(_))
    }
}

/// Settles what counts for one load balancer: the class's profile ([`LoadBalancerProfileSpec::default`] where it has none), and what the
/// Gateway's profile overrides in it. A Gateway that repeats the class's value overrides nothing.
///
/// # Errors
/// If a profile is invalid, or if the Gateway's sets a field that the class's does not list.
pub fn merge(class: &LoadBalancerProfileSpec, gateway: Option<&LoadBalancerProfileSpec>) -> Result<EffectiveProfile, MergeError> {
    let base = branch(class).map_err(MergeError::Class)?;
    // The class must be valid by itself: its mistakes are not every Gateway's.
    let settled = base.settle().map_err(MergeError::Class)?;
    let Some(gateway) = gateway else { return Ok(settled) };
    if !gateway.overridable.is_empty() {
        return Err(MergeError::Gateway("spec.overridable is for profiles of GatewayClasses; remove it".to_owned()));
    }
    match (base, branch(gateway).map_err(MergeError::Gateway)?) {
        (Branch::Aws(base), Branch::Aws(over)) => {
            let merged: AwsProfile = lay_over("aws", base, over, &class.overridable)?;
            Branch::Aws(&merged).settle().map_err(MergeError::Gateway)
        }
        (Branch::Envoy(base), Branch::Envoy(over)) => {
            let merged: EnvoyProfile = lay_over("envoy", base, over, &class.overridable)?;
            Branch::Envoy(&merged).settle().map_err(MergeError::Gateway)
        }
        (base, over) => Err(MergeError::Gateway(format!(
            "it is for spec.{}, and the class's is for spec.{}; use the class's branch, or a class for the other",
            over.name(),
            base.name()
        ))),
    }
}

/// What a profile is for.
#[derive(Clone, Copy)]
enum Branch<'a> {
    Aws(&'a AwsProfile),
    Envoy(&'a EnvoyProfile),
}

impl Branch<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Aws(_) => "aws",
            Self::Envoy(_) => "envoy",
        }
    }

    fn settle(self) -> Result<EffectiveProfile, String> {
        match self {
            Self::Aws(profile) => aws::settle(profile).map(EffectiveProfile::Aws),
            Self::Envoy(profile) => envoy::settle(profile).map(EffectiveProfile::Envoy),
        }
    }
}

/// The one branch that a profile has.
fn branch(spec: &LoadBalancerProfileSpec) -> Result<Branch<'_>, String> {
    match (&spec.aws, &spec.envoy) {
        (Some(profile), None) => Ok(Branch::Aws(profile)),
        (None, Some(profile)) => Ok(Branch::Envoy(profile)),
        _ => Err("exactly one of spec.aws and spec.envoy must be set".to_owned()),
    }
}

/// A class's branch with what a Gateway's sets over it, as far as the class lets it.
fn lay_over<T: Serialize + DeserializeOwned>(branch: &str, base: &T, over: &T, overridable: &[OverridableField]) -> Result<T, MergeError> {
    let mut merged = fields(base).map_err(MergeError::Class)?;
    for (name, value) in fields(over).map_err(MergeError::Gateway)? {
        let field = serde_json::from_value::<OverridableField>(Value::String(name.clone())).ok();
        let mut candidate = merged.get(&name).cloned();
        match field {
            Some(OverridableField::Tags | OverridableField::Tls | OverridableField::Attributes | OverridableField::TargetGroup) => {
                overlay(candidate.get_or_insert(Value::Null), value);
            }
            _ => candidate = Some(value),
        }
        if candidate.as_ref() == merged.get(&name) {
            continue;
        }
        if !field.is_some_and(|field| overridable.contains(&field)) {
            return Err(MergeError::NotOverridable { field: format!("spec.{branch}.{name}") });
        }
        merged.extend(candidate.map(|value| (name, value)));
    }
    serde_json::from_value(Value::Object(merged)).map_err(|error| MergeError::Gateway(error.to_string()))
}

/// The fields that are set.
fn fields<T: Serialize>(profile: &T) -> Result<Map<String, Value>, String> {
    match serde_json::to_value(profile) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Ok(Map::new()),
        Err(error) => Err(error.to_string()),
    }
}

/// Lays the fields of one object over those of another, and those of their objects.
fn overlay(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                overlay(base.entry(name).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

#[cfg(test)]
mod tests;
