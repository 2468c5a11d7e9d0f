//! Routes, as the API server returns them.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::Metadata;

/// The kinds of routes that requests go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Kind {
    /// Requests.
    #[serde(rename = "HTTPRoute")]
    Http,
    /// Calls.
    #[serde(rename = "GRPCRoute")]
    Grpc,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Http, Self::Grpc];

    /// Its name in Kubernetes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A route.
#[derive(Debug, Clone, Deserialize)]
pub struct Route {
    /// Of which kind it is.
    pub kind: Kind,
    /// Name, namespace and age.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: RouteSpec,
}

/// What a route wants.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteSpec {
    /// What it attaches to.
    #[serde(default)]
    pub parent_refs: Vec<ParentRef>,
    /// Its hostnames.
    #[serde(default)]
    pub hostnames: Vec<String>,
    /// Its rules.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// A reference to a Gateway or a ListenerSet, or to one of its listeners.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Group; the Gateway API's if absent.
    pub group: Option<String>,
    /// Kind; `Gateway` if absent.
    pub kind: Option<String>,
    /// Namespace; the route's if absent.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Name of the listener.
    pub section_name: Option<String>,
    /// Port of the listener.
    pub port: Option<u16>,
}

/// A rule of a route.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// Any of them.
    pub matches: Vec<Match>,
    /// What is done with the request.
    pub filters: Vec<Filter>,
    /// Who gets it.
    pub backend_refs: Vec<BackendRef>,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// When it is tried again.
    pub retry: Option<Value>,
    /// Whether sessions stay with one backend.
    pub session_persistence: Option<Value>,
}

/// How long a request may take, as durations (GEP-2257); 0 for as long as it likes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// In all.
    pub request: Option<String>,
    /// At one backend.
    pub backend_request: Option<String>,
}

/// Conditions on a request, all of which must hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Match {
    /// On its path; the prefix `/` if absent.
    pub path: Option<PathMatch>,
    /// On its headers.
    pub headers: Vec<ValueMatch>,
    /// On its query parameters.
    pub query_params: Vec<ValueMatch>,
    /// On its method.
    pub method: Option<MethodMatch>,
}

impl Match {
    /// The method of HTTP that it asks for.
    pub fn http_method(&self) -> Option<&str> {
        match &self.method {
            Some(MethodMatch::Http(method)) => Some(method),
            _ => None,
        }
    }

    /// What it asks of a call.
    pub fn call(&self) -> Option<&CallMatch> {
        match &self.method {
            Some(MethodMatch::Grpc(call)) => Some(call),
            _ => None,
        }
    }
}

/// A condition on the method, which is something else for each kind of routes.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum MethodMatch {
    /// Of HTTP.
    Http(String),
    /// Of gRPC.
    Grpc(CallMatch),
}

/// A condition on a call.
#[derive(Debug, Clone, Deserialize)]
pub struct CallMatch {
    /// `Exact` (the default) or `RegularExpression`, for both.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The service; any if absent.
    pub service: Option<String>,
    /// The method; any if absent.
    pub method: Option<String>,
}

/// A condition on the path.
#[derive(Debug, Clone, Deserialize)]
pub struct PathMatch {
    /// `Exact`, `PathPrefix` (the default) or `RegularExpression`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What to compare with.
    pub value: Option<String>,
}

/// A condition on a header or a query parameter.
#[derive(Debug, Clone, Deserialize)]
pub struct ValueMatch {
    /// `Exact` (the default) or `RegularExpression`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The header or parameter.
    pub name: String,
    /// What to compare with.
    pub value: String,
}

/// A filter.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Which one it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Settings of `RequestRedirect`.
    pub request_redirect: Option<Redirect>,
    /// Settings of `URLRewrite`.
    pub url_rewrite: Option<Rewrite>,
    /// Settings of `RequestHeaderModifier`.
    pub request_header_modifier: Option<HeaderModifier>,
    /// Settings of `ResponseHeaderModifier`.
    pub response_header_modifier: Option<HeaderModifier>,
    /// Settings of `RequestMirror`.
    pub request_mirror: Option<Mirror>,
    /// Settings of `CORS`.
    pub cors: Option<Cors>,
}

/// Where copies go.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// To whom.
    pub backend_ref: BackendRef,
    /// Of how many of a hundred requests; of all if neither this nor the fraction is there.
    pub percent: Option<u64>,
    /// Of how many requests.
    pub fraction: Option<Value>,
}

/// Who may share answers with pages of which origin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cors {
    /// Origins; `*` for all, `*.` for any labels at the beginning of a host.
    pub allow_origins: Vec<String>,
    /// Whether with credentials.
    pub allow_credentials: bool,
    /// Methods; `*` for all.
    pub allow_methods: Vec<String>,
    /// Headers of requests; `*` for all.
    pub allow_headers: Vec<String>,
    /// Headers of answers; `*` for all.
    pub expose_headers: Vec<String>,
    /// Seconds for which the answer to a preflight request holds; 5 if absent.
    pub max_age: Option<u64>,
}

/// How headers are changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HeaderModifier {
    /// Headers that get this value, and no other.
    pub set: Vec<Header>,
    /// Headers that get this value besides those that they have.
    pub add: Vec<Header>,
    /// Headers that go.
    pub remove: Vec<String>,
}

/// A header.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A redirect.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// The scheme; the request's if absent.
    pub scheme: Option<String>,
    /// The hostname; the request's if absent.
    pub hostname: Option<String>,
    /// The path; the request's if absent.
    pub path: Option<PathModifier>,
    /// The port.
    pub port: Option<u16>,
    /// The status code; 302 if absent.
    pub status_code: Option<u16>,
}

/// A rewrite.
#[derive(Debug, Clone, Deserialize)]
pub struct Rewrite {
    /// The hostname that the backend sees.
    pub hostname: Option<String>,
    /// The path that the backend sees.
    pub path: Option<PathModifier>,
}

/// How a path is changed; exactly one of them is there.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathModifier {
    /// What replaces the whole path.
    pub replace_full_path: Option<String>,
    /// What replaces the prefix that matched.
    pub replace_prefix_match: Option<String>,
}

/// A backend of a rule.
#[derive(Debug, Clone, Deserialize)]
pub struct BackendRef {
    /// Group; the core group if absent.
    pub group: Option<String>,
    /// Kind; `Service` if absent.
    pub kind: Option<String>,
    /// Namespace; the route's if absent.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Port.
    pub port: Option<u16>,
    /// Its share; 1 if absent.
    pub weight: Option<u64>,
    /// What is done with the requests that it gets.
    #[serde(default)]
    pub filters: Vec<Filter>,
}
