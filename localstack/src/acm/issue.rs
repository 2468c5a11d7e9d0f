//! What Amazon's certificate authority does once the names have been validated.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::certificate::{Material, Origin};
use super::invalid;
use super::issuance::{Migration, Renewal};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::x509::{self, SecretKey};

/// How long issued certificates are valid (AWS: 395 days).
const VALIDITY: SignedDuration = SignedDuration::from_hours(395 * 24);

/// Issues a requested certificate (again), as the admin API asks for it: its names count as validated.
pub fn issue(state: &mut State, arn: &str) -> Answer<()> {
    let certificate = state.acm.certificate(arn)?;
    if certificate.origin != Origin::AmazonIssued {
        return Err(invalid("The certificate was imported; only requested ones are issued."));
    }
    let status = certificate.status(state.now);
    if ["REVOKED", "VALIDATION_TIMED_OUT"].contains(&status) {
        return Err(invalid(format!("The certificate is {status} and is issued no more.")));
    }
    proceed(state, arn)
}

/// What comes of a certificate whose names have been validated: the end of a change of the validation method, or a certificate; that has a new key, as after a renewal, if it
/// was issued before.
pub(super) fn proceed(state: &mut State, arn: &str) -> Answer<()> {
    let now = state.now;
    let certificate = state.acm.certificate(arn)?;
    if certificate.issuance.migration.is_some_and(|migration| migration.is_pending(now)) {
        let certificate = state.acm.certificate_mut(arn)?;
        certificate.validation = Some("DNS".into());
        certificate.issuance.migration = certificate.issuance.migration.map(|migration| Migration { completed: Some(now), ..migration });
        return Ok(());
    }
    let key = certificate.requested_key.clone().unwrap_or_default();
    let material = make(&certificate.requested_names, &key, now)
        .map_err(|error| ApiError::with_status("InternalFailure", format!("no certificate could be made: {error}"), 500))?;
    let certificate = state.acm.certificate_mut(arn)?;
    if certificate.material.is_some() {
        certificate.issuance.renewal = Some(Renewal { pending: false, updated: now });
    }
    certificate.material = material;
    certificate.provided = Some(now);
    Ok(())
}

/// A certificate for these names from a certificate authority that exists only for it. `None` if it could not be read back.
fn make(names: &[String], key: &str, now: Timestamp) -> Result<Option<Material>, rcgen::Error> {
    let authority = KeyPair::generate()?;
    let name = |entries: &[(DnType, &str)]| {
        let mut name = DistinguishedName::new();
        for (kind, value) in entries {
            name.push(kind.clone(), *value);
        }
        name
    };
    let day = |at: Timestamp| {
        let date = at.to_zoned(TimeZone::UTC).date();
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    let valid = |params: &mut CertificateParams| {
        params.not_before = day(now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(now));
        params.not_after = day(now.checked_add(VALIDITY).unwrap_or(now));
    };
    let mut root = CertificateParams::default();
    root.distinguished_name =
        name(&[(DnType::CountryName, "US"), (DnType::OrganizationName, "Amazon"), (DnType::CommonName, "Embedded cloud CA")]);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid(&mut root);
    let root_certificate = root.self_signed(&authority)?;
    let key = match key {
        "EC_prime256v1" => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        "EC_secp384r1" => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?,
        _ => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
    };
    let mut leaf = CertificateParams::new(names.to_vec())?;
    leaf.distinguished_name = name(&[(DnType::CommonName, names.first().map_or("", String::as_str))]);
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    valid(&mut leaf);
    let leaf = leaf.signed_by(&key, &Issuer::from_params(&root, &authority))?;
    let certificates: Vec<CertificateDer<'static>> = vec![leaf.der().clone(), root_certificate.der().clone()];
    let Some(facts) = certificates.first().and_then(|leaf| x509::facts(leaf)) else { return Ok(None) };
    Ok(Some(Material {
        facts,
        body: leaf.pem(),
        chain: Some(root_certificate.pem()),
        certificates,
        key: SecretKey(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))),
    }))
}
