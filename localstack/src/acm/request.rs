//! RequestCertificate.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::certificate::{Certificate, Origin};
use super::import::take_quota;
use super::issuance::Issuance;
use super::options::{self, Options};
use super::{idempotency_token, invalid, is_remembered, tagging, validation};
use crate::elb::validation::one_of;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};
use crate::x509;

/// AWS: 10 names per certificate by default, the first one included.
const NAME_LIMIT: usize = 10;
/// AWS: length of the first name, which becomes the common name (RFC 5280).
const COMMON_NAME_LIMIT: usize = 64;

/// What a caller asks for.
struct Wanted {
    names: Vec<String>,
    validation: String,
    key: String,
    export: bool,
    mail_domains: BTreeMap<String, String>,
    managed_by: Option<String>,
    tags: Tags,
    token: Option<String>,
}

fn wrong_domain(message: String) -> ApiError {
    ApiError::new("InvalidDomainValidationOptionsException", message)
}

fn read(input: &Input) -> Answer<Wanted> {
    let domain = input.required("DomainName")?.to_ascii_lowercase();
    let mut names = vec![domain.clone()];
    names.extend(input.strings("SubjectAlternativeNames").into_iter().map(|name| name.to_ascii_lowercase()).filter(|name| *name != domain));
    let method = options::method(input, "validationMethod")?;
    let key = input.text("KeyAlgorithm").filter(|text| !text.is_empty()).unwrap_or("RSA_2048").to_string();
    let tags = tagging::read(input)?;
    // Repeating a request with its token is harmless; without one it makes another certificate.
    let token = idempotency_token(input)?;
    let options = Options::read(input)?.unwrap_or_default();
    let managed_by = input.text("ManagedBy").filter(|text| !text.is_empty()).map(str::to_string);
    let mut mail_domains = BTreeMap::new();
    for item in input.items("DomainValidationOptions") {
        let (name, domain) = (item.required("DomainName")?.to_ascii_lowercase(), item.required("ValidationDomain")?.to_ascii_lowercase());
        // API reference, DomainValidationOption: the domain of the mails must be the name or a superdomain of it.
        if !names.contains(&name) || !validation::is_mail_domain(&name, &domain) {
            return Err(wrong_domain(format!(
                "The validation domain '{domain}' is not '{name}' or a superdomain of it, or that name was not requested"
            )));
        }
        mail_domains.insert(name, domain);
    }
    if input.text("CertificateAuthorityArn").is_some() {
        return Err(ApiError::new("InvalidArnException", "Private certificate authorities are not served by this cloud"));
    }
    input.done()?;
    if let Some(by) = &managed_by {
        one_of(by, "managedBy", &["CLOUDFRONT"])?;
    }
    if method.is_some() && options.validation.is_some() && method != options.validation {
        return Err(invalid("ValidationMethod and that of Options contradict each other"));
    }
    let validation = method.or(options.validation).unwrap_or_else(|| "EMAIL".into());
    let export = options.export.unwrap_or(false);
    Ok(Wanted { names, validation, key, export, mail_domains, managed_by, tags, token })
}

fn check(wanted: &Wanted) -> Answer<()> {
    let Wanted { names, validation, key, managed_by, .. } = wanted;
    if !["RSA_2048", "EC_prime256v1", "EC_secp384r1"].contains(&key.as_str()) {
        return Err(invalid(format!("The key algorithm {key} cannot be requested; use RSA_2048, EC_prime256v1 or EC_secp384r1")));
    }
    if let Some(wrong) = names.iter().find(|name| !x509::is_dns_name(name) || !name.contains('.')) {
        return Err(wrong_domain(format!("'{wrong}' is not a fully qualified domain name")));
    }
    if names.first().is_some_and(|first| first.len() > COMMON_NAME_LIMIT) {
        return Err(wrong_domain(format!("The first domain name can have no more than {COMMON_NAME_LIMIT} characters.")));
    }
    if names.len() > NAME_LIMIT {
        return Err(ApiError::new("LimitExceededException", format!("A certificate can have at most {NAME_LIMIT} domain names")));
    }
    // API reference, DomainValidation: HTTP validation is for "certificates requested through Amazon CloudFront".
    if validation == "HTTP" && (managed_by.is_none() || names.iter().any(|name| name.starts_with("*."))) {
        return Err(invalid("The validation method HTTP is for certificates that are managed by CLOUDFRONT, and for no wildcards"));
    }
    Ok(())
}

/// RequestCertificate: pending until its names have been validated. For names that are in a public hosted zone of Route 53 that is done by their records; the admin API
/// (`POST /_cloud/certificates`) does it for any.
pub fn request(state: &mut State, input: &Input) -> Answer<Record> {
    let wanted = read(input)?;
    check(&wanted)?;
    let now = state.now;
    let known = wanted.token.as_ref().and_then(|token| state.acm.requests.get(token)).and_then(|arn| state.acm.certificates.get(arn));
    if let Some(known) = known
        && is_remembered(known.created, now)
        && known.requested_names == wanted.names
        && known.validation.as_ref() == Some(&wanted.validation)
    {
        return Ok(Record::new().with("CertificateArn", &known.arn));
    }
    take_quota(state, true)?;
    let Wanted { names, validation, key, export, mail_domains, managed_by, tags, token } = wanted;
    let arn = super::arn(&state.config, &state.ids.request());
    state.acm.changes += 1;
    let mailed = (validation == "EMAIL").then_some(now);
    let certificate = Certificate {
        arn: arn.clone(),
        origin: Origin::AmazonIssued,
        domain: names.first().cloned().unwrap_or_default(),
        requested_names: names,
        validation: Some(validation),
        requested_key: Some(key),
        material: None,
        created: now,
        provided: None,
        released: None,
        issuance: Issuance { export, mail_domains, mailed, managed_by, ..Issuance::default() },
        tags,
        revision: state.acm.changes,
    };
    state.acm.certificates.insert(arn.clone(), certificate);
    // AWS: tokens of requests are forgotten after an hour.
    let hour_ago = now.checked_sub(SignedDuration::from_hours(1)).unwrap_or(now);
    let certificates = &state.acm.certificates;
    state.acm.requests.retain(|_, arn| certificates.get(arn).is_some_and(|one| one.created > hour_ago));
    if let Some(token) = token {
        state.acm.requests.insert(token, arn.clone());
    }
    validation::look(state);
    Ok(Record::new().with("CertificateArn", arn))
}
