//! The routes of a unit: which of its listeners they attach to, and the rules that they bring there.

use super::attach::{self, Name, RouteNames};
use super::defect;
use super::http::{self, Rules};
use super::listener::Listener;
use super::precedence::Candidate;
use crate::World;
use crate::report::{Drop, ParentReport, RouteReport, Verdict};
use crate::world::object::StoredRoute;
use portico_crds::NamespacedName;
use portico_crds::condition::RouteReason;
use portico_crds::normal::ParentRef;
use portico_providers::{PlanRule, RouteId};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The rules of each listener by its position, unordered, and the reports on the routes.
pub(super) fn all(
    world: &World,
    key: &NamespacedName,
    listeners: &[Listener<'_>],
) -> (Vec<Vec<Candidate>>, BTreeMap<RouteId, RouteReport>) {
    let mut rules = vec![Vec::new(); listeners.len()];
    let mut reports = BTreeMap::new();
    for (id, route) in world.routes_of(key) {
        reports.insert(id.clone(), one(world, key, listeners, id, route, &mut rules));
    }
    (rules, reports)
}

fn one(
    world: &World,
    key: &NamespacedName,
    listeners: &[Listener<'_>],
    id: &RouteId,
    route: &StoredRoute,
    rules: &mut [Vec<Candidate>],
) -> RouteReport {
    let is_ours = |parent: &ParentRef| world.gateway_of_parent(parent, &id.key.namespace).as_ref() == Some(key);
    let parents = route.parents.iter().enumerate().filter(|(_, parent)| is_ours(parent));
    let mut report = RouteReport { generation: route.stored.meta.generation, parents: Vec::new() };
    let Some(spec) = &route.stored.spec else {
        let unreadable: Vec<_> = route.stored.defects.iter().map(defect::message).collect();
        let verdict = Verdict::Unreadable(format!("The route cannot be read: {}", unreadable.join("; ")));
        report.parents = parents.map(|(_, parent)| entry(parent.clone(), verdict.clone(), &Rules::default())).collect();
        return report;
    };
    let names = RouteNames::of(&spec.hostnames);
    let mut resolved = http::resolve(world, id, spec);
    let faults = names.faults.iter().map(|message| Drop {
        reason: RouteReason::UnsupportedValue,
        rule: None,
        field: None,
        message: message.clone(),
    });
    resolved.dropped.extend(faults);
    // Experimental channel; the generated types do not have it.
    let scope = route.stored.raw.pointer("/spec/useDefaultGateways").and_then(Value::as_str).is_some_and(|scope| scope != "None");
    let scope = scope.then(|| {
        "spec.useDefaultGateways: routes attach to the Gateways that they name only; name them in spec.parentRefs, and remove the field"
            .to_owned()
    });
    // Several parent references may lead to one listener; the route's rules are there once.
    let mut attached: BTreeMap<usize, Vec<Name>> = BTreeMap::new();
    for (index, parent) in parents {
        let outcome = attach::attach(world, listeners, id, &format!("spec.parentRefs[{index}]"), parent, &names);
        let mut notes: Vec<String> = scope.iter().cloned().collect();
        let verdict = match outcome {
            Err(fault) => Verdict::Rejected(fault),
            Ok(attachments) => {
                let owners: BTreeSet<_> =
                    attachments.iter().filter_map(|(at, _)| listeners.get(*at)).map(|it| it.report.owner.clone()).collect();
                let idle: Vec<_> = attachments
                    .iter()
                    .filter_map(|(at, _)| listeners.get(*at))
                    .filter(|listener| !listener.report.is_served())
                    .map(|listener| listener.report.owner.section.clone())
                    .collect();
                if !idle.is_empty() {
                    notes.push(format!(
                        "The route is attached, and these listeners are not served themselves, as their own conditions say: {}",
                        idle.join(", ")
                    ));
                }
                attached.extend(attachments);
                Verdict::Attached(owners)
            }
        };
        report.parents.push(ParentReport { notes, ..entry(parent.clone(), verdict, &resolved) });
    }
    for (at, names) in attached {
        let Some(candidates) = rules.get_mut(at) else { continue };
        for Name { written, common } in names {
            candidates.extend(resolved.rules.iter().map(|rule| Candidate {
                written: written.clone(),
                created: route.stored.meta.created.clone(),
                rule: PlanRule { hostname: common.clone(), ..rule.clone() },
            }));
        }
    }
    report
}

fn entry(parent: ParentRef, verdict: Verdict, resolved: &Rules) -> ParentReport {
    ParentReport {
        parent,
        verdict,
        serving: resolved.serving.clone(),
        dropped: resolved.dropped.clone(),
        unresolved: resolved.unresolved.clone(),
        notes: Vec::new(),
    }
}
