//! A plan as a document: what `--output json` prints, and what the text is made from. Its schema is `docs/plan.schema.json`.

use std::collections::BTreeSet;

use anyhow::Context;
use portico_crds::Kind;
use portico_providers::{Action, Change, Gate, Refusal, RefusalCause, Residue, Source, Subject, TargetSetId, UnitId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::output::count;

/// Version of the document's format: the first number changes when a reader must, the second when something is added.
pub const FORMAT_VERSION: &str = "1.1";

/// What would be done for all load balancers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "Plan of portico")]
pub struct PlanDocument {
    /// Version of this format. The first number changes when a reader must change, the second when something is added.
    pub format_version: String,
    /// What the plan is made of.
    pub source: PlanSource,
    /// The load balancers, ordered by name.
    pub units: Vec<UnitDocument>,
    /// What is wrong with objects, other than refusals.
    pub problems: Vec<Problem>,
    /// The counts.
    pub summary: Summary,
}

/// What a plan is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanSource {
    /// Where the objects come from: `files`, `cluster`, or `cluster and files`.
    pub objects: String,
    /// Against what they were compared: `cloud`, or `nothing` for an empty account.
    pub observed: String,
    /// The cluster's id in names and marks.
    pub cluster_id: String,
}

/// What becomes of a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Situation {
    /// Its Gateway is served.
    Served,
    /// Its Gateway is not accepted or has lost its class: whatever exists is left as it is.
    Held,
    /// Its Gateway is being deleted, or has moved to another controller's class.
    Deleting,
    /// The cloud has it, the cluster has no such Gateway.
    Orphaned,
}

/// What would be done for one load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnitDocument {
    /// `gateway/NAMESPACE/NAME`.
    pub unit: String,
    /// What becomes of it.
    pub situation: Situation,
    /// The changes, in the order in which they are made.
    pub changes: Vec<ChangeDocument>,
    /// What the backend cannot serve.
    pub refusals: Vec<RefusalDocument>,
    /// What is not known of what there is, so that the changes may be too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why there are no changes although there should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Whether something appears, changes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// `+`
    Create,
    /// `~`
    Update,
    /// `-`
    Delete,
}

/// One change: one call to the cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeDocument {
    /// Whether something appears, changes or goes.
    pub action: Verb,
    /// The resource within the load balancer's stack: `listener/80`, `rule/80/…`.
    pub resource: String,
    /// Name of the call in the cloud's API: `CreateRule`.
    pub call: String,
    /// The call, as a person would say it.
    pub operation: String,
    /// Why.
    pub reason: String,
    /// The Kubernetes objects that it comes from: `HTTPRoute shop/cart rules[0].matches[0]`, `Service shop/cart`.
    pub sources: Vec<String>,
    /// Positions in this list of the changes that must be done before, from 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<usize>,
    /// What is waited for before it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
}

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusalDocument {
    /// What is refused: `HTTPRoute shop/cart rules[0].matches[0]`.
    pub subject: String,
    /// Path of the field in that object.
    pub field: String,
    /// Why.
    pub cause: Cause,
    /// What becomes of its requests.
    pub traffic: Traffic,
    /// What to use instead; may be empty.
    pub remedy: String,
    /// Field, cause, consequence and remedy as one text, as the object's status shows it.
    pub message: String,
    /// The message without the field: what several refusals may have in common.
    #[serde(skip)]
    pub why: String,
}

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Cause {
    /// The backend has no such thing.
    Unsupported {
        /// What it lacks.
        detail: String,
    },
    /// There is not enough room.
    Quota {
        /// Name of the limit.
        limit: String,
        /// Whose limit it is.
        holder: String,
        /// How many are needed.
        need: u32,
        /// How many there are.
        have: u32,
    },
    /// The value itself makes no sense to the backend.
    Invalid {
        /// What is wrong with it.
        detail: String,
    },
}

/// What becomes of the requests of something refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Traffic {
    /// They are answered 500.
    Answer500,
    /// They reach whatever matches next.
    FallsThrough,
    /// There are none.
    None,
    /// They are served as if the field were not there.
    Served,
}

/// A condition that is not good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The object: `HTTPRoute shop/cart`.
    pub object: String,
    /// Condition and reason: `ResolvedRefs=False BackendNotFound`.
    pub condition: String,
    /// What is wrong and where.
    pub message: String,
}

/// The counts of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Things to create.
    pub create: usize,
    /// Things to change.
    pub update: usize,
    /// Things to delete.
    pub delete: usize,
    /// Load balancers that are as they should be.
    pub unchanged: usize,
    /// Refusals.
    pub refusals: usize,
    /// Problems.
    pub problems: usize,
    /// Load balancers that cannot be planned.
    pub errors: usize,
}

/// The JSON Schema of [`PlanDocument`] (draft 2020-12).
pub fn schema() -> anyhow::Result<String> {
    serde_json::to_string_pretty(&schemars::schema_for!(PlanDocument)).context("the schema cannot be printed as JSON")
}

