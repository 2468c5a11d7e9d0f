//! Certificates by reference.

use super::grant;
use crate::World;
use crate::report::Fault;
use portico_crds::Kind;
use portico_crds::normal::SecretRef;
use portico_providers::{Certificate, CertificateReference};

/// Why a certificate cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Missing, of an unknown kind, or malformed.
    Invalid,
    /// No ReferenceGrant permits the reference.
    NotPermitted,
}

/// Resolves the reference of a Gateway or ListenerSet (`kind`) in `namespace` at `path`. What is in the Secret is looked at where it is uploaded.
pub(super) fn resolve(
    world: &World,
    kind: Kind,
    namespace: &str,
    path: &str,
    reference: &SecretRef,
) -> Result<Certificate, Fault<Problem>> {
    let fault = |problem, message: String| Fault::new(problem, format!("{path}: {message}"));
    if !reference.is_secret() {
        let message = format!(
            "kind {} of group {:?} is not known here; refer to a Secret of type kubernetes.io/tls",
            reference.kind, reference.group
        );
        return Err(fault(Problem::Invalid, message));
    }
    let key = reference.resolve(namespace);
    grant::check(world, kind, namespace, Kind::Secret, &key).map_err(|message| fault(Problem::NotPermitted, message))?;
    let Some(secret) = world.secrets.get(&key) else {
        return Err(fault(Problem::Invalid, format!("Secret {key} does not exist")));
    };
    if secret.r#type != "kubernetes.io/tls" {
        let message = format!("Secret {key} is of type {}; kubernetes.io/tls is needed", secret.r#type);
        return Err(fault(Problem::Invalid, message));
    }
    for part in ["tls.crt", "tls.key"] {
        if !secret.keys.contains(part) {
            return Err(fault(Problem::Invalid, format!("Secret {key} has nothing under {part}")));
        }
    }
    Ok(Certificate {
        reference: CertificateReference::Secret(key),
        sha256: String::new(),
        names: Vec::new(),
        not_after: None,
        key_type: None,
    })
}
