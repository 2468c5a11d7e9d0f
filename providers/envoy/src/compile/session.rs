//! Session persistence.

use super::issue::Issue;
use super::rule_field;
use crate::stack::TypedConfig;
use crate::stack::core::{Duration, TypedExtensionConfig};
use crate::stack::http::{CookieBasedSessionState, HeaderBasedSessionState, SessionCookie, StatefulSession, StatefulSessionPerRoute};
use crate::stack::route::{HashCookie, HashPolicy, Route};
use portico_providers::{PlanRule, SessionPersistence, SessionPersistenceKind, stable_hash};
use std::time;

/// Name of the HTTP filter.
pub(super) const FILTER: &str = "envoy.filters.http.stateful_session";

/// Lets a route keep sessions, and says what of that Envoy cannot. With several backends by weight a second cookie says which of them a session is at.
pub(super) fn apply(rule: &PlanRule, route: &mut Route, weighted: bool) -> Vec<Issue> {
    let Some(session) = &rule.session_persistence else { return Vec::new() };
    let field = |name: &str| rule_field(rule, &format!("sessionPersistence.{name}"));
    let mut issues = Vec::new();
    if session.idle_timeout.is_some() {
        let detail = "Envoy's sessions end by age and not by idleness";
        issues.push(Issue::unsupported(field("idleTimeout"), detail, "Use absoluteTimeout with a permanent cookie."));
    }
    let permanent = session.kind == SessionPersistenceKind::PermanentCookie;
    if session.absolute_timeout.is_some() && !permanent {
        let detail = "Envoy gives an age to permanent cookies only";
        issues.push(Issue::unsupported(field("absoluteTimeout"), detail, "Use a permanent cookie, or leave absoluteTimeout out."));
    }
    let name = session.session_name.clone().unwrap_or_else(|| default_name(rule, session.kind));
    let ttl = session.absolute_timeout.filter(|_| permanent);
    if weighted {
        if session.kind == SessionPersistenceKind::Header {
            let detail = "Envoy keeps a session that is told by a header at one of several backends with weights by chance only";
            issues.push(Issue::unsupported(field("type"), detail, "Use a cookie, or one backend."));
        } else if let Some(action) = &mut route.route
            && let Some(clusters) = &mut action.weighted_clusters
        {
            clusters.use_hash_policy = Some(true);
            // Envoy sets this cookie itself where a request has none; without an age it would not.
            let cookie =
                HashCookie { name: format!("{name}-backend"), ttl: Some(ttl.unwrap_or_default().into()), path: path(session).to_owned() };
            action.hash_policy = vec![HashPolicy { cookie: Some(cookie) }];
        }
    }
    let state = state(session, name, ttl);
    let per_route = StatefulSessionPerRoute { stateful_session: Some(StatefulSession { session_state: Some(state) }) };
    route.typed_per_filter_config.insert(FILTER.to_owned(), per_route.into());
    issues
}

fn state(session: &SessionPersistence, name: String, ttl: Option<time::Duration>) -> TypedExtensionConfig {
    let (extension, config): (_, TypedConfig) = match session.kind {
        SessionPersistenceKind::SessionCookie | SessionPersistenceKind::PermanentCookie => {
            let cookie = SessionCookie { name, ttl: ttl.map(Duration::from), path: path(session).to_owned() };
            ("envoy.http.stateful_session.cookie", CookieBasedSessionState { cookie: Some(cookie) }.into())
        }
        SessionPersistenceKind::Header => ("envoy.http.stateful_session.header", HeaderBasedSessionState { name }.into()),
    };
    TypedExtensionConfig { name: extension.into(), typed_config: Some(config) }
}

fn path(session: &SessionPersistence) -> &str {
    session.cookie_path.as_deref().unwrap_or("/")
}

/// A name of the rule's own: rules that share one would send each other's clients elsewhere.
fn default_name(rule: &PlanRule, kind: SessionPersistenceKind) -> String {
    let hash = stable_hash(&[&rule.id.route.to_string(), &rule.id.rule.to_string()], 10);
    if kind == SessionPersistenceKind::Header { format!("x-portico-session-{hash}") } else { format!("portico-session-{hash}") }
}
