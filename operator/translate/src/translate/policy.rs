//! BackendTLSPolicies: which of them concern a Gateway. Whether they can be honoured is the provider's to say.

use crate::World;
use crate::report::{Fault, PolicyReport};
use crate::world::object::{PolicyTarget, Service};
use portico_crds::NamespacedName;
use portico_crds::condition::PolicyReason;
use std::collections::{BTreeMap, BTreeSet};

/// The policies for Services to which routes of a Gateway refer.
pub(super) fn all(world: &World, gateway: &NamespacedName) -> BTreeMap<NamespacedName, PolicyReport> {
    let keys: BTreeSet<_> = world.routes_of(gateway).into_keys().flat_map(|route| world.policies_of_route(route)).collect();
    let report = |key: &NamespacedName| {
        let policy = world.policies.get(key)?;
        let faults: Vec<_> = policy.targets().map(|target| missing(world, target)).collect();
        // One target that is there is enough for the policy to take effect.
        let rejected = faults.into_iter().collect::<Option<Vec<_>>>().and_then(|faults| faults.into_iter().next());
        let rejected = rejected.map(|message| Fault::new(PolicyReason::TargetNotFound, message));
        Some((key.clone(), PolicyReport { generation: policy.meta.generation, gateway: gateway.clone(), rejected }))
    };
    keys.into_iter().filter_map(report).collect()
}

/// What is wrong with a target that is not there.
fn missing(world: &World, target: &PolicyTarget) -> Option<String> {
    let PolicyTarget { index, service, port } = target;
    let Some(Service { ports, .. }) = world.services.get(service) else {
        return Some(format!("spec.targetRefs[{index}].name: Service {service} does not exist; create it, or correct the name"));
    };
    let name = port.as_ref().filter(|name| ports.iter().all(|port| port.name != **name))?;
    let names = ports.iter().map(|port| port.name.as_str()).filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { "none that has a name".to_owned() } else { names };
    Some(format!(
        "spec.targetRefs[{index}].sectionName: Service {service} has no port named {name}, but {names}; correct the name, or leave it out for all ports"
    ))
}
