//! The Resource Groups Tagging API: finds resources of all services by their tags.

use std::collections::{BTreeMap, BTreeSet};

use crate::ec2::Ec2;
use crate::elb;
use crate::error::{Answer, ApiError};
use crate::operation::{Kind, Operation};
use crate::page;
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Output, Record};

/// The prefix of `X-Amz-Target`.
pub const TARGET: &str = "ResourceGroupsTaggingAPI_20170126";

/// The operation with this name.
pub fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        "GetTagKeys" => Operation::new(Kind::Read, get_tag_keys),
        "GetTagValues" => Operation::new(Kind::Read, get_tag_values),
        "GetResources" => Operation::new(Kind::Read, get_resources),
        "TagResources" => Operation::new(Kind::Write, tag_resources),
        "UntagResources" => Operation::new(Kind::Write, untag_resources),
        _ => return None,
    })
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterException", message)
}

/// Every resource that can be tagged: its ARN, its type as `ResourceTypeFilters` spells it, its tags.
fn resources(state: &State) -> Vec<(String, &'static str, &Tags)> {
    let mut all: Vec<(String, &'static str, &Tags)> = Vec::new();
    for balancer in state.elb.load_balancers.values() {
        all.push((balancer.arn.clone(), "elasticloadbalancing:loadbalancer", &balancer.tags));
        for listener in balancer.listeners.values() {
            all.push((listener.arn.clone(), "elasticloadbalancing:listener", &listener.tags));
            all.push((listener.default_rule.clone(), "elasticloadbalancing:listener-rule", &listener.default_rule_tags));
            all.extend(listener.rules.values().map(|rule| (rule.arn.clone(), "elasticloadbalancing:listener-rule", &rule.tags)));
        }
    }
    all.extend(state.elb.target_groups.values().map(|group| (group.arn.clone(), "elasticloadbalancing:targetgroup", &group.tags)));
    all.extend(state.elb.trust_stores.values().map(|store| (store.arn.clone(), "elasticloadbalancing:truststore", &store.tags)));
    all.extend(state.acm.certificates.values().map(|one| (one.arn.clone(), "acm:certificate", &one.tags)));
    all.extend(state.acm.acme.tagged().map(|(arn, kind, tags)| (arn.clone(), kind, tags)));
    let ec2: &Ec2 = &state.ec2;
    let arn = |kind: &str, id: &str| format!("arn:aws:ec2:{}:{}:{kind}/{id}", state.config.region, state.config.account);
    all.extend(ec2.vpcs.values().map(|r| (arn("vpc", &r.id), "ec2:vpc", &r.tags)));
    all.extend(ec2.subnets.values().map(|r| (arn("subnet", &r.id), "ec2:subnet", &r.tags)));
    all.extend(ec2.security_groups.values().map(|r| (arn("security-group", &r.id), "ec2:security-group", &r.tags)));
    all.extend(ec2.network_interfaces.values().map(|r| (arn("network-interface", &r.id), "ec2:network-interface", &r.tags)));
    all.extend(ec2.addresses.values().map(|r| (arn("elastic-ip", &r.id), "ec2:elastic-ip", &r.tags)));
    all.extend(ec2.prefix_lists.values().map(|r| (r.arn.clone(), "ec2:prefix-list", &r.tags)));
    all.extend(ec2.ipams.values().map(|r| (r.arn.clone(), "ec2:ipam", &r.tags)));
    all.extend(ec2.ipam_scopes.values().map(|r| (r.arn.clone(), "ec2:ipam-scope", &r.tags)));
    all.extend(ec2.ipam_pools.values().map(|r| (r.arn.clone(), "ec2:ipam-pool", &r.tags)));
    all.extend(state.wafv2.web_acls.values().map(|acl| (acl.arn.clone(), "wafv2:webacl", &acl.tags)));
    all.extend(ec2.instances.values().map(|r| (arn("instance", &r.id), "ec2:instance", &r.tags)));
    all
}

/// GetResources: resources that have tags, by tag filters (all must hold, values are alternatives, no wildcards) and types.
fn get_resources(state: &mut State, input: &Input) -> Answer<Record> {
    let mut filters: Vec<(String, Vec<String>)> = Vec::new();
    for item in input.items("TagFilters") {
        let key = item.text("Key").filter(|key| !key.is_empty()).ok_or_else(|| invalid("TagFilters must have a Key"))?;
        filters.push((key.to_string(), item.strings("Values")));
    }
    let types = input.strings("ResourceTypeFilters");
    let arns = input.strings("ResourceARNList");
    let size: Option<usize> = input.parse("ResourcesPerPage")?;
    let token = input.text("PaginationToken").filter(|token| !token.is_empty()).map(str::to_string);
    let tags_per_page = input.text("TagsPerPage").is_some();
    let compliance = ["IncludeComplianceDetails", "ExcludeCompliantResources"].map(|name| input.flag(name));
    input.done()?;
    if tags_per_page {
        return Err(invalid("TagsPerPage is not served by this cloud: use ResourcesPerPage"));
    }
    for flag in compliance {
        if flag? == Some(true) {
            return Err(invalid(
                "IncludeComplianceDetails and ExcludeCompliantResources are not served by this cloud: there are no tag policies",
            ));
        }
    }
    // AWS: at most 50 filters with 20 values each; 1 to 100 resources per page.
    if filters.len() > 50 || filters.iter().any(|(_, values)| values.len() > 20) {
        return Err(invalid("TagFilters: at most 50 filters with at most 20 values each"));
    }
    if size.is_some_and(|size| !(1..=100).contains(&size)) {
        return Err(invalid("ResourcesPerPage must be between 1 and 100"));
    }
    if !arns.is_empty() && (!filters.is_empty() || !types.is_empty()) {
        return Err(invalid("ResourceARNList cannot be combined with TagFilters or ResourceTypeFilters"));
    }
    let wanted_type = |kind: &str| {
        types.is_empty() || types.iter().any(|t| t == kind || kind.strip_prefix(t.as_str()).is_some_and(|rest| rest.starts_with(':')))
    };
    let mut found: Vec<(String, &'static str, &Tags)> = resources(state)
        .into_iter()
        .filter(|(arn, kind, tags)| {
            !tags.is_empty()
                && wanted_type(kind)
                && (arns.is_empty() || arns.contains(arn))
                && filters.iter().all(|(key, values)| tags.get(key).is_some_and(|value| values.is_empty() || values.contains(value)))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let (shown, next) = page::page(found, |(arn, _, _)| arn.clone(), token.as_deref(), size.unwrap_or(100))
        .map_err(|_| ApiError::new("PaginationTokenExpiredException", "The pagination token is not valid"))?;
    let records = shown.into_iter().map(|(arn, _, tags)| Record::new().with("ResourceARN", arn).with("Tags", tag::upper(tags)));
    Ok(Record::new().with("PaginationToken", next.unwrap_or_default()).list("ResourceTagMappingList", records))
}

/// A page of texts, in order.
fn texts(input: &Input, set: &'static str, found: BTreeSet<String>) -> Answer<Record> {
    let token = input.text("PaginationToken").filter(|token| !token.is_empty()).map(str::to_string);
    input.done()?;
    // AWS does not say how many there are on a page.
    let (shown, next) = page::page(found.into_iter().collect(), Clone::clone, token.as_deref(), 1000)
        .map_err(|_| ApiError::new("PaginationTokenExpiredException", "The pagination token is not valid"))?;
    Ok(Record::new().with("PaginationToken", next.unwrap_or_default()).list(set, shown))
}

/// GetTagKeys: the keys of all tags of the account in the region.
fn get_tag_keys(state: &mut State, input: &Input) -> Answer<Record> {
    texts(input, "TagKeys", resources(state).into_iter().flat_map(|(_, _, tags)| tags.keys().cloned()).collect())
}

/// GetTagValues: the values that a key has on any resource.
fn get_tag_values(state: &mut State, input: &Input) -> Answer<Record> {
    let key = input.text("Key").filter(|key| !key.is_empty()).ok_or_else(|| invalid("Key must not be empty"))?;
    // AWS: keys have at most 128 characters.
    if key.chars().count() > 128 {
        return Err(invalid("Key must have at most 128 characters"));
    }
    texts(input, "TagValues", resources(state).into_iter().filter_map(|(_, _, tags)| tags.get(key).cloned()).collect())
}

/// Applies a change to each resource; failures are reported per resource.
fn each(state: &mut State, arns: &[String], change: impl Fn(&mut Tags) -> Answer<()>) -> Record {
    let mut failed = Record::new();
    for arn in arns {
        let result = tags_mut(state, arn).and_then(|tags| {
            let mut changed = tags.clone();
            change(&mut changed)?;
            *tags = changed;
            Ok(())
        });
        if let Err(error) = result {
            let record = Record::new()
                .with("StatusCode", i32::from(error.status))
                .with("ErrorCode", "InvalidParameterException")
                .with("ErrorMessage", error.message);
            failed = failed.with(arn.clone(), record);
        }
    }
    Record::new().with("FailedResourcesMap", Output::from(failed))
}

fn tags_mut<'a>(state: &'a mut State, arn: &str) -> Answer<&'a mut Tags> {
    if arn.starts_with("arn:aws:ec2:") {
        let id = arn.rsplit('/').next().unwrap_or_default();
        return state.ec2.tags_mut(id).ok_or_else(|| invalid(format!("The resource '{arn}' does not exist")));
    }
    if arn.starts_with("arn:aws:wafv2:") {
        return state.wafv2.tags_mut(arn);
    }
    if arn.contains(":acme-endpoint/") {
        return state.acm.acme.tags_mut(arn).ok_or_else(|| invalid(format!("The resource '{arn}' does not exist")));
    }
    if arn.starts_with("arn:aws:acm:") {
        return state.acm.certificate_mut(arn).map(|certificate| &mut certificate.tags);
    }
    elb::tagging::tags_mut(state, arn)
}

fn read_arns(input: &Input) -> Answer<Vec<String>> {
    let arns = input.strings("ResourceARNList");
    // AWS: 1 to 20 ARNs per call.
    if arns.is_empty() || arns.len() > 20 {
        return Err(invalid("ResourceARNList must have between 1 and 20 members"));
    }
    Ok(arns)
}

/// TagResources.
fn tag_resources(state: &mut State, input: &Input) -> Answer<Record> {
    let arns = read_arns(input)?;
    let tags: BTreeMap<String, String> = input.child("Tags").map(Input::entries).unwrap_or_default().into_iter().collect();
    input.done()?;
    if tags.is_empty() {
        return Err(invalid("Tags must not be empty"));
    }
    for (key, value) in &tags {
        if let Some(fault) = tag::key_fault(key).or_else(|| tag::value_fault(value)) {
            return Err(invalid(fault));
        }
    }
    Ok(each(state, &arns, |existing| {
        existing.extend(tags.clone());
        elb::tagging::within_limit(existing)
    }))
}

/// UntagResources.
fn untag_resources(state: &mut State, input: &Input) -> Answer<Record> {
    let arns = read_arns(input)?;
    let keys = input.strings("TagKeys");
    input.done()?;
    if keys.is_empty() {
        return Err(invalid("TagKeys must not be empty"));
    }
    Ok(each(state, &arns, |existing| {
        existing.retain(|key, _| !keys.contains(key));
        Ok(())
    }))
}
