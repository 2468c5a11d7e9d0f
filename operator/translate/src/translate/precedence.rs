//! Which rule is tried first: the total order of Gateway API v1.7.0.
//!
//! Hostname, by what the route's author wrote and not by what it has in common with the listener; then `Exact` path before the longest `PathPrefix`
//! before `RegularExpression` (whose place the API leaves to the implementation: behind the others, so that no expression takes requests from a
//! path that somebody named); then a method, more headers, more query parameters; then the older route, the first by `namespace/name`, the first
//! rule, the first match. The rest only makes the order total.

use portico_providers::{Hostname, HttpMatch, PathMatch, PlanRule, RuleMatch};
use std::cmp::{Ordering, Reverse};

/// A rule on its way into a listener.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// The hostname as the route's author wrote it.
    pub written: Option<Hostname>,
    /// `creationTimestamp` of the route; absent in manifests that no API server has seen, which are the newest.
    pub created: Option<String>,
    pub rule: PlanRule,
}

/// Orders the rules of one listener; no two different rules are equal.
pub(super) fn compare(a: &Candidate, b: &Candidate) -> Ordering {
    Hostname::by_specificity(&a.written, &b.written)
        .then_with(|| path_rank(&a.rule.matches).cmp(&path_rank(&b.rule.matches)))
        .then_with(|| constraints(&a.rule.matches).cmp(&constraints(&b.rule.matches)))
        .then_with(|| age(a).cmp(&age(b)))
        .then_with(|| a.rule.id.route.key.to_string().cmp(&b.rule.id.route.key.to_string()))
        .then_with(|| a.rule.id.cmp(&b.rule.id))
        .then_with(|| Hostname::by_specificity(&a.rule.hostname, &b.rule.hostname))
}

fn age(candidate: &Candidate) -> (bool, Option<&str>) {
    (candidate.created.is_none(), candidate.created.as_deref())
}

fn http(matches: &RuleMatch) -> Option<&HttpMatch> {
    if let RuleMatch::Http(http) = matches { Some(http) } else { None }
}

/// Kind of path match, then the longer prefix first.
fn path_rank(matches: &RuleMatch) -> (u8, Reverse<usize>) {
    match http(matches).map(|http| &http.path) {
        Some(PathMatch::Exact(_)) => (0, Reverse(0)),
        Some(PathMatch::Prefix(prefix)) => (1, Reverse(prefix.chars().count())),
        Some(PathMatch::RegularExpression(_)) => (2, Reverse(0)),
        None => (3, Reverse(0)),
    }
}

/// A method first, then more headers, then more query parameters.
fn constraints(matches: &RuleMatch) -> (bool, Reverse<usize>, Reverse<usize>) {
    let http = http(matches);
    (
        http.is_none_or(|http| http.method.is_none()),
        Reverse(http.map_or(0, |http| http.headers.len())),
        Reverse(http.map_or(0, |http| http.query_params.len())),
    )
}
