//! Tags of ELBv2's resources.

use super::arn::{self, Kind};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::{self, TagFault, Tags};
use crate::wire::{Input, Record};

/// Reads and checks `Tags`.
pub fn read(input: &Input) -> Answer<Tags> {
    let tags = tag::read(input).map_err(|fault| match fault {
        TagFault::Invalid(message) => ApiError::validation(message),
        TagFault::Duplicate(key) => ApiError::new("DuplicateTagKeys", format!("Tag key '{key}' was specified more than once")),
    })?;
    within_limit(&tags)?;
    Ok(tags)
}

/// AWS: 50 tags per resource.
pub fn within_limit(tags: &Tags) -> Answer<()> {
    if tags.len() > 50 {
        return Err(ApiError::new("TooManyTags", "You've reached the limit on the number of tags for this resource: [50]"));
    }
    Ok(())
}

/// The tags of a resource, to change them.
pub fn tags_mut<'a>(state: &'a mut State, arn: &str) -> Answer<&'a mut Tags> {
    let elb = &mut state.elb;
    match arn::kind(arn) {
        Some(Kind::LoadBalancer) => Ok(&mut elb.load_balancer_mut(arn)?.tags),
        Some(Kind::Listener) => Ok(&mut elb.listener_mut(arn)?.tags),
        Some(Kind::TrustStore) => Ok(&mut elb.trust_store_mut(arn)?.tags),
        Some(Kind::TargetGroup) => Ok(&mut elb.target_group_mut(arn)?.tags),
        Some(Kind::Rule) => {
            let listener = arn::listener_of(arn);
            if elb.rule(arn)?.2.is_none() {
                return Ok(&mut elb.listener_mut(&listener)?.default_rule_tags);
            }
            let rule = elb.rules_mut(&listener, None)?.get_mut(arn);
            rule.map(|rule| &mut rule.tags).ok_or_else(|| ApiError::new("RuleNotFound", "One or more rules not found"))
        }
        None => Err(ApiError::validation(format!("'{arn}' is not a valid resource ARN"))),
    }
}

/// AddTags: adds or overwrites, on all resources or none.
pub fn add(state: &mut State, input: &Input) -> Answer<Record> {
    let arns = input.required_strings("ResourceArns")?;
    let tags = read(input)?;
    input.done()?;
    if tags.is_empty() {
        return Err(ApiError::validation("You must specify at least one tag"));
    }
    for arn in &arns {
        let mut merged = tags_mut(state, arn)?.clone();
        merged.extend(tags.clone());
        within_limit(&merged)?;
    }
    for arn in &arns {
        tags_mut(state, arn)?.extend(tags.clone());
    }
    Ok(Record::new())
}

/// RemoveTags: keys that are not there do not matter.
pub fn remove(state: &mut State, input: &Input) -> Answer<Record> {
    let arns = input.required_strings("ResourceArns")?;
    let keys = input.required_strings("TagKeys")?;
    input.done()?;
    for arn in &arns {
        tags_mut(state, arn)?;
    }
    for arn in &arns {
        tags_mut(state, arn)?.retain(|key, _| !keys.contains(key));
    }
    Ok(Record::new())
}

/// DescribeTags, of at most 20 resources.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let arns = input.required_strings("ResourceArns")?;
    input.done()?;
    super::validation::at_most_twenty(&arns, "resources")?;
    let mut descriptions = Vec::new();
    for arn in &arns {
        descriptions.push(Record::new().with("ResourceArn", arn).with("Tags", tag::upper(tags_mut(state, arn)?)));
    }
    Ok(Record::new().list("TagDescriptions", descriptions))
}
