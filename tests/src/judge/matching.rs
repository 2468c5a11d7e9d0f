//! Whether a match holds for a request, and which of two matches goes first.

use std::cmp::{Ordering, Reverse};

use regex::Regex;

use super::answer;
use super::api::{Cluster, Kind, Match, PathMatch, Route, Rule, ValueMatch};
use super::attachment::covers;
use super::call;
use super::cors;
use super::reading::{Reading, Repeated};
use super::request::Request;

/// The kinds of path matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path<'a> {
    /// The whole path.
    Exact(&'a str),
    /// Its first elements; without the slash at the end, which means nothing.
    Prefix(&'a str),
    /// An expression for the whole path.
    Regex(&'a str),
}

impl<'a> Path<'a> {
    /// What a match says of the path.
    pub fn of(matches: &'a Match) -> Self {
        let Some(PathMatch { kind, value }) = &matches.path else { return Self::Prefix("") };
        let value = value.as_deref().unwrap_or("/");
        match kind.as_deref() {
            Some("Exact") => Self::Exact(value),
            Some("RegularExpression") => Self::Regex(value),
            _ => Self::Prefix(value.strip_suffix('/').unwrap_or(value)),
        }
    }

    fn holds(self, path: &str) -> bool {
        match self {
            Self::Exact(value) => value == path,
            Self::Prefix(value) => path.strip_prefix(value).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Self::Regex(value) => full_match(value, path),
        }
    }
}

/// Whether the whole text matches. How an expression is anchored is left to implementations; Portico documents it so. An expression that
/// cannot be read matches nothing.
pub fn full_match(expression: &str, text: &str) -> bool {
    Regex::new(&format!("^(?:{expression})$")).is_ok_and(|regex| regex.is_match(text))
}

/// Whether a candidate takes a request: all conditions of its match hold, or its rule answers the preflight request of one for which they hold.
pub fn takes(cluster: &Cluster, candidate: &Candidate<'_>, request: &Request, reading: Reading) -> bool {
    holds(candidate.route.kind, candidate.matches, request, reading)
        || cors::asked(request).is_some_and(|method| {
            let meant = Request { method: method.to_owned(), ..request.clone() };
            answers_preflights(cluster, candidate) && holds(candidate.route.kind, candidate.matches, &meant, reading)
        })
}

/// Preflight requests are for rules that share answers across origins, and that have any.
fn answers_preflights(cluster: &Cluster, candidate: &Candidate<'_>) -> bool {
    candidate
        .rule()
        .is_some_and(|rule| rule.filters.iter().any(|filter| filter.cors.is_some()) && answer::forwards(cluster, candidate, rule))
}

/// Whether all conditions of a match hold.
pub fn holds(kind: Kind, matches: &Match, request: &Request, reading: Reading) -> bool {
    let what = match kind {
        Kind::Http => {
            Path::of(matches).holds(&reading.path.of_path(&request.path))
                && matches.http_method().is_none_or(|method| method == request.method)
                && query_params(matches).iter().all(|parameter| query_holds(parameter, request, reading))
        }
        Kind::Grpc => call::holds(matches.call(), request),
    };
    what && headers(matches).iter().all(|header| request.header(&header.name).is_some_and(|value| value_holds(header, value)))
}

fn value_holds(wanted: &ValueMatch, value: &str) -> bool {
    match wanted.kind.as_deref() {
        Some("RegularExpression") => full_match(&wanted.value, value),
        _ => wanted.value == value,
    }
}

fn query_holds(wanted: &ValueMatch, request: &Request, reading: Reading) -> bool {
    let pairs = request.query.as_deref().unwrap_or_default().split('&');
    let mut values = pairs
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| reading.query.of_query(name) == wanted.name)
        .map(|(_, value)| reading.query.of_query(value));
    match reading.repeated {
        Repeated::First => values.next().is_some_and(|value| value_holds(wanted, &value)),
        Repeated::Any => values.any(|value| value_holds(wanted, &value)),
    }
}

/// The headers that count: of several entries with equivalent names only the first (names of headers have no case).
fn headers(matches: &Match) -> Vec<&ValueMatch> {
    firsts(&matches.headers, |a, b| a.eq_ignore_ascii_case(b))
}

/// The query parameters that count.
fn query_params(matches: &Match) -> Vec<&ValueMatch> {
    firsts(&matches.query_params, |a, b| a == b)
}

fn firsts(all: &[ValueMatch], same: impl Fn(&str, &str) -> bool) -> Vec<&ValueMatch> {
    let mut found: Vec<&ValueMatch> = Vec::new();
    for one in all {
        if !found.iter().any(|other| same(&other.name, &one.name)) {
            found.push(one);
        }
    }
    found
}

/// One match of one rule of one route, for a request that it holds for.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The route.
    pub route: &'a Route,
    /// Position of the rule.
    pub rule: usize,
    /// Position of the match in the rule.
    pub index: usize,
    /// The match.
    pub matches: &'a Match,
}

