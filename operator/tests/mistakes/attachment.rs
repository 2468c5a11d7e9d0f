//! Routes that do not attach, or not as their author thinks.

use expect_test::expect;

use super::{Mistake, mistake, route, rule};

const RULES: &str = "rules: [{backendRefs: [{name: web, port: 80}]}]";

fn to(parent: &str, hostnames: &str) -> String {
    route(&format!("parentRefs: [{{namespace: platform, {parent}}}]\n  hostnames: [{hostnames}]\n  {RULES}"))
}

pub fn rows() -> Vec<Mistake> {
    const ACCEPTED: &str = "HTTPRoute shop/bad: Accepted";
    vec![
        mistake(
            "a section that no listener has",
            to("name: edge, sectionName: htp", "bad.example.com"),
            ACCEPTED,
            "spec.parentRefs[0].sectionName",
            "name one of http (port 80)",
            expect![[r#"
                False NoMatchingParent
                spec.parentRefs[0].sectionName: Gateway platform/edge has no listener with name htp; name one of http (port 80), shop (port 443), news (port 8080)"#]],
        ),
        mistake(
            "a port that no listener has",
            to("name: edge, port: 81", "bad.example.com"),
            ACCEPTED,
            "spec.parentRefs[0].port",
            "name one of http (port 80)",
            expect![[r#"
                False NoMatchingParent
                spec.parentRefs[0].port: Gateway platform/edge has no listener with port 81; name one of http (port 80), shop (port 443), news (port 8080)"#]],
        ),
        mistake(
            "a section and a port that no listener has both",
            to("name: edge, sectionName: http, port: 8080", "bad.example.com"),
            ACCEPTED,
            "spec.parentRefs[0]",
            "name one of http (port 80)",
            expect![[r#"
                False NoMatchingParent
                spec.parentRefs[0]: Gateway platform/edge has no listener with name http and port 8080; name one of http (port 80), shop (port 443), news (port 8080)"#]],
        ),
        mistake(
            "a listener for another team",
            to("name: edge, sectionName: news", "news.example.com"),
            ACCEPTED,
            "spec.parentRefs[0]",
            "ask its owner to let the namespace in",
            expect![[r#"
                False NotAllowedByListeners
                spec.parentRefs[0]: Gateway platform/edge: listener news does not take routes from namespace shop; use another one, or ask its owner to let the namespace in (allowedRoutes.namespaces)"#]],
        ),
        mistake(
            "the hostname of another team",
            to("name: edge, sectionName: shop", "news.example.com"),
            ACCEPTED,
            "spec.hostnames",
            "use one of theirs",
            expect![[r#"
                False NoMatchingListenerHostname
                spec.hostnames has no name in common with the listeners of Gateway platform/edge that spec.parentRefs[0] means: shop has a.example.com; use one of theirs, or another listener"#]],
        ),
        mistake(
            "a listener of a ListenerSet through the Gateway",
            to("name: edge, sectionName: own", "bad.example.com").replace("namespace: shop", "namespace: news"),
            "HTTPRoute news/bad: Accepted",
            "spec.parentRefs[0].sectionName",
            "refer to that with kind ListenerSet",
            expect![[r#"
                False NoMatchingParent
                spec.parentRefs[0].sectionName: Gateway platform/edge has no listener with name own, but ListenerSet news/own has: refer to that with kind ListenerSet, or name one of http (port 80), shop (port 443), news (port 8080)"#]],
        ),
        mistake(
            "a hostname that is none",
            to("name: edge, sectionName: http", "'bad_host', bad.example.com"),
            "HTTPRoute shop/bad: PartiallyInvalid",
            "spec.hostnames[0]",
            "use labels of letters",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.hostnames[0]: "bad_host" is not a hostname; use labels of letters, digits and hyphens with dots between them, at most 253 characters, with `*` as the whole first label or nowhere"#]],
        ),
        mistake(
            "a kind of route that the listener does not take",
            "apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: bad, namespace: shop}
spec:
  parentRefs: [{name: edge, namespace: platform, sectionName: http}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
",
            "GRPCRoute shop/bad: Accepted",
            "spec.parentRefs[0]",
            "use another listener",
            expect![[r#"
                False NotAllowedByListeners
                spec.parentRefs[0]: Gateway platform/edge: listener http does not take routes of kind GRPCRoute; it takes HTTPRoute: use another listener, or another kind"#]],
        ),
        mistake(
            "two routes in conflict",
            route(
                "parentRefs: [{name: edge, namespace: platform, sectionName: http}]\n  hostnames: [a.example.com]\n  rules: [{matches: [{path: {value: /cart/}}], backendRefs: [{name: web, port: 80}]}]",
            ),
            ACCEPTED,
            "spec.rules[0].matches[0]",
            "use another hostname or match",
            expect![[r#"
                True Accepted
                spec.rules[0].matches[0] gets no requests for a.example.com: HTTPRoute shop/cart matches the same and comes first (routes go by age, then by name); use another hostname or match"#]],
        ),
        mistake(
            "two rules in conflict",
            rule("{matches: [{path: {value: /good}}], backendRefs: [{name: web, port: 80}]}"),
            ACCEPTED,
            "spec.rules[1].matches[0]",
            "remove one of them",
            expect![[r#"
                True Accepted
                spec.rules[1].matches[0] gets no requests for bad.example.com: spec.rules[0].matches[0] matches the same and comes first; remove one of them"#]],
        ),
        mistake(
            "default Gateways (experimental channel)",
            to("name: edge, sectionName: http", "bad.example.com").replace("spec:\n", "spec:\n  useDefaultGateways: All\n"),
            ACCEPTED,
            "spec.useDefaultGateways",
            "name them in spec.parentRefs",
            expect![[r#"
                True Accepted
                spec.useDefaultGateways: routes attach to the Gateways that they name only; name them in spec.parentRefs, and remove the field"#]],
        ),
        mistake(
            "rules that are no list",
            route("parentRefs: [{name: edge, namespace: platform, sectionName: http}]\n  rules: {backendRefs: [{name: web, port: 80}]}"),
            ACCEPTED,
            "spec.rules",
            "expected a sequence",
            expect![[r#"
                False UnsupportedValue
                The route cannot be read: spec.rules: invalid type: map, expected a sequence (value {"backendRefs":[{"name":"web","port":80}]})"#]],
        ),
    ]
}
