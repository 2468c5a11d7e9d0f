//! GatewayClasses.

use super::profile;
use crate::World;
use crate::report::{ClassReport, Condition, Truth};
use portico_crds::CONTROLLER_NAME;
use portico_crds::condition::{GatewayClassCondition as Type, GatewayClassReason as Reason};
use portico_providers::Feature;

/// The bundle versions of the Gateway API whose CRDs Portico serves.
const BUNDLES: [&str; 3] = ["v1.5.", "v1.6.", "v1.7."];

/// Reports on a GatewayClass; `None` where it does not exist or belongs to another controller. `features` are the provider's.
pub fn translate_class(world: &World, name: &str, features: &[Feature]) -> Option<ClassReport> {
    let class = world.classes.get(name).filter(|class| class.controller() == CONTROLLER_NAME)?;
    let settled = profile::of_class(world, class);
    let accepted = match &settled {
        Ok(_) => Condition::yes(Type::Accepted, Reason::Accepted, "The class is served by Portico"),
        Err(message) => Condition::no(Type::Accepted, Reason::InvalidParameters, message.clone()),
    };
    let version = match world.bundle_version.as_deref() {
        // Best effort: an unknown version does not keep the class from being accepted.
        None => {
            Condition::new(Type::SupportedVersion, Truth::Unknown, Reason::Pending, "The installed Gateway API CRDs have not been seen")
        }
        Some("") => Condition::no(
            Type::SupportedVersion,
            Reason::UnsupportedVersion,
            "The installed Gateway API CRDs have no annotation gateway.networking.k8s.io/bundle-version; install those of v1.7.0",
        ),
        Some(version) if BUNDLES.iter().any(|bundle| version.starts_with(bundle)) => {
            Condition::yes(Type::SupportedVersion, Reason::SupportedVersion, format!("Gateway API {version} is supported"))
        }
        Some(version) => Condition::no(
            Type::SupportedVersion,
            Reason::UnsupportedVersion,
            format!("Gateway API {version} is installed, and v1.5 to v1.7 are supported; it is served as far as it is the same"),
        ),
    };
    let mut features = if settled.is_ok() { features.to_vec() } else { Vec::new() };
    features.sort_unstable();
    features.dedup();
    Some(ClassReport { generation: class.meta.generation, conditions: vec![accepted, version], features })
}
