//! What becomes of a request that a rule has won: filters and backends.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::api::{BackendRef, Cluster, Filter, GROUP, Mirror, PathModifier, Redirect, Rule};
use super::cors::Sharing;
use super::headers::Headers;
use super::matching::{Candidate, Path};
use super::reading::{Reading, Slash};
use super::request::{Request, with_query};
use super::timeout::Limit;

/// What the Gateway API says that a client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 404: nobody serves the request.
    NotFound,
    /// 500, for that reason.
    Error(&'static str),
    /// A redirect.
    Redirect {
        /// The status code.
        status: u16,
        /// Where to.
        location: Location,
    },
    /// One of the backends answers.
    Forward(Forward),
    /// The rule uses a field that is not evaluated here, because nothing that is tested can serve it: it must have been refused.
    Unjudged(String),
}

/// Who gets a request, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The valid backends that have a share.
    pub shares: Vec<Share>,
    /// Where shares of the requests are redirected to.
    pub redirects: Vec<(u16, Location)>,
    /// Whether a share of the requests goes to an invalid backend.
    pub failing: bool,
    /// Whether a backend that answers has the time for it.
    pub limit: Limit,
}

/// A request as a backend gets it, and its answer as the client gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// `NAMESPACE/NAME` of the Service.
    pub backend: String,
    /// The Host header.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// The request's other headers.
    pub request: Headers,
    /// The answer's headers, as far as the route says anything about them.
    pub response: Headers,
    /// What is said of other origins, if anything is.
    pub sharing: Option<Sharing>,
    /// Who gets copies, and whether each of all requests.
    pub copies: Vec<(String, bool)>,
}

impl Forward {
    /// Who may answer.
    pub fn backends(&self) -> BTreeSet<&str> {
        self.shares.iter().map(|share| share.backend.as_str()).collect()
    }
}

/// A Location header, in its parts: whether a port that the scheme implies is written out is left open, and so is the question mark of an empty query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The scheme.
    pub scheme: String,
    /// The host, in lower case.
    pub host: String,
    /// The port, written or implied.
    pub port: u16,
    /// Path and query.
    pub target: String,
}

impl Location {
    fn new(scheme: &str, host: &str, port: u16, target: &str) -> Self {
        let target = target.strip_suffix('?').unwrap_or(target).to_owned();
        Self { scheme: scheme.to_owned(), host: host.to_ascii_lowercase(), port, target }
    }

    /// Takes a header apart.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, well_known_port(scheme)?),
        };
        Some(Self::new(scheme, host, port, target))
    }
}

fn well_known_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}{}", self.scheme, self.host, self.port, self.target)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("404"),
            Self::Error(why) => write!(f, "500 ({why})"),
            Self::Redirect { status, location } => write!(f, "{status} to {location}"),
            Self::Forward(it) => {
                let shares: Vec<String> = it.shares.iter().map(Share::to_string).collect();
                write!(f, "200 of {}", if shares.is_empty() { "nobody".to_owned() } else { shares.join(", or of ") })?;
                for (status, location) in &it.redirects {
                    write!(f, ", or {status} to {location}")?;
                }
                f.write_str(if it.failing { ", or 500 for the invalid share" } else { "" })?;
                f.write_str(match it.limit {
                    Limit::Kept => "",
                    Limit::Doubtful => ", or 504",
                    Limit::Missed => "; but 504, since it takes too long",
                })
            }
            Self::Unjudged(what) => write!(f, "500: {what} should have been refused"),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, host, target, request, response, sharing, copies } = self;
        write!(f, "{backend} as {target} on host {host}")?;
        for (what, headers) in [("with", request), ("answered with", response)] {
            if *headers != Headers::default() {
                write!(f, " {what} {headers}")?;
            }
        }
        if let Some(sharing) = sharing {
            write!(f, " as {sharing}")?;
        }
        copies.iter().try_for_each(|(to, all)| write!(f, ", {} to {to}", if *all { "copied" } else { "perhaps copied" }))
    }
}

/// What the rule of a candidate makes of a request.
pub fn answer(cluster: &Cluster, winner: &Candidate<'_>, request: &Request, reading: Reading) -> Answer {
    let Some(rule) = winner.route.spec.rules.get(winner.rule) else { return Answer::NotFound };
    if let Some(field) = unjudged(cluster, rule) {
        return Answer::Unjudged(field);
    }
    if rule.filters.iter().any(|filter| filter.kind == "ExtensionRef") {
        return Answer::Error("a filter that cannot be resolved must not be skipped");
    }
    let request = &normal(cluster, request, reading);
    if let Some(redirect) = rule.filters.iter().find_map(|filter| filter.request_redirect.as_ref()) {
        return redirected(redirect, winner, request, reading);
    }
    let (valid, invalid) = backends(cluster, winner, rule);
    if valid.is_empty() {
        return Answer::Error(if invalid.is_empty() { "no backend has a share" } else { "every backend is invalid" });
    }
    let mut forward =
        Forward { shares: Vec::new(), redirects: Vec::new(), failing: !invalid.is_empty(), limit: Limit::of(&rule.timeouts, request) };
    for backend in valid {
        match backend.filters.iter().find_map(|filter| filter.request_redirect.as_ref()) {
            Some(redirect) => forward.redirects.push(location(redirect, winner, request, reading)),
            None => forward.shares.push(share(cluster, winner, rule, backend, request, reading)),
        }
    }
    Answer::Forward(forward)
}

