//! Rules of a listener: conditions, transforms, action.

use crate::matcher::Matcher;
use portico_providers::{ResourceId, Source, TargetSetId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A rule of a listener.
///
/// It has a rank, not a priority: the diff gives priorities with gaps, so that a rule put between two others costs one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// `rule/PORT/ROUTE-KIND/NAMESPACE/NAME/RULE/MATCH[/PART][@HOSTNAME]`; for people and plans. In AWS a rule is known by what it says. A rule for several matches or
    /// hostnames has the id that the first of them would have alone.
    pub id: ResourceId,
    /// Position within the listener: 0 is tried first.
    pub rank: u32,
    /// All must hold; at least one (AWS). In canonical order.
    pub conditions: Vec<Condition>,
    /// Changes of the request on its way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transforms: Vec<Transform>,
    /// What becomes of the request.
    pub action: RuleAction,
    /// The matches of a route's rule that it serves, or the listener.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

/// A condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Condition {
    /// The Host header; plain values ignore case and know `*` and `?`.
    HostHeader(Patterns),
    /// The path without its query; plain values know `*` (also across `/`) and `?`.
    PathPattern(Patterns),
    /// A header; plain values ignore case.
    #[serde(rename_all = "camelCase")]
    HttpHeader {
        /// Name, lower case.
        name: String,
        /// One of these must match.
        patterns: Patterns,
    },
    /// The method.
    HttpRequestMethod(Vec<String>),
    /// The query; names and values ignore case.
    QueryString(Vec<QueryPattern>),
    /// The peer's address.
    SourceIp(Vec<String>),
    /// Something that this version of Portico never writes; only ever seen in the cloud.
    Foreign(String),
}

impl Condition {
    /// How much of the five values per rule it uses up.
    pub fn value_count(&self) -> usize {
        match self {
            Self::HostHeader(patterns) | Self::PathPattern(patterns) | Self::HttpHeader { patterns, .. } => patterns.len(),
            Self::HttpRequestMethod(values) | Self::SourceIp(values) => values.len(),
            Self::QueryString(values) => values.len(),
            Self::Foreign(_) => 0,
        }
    }
}

/// Values of a condition: AWS takes one kind per condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Patterns {
    /// Plain values with `*` and `?`.
    Values(Vec<String>),
    /// Regular expressions, always anchored by us: AWS does not say whether it anchors.
    RegexValues(Vec<String>),
}

impl Patterns {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Values(values) | Self::RegexValues(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One value of a query condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryPattern {
    /// Name; absent for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Value.
    pub value: String,
}

/// A transform; at most one of each kind per rule, with one replacement (AWS).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Transform {
    /// Replaces in the Host header.
    HostHeaderRewrite {
        /// What is replaced.
        regex: String,
        /// By what; `$1` stands for the first group.
        replace: String,
    },
    /// Replaces in path and query.
    UrlRewrite {
        /// What is replaced.
        regex: String,
        /// By what; `$1` stands for the first group.
        replace: String,
    },
    /// Something that this version of Portico never writes; only ever seen in the cloud.
    Foreign(String),
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RuleAction {
    /// Sends it to target groups.
    Forward(Forward),
    /// Answers with a redirect.
    Redirect(Redirect),
    /// Answers with a fixed response.
    FixedResponse(FixedResponse),
    /// Something that this version of Portico never writes; only ever seen in the cloud.
    Foreign(String),
}

impl RuleAction {
    /// A response without a body.
    pub fn status(code: u16) -> Self {
        Self::FixedResponse(FixedResponse { status_code: code, content_type: "text/plain".into(), message_body: String::new() })
    }

    /// The target groups that it names.
    pub fn target_groups(&self) -> impl Iterator<Item = &TargetSetId> {
        let targets = match self {
            Self::Forward(forward) => forward.target_groups.as_slice(),
            _ => &[],
        };
        targets.iter().map(|target| &target.target_group)
    }
}

/// `forward`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forward {
    /// One to five (AWS), ordered by name, no name twice.
    pub target_groups: Vec<ForwardTarget>,
}

/// A target group with its weight.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardTarget {
    /// Name of the target group.
    pub target_group: TargetSetId,
    /// 0–999 (AWS).
    pub weight: u32,
}

/// `redirect`; every part is written out, since AWS fills in what is left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// `HTTP`, `HTTPS` or `#{protocol}`.
    pub protocol: String,
    /// Host or `#{host}`.
    pub host: String,
    /// Port or `#{port}`.
    pub port: String,
    /// Path, starting with `/`.
    pub path: String,
    /// Query without `?`.
    pub query: String,
    /// 301 or 302 (AWS).
    pub status_code: u16,
}

/// `fixed-response`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FixedResponse {
    /// 2xx, 4xx or 5xx (AWS).
    pub status_code: u16,
    /// Content type.
    pub content_type: String,
    /// At most 1024 characters (AWS).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message_body: String,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostHeader(patterns) => write!(f, "host {}", Matcher::shown_hosts(patterns)),
            Self::PathPattern(patterns) => write!(f, "path {patterns}"),
            Self::HttpHeader { name, patterns } => write!(f, "header {name} {patterns}"),
            Self::HttpRequestMethod(values) => write!(f, "method {}", values.join("|")),
            Self::QueryString(values) => {
                let pairs: Vec<_> = values.iter().map(|q| format!("{}={}", q.key.as_deref().unwrap_or("*"), q.value)).collect();
                write!(f, "query {}", pairs.join("|"))
            }
            Self::SourceIp(values) => write!(f, "source {}", values.join("|")),
            Self::Foreign(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values(values) => f.write_str(&values.join("|")),
            Self::RegexValues(values) => write!(f, "~ {}", values.join(" | ")),
        }
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostHeaderRewrite { replace, .. } => write!(f, "host becomes {replace}"),
            Self::UrlRewrite { regex, replace } => write!(f, "URL {regex} becomes {replace}"),
            Self::Foreign(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for RuleAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward(Forward { target_groups }) => match target_groups.as_slice() {
                [only] => write!(f, "forward to {}", only.target_group),
                several => {
                    let shares: Vec<_> = several.iter().map(|t| format!("{} × {}", t.weight, t.target_group)).collect();
                    write!(f, "forward to {}", shares.join(", "))
                }
            },
            Self::Redirect(to) => {
                write!(f, "redirect {} to {}://{}:{}{}", to.status_code, to.protocol, to.host, to.port, to.path)?;
                if to.query.is_empty() { Ok(()) } else { write!(f, "?{}", to.query) }
            }
            Self::FixedResponse(response) => write!(f, "answer {}", response.status_code),
            Self::Foreign(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_read_as_names_where_they_are_some() {
        let shown = |regex: &str| Condition::HostHeader(Patterns::RegexValues(vec![regex.into()])).to_string();
        assert_eq!(shown(r"^a\.example\.com(:[0-9]+)?$"), "host a.example.com");
        assert_eq!(shown(r"^[^:]+\.example\.com(:[0-9]+)?$"), "host *.example.com");
        assert_eq!(shown(r"^(a\.org|[^:]+\.b\.org)(:[0-9]+)?$"), "host a.org|*.b.org");
        assert_eq!(shown(r"^a.*\.com(:[0-9]+)?$"), r"host ~ ^a.*\.com(:[0-9]+)?$");
    }
}
