//! What could not be read in a route: never silently served, never silently left out.

use crate::report::Drop;
use portico_crds::condition::RouteReason;
use portico_crds::normal::{RouteRule, RouteSpec};
use portico_crds::{CutScope, Defect};
use portico_providers::{Backend, Filter, InvalidReason, WeightedBackend};
use serde_json::Value;

/// A defect for the person who made it: path, what is wrong, and the value.
pub(super) fn message(defect: &Defect) -> String {
    if defect.value.is_empty() { defect.to_string() } else { format!("{defect} (value {})", defect.value) }
}

/// What the defects of a route cost it.
pub(super) fn drops(spec: &RouteSpec) -> Vec<Drop> {
    let drop = |defect: &Defect| {
        let rule = rule_index(&defect.path);
        let gone = rule.filter(|rule| match spec.rules.iter().find(|it| u32::try_from(it.index) == Ok(*rule)) {
            Some(rule) => rule.incomplete,
            None => true,
        });
        Drop { reason: RouteReason::UnsupportedValue, rule: gone, field: None, message: message(defect) }
    };
    spec.defects.iter().map(drop).collect()
}

fn rule_index(path: &str) -> Option<u32> {
    path.strip_prefix("spec.rules[")?.split_once(']')?.0.parse().ok()
}

/// Filters in the place of what was cut out of a rule itself, so that its requests are answered with an error.
pub(super) fn filters(spec: &RouteSpec, rule: &RouteRule) -> Vec<Filter> {
    if spec.defects.is_empty() {
        return Vec::new();
    }
    let path = format!("spec.rules[{}]", rule.index);
    let own = spec.defects_under(&path).filter(|it| matches!(it.cut, CutScope::Filter | CutScope::Field) && !in_backend(&path, it));
    own.map(|defect| Filter::Unknown { kind: kind(&path, defect), message: message(defect) }).collect()
}

fn in_backend(path: &str, defect: &Defect) -> bool {
    defect.path.strip_prefix(path).is_some_and(|rest| rest.starts_with(".backendRefs["))
}

/// The type of a filter where that is what could not be read, otherwise the field's name.
fn kind(path: &str, defect: &Defect) -> String {
    let is_type = defect.path.ends_with(".type") && defect.cut == CutScope::Filter;
    let text = serde_json::from_str::<Value>(&defect.value).ok().and_then(|value| value.as_str().map(str::to_owned));
    match text {
        Some(text) if is_type => text,
        _ => {
            let field = defect.path.strip_prefix(path).unwrap_or(&defect.path).trim_start_matches('.');
            field.split(['.', '[']).next().unwrap_or(field).to_owned()
        }
    }
}

/// Backends in the place of those that were cut out: they keep their weight.
pub(super) fn backends(spec: &RouteSpec, rule: &RouteRule) -> Vec<WeightedBackend> {
    if spec.defects.is_empty() {
        return Vec::new();
    }
    let path = format!("spec.rules[{}]", rule.index);
    let lost = spec.defects_under(&path).filter(|it| it.cut == CutScope::BackendRef);
    lost.map(|defect| {
        let rest = defect.path.strip_prefix(&path).and_then(|rest| rest.strip_prefix(".backendRefs["));
        let index = rest.and_then(|rest| rest.split_once(']')).and_then(|(index, _)| index.parse().ok());
        WeightedBackend {
            index: index.unwrap_or_default(),
            weight: defect.weight.unwrap_or(1),
            backend: Backend::Invalid { reason: InvalidReason::UnsupportedValue, message: message(defect) },
            filters: Vec::new(),
        }
    })
    .collect()
}
