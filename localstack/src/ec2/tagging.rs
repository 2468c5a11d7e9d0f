//! Tags of EC2's resources.

use std::collections::BTreeMap;

use super::filter::Filters;
use super::{finish, success};
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Record};

/// Reads `TagSpecification` of a creating call; the resource type must be the created one's.
pub fn specification(input: &Input, resource_type: &str) -> Answer<Tags> {
    Ok(specifications(input, &[resource_type])?.remove(resource_type).unwrap_or_default())
}

/// The same for a call that creates resources of several types: the tags by type.
pub fn specifications(input: &Input, resource_types: &[&str]) -> Answer<BTreeMap<String, Tags>> {
    let mut all: BTreeMap<String, Tags> = BTreeMap::new();
    for item in input.items("TagSpecification") {
        let given = item.text("ResourceType").unwrap_or_default();
        if !resource_types.contains(&given) {
            return Err(ApiError::parameter_value(format!("'{given}' is not a valid taggable resource type for this operation.")));
        }
        let tags = all.entry(given.to_string()).or_default();
        for (key, value) in read(item)? {
            if tags.insert(key.clone(), value.unwrap_or_default()).is_some() {
                return Err(ApiError::parameter_value(format!("Duplicate tag key '{key}' specified.")));
            }
        }
    }
    all.values().try_for_each(within_limit)?;
    Ok(all)
}

fn read(input: &Input) -> Answer<Vec<(String, Option<String>)>> {
    let mut tags = Vec::new();
    for item in input.items("Tag") {
        let key = item.text("Key").unwrap_or_default().to_string();
        let value = item.text("Value").map(str::to_string);
        if let Some(fault) = tag::key_fault(&key).or_else(|| value.as_deref().and_then(tag::value_fault)) {
            return Err(ApiError::parameter_value(fault));
        }
        tags.push((key, value));
    }
    Ok(tags)
}

fn within_limit(tags: &Tags) -> Answer<()> {
    // AWS: 50 tags per resource.
    if tags.len() > 50 {
        return Err(ApiError::new("TagLimitExceeded", "The maximum number of Tags for a resource has been reached."));
    }
    Ok(())
}

/// CreateTags: adds or overwrites.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let (ids, tags) = (input.strings("ResourceId"), read(input)?);
    finish(input)?;
    if ids.is_empty() || tags.is_empty() {
        return Err(ApiError::new("MissingParameter", "The request must contain the parameters ResourceId and Tag"));
    }
    for id in &ids {
        let mut merged = state.ec2.tags_mut(id).ok_or_else(|| not_found(id))?.clone();
        merged.extend(tags.iter().map(|(key, value)| (key.clone(), value.clone().unwrap_or_default())));
        within_limit(&merged)?;
    }
    for id in &ids {
        if let Some(existing) = state.ec2.tags_mut(id) {
            existing.extend(tags.iter().map(|(key, value)| (key.clone(), value.clone().unwrap_or_default())));
        }
    }
    Ok(success())
}

/// DeleteTags: without a value the key suffices; with one, both must fit; without tags, all go.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let (ids, tags) = (input.strings("ResourceId"), read(input)?);
    finish(input)?;
    if let Some(id) = ids.iter().find(|id| state.ec2.tags_mut(id).is_none()) {
        return Err(not_found(id));
    }
    for id in &ids {
        if let Some(existing) = state.ec2.tags_mut(id) {
            existing.retain(|key, value| {
                !tags.is_empty() && !tags.iter().any(|(k, v)| k == key && v.as_ref().is_none_or(|wanted| wanted == value))
            });
        }
    }
    Ok(success())
}

/// DescribeTags.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let filters = Filters::read(input, &["key", "resource-id", "resource-type", "value", "tag"])?;
    let size: Option<usize> = input.parse("MaxResults")?;
    let token = input.text("NextToken").map(str::to_string);
    finish(input)?;
    let ec2 = &state.ec2;
    let mut resources: Vec<(&String, &'static str, &Tags)> = Vec::new();
    resources.extend(ec2.vpcs.values().map(|r| (&r.id, "vpc", &r.tags)));
    resources.extend(ec2.subnets.values().map(|r| (&r.id, "subnet", &r.tags)));
    resources.extend(ec2.route_tables.values().map(|r| (&r.id, "route-table", &r.tags)));
    resources.extend(ec2.internet_gateways.values().map(|r| (&r.id, "internet-gateway", &r.tags)));
    resources.extend(ec2.security_groups.values().map(|r| (&r.id, "security-group", &r.tags)));
    resources.extend(ec2.security_groups.values().flat_map(|g| g.rules.values()).map(|r| (&r.id, "security-group-rule", &r.tags)));
    resources.extend(ec2.network_interfaces.values().map(|r| (&r.id, "network-interface", &r.tags)));
    resources.extend(ec2.addresses.values().map(|r| (&r.id, "elastic-ip", &r.tags)));
    resources.extend(ec2.prefix_lists.values().map(|r| (&r.id, "prefix-list", &r.tags)));
    resources.extend(ec2.ipams.values().map(|r| (&r.id, "ipam", &r.tags)));
    resources.extend(ec2.ipam_scopes.values().map(|r| (&r.id, "ipam-scope", &r.tags)));
    resources.extend(ec2.ipam_pools.values().map(|r| (&r.id, "ipam-pool", &r.tags)));
    resources.extend(ec2.instances.values().map(|r| (&r.id, "instance", &r.tags)));
    let mut found: Vec<(String, String, String, &'static str)> = Vec::new();
    for (id, kind, tags) in resources {
        for (key, value) in tags {
            let one = Tags::from([(key.clone(), value.clone())]);
            if filters.accept(&one, |filter| {
                vec![match filter {
                    "key" => key.clone(),
                    "value" => value.clone(),
                    "resource-id" => id.clone(),
                    "resource-type" => kind.into(),
                    _ => format!("{key}={value}"),
                }]
            }) {
                found.push((id.clone(), key.clone(), value.clone(), kind));
            }
        }
    }
    found.sort();
    let (shown, next) = page::page(found, |(id, key, _, _)| format!("{id}\n{key}"), token.as_deref(), size.unwrap_or(1000).clamp(1, 1000))
        .map_err(|_| ApiError::new("InvalidNextToken", "The token is not valid"))?;
    let records = shown.into_iter().map(|(id, key, value, kind)| {
        Record::new().with("resourceId", id).with("resourceType", kind).with("key", key).with("value", value)
    });
    Ok(Record::new().list("tagSet", records).maybe("nextToken", next))
}

fn not_found(id: &str) -> ApiError {
    ApiError::new("InvalidID", format!("The ID '{id}' is not valid"))
}
