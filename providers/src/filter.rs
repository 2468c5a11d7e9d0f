//! Filters: what happens to a request or its response.

use crate::Backend;
use serde::{Deserialize, Serialize};

/// One filter of a rule or of a backend reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Filter {
    /// Changes request headers.
    RequestHeaderModifier(HeaderModifier),
    /// Changes response headers.
    ResponseHeaderModifier(HeaderModifier),
    /// Sends a copy elsewhere.
    RequestMirror(RequestMirror),
    /// Answers with a redirect.
    RequestRedirect(RequestRedirect),
    /// Changes host and path on the way to the backend.
    UrlRewrite(UrlRewrite),
    /// Cross-origin resource sharing.
    Cors(Cors),
    /// Asks another service for permission (experimental channel).
    ExternalAuth(ExternalAuth),
    /// An object outside the Gateway API.
    ExtensionRef(ExtensionRef),
    /// A filter that could not be read: its type is not known or its content does not decode. It must never be skipped: requests get an error.
    Unknown {
        /// Its type as far as it could be read.
        kind: String,
        /// What is wrong with it.
        message: String,
    },
}

impl Filter {
    /// The filter's `type` in the Gateway API.
    pub fn kind(&self) -> &str {
        match self {
            Self::RequestHeaderModifier(_) => "RequestHeaderModifier",
            Self::ResponseHeaderModifier(_) => "ResponseHeaderModifier",
            Self::RequestMirror(_) => "RequestMirror",
            Self::RequestRedirect(_) => "RequestRedirect",
            Self::UrlRewrite(_) => "URLRewrite",
            Self::Cors(_) => "CORS",
            Self::ExternalAuth(_) => "ExternalAuth",
            Self::ExtensionRef(_) => "ExtensionRef",
            Self::Unknown { kind, .. } => kind,
        }
    }
}

/// Header changes, applied as set, add, remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderModifier {
    /// Replaces whatever values there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<HeaderValue>,
    /// Adds a value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<HeaderValue>,
    /// Takes all values away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// A header's name and value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderValue {
    /// Name as written.
    pub name: String,
    /// Value.
    pub value: String,
}

/// A mirror.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestMirror {
    /// Where copies go. An invalid one is not mirrored to, and reported on the route.
    pub backend: Backend,
    /// Share of requests: numerator over denominator; 1/1 for all.
    pub fraction: (u32, u32),
}

/// A redirect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRedirect {
    /// `http` or `https`; absent keeps the request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Absent keeps the request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Absent: the scheme's well-known port where a scheme is given, else the listener's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Absent keeps the request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
    /// 301, 302, 303, 307 or 308.
    pub status_code: u16,
}

/// A rewrite.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UrlRewrite {
    /// Host header towards the backend; absent keeps the request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Absent keeps the request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
}

/// How a path is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathModifier {
    /// The whole path.
    ReplaceFullPath(String),
    /// The prefix that the rule matched, element-wise.
    ReplacePrefixMatch(String),
}

/// Cross-origin resource sharing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// Origins, possibly with wildcards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_origins: Vec<String>,
    /// Whether credentials may be sent.
    #[serde(default)]
    pub allow_credentials: bool,
    /// Methods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_methods: Vec<String>,
    /// Request headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_headers: Vec<String>,
    /// Response headers that scripts may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose_headers: Vec<String>,
    /// Seconds that a preflight answer may be kept; the Gateway API's default is 5.
    pub max_age_seconds: u32,
}

/// External authorization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuth {
    /// HTTP or gRPC, with its settings.
    pub protocol: ExternalAuthProtocol,
    /// Whom to ask.
    pub backend: Backend,
    /// How many bytes of the body to send; 0 for none.
    pub forward_body_bytes: u32,
}

/// Protocol of external authorization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ExternalAuthProtocol {
    /// HTTP.
    Http {
        /// Prefix of the path asked.
        path: Option<String>,
        /// Request headers sent.
        allowed_headers: Vec<String>,
        /// Response headers taken over; none means all that may be.
        allowed_response_headers: Vec<String>,
    },
    /// Envoy's ext_authz over gRPC.
    Grpc {
        /// Request headers sent.
        allowed_headers: Vec<String>,
    },
}

/// Reference to an object outside the Gateway API, in the route's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionRef {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}
