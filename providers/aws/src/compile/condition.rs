//! Conditions: hostname and match of a rule.

use super::issue::{Issue, Quota};
use crate::limit;
use crate::pattern;
use crate::stack::{Condition, Patterns, QueryPattern};
use portico_providers::{GrpcMatch, HeaderMatch, Hostname, HttpMatch, PathMatch, QueryParamMatch, RuleMatch, StringMatch};

/// Which of the paths of a match a rule is for: a redirect that changes nothing but the prefix needs two rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathShare {
    /// All of them.
    Whole,
    /// The prefix itself.
    Prefix,
    /// What is below the prefix.
    Below,
}

/// The conditions that hold exactly for what the match means, or why there are none. `field` is the path of the match.
pub(super) fn compile(
    hostname: Option<&Hostname>,
    matches: &RuleMatch,
    share: PathShare,
    field: &str,
) -> Result<Vec<Condition>, Vec<Issue>> {
    let mut issues = Vec::new();
    let mut conditions = Vec::new();
    if let Some(name) = hostname {
        match pattern::hostname(name) {
            Some(patterns) => conditions.push(Condition::HostHeader(patterns)),
            None => issues.push(Issue::unsupported(
                "spec.hostnames",
                format!("An ALB compares hostnames of at most {} characters; {name} is longer.", limit::CONDITION_VALUE_LENGTH),
                "Use a shorter hostname.",
            )),
        }
    }
    match matches {
        RuleMatch::Http(http) => http_match(http, share, field, &mut conditions, &mut issues),
        RuleMatch::Grpc(grpc) => grpc_match(grpc, field, &mut conditions, &mut issues),
        RuleMatch::Connection => {}
    }
    if conditions.is_empty() {
        // AWS: a rule has at least one condition.
        conditions.push(Condition::PathPattern(Patterns::Values(vec!["/*".into()])));
    }
    conditions.sort();
    let values = conditions.iter().map(Condition::value_count).sum::<usize>();
    if values > limit::CONDITION_VALUES_PER_RULE {
        let remedy = "Match fewer headers and query parameters in one match; hostname, path and method need one value each.";
        // A route may have hostnames, or listeners, beside this one for which there is room.
        let holder = hostname.map_or("a rule of an ALB".into(), |name| format!("a rule of an ALB for {name}").into());
        let quota = Quota { limit: "condition values", holder, need: values, have: limit::CONDITION_VALUES_PER_RULE };
        issues.push(Issue::quota(field, quota, remedy));
    }
    if issues.is_empty() { Ok(conditions) } else { Err(issues) }
}

fn http_match(http: &HttpMatch, share: PathShare, field: &str, conditions: &mut Vec<Condition>, issues: &mut Vec<Issue>) {
    for (index, header) in http.headers.iter().enumerate() {
        header_condition(header, &format!("{field}.headers[{index}]"), conditions, issues);
    }
    for (index, parameter) in http.query_params.iter().enumerate() {
        query_condition(parameter, &format!("{field}.queryParams[{index}]"), conditions, issues);
    }
    if let Some(method) = &http.method {
        conditions.push(Condition::HttpRequestMethod(vec![method.clone()]));
    }
    let used = conditions.iter().map(Condition::value_count).sum::<usize>();
    let room = limit::CONDITION_VALUES_PER_RULE.saturating_sub(used);
    let patterns = match (&http.path, share) {
        (PathMatch::Prefix(prefix), PathShare::Whole) if prefix == "/" => return,
        (PathMatch::Prefix(prefix), PathShare::Whole) => pattern::path_prefix(prefix, room),
        (PathMatch::Prefix(prefix), PathShare::Below) => pattern::below_path(prefix),
        (PathMatch::Prefix(path), PathShare::Prefix) | (PathMatch::Exact(path), _) => pattern::exact_path(path),
        (PathMatch::RegularExpression(expression), _) => match pattern::written(expression) {
            Ok(patterns) => Some(patterns),
            Err(detail) => {
                issues.push(Issue::invalid(
                    format!("{field}.path.value"),
                    detail,
                    "Use an Exact or PathPrefix match, or a simpler expression.",
                ));
                return;
            }
        },
    };
    match patterns {
        Some(patterns) => conditions.push(Condition::PathPattern(patterns)),
        None => issues.push(Issue::unsupported(
            format!("{field}.path.value"),
            format!("An ALB compares paths of at most {} printable ASCII characters, escapes included.", limit::CONDITION_VALUE_LENGTH),
            "Use a shorter path, or a shorter prefix of it.",
        )),
    }
}

