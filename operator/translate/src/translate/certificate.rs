//! Certificates and certificate authorities by reference.

use super::grant;
use crate::World;
use crate::report::Fault;
use portico_crds::condition::ListenerReason;
use portico_crds::normal::SecretRef;
use portico_crds::{Kind, NamespacedName, ObjectRef};
use portico_providers::{Certificate, CertificateReference, Hostname};

/// Why a certificate cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Missing, of an unknown kind, or malformed.
    Invalid,
    /// No ReferenceGrant permits the reference.
    NotPermitted,
}

/// Resolves the reference of a Gateway or ListenerSet (`kind`) in `namespace` at `path`. The grant is asked for before the Secret (Gateway API).
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
    let leaf = secret.certificate.as_ref().map_err(|problem| fault(Problem::Invalid, format!("Secret {key} {problem}")))?;
    Ok(Certificate {
        reference: CertificateReference::Secret(key),
        sha256: leaf.sha256.clone(),
        names: leaf.names.clone(),
        not_after: Some(leaf.not_after.clone()),
        key_type: Some(leaf.key_type.clone()),
    })
}

/// Why clients will not take a certificate at this time. What is served with it goes on being served.
pub(super) fn out_of_date(world: &World, path: &str, certificate: &Certificate) -> Option<String> {
    let CertificateReference::Secret(key) = &certificate.reference else { return None };
    let (now, leaf) = (world.now.as_ref()?, world.secrets.get(key)?.certificate.as_ref().ok()?);
    if leaf.not_after <= *now {
        Some(format!("{path}: the certificate in Secret {key} expired at {}; renew it in the Secret", leaf.not_after))
    } else if *now < leaf.not_before {
        Some(format!("{path}: the certificate in Secret {key} is not valid before {}; store one that is valid", leaf.not_before))
    } else {
        None
    }
}

/// What clients of a listener will complain of if none of its certificates is for its hostname (RFC 9525: a wildcard stands for one label).
pub(super) fn for_another_name(certificates: &[Certificate], hostname: &Hostname) -> Option<String> {
    let hostname = hostname.as_str();
    let parent = hostname.split_once('.').map(|(_, parent)| parent);
    let fits = |name: &String| name == hostname || (name.strip_prefix("*.").is_some_and(|rest| Some(rest) == parent));
    if certificates.is_empty() || certificates.iter().flat_map(|it| &it.names).any(fits) {
        return None;
    }
    let names: Vec<_> = certificates.iter().flat_map(|it| &it.names).map(String::as_str).collect();
    let names = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
    Some(format!("no certificate is for hostname {hostname}, but for {names}: clients will refuse it; store one for the hostname"))
}

/// Resolves `caCertificateRefs` of a Gateway in `namespace`: the bundles that can be used, and what is wrong with the others.
pub(super) fn ca_bundles(
    world: &World,
    namespace: &str,
    path: &str,
    references: &[ObjectRef],
) -> (Vec<(NamespacedName, String)>, Vec<Fault<ListenerReason>>) {
    let (mut bundles, mut faults) = (Vec::new(), Vec::new());
    for (index, reference) in references.iter().enumerate() {
        let mut fault = |reason, message: String| faults.push(Fault::new(reason, format!("{path}.caCertificateRefs[{index}]: {message}")));
        if reference.known_kind() != Some(Kind::ConfigMap) {
            let message = format!(
                "kind {} of group {:?} is not known here; refer to a ConfigMap with the key ca.crt",
                reference.kind, reference.group
            );
            fault(ListenerReason::InvalidCACertificateKind, message);
            continue;
        }
        let key = reference.resolve(namespace);
        if let Err(message) = grant::check(world, Kind::Gateway, namespace, Kind::ConfigMap, &key) {
            fault(ListenerReason::RefNotPermitted, message);
            continue;
        }
        match world.ca_bundles.get(&key) {
            None => fault(ListenerReason::InvalidCACertificateRef, format!("ConfigMap {key} does not exist")),
            Some(Err(problem)) => fault(ListenerReason::InvalidCACertificateRef, format!("ConfigMap {key} {problem}")),
            Some(Ok(sha256)) => bundles.push((key, sha256.clone())),
        }
    }
    (bundles, faults)
}
