//! The evaluator: from objects and a request to the answer that the Gateway API means.
//!
//! It is written from the specification, shares no code with the operator, and prefers the obvious to the fast: every request looks at every route.

use std::collections::BTreeSet;
use std::fmt;

use super::answer::{Answer, answer};
use super::api::{Cluster, Gateway, Kind, Match};
use super::attachment::{attached, covers, listener};
use super::matching::{Candidate, compare, takes};
use super::reading::Reading;
use super::request::Request;

/// One match of one rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleName {
    /// The kind of the route.
    pub kind: Kind,
    /// `NAMESPACE/NAME` of the route.
    pub route: String,
    /// Position of the rule.
    pub rule: usize,
    /// Position of the match.
    pub index: usize,
}

impl fmt::Display for RuleName {
    /// As `portico plan` names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} rules[{}].matches[{}]", self.kind, self.route, self.rule, self.index)
    }
}

/// Who won, and what comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The rule, if any matches.
    pub winner: Option<RuleName>,
    /// The answer.
    pub answer: Answer,
}

/// The answer to a request under one reading, as if the matches in `without` were not there.
pub fn evaluate(cluster: &Cluster, gateway: &Gateway, request: &Request, reading: Reading, without: &BTreeSet<RuleName>) -> Verdict {
    let host = request.hostname();
    let candidates = candidates(cluster, gateway, request, reading, &host);
    let winner = candidates.into_iter().filter(|it| !without.contains(&name(it))).min_by(|a, b| compare(a, b, &host));
    match winner {
        None => Verdict { winner: None, answer: Answer::NotFound },
        Some(winner) => Verdict { winner: Some(name(&winner)), answer: answer(cluster, &winner, request, reading) },
    }
}

fn name(candidate: &Candidate<'_>) -> RuleName {
    RuleName { kind: candidate.route.kind, route: candidate.route.metadata.key(), rule: candidate.rule, index: candidate.index }
}

/// Every match that takes a request, of the routes on the one listener that it belongs to.
fn candidates<'a>(cluster: &'a Cluster, gateway: &Gateway, request: &Request, reading: Reading, host: &str) -> Vec<Candidate<'a>> {
    let Some(place) = listener(cluster, gateway, request.port, host) else { return Vec::new() };
    let serves = |names: &[String]| names.is_empty() || names.iter().any(|name| covers(&name.to_ascii_lowercase(), host));
    let routes = cluster.routes.iter().filter(|route| attached(cluster, &place, route) && serves(&route.spec.hostnames));
    let all = routes.flat_map(|route| {
        let rules = route.spec.rules.iter().enumerate();
        rules.flat_map(move |(rule, it)| {
            // Of an HTTPRoute's rule the API server fills in what is left out; a GRPCRoute's means all calls.
            let all = it.matches.is_empty().then_some(&EVERYTHING);
            all.into_iter().chain(&it.matches).enumerate().map(move |(index, matches)| Candidate { route, rule, index, matches })
        })
    });
    all.filter(|candidate| takes(cluster, candidate, request, reading)).collect()
}

