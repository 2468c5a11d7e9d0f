//! Rules: what a listener does with a request.

use crate::{Filter, Hostname, WeightedBackend};
use portico_crds::NamespacedName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// One match of one rule of one route, on one hostname.
///
/// A route's rule with three matches and two hostnames becomes six of these, since precedence looks at hostname and match first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanRule {
    /// Which match of which rule of which route. Rules that differ only in their hostname share it.
    pub id: RuleId,
    /// Position within its listener: 0 is tried first. Ranks are dense and total.
    pub rank: u32,
    /// `metadata.creationTimestamp` of its route, RFC 3339 in UTC; absent in manifests that no API server has seen, which count as the newest. Where a limit leaves no
    /// room for all rules, those of older routes go on being served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// `rules[].name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The names it applies to: the intersection of the route's and the listener's; absent for all that reach the listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Hostname>,
    /// What else a request must look like.
    pub matches: RuleMatch,
    /// What happens to a request, in the order written. A filter of the route that cannot be read at all is [`Filter::Unknown`], never left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// Where it goes. Empty without a redirect means 500. Entries of weight 0 are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<WeightedBackend>,
    /// Time limits.
    #[serde(default, skip_serializing_if = "Timeouts::is_empty")]
    pub timeouts: Timeouts,
    /// Retries; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Session persistence; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
}

/// Names one match of one rule of one route: stable, and how refusals, statuses, goldens, plans and counters name a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleId {
    /// The route.
    pub route: RouteId,
    /// Index in `spec.rules`, as its author wrote it.
    pub rule: u32,
    /// Index in `rules[].matches`, as its author wrote it; 0 where the rule has no matches.
    #[serde(rename = "match")]
    pub match_index: u32,
}

/// `HTTPRoute ns/name rules[1].matches[0]`.
impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rules[{}].matches[{}]", self.route, self.rule, self.match_index)
    }
}

/// A route of any kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteId {
    /// Its kind.
    pub kind: RouteKind,
    /// Its namespace and name.
    pub key: NamespacedName,
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.key)
    }
}

/// Kinds of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RouteKind {
    /// HTTPRoute.
    #[serde(rename = "HTTPRoute")]
    Http,
    /// GRPCRoute.
    #[serde(rename = "GRPCRoute")]
    Grpc,
    /// TLSRoute.
    #[serde(rename = "TLSRoute")]
    Tls,
    /// TCPRoute.
    #[serde(rename = "TCPRoute")]
    Tcp,
    /// UDPRoute.
    #[serde(rename = "UDPRoute")]
    Udp,
}

impl RouteKind {
    /// The kind's name with its article, for sentences.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Http => "an HTTPRoute",
            Self::Grpc => "a GRPCRoute",
            Self::Tls => "a TLSRoute",
            Self::Tcp => "a TCPRoute",
            Self::Udp => "a UDPRoute",
        }
    }

    /// The kind's name in Kubernetes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
            Self::Tls => "TLSRoute",
            Self::Tcp => "TCPRoute",
            Self::Udp => "UDPRoute",
        }
    }
}

/// What a request must look like, apart from its hostname.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RuleMatch {
    /// An HTTP request.
    Http(HttpMatch),
    /// A gRPC call: POST over HTTP/2 with a content type of `application/grpc` (`application/grpc+proto` and the like). What is none goes on to the next rule.
    Grpc(GrpcMatch),
    /// A connection or datagram; nothing but the hostname (SNI, for TLS) tells rules apart.
    Connection,
}

/// A match of an HTTPRoute: all its parts must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpMatch {
    /// The path; `PathPrefix /` where the route says nothing.
    pub path: PathMatch,
    /// Headers, no name twice: of entries with one name (in any case) the first counts (Gateway API), the rest are left out here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
    /// Query parameters, no name twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query_params: Vec<QueryParamMatch>,
    /// The method, upper case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// A path match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathMatch {
    /// The whole path, case-sensitive.
    Exact(String),
    /// Whole path elements from the start, case-sensitive; without a trailing slash, except `/` itself, which matches everything.
    Prefix(String),
    /// A regular expression; its dialect is the provider's.
    RegularExpression(String),
}

/// A match of one header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// Name, in lower case.
    pub name: String,
    /// Value.
    pub value: StringMatch,
}

/// A match of one query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryParamMatch {
    /// Name, case-sensitive.
    pub name: String,
    /// Value.
    pub value: StringMatch,
}

/// How a value is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StringMatch {
    /// Equal, case-sensitive.
    Exact(String),
    /// A regular expression; its dialect is the provider's.
    RegularExpression(String),
}

/// A match of a GRPCRoute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcMatch {
    /// The service; absent for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<StringMatch>,
    /// The method; absent for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<StringMatch>,
    /// Headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
}

/// `rules[].timeouts`; a zero switches a limit off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// For the whole request, retries included.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::duration")]
    pub request: Option<Duration>,
    /// For each attempt at a backend.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::duration")]
    pub backend_request: Option<Duration>,
}

impl Timeouts {
    /// Whether the rule says nothing of timeouts.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `rules[].retry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Status codes that are retried, besides failed connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<u16>,
    /// Attempts on top of the first; 0 switches retries off.
    pub attempts: u32,
    /// Base interval between attempts.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::duration")]
    pub backoff: Option<Duration>,
}

/// `rules[].sessionPersistence` (experimental channel).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionPersistence {
    /// Name of the cookie or header; absent for the provider's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// Where the session is kept.
    pub kind: SessionPersistenceKind,
    /// Path attribute of the cookie; absent means `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie_path: Option<String>,
    /// Longest life of a session.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::duration")]
    pub absolute_timeout: Option<Duration>,
    /// Longest pause within a session.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::duration")]
    pub idle_timeout: Option<Duration>,
}

/// Where a session is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionPersistenceKind {
    /// A cookie that ends with the browser's session.
    SessionCookie,
    /// A cookie that lasts for the absolute timeout.
    PermanentCookie,
    /// A header.
    Header,
}