/// Whether some backend of a rule gets requests.
pub fn forwards(cluster: &Cluster, candidate: &Candidate<'_>, rule: &Rule) -> bool {
    !backends(cluster, candidate, rule).0.is_empty()
}

/// The backends that have a share: those that are valid, and the others.
fn backends<'a>(cluster: &Cluster, winner: &Candidate<'_>, rule: &'a Rule) -> (Vec<&'a BackendRef>, Vec<&'a BackendRef>) {
    let serving = rule.backend_refs.iter().filter(|it| it.weight.unwrap_or(1) > 0);
    serving.partition(|it| valid(cluster, winner, it) && !it.filters.iter().any(|filter| filter.kind == "ExtensionRef"))
}

/// The request with the path that is worked on: RFC 3986, 6.2.2.2 takes both for the same.
fn normal(cluster: &Cluster, request: &Request, reading: Reading) -> Request {
    let path = if cluster.by_proxies { reading.path.of_path(&request.path).into_owned() } else { request.path.clone() };
    Request { path, ..request.clone() }
}

/// The request as a backend gets it: the rule's filters come first, then the backend's own.
fn share(cluster: &Cluster, winner: &Candidate<'_>, rule: &Rule, backend: &BackendRef, request: &Request, reading: Reading) -> Share {
    let mut share = Share {
        backend: format!("{}/{}", namespace(winner, backend), backend.name),
        host: request.host.clone(),
        target: request.target(),
        request: Headers::of(&request.headers),
        response: Headers::of(&request.echoed()),
        sharing: None,
        copies: Vec::new(),
    };
    for filter in rule.filters.iter().chain(&backend.filters) {
        if let Some(rewrite) = &filter.url_rewrite {
            if let Some(hostname) = &rewrite.hostname {
                share.host.clone_from(hostname);
            }
            if let Some(path) = &rewrite.path {
                share.target = with_query(&modified(path, winner, &request.path, reading), request.query.as_deref());
            }
        }
        if let Some(modifier) = &filter.request_header_modifier {
            share.request.change(modifier);
        }
        if let Some(modifier) = &filter.response_header_modifier {
            share.response.change(modifier);
        }
        if let Some(policy) = &filter.cors {
            share.sharing = Some(Sharing::of(policy, request));
        }
        if let Some(mirror) = &filter.request_mirror {
            share.copies.extend(copy(cluster, winner, mirror));
        }
    }
    share
}

/// Who gets copies, and whether of all requests; nobody where the reference leads nowhere.
fn copy(cluster: &Cluster, winner: &Candidate<'_>, mirror: &Mirror) -> Option<(String, bool)> {
    let backend = &mirror.backend_ref;
    let whole = mirror.fraction.is_none() && mirror.percent.is_none_or(|percent| percent >= 100);
    let some = whole || mirror.percent != Some(0);
    (some && valid(cluster, winner, backend)).then(|| (format!("{}/{}", namespace(winner, backend), backend.name), whole))
}

/// A field that is not evaluated here, if the rule uses one.
fn unjudged(cluster: &Cluster, rule: &Rule) -> Option<String> {
    let filters = rule.filters.iter().chain(rule.backend_refs.iter().filter(|it| it.weight.unwrap_or(1) > 0).flat_map(|it| &it.filters));
    let known = ["RequestRedirect", "URLRewrite", "ExtensionRef", "RequestHeaderModifier", "ResponseHeaderModifier"];
    let is_known = |filter: &Filter| {
        known.contains(&filter.kind.as_str()) || cluster.by_proxies && ["RequestMirror", "CORS"].contains(&filter.kind.as_str())
    };
    if let Some(filter) = filters.into_iter().find(|filter| !is_known(filter)) {
        return Some(format!("the filter {}", filter.kind));
    }
    if !cluster.by_proxies && rule.timeouts.limits() {
        return Some("timeouts".to_owned());
    }
    // What is tried again is answered alike: backends here fail always or never.
    if !cluster.by_proxies && rule.retry.as_ref().is_some_and(|retry| retry.get("attempts").and_then(Value::as_u64) != Some(0)) {
        return Some("retry".to_owned());
    }
    rule.session_persistence.as_ref().map(|_| "sessionPersistence".to_owned())
}

fn redirected(redirect: &Redirect, winner: &Candidate<'_>, request: &Request, reading: Reading) -> Answer {
    let (status, location) = location(redirect, winner, request, reading);
    Answer::Redirect { status, location }
}

