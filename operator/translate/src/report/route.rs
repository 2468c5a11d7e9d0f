//! The report on a route, per parent.

use super::condition::ConditionType;
use super::{Condition, Fault, join};
use crate::status::{Desired, EntriesStatus, ParentStatus};
use crate::world::World;
use portico_crds::condition::{RouteCondition, RouteReason};
use portico_crds::normal::ParentRef;
use portico_providers::{ListenerOwner, RouteId};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be said about a route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteReport {
    /// The generation that was looked at.
    pub generation: i64,
    /// One entry per parent reference to a Gateway of the unit, in the order of the spec.
    pub parents: Vec<ParentReport>,
}

/// What is to be said about a route's attachment to one parent.
#[derive(Clone, Debug, PartialEq)]
pub struct ParentReport {
    /// The reference, as the route has it.
    pub parent: ParentRef,
    /// The listeners it attached to, or why to none.
    pub(crate) verdict: Verdict,
    /// The rules and matches that are served.
    pub(crate) serving: BTreeSet<(u32, u32)>,
    /// What is not served.
    pub(crate) dropped: Vec<Drop>,
    /// References that do not resolve, in the order of the spec.
    pub(crate) unresolved: Vec<Fault<RouteReason>>,
    /// What else the author should know, though it harms nothing.
    pub(crate) notes: Vec<String>,
}

/// Whether a route attached.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Attached(BTreeSet<ListenerOwner>),
    Rejected(Fault<RouteReason>),
    /// The route cannot be read.
    Unreadable(String),
}

/// A part of a route that is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drop {
    pub reason: RouteReason,
    /// The rule by its author's index, where it is one rule's matter; translation and compile may both complain about it.
    pub rule: Option<u32>,
    /// Path of the field, where the message does not begin with it itself.
    pub field: Option<String>,
    pub message: String,
}

/// What several drops say: those that differ in nothing but their field as one.
fn messages(drops: &[Drop]) -> String {
    let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for drop in drops {
        let of_message = fields.entry(&drop.message).or_default();
        of_message.extend(drop.field.as_deref().filter(|field| !of_message.contains(field)));
    }
    join(drops.iter().map(|drop| match fields.get(drop.message.as_str()).map(|fields| fields.join(", ")) {
        Some(fields) if !fields.is_empty() => format!("{fields}: {}", drop.message),
        _ => drop.message.clone(),
    }))
}

impl ParentReport {
    /// Whether the route is accepted by this parent.
    pub fn is_accepted(&self) -> bool {
        matches!(self.verdict, Verdict::Attached(_)) && (!self.serving.is_empty() || self.dropped.is_empty())
    }

    /// Whether the route attached to a listener by this parent.
    pub(crate) fn is_attached_to(&self, owner: &ListenerOwner) -> bool {
        matches!(&self.verdict, Verdict::Attached(owners) if owners.contains(owner))
    }

    /// Its conditions.
    pub fn conditions(&self) -> Vec<Condition> {
        use RouteCondition as Type;
        use RouteReason as Reason;
        let drops = || messages(&self.dropped);
        let accepted = match &self.verdict {
            Verdict::Rejected(fault) => Condition::no(Type::Accepted, fault.reason, fault.message.clone()),
            Verdict::Unreadable(message) => Condition::no(Type::Accepted, Reason::UnsupportedValue, message.clone()),
            Verdict::Attached(_) if self.is_accepted() => {
                let message = if self.notes.is_empty() { "The route is accepted".to_owned() } else { join(self.notes.iter().cloned()) };
                Condition::yes(Type::Accepted, Reason::Accepted, message)
            }
            Verdict::Attached(_) => {
                let reason = self.dropped.first().map_or(Reason::UnsupportedValue, |drop| drop.reason);
                Condition::no(Type::Accepted, reason, format!("No rule can be served: {}", drops()))
            }
        };
        let resolved = match (&self.verdict, self.unresolved.first()) {
            (Verdict::Unreadable(_), _) => Condition::new(
                Type::ResolvedRefs,
                super::Truth::Unknown,
                Reason::Pending,
                "The route cannot be read; its Accepted condition says why",
            ),
            (_, Some(first)) => {
                Condition::no(Type::ResolvedRefs, first.reason, join(self.unresolved.iter().map(|fault| fault.message.clone())))
            }
            (_, None) => Condition::yes(Type::ResolvedRefs, Reason::ResolvedRefs, "All references resolve"),
        };
        let partially = (self.is_accepted() && !self.dropped.is_empty())
            .then(|| Condition::yes(Type::PartiallyInvalid, Reason::UnsupportedValue, format!("Dropped Rule: {}", drops())));
        [accepted, resolved].into_iter().chain(partially).collect()
    }
}

impl RouteReport {
    /// The listeners that accepted the route, each once.
    pub(super) fn attached(&self) -> BTreeSet<&ListenerOwner> {
        let accepted = self.parents.iter().filter(|parent| parent.is_accepted());
        accepted.filter_map(|parent| if let Verdict::Attached(owners) = &parent.verdict { Some(owners) } else { None }).flatten().collect()
    }

    pub(super) fn desired(&self, world: &World, id: &RouteId) -> Desired {
        Desired::Route(EntriesStatus {
            generation: self.generation,
            namespace: id.key.namespace.clone(),
            owned: RouteCondition::TYPES,
            parents: self
                .parents
                .iter()
                .map(|parent| ParentStatus { parent: parent.parent.clone(), conditions: parent.conditions() })
                .collect(),
            kept: world.served_parents(id).cloned().collect(),
        })
    }
}

/// What the status of a route should hold that lost a parent ([`crate::Impact::routes`]): the entries of ours whose parents are still served by
/// us stay as they are, the others go. `None` where the route is gone.
pub fn route_cleanup(world: &World, id: &RouteId) -> Option<Desired> {
    let route = world.routes.get(id)?;
    let report = RouteReport { generation: route.stored.meta.generation, parents: Vec::new() };
    Some(report.desired(world, id))
}
