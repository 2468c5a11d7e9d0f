//! Filters of routes.

use std::time::Duration;

use gateway_api::experimental::{grpcroutes as grpc, httproutes as http};
use serde_json::{Value, json};

use super::{BackendRef, backend::parts, given, port};
use crate::{CutScope, Defect, ObjectRef};

/// What is done to a request or response besides forwarding it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteFilter {
    /// Changes the request's headers.
    RequestHeaderModifier(HeaderModifier),
    /// Changes the response's headers.
    ResponseHeaderModifier(HeaderModifier),
    /// Sends a copy of the request elsewhere.
    RequestMirror(RequestMirror),
    /// Answers with a redirect.
    RequestRedirect(RequestRedirect),
    /// Changes the request's path or host.
    UrlRewrite(UrlRewrite),
    /// Cross-origin resource sharing.
    Cors(Cors),
    /// Asks another service whether the request may pass.
    ExternalAuth(ExternalAuth),
    /// A filter that is an object of its own.
    ExtensionRef(ObjectRef),
    /// A filter whose type is set and whose settings are missing (the API server refuses that; files can have it). A rule with it must not
    /// serve as if the filter were not there.
    Unknown {
        /// The type that its author wrote.
        r#type: String,
    },
}

impl RouteFilter {
    /// The filter's type as it is written in a route.
    pub fn r#type(&self) -> &str {
        match self {
            Self::RequestHeaderModifier(_) => "RequestHeaderModifier",
            Self::ResponseHeaderModifier(_) => "ResponseHeaderModifier",
            Self::RequestMirror(_) => "RequestMirror",
            Self::RequestRedirect(_) => "RequestRedirect",
            Self::UrlRewrite(_) => "URLRewrite",
            Self::Cors(_) => "CORS",
            Self::ExternalAuth(_) => "ExternalAuth",
            Self::ExtensionRef(_) => "ExtensionRef",
            Self::Unknown { r#type } => r#type,
        }
    }
}

/// A header with its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Header {
    /// Name; upper and lower case are alike.
    pub name: String,
    /// Value.
    pub value: String,
}

/// Changes of headers, applied in the order set, add, remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderModifier {
    /// Replaces the header's value.
    pub set: Vec<Header>,
    /// Adds a value beside those that are there.
    pub add: Vec<Header>,
    /// Removes the header.
    pub remove: Vec<String>,
}

/// A copy of requests for another backend, whose answers are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestMirror {
    /// Where the copies go. Its weight and filters mean nothing.
    pub backend: BackendRef,
    /// Of `denominator` requests this many are copied; `percent` is read as a fraction of 100.
    pub numerator: u32,
    /// See `numerator`; 1 of 1 by default.
    pub denominator: u32,
}

/// A redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRedirect {
    /// `http` or `https`; absent keeps the request's.
    pub scheme: Option<String>,
    /// Absent keeps the request's host.
    pub hostname: Option<String>,
    /// Absent keeps the request's path.
    pub path: Option<PathModifier>,
    /// Absent: the scheme's well-known port if a scheme is set, otherwise the listener's.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308; 302 by default.
    pub status_code: u16,
}

/// A change of a request's path or host before it is sent on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlRewrite {
    /// Replaces the Host header.
    pub hostname: Option<String>,
    /// Replaces the path or its matched prefix.
    pub path: Option<PathModifier>,
}

/// How a path is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathModifier {
    /// The whole path.
    ReplaceFullPath(String),
    /// The prefix that the rule's match named.
    ReplacePrefixMatch(String),
}

/// Cross-origin resource sharing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Origins such as `https://*.example.com`, or `*`.
    pub allow_origins: Vec<String>,
    /// Methods, or `*`.
    pub allow_methods: Vec<String>,
    /// Request headers, or `*`.
    pub allow_headers: Vec<String>,
    /// Response headers that scripts may read, or `*`.
    pub expose_headers: Vec<String>,
    /// Whether credentials may be sent.
    pub allow_credentials: bool,
    /// How long a browser may keep the answer to a preflight; 5 s by default.
    pub max_age: Duration,
}

/// A request for permission to another service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAuth {
    /// The service. Its weight and filters mean nothing.
    pub backend: BackendRef,
    /// How it is asked.
    pub protocol: ExternalAuthProtocol,
    /// Request headers that are sent to it.
    pub allowed_headers: Vec<String>,
    /// Bytes of the body that are sent to it; absent sends none.
    pub forward_body: Option<u32>,
}

