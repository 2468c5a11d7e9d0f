//! The whole new `status` of an object: what is ours replaced, everything foreign kept verbatim and in its place.
//!
//! The lists in the statuses of routes and policies are atomic in the API, so that whoever writes them writes the entries of others too. Therefore the status is made from the
//! raw object as it was last read, and must be written with its resourceVersion.

use crate::report::{Condition, Truth};
use portico_crds::gateway::ParentReference;
use portico_crds::normal::ParentRef;
use portico_crds::{CONTROLLER_NAME, NamespacedName};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Gateway API: at most 8 conditions on anything.
const CONDITIONS: usize = 8;
/// A list of entries per parent and controller.
struct EntryList {
    /// Its field in `status`.
    field: &'static str,
    /// The field of an entry that names the parent.
    reference: &'static str,
    /// How many entries there may be.
    most: usize,
}

/// Gateway API: at most 32 parents of a route.
const PARENTS: EntryList = EntryList { field: "parents", reference: "parentRef", most: 32 };
/// Gateway API: at most 16 ancestors of a policy.
const ANCESTORS: EntryList = EntryList { field: "ancestors", reference: "ancestorRef", most: 16 };

/// What the status of an object should hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Desired {
    /// Of a GatewayClass, Gateway or ListenerSet: an object with one controller.
    Object(ObjectStatus),
    /// Of a route, which has entries per parent and controller.
    Route(EntriesStatus),
    /// Of a policy, which has entries per ancestor and controller.
    Policy(EntriesStatus),
}

/// What the status of an object with one controller should hold.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectStatus {
    /// The generation that was looked at.
    pub generation: i64,
    /// The types of conditions that are ours; those that are not desired go.
    pub owned: &'static [&'static str],
    /// The conditions.
    pub conditions: Vec<Condition>,
    /// `status.listeners`; absent leaves it as it is.
    pub listeners: Option<Vec<ListenerStatus>>,
    /// Other fields of `status`, each replaced as a whole.
    pub fields: Vec<(&'static str, Value)>,
}

/// What an entry of `status.listeners` should hold.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerStatus {
    /// Name of the listener.
    pub name: String,
    /// The conditions.
    pub conditions: Vec<Condition>,
    /// Its other fields.
    pub fields: Vec<(&'static str, Value)>,
}

/// What a status with entries per parent (of a route) or ancestor (of a policy) should hold.
#[derive(Clone, Debug, PartialEq)]
pub struct EntriesStatus {
    /// The generation that was looked at.
    pub generation: i64,
    /// The object's namespace, which parent references without one mean.
    pub namespace: String,
    /// The types of conditions that are ours.
    pub owned: &'static [&'static str],
    /// Entries to write.
    pub parents: Vec<ParentStatus>,
    /// Parents whose entries, if there are any, are also ours and stay: those of other units.
    pub kept: BTreeSet<ParentRef>,
}

/// What an entry of `status.parents` or `status.ancestors` should hold.
#[derive(Clone, Debug, PartialEq)]
pub struct ParentStatus {
    /// The reference as a route's spec has it, or to a policy's Gateway, with group and kind set.
    pub parent: ParentRef,
    /// The conditions.
    pub conditions: Vec<Condition>,
}

/// The new `status` of an object, or nothing where it holds all that already, so that nothing need be written.
///
/// `raw` is the object as last read, `now` is RFC 3339 and becomes the transition time of conditions whose status flips. Conditions of a
/// generation that is newer than the desired one are left alone: another replica has seen more.
pub fn merge(raw: &Value, desired: &Desired, now: &str) -> Option<Value> {
    let old = raw.get("status");
    let mut new = old.and_then(Value::as_object).cloned().unwrap_or_default();
    match desired {
        Desired::Object(desired) => object(&mut new, desired, now),
        Desired::Route(desired) => entries(&mut new, &PARENTS, desired, now),
        Desired::Policy(desired) => entries(&mut new, &ANCESTORS, desired, now),
    }
    let is_as_before = match old {
        Some(old) => old.as_object() == Some(&new),
        None => new.is_empty(),
    };
    (!is_as_before).then_some(Value::Object(new))
}

fn object(status: &mut Map<String, Value>, desired: &ObjectStatus, now: &str) {
    let writer = Writer { generation: desired.generation, owned: desired.owned, now };
    let newest = newest_generation(status.get("conditions"), desired.owned);
    writer.conditions(status, &desired.conditions);
    if newest > desired.generation {
        return;
    }
    for (name, value) in &desired.fields {
        let nothing = value.as_array().is_some_and(Vec::is_empty);
        if !nothing || status.contains_key(*name) {
            status.insert((*name).to_owned(), value.clone());
        }
    }
    let Some(listeners) = &desired.listeners else { return };
    let old = status.get("listeners").and_then(Value::as_array).cloned().unwrap_or_default();
    let entry = |listener: &ListenerStatus| {
        let found = old.iter().find(|it| it.get("name").and_then(Value::as_str) == Some(&listener.name));
        let mut entry = found.and_then(Value::as_object).cloned().unwrap_or_default();
        entry.insert("name".to_owned(), json!(listener.name));
        for (name, value) in &listener.fields {
            entry.insert((*name).to_owned(), value.clone());
        }
        Writer { owned: <portico_crds::condition::ListenerCondition as crate::report::ConditionType>::TYPES, ..writer }
            .conditions(&mut entry, &listener.conditions);
        Value::Object(entry)
    };
    let listeners: Vec<_> = listeners.iter().map(entry).collect();
    if !listeners.is_empty() || status.contains_key("listeners") {
        status.insert("listeners".to_owned(), Value::Array(listeners));
    }
}

