//! Managed prefix lists: CIDRs that rules of security groups name together.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::describe::Resource;
use super::filter::Filters;
use super::permission::Peer;
use super::{Ec2, describe as described, finish, required, tagging};
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Record};

/// AWS: entries of a prefix list.
const ENTRIES: i64 = 1000;
/// AWS: versions of a prefix list; the oldest one makes room for a new one.
const VERSIONS: usize = 1000;

/// A managed prefix list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PrefixList {
    /// Its id.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Its account.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// `IPv4` or `IPv6`.
    pub family: String,
    /// How many entries it can have, which is what it counts in a security group.
    pub max_entries: usize,
    /// Grows with every change of entries.
    pub version: u64,
    /// Its CIDRs with their descriptions, by version; the last one is current.
    pub versions: BTreeMap<u64, BTreeMap<IpNet, Option<String>>>,
    /// The token of the call that created it.
    pub client_token: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

impl PrefixList {
    /// Its CIDRs.
    pub fn cidrs(&self) -> impl Iterator<Item = IpNet> {
        self.versions.get(&self.version).into_iter().flat_map(|entries| entries.keys().copied())
    }

    /// Whether one of its CIDRs holds an address.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.cidrs().any(|cidr| cidr.contains(&address))
    }
}

impl Resource for PrefixList {
    const FILTERS: &'static [&'static str] = &["owner-id", "prefix-list-id", "prefix-list-name"];
    const IDS: &'static str = "PrefixListId";
    const SET: &'static str = "prefixListSet";

    described::identity!();

    fn attribute(&self, filter: &str, _: &Ec2) -> Vec<String> {
        vec![match filter {
            "owner-id" => self.owner.clone(),
            "prefix-list-id" => self.id.clone(),
            _ => self.name.clone(),
        }]
    }

    fn record(&self, _: &Ec2, _: &Filters) -> Record {
        Record::new()
            .with("prefixListId", &self.id)
            .with("addressFamily", &self.family)
            .with("state", if self.version > 1 { "modify-complete" } else { "create-complete" })
            .with("prefixListArn", &self.arn)
            .with("prefixListName", &self.name)
            .with("maxEntries", i64::try_from(self.max_entries).unwrap_or_default())
            .with("version", i64::try_from(self.version).unwrap_or_default())
            .with("ownerId", &self.owner)
            .with("tagSet", tag::lower(&self.tags))
    }

    fn not_found(id: &str) -> ApiError {
        not_found(id)
    }
}

/// The error for a prefix list that does not exist.
pub fn not_found(id: &str) -> ApiError {
    ApiError::new("InvalidPrefixListID.NotFound", format!("The prefix list ID '{id}' does not exist"))
}

fn entries(input: &Input, name: &str, family: &str) -> Answer<BTreeMap<IpNet, Option<String>>> {
    let mut entries = BTreeMap::new();
    for item in input.items(name) {
        let text = item.text("Cidr").unwrap_or_default();
        let description = item.text("Description").map(str::to_string).filter(|text| !text.is_empty());
        let cidr: IpNet = text.parse().map_err(|_| ApiError::parameter_value(format!("Value ({text}) for parameter Cidr is invalid")))?;
        if matches!(cidr, IpNet::V4(_)) != (family == "IPv4") {
            return Err(ApiError::parameter_value(format!("The Cidr {text} is not of the address family {family}")));
        }
        if entries.insert(cidr.trunc(), description).is_some() {
            return Err(ApiError::new("DuplicatePrefixListEntry", format!("The entry {text} was specified more than once")));
        }
    }
    Ok(entries)
}

fn limit_exceeded(limit: usize) -> ApiError {
    ApiError::new("PrefixListMaxEntriesExceeded", format!("You've reached the maximum number of entries for the prefix list: {limit}"))
}

fn max_entries(input: &Input) -> Answer<Option<usize>> {
    let Some(number) = input.parse::<i64>("MaxEntries")? else { return Ok(None) };
    let valid = usize::try_from(number).ok().filter(|_| (1..=ENTRIES).contains(&number));
    valid.map(Some).ok_or_else(|| ApiError::parameter_value(format!("MaxEntries must be between 1 and {ENTRIES}")))
}

/// CreateManagedPrefixList.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let name = required(input, "PrefixListName")?.to_string();
    let family = required(input, "AddressFamily")?.to_string();
    required(input, "MaxEntries")?;
    let max_entries = max_entries(input)?.unwrap_or_default();
    if !["IPv4", "IPv6"].contains(&family.as_str()) {
        return Err(ApiError::parameter_value(format!("Value ({family}) for parameter AddressFamily is invalid")));
    }
    let entries = entries(input, "Entry", &family)?;
    let tags = tagging::specification(input, "prefix-list")?;
    let client_token = input.text("ClientToken").filter(|token| !token.is_empty()).map(str::to_string);
    if client_token.as_ref().is_some_and(|token| token.len() > 64) {
        return Err(ApiError::parameter_value("The ClientToken can have at most 64 characters"));
    }
    finish(input)?;
    if name.starts_with("com.amazonaws") || name.chars().count() > 255 {
        return Err(ApiError::parameter_value(format!("Value ({name}) for parameter PrefixListName is invalid")));
    }
    if entries.len() > max_entries {
        return Err(limit_exceeded(max_entries));
    }
    let again = |list: &&PrefixList| client_token.is_some() && list.client_token == client_token;
    if let Some(existing) = state.ec2.prefix_lists.values().find(again) {
        return Ok(Record::new().with("prefixList", existing.record(&state.ec2, &Filters::default())));
    }
    let id = state.ids.ec2("pl");
    let arn = format!("arn:aws:ec2:{}:{}:prefix-list/{id}", state.config.region, state.config.account);
    let owner = state.config.account.clone();
    let list = PrefixList {
        id: id.clone(),
        arn,
        owner,
        name,
        family,
        max_entries,
        version: 1,
        versions: BTreeMap::from([(1, entries)]),
        client_token,
        tags,
    };
    let record = list.record(&state.ec2, &Filters::default());
    state.ec2.prefix_lists.insert(id, list);
    Ok(Record::new().with("prefixList", record))
}

