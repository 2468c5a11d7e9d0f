//! Hosted zones.

use std::collections::BTreeMap;

use super::{RecordSet, Route53, Zone, domain, invalid, max_items, shown, submitted};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

/// The name servers of every zone. They do not exist: the cloud's DNS answers itself.
const NAME_SERVERS: [&str; 4] = ["ns-1.awsdns-01.com", "ns-2.awsdns-02.net", "ns-3.awsdns-03.org", "ns-4.awsdns-04.co.uk"];

impl Zone {
    fn record(&self) -> Record {
        let config = Record::new().maybe("Comment", self.comment.as_ref()).with("PrivateZone", self.vpc.is_some());
        let count: usize = self.records.values().map(BTreeMap::len).sum();
        Record::new()
            .with("Id", format!("/hostedzone/{}", self.id))
            .with("Name", shown(&self.name))
            .with("CallerReference", &self.caller_reference)
            .with("Config", config)
            .with("ResourceRecordSetCount", i64::try_from(count).unwrap_or_default())
    }
}

fn delegation() -> Record {
    Record::new().with("NameServers", Record::new().list("NameServer", NAME_SERVERS))
}

fn vpcs(state: &State, zone: &Zone) -> Option<Record> {
    let vpc = zone.vpc.as_ref()?;
    Some(Record::new().with("VPCRegion", &state.config.region).with("VPCId", vpc))
}

/// CreateHostedZone, with the record sets that every zone has.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let name = domain(input.required("Name")?)?;
    let caller_reference = input.required("CallerReference")?.to_string();
    let config = input.child("HostedZoneConfig");
    let comment = config.and_then(|config| config.text("Comment")).filter(|text| !text.is_empty()).map(str::to_string);
    let private = match config {
        Some(config) => config.flag("PrivateZone")?.unwrap_or(false),
        None => false,
    };
    let vpc = match input.child("VPC") {
        Some(vpc) => Some((vpc.required("VPCId")?.to_string(), vpc.text("VPCRegion").unwrap_or_default().to_string())),
        None => None,
    };
    input.done()?;
    if private != vpc.is_some() {
        return Err(invalid("A private hosted zone needs a VPC, and a public one has none"));
    }
    if let Some((id, region)) = &vpc
        && (!state.ec2.vpcs.contains_key(id) || *region != state.config.region)
    {
        return Err(ApiError::new("InvalidVPCId", format!("The VPC {id} in region {region} does not exist")));
    }
    if state.route53.zones.values().any(|zone| zone.caller_reference == caller_reference) {
        return Err(ApiError::with_status(
            "HostedZoneAlreadyExists",
            format!("A hosted zone has already been created with the specified caller reference: {caller_reference}"),
            409,
        ));
    }
    let id = format!("Z{}", state.ids.hex(19).to_ascii_uppercase());
    let set = |ttl, values: Vec<String>| RecordSet { ttl: Some(ttl), values, alias: None };
    let servers = NAME_SERVERS.iter().map(|server| format!("{server}.")).collect();
    let authority = format!("{}. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400", NAME_SERVERS[0]);
    let own = BTreeMap::from([("NS".to_string(), set(172_800, servers)), ("SOA".to_string(), set(900, vec![authority]))]);
    let records = BTreeMap::from([(name.clone(), own)]);
    let zone = Zone { id: id.clone(), name, caller_reference, comment, vpc: vpc.map(|(id, _)| id), records };
    let record = Record::new()
        .with("HostedZone", zone.record())
        .with("ChangeInfo", submitted(state))
        .with("DelegationSet", delegation())
        .maybe("VPC", vpcs(state, &zone))
        .with("Location", format!("https://route53.amazonaws.com/2013-04-01/hostedzone/{id}"));
    state.route53.zones.insert(id, zone);
    Ok(record)
}

