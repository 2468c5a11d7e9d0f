//! RequestCertificate, and what Amazon's certificate authority does once the names have been validated.

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::certificate::{Certificate, Material, Origin};
use super::import::take_quota;
use super::{invalid, tagging};
use crate::elb::validation;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};
use crate::x509::{self, SecretKey};

/// AWS: 10 names per certificate by default, the first one included.
const NAME_LIMIT: usize = 10;
/// How long issued certificates are valid (AWS: 395 days).
const VALIDITY: SignedDuration = SignedDuration::from_hours(395 * 24);

/// What proves control of a name, as it stands in DNS: made of two texts, always the same for the same ones.
pub(super) fn challenge(of: &str, with: &str) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, of, with).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    };
    half(0) + &half(1)
}

/// RequestCertificate: pending until its names have been validated, which the admin API does (`POST /_cloud/certificates`).
pub fn request(state: &mut State, input: &Input) -> Answer<Record> {
    let domain = input.required("DomainName")?.to_ascii_lowercase();
    let mut names = vec![domain.clone()];
    names.extend(input.strings("SubjectAlternativeNames").into_iter().map(|name| name.to_ascii_lowercase()).filter(|name| *name != domain));
    let validation = input.text("ValidationMethod").filter(|text| !text.is_empty()).unwrap_or("EMAIL").to_string();
    let key = input.text("KeyAlgorithm").filter(|text| !text.is_empty()).unwrap_or("RSA_2048").to_string();
    let tags = tagging::read(input)?;
    // Repeating a request with its token is harmless; without one it makes another certificate.
    let token = input.text("IdempotencyToken").map(str::to_string);
    if let Some(options) = input.child("Options") {
        for member in ["CertificateTransparencyLoggingPreference", "Export"] {
            if let Some(value) = options.text(member) {
                validation::one_of(value, member, &["ENABLED", "DISABLED"])?;
            }
        }
        if options.text("Export") == Some("ENABLED") {
            return Err(invalid("Exportable certificates are not served by this cloud"));
        }
    }
    for item in input.items("DomainValidationOptions") {
        let (name, sender) = (item.required("DomainName")?.to_ascii_lowercase(), item.required("ValidationDomain")?.to_ascii_lowercase());
        // API reference, DomainValidationOption: the domain of the mails must be the name or a superdomain of it.
        if !names.contains(&name) || name != sender && !name.ends_with(&format!(".{sender}")) {
            let problem =
                format!("The validation domain '{sender}' is not '{name}' or a superdomain of it, or that name was not requested");
            return Err(ApiError::new("InvalidDomainValidationOptionsException", problem));
        }
    }
    if input.text("CertificateAuthorityArn").is_some() {
        return Err(ApiError::new("InvalidArnException", "Private certificate authorities are not served by this cloud"));
    }
    input.done()?;
    if !["DNS", "EMAIL"].contains(&validation.as_str()) {
        return Err(invalid(format!("The validation method '{validation}' is not served by this cloud; use DNS or EMAIL")));
    }
    if !["RSA_2048", "EC_prime256v1", "EC_secp384r1"].contains(&key.as_str()) {
        return Err(invalid(format!("The key algorithm {key} cannot be requested; use RSA_2048, EC_prime256v1 or EC_secp384r1")));
    }
    if let Some(wrong) = names.iter().find(|name| !x509::is_dns_name(name) || !name.contains('.')) {
        let code = "InvalidDomainValidationOptionsException";
        return Err(ApiError::new(code, format!("'{wrong}' is not a fully qualified domain name")));
    }
    if names.len() > NAME_LIMIT {
        return Err(ApiError::new("LimitExceededException", format!("A certificate can have at most {NAME_LIMIT} domain names")));
    }
    if let Some(known) = token.as_ref().and_then(|token| state.acm.requests.get(token)).and_then(|arn| state.acm.certificates.get(arn))
        && state.now.duration_since(known.created) < SignedDuration::from_hours(1)
        && known.requested_names == names
        && known.validation.as_ref() == Some(&validation)
    {
        return Ok(Record::new().with("CertificateArn", &known.arn));
    }
    take_quota(state, true)?;
    let arn = super::arn(&state.config, &state.ids.request());
    state.acm.changes += 1;
    let certificate = Certificate {
        arn: arn.clone(),
        origin: Origin::AmazonIssued,
        domain,
        requested_names: names,
        validation: Some(validation),
        requested_key: Some(key),
        material: None,
        created: state.now,
        provided: None,
        released: None,
        tags,
        revision: state.acm.changes,
    };
    state.acm.certificates.insert(arn.clone(), certificate);
    // AWS: tokens of requests are forgotten after an hour.
    let hour_ago = state.now.checked_sub(SignedDuration::from_hours(1)).unwrap_or(state.now);
    let certificates = &state.acm.certificates;
    state.acm.requests.retain(|_, arn| certificates.get(arn).is_some_and(|one| one.created > hour_ago));
    if let Some(token) = token {
        state.acm.requests.insert(token, arn.clone());
    }
    Ok(Record::new().with("CertificateArn", arn))
}

/// Issues a requested certificate (again): its names count as validated. A certificate that is issued again has a new key, as after a renewal.
pub fn issue(state: &mut State, arn: &str) -> Answer<()> {
    let certificate = state.acm.certificate(arn)?;
    if certificate.origin != Origin::AmazonIssued {
        return Err(invalid("The certificate was imported; only requested ones are issued."));
    }
    let key = certificate.requested_key.clone().unwrap_or_default();
    let material = make(&certificate.requested_names, &key, state.now)
        .map_err(|error| ApiError::with_status("InternalFailure", format!("no certificate could be made: {error}"), 500))?;
    let now = state.now;
    let certificate = state.acm.certificate_mut(arn)?;
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
