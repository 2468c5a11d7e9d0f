//! ACM (AWS Certificate Manager, version 2015-12-08): certificates that are really parsed, for HTTPS listeners.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::CloudConfig;
use crate::error::{Answer, ApiError};
use crate::operation::{Kind, Operation};
use crate::state::State;
use crate::wire::{Input, Record};
use crate::x509;

pub mod account;
pub mod acme;
pub mod certificate;
pub mod export;
pub mod import;
pub mod issuance;
pub mod issue;
pub mod key_algorithm;
pub mod lifecycle;
pub mod listing;
pub mod options;
pub mod request;
pub mod search;
pub mod tagging;
pub mod validation;

use certificate::Certificate;

/// The prefix of `X-Amz-Target`.
pub const TARGET: &str = "CertificateManager";

/// The state of ACM in the account's region.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Acm {
    /// Certificates by ARN.
    pub certificates: BTreeMap<String, Certificate>,
    /// When certificates were imported in the last year.
    pub imports: VecDeque<Timestamp>,
    /// Requested certificates by the token of their request.
    pub requests: BTreeMap<String, String>,
    /// What is set for the whole account.
    #[serde(default)]
    pub account: account::Account,
    /// ACME endpoints and what they have.
    #[serde(default)]
    pub acme: acme::Acme,
    /// Counts changes; a certificate that changes takes it as its revision.
    pub changes: u64,
}

impl Acm {
    /// The certificate with this ARN.
    pub fn certificate(&self, arn: &str) -> Answer<&Certificate> {
        check_arn(arn)?;
        self.certificates.get(arn).ok_or_else(|| not_found(arn))
    }

    /// The certificate with this ARN, to change it.
    pub fn certificate_mut(&mut self, arn: &str) -> Answer<&mut Certificate> {
        check_arn(arn)?;
        self.changes += 1;
        let certificate = self.certificates.get_mut(arn).ok_or_else(|| not_found(arn))?;
        certificate.revision = self.changes;
        Ok(certificate)
    }
}

fn not_found(arn: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", format!("Could not find certificate {arn}."))
}

fn check_arn(arn: &str) -> Answer<()> {
    let id =
        arn.strip_prefix("arn:aws:acm:").and_then(|tail| tail.splitn(3, ':').nth(2)).and_then(|tail| tail.strip_prefix("certificate/"));
    match id {
        Some(id) if !id.is_empty() => Ok(()),
        _ => Err(ApiError::new("InvalidArnException", format!("The ARN '{arn}' is not a valid certificate ARN"))),
    }
}

/// The ARN of a certificate.
fn arn(config: &CloudConfig, id: &str) -> String {
    format!("arn:aws:acm:{}:{}:certificate/{id}", config.region, config.account)
}

fn in_progress(arn: &str) -> ApiError {
    ApiError::new("RequestInProgressException", format!("The certificate {arn} has not been issued yet: it is pending validation."))
}

fn in_use(state: &State, arn: &str) -> ApiError {
    ApiError::new("ResourceInUseException", format!("Certificate {arn} in account {} is in use.", state.config.account))
}

/// Whether a token of a call that was made at a moment still stands for it (AWS: for an hour).
fn is_remembered(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at) < SignedDuration::from_hours(1)
}

/// `IdempotencyToken` (AWS: 1 to 32 letters, digits and underscores).
fn idempotency_token(input: &Input) -> Answer<Option<String>> {
    let Some(token) = input.text("IdempotencyToken") else { return Ok(None) };
    if token.is_empty() || token.len() > 32 || !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(invalid(format!(
            "1 validation error detected: Value '{token}' at 'idempotencyToken' failed to satisfy constraint: Member must satisfy regular expression pattern: \\w+ and have length between 1 and 32"
        )));
    }
    Ok(Some(token.to_string()))
}

/// A fully qualified domain name, as its pattern in the model has it.
fn domain_name(name: &str, member: &str) -> Answer<()> {
    if x509::is_dns_name(name) && name.contains('.') {
        return Ok(());
    }
    Err(invalid(format!(
        "1 validation error detected: Value '{name}' at '{member}' failed to satisfy constraint: Member must be a fully qualified domain name"
    )))
}

/// The member of a union that is given: exactly one.
fn only<'a>(input: &'a Input, path: &str, members: &[&'static str]) -> Answer<(&'static str, &'a Input)> {
    let mut given = members.iter().filter_map(|member| Some((*member, input.child(member)?)));
    let found = (given.next(), given.next());
    if let (Some(only), None) = found {
        return Ok(only);
    }
    if found.0.is_none() {
        // A member that nobody knows is the better explanation.
        input.done()?;
    }
    Err(invalid(format!(
        "1 validation error detected: Value at '{path}' failed to satisfy constraint: Exactly one member must be set of [{}]",
        members.join(", ")
    )))
}

