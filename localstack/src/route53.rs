//! Route 53 (version 2013-04-01): hosted zones and record sets, which the cloud's own DNS answers from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Answer, ApiError};
use crate::operation::{Kind, Operation};
use crate::state::State;
use crate::wire::rest::Layout;
use crate::wire::{Input, Record};

pub mod change;
pub mod route;
pub mod zone;

/// The XML namespace of answers.
pub const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// The state of Route 53.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Route53 {
    /// Hosted zones by id.
    pub zones: BTreeMap<String, Zone>,
    /// When changes were submitted, by id.
    pub changes: BTreeMap<String, Timestamp>,
}

/// A hosted zone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Zone {
    /// Its id.
    pub id: String,
    /// Its name, with a dot at the end.
    pub name: String,
    /// What its creator called the request.
    pub caller_reference: String,
    /// Its comment.
    pub comment: Option<String>,
    /// The VPC of a private zone.
    pub vpc: Option<String>,
    /// Its record sets by name and type.
    pub records: BTreeMap<String, BTreeMap<String, RecordSet>>,
}

/// A record set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSet {
    /// For how many seconds it may be kept; `None` for an alias.
    pub ttl: Option<u32>,
    /// Its values.
    pub values: Vec<String>,
    /// What it stands for.
    pub alias: Option<Alias>,
}

/// What a record set stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The zone of the target.
    pub zone: String,
    /// The target's name.
    pub name: String,
    /// Whether the target's health matters.
    pub evaluates_health: bool,
}

impl Route53 {
    fn zone(&self, id: &str) -> Answer<&Zone> {
        self.zones.get(id).ok_or_else(|| ApiError::with_status("NoSuchHostedZone", format!("No hosted zone found with ID: {id}"), 404))
    }

    /// The record sets of a name in the zone that is the most specific for it, also by a wildcard.
    pub fn lookup(&self, name: &str) -> Option<&BTreeMap<String, RecordSet>> {
        let inside = |zone: &&Zone| name == zone.name || name.ends_with(&format!(".{}", zone.name));
        let mut zones: Vec<&Zone> = self.zones.values().filter(inside).collect();
        zones.sort_by_key(|zone| std::cmp::Reverse(zone.name.len()));
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        zones.into_iter().find_map(|zone| zone.records.get(name).or_else(|| zone.records.get(wildcard.as_ref()?)))
    }
}

/// The operation with this name.
pub fn operation(name: &str) -> Option<Operation> {
    use Kind::{Read, Write};
    Some(match name {
        "CreateHostedZone" => Operation::new(Write, zone::create),
        "GetHostedZone" => Operation::new(Read, zone::get),
        "DeleteHostedZone" => Operation::new(Write, zone::delete),
        "ListHostedZones" => Operation::new(Read, zone::list),
        "ListHostedZonesByName" => Operation::new(Read, zone::list_by_name),
        "ChangeResourceRecordSets" => Operation::new(Write, change::change),
        "ListResourceRecordSets" => Operation::new(Read, change::list),
        "GetChange" => Operation::new(Read, change::get),
        _ => return None,
    })
}

/// How the answer of an operation is written.
pub fn layout(operation: &str) -> Layout {
    let (status, root) = match operation {
        "CreateHostedZone" => (201, "CreateHostedZoneResponse"),
        "GetHostedZone" => (200, "GetHostedZoneResponse"),
        "DeleteHostedZone" => (200, "DeleteHostedZoneResponse"),
        "ListHostedZones" => (200, "ListHostedZonesResponse"),
        "ListHostedZonesByName" => (200, "ListHostedZonesByNameResponse"),
        "ChangeResourceRecordSets" => (200, "ChangeResourceRecordSetsResponse"),
        "ListResourceRecordSets" => (200, "ListResourceRecordSetsResponse"),
        _ => (200, "GetChangeResponse"),
    };
    Layout { status, root: Some(root), namespace: NAMESPACE, headers: &[("Location", "location")] }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidInput", message)
}

/// Runs an operation: Route 53 spells the errors of parameters in its own way.
pub fn run(operation: Operation, state: &mut State, input: &Input) -> Answer<Record> {
    let unknown = |path: &str| invalid(format!("{path} is not served by this cloud"));
    (operation.run)(state, input).map_err(|error| error.respelled(unknown, invalid))
}

/// A domain name in lower case with a dot at its end, or why it is none.
fn domain(text: &str) -> Answer<String> {
    let name = text.trim_end_matches('.').replace("\\052", "*").to_ascii_lowercase();
    let label =
        |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte));
    if name.is_empty() || name.len() > 253 || !name.split('.').all(label) {
        return Err(ApiError::new("InvalidDomainName", format!("Invalid domain name: {text}")));
    }
    Ok(name + ".")
}

/// A name as Route 53 shows it.
fn shown(name: &str) -> String {
    name.replace('*', "\\052")
}

/// How many changes GetChange knows. (AWS does not document for how long it knows them.)
const CHANGES: usize = 1000;

/// Notes a change; what there is to say about it.
fn submitted(state: &mut State) -> Record {
    let id = format!("C{}", state.ids.hex(20).to_ascii_uppercase());
    let changes = &mut state.route53.changes;
    if changes.len() >= CHANGES {
        let oldest = changes.iter().min_by_key(|(_, at)| **at).map(|(id, _)| id.clone());
        oldest.map(|id| changes.remove(&id));
    }
    changes.insert(id.clone(), state.now);
    change_record(&id, state.now)
}

fn change_record(id: &str, at: Timestamp) -> Record {
    // Changes are in force when their call answers.
    Record::new().with("Id", format!("/change/{id}")).with("Status", "INSYNC").with("SubmittedAt", at)
}

/// `maxitems` (AWS: at most so many).
fn max_items(input: &Input, most: usize) -> Answer<usize> {
    let size: usize = input.parse("MaxItems")?.unwrap_or(most);
    if size == 0 { Err(invalid("MaxItems must be greater than 0")) } else { Ok(size.min(most)) }
}
