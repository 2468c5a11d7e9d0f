//! A plan as a document: what `--output json` prints, and what the text is made from.

use std::collections::BTreeSet;
use std::fmt::Write;

use portico_providers::{Action, Change, Refusal, Source, UnitId};
use serde::Serialize;

use crate::output::{CREATE, DELETE, DIM, HEADING, UPDATE, count, styled};

/// What would be done for all load balancers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanDocument {
    /// The load balancers, ordered by name.
    pub units: Vec<UnitDocument>,
    /// What is wrong with objects, other than refusals.
    pub problems: Vec<Problem>,
    /// The counts.
    pub summary: Summary,
}

/// What would be done for one load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitDocument {
    /// `gateway/NAMESPACE/NAME`.
    pub unit: String,
    /// The changes, in the order in which they are made.
    pub changes: Vec<ChangeDocument>,
    /// What the backend cannot serve.
    pub refusals: Vec<RefusalDocument>,
    /// Why there are no changes although there should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeDocument {
    /// Create, update or delete.
    pub action: Action,
    /// The resource within the load balancer's stack.
    pub resource: String,
    /// The call, in the provider's words.
    pub operation: String,
    /// Why.
    pub reason: String,
    /// The Kubernetes objects that it comes from.
    pub sources: Vec<String>,
}

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalDocument {
    /// What is refused.
    pub subject: String,
    /// Path of the field in that object.
    pub field: String,
    /// Cause, consequence and remedy.
    pub message: String,
}

/// A condition that is not good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Things to create.
    pub create: usize,
    /// Things to change.
    pub update: usize,
    /// Things to delete.
    pub delete: usize,
    /// Refusals.
    pub refusals: usize,
    /// Problems.
    pub problems: usize,
    /// Load balancers that cannot be planned.
    pub errors: usize,
}

impl UnitDocument {
    /// The document of one unit.
    pub fn new<O: std::fmt::Display>(unit: &UnitId, changes: &[Change<O>], refusals: &[Refusal]) -> Self {
        Self {
            unit: unit.to_string(),
            changes: changes.iter().map(ChangeDocument::new).collect(),
            refusals: refusals.iter().map(RefusalDocument::new).collect(),
            error: None,
        }
    }
}

impl ChangeDocument {
    fn new<O: std::fmt::Display>(change: &Change<O>) -> Self {
        Self {
            action: change.action,
            resource: change.resource.to_string(),
            operation: change.operation.to_string(),
            reason: change.reason.clone(),
            sources: change.sources.iter().map(source).collect(),
        }
    }
}

impl RefusalDocument {
    fn new(refusal: &Refusal) -> Self {
        use portico_providers::Subject;
        let subject = match &refusal.subject {
            Subject::Rule(rule) => rule.to_string(),
            Subject::Listener(owner) => owner.to_string(),
            Subject::Gateway(key) => format!("Gateway {key}"),
        };
        Self { subject, field: refusal.field.clone(), message: refusal.to_string() }
    }
}

fn source(source: &Source) -> String {
    match source {
        Source::Rule(rule) => rule.to_string(),
        Source::Object(object) => object.to_string(),
    }
}

impl PlanDocument {
    /// A document with its counts.
    pub fn new(units: Vec<UnitDocument>, problems: BTreeSet<Problem>) -> Self {
        let actions = |action| units.iter().flat_map(|unit| &unit.changes).filter(|change| change.action == action).count();
        let summary = Summary {
            create: actions(Action::Create),
            update: actions(Action::Update),
            delete: actions(Action::Delete),
            refusals: units.iter().map(|unit| unit.refusals.len()).sum(),
            problems: problems.len(),
            errors: units.iter().filter(|unit| unit.error.is_some()).count(),
        };
        Self { units, problems: problems.into_iter().collect(), summary }
    }

    /// The plan for a person, with styles.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for unit in &self.units {
            unit.write(&mut out);
        }
        if !self.problems.is_empty() {
            let _ = writeln!(out, "{}", styled(HEADING, "Problems"));
            for problem in &self.problems {
                let _ = writeln!(out, "  {} {}: {}", styled(DELETE, "!"), problem.object, problem.condition);
                let _ = writeln!(out, "      {}", problem.message);
            }
            out.push('\n');
        }
        let _ = writeln!(out, "{}", self.summary.text());
        out
    }
}

