//! ACM (AWS Certificate Manager, version 2015-12-08): certificates that are really parsed, for HTTPS listeners.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::CloudConfig;
use crate::error::{Answer, ApiError};
use crate::operation::{Kind, Operation};
use crate::state::State;
use crate::wire::{Input, Record};

pub mod certificate;
pub mod import;
pub mod issue;
pub mod key_algorithm;
pub mod listing;
pub mod tagging;

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

/// An error of a wrong parameter.
fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

/// The operation with this name.
pub fn operation(name: &str) -> Option<Operation> {
    use Kind::{Read, Write};
    Some(match name {
        "ImportCertificate" => Operation::new(Write, import::import),
        "RequestCertificate" => Operation::new(Write, issue::request),
        "DescribeCertificate" => Operation::new(Read, listing::describe),
        "GetCertificate" => Operation::new(Read, listing::get),
        "ListCertificates" => Operation::new(Read, listing::list),
        "DeleteCertificate" => Operation::new(Write, listing::delete),
        "AddTagsToCertificate" => Operation::new(Write, tagging::add),
        "RemoveTagsFromCertificate" => Operation::new(Write, tagging::remove),
        "ListTagsForCertificate" => Operation::new(Read, tagging::list),
        _ => return None,
    })
}

/// Operations of the real service that this cloud does not have.
pub const MISSING: &[&str] = &[
    "ExportCertificate",
    "GetAccountConfiguration",
    "PutAccountConfiguration",
    "RenewCertificate",
    "ResendValidationEmail",
    "RevokeCertificate",
    "SearchCertificates",
    "UpdateCertificateOptions",
];

/// Runs an operation: ACM spells the errors of parameters in its own way.
pub fn run(operation: Operation, state: &mut State, input: &Input) -> Answer<Record> {
    (operation.run)(state, input).map_err(|error| match error.code.as_ref() {
        "ValidationError" => invalid(error.message),
        _ => error,
    })
}
