//! Redirects.

use super::issue::Issue;
use super::matching::exact_header;
use super::rewrite::PathRewrite;
use super::route::Place;
use crate::stack::matcher::StringMatcher;
use crate::stack::route::{HeaderMatcher, RedirectAction, RedirectResponseCode, RouteMatch};
use portico_providers::{RequestRedirect, RuleMatch};

/// The redirects of a RequestRedirect filter, each with what its requests must look like besides. `field` is the filter's path.
///
/// Gateway API: the port is the filter's, else the well-known one of its scheme, else the listener's; a `Location` leaves the well-known port out. Envoy keeps the port of
/// the request's Host unless it is told another one, and would write that out. So where the host is known it is written without a port; where it is not, a Host
/// with a port is redirected to the port in full, which leads to the same place.
pub(super) fn compile(
    filter: &RequestRedirect,
    matches: &RuleMatch,
    place: &Place<'_>,
    field: &str,
) -> Result<Vec<(Vec<HeaderMatcher>, RedirectAction)>, Issue> {
    let response_code = match filter.status_code {
        301 => RedirectResponseCode::MovedPermanently,
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        other => {
            let detail = format!("Envoy does not redirect with {other}");
            return Err(Issue::unsupported(format!("{field}.statusCode"), detail, "Use 301, 302, 303, 307 or 308."));
        }
    };
    let own = if place.https { "https" } else { "http" };
    let scheme = match filter.scheme.as_deref() {
        None => own,
        Some(scheme @ ("http" | "https")) => scheme,
        Some(other) => {
            let detail = format!("{other:?} is no scheme of HTTP");
            return Err(Issue::invalid(format!("{field}.scheme"), detail, "Use http or https."));
        }
    };
    let well_known = if scheme == "https" { 443 } else { 80 };
    let port = filter.port.unwrap_or(if filter.scheme.is_some() { well_known } else { place.port });
    let mut action = RedirectAction {
        response_code: response_code.into(),
        scheme_redirect: filter.scheme.clone(),
        host_redirect: filter.hostname.clone().unwrap_or_default(),
        ..RedirectAction::default()
    };
    let path = filter.path.as_ref().map(|path| PathRewrite::of(path, matches, &format!("{field}.path"))).transpose()?;
    match path.flatten() {
        None => {}
        Some(PathRewrite::Prefix(prefix)) => action.prefix_rewrite = Some(prefix),
        Some(PathRewrite::Regex(regex)) => action.regex_rewrite = Some(regex),
        Some(PathRewrite::Full(path)) => action.path_redirect = Some(path),
    }
    if port != well_known {
        action.port_redirect = u32::from(port);
        return Ok(vec![(Vec::new(), action)]);
    }
    if action.host_redirect.is_empty()
        && let Some(host) = place.hostname.filter(|host| !host.is_wildcard())
    {
        action.host_redirect = host.as_str().to_owned();
    }
    if !action.host_redirect.is_empty() {
        return Ok(vec![(Vec::new(), action)]);
    }
    let with_port =
        HeaderMatcher { name: ":authority".into(), string_match: Some(StringMatcher::pattern(".*:[0-9]+")), ..HeaderMatcher::default() };
    let in_full = RedirectAction { port_redirect: u32::from(port), ..action.clone() };
    Ok(vec![(vec![with_port], in_full), (Vec::new(), action)])
}

/// A further condition of a match.
pub(super) fn narrowed(matches: &RouteMatch, headers: Vec<HeaderMatcher>) -> RouteMatch {
    let mut narrowed = matches.clone();
    narrowed.headers.extend(headers);
    narrowed
}

/// The match of the preflight request that a browser sends before a request with the method of this match; nothing where the match takes it anyway.
pub(super) fn preflight(matches: &RouteMatch) -> Option<RouteMatch> {
    let method = matches.headers.iter().find(|header| header.name == ":method")?;
    let wanted = method.string_match.as_ref()?.exact.clone().filter(|wanted| wanted != "OPTIONS")?;
    let mut preflight = matches.clone();
    preflight.headers.retain(|header| header.name != ":method");
    preflight.headers.push(exact_header(":method", "OPTIONS"));
    preflight.headers.push(exact_header("access-control-request-method", &wanted));
    Some(preflight)
}
