//! Record sets: change, list.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Alias, RecordSet, Zone, change_record, domain, invalid, max_items, shown, submitted};
use crate::acm;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

/// Types of records (AWS, "Supported DNS record types").
const TYPES: &[&str] =
    &["A", "AAAA", "CAA", "CNAME", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SPF", "SRV", "SSHFP", "SVCB", "TLSA", "TXT"];
/// AWS: changes per call.
const CHANGES: usize = 1000;

fn refused(message: String) -> ApiError {
    ApiError::new("InvalidChangeBatch", format!("[{message}]"))
}

/// A change of a record set.
struct Change {
    action: String,
    name: String,
    kind: String,
    set: RecordSet,
}

fn read(item: &Input) -> Answer<Change> {
    let action = item.required("Action")?.to_string();
    if !["CREATE", "DELETE", "UPSERT"].contains(&action.as_str()) {
        return Err(invalid(format!("'{action}' is no value of Action")));
    }
    let set = item.child("ResourceRecordSet").ok_or_else(|| invalid("ResourceRecordSet must not be null"))?;
    let (name, kind) = (domain(set.required("Name")?)?, set.required("Type")?.to_string());
    if !TYPES.contains(&kind.as_str()) {
        return Err(invalid(format!("'{kind}' is no value of Type")));
    }
    let mut values = Vec::new();
    for record in set.child("ResourceRecords").map(|records| records.items("ResourceRecord")).unwrap_or_default() {
        values.push(record.required("Value")?.to_string());
    }
    let alias = match set.child("AliasTarget") {
        None => None,
        Some(target) => Some(Alias {
            zone: target.required("HostedZoneId")?.to_string(),
            name: domain(target.required("DNSName")?)?,
            evaluates_health: target.flag("EvaluateTargetHealth")?.ok_or_else(|| invalid("EvaluateTargetHealth must not be null"))?,
        }),
    };
    Ok(Change { action, name, kind, set: RecordSet { ttl: set.parse("TTL")?, values, alias } })
}

/// Whether a value is one of its type, as far as the cloud's DNS looks at it.
fn check_value(kind: &str, value: &str) -> Answer<()> {
    let valid = match kind {
        "A" => value.parse::<Ipv4Addr>().is_ok(),
        "AAAA" => value.parse::<Ipv6Addr>().is_ok(),
        "CNAME" | "NS" | "PTR" => domain(value).is_ok(),
        "TXT" | "SPF" => value.starts_with('"') && value.ends_with('"') && value.len() >= 2,
        _ => !value.is_empty(),
    };
    if valid {
        Ok(())
    } else {
        Err(refused(format!("Invalid Resource Record: FATAL problem: the value '{value}' is not valid for the type {kind}")))
    }
}

fn check(zone: &Zone, change: &Change) -> Answer<()> {
    let Change { name, kind, set, .. } = change;
    if *name != zone.name && !name.ends_with(&format!(".{}", zone.name)) {
        return Err(refused(format!("RRSet with DNS name {name} is not permitted in zone {}", zone.name)));
    }
    match (&set.alias, set.values.is_empty(), set.ttl) {
        (None, false, Some(_)) => {}
        (Some(_), true, None) => {}
        (Some(_), ..) => return Err(invalid("A record set with an AliasTarget has neither a TTL nor ResourceRecords")),
        (None, ..) => return Err(invalid("A record set needs a TTL and ResourceRecords, or an AliasTarget")),
    }
    set.values.iter().try_for_each(|value| check_value(kind, value))?;
    if kind == "CNAME" && *name == zone.name {
        return Err(refused(format!("RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {}", zone.name)));
    }
    if let Some(alias) = &set.alias {
        let inside = alias.name == zone.name || alias.name.ends_with(&format!(".{}", zone.name));
        let fits = if alias.zone == zone.id { inside } else { alias.name.ends_with(".elb.amazonaws.com.") };
        if !fits {
            return Err(refused(format!(
                "Tried to create an alias that targets {}, type {kind} in zone {}, but the alias target name does not lie within the target zone",
                alias.name, alias.zone
            )));
        }
    }
    Ok(())
}

fn apply(zone: &mut Zone, change: Change) -> Answer<()> {
    let of = format!("[name='{}', type='{}']", change.name, change.kind);
    let existing = zone.records.get(&change.name).and_then(|sets| sets.get(&change.kind));
    if change.action == "DELETE" {
        match existing {
            None => return Err(refused(format!("Tried to delete resource record set {of} but it was not found"))),
            Some(existing) if *existing != change.set => {
                return Err(refused(format!(
                    "Tried to delete resource record set {of} but the values provided do not match the current values"
                )));
            }
            Some(_) if change.name == zone.name && ["NS", "SOA"].contains(&change.kind.as_str()) => {
                return Err(refused(format!("A HostedZone must contain at least one {} record for the zone itself.", change.kind)));
            }
            Some(_) => {}
        }
        if let Some(sets) = zone.records.get_mut(&change.name) {
            sets.remove(&change.kind);
        }
        zone.records.retain(|_, sets| !sets.is_empty());
        return Ok(());
    }
    check(zone, &change)?;
    if change.action == "CREATE" && existing.is_some() {
        return Err(refused(format!("Tried to create resource record set {of} but it already exists")));
    }
    let sets = zone.records.entry(change.name.clone()).or_default();
    if sets.keys().any(|other| *other != change.kind && (change.kind == "CNAME" || other == "CNAME")) {
        return Err(refused(format!(
            "RRSet of type {} with DNS name {} is not permitted as it conflicts with other records with the same DNS name in zone {}",
            change.kind, change.name, zone.name
        )));
    }
    sets.insert(change.kind, change.set);
    Ok(())
}

/// ChangeResourceRecordSets: all changes or none.
pub fn change(state: &mut State, input: &Input) -> Answer<Record> {
    let id = input.required("Id")?.to_string();
    let batch = input.child("ChangeBatch").ok_or_else(|| invalid("ChangeBatch must not be null"))?;
    if batch.text("Comment").is_some_and(|text| text.chars().count() > 256) {
        return Err(invalid("The Comment can have at most 256 characters"));
    }
    let mut changes = Vec::new();
    for item in batch.child("Changes").map(|changes| changes.items("Change")).unwrap_or_default() {
        changes.push(read(item)?);
    }
    input.done()?;
    if changes.is_empty() {
        return Err(invalid("Changes must not be empty"));
    }
    if changes.len() > CHANGES {
        return Err(refused(format!("Number of records limit of {CHANGES} exceeded.")));
    }
    let mut zone = state.route53.zone(&id)?.clone();
    changes.into_iter().try_for_each(|change| apply(&mut zone, change))?;
    state.route53.zones.insert(id, zone);
    // ACM finds the records that prove control of domain names.
    acm::validation::look(state);
    Ok(Record::new().with("ChangeInfo", submitted(state)))
}

/// GetChange.
pub fn get(state: &mut State, input: &Input) -> Answer<Record> {
    let id = input.required("Id")?;
    input.done()?;
    let at = state.route53.changes.get(id);
    let at = at.ok_or_else(|| ApiError::with_status("NoSuchChange", format!("Could not find resource with ID: {id}"), 404))?;
    Ok(Record::new().with("ChangeInfo", change_record(id, *at)))
}

/// ListResourceRecordSets: from a name, and a type of it, on.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    let id = input.required("Id")?;
    let from = input.text("StartRecordName").filter(|name| !name.is_empty()).map(domain).transpose()?;
    let kind = input.text("StartRecordType").filter(|kind| !kind.is_empty());
    let size = max_items(input, 300)?;
    if input.text("StartRecordIdentifier").is_some_and(|text| !text.is_empty()) {
        return Err(invalid("StartRecordIdentifier is not served by this cloud: no record set has an identifier"));
    }
    input.done()?;
    if kind.is_some_and(|kind| !TYPES.contains(&kind)) || kind.is_some() && from.is_none() {
        return Err(invalid("StartRecordType must be a type, and needs a StartRecordName"));
    }
    // AWS: by labels from the right.
    let order = |name: &str| name.trim_end_matches('.').rsplit('.').map(str::to_string).collect::<Vec<_>>();
    let zone = state.route53.zone(id)?;
    let sets = zone.records.iter().flat_map(|(name, sets)| sets.iter().map(move |(kind, set)| (name, kind, set)));
    let mut behind: Vec<_> = sets
        .filter(|(name, of, _)| from.as_ref().is_none_or(|from| (order(name), of.as_str()) >= (order(from), kind.unwrap_or_default())))
        .collect();
    behind.sort_by_key(|(name, kind, _)| (order(name), (*kind).clone()));
    let next = behind.get(size).map(|(name, kind, _)| (shown(name), (*kind).clone()));
    let records = behind.into_iter().take(size).map(|(name, kind, set)| {
        let values = set.values.iter().map(|value| Record::new().with("Value", value));
        let record = Record::new().with("Name", shown(name)).with("Type", kind).maybe("TTL", set.ttl);
        let values = (!set.values.is_empty()).then(|| Record::new().list("ResourceRecord", values));
        record.maybe("ResourceRecords", values).maybe(
            "AliasTarget",
            set.alias.as_ref().map(|alias| {
                Record::new()
                    .with("HostedZoneId", &alias.zone)
                    .with("DNSName", &alias.name)
                    .with("EvaluateTargetHealth", alias.evaluates_health)
            }),
        )
    });
    Ok(Record::new()
        .with("ResourceRecordSets", Record::new().list("ResourceRecordSet", records))
        .with("IsTruncated", next.is_some())
        .maybe("NextRecordName", next.as_ref().map(|(name, _)| name))
        .maybe("NextRecordType", next.as_ref().map(|(_, kind)| kind))
        .with("MaxItems", size.to_string()))
}
