//! ACM's ACME endpoints, as configuration: endpoints, the domains that they may issue certificates for, and what clients register with. Nothing listens at an endpoint's URL, so that there are no
//! accounts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{invalid, is_remembered};
use crate::error::{Answer, ApiError};
use crate::tag::Tags;
use crate::wire::{Input, Record};

pub mod account;
pub mod binding;
pub mod domain_validation;
pub mod endpoint;
pub mod tagging;

use binding::Binding;
use domain_validation::DomainValidation;
use endpoint::Endpoint;

/// The state of ACME in the account's region, by ARN.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Acme {
    /// Endpoints.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Validations of domains.
    pub domain_validations: BTreeMap<String, DomainValidation>,
    /// External account bindings.
    pub bindings: BTreeMap<String, Binding>,
    /// Calls that created something, by their tokens.
    pub tokens: BTreeMap<String, Token>,
}

/// A call that created something with a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Token {
    /// When.
    pub at: Timestamp,
    /// What was asked for.
    pub call: String,
    /// The ARN of what was created.
    pub arn: String,
}

impl Acme {
    /// The endpoint with this ARN.
    pub fn endpoint(&self, arn: &str) -> Answer<&Endpoint> {
        self.endpoints.get(arn).ok_or_else(|| not_found(arn))
    }

    /// Tags of any of its resources.
    pub fn tags_mut(&mut self, arn: &str) -> Option<&mut Tags> {
        if let Some(endpoint) = self.endpoints.get_mut(arn) {
            return Some(&mut endpoint.tags);
        }
        if let Some(validation) = self.domain_validations.get_mut(arn) {
            return Some(&mut validation.tags);
        }
        self.bindings.get_mut(arn).map(|binding| &mut binding.tags)
    }

    /// Every resource: its ARN, its type as the Resource Groups Tagging API spells it, its tags.
    pub fn tagged(&self) -> impl Iterator<Item = (&String, &'static str, &Tags)> {
        let endpoints = self.endpoints.iter().map(|(arn, one)| (arn, "acm:acme-endpoint", &one.tags));
        let validations = self.domain_validations.iter().map(|(arn, one)| (arn, "acm:acme-domain-validation", &one.tags));
        let bindings = self.bindings.iter().map(|(arn, one)| (arn, "acm:acme-external-account-binding", &one.tags));
        endpoints.chain(validations).chain(bindings)
    }

    /// All of it, without keys and tokens.
    pub fn shown(&self) -> Value {
        let without = |binding: &Binding| {
            let mut shown = json!(binding);
            shown.as_object_mut().map(|members| members.remove("mac_key"));
            shown
        };
        let bindings: BTreeMap<&String, Value> = self.bindings.iter().map(|(arn, one)| (arn, without(one))).collect();
        json!({ "endpoints": self.endpoints, "domain_validations": self.domain_validations, "bindings": bindings })
    }

    /// What a call with this token created within the last hour. The same token with something else is refused.
    fn created(&mut self, token: Option<&str>, call: &str, now: Timestamp) -> Answer<Option<String>> {
        self.tokens.retain(|_, token| is_remembered(token.at, now));
        match token.and_then(|token| self.tokens.get(token)) {
            None => Ok(None),
            Some(known) if known.call == call => Ok(Some(known.arn.clone())),
            Some(_) => Err(conflict("The IdempotencyToken was given with other parameters")),
        }
    }

    fn remember(&mut self, token: Option<String>, call: String, arn: String, now: Timestamp) {
        if let Some(token) = token {
            self.tokens.insert(token, Token { at: now, call, arn });
        }
    }
}

fn not_found(arn: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", format!("Could not find {arn}."))
}

fn conflict(message: impl Into<String>) -> ApiError {
    ApiError::new("ConflictException", message)
}

/// AWS: length of an ARN.
const ARN_LIMIT: usize = 200;

/// A member that holds the ARN of an ACME resource: of an endpoint, or of something of one.
fn arn(input: &Input, member: &str, kind: Option<&str>) -> Answer<String> {
    let text = input.required(member)?;
    let id = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let tail = text.strip_prefix("arn:aws:acm:").and_then(|tail| tail.splitn(3, ':').nth(2)).unwrap_or_default();
    let parts: Vec<&str> = tail.split('/').collect();
    let fits = match (parts.as_slice(), kind) {
        (["acme-endpoint", of], None) => id(of),
        (["acme-endpoint", of, found, which], Some(kind)) => id(of) && *found == kind && id(which),
        _ => false,
    };
    if fits && text.len() <= ARN_LIMIT {
        return Ok(text.to_string());
    }
    Err(invalid(format!(
        "1 validation error detected: Value '{text}' at '{member}' failed to satisfy constraint: Member must be an ARN of its kind"
    )))
}

/// The token of a call, which is one of its operation, and what the call asks for.
fn call(operation: &str, input: &Input) -> (Option<String>, String) {
    let token = input.text("IdempotencyToken").filter(|token| !token.is_empty()).map(|token| format!("{operation} {token}"));
    let mut leaves = input.leaves();
    leaves.retain(|(path, _)| path != "IdempotencyToken");
    (token, format!("{leaves:?}"))
}

/// Adds when something was made and changed.
fn times(record: Record, created: Timestamp, updated: Timestamp) -> Record {
    record.with("CreatedAt", created).with("UpdatedAt", updated)
}