/// DescribeManagedPrefixLists.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    described::run(input, &state.ec2, state.ec2.prefix_lists.values())
}

/// GetManagedPrefixListEntries, of the current or an older version.
pub fn get_entries(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "PrefixListId")?;
    let wanted: Option<u64> = input.parse("TargetVersion")?;
    let size: i64 = input.parse("MaxResults")?.unwrap_or(100);
    let token = input.text("NextToken").map(str::to_string);
    finish(input)?;
    let list = state.ec2.prefix_lists.get(id).ok_or_else(|| not_found(id))?;
    let version = wanted.unwrap_or(list.version);
    let entries = list.versions.get(&version);
    let entries =
        entries.ok_or_else(|| ApiError::parameter_value(format!("The TargetVersion {version} of prefix list {id} does not exist")))?;
    let size = usize::try_from(size).ok().filter(|size| (1..=100).contains(size));
    let size = size.ok_or_else(|| ApiError::parameter_value("MaxResults must be between 1 and 100"))?;
    let (shown, next) = page::page(entries.iter().collect(), |(cidr, _)| cidr.to_string(), token.as_deref(), size)
        .map_err(|_| ApiError::new("InvalidNextToken", "The NextToken is not valid"))?;
    let record = |(cidr, description): (&IpNet, &Option<String>)| {
        Record::new().with("cidr", cidr.to_string()).maybe("description", description.as_ref())
    };
    Ok(Record::new().list("entrySet", shown.into_iter().map(record)).maybe("nextToken", next))
}

/// ModifyManagedPrefixList: entries, the name or the greatest number of entries.
pub fn modify(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "PrefixListId")?.to_string();
    let current: Option<u64> = input.parse("CurrentVersion")?;
    let name = input.text("PrefixListName").filter(|name| !name.is_empty()).map(str::to_string);
    let limit = max_entries(input)?;
    let list = state.ec2.prefix_lists.get(&id).ok_or_else(|| not_found(&id))?;
    let added = entries(input, "AddEntry", &list.family)?;
    let removed: Vec<String> =
        input.items("RemoveEntry").into_iter().map(|item| item.text("Cidr").unwrap_or_default().to_string()).collect();
    finish(input)?;
    if current.is_some_and(|version| version != list.version) {
        return Err(ApiError::new(
            "PrefixListVersionMismatch",
            format!("The prefix list has the incorrect version number: CurrentVersion is {}", list.version),
        ));
    }
    let changes = !added.is_empty() || !removed.is_empty();
    if changes && current.is_none() {
        return Err(ApiError::new("MissingParameter", "The request must contain the parameter CurrentVersion"));
    }
    if limit.is_some() && changes {
        return Err(ApiError::new("InvalidParameterCombination", "You cannot modify MaxEntries and the entries in the same call"));
    }
    let mut entries = list.versions.get(&list.version).cloned().unwrap_or_default();
    for text in removed {
        let cidr: Option<IpNet> = text.parse().ok().map(|cidr: IpNet| cidr.trunc());
        if cidr.and_then(|cidr| entries.remove(&cidr)).is_none() {
            return Err(ApiError::parameter_value(format!("The Cidr {text} is no entry of the prefix list")));
        }
    }
    entries.extend(added);
    let limit = limit.unwrap_or(list.max_entries);
    if entries.len() > limit {
        return Err(limit_exceeded(limit));
    }
    let used = |group: &super::security_group::SecurityGroup| {
        group.rules.values().any(|rule| rule.permission.peer == Peer::PrefixList(id.clone()))
    };
    let named = limit > list.max_entries && state.ec2.security_groups.values().any(used);
    if named && limit > state.config.quotas.rules_per_security_group {
        return Err(ApiError::new(
            "RulesPerSecurityGroupLimitExceeded",
            "The maximum number of rules per security group has been reached.",
        ));
    }
    state.ec2.reach.all = true;
    let mut record = Record::new();
    if let Some(list) = state.ec2.prefix_lists.get_mut(&id) {
        list.name = name.unwrap_or_else(|| list.name.clone());
        list.max_entries = limit;
        if changes {
            list.version += 1;
            list.versions.insert(list.version, entries);
            if list.versions.len() > VERSIONS {
                list.versions.pop_first();
            }
        }
        record = list.clone().record(&state.ec2, &Filters::default());
    }
    Ok(Record::new().with("prefixList", record))
}

/// DeleteManagedPrefixList: refused while a rule names it.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "PrefixListId")?.to_string();
    finish(input)?;
    let list = state.ec2.prefix_lists.get(&id).ok_or_else(|| not_found(&id))?;
    let rules = state.ec2.security_groups.values().flat_map(|group| group.rules.values());
    if let Some(rule) = rules.into_iter().find(|rule| rule.permission.peer == Peer::PrefixList(id.clone())) {
        return Err(ApiError::new(
            "DependencyViolation",
            format!("The prefix list '{id}' is referenced by the security group '{}'", rule.group),
        ));
    }
    let record = list.record(&state.ec2, &Filters::default());
    state.ec2.prefix_lists.remove(&id);
    Ok(Record::new().with("prefixList", record))
}
