//! Certificates by reference.

use super::grant;
use crate::World;
use crate::report::Fault;
use portico_crds::Kind;
use portico_crds::normal::SecretRef;
use portico_crds::tls_option::{self, CERTIFICATE_ARN, CERTIFICATE_DISCOVERY};
use portico_providers::{Certificate, CertificateReference, Hostname};
use std::collections::BTreeMap;

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
        return Err(fault(Problem::Invalid, format!("Secret {key} does not exist; create it, or correct the reference")));
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

/// The certificates that `tls.options` at `path` ask for, which the cloud holds, and what is wrong with the options.
pub(super) fn of_options(path: &str, options: &BTreeMap<String, String>, hostname: Option<&Hostname>) -> (Vec<Certificate>, Vec<String>) {
    let (mut certificates, mut problems) = (Vec::new(), Vec::new());
    let held = |reference| Certificate { reference, sha256: String::new(), names: Vec::new(), not_after: None, key_type: None };
    if let Some(list) = options.get(CERTIFICATE_ARN) {
        let ids: Vec<_> = list.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
        if ids.is_empty() {
            problems.push(format!("{path}[{CERTIFICATE_ARN}]: it is empty; write ids of certificates, separated by commas"));
        }
        certificates.extend(ids.into_iter().map(|id| held(CertificateReference::Cloud(id.to_owned()))));
    }
    match (options.get(CERTIFICATE_DISCOVERY).map(String::as_str), hostname) {
        (None | Some("false"), _) => {}
        (Some("true"), Some(hostname)) => certificates.push(held(CertificateReference::Discover(hostname.clone()))),
        (Some("true"), None) => problems.push(format!(
            "{path}[{CERTIFICATE_DISCOVERY}]: a certificate is looked for by the listener's hostname, and it has none; \
             give it one, or name certificates under {CERTIFICATE_ARN}"
        )),
        (Some(other), _) => problems.push(format!(
            "{path}[{CERTIFICATE_DISCOVERY}]: {other:?} is neither \"true\" nor \"false\"; write one of them, or remove the option"
        )),
    }
    (certificates, problems)
}

/// What a listener without any certificate lacks at which TLS ends; options with unknown keys are likely meant to give one. `cloud`: whether the cloud may hold certificates.
pub(super) fn none_given(path: &str, protocol: &str, options: &BTreeMap<String, String>, cloud: bool) -> String {
    let unknown: Vec<_> = tls_option::unknown(options).collect();
    let unknown = if unknown.is_empty() { String::new() } else { format!(" ({} is not known to Portico)", unknown.join(", ")) };
    let article = if protocol.starts_with('H') { "an" } else { "a" };
    let held = match cloud {
        true => format!(", or set {CERTIFICATE_ARN} or {CERTIFICATE_DISCOVERY} under {path}.options"),
        false => String::new(),
    };
    format!("{path}.certificateRefs is empty: {article} {protocol} listener needs a certificate; refer to a Secret{held}{unknown}")
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

/// What clients of a listener will complain of if none of its certificates is for its hostname. What only the cloud knows is for the provider to judge.
pub(super) fn for_another_name(certificates: &[Certificate], hostname: &Hostname) -> Option<String> {
    let held = certificates.iter().any(|it| !matches!(it.reference, CertificateReference::Secret(_)));
    if held || certificates.is_empty() || certificates.iter().flat_map(|it| &it.names).any(|name| hostname.is_named_by(name)) {
        return None;
    }
    let names: Vec<_> = certificates.iter().flat_map(|it| &it.names).map(String::as_str).collect();
    let names = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
    Some(format!("no certificate is for hostname {hostname}, but for {names}: clients will refuse it; store one for the hostname"))
}
