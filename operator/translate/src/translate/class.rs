//! GatewayClasses.

use super::profile;
use crate::World;
use crate::report::{ClassReport, Condition, Truth};
use crate::world::definition::{self, Bundle};
use portico_crds::condition::{GatewayClassCondition as Type, GatewayClassReason as Reason};
use portico_crds::v1alpha1::{EffectiveProfile, merge};
use portico_crds::{CONTROLLER_NAME, Kind};
use portico_providers::Feature;
use std::collections::{BTreeMap, BTreeSet};

/// The bundle versions of the Gateway API whose CRDs Portico serves.
const BUNDLES: [&str; 3] = ["v1.5.", "v1.6.", "v1.7."];

/// Reports on a GatewayClass; `None` where it does not exist or belongs to another controller. `features` are those of the provider
/// that serves a class with certain settings.
pub fn translate_class(world: &World, name: &str, features: &dyn Fn(&EffectiveProfile) -> Vec<Feature>) -> Option<ClassReport> {
    let class = world.classes.get(name).filter(|class| class.controller() == CONTROLLER_NAME)?;
    let settled = profile::of_class(world, class).and_then(|profile| merge(&profile, None).map_err(|error| error.to_string()));
    let accepted = match &settled {
        Ok(_) => Condition::yes(Type::Accepted, Reason::Accepted, "The class is served by Portico"),
        Err(message) => Condition::no(Type::Accepted, Reason::InvalidParameters, message.clone()),
    };
    let version = version(world);
    let mut features = settled.as_ref().map(features).unwrap_or_default();
    features.retain(|feature| can_be_asked_for(world, feature));
    features.sort_unstable();
    features.dedup();
    Some(ClassReport { generation: class.meta.generation, conditions: vec![accepted, version], features })
}

/// Whether the installed CRDs have what a feature needs: not every release and channel has every kind and field.
fn can_be_asked_for(world: &World, feature: Feature) -> bool {
    let seen = world.definitions.contains_key(&Kind::GatewayClass);
    definition::needed_by(feature)
        .filter(|_| seen)
        .is_none_or(|(kind, field)| world.definitions.get(&kind).is_some_and(|definition| definition.has(field)))
}

/// Whether the installed CRDs are of releases that Portico knows. Best effort: those of others do not keep the class from being accepted.
fn version(world: &World) -> Condition {
    use Type::SupportedVersion as Version;
    if !world.definitions.contains_key(&Kind::GatewayClass) {
        return Condition::new(
            Version,
            Truth::Unknown,
            Reason::Pending,
            "The installed Gateway API CRDs have not been seen; install those of v1.7.0, and let the operator list CustomResourceDefinitions",
        );
    }
    let of = |choose: &dyn Fn(&str) -> bool| {
        let mut kinds: BTreeMap<&Bundle, Vec<&str>> = BTreeMap::new();
        let bundles = world.definitions.iter().map(|(kind, definition)| (kind, &definition.bundle));
        for (kind, bundle) in bundles.filter(|(_, bundle)| choose(&bundle.version)) {
            kinds.entry(bundle).or_default().push(kind.name());
        }
        kinds
    };
    let known = |version: &str| BUNDLES.iter().any(|bundle| version.starts_with(bundle));
    let unmarked: Vec<_> = of(&str::is_empty).into_values().flatten().collect();
    if !unmarked.is_empty() {
        let message = format!(
            "The installed Gateway API CRDs of {} have no annotation gateway.networking.k8s.io/bundle-version; install those of v1.7.0",
            unmarked.join(", ")
        );
        return Condition::no(Version, Reason::UnsupportedVersion, message);
    }
    let unknown = of(&|version| !known(version));
    if unknown.is_empty() {
        let installed: BTreeSet<_> = of(&known).into_keys().map(name).collect();
        let installed = installed.into_iter().collect::<Vec<_>>().join(", ");
        return Condition::yes(Version, Reason::SupportedVersion, format!("Gateway API {installed} is supported"));
    }
    let unknown = unknown.into_iter().map(|(bundle, kinds)| format!("{} of {}", name(bundle), kinds.join(", "))).collect::<Vec<_>>();
    let message = format!(
        "The installed Gateway API CRDs are {}, and v1.5 to v1.7 are supported: what is the same in both is served; install those of v1.7.0",
        unknown.join("; ")
    );
    Condition::no(Version, Reason::UnsupportedVersion, message)
}

fn name(bundle: &Bundle) -> String {
    if bundle.channel.is_empty() { bundle.version.clone() } else { format!("{} ({} channel)", bundle.version, bundle.channel) }
}