impl<'a> Candidate<'a> {
    /// The rule.
    pub fn rule(&self) -> Option<&'a Rule> {
        self.route.spec.rules.get(self.rule)
    }
}

/// Which of two goes first: the least.
pub fn compare(a: &Candidate<'_>, b: &Candidate<'_>, host: &str) -> Ordering {
    // More characters in a matching hostname without wildcard, then more characters in a matching hostname: as written in the route (v1.7.0).
    Reverse(hostname_rank(a.route, host))
        .cmp(&Reverse(hostname_rank(b.route, host)))
        .then_with(|| Reverse(path_rank(a)).cmp(&Reverse(path_rank(b))))
        .then_with(|| Reverse(has_method(a)).cmp(&Reverse(has_method(b))))
        .then_with(|| Reverse(header_count(a)).cmp(&Reverse(header_count(b))))
        .then_with(|| Reverse(query_params(a.matches).len()).cmp(&Reverse(query_params(b.matches).len())))
        .then_with(|| a.route.metadata.creation_timestamp.cmp(&b.route.metadata.creation_timestamp))
        .then_with(|| a.route.metadata.key().cmp(&b.route.metadata.key()))
        .then_with(|| (a.rule, a.index).cmp(&(b.rule, b.index)))
}

fn hostname_rank(route: &Route, host: &str) -> (usize, usize) {
    let matching: Vec<String> =
        route.spec.hostnames.iter().map(|name| name.to_ascii_lowercase()).filter(|name| covers(name, host)).collect();
    let exact = matching.iter().filter(|name| !name.starts_with("*.")).map(String::len).max().unwrap_or(0);
    (exact, matching.iter().map(String::len).max().unwrap_or(0))
}

/// The place of a path: whether it is exact; the characters that it begins with; whether it is an expression; the characters of a call's method.
pub type PathRank = (bool, usize, bool, usize);

/// Exact first, then prefixes by their characters. The place of expressions is left to implementations: Portico documents (ARCHITECTURE.md) that
/// one stands before the prefixes that are as long as the text that all its matches begin with. A call has the place of the path that it is.
fn path_rank(candidate: &Candidate<'_>) -> PathRank {
    match (candidate.route.kind, Path::of(candidate.matches)) {
        (Kind::Grpc, _) => call::rank(candidate.matches.call()),
        (Kind::Http, Path::Exact(_)) => (true, 0, false, 0),
        (Kind::Http, Path::Prefix(value)) => (false, value.len().max(1), false, 0),
        (Kind::Http, Path::Regex(value)) => (false, literal_start(value).len(), true, 0),
    }
}

/// A call is always POST.
fn has_method(candidate: &Candidate<'_>) -> bool {
    candidate.route.kind == Kind::Grpc || candidate.matches.method.is_some()
}

/// A call has a header more: its content type.
fn header_count(candidate: &Candidate<'_>) -> usize {
    headers(candidate.matches).len() + usize::from(candidate.route.kind == Kind::Grpc)
}

