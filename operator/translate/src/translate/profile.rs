//! The cloud settings of a class and of a Gateway.

use crate::World;
use crate::report::Fault;
use crate::world::object::{ClassSpec, Stored, StoredGateway};
use crate::world::reference::profile_of;
use portico_crds::condition::GatewayReason;
use portico_crds::v1alpha1::{EffectiveProfile, LoadBalancerProfileSpec, MergeError, merge};
use portico_crds::{NamespacedName, ObjectRef};
use portico_providers::UnitId;

/// The profile of a class, or what is wrong with its `parametersRef`.
pub(super) fn of_class(world: &World, class: &Stored<ClassSpec>) -> Result<LoadBalancerProfileSpec, String> {
    let Some(spec) = &class.spec else { return Err(format!("the class cannot be read: {}", class.unreadable())) };
    let Some(reference) = &spec.parameters else { return Ok(LoadBalancerProfileSpec::default()) };
    let Some(key) = profile_of(reference, "") else { return Err(unknown_kind("spec.parametersRef", reference)) };
    if key.namespace.is_empty() {
        return Err(format!("spec.parametersRef.namespace is missing: LoadBalancerProfile {} lives in a namespace; name it", key.name));
    }
    let profile = find(world, "spec.parametersRef", &key)?;
    let wrong = |error: String| format!("spec.parametersRef: LoadBalancerProfile {key}: {error}");
    merge(&profile, None).map_err(|error| wrong(error.to_string()))?;
    match world.fleet_is_held(&key, &profile) {
        Some(held) => Err(wrong(held)),
        None => Ok(profile),
    }
}

/// The settings of a unit's Gateway, also of one that is going; `None` where nobody can say.
pub fn settings(world: &World, unit: &UnitId) -> Option<EffectiveProfile> {
    let gateway = world.gateways.get(unit.gateway()?)?;
    let class = of_class(world, world.classes.get(gateway.class())?).ok()?;
    of_gateway(world, gateway, &class).ok()
}

/// The settings that each LoadBalancerProfile holds by itself, whoever refers to it, and what counts for classes without one: they name all the places where load
/// balancers of the cluster can be.
pub fn known_settings(world: &World) -> Vec<EffectiveProfile> {
    let profiles = world.profiles.values().filter_map(|profile| merge(profile.spec.as_ref()?, None).ok());
    let without = |class: &Stored<ClassSpec>| class.spec.as_ref().is_some_and(|spec| spec.parameters.is_none());
    let default = world.classes().filter_map(|name| world.classes.get(name)).any(without).then(EffectiveProfile::default);
    profiles.chain(default).collect()
}

/// The settings of a Gateway: those of its class with what it may override.
pub(super) fn of_gateway(
    world: &World,
    gateway: &StoredGateway,
    class: &LoadBalancerProfileSpec,
) -> Result<EffectiveProfile, Fault<GatewayReason>> {
    const FIELD: &str = "spec.infrastructure.parametersRef";
    let own = match gateway.spec.as_ref().and_then(|spec| spec.parameters_ref.as_ref()) {
        None => Ok(None),
        Some(reference) => match profile_of(reference, &gateway.meta.key.namespace) {
            None => Err(unknown_kind(FIELD, reference)),
            Some(key) => find(world, FIELD, &key).map(|profile| Some((key, profile))),
        },
    };
    let settled = own.and_then(|own| {
        merge(class, own.as_ref().map(|(_, profile)| profile)).map_err(|error| match (&own, &error) {
            (Some((key, _)), MergeError::NotOverridable { .. }) => format!(
                "{FIELD}: LoadBalancerProfile {key}: {error}. Remove the setting, or ask the owners of GatewayClass {} to allow it",
                gateway.class()
            ),
            (Some((key, _)), _) => format!("{FIELD}: LoadBalancerProfile {key}: {error}"),
            (None, _) => error.to_string(),
        })
    });
    settled.map_err(|message| Fault::new(GatewayReason::InvalidParameters, message))
}

fn find(world: &World, field: &str, key: &NamespacedName) -> Result<LoadBalancerProfileSpec, String> {
    let Some(profile) = world.profiles.get(key) else {
        return Err(format!("{field}: LoadBalancerProfile {key} does not exist; create it, or correct the reference"));
    };
    match &profile.spec {
        Some(spec) if profile.defects.is_empty() => Ok(spec.clone()),
        _ => Err(format!("{field}: LoadBalancerProfile {key} cannot be read: {}", profile.unreadable())),
    }
}

fn unknown_kind(field: &str, reference: &ObjectRef) -> String {
    format!(
        "{field}: kind {} of group {:?} is not known here; refer to a LoadBalancerProfile of group portico.dev",
        reference.kind, reference.group
    )
}
