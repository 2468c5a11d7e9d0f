//! External account bindings: what ACME clients register with.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{arn, call, not_found, tagging, times};
use crate::acm::{invalid, paging};
use crate::elb::validation::{one_of, within};
use crate::error::Answer;
use crate::page;
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};

/// What its ARN has between the endpoint's and its own id.
const KIND: &str = "acme-external-account-binding";

/// A MAC key, which no log shows.
#[derive(Clone, Serialize, Deserialize)]
pub struct MacKey(String);

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(redacted)")
    }
}

/// An external account binding.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Binding {
    /// The ARN of its endpoint.
    pub endpoint: String,
    /// The role that says what its clients may do.
    pub role: String,
    /// Until when clients can register with it; for ever if there is no end.
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// The id of its key.
    pub key_id: String,
    /// Its key.
    pub mac_key: MacKey,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

impl Binding {
    fn record(&self, arn: &str) -> Record {
        let record = Record::new()
            .with("AcmeExternalAccountBindingArn", arn)
            .with("AcmeEndpointArn", &self.endpoint)
            .with("RoleArn", &self.role)
            .maybe("ExpiresAt", self.expires)
            .maybe("RevokedAt", self.revoked);
        times(record, self.created, self.updated)
    }
}

/// `Expiration`, from a moment on.
fn expiration(input: &Input, now: Timestamp) -> Answer<Option<Timestamp>> {
    let Some(expiration) = input.child("Expiration") else { return Ok(None) };
    let value: i64 = expiration.parse("Value")?.ok_or_else(|| crate::wire::input::missing("Value"))?;
    let unit = expiration.required("Type")?;
    one_of(unit, "expiration.type", &["MINUTES", "HOURS", "DAYS"])?;
    within(value, "expiration.value", 1, i64::MAX)?;
    let minutes = match unit {
        "MINUTES" => 1,
        "HOURS" => 60,
        _ => 24 * 60,
    };
    let seconds = value.checked_mul(minutes * 60).map(SignedDuration::from_secs);
    let end = seconds.and_then(|seconds| now.checked_add(seconds).ok());
    end.map(Some).ok_or_else(|| invalid(format!("The expiration of {value} {unit} is beyond all time")))
}

/// `RoleArn`.
fn role(input: &Input) -> Answer<String> {
    let role = input.required("RoleArn")?;
    let tail = role.strip_prefix("arn:aws:iam::").and_then(|tail| tail.split_once(":role/"));
    match tail {
        Some((account, name)) if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => {
            Ok(role.to_string())
        }
        _ => Err(invalid(format!(
            "1 validation error detected: Value '{role}' at 'roleArn' failed to satisfy constraint: Member must be the ARN of a role"
        ))),
    }
}

/// CreateAcmeExternalAccountBinding.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let endpoint = arn(input, "AcmeEndpointArn", None)?;
    let role = role(input)?;
    let now = state.now;
    let expires = expiration(input, now)?;
    let (token, call) = call("CreateAcmeExternalAccountBinding", input);
    let tags = tagging::read(input, "Tags")?;
    input.done()?;
    state.acm.acme.endpoint(&endpoint)?;
    if let Some(arn) = state.acm.acme.created(token.as_deref(), &call, now)?
        && let Some(known) = state.acm.acme.bindings.get(&arn)
    {
        return Ok(Record::new().with("ExternalAccountBinding", known.record(&arn)));
    }
    let arn = format!("{endpoint}/{KIND}/{}", state.ids.request());
    let mac_key = MacKey(URL_SAFE_NO_PAD.encode(state.ids.hex(32)));
    let key_id = state.ids.request();
    let binding = Binding { endpoint, role, expires, revoked: None, key_id, mac_key, tags, created: now, updated: now };
    let record = binding.record(&arn);
    state.acm.acme.bindings.insert(arn.clone(), binding);
    state.acm.acme.remember(token, call, arn, now);
    Ok(Record::new().with("ExternalAccountBinding", record))
}

/// DescribeAcmeExternalAccountBinding.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = arn(input, "AcmeExternalAccountBindingArn", Some(KIND))?;
    input.done()?;
    let binding = state.acm.acme.bindings.get(&arn).ok_or_else(|| not_found(&arn))?;
    Ok(Record::new().with("ExternalAccountBinding", binding.record(&arn)))
}

/// ListAcmeExternalAccountBindings.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    let endpoint = arn(input, "AcmeEndpointArn", None)?;
    let (token, size) = paging(input, "MaxResults", 100, 100)?;
    input.done()?;
    state.acm.acme.endpoint(&endpoint)?;
    let of = state.acm.acme.bindings.iter().filter(|(_, one)| one.endpoint == endpoint).collect();
    let (shown, next) =
        page::page(of, |(arn, _)| (*arn).clone(), token.as_deref(), size).map_err(|_| invalid("The NextToken is not valid"))?;
    Ok(Record::new().list("ExternalAccountBindings", shown.into_iter().map(|(arn, one)| one.record(arn))).maybe("NextToken", next))
}

/// GetAcmeExternalAccountBindingCredentials, while clients can register with them.
pub fn credentials(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = arn(input, "AcmeExternalAccountBindingArn", Some(KIND))?;
    input.done()?;
    let binding = state.acm.acme.bindings.get(&arn).ok_or_else(|| not_found(&arn))?;
    if binding.revoked.is_some() || binding.expires.is_some_and(|end| end <= state.now) {
        return Err(invalid(format!("{arn} is revoked or has expired: nobody can register with it")));
    }
    Ok(Record::new().with("KeyId", &binding.key_id).with("MacKey", &binding.mac_key.0))
}

/// RevokeAcmeExternalAccountBinding, which does not matter the second time.
pub fn revoke(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = arn(input, "AcmeExternalAccountBindingArn", Some(KIND))?;
    input.done()?;
    let now = state.now;
    let binding = state.acm.acme.bindings.get_mut(&arn).ok_or_else(|| not_found(&arn))?;
    if binding.revoked.is_none() {
        (binding.revoked, binding.updated) = (Some(now), now);
    }
    Ok(Record::new())
}

/// DeleteAcmeExternalAccountBinding. What is absent is deleted already.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = arn(input, "AcmeExternalAccountBindingArn", Some(KIND))?;
    input.done()?;
    state.acm.acme.bindings.remove(&arn);
    state.acm.acme.tokens.retain(|_, token| token.arn != arn);
    Ok(Record::new())
}
