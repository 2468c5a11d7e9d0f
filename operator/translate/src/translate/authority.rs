//! Certificates of authorities by reference.

use super::grant;
use crate::World;
use crate::report::Fault;
use crate::world::reference;
use portico_crds::{Kind, ObjectRef};
use portico_providers::{CaBundle, CaBundleSource};

/// Why certificates of authorities cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Of a kind that holds none.
    Kind,
    /// Missing or malformed.
    Reference,
    /// No ReferenceGrant permits the reference.
    NotPermitted,
}

/// Resolves `caCertificateRefs`, the list at `path`, of an object of `kind` in `namespace`: the bundles that can be used, and what is wrong with the others. The grant
/// is asked for before the object (Gateway API).
pub(super) fn resolve(
    world: &World,
    kind: Kind,
    namespace: &str,
    path: &str,
    references: &[ObjectRef],
) -> (Vec<CaBundle>, Vec<Fault<Problem>>) {
    let (mut bundles, mut faults) = (Vec::new(), Vec::new());
    for (index, reference) in references.iter().enumerate() {
        match one(world, kind, namespace, reference) {
            Ok(bundle) => bundles.push(bundle),
            Err((problem, message)) => faults.push(Fault::new(problem, format!("{path}[{index}]: {message}"))),
        }
    }
    (bundles, faults)
}

fn one(world: &World, kind: Kind, namespace: &str, reference: &ObjectRef) -> Result<CaBundle, (Problem, String)> {
    let Some(source) = reference::ca_bundle(reference, namespace) else {
        let message =
            format!("kind {} of group {:?} is not known here; refer to a ConfigMap with the key ca.crt", reference.kind, reference.group);
        return Err((Problem::Kind, message));
    };
    match &source {
        CaBundleSource::ConfigMap(key) => {
            grant::check(world, kind, namespace, Kind::ConfigMap, key).map_err(|message| (Problem::NotPermitted, message))?;
        }
        CaBundleSource::ClusterTrustBundle(name) if reference.namespace.is_some() => {
            let message = format!("ClusterTrustBundle {name} belongs to no namespace; remove the field namespace");
            return Err((Problem::Reference, message));
        }
        CaBundleSource::ClusterTrustBundle(_) => {}
    }
    match world.ca_bundles.get(&source) {
        None => Err((Problem::Reference, format!("{source} does not exist; create it, or correct the reference"))),
        Some(Err(problem)) => Err((Problem::Reference, format!("{source} {problem}"))),
        Some(Ok(sha256)) => Ok(CaBundle { source, sha256: sha256.clone() }),
    }
}
