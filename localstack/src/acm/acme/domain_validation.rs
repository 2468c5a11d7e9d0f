//! What an ACME endpoint may issue certificates for: domains whose control is proven by a record.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{arn, call, conflict, not_found, tagging, times};
use crate::acm::issuance::{PATIENCE, is_overdue};
use crate::acm::validation::{Proof, proof};
use crate::acm::{invalid, only, paging};
use crate::elb::validation::one_of;
use crate::error::Answer;
use crate::page;
use crate::route53::RecordSet;
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};

/// What its ARN has between the endpoint's and its own id.
const KIND: &str = "acme-domain-validation";

/// The scopes of a validation.
const SCOPES: [&str; 3] = ["ExactDomain", "Subdomains", "Wildcards"];

/// How long the record may be kept, as ACM writes it, in seconds.
const TTL: u32 = 300;

/// The validation of a domain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DomainValidation {
    /// The ARN of its endpoint.
    pub endpoint: String,
    /// The domain.
    pub domain: String,
    /// How it is validated.
    pub prevalidation: Prevalidation,
    /// When its record was found.
    pub valid: Option<Timestamp>,
    /// Why it cannot be.
    pub failure: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// Validation by DNS.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Prevalidation {
    /// Whether the domain itself, names below it, and wildcards are covered, in the order of [`SCOPES`]; `None` where nothing is said.
    pub scopes: [Option<bool>; 3],
    /// The hosted zone into which ACM writes the record itself.
    pub zone: Option<String>,
}

impl Prevalidation {
    fn read(input: &Input) -> Answer<Option<Self>> {
        let Some(options) = input.child("PrevalidationOptions") else { return Ok(None) };
        let (_, dns) = only(options, "prevalidationOptions", &["DnsPrevalidation"])?;
        let mut scopes = [None; 3];
        if let Some(scope) = dns.child("DomainScope") {
            for (found, name) in scopes.iter_mut().zip(SCOPES) {
                if let Some(value) = scope.text(name) {
                    one_of(value, name, &["ENABLED", "DISABLED"])?;
                    *found = Some(value == "ENABLED");
                }
            }
            if scopes.iter().any(Option::is_some) && !scopes.contains(&Some(true)) {
                return Err(invalid("DomainScope must have a member that is ENABLED"));
            }
        }
        let zone = dns.text("HostedZoneId").filter(|text| !text.is_empty()).map(str::to_string);
        let fits =
            |id: &str| id.len() <= 32 && id.starts_with('Z') && id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        if let Some(wrong) = zone.as_deref().filter(|id| !fits(id)) {
            return Err(invalid(format!(
                "1 validation error detected: Value '{wrong}' at 'hostedZoneId' failed to satisfy constraint: Member must satisfy regular expression pattern: Z[A-Z0-9]+"
            )));
        }
        Ok(Some(Self { scopes, zone }))
    }

    fn record(&self, proof: &Proof) -> Record {
        let scope = SCOPES
            .iter()
            .zip(self.scopes)
            .fold(Record::new(), |record, (name, on)| record.maybe(name, on.map(|on| if on { "ENABLED" } else { "DISABLED" })));
        let scope = self.scopes.iter().any(Option::is_some).then_some(scope);
        let details =
            Record::new().maybe("DomainScope", scope).maybe("HostedZoneId", self.zone.as_ref()).with("ResourceRecord", proof.record());
        Record::new().with("DnsPrevalidation", details)
    }
}

impl DomainValidation {
    /// The record that proves control of the domain, to this endpoint only (user guide, "ACME domain validation": different endpoints require separate records).
    fn proof(&self) -> Proof {
        proof(&self.endpoint, &self.domain)
    }

    fn failure(&self, now: Timestamp) -> Option<&str> {
        let late = self.valid.is_none() && is_overdue(self.updated, now);
        self.failure.as_deref().or(late.then_some("TIMED_OUT"))
    }

    fn record(&self, arn: &str, now: Timestamp) -> Record {
        let failure = self.failure(now);
        let status = match (self.valid, failure) {
            (Some(_), _) => "VALID",
            (None, Some(_)) => "INVALID",
            (None, None) => "VALIDATING",
        };
        let explained = |reason: &str| match reason {
            "HOSTED_ZONE_NOT_FOUND" => "There is no public hosted zone with this id".to_string(),
            "DOMAIN_MISMATCH" => "The domain is not in the hosted zone".to_string(),
            "INVALID_CHANGE_BATCH" => "The record cannot be written beside those that the hosted zone has".to_string(),
            _ => format!("The record was not found within {} hours", PATIENCE.as_hours()),
        };
        let record = Record::new()
            .with("AcmeDomainValidationArn", arn)
            .with("AcmeEndpointArn", &self.endpoint)
            .with("DomainName", &self.domain)
            .with("PrevalidationType", "DNS_PREVALIDATION")
            .with("PrevalidationDetails", self.prevalidation.record(&self.proof()))
            .with("Status", status)
            .maybe("FailureDetails", failure.map(|reason| Record::new().with("Reason", reason).with("Message", explained(reason))));
        times(record, self.created, self.updated)
    }
}

