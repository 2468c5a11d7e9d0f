//! Which rule is tried first: the total order of Gateway API v1.7.0.
//!
//! Hostname, by what the route's author wrote and not by what it has in common with the listener; then `Exact` path before the longest `PathPrefix`; then
//! a method, more headers, more query parameters; then the older route, the first by `namespace/name`, the first rule, the first match. The rest only
//! makes the order total.
//!
//! A gRPC call is an HTTP request, POST `/SERVICE/METHOD` with a content type of its own, and a match of a GRPCRoute has the place of the HTTP match that says the same.
//! So GRPCRoutes are ordered among themselves as Gateway API has it (characters of the service, of the method, headers), and where an HTTPRoute has the same hostname both
//! are served: whichever names the call more exactly comes first, a GRPCRoute's before the path alone, and leaves everything that is no gRPC call to the other.
//! TLSRoutes, TCPRoutes and UDPRoutes have nothing but hostname and age.
//!
//! The place of `RegularExpression` is left to the implementation. Here it stands among the prefixes by the text that every match of it begins with, before
//! a prefix of the same length: `/api/v[0-9]+` is tried before the prefix `/`, but takes nothing from somebody's prefix `/api/v1/users`.

use portico_crds::NamespacedName;
use portico_providers::{GrpcMatch, Hostname, PathMatch, PlanRule, RuleMatch, StringMatch};
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
        .then_with(|| text(&a.rule.id.route.key).cmp(text(&b.rule.id.route.key)))
        .then_with(|| a.rule.id.cmp(&b.rule.id))
        .then_with(|| Hostname::by_specificity(&a.rule.hostname, &b.rule.hostname))
}

/// The characters of `namespace/name`: many routes are of one age, and each comparison of two would allocate their texts.
fn text(key: &NamespacedName) -> impl Iterator<Item = u8> {
    key.namespace.bytes().chain(std::iter::once(b'/')).chain(key.name.bytes())
}

fn age(candidate: &Candidate) -> (bool, Option<&str>) {
    (candidate.created.is_none(), candidate.created.as_deref())
}

/// Exact paths, then the longer beginning first, then expressions before prefixes; then, of gRPC calls whose service is left open, those with the longer method.
fn path_rank(matches: &RuleMatch) -> (u8, Reverse<usize>, u8, Reverse<usize>) {
    match matches {
        RuleMatch::Http(http) => match &http.path {
            PathMatch::Exact(_) => EXACT,
            PathMatch::RegularExpression(expression) => expression_rank(literal_beginning(expression), 0),
            PathMatch::Prefix(prefix) => prefix_rank(prefix.chars().count()),
        },
        RuleMatch::Grpc(grpc) => call_rank(grpc),
        RuleMatch::Connection => (2, Reverse(0), 0, Reverse(0)),
    }
}

const EXACT: (u8, Reverse<usize>, u8, Reverse<usize>) = (0, Reverse(0), 0, Reverse(0));

fn expression_rank(beginning: usize, method: usize) -> (u8, Reverse<usize>, u8, Reverse<usize>) {
    (1, Reverse(beginning), 0, Reverse(method))
}

fn prefix_rank(length: usize) -> (u8, Reverse<usize>, u8, Reverse<usize>) {
    (1, Reverse(length), 1, Reverse(0))
}

