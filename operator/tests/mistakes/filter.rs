//! Filters and policies of rules that an ALB does not have, or not like that.

use expect_test::expect;

use super::{Mistake, mistake, route, rule};

const PARTIALLY: &str = "HTTPRoute shop/bad: PartiallyInvalid";

/// A rule below `/old` with one filter.
fn filter(filter: &str) -> String {
    rule(&format!("{{matches: [{{path: {{value: /old}}}}], filters: [{{{filter}}}], backendRefs: [{{name: web, port: 80}}]}}"))
}

/// A rule below `/old` that redirects.
fn redirect(redirect: &str) -> String {
    rule(&format!("{{matches: [{{path: {{value: /old}}}}], filters: [{{type: RequestRedirect, requestRedirect: {{{redirect}}}}}]}}"))
}

/// A rule with a setting of its own.
fn with(setting: &str) -> String {
    rule(&format!("{{{setting}, backendRefs: [{{name: web, port: 80}}]}}"))
}

pub fn rows() -> Vec<Mistake> {
    let first = |name, manifests: String, field, remedy, says| mistake(name, manifests, PARTIALLY, field, remedy, says);
    vec![
        first(
            "request headers",
            filter("type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-team, value: shop}]}"),
            "spec.rules[0].filters[0].requestHeaderModifier",
            "Let the backend do it",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].filters[0].requestHeaderModifier: An ALB does not change request headers; its requests are answered 500. Let the backend do it."#]],
        ),
        first(
            "response headers",
            filter("type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-team, value: shop}]}"),
            "spec.rules[0].filters[0].responseHeaderModifier",
            "Let the backend do it",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].filters[0].responseHeaderModifier: An ALB does not change the response headers of single rules; its requests are answered 500. Let the backend do it."#]],
        ),
        first(
            "a mirror",
            filter("type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}}"),
            "spec.rules[0].filters[0].requestMirror",
            "Remove the filter",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].filters[0].requestMirror: An ALB does not mirror requests; its requests are answered 500. Remove the filter."#]],
        ),
        mistake(
            "a mirror to nowhere",
            filter("type: RequestMirror, requestMirror: {backendRef: {name: gone, port: 80}}"),
            "HTTPRoute shop/bad: ResolvedRefs",
            "spec.rules[0].filters[0].requestMirror.backendRef",
            "create it",
            expect![[r#"
                False BackendNotFound
                spec.rules[0].filters[0].requestMirror.backendRef: Service shop/gone does not exist; create it, or correct the reference"#]],
        ),
        first(
            "CORS",
            filter("type: CORS, cors: {allowOrigins: ['https://shop.example.com']}"),
            "spec.rules[0].filters[0].cors",
            "Let the backend do it",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].filters[0].cors: An ALB does not answer preflight requests of single rules; its requests are answered 500. Let the backend do it."#]],
        ),
        first(
            "a type of filter that nobody knows",
            filter("type: Teleport"),
            "spec.rules[0].filters[0].type",
            "expected one of",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].filters[0].type: unknown variant `Teleport`, expected one of `RequestHeaderModifier`, `ResponseHeaderModifier`, `RequestMirror`, `RequestRedirect`, `URLRewrite`, `ExtensionRef`, `CORS`, `ExternalAuth` (value "Teleport")"#]],
        ),
        first(
            "a filter without its settings",
            filter("type: URLRewrite"),
            "spec.rules[0].filters[0]",
            "add them, or remove the filter",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].filters[0]: the settings of filter type URLRewrite are missing; add them, or remove the filter"#]],
        ),
        mistake(
            "an extension that nobody knows",
            filter("type: ExtensionRef, extensionRef: {group: example.com, kind: RateLimit, name: slow}"),
            "HTTPRoute shop/bad: ResolvedRefs",
            "spec.rules[0].filters[0].extensionRef",
            "remove the filter",
            expect![[r#"
                False InvalidKind
                spec.rules[0].filters[0].extensionRef: kind RateLimit of group "example.com" is not known here; remove the filter"#]],
        ),
        first(
            "a redirect and a rewrite in one",
            rule(
                "{filters: [{type: RequestRedirect, requestRedirect: {hostname: b.example.com}}, {type: URLRewrite, urlRewrite: {hostname: b.example.com}}]}",
            ),
            "spec.rules[0].filters",
            "remove one of them",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].filters: RequestRedirect and URLRewrite cannot stand together; remove one of them"#]],
        ),
        first(
            "a filter of one backend among several",
            rule(
                "{backendRefs: [{name: web, port: 80, filters: [{type: URLRewrite, urlRewrite: {hostname: b.example.com}}]}, {name: web, port: 80}]}",
            ),
            "spec.rules[0].backendRefs[0].filters[0]",
            "split the rule",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].backendRefs[0].filters[0]: An ALB applies filters to all requests of a rule, not to those of one backend among several; its requests are answered 500. Put the filter on the rule, or split the rule."#]],
        ),
        first(
            "a redirect with 308",
            redirect("scheme: https, statusCode: 308"),
            "spec.rules[0].filters[0].requestRedirect.statusCode",
            "Use 301 or 302",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].filters[0].requestRedirect.statusCode: An ALB redirects with 301 and 302 only; 308 is not one of them; its requests are answered 500. Use 301 or 302."#]],
        ),
        first(
            "a redirect to itself",
            redirect("scheme: http"),
            "spec.rules[0].filters[0].requestRedirect",
            "Change scheme, hostname, port or path",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].filters[0].requestRedirect: The redirect leads to where the request already is; its requests are answered 500. Change scheme, hostname, port or path."#]],
        ),
        mistake(
            "a redirect from HTTPS to HTTP",
            route(
                "parentRefs: [{name: edge, namespace: platform, sectionName: shop}]\n  rules: [{matches: [{path: {value: /old}}], filters: [{type: RequestRedirect, requestRedirect: {scheme: http}}]}]",
            ),
            "HTTPRoute shop/bad: Accepted",
            "spec.rules[0].filters[0].requestRedirect.scheme",
            "Use https",
            expect![[r#"
                False UnsupportedValue
                No rule can be served: spec.rules[0].filters[0].requestRedirect: The redirect leads to where the request already is; its requests are answered 500. Change scheme, hostname, port or path; spec.rules[0].filters[0].requestRedirect.scheme: An ALB does not redirect from HTTPS to HTTP; its requests are answered 500. Use https, or leave the scheme out."#]],
        ),
        first(
            "a prefix to replace where none is matched",
            rule(
                "{matches: [{path: {type: Exact, value: /old}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}], backendRefs: [{name: web, port: 80}]}",
            ),
            "spec.rules[0].filters[0].urlRewrite.path.replacePrefixMatch",
            "Use replaceFullPath",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].filters[0].urlRewrite.path.replacePrefixMatch: Only a PathPrefix match has a prefix to replace; its requests are answered 500. Use replaceFullPath, or a PathPrefix match."#]],
        ),
        first(
            "a path that is none",
            filter("type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: new}}"),
            "spec.rules[0].filters[0].urlRewrite.path.replaceFullPath",
            "Put `/` in front",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].filters[0].urlRewrite.path.replaceFullPath: A path begins with `/`; its requests are answered 500. Put `/` in front."#]],
        ),
        first(
            "a timeout",
            with("timeouts: {request: 10s}"),
            "spec.rules[0].timeouts.request",
            "idleTimeoutSeconds",
            expect![[r#"
            True UnsupportedValue
            Dropped Rule: spec.rules[0].timeouts.request: An ALB has no timeouts for single rules; its requests are answered 500. Set attributes.idleTimeoutSeconds of the LoadBalancerProfile, which holds for the whole load balancer."#]],
        ),
        first(
            "a timeout that is none",
            with("timeouts: {request: 10 seconds}"),
            "spec.rules[0].timeouts.request",
            "10s",
            expect![[r#"
            True UnsupportedValue
            Dropped Rule: spec.rules[0].timeouts.request: "10 seconds" is not a duration such as 500ms, 10s or 1h30m (digits with h, m, s or ms, at most four groups) (value 10 seconds)"#]],
        ),
        first(
            "retries",
            with("retry: {attempts: 3, codes: [503]}"),
            "spec.rules[0].retry",
            "Let clients repeat them",
            expect![[r#"
            True UnsupportedValue
            Dropped Rule: spec.rules[0].retry: An ALB does not repeat requests; its requests are answered 500. Let clients repeat them."#]],
        ),
        first(
            "a session",
            with("sessionPersistence: {sessionName: cart}"),
            "spec.rules[0].sessionPersistence",
            "Remove the field",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].sessionPersistence: Sessions that stay with one target are not built yet for ALBs; its requests are answered 500. Remove the field."#]],
        ),
    ]
}
