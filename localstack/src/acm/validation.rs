//! Control of domain names: what proves it, what was proven, and the mails that ask for it.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::certificate::Certificate;
use super::issuance::is_overdue;
use super::{acme, domain_name, issue, paging};
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::wire::{Input, Record};

/// To whom validation mails go (user guide, "Email validation").
const MAILBOXES: [&str; 5] = ["admin", "administrator", "hostmaster", "postmaster", "webmaster"];

/// Texts that stand for two others, always the same for the same ones.
fn token(of: &str, with: &str) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, of, with).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    };
    half(0) + &half(1)
}

fn bare(name: &str) -> &str {
    name.strip_prefix("*.").unwrap_or(name)
}

/// The CNAME record that proves control of a name.
#[derive(Debug)]
pub(super) struct Proof {
    /// The record's name, with a dot at the end.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The record for a name: one for whoever asks for it (an account, an ACME endpoint), whatever certificate needs it, and the same for all names below it (user guide, "DNS validation").
pub(super) fn proof(asker: &str, name: &str) -> Proof {
    let bare = bare(name);
    Proof { name: format!("_{}.{bare}.", token(asker, bare)), value: format!("_{}.acm-validations.aws.", token(bare, asker)) }
}

impl Proof {
    /// The record as ACM shows it.
    pub fn record(&self) -> Record {
        Record::new().with("Name", &self.name).with("Type", "CNAME").with("Value", &self.value)
    }

    /// Whether a zone, whose name ends with a dot, has the record's name.
    pub fn is_in(&self, zone: &str) -> bool {
        self.name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
    }

    /// Whether the record is in Route 53; `None` if no public hosted zone has its name, so that its DNS is elsewhere.
    pub fn is_found(&self, state: &State) -> Option<bool> {
        let zones = state.route53.zones.values().filter(|zone| zone.vpc.is_none() && self.is_in(&zone.name));
        // The most specific zone is the one that has the name.
        let zone = zones.max_by_key(|zone| zone.name.len())?;
        let found = zone.records.get(&self.name).and_then(|sets| sets.get("CNAME")).and_then(|set| set.values.first());
        Some(found.is_some_and(|found| found.trim_end_matches('.').eq_ignore_ascii_case(self.value.trim_end_matches('.'))))
    }
}

/// Whether control of a name is proven to the account; `None` if its DNS is elsewhere.
pub(super) fn is_proven(state: &State, name: &str) -> Option<bool> {
    proof(&state.config.account, name).is_found(state)
}

/// Looks for the records that certificates wait for, and goes on with those that have them all: issues, renews, or ends a change of the validation method.
pub fn look(state: &mut State) {
    acme::domain_validation::look(state);
    let now = state.now;
    let waits = |one: &&Certificate| {
        let migrates = one.issuance.migration.is_some_and(|migration| migration.is_pending(now));
        let renews = one.issuance.renewal.is_some_and(|renewal| renewal.status(now) == "PENDING_VALIDATION");
        let by_records = one.validation.as_deref() == Some("DNS");
        migrates || by_records && (renews || one.status(now) == "PENDING_VALIDATION")
    };
    let ready = |one: &&Certificate| one.requested_names.iter().all(|name| is_proven(state, name) == Some(true));
    let arns: Vec<String> = state.acm.certificates.values().filter(waits).filter(ready).map(|one| one.arn.clone()).collect();
    for arn in arns {
        // It goes on waiting then, until somebody looks again.
        if let Err(error) = issue::proceed(state, &arn) {
            tracing::warn!(%arn, %error, "a certificate cannot be issued");
        }
    }
}

impl Certificate {
    /// The domain that mails about a name go to.
    fn mail_domain<'a>(&'a self, name: &'a str) -> &'a str {
        self.issuance.mail_domains.get(name).map_or(bare(name), String::as_str)
    }

    fn mails(&self, name: &str) -> Vec<String> {
        let domain = self.mail_domain(name);
        MAILBOXES.iter().map(|mailbox| format!("{mailbox}@{domain}")).collect()
    }

    /// `DomainValidationOptions`, with this status of each name.
    pub(super) fn validations(&self, state: &State, status: &str) -> Vec<Record> {
        let method = self.validation.as_deref().unwrap_or("DNS");
        let account = &state.config.account;
        let one = |name: &String| {
            let record = Record::new()
                .with("DomainName", name)
                .with("ValidationDomain", if method == "EMAIL" { self.mail_domain(name) } else { name })
                .with("ValidationStatus", status)
                .with("ValidationMethod", method);
            match method {
                "DNS" => record.with("ResourceRecord", proof(account, name).record()),
                "HTTP" => {
                    let path = format!(".well-known/pki-validation/{}.txt", token(name, account));
                    let to = format!("https://validation.{}.acm-validations.aws/{account}/{path}", state.config.region);
                    let redirect = Record::new().with("RedirectFrom", format!("http://{name}/{path}")).with("RedirectTo", to);
                    record.with("HttpRedirect", redirect)
                }
                _ => record.list("ValidationEmails", self.mails(name)),
            }
        };
        self.requested_names.iter().map(one).collect()
    }

