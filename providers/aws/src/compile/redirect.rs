//! Redirects.

use super::condition::PathShare;
use super::issue::Issue;
use super::transform;
use crate::limit;
use crate::stack::{Redirect, RuleAction, Transform};
use portico_providers::{Hostname, PathModifier, RequestRedirect, RuleMatch};

/// A share of the rule's requests and where it is redirected to.
pub(super) struct Share {
    pub paths: PathShare,
    pub transforms: Vec<Transform>,
    pub action: RuleAction,
}

const KEEP_PATH: &str = "/#{path}";

/// The rules of a RequestRedirect filter on an HTTP listener, or with `https` on an HTTPS one. `field` is its path.
///
/// AWS: a redirect that changes none of protocol, host, port, path and query is refused, whatever a transform does. One that only replaces the prefix is
/// therefore written in two rules: one for the prefix itself, with a literal path, and one for what is below.
pub(super) fn compile(
    filter: &RequestRedirect,
    matches: &RuleMatch,
    hostname: Option<&Hostname>,
    listener_port: u16,
    https: bool,
    field: &str,
) -> Result<Vec<Share>, Vec<Issue>> {
    let mut issues = Vec::new();
    let status_code = filter.status_code;
    if !matches!(status_code, 301 | 302) {
        let detail = format!("An ALB redirects with 301 and 302 only; {status_code} is not one of them.");
        issues.push(Issue::unsupported(format!("{field}.statusCode"), detail, "Use 301 or 302."));
    }
    let protocol = match filter.scheme.as_deref() {
        None => "#{protocol}",
        Some("http") if https => {
            let detail = "An ALB does not redirect from HTTPS to HTTP.";
            issues.push(Issue::unsupported(format!("{field}.scheme"), detail, "Use https, or leave the scheme out."));
            "#{protocol}"
        }
        Some("http") => "HTTP",
        Some("https") => "HTTPS",
        Some(other) => {
            issues.push(Issue::unsupported(
                format!("{field}.scheme"),
                format!("An ALB does not redirect to {other:?}."),
                "Use http or https.",
            ));
            "#{protocol}"
        }
    };
    let port = match (filter.port, protocol) {
        (Some(port), _) => port.to_string(),
        (None, "HTTPS") => "443".to_owned(),
        (None, "HTTP") => "80".to_owned(),
        (None, _) => "#{port}".to_owned(),
    };
    let host = filter.hostname.clone().unwrap_or_else(|| "#{host}".to_owned());
    if host.len() > limit::REDIRECT_PART_LENGTH {
        let detail = format!("An ALB redirects to hosts of at most {} characters.", limit::REDIRECT_PART_LENGTH);
        issues.push(Issue::unsupported(format!("{field}.hostname"), detail, "Use a shorter hostname."));
    }
    let moves = (protocol == "HTTPS" && !https) || filter.hostname.is_some() || (port != "#{port}" && port != listener_port.to_string());
    let base =
        Redirect { protocol: protocol.to_owned(), host, port, path: KEEP_PATH.to_owned(), query: "#{query}".to_owned(), status_code };
    let shares = match &filter.path {
        None if moves => Ok(vec![whole(base, Vec::new())]),
        None => Err(Issue::invalid(field, "The redirect leads to where the request already is.", "Change scheme, hostname, port or path.")),
        Some(PathModifier::ReplaceFullPath(path)) => {
            literal_path(path, &format!("{field}.path.replaceFullPath")).map(|path| vec![whole(Redirect { path, ..base }, Vec::new())])
        }
        Some(PathModifier::ReplacePrefixMatch(to)) => {
            let field = format!("{field}.path.replacePrefixMatch");
            transform::replacement(to, &field).and_then(|()| transform::matched_prefix(matches, &field)).and_then(|from| {
                if moves {
                    Ok(vec![whole(base, transform::prefix_rewrite(from, to).into_iter().collect())])
                } else {
                    prefix_only(base, from, to, hostname, &field)
                }
            })
        }
    };
    match shares {
        Ok(shares) if issues.is_empty() => Ok(shares),
        Ok(_) => Err(issues),
        Err(issue) => {
            issues.push(issue);
            Err(issues)
        }
    }
}

fn whole(redirect: Redirect, transforms: Vec<Transform>) -> Share {
    Share { paths: PathShare::Whole, transforms, action: RuleAction::Redirect(redirect) }
}

fn prefix_only(base: Redirect, from: &str, to: &str, hostname: Option<&Hostname>, field: &str) -> Result<Vec<Share>, Issue> {
    let target = to.trim_end_matches('/');
    if from == "/" {
        if target.is_empty() {
            return Err(Issue::invalid(
                field,
                "The redirect leads to where the request already is.",
                "Change scheme, hostname, port or path.",
            ));
        }
        let path = placeholder_path(target, field)?;
        return Ok(vec![whole(Redirect { path, ..base }, Vec::new())]);
    }
    // With and without a slash at the end of what replaces the prefix: `/old` becomes `/new/` or `/new`, `/old/x` becomes `/new/x` both times.
    let itself = literal_path(if to.is_empty() { "/" } else { to }, field)?;
    let below = if target.is_empty() {
        // Nothing of the redirect is left to change but the host, which may be written out where the rule has exactly one.
        let host = hostname
            .filter(|name| !name.is_wildcard())
            .map(|name| name.as_str().to_owned())
            .filter(|name| name.len() <= limit::REDIRECT_PART_LENGTH);
        let Some(host) = host else {
            let detail = "An ALB cannot redirect from a prefix to `/` where nothing else changes and the hostname is not fixed.";
            return Err(Issue::unsupported(field, detail, "Give the route one exact hostname, or change scheme, hostname or port too."));
        };
        Redirect { host, ..base.clone() }
    } else {
        Redirect { path: placeholder_path(target, field)?, ..base.clone() }
    };
    let strip = Transform::UrlRewrite { regex: format!("^{}/([^?]*)", crate::pattern::escape(from)), replace: "/$1".to_owned() };
    Ok(vec![
        Share { paths: PathShare::Prefix, transforms: Vec::new(), action: RuleAction::Redirect(Redirect { path: itself, ..base }) },
        Share { paths: PathShare::Below, transforms: vec![strip], action: RuleAction::Redirect(below) },
    ])
}

/// `/new/#{path}`.
fn placeholder_path(target: &str, field: &str) -> Result<String, Issue> {
    literal_path(target, field)?;
    let path = format!("{target}{KEEP_PATH}");
    check_length(&path, field).map(|()| path)
}

/// A path in which no placeholder hides.
fn literal_path(path: &str, field: &str) -> Result<String, Issue> {
    if path.contains("#{") {
        return Err(Issue::unsupported(field, "An ALB reads `#{…}` in a redirect as a placeholder.", "Use a path without it."));
    }
    if !path.starts_with('/') {
        return Err(Issue::invalid(field, "A path begins with `/`.", "Put `/` in front."));
    }
    check_length(path, field).map(|()| path.to_owned())
}

fn check_length(path: &str, field: &str) -> Result<(), Issue> {
    if path.len() <= limit::REDIRECT_PART_LENGTH {
        return Ok(());
    }
    Err(Issue::unsupported(
        field,
        format!("An ALB redirects to paths of at most {} characters.", limit::REDIRECT_PART_LENGTH),
        "Use a shorter path.",
    ))
}
