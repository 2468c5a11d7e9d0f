//! ImportCertificate.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::certificate::{Certificate, Material, Origin};
use super::issuance::Issuance;
use super::{invalid, key_algorithm, tagging};
use crate::config::CertificateCheck;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};
use crate::x509::{self, KeyType, SecretKey};

/// AWS: size of a certificate in PEM.
const CERTIFICATE_LIMIT: usize = 32_768;
/// AWS: size of a private key in PEM.
const KEY_LIMIT: usize = 5120;
/// AWS: size of a chain in PEM.
const CHAIN_LIMIT: usize = 2_097_152;

/// A member that holds bytes, which are in base64 in JSON; `None` if it is absent or empty.
pub(super) fn blob(input: &Input, name: &str) -> Answer<Option<Vec<u8>>> {
    let Some(text) = input.text(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    STANDARD.decode(text).map(Some).map_err(|_| ApiError::new("SerializationException", format!("{name} is not in base64")))
}

/// A member that holds a PEM text.
fn pem(input: &Input, name: &str, limit: usize) -> Answer<Option<String>> {
    let Some(bytes) = blob(input, name)? else { return Ok(None) };
    if bytes.len() > limit {
        return Err(invalid(format!(
            "Value at '{name}' failed to satisfy constraint: Member must have length less than or equal to {limit}"
        )));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// ImportCertificate: a new certificate, or with an ARN the successor of an imported one, which its listeners serve from then on.
pub fn import(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.text("CertificateArn").filter(|arn| !arn.is_empty()).map(str::to_string);
    let body = pem(input, "Certificate", CERTIFICATE_LIMIT)?.ok_or_else(|| crate::wire::input::missing("Certificate"))?;
    let key = pem(input, "PrivateKey", KEY_LIMIT)?.ok_or_else(|| crate::wire::input::missing("PrivateKey"))?;
    let chain = pem(input, "CertificateChain", CHAIN_LIMIT)?;
    let tags = tagging::read(input)?;
    input.done()?;
    if let Some(arn) = &arn {
        if state.acm.certificate(arn)?.origin != Origin::Imported {
            return Err(invalid("The certificate was not imported and cannot be imported again."));
        }
        if !tags.is_empty() {
            return Err(invalid("Tagging is not permitted on re-import."));
        }
    }
    let material = material(body, chain, &key, state.now, state.config.certificates)?;
    if let Some(before) = arn.as_ref().and_then(|arn| state.acm.certificates.get(arn)?.material.as_ref()) {
        check_successor(before, &material)?;
    }
    take_quota(state, arn.is_none())?;
    let arn = match arn {
        Some(arn) => {
            let now = state.now;
            let certificate = state.acm.certificate_mut(&arn)?;
            certificate.domain = domain(&material);
            certificate.material = Some(material);
            certificate.provided = Some(now);
            arn
        }
        None => add(state, Origin::Imported, material, tags),
    };
    Ok(Record::new().with("CertificateArn", arn))
}

fn domain(material: &Material) -> String {
    let common = material.facts.subject.common_name().map(str::to_string);
    common.or_else(|| material.facts.dns_names().next().map(str::to_string)).unwrap_or_default()
}

fn add(state: &mut State, origin: Origin, material: Material, tags: crate::tag::Tags) -> String {
    let arn = super::arn(&state.config, &state.ids.request());
    state.acm.changes += 1;
    let certificate = Certificate {
        arn: arn.clone(),
        origin,
        domain: domain(&material),
        requested_names: Vec::new(),
        validation: None,
        requested_key: None,
        material: Some(material),
        created: state.now,
        provided: Some(state.now),
        released: None,
        issuance: Issuance::default(),
        tags,
        revision: state.acm.changes,
    };
    state.acm.certificates.insert(arn.clone(), certificate);
    arn
}

/// Counts a certificate against the account's limits.
pub(super) fn take_quota(state: &mut State, new: bool) -> Answer<()> {
    let year = jiff::SignedDuration::from_hours(365 * 24);
    let begin = state.now.checked_sub(year).unwrap_or(Timestamp::MIN);
    while state.acm.imports.front().is_some_and(|at| *at < begin) {
        state.acm.imports.pop_front();
    }
    let quotas = &state.config.quotas;
    if new && state.acm.certificates.len() >= quotas.certificates || state.acm.imports.len() >= quotas.certificate_imports_per_year {
        return Err(ApiError::new(
            "LimitExceededException",
            "You have reached the maximum number of certificates. Delete certificates that are not in use, or contact AWS Support to request an increase.",
        ));
    }
    state.acm.imports.push_back(state.now);
    Ok(())
}

/// Reads and checks what a caller gave. (Wording: AWS re:Post, "Why can't I import a third-party SSL/TLS certificate into ACM?")
fn material(body: String, chain: Option<String>, key: &str, now: Timestamp, check: CertificateCheck) -> Answer<Material> {
    let no_pem = |what: &str| invalid(format!("The {what} provided is not in a valid PEM format."));
    let mut certificates = x509::certificates(body.as_bytes()).ok_or_else(|| no_pem("certificate body"))?;
    if certificates.len() > 1 {
        return Err(invalid(
            "The certificate field contains more than one certificate. You can specify only one certificate in this field.",
        ));
    }
    let leaf = certificates.first().cloned().unwrap_or_else(|| CertificateDer::from(Vec::new()));
    let facts =
        x509::facts(&leaf).ok_or_else(|| invalid("Unable to parse certificate. Please ensure the certificate is in PEM format."))?;
    if key.contains("ENCRYPTED") {
        return Err(invalid("The private key is encrypted. Your private key should not be encrypted."));
    }
    let key = x509::private_key(key.as_bytes()).ok_or_else(|| no_pem("private key"))?;
    match (key_algorithm::name(facts.key), facts.key) {
        (Some(_), _) => {}
        (None, KeyType::Rsa(bits)) => {
            return Err(invalid(format!("The private key length {bits} is not supported for key algorithm RSA.")));
        }
        (None, _) => return Err(invalid("The private key is not supported.")),
    }
    match x509::key_fits(&key, &leaf) {
        Some(true) => {}
        Some(false) => return Err(invalid("The private key does not match the public key of the certificate.")),
        None => return Err(invalid("The private key is not supported.")),
    }
    if now < facts.not_before || facts.not_after < now {
        return Err(invalid("The certificate is not valid: its validity period has not begun, or it has expired."));
    }
    if let Some(chain) = &chain {
        certificates.extend(x509::certificates(chain.as_bytes()).ok_or_else(|| no_pem("certificate chain"))?);
    }
    if check == CertificateCheck::Strict {
        let self_signed = x509::chain_holds(&[leaf.clone(), leaf]);
        if chain.is_none() && !self_signed {
            return Err(invalid(
                "Provided certificate is not a valid self signed. Please provide either a valid self-signed certificate or certificate chain.",
            ));
        }
        if !x509::chain_holds(&certificates) {
            return Err(invalid("Could not validate the certificate with the certificate chain."));
        }
    }
    Ok(Material { facts, body, chain, certificates, key: SecretKey(key) })
}

/// AWS, "Reimport a certificate": names can come and go, but not all of them; key usages can be added, not removed; the key type and size cannot be
/// changed.
fn check_successor(before: &Material, after: &Material) -> Answer<()> {
    if before.facts.key != after.facts.key {
        return Err(invalid("The key type and size of the certificate cannot be changed by a re-import."));
    }
    if !before.facts.names().is_empty() && after.facts.names().is_empty() {
        return Err(invalid("A re-import cannot remove all domain names of the certificate."));
    }
    let usages = before.facts.key_usage.unwrap_or_default();
    let lost_usage = after.facts.key_usage.unwrap_or_default() & usages != usages;
    let lost_purpose = before.facts.extended_key_usage.iter().any(|oid| !after.facts.extended_key_usage.contains(oid));
    if lost_usage || lost_purpose {
        return Err(invalid("A re-import cannot remove key usage or extended key usage values of the certificate."));
    }
    Ok(())
}
