//! Rules that get no traffic, because another one matches the same and comes first: two routes in conflict.

use super::precedence::Candidate;
use portico_providers::{HeaderMatch, PathMatch, PlanRule, RouteId, RuleMatch, StringMatch};
use std::collections::BTreeMap;

/// The rules of a listener, in the order in which they are tried, that get no traffic, and what their author should know.
pub(super) fn find(candidates: &[Candidate]) -> Vec<(RouteId, String)> {
    let mut first: BTreeMap<(Option<&str>, &str), Vec<&PlanRule>> = BTreeMap::new();
    let mut found = Vec::new();
    for Candidate { rule, .. } in candidates {
        let alike = first.entry((rule.hostname.as_ref().map(|name| name.as_str()), text(&rule.matches))).or_default();
        match alike.iter().find(|other| same(&rule.matches, &other.matches)) {
            Some(winner) => found.push((rule.id.route.clone(), message(rule, winner))),
            None => alike.push(rule),
        }
    }
    found
}

/// What most matches differ in.
fn text(matches: &RuleMatch) -> &str {
    match matches {
        RuleMatch::Http(http) => match &http.path {
            PathMatch::Exact(path) | PathMatch::Prefix(path) | PathMatch::RegularExpression(path) => path,
        },
        RuleMatch::Grpc(grpc) => match grpc.service.as_ref().or(grpc.method.as_ref()) {
            Some(StringMatch::Exact(name) | StringMatch::RegularExpression(name)) => name,
            None => "",
        },
        RuleMatch::Connection => "",
    }
}

/// Whether two matches take the same traffic; the order of headers and parameters means nothing.
fn same(a: &RuleMatch, b: &RuleMatch) -> bool {
    let same_headers = |a: &[HeaderMatch], b: &[HeaderMatch]| a.iter().all(|it| b.contains(it)) && b.iter().all(|it| a.contains(it));
    match (a, b) {
        (RuleMatch::Http(a), RuleMatch::Http(b)) => {
            let params = a.query_params.iter().all(|it| b.query_params.contains(it)) && a.query_params.len() == b.query_params.len();
            a.path == b.path && a.method == b.method && params && same_headers(&a.headers, &b.headers)
        }
        (RuleMatch::Grpc(a), RuleMatch::Grpc(b)) => {
            (&a.service, &a.method) == (&b.service, &b.method) && same_headers(&a.headers, &b.headers)
        }
        (RuleMatch::Connection, RuleMatch::Connection) => true,
        _ => false,
    }
}

fn message(loser: &PlanRule, winner: &PlanRule) -> String {
    let traffic = match loser.matches {
        RuleMatch::Http(_) => "requests",
        RuleMatch::Grpc(_) => "calls",
        RuleMatch::Connection => "traffic",
    };
    let place = |rule: &PlanRule| match rule.matches {
        RuleMatch::Connection => format!("spec.rules[{}]", rule.id.rule),
        _ => format!("spec.rules[{}].matches[{}]", rule.id.rule, rule.id.match_index),
    };
    let hostname = match (&loser.hostname, &loser.matches) {
        (Some(name), _) => format!(" for {name}"),
        (None, RuleMatch::Connection) => String::new(),
        (None, _) => " for any hostname".to_owned(),
    };
    let (own, other) = (&loser.id.route, &winner.id.route);
    if own == other {
        return format!(
            "{} gets no {traffic}{hostname}: {} matches the same and comes first; remove one of them",
            place(loser),
            place(winner)
        );
    }
    // Names in other namespaces are not this author's to see, but with whom to talk is.
    let who = match own.key.namespace == other.key.namespace {
        true => other.to_string(),
        false => format!("{} of namespace {}", other.kind.with_article(), other.key.namespace),
    };
    let (order, remedy) = match (&loser.matches, &loser.hostname) {
        (RuleMatch::Connection, None) => ("age, then by name", "use another listener"),
        (RuleMatch::Connection, Some(_)) => ("the hostname as it is written, then by age and name", "use another hostname or listener"),
        _ => ("age, then by name", "use another hostname or match"),
    };
    format!("{} gets no {traffic}{hostname}: {who} matches the same and comes first (routes go by {order}); {remedy}", place(loser))
}