/// How an authorisation service is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalAuthProtocol {
    /// Envoy's `ext_authz` over gRPC.
    Grpc,
    /// HTTP.
    Http {
        /// Prefix of the path.
        path: Option<String>,
        /// Headers of the service's answer that are added to the request.
        allowed_response_headers: Vec<String>,
    },
}

/// A generated filter.
pub(super) trait ToFilter {
    /// Converts the filter at `path`; a value out of range is a defect, and the filter is cut out.
    fn to_filter(&self, path: &str, defects: &mut Vec<Defect>) -> Option<RouteFilter>;
}

/// Converts the list `filters` of the rule or backend at `path`.
pub(super) fn to_filters<F: ToFilter>(filters: Option<&[F]>, path: &str, defects: &mut Vec<Defect>) -> Vec<RouteFilter> {
    let filters = filters.unwrap_or_default().iter().enumerate();
    filters.filter_map(|(index, filter)| filter.to_filter(&format!("{path}.filters[{index}]"), defects)).collect()
}

/// Converts the `filters` of a listener at `path`: ExternalAuth and ExtensionRef are what it may have (Gateway API v1.7.0, experimental channel).
pub(super) fn listener_filters(filters: Option<&Value>, path: &str) -> Result<Vec<RouteFilter>, Defect> {
    let fault = |path: String, value: &Value, message: String| Defect {
        path,
        value: crate::decode::short(&value.to_string()),
        message,
        cut: CutScope::Filter,
        weight: None,
    };
    let Some(filters) = filters.filter(|it| !it.is_null() && **it != json!({})) else { return Ok(Vec::new()) };
    let Some(list) = filters.get("requests").and_then(Value::as_array) else {
        return Err(fault(path.to_owned(), filters, "it is not a list of filters under requests".to_owned()));
    };
    let convert = |(index, value): (usize, &Value)| {
        let path = format!("{path}.requests[{index}]");
        let r#type = value.get("type").and_then(Value::as_str).unwrap_or_default();
        if !["ExternalAuth", "ExtensionRef"].contains(&r#type) {
            return Err(fault(
                format!("{path}.type"),
                value,
                format!("{type:?} is no filter of listeners; use ExternalAuth or ExtensionRef"),
            ));
        }
        let filter: http::HttpRouteRulesFilters = serde_path_to_error::deserialize(value)
            .map_err(|error| fault(format!("{path}.{}", error.path()), value, error.inner().to_string()))?;
        let mut defects = Vec::new();
        let filter = filter.to_filter(&path, &mut defects);
        match (filter, defects.into_iter().next()) {
            (Some(RouteFilter::Unknown { r#type }), _) => {
                Err(fault(path, value, format!("the settings of filter type {type} are missing")))
            }
            (Some(filter), None) => Ok(filter),
            (_, Some(defect)) => Err(defect),
            (None, None) => Err(fault(path, value, "it cannot be read".to_owned())),
        }
    };
    list.iter().enumerate().map(convert).collect()
}

/// The defect of a number out of range in a filter.
fn out_of_range(path: String, value: i64, what: &str) -> Defect {
    Defect { path, value: value.to_string(), message: format!("{value} is not {what}"), cut: CutScope::Filter, weight: None }
}

/// Takes over the defects of a filter's backend as the filter's own: without its backend it cannot be.
fn filter_backend(parts: super::backend::Parts<'_>, path: &str, defects: &mut Vec<Defect>) -> Option<BackendRef> {
    let mut found = Vec::new();
    let backend = parts.backend(0, &format!("{path}.backendRef"), &mut found);
    defects.extend(found.into_iter().map(|defect| Defect { cut: CutScope::Filter, weight: None, ..defect }));
    backend
}

macro_rules! header_modifier {
    ($from:expr) => {
        HeaderModifier {
            set: $from.set.iter().flatten().map(|it| Header { name: it.name.clone(), value: it.value.clone() }).collect(),
            add: $from.add.iter().flatten().map(|it| Header { name: it.name.clone(), value: it.value.clone() }).collect(),
            remove: $from.remove.clone().unwrap_or_default(),
        }
    };
}

macro_rules! request_mirror {
    ($from:expr, $path:expr, $defects:expr) => {{
        let (numerator, denominator) = match (&$from.fraction, $from.percent) {
            (Some(fraction), _) => (fraction.numerator, fraction.denominator.unwrap_or(100)),
            (None, Some(percent)) => (percent, 100),
            (None, None) => (1, 1),
        };
        let fraction = u32::try_from(numerator).ok().zip(u32::try_from(denominator).ok());
        let Some((numerator, denominator)) = fraction.filter(|(part, whole)| *whole > 0 && part <= whole) else {
            let what = format!("a part of {denominator} (0 to {denominator})");
            $defects.push(out_of_range(format!("{}.requestMirror", $path), numerator.into(), &what));
            return None;
        };
        let backend = filter_backend(parts!($from.backend_ref, None), &format!("{}.requestMirror", $path), $defects)?;
        RouteFilter::RequestMirror(RequestMirror { backend, numerator, denominator })
    }};
}

macro_rules! path_modifier {
    ($from:expr, $type:ident) => {
        $from.path.as_ref().map(|path| match path.r#type {
            http::$type::ReplaceFullPath => PathModifier::ReplaceFullPath(path.replace_full_path.clone().unwrap_or_default()),
            http::$type::ReplacePrefixMatch => PathModifier::ReplacePrefixMatch(path.replace_prefix_match.clone().unwrap_or_default()),
        })
    };
}

macro_rules! extension_ref {
    ($from:expr) => {
        RouteFilter::ExtensionRef(ObjectRef {
            group: $from.group.clone(),
            kind: $from.kind.clone(),
            namespace: None,
            name: $from.name.clone(),
        })
    };
}

macro_rules! request_redirect {
    ($from:expr, $path:expr, $defects:expr, $scheme:ident, $modifier:ident) => {{
        let valid = $from.port.and_then(port);
        if let (Some(value), None) = ($from.port, valid) {
            $defects.push(out_of_range(format!("{}.requestRedirect.port", $path), value.into(), "a port (1 to 65535)"));
            return None;
        }
        let status = $from.status_code.unwrap_or(302);
        let Some(status_code) = u16::try_from(status).ok().filter(|it| [301, 302, 303, 307, 308].contains(it)) else {
            let what = "a status of redirects (301, 302, 303, 307 or 308)";
            $defects.push(out_of_range(format!("{}.requestRedirect.statusCode", $path), status, what));
            return None;
        };
        RouteFilter::RequestRedirect(RequestRedirect {
            scheme: $from.scheme.as_ref().map(|scheme| match scheme {
                http::$scheme::Http => "http".to_owned(),
                http::$scheme::Https => "https".to_owned(),
            }),
            hostname: given($from.hostname.as_ref()),
            path: path_modifier!($from, $modifier),
            port: valid,
            status_code,
        })
    }};
}

macro_rules! cors {
    ($from:expr) => {
        RouteFilter::Cors(Cors {
            allow_origins: $from.allow_origins.clone().unwrap_or_default(),
            allow_methods: $from.allow_methods.clone().unwrap_or_default(),
            allow_headers: $from.allow_headers.clone().unwrap_or_default(),
            expose_headers: $from.expose_headers.clone().unwrap_or_default(),
            allow_credentials: $from.allow_credentials.unwrap_or_default(),
            max_age: Duration::from_secs($from.max_age.and_then(|age| u64::try_from(age).ok()).unwrap_or(5)),
        })
    };
}

macro_rules! external_auth {
    ($from:expr, $path:expr, $defects:expr, $protocol:ident) => {{
        let backend = filter_backend(parts!($from.backend_ref, None), &format!("{}.externalAuth", $path), $defects)?;
        let forward_body = $from.forward_body.as_ref().and_then(|body| body.max_size);
        let (protocol, allowed_headers) = match $from.protocol {
            http::$protocol::Grpc => (ExternalAuthProtocol::Grpc, $from.grpc.as_ref().and_then(|grpc| grpc.allowed_headers.clone())),
            http::$protocol::Http => (
                ExternalAuthProtocol::Http {
                    path: given($from.http.as_ref().and_then(|http| http.path.as_ref())),
                    allowed_response_headers: $from
                        .http
                        .as_ref()
                        .and_then(|http| http.allowed_response_headers.clone())
                        .unwrap_or_default(),
                },
                $from.http.as_ref().and_then(|http| http.allowed_headers.clone()),
            ),
        };
        RouteFilter::ExternalAuth(ExternalAuth {
            backend,
            protocol,
            allowed_headers: allowed_headers.unwrap_or_default(),
            forward_body: forward_body.and_then(|size| u32::try_from(size).ok()).filter(|size| *size > 0),
        })
    }};
}

/// A filter whose settings are missing.
fn unknown(r#type: &impl serde::Serialize) -> RouteFilter {
    let name = serde_json::to_value(r#type).ok().and_then(|name| name.as_str().map(str::to_owned));
    RouteFilter::Unknown { r#type: name.unwrap_or_default() }
}

macro_rules! http_filter {
    ($from:ident, $type:ident, $redirect_scheme:ident, $redirect_path:ident, $rewrite_path:ident, $auth_protocol:ident) => {
        impl ToFilter for http::$from {
            fn to_filter(&self, path: &str, defects: &mut Vec<Defect>) -> Option<RouteFilter> {
                use http::$type as Type;
                let filter = match self.r#type {
                    Type::RequestHeaderModifier => {
                        self.request_header_modifier.as_ref().map(|it| RouteFilter::RequestHeaderModifier(header_modifier!(it)))
                    }
                    Type::ResponseHeaderModifier => {
                        self.response_header_modifier.as_ref().map(|it| RouteFilter::ResponseHeaderModifier(header_modifier!(it)))
                    }
                    Type::RequestMirror => match &self.request_mirror {
                        Some(it) => Some(request_mirror!(it, path, defects)),
                        None => None,
                    },
                    Type::RequestRedirect => match &self.request_redirect {
                        Some(it) => Some(request_redirect!(it, path, defects, $redirect_scheme, $redirect_path)),
                        None => None,
                    },
                    Type::UrlRewrite => self.url_rewrite.as_ref().map(|it| {
                        RouteFilter::UrlRewrite(UrlRewrite {
                            hostname: given(it.hostname.as_ref()),
                            path: path_modifier!(it, $rewrite_path),
                        })
                    }),
                    Type::Cors => self.cors.as_ref().map(|it| cors!(it)),
                    Type::ExternalAuth => match &self.external_auth {
                        Some(it) => Some(external_auth!(it, path, defects, $auth_protocol)),
                        None => None,
                    },
                    Type::ExtensionRef => self.extension_ref.as_ref().map(|it| extension_ref!(it)),
                };
                Some(filter.unwrap_or_else(|| unknown(&self.r#type)))
            }
        }
    };
}

macro_rules! grpc_filter {
    ($from:ident, $type:ident) => {
        impl ToFilter for grpc::$from {
            fn to_filter(&self, path: &str, defects: &mut Vec<Defect>) -> Option<RouteFilter> {
                use grpc::$type as Type;
                let filter = match self.r#type {
                    Type::RequestHeaderModifier => {
                        self.request_header_modifier.as_ref().map(|it| RouteFilter::RequestHeaderModifier(header_modifier!(it)))
                    }
                    Type::ResponseHeaderModifier => {
                        self.response_header_modifier.as_ref().map(|it| RouteFilter::ResponseHeaderModifier(header_modifier!(it)))
                    }
                    Type::RequestMirror => match &self.request_mirror {
                        Some(it) => Some(request_mirror!(it, path, defects)),
                        None => None,
                    },
                    Type::ExtensionRef => self.extension_ref.as_ref().map(|it| extension_ref!(it)),
                };
                Some(filter.unwrap_or_else(|| unknown(&self.r#type)))
            }
        }
    };
}

http_filter!(
    HttpRouteRulesFilters,
    HttpRouteRulesFiltersType,
    HttpRouteRulesFiltersRequestRedirectScheme,
    HttpRouteRulesFiltersRequestRedirectPathType,
    HttpRouteRulesFiltersUrlRewritePathType,
    HttpRouteRulesFiltersExternalAuthProtocol
);
http_filter!(
    HttpRouteRulesBackendRefsFilters,
    HttpRouteRulesBackendRefsFiltersType,
    HttpRouteRulesBackendRefsFiltersRequestRedirectScheme,
    HttpRouteRulesBackendRefsFiltersRequestRedirectPathType,
    HttpRouteRulesBackendRefsFiltersUrlRewritePathType,
    HttpRouteRulesBackendRefsFiltersExternalAuthProtocol
);
grpc_filter!(GrpcRouteRulesFilters, GrpcRouteRulesFiltersType);
grpc_filter!(GrpcRouteRulesBackendRefsFilters, GrpcRouteRulesBackendRefsFiltersType);