/// Writes the record into the hosted zone that a validation names; why it cannot.
fn write(state: &mut State, proof: &Proof, zone: &str) -> Option<&'static str> {
    let Some(zone) = state.route53.zones.get_mut(zone).filter(|zone| zone.vpc.is_none()) else { return Some("HOSTED_ZONE_NOT_FOUND") };
    if !proof.is_in(&zone.name) {
        return Some("DOMAIN_MISMATCH");
    }
    let sets = zone.records.entry(proof.name.clone()).or_default();
    if sets.keys().any(|kind| kind != "CNAME") {
        return Some("INVALID_CHANGE_BATCH");
    }
    let set = RecordSet { ttl: Some(TTL), values: vec![proof.value.clone()], alias: None };
    sets.insert("CNAME".into(), set);
    None
}

/// Begins to validate: writes the record if a hosted zone is named, and looks for it.
fn begin(state: &mut State, arn: &str) {
    let Some(one) = state.acm.acme.domain_validations.get(arn) else { return };
    let (proof, zone) = (one.proof(), one.prevalidation.zone.clone());
    let failure = zone.and_then(|zone| write(state, &proof, &zone)).map(str::to_string);
    if let Some(one) = state.acm.acme.domain_validations.get_mut(arn) {
        (one.failure, one.valid) = (failure, None);
    }
    look(state);
}

/// Looks for the records that are waited for.
pub fn look(state: &mut State) {
    let now = state.now;
    let waits = state.acm.acme.domain_validations.iter().filter(|(_, one)| one.valid.is_none() && one.failure(now).is_none());
    let found: Vec<String> = waits.filter(|(_, one)| one.proof().is_found(state) == Some(true)).map(|(arn, _)| arn.clone()).collect();
    for arn in found {
        if let Some(one) = state.acm.acme.domain_validations.get_mut(&arn) {
            one.valid = Some(now);
        }
    }
}

/// `DomainName`: small letters, and no wildcard.
fn domain(input: &Input) -> Answer<String> {
    let name = input.required("DomainName")?;
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(name.to_string());
    }
    Err(invalid(format!(
        "1 validation error detected: Value '{name}' at 'domainName' failed to satisfy constraint: Member must be a domain name in small letters"
    )))
}

/// CreateAcmeDomainValidation.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let endpoint = arn(input, "AcmeEndpointArn", None)?;
    let domain = domain(input)?;
    let prevalidation = Prevalidation::read(input)?.ok_or_else(|| crate::wire::input::missing("PrevalidationOptions"))?;
    let (token, call) = call("CreateAcmeDomainValidation", input);
    let tags = tagging::read(input, "Tags")?;
    input.done()?;
    let now = state.now;
    state.acm.acme.endpoint(&endpoint)?;
    if let Some(arn) = state.acm.acme.created(token.as_deref(), &call, now)? {
        return Ok(Record::new().with("AcmeDomainValidationArn", arn));
    }
    if state.acm.acme.domain_validations.values().any(|one| one.endpoint == endpoint && one.domain == domain) {
        return Err(conflict(format!("The endpoint has a validation of '{domain}' already")));
    }
    let arn = format!("{endpoint}/{KIND}/{}", state.ids.request());
    let made = DomainValidation { endpoint, domain, prevalidation, valid: None, failure: None, tags, created: now, updated: now };
    state.acm.acme.domain_validations.insert(arn.clone(), made);
    state.acm.acme.remember(token, call, arn.clone(), now);
    begin(state, &arn);
    Ok(Record::new().with("AcmeDomainValidationArn", arn))
}

/// UpdateAcmeDomainValidation: begins anew.
pub fn update(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = arn(input, "AcmeDomainValidationArn", Some(KIND))?;
    let prevalidation = Prevalidation::read(input)?;
    input.done()?;
    let now = state.now;
    let one = state.acm.acme.domain_validations.get_mut(&arn).ok_or_else(|| not_found(&arn))?;
    if let Some(prevalidation) = prevalidation {
        (one.prevalidation, one.updated) = (prevalidation, now);
        begin(state, &arn);
    }
    Ok(Record::new())
}

/// DescribeAcmeDomainValidation.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = arn(input, "AcmeDomainValidationArn", Some(KIND))?;
    input.done()?;
    let one = state.acm.acme.domain_validations.get(&arn).ok_or_else(|| not_found(&arn))?;
    Ok(Record::new().with("AcmeDomainValidation", one.record(&arn, state.now)))
}

/// ListAcmeDomainValidations.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    let endpoint = arn(input, "AcmeEndpointArn", None)?;
    let (token, size) = paging(input, "MaxResults", 100, 100)?;
    input.done()?;
    state.acm.acme.endpoint(&endpoint)?;
    let of = state.acm.acme.domain_validations.iter().filter(|(_, one)| one.endpoint == endpoint).collect();
    let (shown, next) =
        page::page(of, |(arn, _)| (*arn).clone(), token.as_deref(), size).map_err(|_| invalid("The NextToken is not valid"))?;
    let records = shown.into_iter().map(|(arn, one)| one.record(arn, state.now));
    Ok(Record::new().list("AcmeDomainValidations", records).maybe("NextToken", next))
}

/// DeleteAcmeDomainValidation. What is absent is deleted already.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = arn(input, "AcmeDomainValidationArn", Some(KIND))?;
    input.done()?;
    state.acm.acme.domain_validations.remove(&arn);
    state.acm.acme.tokens.retain(|_, token| token.arn != arn);
    Ok(Record::new())
}
