//! Portico's own kinds (`portico.dev/v1alpha1`).

pub mod aws;
mod effective;
mod load_balancer_profile;

use kube::CustomResourceExt;

pub use effective::{
    AwsSettings, BackendSecurityGroupSource, EffectiveProfile, HealthCheckSettings, LoadBalancerSettings, MergeError, SecurityGroupSource, SubnetSource,
    TargetGroupSettings, merge,
};
pub use load_balancer_profile::{LoadBalancerProfile, LoadBalancerProfileSpec, LoadBalancerProfileStatus, OverridableField};

use crate::kubernetes::CustomResourceDefinition;

/// The definitions of Portico's kinds.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![LoadBalancerProfile::crd()]
}

/// The definitions of Portico's kinds as a YAML stream, for `kubectl apply`.
///
/// # Errors
/// Only if a definition cannot be written as YAML, which the golden in the tree rules out.
pub fn crd_yaml() -> Result<String, crate::manifest::ManifestError> {
    crate::manifest::write(&crds())
}
