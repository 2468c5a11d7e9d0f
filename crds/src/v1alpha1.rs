//! Portico's own kinds (`portico.dev/v1alpha1`).

pub mod aws;
mod effective;
pub mod envoy;
mod load_balancer_profile;

use kube::CustomResourceExt;

pub use effective::{
    AddressRange, AddressRangeError, AwsSettings, BackendSecurityGroupSource, EffectiveProfile, EnvoySettings, HealthCheckSettings,
    LoadBalancerSettings, MergeError, SecurityGroupSource, SubnetSource, TargetGroupSettings, merge,
};
pub use load_balancer_profile::{LoadBalancerProfile, LoadBalancerProfileSpec, LoadBalancerProfileStatus, OverridableField};

use serde_json::Value;

use crate::{
    kubernetes::CustomResourceDefinition,
    manifest::{self, ManifestError},
};

/// The definitions of Portico's kinds.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![LoadBalancerProfile::crd()]
}

/// The definitions of Portico's kinds as a YAML stream, for `kubectl apply`.
///
/// # Errors
/// Only if a definition cannot be written as YAML, which the golden in the tree rules out.
pub fn crd_yaml() -> Result<String, ManifestError> {
    let documents: Result<Vec<Value>, _> = crds().iter().map(serde_json::to_value).collect();
    let mut documents = documents.map_err(|error| ManifestError::Write(error.to_string()))?;
    documents.iter_mut().for_each(whole_numbers);
    manifest::write(&documents)
}

/// Writes bounds such as `4000.0` as `4000`: in the types of CRDs they are floating-point numbers.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        Value::Array(list) => list.iter_mut().for_each(whole_numbers),
        Value::Number(number) => {
            let whole = number.as_f64().filter(|it| it.fract() == 0.0 && it.abs() < 1e15);
            if let Some(whole) = whole.and_then(|it| format!("{it:.0}").parse::<i64>().ok()) {
                *number = whole.into();
            }
        }
        _ => {}
    }
}