impl UnitDocument {
    fn write(&self, out: &mut String) {
        let _ = writeln!(out, "{}", styled(HEADING, &self.unit));
        if self.changes.is_empty() && self.error.is_none() {
            let _ = writeln!(out, "  {}", styled(DIM, "nothing to change"));
        }
        for change in &self.changes {
            let (style, sign) = match change.action {
                Action::Create => (CREATE, '+'),
                Action::Update => (UPDATE, '~'),
                Action::Delete => (DELETE, '-'),
            };
            let _ = write!(out, "  {} {}", styled(style, sign), change.operation);
            // Something new is there because an object asks for it, which its source says; what changes or goes has a reason of its own.
            if change.action != Action::Create && !change.reason.is_empty() {
                let _ = write!(out, "  {}", styled(DIM, format_args!("({})", change.reason)));
            }
            match change.sources.as_slice() {
                [] => {}
                [only] => {
                    let _ = write!(out, "  {}", styled(DIM, format_args!("← {only}")));
                }
                [first, rest @ ..] => {
                    let _ = write!(out, "  {}", styled(DIM, format_args!("← {first} and {} more", rest.len())));
                }
            }
            out.push('\n');
        }
        if let Some(error) = &self.error {
            let _ = writeln!(out, "  {} {error}", styled(DELETE, "cannot be planned:"));
        }
        for refusal in &self.refusals {
            let _ = writeln!(out, "  {} {}", styled(DELETE, "refused"), refusal.subject);
            let _ = writeln!(out, "      {}", refusal.message);
        }
        out.push('\n');
    }
}

impl Summary {
    /// `Plan: 12 to create, 0 to change, 0 to delete; 1 refusal`.
    pub fn text(&self) -> String {
        let mut text = format!("Plan: {} to create, {} to change, {} to delete", self.create, self.update, self.delete);
        let mut separator = "; ";
        for (number, noun) in [(self.refusals, "refusal"), (self.problems, "problem"), (self.errors, "error")] {
            if number > 0 {
                text.push_str(separator);
                text.push_str(&count(number, noun));
                separator = ", ";
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn change(action: Action, operation: &str, reason: &str, sources: &[&str]) -> ChangeDocument {
        ChangeDocument {
            action,
            resource: "rule/80/shop".into(),
            operation: operation.into(),
            reason: reason.into(),
            sources: sources.iter().map(|s| (*s).to_owned()).collect(),
        }
    }

    #[test]
    fn a_plan_reads_like_a_plan() {
        let unit = UnitDocument {
            unit: "gateway/platform/public".into(),
            changes: vec![
                change(
                    Action::Create,
                    "on port 80 at priority 500, if path /a: forward to shop",
                    "not there yet",
                    &["HTTPRoute shop/cart rules[0].matches[0]"],
                ),
                change(
                    Action::Update,
                    "change the rule at priority 1000",
                    "weights 50/50 → 90/10",
                    &["HTTPRoute a/b", "HTTPRoute a/c", "Gateway x/y"],
                ),
                change(Action::Delete, "delete target group old", "nothing forwards to it any more", &[]),
            ],
            refusals: vec![RefusalDocument {
                subject: "HTTPRoute shop/cart rules[1].matches[0]".into(),
                field: "spec.rules[1].filters[0]".into(),
                message: "spec.rules[1].filters[0]: an ALB cannot mirror; its requests are answered 500. Use a proxy".into(),
            }],
            error: None,
        };
        let broken = UnitDocument { unit: "gateway/a/b".into(), changes: vec![], refusals: vec![], error: Some("no subnet fits".into()) };
        let idle = UnitDocument { unit: "gateway/c/d".into(), changes: vec![], refusals: vec![], error: None };
        let problem = Problem {
            object: "HTTPRoute shop/cart".into(),
            condition: "ResolvedRefs=False BackendNotFound".into(),
            message: "spec.rules[0].backendRefs[0]: no Service shop/gone".into(),
        };
        let document = PlanDocument::new(vec![unit, broken, idle], BTreeSet::from([problem]));
        let plain = anstream::adapter::strip_str(&document.text()).to_string();
        expect![[r#"
            gateway/platform/public
              + on port 80 at priority 500, if path /a: forward to shop  ← HTTPRoute shop/cart rules[0].matches[0]
              ~ change the rule at priority 1000  (weights 50/50 → 90/10)  ← HTTPRoute a/b and 2 more
              - delete target group old  (nothing forwards to it any more)
              refused HTTPRoute shop/cart rules[1].matches[0]
                  spec.rules[1].filters[0]: an ALB cannot mirror; its requests are answered 500. Use a proxy

            gateway/a/b
              cannot be planned: no subnet fits

            gateway/c/d
              nothing to change

            Problems
              ! HTTPRoute shop/cart: ResolvedRefs=False BackendNotFound
                  spec.rules[0].backendRefs[0]: no Service shop/gone

            Plan: 1 to create, 1 to change, 1 to delete; 1 refusal, 1 problem, 1 error
        "#]]
        .assert_eq(&plain);
    }
}
