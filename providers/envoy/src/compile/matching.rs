//! Matches: what a request must look like.

use super::issue::Issue;
use super::rule_field;
use crate::re2;
use crate::stack::matcher::{RegexMatcher, StringMatcher};
use crate::stack::route::{GrpcRouteMatchOptions, HeaderMatcher, QueryParameterMatcher, RouteMatch};
use portico_providers::{GrpcMatch, HeaderMatch, HttpMatch, PathMatch, PlanRule, RuleMatch, StringMatch};

/// The match of a rule of an HTTPRoute or a GRPCRoute.
pub(super) fn compile(rule: &PlanRule) -> Result<RouteMatch, Issue> {
    let field = |name: &str| rule_field(rule, &format!("matches[{}].{name}", rule.id.match_index));
    match &rule.matches {
        RuleMatch::Http(http) => http_match(http, &field),
        RuleMatch::Grpc(grpc) => grpc_match(grpc, &field),
        RuleMatch::Connection => Ok(any()),
    }
}

/// Every request.
pub(super) fn any() -> RouteMatch {
    RouteMatch { prefix: Some("/".into()), ..RouteMatch::default() }
}

/// A header whose value is compared as a whole.
pub(super) fn exact_header(name: &str, value: &str) -> HeaderMatcher {
    HeaderMatcher { name: name.to_owned(), string_match: Some(StringMatcher::text(value)), ..HeaderMatcher::default() }
}

fn http_match(http: &HttpMatch, field: &dyn Fn(&str) -> String) -> Result<RouteMatch, Issue> {
    let mut matches = match &http.path {
        PathMatch::Exact(path) => RouteMatch { path: Some(path.clone()), ..RouteMatch::default() },
        PathMatch::Prefix(prefix) => prefix_match(prefix),
        PathMatch::RegularExpression(pattern) => {
            RouteMatch { safe_regex: Some(regex(pattern, &field("path.value"))?), ..RouteMatch::default() }
        }
    };
    matches.headers = headers(&http.headers, field)?;
    if let Some(method) = &http.method {
        matches.headers.push(exact_header(":method", method));
    }
    for (index, parameter) in http.query_params.iter().enumerate() {
        matches.query_parameters.push(QueryParameterMatcher {
            name: parameter.name.clone(),
            string_match: Some(string(&parameter.value, &field(&format!("queryParams[{index}].value")))?),
        });
    }
    Ok(matches)
}

/// Whole elements of the path. Envoy compares them itself (`path_separated_prefix`), unless the prefix has a character that it does not take there.
fn prefix_match(prefix: &str) -> RouteMatch {
    let prefix = if prefix == "/" { prefix } else { prefix.trim_end_matches('/') };
    if prefix.is_empty() || prefix == "/" {
        any()
    } else if prefix.contains(['?', '#']) {
        // No path has these, so that the rule matches nothing; Envoy refuses them in a prefix.
        RouteMatch { path: Some(prefix.to_owned()), ..RouteMatch::default() }
    } else {
        RouteMatch { path_separated_prefix: Some(prefix.to_owned()), ..RouteMatch::default() }
    }
}

fn grpc_match(grpc: &GrpcMatch, field: &dyn Fn(&str) -> String) -> Result<RouteMatch, Issue> {
    let part = |value: &Option<StringMatch>, name: &str| match value {
        None => Ok("[^/]+".to_owned()),
        Some(StringMatch::Exact(text)) => Ok(re2::escape(text)),
        Some(StringMatch::RegularExpression(pattern)) => regex(pattern, &field(name)).map(|it| format!("(?:{})", it.regex)),
    };
    let mut matches = match (&grpc.service, &grpc.method) {
        (None, None) => any(),
        (Some(StringMatch::Exact(service)), Some(StringMatch::Exact(method))) => {
            RouteMatch { path: Some(format!("/{service}/{method}")), ..RouteMatch::default() }
        }
        (Some(StringMatch::Exact(service)), None) => RouteMatch { prefix: Some(format!("/{service}/")), ..RouteMatch::default() },
        (service, method) => {
            let pattern = format!("/{}/{}", part(service, "method.service")?, part(method, "method.method")?);
            RouteMatch { safe_regex: Some(RegexMatcher { regex: pattern }), ..RouteMatch::default() }
        }
    };
    matches.grpc = Some(GrpcRouteMatchOptions {});
    matches.headers = headers(&grpc.headers, field)?;
    matches.headers.push(exact_header(":method", "POST"));
    Ok(matches)
}

fn headers(headers: &[HeaderMatch], field: &dyn Fn(&str) -> String) -> Result<Vec<HeaderMatcher>, Issue> {
    let matcher = |(index, header): (usize, &HeaderMatch)| {
        Ok(HeaderMatcher {
            name: header.name.clone(),
            string_match: Some(string(&header.value, &field(&format!("headers[{index}].value")))?),
            ..HeaderMatcher::default()
        })
    };
    headers.iter().enumerate().map(matcher).collect()
}

fn string(value: &StringMatch, field: &str) -> Result<StringMatcher, Issue> {
    match value {
        StringMatch::Exact(text) => Ok(StringMatcher::text(text.clone())),
        StringMatch::RegularExpression(pattern) => Ok(StringMatcher::pattern(regex(pattern, field)?.regex)),
    }
}

/// Envoy reads patterns as RE2, and lets them match whole values only.
fn regex(pattern: &str, field: &str) -> Result<RegexMatcher, Issue> {
    match re2::check(pattern) {
        Ok(()) => Ok(RegexMatcher { regex: pattern.to_owned() }),
        Err(problem) => {
            Err(Issue::invalid(field, format!("{pattern:?} is no regular expression of RE2: {problem}"), "Write it in the syntax of RE2."))
        }
    }
}
