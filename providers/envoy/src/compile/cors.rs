//! Cross-origin resource sharing.

use super::filter::millionths;
use crate::re2;
use crate::stack::http::CorsPolicy;
use crate::stack::matcher::StringMatcher;
use portico_providers::Cors;

/// Name of the HTTP filter.
pub(super) const FILTER: &str = "envoy.filters.http.cors";

/// Envoy's policy. It answers with the request's own origin, never with `*`, so that credentials are allowed with any.
pub(super) fn policy(filter: &Cors) -> CorsPolicy {
    CorsPolicy {
        allow_origin_string_match: filter.allow_origins.iter().map(|origin| origin_matcher(origin)).collect(),
        allow_methods: filter.allow_methods.join(", "),
        allow_headers: filter.allow_headers.join(", "),
        expose_headers: exposed(filter).join(", "),
        max_age: filter.max_age_seconds.to_string(),
        allow_credentials: Some(filter.allow_credentials),
        filter_enabled: Some(millionths(1, 1)),
        // A preflight request of another origin is answered without the headers that would allow anything.
        forward_not_matching_preflights: Some(false),
    }
}

/// To an answer with credentials `*` would be the name of a header (Fetch), and must not be said (Gateway API).
fn exposed(filter: &Cors) -> Vec<&str> {
    filter.expose_headers.iter().map(String::as_str).filter(|name| *name != "*" || !filter.allow_credentials).collect()
}

/// `*` stands for everything, and within a host for one or more characters of it: `https://*.example.com` means all names below `example.com`.
fn origin_matcher(origin: &str) -> StringMatcher {
    if origin == "*" {
        return StringMatcher::pattern(".*");
    }
    match origin.split_once('*') {
        None => StringMatcher { ignore_case: true, ..StringMatcher::text(origin) },
        Some((before, after)) => StringMatcher::pattern(format!("(?i){}[^/]+{}", re2::escape(before), re2::escape(after))),
    }
}
