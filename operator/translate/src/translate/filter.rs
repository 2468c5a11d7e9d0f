//! Filters of rules and of backends.

use super::backend::{self, Referrer, Traffic};
use crate::World;
use portico_crds::normal::{self, RouteFilter};
use portico_providers::{
    Backend, Cors, ExtensionRef, ExternalAuth, ExternalAuthProtocol, Filter, HeaderModifier, HeaderValue, InvalidReason, PathModifier,
    RequestMirror, RequestRedirect, UrlRewrite,
};
use std::fmt::Arguments;

/// Filters in the plan's words, with the references that they hold.
#[derive(Default)]
pub(super) struct Filters {
    pub filters: Vec<Filter>,
    /// References that lead nowhere.
    pub unresolved: Vec<(InvalidReason, String)>,
    /// What cannot be served, and must not be skipped either.
    pub unreadable: Vec<String>,
}

/// Converts a list of filters, that at `path`.
pub(super) fn convert(world: &World, referrer: &Referrer<'_>, path: Arguments<'_>, filters: &[RouteFilter]) -> Filters {
    let mut found = Filters::default();
    for (index, filter) in filters.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let filter = one(world, referrer, &path, filter, &mut found);
        found.filters.push(filter);
    }
    found
}

fn one(world: &World, referrer: &Referrer<'_>, path: &str, filter: &RouteFilter, found: &mut Filters) -> Filter {
    let mut resolve = |path: String, traffic: Traffic, reference: &normal::BackendRef| {
        let backend = backend::resolve(world, &Referrer { traffic, ..*referrer }, format_args!("{path}"), reference);
        if let Backend::Invalid { reason, message } = &backend {
            found.unresolved.push((*reason, message.clone()));
        }
        backend
    };
    match filter {
        RouteFilter::RequestHeaderModifier(it) => Filter::RequestHeaderModifier(headers(it)),
        RouteFilter::ResponseHeaderModifier(it) => Filter::ResponseHeaderModifier(headers(it)),
        RouteFilter::RequestMirror(it) => Filter::RequestMirror(RequestMirror {
            backend: resolve(format!("{path}.requestMirror.backendRef"), referrer.traffic, &it.backend),
            fraction: (it.numerator, it.denominator),
        }),
        RouteFilter::RequestRedirect(it) => Filter::RequestRedirect(RequestRedirect {
            scheme: it.scheme.clone(),
            hostname: it.hostname.clone(),
            port: it.port,
            path: it.path.as_ref().map(path_modifier),
            status_code: it.status_code,
        }),
        RouteFilter::UrlRewrite(it) => {
            Filter::UrlRewrite(UrlRewrite { hostname: it.hostname.clone(), path: it.path.as_ref().map(path_modifier) })
        }
        RouteFilter::Cors(it) => Filter::Cors(Cors {
            allow_origins: it.allow_origins.clone(),
            allow_credentials: it.allow_credentials,
            allow_methods: it.allow_methods.clone(),
            allow_headers: it.allow_headers.clone(),
            expose_headers: it.expose_headers.clone(),
            max_age_seconds: u32::try_from(it.max_age.as_secs()).unwrap_or(u32::MAX),
        }),
        RouteFilter::ExternalAuth(it) => Filter::ExternalAuth(ExternalAuth {
            backend: resolve(format!("{path}.externalAuth.backendRef"), asked_by(&it.protocol), &it.backend),
            protocol: match &it.protocol {
                normal::ExternalAuthProtocol::Grpc => ExternalAuthProtocol::Grpc { allowed_headers: it.allowed_headers.clone() },
                normal::ExternalAuthProtocol::Http { path, allowed_response_headers } => ExternalAuthProtocol::Http {
                    path: path.clone(),
                    allowed_headers: it.allowed_headers.clone(),
                    allowed_response_headers: allowed_response_headers.clone(),
                },
            },
            forward_body_bytes: it.forward_body.unwrap_or_default(),
        }),
        RouteFilter::ExtensionRef(it) => {
            let message = format!("{path}.extensionRef: kind {} of group {:?} is not known here; remove the filter", it.kind, it.group);
            found.unresolved.push((InvalidReason::InvalidKind, message));
            Filter::ExtensionRef(ExtensionRef { group: it.group.clone(), kind: it.kind.clone(), name: it.name.clone() })
        }
        RouteFilter::Unknown { r#type } => {
            let message = format!("{path}: the settings of filter type {type} are missing; add them, or remove the filter");
            found.unreadable.push(message.clone());
            Filter::Unknown { kind: r#type.clone(), message }
        }
    }
}

/// How an authorisation service is talked to.
fn asked_by(protocol: &normal::ExternalAuthProtocol) -> Traffic {
    match protocol {
        normal::ExternalAuthProtocol::Grpc => Traffic::Grpc,
        normal::ExternalAuthProtocol::Http { .. } => Traffic::Http,
    }
}

fn headers(from: &normal::HeaderModifier) -> HeaderModifier {
    let values = |list: &[normal::Header]| list.iter().map(|it| HeaderValue { name: it.name.clone(), value: it.value.clone() }).collect();
    HeaderModifier { set: values(&from.set), add: values(&from.add), remove: from.remove.clone() }
}

fn path_modifier(from: &normal::PathModifier) -> PathModifier {
    match from {
        normal::PathModifier::ReplaceFullPath(path) => PathModifier::ReplaceFullPath(path.clone()),
        normal::PathModifier::ReplacePrefixMatch(path) => PathModifier::ReplacePrefixMatch(path.clone()),
    }
}

/// Why filters cannot stand together, if they cannot (Gateway API: each of these once, and never both a redirect and a rewrite).
pub(super) fn incompatible(path: Arguments<'_>, filters: &[RouteFilter]) -> Option<String> {
    let count = |kind: &str| filters.iter().filter(|filter| filter.r#type() == kind).count();
    if count("RequestRedirect") > 0 && count("URLRewrite") > 0 {
        return Some(format!("{path}.filters: RequestRedirect and URLRewrite cannot stand together; remove one of them"));
    }
    ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite", "CORS"]
        .into_iter()
        .find(|kind| count(kind) > 1)
        .map(|kind| format!("{path}.filters: {kind} stands there more than once; keep one of them"))
}
