//! Transforms: URLRewrite, and what redirects need of it.

use super::issue::Issue;
use crate::limit;
use crate::pattern;
use crate::stack::Transform;
use portico_providers::{PathMatch, PathModifier, RuleMatch, UrlRewrite};

/// The transforms of a URLRewrite filter. `field` is its path.
pub(super) fn rewrite(filter: &UrlRewrite, matches: &RuleMatch, field: &str) -> Result<Vec<Transform>, Vec<Issue>> {
    let mut transforms = Vec::new();
    let mut issues = Vec::new();
    if let Some(hostname) = &filter.hostname {
        transforms.push(Transform::HostHeaderRewrite { regex: "^.*$".into(), replace: hostname.clone() });
    }
    match &filter.path {
        None => {}
        Some(PathModifier::ReplaceFullPath(path)) => match replacement(path, &format!("{field}.path.replaceFullPath")) {
            Ok(()) => transforms.push(Transform::UrlRewrite { regex: "^[^?]*".into(), replace: rooted(path) }),
            Err(issue) => issues.push(issue),
        },
        Some(PathModifier::ReplacePrefixMatch(path)) => {
            let field = format!("{field}.path.replacePrefixMatch");
            match replacement(path, &field).and_then(|()| matched_prefix(matches, &field)) {
                Ok(prefix) => transforms.extend(prefix_rewrite(prefix, path)),
                Err(issue) => issues.push(issue),
            }
        }
    }
    if issues.is_empty() { Ok(transforms) } else { Err(issues) }
}

/// Replaces the prefix `from`, on whose element boundaries the rule's condition already insists. The four forms give every row of the Gateway API's table for
/// ReplacePrefixMatch. Nothing where the path stays as it is.
pub(super) fn prefix_rewrite(from: &str, to: &str) -> Option<Transform> {
    let (regex, replace) = match (from, to) {
        ("/", "" | "/") => return None,
        ("/", to) => ("^/".to_owned(), format!("{}/", to.trim_end_matches('/'))),
        (from, "") => (format!("^{}/?", pattern::escape(from)), "/".to_owned()),
        (from, to) if to.ends_with('/') => (format!("^{}/?", pattern::escape(from)), to.to_owned()),
        (from, to) => (format!("^{}", pattern::escape(from)), to.to_owned()),
    };
    Some(Transform::UrlRewrite { regex, replace })
}

/// The prefix that the rule matches; only a PathPrefix match has one (Gateway API).
pub(super) fn matched_prefix<'a>(matches: &'a RuleMatch, field: &str) -> Result<&'a str, Issue> {
    match matches {
        RuleMatch::Http(http) => match &http.path {
            PathMatch::Prefix(prefix) => Ok(prefix),
            _ => Err(Issue::invalid(
                field,
                "Only a PathPrefix match has a prefix to replace.",
                "Use replaceFullPath, or a PathPrefix match.",
            )),
        },
        _ => Err(Issue::invalid(field, "Only an HTTPRoute matches paths.", "Remove the filter.")),
    }
}

/// What an ALB can put in the place of a path. It has no way to write a `$` that is no group [undocumented, so refused].
pub(super) fn replacement(path: &str, field: &str) -> Result<(), Issue> {
    if path.contains(['$', '\\']) {
        let detail = "An ALB reads `$` and `\\` in a replacement as references to groups.";
        return Err(Issue::unsupported(field, detail, "Use a path without these characters, or percent-encode them as %24 and %5C."));
    }
    if !path.is_empty() && !path.starts_with('/') {
        return Err(Issue::invalid(field, "A path begins with `/`.", "Put `/` in front."));
    }
    if path.contains(['?', '#']) || !path.bytes().all(|b| (0x21..0x7f).contains(&b)) {
        return Err(Issue::invalid(
            field,
            "A path has no query, no fragment, and printable ASCII characters only.",
            "Percent-encode what is meant literally.",
        ));
    }
    if path.len() >= limit::TRANSFORM_LENGTH {
        return Err(Issue::unsupported(
            field,
            format!("An ALB's replacement has fewer than {} characters.", limit::TRANSFORM_LENGTH),
            "Use a shorter path.",
        ));
    }
    Ok(())
}

/// A path is never empty.
fn rooted(path: &str) -> String {
    if path.is_empty() { "/".to_owned() } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gateway API v1.7.0, HTTPPathModifier: the table of `replacePrefixMatch`, with a query and the prefix `/` besides.
    #[test]
    fn prefixes_are_replaced_as_the_gateway_api_tabulates() {
        for (request, prefix, to, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo?a=/foo", "/foo", "/xyz", "/xyz?a=/foo"),
            ("/foo?a=b", "/foo", "", "/?a=b"),
            ("/foo", "/", "/xyz", "/xyz/foo"),
            ("/foo", "/", "/xyz/", "/xyz/foo"),
            ("/a.b/c", "/a.b", "/d", "/d/c"),
        ] {
            let Some(Transform::UrlRewrite { regex, replace }) = prefix_rewrite(prefix, to) else { panic!("{prefix} to {to}: no rewrite") };
            let got = regex::Regex::new(&regex).unwrap().replace(request, replace.as_str()).into_owned();
            assert_eq!(got, expected, "{request}: {prefix} to {to}");
        }
        assert_eq!(prefix_rewrite("/", "/"), None);
    }
}
