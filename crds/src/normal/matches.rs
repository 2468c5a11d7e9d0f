//! What a rule matches.

use gateway_api::experimental::{grpcroutes as grpc, httproutes as http};

use super::given;

/// How a path is matched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathMatch {
    /// The whole path, case-sensitive.
    Exact(String),
    /// Whole elements from the start, case-sensitive; a trailing `/` means nothing.
    Prefix(String),
    /// A regular expression of the implementation's dialect.
    Regex(String),
}

impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".to_owned())
    }
}

/// How a header, parameter or name is matched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StringMatch {
    /// The whole value.
    Exact(String),
    /// A regular expression of the implementation's dialect.
    Regex(String),
}

/// A header that the request must have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderMatch {
    /// Name, as its author wrote it; upper and lower case are alike.
    pub name: String,
    /// Value.
    pub value: StringMatch,
}

/// A query parameter that the request must have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryParamMatch {
    /// Name, case-sensitive.
    pub name: String,
    /// Value.
    pub value: StringMatch,
}

/// One match of an HTTPRoute's rule; all its parts must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpRouteMatch {
    /// The author's index in the rule's `matches`; 0 where the author wrote none.
    pub index: usize,
    /// Path; the prefix `/` by default.
    pub path: PathMatch,
    /// Headers. Of several entries with one name (in any case) the API counts the first only, and only that is here.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters; of several entries with one name only the first.
    pub query_params: Vec<QueryParamMatch>,
    /// Method in capitals, such as `GET`.
    pub method: Option<String>,
}

/// One match of a GRPCRoute's rule; all its parts must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrpcRouteMatch {
    /// The author's index in the rule's `matches`; 0 where the author wrote none.
    pub index: usize,
    /// Service and method; absent matches all.
    pub method: Option<GrpcMethodMatch>,
    /// Headers; of several entries with one name (in any case) only the first.
    pub headers: Vec<HeaderMatch>,
}

/// A gRPC service and method.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrpcMethodMatch {
    /// Full name of the service; absent matches all.
    pub service: Option<StringMatch>,
    /// Name of the method; absent matches all.
    pub method: Option<StringMatch>,
}

/// Keeps the first header of each name.
fn first_headers(headers: impl Iterator<Item = HeaderMatch>) -> Vec<HeaderMatch> {
    headers.fold(Vec::new(), |mut kept, header| {
        if !kept.iter().any(|it| it.name.eq_ignore_ascii_case(&header.name)) {
            kept.push(header);
        }
        kept
    })
}

/// The matches of a rule; none at all is the prefix `/`.
pub(super) fn http_matches(matches: Option<&[http::HttpRouteRulesMatches]>) -> Vec<HttpRouteMatch> {
    let matches: Vec<_> = matches.unwrap_or_default().iter().enumerate().map(|(index, it)| http_match(index, it)).collect();
    if matches.is_empty() { vec![HttpRouteMatch::default()] } else { matches }
}

fn http_match(index: usize, from: &http::HttpRouteRulesMatches) -> HttpRouteMatch {
    use http::{
        HttpRouteRulesMatchesHeadersType as HeaderType, HttpRouteRulesMatchesMethod as Method, HttpRouteRulesMatchesPathType as PathType,
        HttpRouteRulesMatchesQueryParamsType as QueryType,
    };
    let headers = from.headers.iter().flatten().map(|it| HeaderMatch {
        name: it.name.clone(),
        value: match it.r#type {
            None | Some(HeaderType::Exact) => StringMatch::Exact(it.value.clone()),
            Some(HeaderType::RegularExpression) => StringMatch::Regex(it.value.clone()),
        },
    });
    let mut query_params: Vec<QueryParamMatch> = Vec::new();
    for it in from.query_params.iter().flatten() {
        let value = match it.r#type {
            None | Some(QueryType::Exact) => StringMatch::Exact(it.value.clone()),
            Some(QueryType::RegularExpression) => StringMatch::Regex(it.value.clone()),
        };
        if !query_params.iter().any(|kept| kept.name == it.name) {
            query_params.push(QueryParamMatch { name: it.name.clone(), value });
        }
    }
    HttpRouteMatch {
        index,
        path: from.path.as_ref().map_or_else(PathMatch::default, |path| {
            let value = path.value.clone().unwrap_or_else(|| "/".to_owned());
            match path.r#type {
                Some(PathType::Exact) => PathMatch::Exact(value),
                None | Some(PathType::PathPrefix) => PathMatch::Prefix(value),
                Some(PathType::RegularExpression) => PathMatch::Regex(value),
            }
        }),
        headers: first_headers(headers),
        query_params,
        method: from.method.as_ref().map(|method| {
            match method {
                Method::Get => "GET",
                Method::Head => "HEAD",
                Method::Post => "POST",
                Method::Put => "PUT",
                Method::Delete => "DELETE",
                Method::Connect => "CONNECT",
                Method::Options => "OPTIONS",
                Method::Trace => "TRACE",
                Method::Patch => "PATCH",
            }
            .to_owned()
        }),
    }
}

/// The matches of a rule; none at all matches everything.
pub(super) fn grpc_matches(matches: Option<&[grpc::GrpcRouteRulesMatches]>) -> Vec<GrpcRouteMatch> {
    let matches: Vec<_> = matches.unwrap_or_default().iter().enumerate().map(|(index, it)| grpc_match(index, it)).collect();
    if matches.is_empty() { vec![GrpcRouteMatch::default()] } else { matches }
}

fn grpc_match(index: usize, from: &grpc::GrpcRouteRulesMatches) -> GrpcRouteMatch {
    use grpc::{GrpcRouteRulesMatchesHeadersType as HeaderType, GrpcRouteRulesMatchesMethodType as MethodType};
    let headers = from.headers.iter().flatten().map(|it| HeaderMatch {
        name: it.name.clone(),
        value: match it.r#type {
            None | Some(HeaderType::Exact) => StringMatch::Exact(it.value.clone()),
            Some(HeaderType::RegularExpression) => StringMatch::Regex(it.value.clone()),
        },
    });
    GrpcRouteMatch {
        index,
        method: from.method.as_ref().map(|it| {
            let matched = |text: &String| match it.r#type {
                None | Some(MethodType::Exact) => StringMatch::Exact(text.clone()),
                Some(MethodType::RegularExpression) => StringMatch::Regex(text.clone()),
            };
            // Left empty, each matches any (Gateway API).
            GrpcMethodMatch {
                service: given(it.service.as_ref()).as_ref().map(matched),
                method: given(it.method.as_ref()).as_ref().map(matched),
            }
        }),
        headers: first_headers(headers),
    }
}