fn grpc_match(grpc: &GrpcMatch, field: &str, conditions: &mut Vec<Condition>, issues: &mut Vec<Issue>) {
    for (index, header) in grpc.headers.iter().enumerate() {
        header_condition(header, &format!("{field}.headers[{index}]"), conditions, issues);
    }
    let element = |part: &Option<StringMatch>| match part {
        None => "[^/]+".to_owned(),
        Some(StringMatch::Exact(text)) => pattern::escape(text),
        Some(StringMatch::RegularExpression(expression)) => format!("(?:{expression})"),
    };
    if grpc.service.is_none() && grpc.method.is_none() {
        return;
    }
    match pattern::written(&format!("/{}/{}", element(&grpc.service), element(&grpc.method))) {
        Ok(patterns) => conditions.push(Condition::PathPattern(patterns)),
        Err(detail) => issues.push(Issue::invalid(format!("{field}.method"), detail, "Use an Exact match, or a simpler expression.")),
    }
}

fn header_condition(header: &HeaderMatch, field: &str, conditions: &mut Vec<Condition>, issues: &mut Vec<Issue>) {
    let name_field = format!("{field}.name");
    if header.name.len() > limit::HEADER_NAME_LENGTH {
        let detail = format!("An ALB compares headers whose name has at most {} characters.", limit::HEADER_NAME_LENGTH);
        issues.push(Issue::unsupported(name_field, detail, "Use a header with a shorter name."));
        return;
    }
    if header.name.eq_ignore_ascii_case("host") {
        issues.push(Issue::unsupported(name_field, "An ALB does not compare the Host header as a header.", "Use spec.hostnames."));
        return;
    }
    let patterns = match &header.value {
        StringMatch::Exact(value) => pattern::exact_text(value).ok_or_else(|| {
            Issue::unsupported(
                format!("{field}.value"),
                format!(
                    "An ALB compares header values of at most {} printable ASCII characters, escapes included.",
                    limit::CONDITION_VALUE_LENGTH - 2
                ),
                "Use a shorter value, or a regular expression for its beginning.",
            )
        }),
        StringMatch::RegularExpression(expression) => pattern::written(expression)
            .map_err(|detail| Issue::invalid(format!("{field}.value"), detail, "Use an Exact match, or a simpler expression.")),
    };
    match patterns {
        Ok(patterns) => conditions.push(Condition::HttpHeader { name: header.name.to_ascii_lowercase(), patterns }),
        Err(issue) => issues.push(issue),
    }
}

/// An ALB ignores case in names and values of query parameters, the Gateway API does not: only what has no letters means the same to both.
fn query_condition(parameter: &QueryParamMatch, field: &str, conditions: &mut Vec<Condition>, issues: &mut Vec<Issue>) {
    const REMEDY: &str = "Match a header or the path instead.";
    let StringMatch::Exact(value) = &parameter.value else {
        issues.push(Issue::unsupported(format!("{field}.type"), "An ALB knows no regular expressions for query parameters.", REMEDY));
        return;
    };
    let caseless = |text: &str| !text.bytes().any(|b| b.is_ascii_alphabetic());
    if !caseless(&parameter.name) || !caseless(value) {
        let detail = "An ALB compares names and values of query parameters without regard to case, the Gateway API with regard to it.";
        issues.push(Issue::unsupported(field, detail, REMEDY));
        return;
    }
    let plain = |text: &str| {
        text.len() <= limit::CONDITION_VALUE_LENGTH && text.bytes().all(|b| b.is_ascii_digit() || b"_-.$/~@:+!,*?".contains(&b))
    };
    if !plain(&parameter.name) || !plain(value) {
        let detail = format!("An ALB compares query parameters of at most {} plain characters.", limit::CONDITION_VALUE_LENGTH);
        issues.push(Issue::unsupported(field, detail, REMEDY));
        return;
    }
    let literal = |text: &str| text.replace('*', "\\*").replace('?', "\\?");
    conditions.push(Condition::QueryString(vec![QueryPattern { key: Some(literal(&parameter.name)), value: literal(value) }]));
}
