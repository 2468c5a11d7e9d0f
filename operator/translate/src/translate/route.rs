//! The routes of a unit: which of its listeners they attach to, and the rules that they bring there.

use super::attach::{self, Name, RouteNames};
use super::backend::Traffic;
use super::defect;
use super::listener::Listener;
use super::precedence::Candidate;
use super::rule::{self, Rules};
use crate::World;
use crate::report::{Drop, ParentReport, RouteReport, Verdict};
use crate::world::object::StoredRoute;
use portico_crds::NamespacedName;
use portico_crds::condition::RouteReason;
use portico_crds::normal::ParentRef;
use portico_providers::{PlanRule, RouteId, RouteKind};
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
    let resolve = |traffic| {
        let mut resolved = rule::resolve(world, id, traffic, spec);
        let faults = names.faults.iter().map(|message| Drop {
            reason: RouteReason::UnsupportedValue,
            rule: None,
            field: None,
            message: message.clone(),
        });
        resolved.dropped.extend(faults);
        resolved
    };
    let mut resolved = resolve(Traffic::of(id.kind));
    let mut passed_through = (id.kind == RouteKind::Tls).then(|| resolve(Traffic::PassedThrough));
    // Experimental channel; the generated types do not have it.
    let scope = route.stored.raw.get("spec").and_then(|spec| spec.get("useDefaultGateways")?.as_str()).is_some_and(|scope| scope != "None");
    let scope = scope.then(|| {
        "spec.useDefaultGateways: routes attach to the Gateways that they name only; name them in spec.parentRefs, and remove the field"
            .to_owned()
    });
    // Several parent references may lead to one listener; the route's rules are there once.
    let mut attached: BTreeMap<usize, Vec<Name>> = BTreeMap::new();
    for (index, parent) in parents {
        let outcome = attach::attach(world, listeners, id, &format!("spec.parentRefs[{index}]"), parent, &names);
        let mut notes: Vec<String> = scope.iter().cloned().collect();
        // Where some listeners end TLS, what is said of backends holds for these.
        let mut meant = &resolved;
        let verdict = match outcome {
            Err(fault) => Verdict::Rejected(fault),
            Ok(attachments) => {
                let to: Vec<_> = attachments.iter().filter_map(|(at, _)| listeners.get(*at)).collect();
                let owners: BTreeSet<_> = to.iter().map(|it| it.report.owner.clone()).collect();
                let idle = to.iter().filter(|listener| !listener.report.is_served());
                let idle: Vec<_> = idle.map(|listener| listener.report.owner.section.clone()).collect();
                if let Some(through) = passed_through.as_ref().filter(|_| to.iter().all(|listener| listener.passes_through())) {
                    meant = through;
                }
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
        notes.extend(meant.notes.iter().cloned());
        report.parents.push(ParentReport { notes, ..entry(parent.clone(), verdict, meant) });
    }
    let mut uses: usize = attached.values().map(Vec::len).sum();
    for (at, names) in attached {
        let (Some(candidates), Some(listener)) = (rules.get_mut(at), listeners.get(at)) else { continue };
        let on = passed_through.as_mut().filter(|_| listener.passes_through()).unwrap_or(&mut resolved);
        for Name { written, common } in names {
            // Most routes have one name on one listener, which need no copy.
            uses = uses.saturating_sub(1);
            let rules = if uses == 0 { std::mem::take(&mut on.rules) } else { on.rules.clone() };
            candidates.extend(rules.into_iter().map(|rule| Candidate {
                written: written.clone(),
                created: route.stored.meta.created.clone(),
                rule: PlanRule { hostname: common.clone(), ..rule },
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
