//! Matches of rules.

use portico_crds::normal::{self, RouteMatches};
use portico_providers::{GrpcMatch, HeaderMatch, HttpMatch, PathMatch, QueryParamMatch, RuleMatch, StringMatch};

/// The matches of a rule in the plan's words, each with its author's index.
pub(super) fn convert(matches: &RouteMatches) -> Vec<(usize, RuleMatch)> {
    match matches {
        RouteMatches::Http(list) => list.iter().map(|it| (it.index, RuleMatch::Http(http(it)))).collect(),
        RouteMatches::Grpc(list) => list.iter().map(|it| (it.index, RuleMatch::Grpc(grpc(it)))).collect(),
        RouteMatches::Any => vec![(0, RuleMatch::Connection)],
    }
}

fn http(from: &normal::HttpRouteMatch) -> HttpMatch {
    HttpMatch {
        path: match &from.path {
            normal::PathMatch::Exact(path) => PathMatch::Exact(path.clone()),
            normal::PathMatch::Prefix(path) => PathMatch::Prefix(prefix(path)),
            normal::PathMatch::Regex(path) => PathMatch::RegularExpression(path.clone()),
        },
        headers: headers(&from.headers),
        query_params: from.query_params.iter().map(|it| QueryParamMatch { name: it.name.clone(), value: string(&it.value) }).collect(),
        method: from.method.clone(),
    }
}

/// A prefix without its trailing slash, which means nothing; `/` stays.
fn prefix(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

fn string(from: &normal::StringMatch) -> StringMatch {
    match from {
        normal::StringMatch::Exact(value) => StringMatch::Exact(value.clone()),
        normal::StringMatch::Regex(value) => StringMatch::RegularExpression(value.clone()),
    }
}

fn grpc(from: &normal::GrpcRouteMatch) -> GrpcMatch {
    let method = from.method.as_ref();
    GrpcMatch {
        service: method.and_then(|it| it.service.as_ref()).map(string),
        method: method.and_then(|it| it.method.as_ref()).map(string),
        headers: headers(&from.headers),
    }
}

fn headers(from: &[normal::HeaderMatch]) -> Vec<HeaderMatch> {
    from.iter().map(|it| HeaderMatch { name: it.name.to_ascii_lowercase(), value: string(&it.value) }).collect()
}
