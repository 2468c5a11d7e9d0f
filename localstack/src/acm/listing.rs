//! DescribeCertificate, GetCertificate, ListCertificates, DeleteCertificate.

use super::certificate::Certificate;
use super::{invalid, key_algorithm, paging};
use crate::elb::validation;
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::wire::{Input, Record};

/// DescribeCertificate.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("CertificateArn")?;
    input.done()?;
    Ok(Record::new().with("Certificate", state.acm.certificate(arn)?.detail(state)))
}

/// GetCertificate: the certificate and its chain in PEM.
pub fn get(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("CertificateArn")?;
    input.done()?;
    let certificate = state.acm.certificate(arn)?;
    let material = certificate.material.as_ref().ok_or_else(|| super::in_progress(arn))?;
    Ok(Record::new().with("Certificate", &material.body).maybe("CertificateChain", material.chain.as_ref()))
}

/// The statuses of certificates.
pub(super) const STATUSES: &[&str] = &["PENDING_VALIDATION", "ISSUED", "INACTIVE", "EXPIRED", "VALIDATION_TIMED_OUT", "REVOKED", "FAILED"];

/// Where keys of certificates come from.
pub(super) const KEY_ORIGINS: &[&str] = &["AWS_MANAGED", "ACME", "CUSTOMER_PROVIDED"];

/// What `Includes` and the other parameters choose.
#[derive(Debug)]
struct Choice {
    statuses: Vec<String>,
    key_types: Vec<String>,
    usages: Vec<String>,
    extended_usages: Vec<String>,
    origins: Vec<String>,
    export: Option<String>,
    managed: Option<String>,
}

impl Choice {
    fn takes(&self, certificate: &Certificate, state: &State) -> bool {
        let within = |list: &[String], value: &str| list.iter().any(|listed| listed == value);
        let all = |list: &[String], values: &[&str]| list.iter().all(|listed| values.contains(&listed.as_str()));
        let extended: Vec<&str> = certificate.extended_key_usages().into_iter().map(|(name, _)| name).collect();
        (self.statuses.is_empty() || within(&self.statuses, certificate.status(state.now)))
            && within(&self.key_types, certificate.key_algorithm())
            && all(&self.usages, &certificate.key_usages())
            && all(&self.extended_usages, &extended)
            && (self.origins.is_empty() || within(&self.origins, certificate.key_origin()))
            && self.export.as_ref().is_none_or(|export| export == certificate.export_option())
            && self.managed.as_ref().is_none_or(|by| certificate.issuance.managed_by.as_ref() == Some(by))
    }
}

/// ListCertificates. Unless told otherwise it shows only certificates with RSA keys of 1024 and 2048 bits, as AWS does.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    let statuses = input.strings("CertificateStatuses");
    let includes = input.child("Includes");
    let included = |name: &str| includes.map(|includes| includes.strings(name)).unwrap_or_default();
    let word = |name: &str| includes.and_then(|includes| includes.text(name)).filter(|text| !text.is_empty()).map(str::to_string);
    let asked = included("keyTypes");
    let choice = Choice {
        statuses,
        key_types: if asked.is_empty() { vec!["RSA_1024".into(), "RSA_2048".into()] } else { asked },
        usages: included("keyUsage"),
        extended_usages: included("extendedKeyUsage"),
        origins: input.strings("CertificateKeyPairOrigins"),
        export: word("exportOption"),
        managed: word("managedBy"),
    };
    let (token, size) = paging(input, "MaxItems", 1000, 1000)?;
    let sort = (input.text("SortBy").map(str::to_string), input.text("SortOrder").map(str::to_string));
    input.done()?;
    for (values, member, allowed) in [
        (&choice.statuses, "certificateStatuses", STATUSES),
        (&choice.key_types, "includes.keyTypes", key_algorithm::NAMES),
        (&choice.usages, "includes.keyUsage", &key_algorithm::key_usages()),
        (&choice.extended_usages, "includes.extendedKeyUsage", key_algorithm::EXTENDED_KEY_USAGES),
        (&choice.origins, "certificateKeyPairOrigins", KEY_ORIGINS),
        (&Vec::from_iter(choice.export.clone()), "includes.exportOption", &["ENABLED", "DISABLED"]),
        (&Vec::from_iter(choice.managed.clone()), "includes.managedBy", &["CLOUDFRONT"]),
    ] {
        for value in values {
            validation::one_of(value, member, allowed)?;
        }
    }
    let ascending = match (sort.0.as_deref(), sort.1.as_deref()) {
        (None, None) => true,
        (Some("CREATED_AT"), Some(order @ ("ASCENDING" | "DESCENDING"))) => order == "ASCENDING",
        _ => {
            return Err(ApiError::new(
                "InvalidArgsException",
                "SortBy must be CREATED_AT, and SortOrder ASCENDING or DESCENDING; specify both or none",
            ));
        }
    };
    let certificates = state.acm.certificates.values();
    let mut chosen: Vec<&Certificate> = certificates.filter(|one| choice.takes(one, state)).collect();
    // A key that sorts by time, and by ARN within one moment.
    let key = |one: &&Certificate| {
        let age = if sort.0.is_none() { 0 } else { one.created.as_microsecond() };
        format!("{:020} {}", if ascending { age } else { i64::MAX - age }, one.arn)
    };
    chosen.sort_by_key(&key);
    let (shown, next) = page::page(chosen, |one| key(one), token.as_deref(), size).map_err(|_| invalid("The NextToken is not valid"))?;
    let record = Record::new().list("CertificateSummaryList", shown.into_iter().map(|one| one.summary(state)));
    Ok(record.maybe("NextToken", next))
}

/// DeleteCertificate: refused while a listener uses it, and for a configured while afterwards.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("CertificateArn")?.to_string();
    input.done()?;
    if state.acm.certificate(&arn)?.is_used(state) {
        return Err(super::in_use(state, &arn));
    }
    state.acm.certificates.remove(&arn);
    state.acm.changes += 1;
    Ok(Record::new())
}
