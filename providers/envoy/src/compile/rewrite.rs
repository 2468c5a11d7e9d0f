//! URL rewrites, and what redirects need of them.

use super::issue::Issue;
use crate::re2;
use crate::stack::matcher::{RegexMatchAndSubstitute, RegexMatcher};
use crate::stack::route::RouteAction;
use portico_providers::{PathMatch, PathModifier, RuleMatch, UrlRewrite};

/// How a path is changed, in one of the ways that Envoy has.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PathRewrite {
    /// What the route matched is replaced.
    Prefix(String),
    /// What a pattern matches is replaced.
    Regex(RegexMatchAndSubstitute),
    /// The whole path is replaced.
    Full(String),
}

impl PathRewrite {
    /// What comes of a modifier; nothing where the path stays as it is.
    pub fn of(modifier: &PathModifier, matches: &RuleMatch, field: &str) -> Result<Option<Self>, Issue> {
        match modifier {
            PathModifier::ReplaceFullPath(path) => {
                let field = format!("{field}.replaceFullPath");
                check(path, &field)?;
                Ok(Some(Self::Full(if path.is_empty() { "/".to_owned() } else { path.clone() })))
            }
            PathModifier::ReplacePrefixMatch(path) => {
                let field = format!("{field}.replacePrefixMatch");
                check(path, &field)?;
                Ok(Self::prefix(matched_prefix(matches, &field)?, path))
            }
        }
    }

    /// Replaces the prefix `from`, on whose element boundaries the route's match already insists. The forms give every row of the Gateway API's table for
    /// ReplacePrefixMatch.
    fn prefix(from: &str, to: &str) -> Option<Self> {
        match (from, to) {
            ("/", "" | "/") => None,
            ("/", to) => Some(Self::Prefix(format!("{}/", to.trim_end_matches('/')))),
            // An empty replacement means none to Envoy, and one with a slash at its end would leave two.
            (from, to) if to.is_empty() || to.ends_with('/') => {
                let to = if to.is_empty() { "/" } else { to };
                Some(Self::Regex(substitute(&format!("^{}/?", re2::escape(from)), to)))
            }
            (_, to) => Some(Self::Prefix(to.to_owned())),
        }
    }
}

/// Applies a URLRewrite filter. `field` is its path.
pub(super) fn apply(filter: &UrlRewrite, matches: &RuleMatch, action: &mut RouteAction, field: &str) -> Result<(), Issue> {
    if let Some(hostname) = &filter.hostname {
        action.host_rewrite_literal = Some(hostname.clone());
    }
    let rewrite = filter.path.as_ref().map(|path| PathRewrite::of(path, matches, &format!("{field}.path"))).transpose()?;
    match rewrite.flatten() {
        None => {}
        Some(PathRewrite::Prefix(prefix)) => action.prefix_rewrite = prefix,
        Some(PathRewrite::Regex(regex)) => action.regex_rewrite = Some(regex),
        Some(PathRewrite::Full(path)) => action.regex_rewrite = Some(substitute("^/.*$", &path)),
    }
    Ok(())
}

fn substitute(pattern: &str, text: &str) -> RegexMatchAndSubstitute {
    RegexMatchAndSubstitute {
        pattern: Some(RegexMatcher { regex: pattern.to_owned() }),
        // A backslash would refer to a group.
        substitution: text.replace('\\', "\\\\"),
    }
}

/// The prefix that the rule matches; only a PathPrefix match has one (Gateway API).
fn matched_prefix<'a>(matches: &'a RuleMatch, field: &str) -> Result<&'a str, Issue> {
    match matches {
        RuleMatch::Http(http) => match &http.path {
            PathMatch::Prefix(prefix) if prefix == "/" => Ok(prefix),
            PathMatch::Prefix(prefix) => Ok(prefix.trim_end_matches('/')),
            _ => {
                Err(Issue::invalid(field, "only a PathPrefix match has a prefix to replace", "Use replaceFullPath, or a PathPrefix match."))
            }
        },
        _ => Err(Issue::invalid(field, "only an HTTPRoute matches paths", "Remove the filter.")),
    }
}

fn check(path: &str, field: &str) -> Result<(), Issue> {
    if !path.is_empty() && !path.starts_with('/') {
        return Err(Issue::invalid(field, "a path begins with `/`", "Put `/` in front."));
    }
    if path.contains(['?', '#']) || !path.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
        let detail = "a path has no query, no fragment, and printable ASCII characters only";
        return Err(Issue::invalid(field, detail, "Percent-encode what is meant literally."));
    }
    Ok(())
}
