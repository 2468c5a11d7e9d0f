//! TagResource, UntagResource and ListTagsForResource: tags of what is no certificate.

use super::not_found;
use crate::acm::{invalid, tagging};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Record};

/// `ResourceArn`. (API reference, TagResource: "all ACM resource types except the certificate resource type".)
fn tags<'a>(state: &'a mut State, arn: &str) -> Answer<&'a mut Tags> {
    if !arn.starts_with("arn:aws:acm:") || arn.contains(":certificate/") {
        return Err(invalid(format!(
            "resourceArn: '{arn}' is no ARN of an ACME resource; tags of certificates have operations of their own"
        )));
    }
    state.acm.acme.tags_mut(arn).ok_or_else(|| not_found(arn))
}

/// The codes of these operations are not those of certificates' tags.
fn respelled(error: ApiError) -> ApiError {
    match error.code.as_ref() {
        "TooManyTagsException" => ApiError::new("ServiceQuotaExceededException", error.message),
        "InvalidTagException" => invalid(error.message),
        _ => error,
    }
}

/// Reads and checks tags.
pub(super) fn read(input: &Input, member: &str) -> Answer<Tags> {
    tagging::read_as(input, member).map_err(respelled)
}

/// TagResource: adds or overwrites.
pub fn add(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("ResourceArn")?.to_string();
    let given = read(input, "Tags")?;
    input.done()?;
    if given.is_empty() {
        return Err(crate::wire::input::missing("Tags"));
    }
    let tags = tags(state, &arn)?;
    let mut merged = tags.clone();
    merged.extend(given);
    tagging::within_limit(&merged).map_err(respelled)?;
    *tags = merged;
    Ok(Record::new())
}

/// UntagResource.
pub fn remove(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("ResourceArn")?.to_string();
    let keys = input.required_strings("TagKeys")?;
    input.done()?;
    tags(state, &arn)?.retain(|key, _| !keys.contains(key));
    Ok(Record::new())
}

/// ListTagsForResource.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("ResourceArn")?.to_string();
    input.done()?;
    let tags = tags(state, &arn)?;
    let shown = (!tags.is_empty()).then(|| tag::upper(tags));
    Ok(Record::new().maybe("Tags", shown))
}
