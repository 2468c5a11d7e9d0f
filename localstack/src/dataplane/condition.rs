//! Conditions of rules, compiled, and the view of a request that they look at.

use std::{borrow::Cow, net::IpAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use regex::bytes::Regex;

use super::{
    config::{Condition, Patterns},
    pattern::{Escapes, Glob, compile_regex},
};

/// What conditions see of a request.
#[derive(Debug)]
pub(super) struct RequestView<'a> {
    pub(super) method: &'a str,
    /// In lower case, without the port if that is the listener's.
    pub(super) host: Cow<'a, str>,
    /// Without the query, dot segments removed, percent-encoding untouched.
    pub(super) path: Cow<'a, str>,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) peer: IpAddr,
}

/// A compiled condition.
#[derive(Debug)]
pub(super) enum Matcher {
    Host(TextMatcher),
    Path(TextMatcher),
    Header {
        name: HeaderName,
        values: TextMatcher,
    },
    Method(Box<[String]>),
    Query(Box<[(Option<Glob>, Glob)]>),
    Source(Box<[IpNet]>),
    /// A condition that cannot hold, such as one with an invalid header name.
    Never,
}

/// Alternatives of which one must match.
#[derive(Debug)]
pub(super) enum TextMatcher {
    Globs(Box<[Glob]>),
    Regexes(Box<[Regex]>),
}

impl TextMatcher {
    fn new(patterns: &Patterns, ignore_case: bool, escapes: Escapes) -> Result<Self, regex::Error> {
        Ok(match patterns {
            Patterns::Globs(globs) => Self::Globs(globs.iter().map(|glob| Glob::new(glob, ignore_case, escapes)).collect()),
            Patterns::Regexes(regexes) => Self::Regexes(regexes.iter().map(|regex| compile_regex(regex)).collect::<Result<_, _>>()?),
        })
    }

    fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Globs(globs) => globs.iter().any(|glob| glob.matches(text)),
            Self::Regexes(regexes) => regexes.iter().any(|regex| regex.is_match(text)),
        }
    }
}

impl Matcher {
    /// Compiles a condition.
    ///
    /// # Errors
    ///
    /// When a regular expression is not valid. The control plane refuses those, so that a rule in force has none.
    pub(super) fn new(condition: &Condition) -> Result<Self, regex::Error> {
        Ok(match condition {
            Condition::HostHeader(patterns) => Self::Host(TextMatcher::new(patterns, true, Escapes::None)?),
            Condition::PathPattern(patterns) => Self::Path(TextMatcher::new(patterns, false, Escapes::None)?),
            Condition::HttpHeader { name, values } => match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => Self::Header { name, values: TextMatcher::new(values, true, Escapes::Backslash)? },
                Err(_) => Self::Never,
            },
            Condition::HttpRequestMethod(methods) => Self::Method(methods.clone().into()),
            Condition::QueryString(pairs) => Self::Query(
                pairs
                    .iter()
                    .map(|pair| {
                        let glob = |text: &str| Glob::new(text, true, Escapes::Backslash);
                        (pair.key.as_deref().map(glob), glob(&pair.value))
                    })
                    .collect(),
            ),
            Condition::SourceIp(sources) => Self::Source(sources.clone().into()),
        })
    }

    /// Whether the condition holds for a request.
    pub(super) fn matches(&self, request: &RequestView<'_>) -> bool {
        match self {
            Self::Host(hosts) => hosts.matches(request.host.as_bytes()),
            Self::Path(paths) => paths.matches(request.path.as_bytes()),
            Self::Header { name, values } => request.headers.get_all(name).iter().any(|line| values.matches(line.as_bytes())),
            Self::Method(methods) => methods.iter().any(|method| method == request.method),
            Self::Query(patterns) => query_pairs(request.query).any(|(key, value)| {
                patterns.iter().any(|(key_pattern, value_pattern)| {
                    key_pattern.as_ref().is_none_or(|pattern| pattern.matches(key)) && value_pattern.matches(value)
                })
            }),
            Self::Source(sources) => sources.iter().any(|source| source.contains(&request.peer)),
            Self::Never => false,
        }
    }
}

/// The pairs of a query as they were sent, nothing decoded. A pair without `=` has an empty value.
fn query_pairs(query: Option<&str>) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key.as_bytes(), value.as_bytes())
    })
}

/// The path that rules look at: `.` and `..` segments resolved, empty segments kept.
pub(super) fn resolve_dot_segments(path: &str) -> Cow<'_, str> {
    if !path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                // A final dot segment names a folder: `/a/.` is `/a/`.
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    Cow::Owned(format!("/{}", kept.join("/")))
}

/// The host that rules look at: in lower case, the port left out if it is the listener's.
///
/// `own_ports` are the ports under which the client reaches the listener: the configured one and a stand-in.
pub(super) fn host_for_matching(host: &str, own_ports: [u16; 2]) -> Cow<'_, str> {
    let (name, port) = split_port(host);
    let text = match port {
        Some(port) if port.parse::<u16>().is_ok_and(|port| own_ports.contains(&port)) => name,
        _ => host,
    };
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) { Cow::Owned(text.to_ascii_lowercase()) } else { Cow::Borrowed(text) }
}

/// Splits `name:port`; IPv6 addresses keep their brackets.
pub(super) fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) => {
            (name, Some(port))
        }
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests;
