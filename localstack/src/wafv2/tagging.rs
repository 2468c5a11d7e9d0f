//! Tags of web ACLs.

use super::web_acl::paging;
use super::{invalid, nonexistent};
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::tag::{self, TagFault, Tags};
use crate::wire::{Input, Record};

/// Reads and checks `Tags`.
pub fn read(input: &Input) -> Answer<Tags> {
    let tags = tag::read(input).map_err(|fault| match fault {
        TagFault::Invalid(message) => invalid(message),
        TagFault::Duplicate(key) => invalid(format!("The tag Key '{key}' was given more than once")),
    })?;
    within_limit(&tags)?;
    Ok(tags)
}

/// AWS: 50 tags per resource.
fn within_limit(tags: &Tags) -> Answer<()> {
    if tags.len() > 50 {
        return Err(ApiError::new("WAFTagOperationException", "A resource can have at most 50 tags"));
    }
    Ok(())
}

/// TagResource: adds or overwrites.
pub fn add(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("ResourceARN")?.to_string();
    let tags = read(input)?;
    input.done()?;
    if tags.is_empty() {
        return Err(invalid("Tags must not be empty"));
    }
    let existing = state.wafv2.tags_mut(&arn)?;
    let mut merged = existing.clone();
    merged.extend(tags);
    within_limit(&merged)?;
    *existing = merged;
    Ok(Record::new())
}

/// UntagResource.
pub fn remove(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("ResourceARN")?.to_string();
    let keys = input.required_strings("TagKeys")?;
    input.done()?;
    state.wafv2.tags_mut(&arn)?.retain(|key, _| !keys.contains(key));
    Ok(Record::new())
}

/// ListTagsForResource.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("ResourceARN")?;
    let (marker, size) = paging(input)?;
    input.done()?;
    let acl = state.wafv2.web_acls.get(arn).ok_or_else(nonexistent)?;
    let all: Vec<(&String, &String)> = acl.tags.iter().collect();
    let (shown, next) =
        page::page(all, |(key, _)| (*key).clone(), marker.as_deref(), size).map_err(|_| invalid("The NextMarker is not valid"))?;
    let shown: Tags = shown.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let info = Record::new().with("ResourceARN", arn).with("TagList", tag::upper(&shown));
    Ok(Record::new().maybe("NextMarker", next).with("TagInfoForResource", info))
}