/// The place of a call among paths, which are `/SERVICE/METHOD`.
fn call_rank(call: &GrpcMatch) -> (u8, Reverse<usize>, u8, Reverse<usize>) {
    use StringMatch::{Exact, RegularExpression};
    let length = |text: &str| text.chars().count();
    match (&call.service, &call.method) {
        (Some(Exact(_)), Some(Exact(_))) => EXACT,
        (Some(Exact(service)), None) => prefix_rank(1 + length(service)),
        (Some(Exact(service)), Some(RegularExpression(method))) => {
            expression_rank(2 + length(service) + literal_beginning(method), literal_beginning(method))
        }
        (Some(RegularExpression(service)), None) => expression_rank(1 + literal_beginning(service), 0),
        (Some(RegularExpression(service)), Some(RegularExpression(method))) => {
            expression_rank(1 + literal_beginning(service), literal_beginning(method))
        }
        (Some(RegularExpression(service)), Some(Exact(method))) => expression_rank(1 + literal_beginning(service), length(method)),
        (None, Some(Exact(method))) => expression_rank(1, length(method)),
        (None, Some(RegularExpression(method))) => expression_rank(1, literal_beginning(method)),
        (None, None) => prefix_rank(1),
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

/// A method first, then more headers, then more query parameters. Every gRPC call has a method (POST) and a header (its content type).
fn constraints(matches: &RuleMatch) -> (bool, Reverse<usize>, Reverse<usize>) {
    match matches {
        RuleMatch::Http(http) => (http.method.is_none(), Reverse(http.headers.len()), Reverse(http.query_params.len())),
        RuleMatch::Grpc(grpc) => (false, Reverse(1 + grpc.headers.len()), Reverse(0)),
        RuleMatch::Connection => (true, Reverse(0), Reverse(0)),
    }
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

    use portico_providers::{HeaderMatch, HttpMatch, QueryParamMatch, RouteId, RouteKind, RuleId, Timeouts};
    use proptest::prelude::*;

    fn hostname() -> impl Strategy<Value = Option<Hostname>> {
        prop::sample::select(vec![None, Some("a.com"), Some("*.com"), Some("b.a.com"), Some("*.a.com"), Some("c.com")])
            .prop_map(|text| text.map(|text| Hostname::new(text).unwrap()))
    }

    fn headers(count: usize) -> Vec<HeaderMatch> {
        (0..count).map(|n| HeaderMatch { name: n.to_string(), value: StringMatch::Exact("1".to_owned()) }).collect()
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

    fn http() -> impl Strategy<Value = (RouteKind, RuleMatch)> {
        (path(), 0..3usize, 0..3usize, any::<bool>()).prop_map(|(path, count, params, method)| {
            let param = |n: usize| QueryParamMatch { name: n.to_string(), value: StringMatch::Exact("1".to_owned()) };
            let method = method.then(|| "GET".to_owned());
            let query_params = (0..params).map(param).collect();
            (RouteKind::Http, RuleMatch::Http(HttpMatch { path, headers: headers(count), query_params, method }))
        })
    }

    fn name() -> impl Strategy<Value = Option<StringMatch>> {
        let exact = |text: &str| Some(StringMatch::Exact(text.to_owned()));
        let expression = |text: &str| Some(StringMatch::RegularExpression(text.to_owned()));
        prop::sample::select(vec![None, exact("a"), exact("long.Name"), expression("a.*"), expression("long[.]Name")])
    }

    fn grpc() -> impl Strategy<Value = (RouteKind, RuleMatch)> {
        (name(), name(), 0..3usize)
            .prop_map(|(service, method, count)| (RouteKind::Grpc, RuleMatch::Grpc(GrpcMatch { service, method, headers: headers(count) })))
    }

    fn connection() -> impl Strategy<Value = (RouteKind, RuleMatch)> {
        prop::sample::select(vec![RouteKind::Tls, RouteKind::Tcp]).prop_map(|kind| (kind, RuleMatch::Connection))
    }

    fn candidate() -> impl Strategy<Value = Candidate> {
        let names = (prop::sample::select(vec!["a", "a-b", "b"]), prop::sample::select(vec!["x", "y"]));
        let created = prop::sample::select(vec![None, Some("2026-01-01T00:00:00Z"), Some("2026-02-01T00:00:00Z")]);
        let matches = prop_oneof![4 => http(), 4 => grpc(), 1 => connection()];
        (hostname(), hostname(), matches, created, names, (0..2u32, 0..2u32)).prop_map(
            |(written, common, (kind, matches), created, (namespace, name), (rule, match_index))| {
                let route = RouteId { kind, key: NamespacedName::new(namespace, name) };
                Candidate { created: created.map(str::to_owned), ..of(written, common, RuleId { route, rule, match_index }, matches) }
            },
        )
    }

    fn of(written: Option<Hostname>, hostname: Option<Hostname>, id: RuleId, matches: RuleMatch) -> Candidate {
        let rule = PlanRule {
            id,
            rank: 0,
            created: None,
            name: None,
            hostname,
            matches,
            filters: Vec::new(),
            backends: Vec::new(),
            timeouts: Timeouts::default(),
            retry: None,
            session_persistence: None,
        };
        Candidate { written, created: None, rule }
    }

    /// Calls and requests for one hostname, the first to be tried first.
    #[test]
    fn calls_stand_where_the_paths_that_they_are_would() {
        let exact = |text: &str| (!text.is_empty()).then(|| StringMatch::Exact(text.to_owned()));
        let call = |service: &str, method: &str, count: usize| {
            let matches = GrpcMatch { service: exact(service), method: exact(method), headers: headers(count) };
            (RouteKind::Grpc, RuleMatch::Grpc(matches))
        };
        let request = |path: PathMatch| {
            (RouteKind::Http, RuleMatch::Http(HttpMatch { path, headers: Vec::new(), query_params: Vec::new(), method: None }))
        };
        let order = [
            call("a.B", "C", 1),
            call("a.B", "C", 0),
            request(PathMatch::Exact("/a.B/C".to_owned())),
            request(PathMatch::Prefix("/a.B/C".to_owned())),
            call("a.Bc", "", 0),
            call("a.B", "", 2),
            call("a.B", "", 0),
            request(PathMatch::Prefix("/a.B".to_owned())),
            call("", "Longer", 0),
            call("", "C", 3),
            call("", "", 1),
            call("", "", 0),
            request(PathMatch::Prefix("/".to_owned())),
        ];
        let candidates = order.map(|(kind, matches)| {
            let route = RouteId { kind, key: NamespacedName::new("a", "x") };
            of(None, None, RuleId { route, rule: 0, match_index: 0 }, matches)
        });
        for pair in candidates.windows(2) {
            assert_eq!(compare(&pair[0], &pair[1]), Ordering::Less, "{:?} before {:?}", pair[0].rule.matches, pair[1].rule.matches);
        }
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