/// GetHostedZone.
pub fn get(state: &mut State, input: &Input) -> Answer<Record> {
    let id = input.required("Id")?;
    input.done()?;
    let zone = state.route53.zone(id)?;
    let record = Record::new().with("HostedZone", zone.record());
    Ok(match vpcs(state, zone) {
        Some(vpc) => record.with("VPCs", Record::new().list("VPC", [vpc])),
        None => record.with("DelegationSet", delegation()),
    })
}

/// DeleteHostedZone: one that holds nothing but what every zone has.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let id = input.required("Id")?.to_string();
    input.done()?;
    let zone = state.route53.zone(&id)?;
    let own = |name: &String, kind: &String| *name == zone.name && ["NS", "SOA"].contains(&kind.as_str());
    if zone.records.iter().any(|(name, sets)| sets.keys().any(|kind| !own(name, kind))) {
        return Err(ApiError::new(
            "HostedZoneNotEmpty",
            "The specified hosted zone contains non-required resource record sets and so cannot be deleted.",
        ));
    }
    state.route53.zones.remove(&id);
    Ok(Record::new().with("ChangeInfo", submitted(state)))
}

/// ListHostedZones.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    let marker = input.text("Marker").filter(|marker| !marker.is_empty());
    let size = max_items(input, 100)?;
    if let Some(kind) = input.text("HostedZoneType").filter(|kind| !["", "PrivateHostedZone"].contains(kind)) {
        return Err(invalid(format!("'{kind}' is no value of HostedZoneType")));
    }
    let private = input.text("HostedZoneType").is_some_and(|kind| !kind.is_empty());
    input.done()?;
    let zones = state.route53.zones.values().filter(|zone| !private || zone.vpc.is_some());
    let behind: Vec<&Zone> = zones.filter(|zone| marker.is_none_or(|marker| zone.id.as_str() >= marker)).collect();
    let next = behind.get(size).map(|zone| zone.id.clone());
    let records = behind.into_iter().take(size).map(Zone::record);
    Ok(Record::new()
        .with("HostedZones", Record::new().list("HostedZone", records))
        .with("Marker", marker.unwrap_or_default())
        .with("IsTruncated", next.is_some())
        .maybe("NextMarker", next)
        .with("MaxItems", size.to_string()))
}

/// Names are ordered by their labels from the right.
fn order(name: &str) -> Vec<&str> {
    name.trim_end_matches('.').rsplit('.').collect()
}

fn sorted(route53: &Route53) -> Vec<&Zone> {
    let mut zones: Vec<&Zone> = route53.zones.values().collect();
    zones.sort_by(|a, b| order(&a.name).cmp(&order(&b.name)).then(a.id.cmp(&b.id)));
    zones
}

/// ListHostedZonesByName: from a name on.
pub fn list_by_name(state: &mut State, input: &Input) -> Answer<Record> {
    let from = input.text("DNSName").filter(|name| !name.is_empty());
    let id = input.text("HostedZoneId").filter(|id| !id.is_empty());
    let size = max_items(input, 100)?;
    input.done()?;
    let name = from.map(domain).transpose()?;
    if id.is_some() && name.is_none() {
        return Err(invalid("HostedZoneId needs a DNSName"));
    }
    let reached =
        |zone: &&Zone| name.as_ref().is_none_or(|name| (order(&zone.name), zone.id.as_str()) >= (order(name), id.unwrap_or_default()));
    let behind: Vec<&Zone> = sorted(&state.route53).into_iter().filter(reached).collect();
    let next = behind.get(size).map(|zone| (shown(&zone.name), zone.id.clone()));
    let records = behind.into_iter().take(size).map(Zone::record);
    Ok(Record::new()
        .with("HostedZones", Record::new().list("HostedZone", records))
        .maybe("DNSName", from)
        .maybe("HostedZoneId", id)
        .with("IsTruncated", next.is_some())
        .maybe("NextDNSName", next.as_ref().map(|(name, _)| name))
        .maybe("NextHostedZoneId", next.as_ref().map(|(_, id)| id))
        .with("MaxItems", size.to_string()))
}
