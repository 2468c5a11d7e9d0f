//! What is wrong with objects: conditions that are not good, and references that lead nowhere.

use std::collections::BTreeSet;

use portico_crds::condition::{ListenerCondition, RouteCondition};
use portico_crds::{CONTROLLER_NAME, GATEWAY_GROUP, Kind, NamespacedName};
use portico_translate::{Condition, Report, Truth, World, translate_class};
use serde_json::Value;

use super::document::Problem;
use crate::cluster::key_of;

/// Conditions whose being true is bad.
const NEGATIVE: [&str; 3] =
    [ListenerCondition::Conflicted.as_str(), ListenerCondition::OverlappingTLSConfig.as_str(), RouteCondition::PartiallyInvalid.as_str()];

fn problem(object: String, condition: &Condition) -> Option<Problem> {
    let bad = if NEGATIVE.contains(&condition.r#type) { Truth::True } else { Truth::False };
    (condition.status == bad && !condition.tentative).then(|| Problem {
        object,
        condition: format!("{}={} {}", condition.r#type, condition.status.as_str(), condition.reason),
        message: condition.message.clone(),
    })
}

/// What a report says that is not good.
pub fn of_report(report: &Report) -> BTreeSet<Problem> {
    let mut problems = BTreeSet::new();
    for (key, gateway) in &report.gateways {
        problems.extend(gateway.conditions().iter().filter_map(|condition| problem(format!("Gateway {key}"), condition)));
        for (key, set) in &gateway.listener_sets {
            let conditions = set.conditions(gateway);
            problems.extend(conditions.iter().filter_map(|condition| problem(format!("{} {key}", Kind::ListenerSet), condition)));
        }
        for listener in gateway.all_listeners() {
            let conditions = listener.conditions(gateway);
            problems.extend(conditions.iter().filter_map(|condition| problem(listener.owner.to_string(), condition)));
        }
    }
    for (id, route) in &report.routes {
        for parent in &route.parents {
            problems.extend(parent.conditions().iter().filter_map(|condition| problem(id.to_string(), condition)));
        }
    }
    for (key, policy) in &report.policies {
        let object = format!("{} {key}", Kind::BackendTlsPolicy);
        problems.extend(policy.conditions().iter().filter_map(|condition| problem(object.clone(), condition)));
    }
    problems
}

/// What is not good about the classes.
pub fn of_classes(world: &World) -> BTreeSet<Problem> {
    let reports = world.classes().filter_map(|name| Some((name, translate_class(world, name, &|_| Vec::new())?)));
    reports
        .flat_map(|(name, report)| report.conditions.into_iter().filter_map(move |it| problem(format!("GatewayClass {name}"), &it)))
        .collect()
}

/// References from these objects to classes and Gateways that do not exist: nobody would say anything about them. `place` says where they
/// were looked for.
pub fn of_references<'a>(
    objects: impl IntoIterator<Item = (Kind, &'a Value)>,
    exists: impl Fn(Kind, &NamespacedName) -> bool,
    place: &str,
) -> BTreeSet<Problem> {
    let mut problems = BTreeSet::new();
    for (kind, object) in objects {
        let key = key_of(object);
        let mut not_planned = |message: String| {
            problems.insert(Problem { object: format!("{kind} {key}"), condition: "not planned".to_owned(), message });
        };
        if kind == Kind::Gateway {
            let class = object.pointer("/spec/gatewayClassName").and_then(Value::as_str).unwrap_or_default();
            if !exists(Kind::GatewayClass, &NamespacedName::new("", class)) {
                not_planned(format!(
                    "spec.gatewayClassName: GatewayClass {class} is {place}, so that nobody can say what serves it; \
                     add one with spec.controllerName {CONTROLLER_NAME}"
                ));
            }
        }
        if !kind.is_route() {
            continue;
        }
        let parents = object.pointer("/spec/parentRefs").and_then(Value::as_array).into_iter().flatten();
        for (index, parent) in parents.enumerate() {
            let text = |field: &str| parent.get(field).and_then(Value::as_str);
            let Some(kind) = [Kind::Gateway, Kind::ListenerSet].into_iter().find(|kind| text("kind") == Some(kind.name())) else {
                continue;
            };
            if text("group") != Some(GATEWAY_GROUP) {
                continue;
            }
            let parent = NamespacedName::new(text("namespace").unwrap_or(&key.namespace), text("name").unwrap_or_default());
            if !exists(kind, &parent) {
                not_planned(format!("spec.parentRefs[{index}]: {kind} {parent} is {place}"));
            }
        }
    }
    problems
}
