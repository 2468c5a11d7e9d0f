//! Matches that an ALB cannot express.

use expect_test::expect;

use super::{Mistake, mistake, rule};

fn matching(it: &str) -> String {
    rule(&format!("{{matches: [{{{it}}}], backendRefs: [{{name: web, port: 80}}]}}"))
}

pub fn rows() -> Vec<Mistake> {
    let first = |name, manifests: String, field, remedy, says| {
        mistake(name, manifests, "HTTPRoute shop/bad: PartiallyInvalid", field, remedy, says)
    };
    let headers: Vec<_> = (0..5).map(|n| format!("{{name: x-{n}, value: '{n}'}}")).collect();
    vec![
        first(
            "an expression with a look-ahead",
            matching("path: {type: RegularExpression, value: '/(?!admin).*'}"),
            "spec.rules[0].matches[0].path.value",
            "Use an Exact or PathPrefix match",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].matches[0].path.value: An ALB's regular expressions have no look-around and no inline flags; its requests FALL THROUGH to the next rule that matches. Use an Exact or PathPrefix match, or a simpler expression."#]],
        ),
        first(
            "a path that is too long",
            matching(&format!("path: {{value: /{}}}", "long/".repeat(40))),
            "spec.rules[0].matches[0].path.value",
            "Use a shorter path",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].matches[0].path.value: An ALB compares paths of at most 128 printable ASCII characters, escapes included; its requests FALL THROUGH to the next rule that matches. Use a shorter path, or a shorter prefix of it."#]],
        ),
        first(
            "a query parameter with letters",
            matching("queryParams: [{name: color, value: red}]"),
            "spec.rules[0].matches[0].queryParams[0]",
            "Match a header or the path",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].matches[0].queryParams[0]: An ALB compares names and values of query parameters without regard to case, the Gateway API with regard to it; its requests FALL THROUGH to the next rule that matches. Match a header or the path instead."#]],
        ),
        first(
            "too much in one match",
            matching(&format!("path: {{value: /many}}, headers: [{}]", headers.join(", "))),
            "spec.rules[0].matches[0]",
            "Match fewer headers",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].matches[0]: needs 7 condition values, a rule of an ALB for bad.example.com allows 5; its requests FALL THROUGH to the next rule that matches. Match fewer headers and query parameters in one match; hostname, path and method need one value each."#]],
        ),
        first(
            "the Host header",
            matching("headers: [{name: Host, value: a.example.com}]"),
            "spec.rules[0].matches[0].headers[0].name",
            "Use spec.hostnames",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].matches[0].headers[0].name: An ALB does not compare the Host header as a header; its requests FALL THROUGH to the next rule that matches. Use spec.hostnames."#]],
        ),
        first(
            "a type of match that nobody knows",
            matching("path: {type: Fuzzy, value: /x}"),
            "spec.rules[0].matches[0].path.type",
            "expected one of",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].matches[0].path.type: unknown variant `Fuzzy`, expected one of `Exact`, `PathPrefix`, `RegularExpression` (value "Fuzzy")"#]],
        ),
        first(
            "a method that nobody knows",
            matching("method: get"),
            "spec.rules[0].matches[0].method",
            "expected one of",
            expect![[r#"
            True UnsupportedValue
            Dropped Rule: spec.rules[0].matches[0].method: unknown variant `get`, expected one of `GET`, `HEAD`, `POST`, `PUT`, `DELETE`, `CONNECT`, `OPTIONS`, `TRACE`, `PATCH` (value "get")"#]],
        ),
    ]
}