/// `NextToken`, and how many a page has.
fn paging(input: &Input, member: &str, default: usize, most: usize) -> Answer<(Option<String>, usize)> {
    let token = input.text("NextToken").filter(|token| !token.is_empty()).map(str::to_string);
    let size = input.parse(member)?.unwrap_or(default);
    if !(1..=most).contains(&size) {
        let member = member.replacen('M', "m", 1);
        return Err(invalid(format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must be between 1 and {most}"
        )));
    }
    Ok((token, size))
}

/// An error of a wrong parameter.
fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

/// The operation with this name.
pub fn operation(name: &str) -> Option<Operation> {
    use Kind::{Read, Write};
    Some(match name {
        "ImportCertificate" => Operation::new(Write, import::import),
        "RequestCertificate" => Operation::new(Write, request::request),
        "DescribeCertificate" => Operation::new(Read, listing::describe),
        "GetCertificate" => Operation::new(Read, listing::get),
        "ListCertificates" => Operation::new(Read, listing::list),
        "SearchCertificates" => Operation::new(Read, search::search),
        "DeleteCertificate" => Operation::new(Write, listing::delete),
        "ExportCertificate" => Operation::new(Write, export::export),
        "RenewCertificate" => Operation::new(Write, lifecycle::renew),
        "RevokeCertificate" => Operation::new(Write, lifecycle::revoke),
        "UpdateCertificateOptions" => Operation::new(Write, options::update),
        "ListCertificateDomainValidations" => Operation::new(Read, validation::list),
        "ResendValidationEmail" => Operation::new(Write, validation::resend),
        "GetAccountConfiguration" => Operation::new(Read, account::get),
        "PutAccountConfiguration" => Operation::new(Write, account::put),
        "AddTagsToCertificate" => Operation::new(Write, tagging::add),
        "RemoveTagsFromCertificate" => Operation::new(Write, tagging::remove),
        "ListTagsForCertificate" => Operation::new(Read, tagging::list),
        "CreateAcmeEndpoint" => Operation::new(Write, acme::endpoint::create),
        "UpdateAcmeEndpoint" => Operation::new(Write, acme::endpoint::update),
        "DescribeAcmeEndpoint" => Operation::new(Read, acme::endpoint::describe),
        "ListAcmeEndpoints" => Operation::new(Read, acme::endpoint::list),
        "DeleteAcmeEndpoint" => Operation::new(Write, acme::endpoint::delete),
        "CreateAcmeDomainValidation" => Operation::new(Write, acme::domain_validation::create),
        "UpdateAcmeDomainValidation" => Operation::new(Write, acme::domain_validation::update),
        "DescribeAcmeDomainValidation" => Operation::new(Read, acme::domain_validation::describe),
        "ListAcmeDomainValidations" => Operation::new(Read, acme::domain_validation::list),
        "DeleteAcmeDomainValidation" => Operation::new(Write, acme::domain_validation::delete),
        "CreateAcmeExternalAccountBinding" => Operation::new(Write, acme::binding::create),
        "DescribeAcmeExternalAccountBinding" => Operation::new(Read, acme::binding::describe),
        "ListAcmeExternalAccountBindings" => Operation::new(Read, acme::binding::list),
        "GetAcmeExternalAccountBindingCredentials" => Operation::new(Read, acme::binding::credentials),
        "RevokeAcmeExternalAccountBinding" => Operation::new(Write, acme::binding::revoke),
        "DeleteAcmeExternalAccountBinding" => Operation::new(Write, acme::binding::delete),
        "ListAcmeAccounts" => Operation::new(Read, acme::account::list),
        "DescribeAcmeAccount" => Operation::new(Read, acme::account::absent),
        "RevokeAcmeAccount" => Operation::new(Write, acme::account::absent),
        "TagResource" => Operation::new(Write, acme::tagging::add),
        "UntagResource" => Operation::new(Write, acme::tagging::remove),
        "ListTagsForResource" => Operation::new(Read, acme::tagging::list),
        _ => return None,
    })
}

/// Runs an operation: ACM spells the errors of parameters in its own way.
pub fn run(operation: Operation, state: &mut State, input: &Input) -> Answer<Record> {
    (operation.run)(state, input).map_err(|error| match error.code.as_ref() {
        "ValidationError" => invalid(error.message),
        _ => error,
    })
}
