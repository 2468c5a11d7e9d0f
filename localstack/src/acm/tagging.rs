//! Tags of certificates.

use super::invalid;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::{self, TagFault, Tags};
use crate::wire::{Input, Record};

/// Reads and checks `Tags`; a tag may have no value.
pub fn read(input: &Input) -> Answer<Tags> {
    read_as(input, "Tags")
}

/// Reads and checks tags in a member of another name.
pub fn read_as(input: &Input, member: &str) -> Answer<Tags> {
    let invalid_tag = |message| ApiError::new("InvalidTagException", message);
    let tags = tag::read_as(input, member).map_err(|fault| match fault {
        TagFault::Invalid(message) => invalid_tag(message),
        TagFault::Duplicate(key) => invalid_tag(format!("The tag key '{key}' was given more than once")),
    })?;
    within_limit(&tags)?;
    Ok(tags)
}

/// AWS: 50 tags per certificate.
pub(super) fn within_limit(tags: &Tags) -> Answer<()> {
    if tags.len() > 50 {
        return Err(ApiError::new("TooManyTagsException", "A resource can have at most 50 tags"));
    }
    Ok(())
}

/// AddTagsToCertificate: adds or overwrites.
pub fn add(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("CertificateArn")?.to_string();
    let tags = read(input)?;
    input.done()?;
    let mut merged = state.acm.certificate(&arn)?.tags.clone();
    if tags.is_empty() {
        return Err(invalid(
            "1 validation error detected: Value '[]' at 'tags' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ));
    }
    merged.extend(tags);
    within_limit(&merged)?;
    state.acm.certificate_mut(&arn)?.tags = merged;
    Ok(Record::new())
}

/// RemoveTagsFromCertificate: a tag with a value goes only if it has that value.
pub fn remove(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("CertificateArn")?.to_string();
    let mut unwanted: Vec<(String, Option<String>)> = Vec::new();
    for item in input.items("Tags") {
        unwanted.push((item.required("Key")?.to_string(), item.text("Value").map(str::to_string)));
    }
    input.done()?;
    let tags = &mut state.acm.certificate_mut(&arn)?.tags;
    tags.retain(|key, value| !unwanted.iter().any(|(gone, of)| gone == key && of.as_ref().is_none_or(|of| of == value)));
    Ok(Record::new())
}

/// ListTagsForCertificate.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("CertificateArn")?;
    input.done()?;
    Ok(Record::new().with("Tags", tag::upper(&state.acm.certificate(arn)?.tags)))
}
