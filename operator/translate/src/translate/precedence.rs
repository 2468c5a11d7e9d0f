//! Which rule is tried first: the total order of Gateway API v1.7.0.
//!
//! Hostname, by what the route's author wrote and not by what it has in common with the listener; then `Exact` path before the longest `PathPrefix`; then
//! a method, more headers, more query parameters; then the older route, the first by `namespace/name`, the first rule, the first match. The rest only
//! makes the order total.
//!
//! The place of `RegularExpression` is left to the implementation. Here it stands among the prefixes by the text that every match of it begins with, before
//! a prefix of the same length: `/api/v[0-9]+` is tried before the prefix `/`, but takes nothing from somebody's prefix `/api/v1/users`.

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

/// Exact paths, then the longer beginning first, then expressions before prefixes.
fn path_rank(matches: &RuleMatch) -> (u8, Reverse<usize>, u8) {
    match http(matches).map(|http| &http.path) {
        Some(PathMatch::Exact(_)) => (0, Reverse(0), 0),
        Some(PathMatch::RegularExpression(expression)) => (1, Reverse(literal_beginning(expression)), 0),
        Some(PathMatch::Prefix(prefix)) => (1, Reverse(prefix.chars().count()), 1),
        None => (2, Reverse(0), 0),
    }
}

/// How many characters every match of an expression begins with, as far as a look at its text can tell.
fn literal_beginning(expression: &str) -> usize {
    let expression = expression.strip_prefix('^').unwrap_or(expression);
    if has_alternatives(expression) {
        return 0;
    }
    let literal = expression.chars().take_while(|c| !r".*+?()[]{}^$\".contains(*c)).count();
    // A quantifier that allows none takes the character before it along.
    if expression.chars().nth(literal).is_some_and(|c| "*?{".contains(c)) { literal.saturating_sub(1) } else { literal }
}

/// Whether an expression as a whole has alternatives: those within a group leave what stands before the group.
fn has_alternatives(expression: &str) -> bool {
    let (mut depth, mut class, mut escaped) = (0_usize, false, false);
    expression.chars().any(|c| {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ']' => class = false,
            _ if class => {}
            '[' => class = true,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' => return depth == 0,
            _ => {}
        }
        false
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_begin_with_their_literal_text() {
        for (expression, length) in [
            ("/api/v[0-9]+", 6),
            ("^/a/b$", 4),
            (".*", 0),
            ("/a|/b", 0),
            ("/ab?", 2),
            ("/ab+", 3),
            ("/ab*c", 2),
            ("(/a)", 0),
            ("/(a|x)/b", 1),
            ("/api/[|]x", 5),
            (r"/a\|b", 2),
            (r"/a\.b", 2),
        ] {
            assert_eq!(literal_beginning(expression), length, "{expression}");
        }
    }

    use portico_crds::NamespacedName;
    use portico_providers::{HeaderMatch, QueryParamMatch, RouteId, RouteKind, RuleId, StringMatch, Timeouts};
    use proptest::prelude::*;

    fn hostname() -> impl Strategy<Value = Option<Hostname>> {
        prop::sample::select(vec![None, Some("a.com"), Some("*.com"), Some("b.a.com"), Some("*.a.com"), Some("c.com")])
            .prop_map(|text| text.map(|text| Hostname::new(text).unwrap()))
    }

    fn path() -> impl Strategy<Value = PathMatch> {
        prop::sample::select(vec![
            PathMatch::Exact("/a".to_owned()),
            PathMatch::Exact("/longer".to_owned()),
            PathMatch::Prefix("/".to_owned()),
            PathMatch::Prefix("/ab".to_owned()),
            PathMatch::Prefix("/xy".to_owned()),
            PathMatch::RegularExpression(".*".to_owned()),
        ])
    }

    fn candidate() -> impl Strategy<Value = Candidate> {
        let names = (prop::sample::select(vec!["a", "a-b", "b"]), prop::sample::select(vec!["x", "y"]));
        let created = prop::sample::select(vec![None, Some("2026-01-01T00:00:00Z"), Some("2026-02-01T00:00:00Z")]);
        (hostname(), hostname(), path(), 0..3usize, 0..3usize, any::<bool>(), created, names, (0..2u32, 0..2u32)).prop_map(
            |(written, common, path, headers, params, method, created, (namespace, name), (rule, match_index))| {
                let value = || StringMatch::Exact("1".to_owned());
                Candidate {
                    written,
                    created: created.map(str::to_owned),
                    rule: PlanRule {
                        id: RuleId {
                            route: RouteId { kind: RouteKind::Http, key: NamespacedName::new(namespace, name) },
                            rule,
                            match_index,
                        },
                        rank: 0,
                        created: None,
                        name: None,
                        hostname: common,
                        matches: RuleMatch::Http(HttpMatch {
                            path,
                            headers: (0..headers).map(|n| HeaderMatch { name: n.to_string(), value: value() }).collect(),
                            query_params: (0..params).map(|n| QueryParamMatch { name: n.to_string(), value: value() }).collect(),
                            method: method.then(|| "GET".to_owned()),
                        }),
                        filters: Vec::new(),
                        backends: Vec::new(),
                        timeouts: Timeouts::default(),
                        retry: None,
                        session_persistence: None,
                    },
                }
            },
        )
    }

    /// What tells rules of one listener apart: no two have the same.
    fn identity(candidate: &Candidate) -> (RuleId, Option<Hostname>, Option<Hostname>) {
        (candidate.rule.id.clone(), candidate.written.clone(), candidate.rule.hostname.clone())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_order_is_total(a in candidate(), b in candidate(), c in candidate()) {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
            if compare(&a, &b).is_eq() {
                prop_assert_eq!(identity(&a), identity(&b));
            }
            prop_assert!(compare(&a, &a).is_eq());
        }
    }
}