/// The text that all matches of an expression begin with, as far as it is written out at its beginning.
pub fn literal_start(expression: &str) -> &str {
    let expression = expression.strip_prefix('^').unwrap_or(expression);
    let end = expression.find(|c: char| "\\^$.|?*+()[]{}".contains(c)).unwrap_or(expression.len());
    let (literal, rest) = expression.split_at(end);
    if depth_zero_alternative(rest) {
        return "";
    }
    match rest.chars().next() {
        // The last character is optional.
        Some('?' | '*' | '{') => literal.char_indices().last().map_or("", |(at, _)| literal.get(..at).unwrap_or_default()),
        _ => literal,
    }
}

/// Whether there is a `|` outside all groups.
fn depth_zero_alternative(expression: &str) -> bool {
    let mut depth = 0_usize;
    for c in expression.chars() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gateway API v1.7.0, PathMatchType.
    #[test]
    fn paths_match_as_the_gateway_api_tells() {
        for (kind, value, path, expected) in [
            ("Exact", "/abc", "/abc", true),
            ("Exact", "/abc", "/abc/", false),
            ("Exact", "/abc", "/Abc", false),
            ("Exact", "/abc", "/abcd", false),
            ("PathPrefix", "/abc", "/abc", true),
            ("PathPrefix", "/abc", "/abc/", true),
            ("PathPrefix", "/abc", "/abc/def", true),
            ("PathPrefix", "/abc", "/abcd", false),
            ("PathPrefix", "/abc", "/ABC", false),
            ("PathPrefix", "/abc/", "/abc", true),
            ("PathPrefix", "/abc/", "/abcd", false),
            ("PathPrefix", "/", "/anything", true),
            ("RegularExpression", "/a[0-9]", "/a1", true),
            ("RegularExpression", "/a[0-9]", "/a1b", false),
            ("RegularExpression", "/a(", "/a(", false),
        ] {
            let matches = Match { path: Some(PathMatch { kind: Some(kind.into()), value: Some(value.into()) }), ..Match::default() };
            assert_eq!(Path::of(&matches).holds(path), expected, "{kind} {value} {path}");
        }
        assert!(Path::of(&Match::default()).holds("/"));
    }

    #[test]
    fn expressions_have_a_literal_start() {
        for (expression, expected) in [
            ("/api/v[0-9]+", "/api/v"),
            ("/ab?", "/a"),
            ("/ab*c", "/a"),
            ("/ab+", "/ab"),
            ("/(a|b)/c", "/"),
            ("/a|/b", ""),
            ("^/a", "/a"),
            (".*", ""),
            ("/a", "/a"),
        ] {
            assert_eq!(literal_start(expression), expected, "{expression}");
        }
    }

    #[test]
    fn only_the_first_of_equivalent_names_counts() {
        let matches: Match = serde_json::from_value(serde_json::json!({"headers": [
            {"name": "foo", "value": "1"}, {"name": "Foo", "value": "2"}]}))
        .unwrap();
        let request = |value: &str| Request { headers: vec![("FOO".into(), value.into())], ..Request::get("/") };
        assert!(holds(Kind::Http, &matches, &request("1"), Reading::default()));
        assert!(!holds(Kind::Http, &matches, &request("2"), Reading::default()));
    }

    #[test]
    fn query_parameters_are_compared_with_their_case() {
        let matches: Match = serde_json::from_value(serde_json::json!({"queryParams": [{"name": "animal", "value": "whale"}]})).unwrap();
        for (query, first, any) in [
            (Some("animal=whale"), true, true),
            (Some("x=&animal=whale"), true, true),
            (Some("ANIMAL=whale"), false, false),
            (Some("animal=Whale"), false, false),
            (Some("animal"), false, false),
            (Some("animal=cat&animal=whale"), false, true),
            (None, false, false),
        ] {
            let request = Request { query: query.map(str::to_owned), ..Request::get("/") };
            assert_eq!(holds(Kind::Http, &matches, &request, Reading::default()), first, "{query:?}");
            assert_eq!(holds(Kind::Http, &matches, &request, Reading { repeated: Repeated::Any, ..Reading::default() }), any, "{query:?}");
        }
    }
}