    /// The status of the first validation of its names.
    pub(super) fn validation_status(&self, state: &State) -> &'static str {
        match self.status(state.now) {
            "PENDING_VALIDATION" => "PENDING_VALIDATION",
            "VALIDATION_TIMED_OUT" => "FAILED",
            _ => "SUCCESS",
        }
    }

    /// How a name is validated by a method.
    fn configuration(&self, state: &State, name: &str, method: &str, status: &str) -> Record {
        let challenge = match method {
            "DNS" => Some(
                Record::new()
                    .with("DnsValidationChallenge", Record::new().with("ResourceRecord", proof(&state.config.account, name).record())),
            ),
            "EMAIL" => Some(Record::new().with(
                "EmailValidationChallenge",
                Record::new().list("ValidationEmails", self.mails(name)).with("ValidationDomain", self.mail_domain(name)),
            )),
            _ => None,
        };
        Record::new().with("ValidationMethod", method).maybe("ValidationChallenge", challenge).with("ValidationStatus", status)
    }
}

/// ListCertificateDomainValidations: how each name is validated, and how it is going to be.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("CertificateArn")?;
    let (token, size) = paging(input, "MaxItems", 1000, 1000)?;
    input.done()?;
    let wrong = |message: String| ApiError::new("InvalidArgsException", message);
    // This operation's errors name neither an ARN nor a value of another form (API reference, ListCertificateDomainValidations).
    let certificate = state.acm.certificate(arn).map_err(|error| match error.code.as_ref() {
        "InvalidArnException" => wrong(error.message),
        _ => error,
    })?;
    let method = certificate.validation.as_deref().unwrap_or("DNS");
    let migration = certificate.issuance.migration.filter(|migration| migration.completed.is_none());
    let names: BTreeSet<&String> = certificate.requested_names.iter().collect();
    let (shown, next) = page::page(names.into_iter().collect(), |name| (*name).clone(), token.as_deref(), size)
        .map_err(|_| wrong("The NextToken is not valid".into()))?;
    let summary = |name: &String| {
        let requested = migration.map(|migration| {
            let proven = is_proven(state, name) == Some(true);
            let status = if migration.is_pending(state.now) { ["PENDING_VALIDATION", "SUCCESS"] } else { ["FAILED", "FAILED"] };
            certificate.configuration(state, name, "DNS", status[usize::from(proven)])
        });
        Record::new()
            .with("DomainName", name)
            .with("ActiveValidationConfiguration", certificate.configuration(state, name, method, certificate.validation_status(state)))
            .maybe("RequestedValidationConfiguration", requested)
    };
    Ok(Record::new().list("DomainValidationSummaryList", shown.into_iter().map(summary)).maybe("NextToken", next))
}

/// Whether mails about a name may go to a domain: the name itself, or a superdomain of it.
pub(super) fn is_mail_domain(name: &str, domain: &str) -> bool {
    let name = bare(name);
    name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// ResendValidationEmail: the mails about one name go out again, from now on to this domain.
pub fn resend(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("CertificateArn")?.to_string();
    let [name, domain] = ["Domain", "ValidationDomain"].map(|member| input.required(member).map(str::to_ascii_lowercase));
    let (name, domain) = (name?, domain?);
    input.done()?;
    domain_name(&name, "domain")?;
    domain_name(&domain, "validationDomain")?;
    let now = state.now;
    let certificate = state.acm.certificate(&arn)?;
    let refused = |why: &str| Err(ApiError::new("InvalidStateException", format!("The certificate {arn} {why}")));
    if certificate.validation.as_deref() != Some("EMAIL") {
        return refused("is not validated by email");
    }
    let renews = certificate.issuance.renewal.is_some_and(|renewal| renewal.status(now) == "PENDING_VALIDATION");
    if certificate.status(now) != "PENDING_VALIDATION" && !renews {
        return refused("does not wait for a validation");
    }
    // API reference, ResendValidationEmail: within 72 hours of the request or of the last attempt.
    if certificate.issuance.mailed.is_some_and(|mailed| is_overdue(mailed, now)) {
        return refused("was requested, or its mail sent again, more than 72 hours ago: request a new one");
    }
    if !certificate.requested_names.contains(&name) {
        return Err(ApiError::new(
            "InvalidDomainValidationOptionsException",
            format!("The certificate {arn} was not requested for '{name}'"),
        ));
    }
    if !is_mail_domain(&name, &domain) {
        let problem = format!("The validation domain '{domain}' is not '{name}' or a superdomain of it");
        return Err(ApiError::new("InvalidDomainValidationOptionsException", problem));
    }
    let issuance = &mut state.acm.certificate_mut(&arn)?.issuance;
    issuance.mail_domains.insert(name, domain);
    issuance.mailed = Some(now);
    Ok(Record::new())
}