/// A match that says nothing.
static EVERYTHING: Match = Match { path: None, headers: Vec::new(), query_params: Vec::new(), method: None };

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn gateway(listeners: Value) -> Value {
        json!({"kind": "Gateway", "metadata": {"name": "edge", "namespace": "infra"}, "spec": {"listeners": listeners}})
    }

    fn http(name: &str, hostname: Option<&str>) -> Value {
        let mut listener = json!({"name": name, "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}});
        if let Some(hostname) = hostname {
            listener["hostname"] = json!(hostname);
        }
        listener
    }

    fn route(name: &str, created: &str, hostnames: &[&str], rules: Value) -> Value {
        json!({"kind": "HTTPRoute", "metadata": {"name": name, "namespace": "app", "creationTimestamp": created},
            "spec": {"parentRefs": [{"name": "edge", "namespace": "infra"}], "hostnames": hostnames, "rules": rules}})
    }

    fn service(namespace: &str, name: &str) -> Value {
        json!({"kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": {"ports": [{"port": 8080}]}})
    }

    fn to(backend: &str, matches: Value) -> Value {
        json!({"matches": [matches], "backendRefs": [{"name": backend, "port": 8080}]})
    }

    fn prefix(path: &str) -> Value {
        json!({"path": {"type": "PathPrefix", "value": path}})
    }

    fn verdict(objects: &[Value], request: &Request) -> Verdict {
        let cluster = Cluster::from_objects(objects).unwrap();
        let gateway = cluster.gateways.first().unwrap().clone();
        evaluate(&cluster, &gateway, request, Reading::default(), &BTreeSet::new())
    }

    /// The Service that answers, or the answer in words.
    fn who(objects: &[Value], request: &Request) -> String {
        match verdict(objects, request).answer {
            Answer::Forward(forward) => forward.backends().into_iter().collect::<Vec<_>>().join(" "),
            other => other.to_string(),
        }
    }

    fn at(host: &str, path: &str) -> Request {
        Request { host: host.into(), ..Request::get(path) }
    }

    /// HTTPRouteRule.Matches: exact path, longest prefix, method, headers, query parameters; then age, name, order.
    #[test]
    fn the_most_specific_match_wins_and_then_the_oldest_route() {
        let exact = json!({"path": {"type": "Exact", "value": "/a/b"}});
        let method = json!({"path": {"value": "/a"}, "method": "GET"});
        let header = json!({"path": {"value": "/a"}, "headers": [{"name": "x", "value": "1"}, {"name": "y", "value": "1"}]});
        let query = json!({"path": {"value": "/a"}, "queryParams": [{"name": "q", "value": "1"}]});
        let all = [exact, prefix("/a/b"), method, header, query, prefix("/a"), prefix("/")];
        let names = ["exact", "long", "method", "header", "query", "short", "root"];
        let rules: Vec<Value> = all.iter().zip(names).rev().map(|(it, name)| to(name, it.clone())).collect();
        let mut request =
            Request { query: Some("q=1".into()), headers: vec![("X".into(), "1".into()), ("Y".into(), "1".into())], ..at("h", "/a/b") };
        let with = |without: &[&str]| {
            let rules: Vec<Value> =
                rules.iter().filter(|it| !without.iter().any(|name| it["backendRefs"][0]["name"] == *name)).cloned().collect();
            let mut objects = vec![gateway(json!([http("all", None)])), route("r", "2026-01-01T00:00:00Z", &[], Value::Array(rules))];
            objects.extend(names.map(|name| service("app", name)));
            objects
        };
        for (at, name) in names.iter().enumerate() {
            assert_eq!(who(&with(&names[..at]), &request), format!("app/{name}"));
        }
        request.path = "/b".into();
        assert_eq!(who(&with(&["root"]), &request), "404");

        let pair = |old: &str, new: &str| {
            let rules = |name: &str| json!([to(name, prefix("/"))]);
            vec![
                gateway(json!([http("all", None)])),
                route("b", old, &[], rules("b")),
                route("a", new, &[], rules("a")),
                service("app", "a"),
                service("app", "b"),
            ]
        };
        assert_eq!(who(&pair("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"), &request), "app/b");
        assert_eq!(who(&pair("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), &request), "app/a");
    }

    /// HTTPRouteSpec.Hostnames and GatewaySpec.Listeners.
    #[test]
    fn hostnames_come_before_paths_and_listeners_before_hostnames() {
        let objects = [
            gateway(json!([http("none", None), http("wild", Some("*.example.com")), http("deep", Some("*.foo.example.com"))])),
            route("any", "1", &[], json!([to("any", prefix("/long/path"))])),
            route("wild", "1", &["*.example.com"], json!([to("wild", prefix("/"))])),
            route("exact", "2", &["a.example.com", "a.foo.example.com"], json!([to("exact", prefix("/x"))])),
            service("app", "any"),
            service("app", "wild"),
            service("app", "exact"),
        ];
        for (host, path, expected) in [
            ("a.example.com", "/x", "app/exact"),
            ("A.Example.COM:8080", "/x", "app/exact"),
            ("a.example.com", "/long/path", "app/wild"),
            ("b.a.example.com", "/", "app/wild"),
            ("a.foo.example.com", "/x", "app/exact"),
            ("a.foo.example.com", "/", "app/wild"),
            ("example.com", "/long/path", "app/any"),
            ("example.com", "/", "404"),
        ] {
            assert_eq!(who(&objects, &at(host, path)), expected, "{host}{path}");
        }
        let section = [
            gateway(json!([http("none", None), http("exact", Some("a.example.com"))])),
            route("any", "1", &[], json!([to("any", prefix("/"))])),
            service("app", "any"),
        ];
        let mut elsewhere = section.to_vec();
        elsewhere[1]["spec"]["parentRefs"][0]["sectionName"] = json!("none");
        assert_eq!(who(&section, &at("a.example.com", "/")), "app/any");
        // Listener isolation: the request belongs to the other listener, which has no routes.
        assert_eq!(who(&elsewhere, &at("a.example.com", "/")), "404");
        assert_eq!(who(&elsewhere, &at("b.example.com", "/")), "app/any");
    }

    /// v1.7.0: the hostname as written in the route decides, not what it has in common with the listener's.
    #[test]
    fn a_written_hostname_beats_a_wildcard_on_an_exact_listener() {
        let objects = [
            gateway(json!([http("exact", Some("abc.example.com"))])),
            route("wild", "1", &["*.example.com"], json!([to("wild", prefix("/long"))])),
            route("exact", "2", &["abc.example.com"], json!([to("exact", prefix("/"))])),
            service("app", "wild"),
            service("app", "exact"),
        ];
        assert_eq!(who(&objects, &at("abc.example.com", "/long")), "app/exact");
    }

    #[test]
    fn routes_attach_from_allowed_namespaces_alone() {
        let rules = json!([to("s", prefix("/"))]);
        let with = |namespaces: Value| {
            let mut gateway = gateway(json!([http("all", None)]));
            gateway["spec"]["listeners"][0]["allowedRoutes"]["namespaces"] = namespaces;
            let namespace = json!({"kind": "Namespace", "metadata": {"name": "app", "labels": {"team": "shop"}}});
            vec![gateway, route("r", "1", &[], rules.clone()), service("app", "s"), namespace]
        };
        for (namespaces, expected) in [
            (json!({"from": "All"}), "app/s"),
            (json!({"from": "Same"}), "404"),
            (json!({}), "404"),
            (json!({"from": "Selector", "selector": {"matchLabels": {"team": "shop"}}}), "app/s"),
            (json!({"from": "Selector", "selector": {"matchLabels": {"team": "pay"}}}), "404"),
            (
                json!({"from": "Selector", "selector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["shop"]}]}}),
                "app/s",
            ),
            (json!({"from": "Selector", "selector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}}), "404"),
            (json!({"from": "Selector", "selector": {}}), "app/s"),
        ] {
            assert_eq!(who(&with(namespaces.clone()), &at("h", "/")), expected, "{namespaces}");
        }
    }

    /// HTTPRouteRule.BackendRefs and ReferenceGrant.
    #[test]
    fn invalid_backends_keep_their_share_and_answer_500() {
        let rules = |refs: Value| json!([{"matches": [{"path": {"value": "/"}}], "backendRefs": refs}]);
        let with = |refs: Value, grant: Value| {
            vec![
                gateway(json!([http("all", None)])),
                route("r", "1", &[], rules(refs)),
                service("app", "s"),
                service("other", "s"),
                json!({"kind": "ReferenceGrant", "metadata": {"name": "g", "namespace": "other"}, "spec": grant}),
            ]
        };
        let grant = |kind: &str, namespace: &str, name: Option<&str>| {
            let to =
                name.map_or_else(|| json!({"group": "", "kind": "Service"}), |name| json!({"group": "", "kind": "Service", "name": name}));
            json!({"from": [{"group": GROUP_NAME, "kind": kind, "namespace": namespace}], "to": [to]})
        };
        let right = || grant("HTTPRoute", "app", None);
        let here = json!({"name": "s", "port": 8080});
        let gone = json!({"name": "gone", "port": 8080});
        let there = json!({"name": "s", "namespace": "other", "port": 8080});
        let share = |refs: Value, grant: Value| match verdict(&with(refs, grant), &at("h", "/")).answer {
            Answer::Forward(forward) => Some((forward.backends().into_iter().collect::<Vec<_>>().join(" "), forward.failing)),
            Answer::Error(_) => None,
            other => panic!("{other}"),
        };
        assert_eq!(share(json!([here]), right()), Some(("app/s".into(), false)));
        assert_eq!(share(json!([here, gone]), right()), Some(("app/s".into(), true)));
        assert_eq!(share(json!([gone]), right()), None);
        assert_eq!(share(json!([]), right()), None);
        assert_eq!(share(json!([{"name": "s", "port": 8080, "weight": 0}]), right()), None);
        assert_eq!(share(json!([{"name": "s", "port": 1}]), right()), None);
        assert_eq!(share(json!([{"name": "s", "port": 8080, "kind": "Pod"}]), right()), None);
        assert_eq!(share(json!([there]), right()), Some(("other/s".into(), false)));
        assert_eq!(share(json!([there]), grant("HTTPRoute", "app", Some("s"))), Some(("other/s".into(), false)));
        assert_eq!(share(json!([there]), grant("HTTPRoute", "app", Some("t"))), None);
        assert_eq!(share(json!([there]), grant("GRPCRoute", "app", None)), None);
        assert_eq!(share(json!([there]), grant("HTTPRoute", "other", None)), None);
    }
    const GROUP_NAME: &str = super::super::api::GROUP;

    /// HTTPRequestRedirectFilter: scheme, hostname, port, path.
    #[test]
    fn redirects_derive_the_port_as_the_gateway_api_tells() {
        for (filter, expected) in [
            (json!({"hostname": "x.com"}), "302 to http://x.com:80/a/b?q=1"),
            (json!({"scheme": "https"}), "302 to https://h:443/a/b?q=1"),
            (json!({"scheme": "https", "port": 8443, "statusCode": 301}), "301 to https://h:8443/a/b?q=1"),
            (json!({"path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"}}), "302 to http://h:80/new?q=1"),
            (json!({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/c"}}), "302 to http://h:80/c/b?q=1"),
        ] {
            let rules = json!([{"matches": [prefix("/a")], "filters": [{"type": "RequestRedirect", "requestRedirect": filter}]}]);
            let objects = [gateway(json!([http("all", None)])), route("r", "1", &[], rules)];
            let request = Request { query: Some("q=1".into()), ..at("h:80", "/a/b") };
            assert_eq!(verdict(&objects, &request).answer.to_string(), expected);
        }
    }

    #[test]
    fn rewrites_change_what_the_backend_sees_and_nothing_else_does() {
        let rule = |filters: Value| json!([{"matches": [prefix("/a")], "filters": filters, "backendRefs": [{"name": "s", "port": 8080}]}]);
        let answer = |filters: Value| {
            let objects = [gateway(json!([http("all", None)])), route("r", "1", &[], rule(filters)), service("app", "s")];
            verdict(&objects, &Request { query: Some("q".into()), ..at("H:80", "/a/b") }).answer.to_string()
        };
        let rewrite = json!({"hostname": "x.com", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}});
        assert_eq!(answer(json!([])), "200 of app/s as /a/b?q on host H:80");
        assert_eq!(answer(json!([{"type": "URLRewrite", "urlRewrite": rewrite}])), "200 of app/s as /b?q on host x.com");
        assert_eq!(answer(json!([{"type": "CORS", "cors": {}}])), "500: the filter CORS should have been refused");
        assert!(answer(json!([{"type": "ExtensionRef", "extensionRef": {}}])).starts_with("500 (a filter"));
    }
}
