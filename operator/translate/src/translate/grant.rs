//! Permission to refer across namespaces.

use crate::World;
use portico_crds::normal::GrantFrom;
use portico_crds::{GATEWAY_GROUP, Kind, NamespacedName};

/// Whether an object of `kind` in `namespace` may refer to the target; otherwise what its author needs. To be asked before anything is said about
/// the target's existence (Gateway API: what is not granted is treated as absent, and reported as not permitted).
pub(super) fn check(world: &World, kind: Kind, namespace: &str, target_kind: Kind, target: &NamespacedName) -> Result<(), String> {
    if namespace == target.namespace {
        return Ok(());
    }
    let from = GrantFrom { group: GATEWAY_GROUP.to_owned(), kind: kind.name().to_owned(), namespace: namespace.to_owned() };
    if world.permits(&from, target_kind, target) {
        return Ok(());
    }
    Err(format!(
        "{target_kind} {target} is in another namespace, and no ReferenceGrant there lets {kind}s of namespace {namespace} refer to it; \
         create one in namespace {}",
        target.namespace
    ))
}