impl From<Action> for Verb {
    fn from(action: Action) -> Self {
        match action {
            Action::Create => Self::Create,
            Action::Update => Self::Update,
            Action::Delete => Self::Delete,
        }
    }
}

impl UnitDocument {
    /// The document of a unit for which nothing is to be done yet.
    pub fn new(unit: &UnitId, situation: Situation) -> Self {
        Self { unit: unit.to_string(), situation, changes: Vec::new(), refusals: Vec::new(), note: None, error: None }
    }

    /// Takes up the changes; `call` names one in the cloud's API.
    pub fn change<O: std::fmt::Display>(&mut self, changes: &[Change<O>], call: impl Fn(&O) -> &'static str) {
        let before = self.changes.len();
        self.changes.extend(changes.iter().map(|change| ChangeDocument {
            action: change.action.into(),
            resource: change.resource.to_string(),
            call: call(&change.operation).to_owned(),
            operation: change.operation.to_string(),
            reason: change.reason.clone(),
            sources: change.sources.iter().map(source).collect(),
            after: change.after.iter().map(|id| before + id).collect(),
            gate: gate(&change.gate),
        }));
    }

    /// Takes up what cannot be served.
    pub fn refuse(&mut self, refusals: &[Refusal]) {
        self.refusals.extend(refusals.iter().map(RefusalDocument::new));
    }

    /// Whether there is nothing to say about it.
    pub fn is_quiet(&self) -> bool {
        self.changes.is_empty()
            && self.refusals.is_empty()
            && self.note.is_none()
            && self.error.is_none()
            && self.situation != Situation::Held
    }

    /// How many changes of a kind there are.
    pub fn count(&self, verb: Verb) -> usize {
        self.changes.iter().filter(|change| change.action == verb).count()
    }
}

fn gate(gate: &Gate) -> Option<String> {
    match gate {
        Gate::None => None,
        Gate::TargetsHealthy(sets) => Some(format!("once targets of {} are healthy", names(sets))),
        Gate::TargetsRegistered(sets) => Some(format!("once the targets of {} are registered", names(sets))),
        Gate::OperationDone(operation) => Some(format!("once {operation} is over")),
        Gate::Propagated(change) => Some(format!("once change {change} has reached the data plane")),
    }
}

fn names(sets: &[TargetSetId]) -> String {
    sets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn source(source: &Source) -> String {
    match source {
        Source::Rule(rule) => rule.to_string(),
        Source::Object(object) => object.to_string(),
    }
}

impl RefusalDocument {
    fn new(refusal: &Refusal) -> Self {
        let subject = match &refusal.subject {
            Subject::Rule(rule) => rule.to_string(),
            Subject::Listener(owner) => owner.to_string(),
            Subject::Gateway(key) => format!("Gateway {key}"),
            Subject::BackendTlsPolicy(key) => format!("{} {key}", Kind::BackendTlsPolicy),
        };
        let cause = match refusal.cause.clone() {
            RefusalCause::Unsupported { detail } => Cause::Unsupported { detail },
            RefusalCause::Invalid { detail } => Cause::Invalid { detail },
            RefusalCause::Quota { limit, holder, need, have } => Cause::Quota { limit, holder, need, have },
        };
        let traffic = match refusal.residue {
            Residue::Answer500 => Traffic::Answer500,
            Residue::FallsThrough => Traffic::FallsThrough,
            Residue::NoTraffic => Traffic::None,
            Residue::Served => Traffic::Served,
        };
        Self {
            subject,
            field: refusal.field.clone(),
            cause,
            traffic,
            remedy: refusal.remedy.clone(),
            message: refusal.to_string(),
            why: refusal.why(),
        }
    }
}

impl PlanDocument {
    /// A document with its counts.
    pub fn new(units: Vec<UnitDocument>, problems: BTreeSet<Problem>) -> Self {
        let actions = |verb| units.iter().map(|unit| unit.count(verb)).sum();
        let summary = Summary {
            create: actions(Verb::Create),
            update: actions(Verb::Update),
            delete: actions(Verb::Delete),
            unchanged: units.iter().filter(|unit| unit.changes.is_empty() && unit.error.is_none()).count(),
            refusals: units.iter().map(|unit| unit.refusals.len()).sum(),
            problems: problems.len(),
            errors: units.iter().filter(|unit| unit.error.is_some()).count(),
        };
        let format_version = FORMAT_VERSION.to_owned();
        Self { format_version, source: PlanSource::default(), units, problems: problems.into_iter().collect(), summary }
    }
}

impl Summary {
    /// `1 refusal, 2 problems`; empty where there are none.
    pub fn complaints(&self) -> String {
        let parts = [(self.refusals, "refusal"), (self.problems, "problem"), (self.errors, "error")];
        let parts: Vec<_> = parts.into_iter().filter(|(number, _)| *number > 0).map(|(number, noun)| count(number, noun)).collect();
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_EXPECT=1 cargo test` rewrites the file.
    #[test]
    fn the_schema_in_the_docs_is_that_of_the_document() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/plan.schema.json");
        expect_test::expect_file![file].assert_eq(&(schema().unwrap() + "\n"));
    }
}
