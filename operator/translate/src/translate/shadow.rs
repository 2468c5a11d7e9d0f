//! Rules that get no requests, because another one matches the same and comes first: two routes in conflict.

use super::precedence::Candidate;
use portico_providers::{HttpMatch, PathMatch, PlanRule, RouteId, RuleMatch};
use std::collections::BTreeMap;

/// The rules of a listener, in the order in which they are tried, that get no requests, and what their author should know.
pub(super) fn find(candidates: &[Candidate]) -> Vec<(RouteId, String)> {
    let mut first: BTreeMap<(Option<&str>, &str), Vec<&PlanRule>> = BTreeMap::new();
    let mut found = Vec::new();
    for Candidate { rule, .. } in candidates {
        let RuleMatch::Http(http) = &rule.matches else { continue };
        let (PathMatch::Exact(path) | PathMatch::Prefix(path) | PathMatch::RegularExpression(path)) = &http.path;
        let alike = first.entry((rule.hostname.as_ref().map(|name| name.as_str()), path)).or_default();
        match alike.iter().find(|other| matches!(&other.matches, RuleMatch::Http(other) if same(http, other))) {
            Some(winner) => found.push((rule.id.route.clone(), message(rule, winner))),
            None => alike.push(rule),
        }
    }
    found
}

/// Whether two matches take the same requests; the order of headers and parameters means nothing.
fn same(a: &HttpMatch, b: &HttpMatch) -> bool {
    let holds = |a: &HttpMatch, b: &HttpMatch| {
        a.headers.iter().all(|it| b.headers.contains(it)) && a.query_params.iter().all(|it| b.query_params.contains(it))
    };
    a.path == b.path && a.method == b.method && holds(a, b) && holds(b, a)
}

fn message(loser: &PlanRule, winner: &PlanRule) -> String {
    let place = |rule: &PlanRule| format!("spec.rules[{}].matches[{}]", rule.id.rule, rule.id.match_index);
    let (own, other) = (&loser.id.route, &winner.id.route);
    let hostname = loser.hostname.as_ref().map_or("any hostname", |name| name.as_str());
    if own == other {
        return format!(
            "{} gets no requests for {hostname}: {} matches the same and comes first; remove one of them",
            place(loser),
            place(winner)
        );
    }
    // Names in other namespaces are not this author's to see, but with whom to talk is.
    let who = match own.key.namespace == other.key.namespace {
        true => other.to_string(),
        false => format!("an {} of namespace {}", other.kind.as_str(), other.key.namespace),
    };
    format!(
        "{} gets no requests for {hostname}: {who} matches the same and comes first (routes go by age, then by name); use another hostname or match",
        place(loser)
    )
}