fn entries(status: &mut Map<String, Value>, list: &EntryList, desired: &EntriesStatus, now: &str) {
    let old = status.get(list.field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let writer = Writer { generation: desired.generation, owned: desired.owned, now };
    let target = |parent: &ParentRef| Target::of(parent, &desired.namespace);
    let kept: BTreeSet<_> = desired.kept.iter().map(target).collect();
    let mut waiting: Vec<&ParentStatus> = Vec::new();
    let mut seen = BTreeSet::new();
    for parent in &desired.parents {
        if seen.insert(target(&parent.parent)) {
            waiting.push(parent);
        }
    }
    let mut entries = Vec::new();
    for entry in old {
        if entry.get("controllerName").and_then(Value::as_str) != Some(CONTROLLER_NAME) {
            entries.push(entry.clone());
            continue;
        }
        let parent = entry.get(list.reference).and_then(|it| serde_json::from_value::<ParentReference>(it.clone()).ok());
        let Some(parent) = parent.and_then(|it| ParentRef::try_from(&it).ok()).map(|it| target(&it)) else { continue };
        if let Some(at) = waiting.iter().position(|it| target(&it.parent) == parent) {
            let desired = waiting.remove(at);
            entries.push(writer.entry(entry.as_object().cloned().unwrap_or_default(), list, desired));
            continue;
        }
        let of_another_unit = kept.contains(&parent) && !seen.contains(&parent);
        let newer = newest_generation(entry.get("conditions"), desired.owned) > desired.generation;
        if of_another_unit || newer {
            entries.push(entry.clone());
        }
    }
    let room = list.most.saturating_sub(entries.len());
    entries.extend(waiting.into_iter().take(room).map(|parent| writer.entry(Map::new(), list, parent)));
    // A status that was never written stays so while there is nothing to say.
    if !entries.is_empty() || status.contains_key(list.field) {
        status.insert(list.field.to_owned(), Value::Array(entries));
    }
}

/// What a parent reference means, whether it spells out the route's own namespace or not.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    group: String,
    kind: String,
    key: NamespacedName,
    section: Option<String>,
    port: Option<u16>,
}

impl Target {
    fn of(parent: &ParentRef, namespace: &str) -> Self {
        Self {
            group: parent.group.clone(),
            kind: parent.kind.clone(),
            key: parent.resolve(namespace),
            section: parent.section_name.clone(),
            port: parent.port,
        }
    }
}

/// Writes conditions of one generation.
#[derive(Clone, Copy)]
struct Writer<'a> {
    generation: i64,
    owned: &'static [&'static str],
    now: &'a str,
}

impl Writer<'_> {
    fn entry(&self, mut entry: Map<String, Value>, list: &EntryList, desired: &ParentStatus) -> Value {
        if newest_generation(entry.get("conditions"), self.owned) > self.generation {
            return Value::Object(entry);
        }
        let reference = ParentReference::from(&desired.parent);
        entry.insert(list.reference.to_owned(), json!(reference));
        entry.insert("controllerName".to_owned(), json!(CONTROLLER_NAME));
        self.conditions(&mut entry, &desired.conditions);
        Value::Object(entry)
    }

    /// Replaces our conditions in the list `conditions` of `holder`: in place, new ones at the end.
    fn conditions(&self, holder: &mut Map<String, Value>, desired: &[Condition]) {
        let old = holder.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        let newer = newest_generation(holder.get("conditions"), self.owned) > self.generation;
        if newer {
            return;
        }
        let mut waiting: Vec<&Condition> = desired.iter().collect();
        let mut new = Vec::new();
        for condition in old {
            let name = condition.get("type").and_then(Value::as_str).unwrap_or_default();
            if !self.owned.contains(&name) {
                new.push(condition);
            } else if let Some(at) = waiting.iter().position(|it| it.r#type == name) {
                let desired = waiting.remove(at);
                new.push(self.condition(condition.as_object().cloned().unwrap_or_default(), desired));
            }
        }
        let room = CONDITIONS.saturating_sub(new.len());
        new.extend(waiting.into_iter().take(room).map(|condition| self.condition(Map::new(), condition)));
        holder.insert("conditions".to_owned(), Value::Array(new));
    }

    fn condition(&self, mut old: Map<String, Value>, desired: &Condition) -> Value {
        let status = old.get("status").and_then(Value::as_str);
        let of_this_generation = old.get("observedGeneration").and_then(Value::as_i64) == Some(self.generation);
        if desired.tentative && of_this_generation && status.is_some_and(|status| status != Truth::Unknown.as_str()) {
            return Value::Object(old);
        }
        let stays = status == Some(desired.status.as_str()) && old.contains_key("lastTransitionTime");
        if !stays {
            old.insert("lastTransitionTime".to_owned(), json!(self.now));
        }
        old.insert("type".to_owned(), json!(desired.r#type));
        old.insert("status".to_owned(), json!(desired.status.as_str()));
        old.insert("reason".to_owned(), json!(desired.reason));
        old.insert("message".to_owned(), json!(desired.message));
        old.insert("observedGeneration".to_owned(), json!(self.generation));
        Value::Object(old)
    }
}

/// The newest generation that conditions of ours speak of.
fn newest_generation(conditions: Option<&Value>, owned: &[&str]) -> i64 {
    let conditions = conditions.and_then(Value::as_array).into_iter().flatten();
    let ours = conditions.filter(|it| it.get("type").and_then(Value::as_str).is_some_and(|name| owned.contains(&name)));
    ours.filter_map(|it| it.get("observedGeneration").and_then(Value::as_i64)).max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
