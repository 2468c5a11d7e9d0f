//! Session persistence.

use super::issue::Issue;
use super::{header, rule_field};
use crate::re2;
use crate::stack::TypedConfig;
use crate::stack::core::{Duration, HeaderAppendAction, TypedExtensionConfig};
use crate::stack::http::{CookieBasedSessionState, HeaderBasedSessionState, SessionCookie, StatefulSession, StatefulSessionPerRoute};
use crate::stack::matcher::{RegexMatcher, StringMatcher};
use crate::stack::route::{HeaderMatcher, Route};
use portico_providers::{PlanRule, SessionPersistence, SessionPersistenceKind, stable_hash};
use std::time;

/// Name of the HTTP filter.
pub(super) const FILTER: &str = "envoy.filters.http.stateful_session";

/// Lets the route to one backend keep sessions, and says what of that Envoy cannot.
pub(super) fn apply(rule: &PlanRule, route: &mut Route) -> Vec<Issue> {
    let Some(session) = &rule.session_persistence else { return Vec::new() };
    let field = |name: &str| rule_field(rule, &format!("sessionPersistence.{name}"));
    let mut issues = Vec::new();
    if session.idle_timeout.is_some() {
        let detail = "Envoy's sessions end by age and not by idleness";
        issues.push(Issue::unsupported(field("idleTimeout"), detail, "Use absoluteTimeout with a permanent cookie."));
    }
    if session.absolute_timeout.is_some() && session.kind != SessionPersistenceKind::PermanentCookie {
        let detail = "Envoy gives an age to permanent cookies only";
        issues.push(Issue::unsupported(field("absoluteTimeout"), detail, "Use a permanent cookie, or leave absoluteTimeout out."));
    }
    let state = state(session, name(rule, session), age(session));
    let per_route = StatefulSessionPerRoute { stateful_session: Some(StatefulSession { session_state: Some(state) }) };
    route.typed_per_filter_config.insert(FILTER.to_owned(), per_route.into());
    issues
}

/// How a session stays at one of several backends. Envoy's sessions know endpoints and not the cluster that one is in, so that a second cookie says which backend it is:
/// requests that bring it have a route of their own.
pub(super) struct Pin {
    cookie: String,
    attributes: String,
}

impl Pin {
    /// The second cookie of a rule's sessions; none if it has no sessions. One that is told by a header cannot have it.
    pub fn of(rule: &PlanRule) -> Result<Option<Self>, Issue> {
        let Some(session) = &rule.session_persistence else { return Ok(None) };
        if session.kind == SessionPersistenceKind::Header {
            let detail = "Envoy keeps a session that is told by a header at one of several backends by chance only";
            let field = rule_field(rule, "sessionPersistence.type");
            return Err(Issue::unsupported(field, detail, "Use a cookie, or one backend."));
        }
        let age = age(session).map(|age| format!("; Max-Age={}", age.as_secs())).unwrap_or_default();
        let attributes = format!("; Path={}{age}; HttpOnly", path(session));
        Ok(Some(Self { cookie: format!("{}-backend", name(rule, session)), attributes }))
    }

    /// What the requests look like that bring the cookie of a backend, which is known by its cluster.
    pub fn brought(&self, cluster: &str) -> HeaderMatcher {
        let pair = re2::escape(&format!("{}={}", self.cookie, value(cluster)));
        let regex = RegexMatcher { regex: format!("(.*; ?)?{pair}(;.*)?") };
        let string_match = Some(StringMatcher { safe_regex: Some(regex), ..StringMatcher::default() });
        HeaderMatcher { name: "cookie".into(), string_match, ..HeaderMatcher::default() }
    }

    /// Gives the cookie to the clients whose session begins on a route.
    pub fn begin(&self, cluster: &str, route: &mut Route) {
        let text = format!("{}={}{}", self.cookie, value(cluster), self.attributes);
        route.response_headers_to_add.push(header::option("set-cookie", &text, HeaderAppendAction::Append));
    }
}

fn value(cluster: &str) -> String {
    stable_hash(&[cluster], 10)
}

fn name(rule: &PlanRule, session: &SessionPersistence) -> String {
    session.session_name.clone().unwrap_or_else(|| default_name(rule, session.kind))
}

/// How long a session lasts at most.
fn age(session: &SessionPersistence) -> Option<time::Duration> {
    session.absolute_timeout.filter(|_| session.kind == SessionPersistenceKind::PermanentCookie)
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
