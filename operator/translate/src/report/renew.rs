//! What was said about an object, to be said again where somebody took it away.

use crate::status::Desired;
use crate::world::{World, route_kind};
use portico_crds::{Kind, NamespacedName};
use portico_providers::RouteId;
use serde_json::Value;

/// What was said about an object, as far as it still holds by the world as it is now. `None` where it does not: the object is of another generation
/// (a pass will say more), gone, or no longer ours to report on.
pub fn renew(world: &World, kind: Kind, key: &NamespacedName, said: &Desired) -> Option<Desired> {
    let raw = world.raw(kind, key)?;
    let generation = portico_crds::metadata(raw, "generation").and_then(Value::as_i64).unwrap_or_default();
    match said {
        Desired::Object(status) => (status.generation == generation && world.reports_on_object(kind, key)).then(|| said.clone()),
        Desired::Route(status) => {
            let id = RouteId { kind: route_kind(kind)?, key: key.clone() };
            let mut status = status.clone();
            status.kept = world.served_parents(&id).cloned().collect();
            let kept = status.kept.clone();
            status.parents.retain(|entry| kept.contains(&entry.parent));
            (status.generation == generation && !status.parents.is_empty()).then_some(Desired::Route(status))
        }
        Desired::Policy(status) => {
            let mut status = status.clone();
            status.kept = world.served_ancestors(key);
            status.parents.retain(|entry| status.kept.contains(&entry.parent));
            (status.generation == generation && !status.parents.is_empty()).then_some(Desired::Policy(status))
        }
    }
}