/// Where a redirect leads, and by which status.
fn location(redirect: &Redirect, winner: &Candidate<'_>, request: &Request, reading: Reading) -> (u16, Location) {
    let scheme = redirect.scheme.as_deref().unwrap_or("http");
    let port = match (redirect.port, &redirect.scheme) {
        (Some(port), _) => port,
        (None, Some(scheme)) => well_known_port(scheme).unwrap_or(request.port),
        (None, None) => request.port,
    };
    let path = redirect.path.as_ref().map_or_else(|| request.path.clone(), |path| modified(path, winner, &request.path, reading));
    let host = redirect.hostname.clone().unwrap_or_else(|| request.hostname());
    (redirect.status_code.unwrap_or(302), Location::new(scheme, &host, port, &with_query(&path, request.query.as_deref())))
}

/// A path after a path modifier.
fn modified(modifier: &PathModifier, winner: &Candidate<'_>, path: &str, reading: Reading) -> String {
    if let Some(full) = &modifier.replace_full_path {
        return if full.is_empty() { "/".to_owned() } else { full.clone() };
    }
    let (Some(to), Path::Prefix(prefix)) = (&modifier.replace_prefix_match, Path::of(winner.matches)) else { return path.to_owned() };
    replace_prefix(path, prefix, to, reading.slash)
}

/// Replaces a prefix by elements; neither slash at the end of the two means anything (HTTPPathModifier.ReplacePrefixMatch).
fn replace_prefix(path: &str, prefix: &str, to: &str, slash: Slash) -> String {
    // A match on an encoded path leaves no prefix to take off: then nothing is certain, and the path stays.
    let Some(rest) = path.strip_prefix(prefix.trim_end_matches('/')) else { return path.to_owned() };
    let result = format!("{}{rest}", to.trim_end_matches('/'));
    match (result.is_empty(), rest.is_empty() && slash == Slash::Kept && to.ends_with('/')) {
        (true, _) => "/".to_owned(),
        (false, true) => format!("{result}/"),
        (false, false) => result,
    }
}

/// Whether a backend may be used, exists and has the port.
fn valid(cluster: &Cluster, winner: &Candidate<'_>, backend: &BackendRef) -> bool {
    let service = backend.group.as_deref().unwrap_or_default().is_empty() && backend.kind.as_deref().is_none_or(|kind| kind == "Service");
    let namespace = namespace(winner, backend);
    let exists = cluster
        .service(namespace, &backend.name)
        .is_some_and(|service| backend.port.is_some_and(|port| service.spec.ports.iter().any(|it| it.port == port)));
    service && exists && granted(cluster, winner, namespace, &backend.name)
}

fn namespace<'a>(winner: &Candidate<'a>, backend: &'a BackendRef) -> &'a str {
    backend.namespace.as_ref().unwrap_or(&winner.route.metadata.namespace)
}

/// Whether the route may refer to that Service: in its own namespace always, elsewhere by a ReferenceGrant there.
fn granted(cluster: &Cluster, winner: &Candidate<'_>, namespace: &str, name: &str) -> bool {
    let own = &winner.route.metadata.namespace;
    own == namespace
        || cluster.grants.iter().filter(|grant| grant.metadata.namespace == namespace).any(|grant| {
            grant.spec.from.iter().any(|it| it.group == GROUP && it.kind == winner.route.kind.name() && it.namespace == *own)
                && grant
                    .spec
                    .to
                    .iter()
                    .any(|it| it.group.is_empty() && it.kind == "Service" && it.name.as_deref().is_none_or(|to| to == name))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gateway API v1.7.0, HTTPPathModifier.ReplacePrefixMatch: the whole table.
    #[test]
    fn prefixes_are_replaced_as_the_gateway_api_tabulates() {
        for (path, prefix, to, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
        ] {
            for slash in [Slash::Kept, Slash::Dropped] {
                assert_eq!(replace_prefix(path, prefix, to, slash), expected, "{path} {prefix} {to} {slash:?}");
            }
        }
        assert_eq!(replace_prefix("/foo", "/foo", "/xyz/", Slash::Kept), "/xyz/");
        assert_eq!(replace_prefix("/foo", "/foo", "/xyz/", Slash::Dropped), "/xyz");
        assert_eq!(replace_prefix("/foo", "/", "/xyz", Slash::Kept), "/xyz/foo");
    }

    #[test]
    fn a_port_that_the_scheme_implies_may_be_written_or_not() {
        assert_eq!(Location::parse("http://A.b:80/x?y"), Location::parse("http://a.b/x?y"));
        assert_eq!(Location::parse("http://a.b/x?"), Location::parse("http://a.b/x"));
        assert_ne!(Location::parse("https://a.b:80/x"), Location::parse("https://a.b/x"));
        assert_eq!(Location::parse("/x"), None);
    }
}
