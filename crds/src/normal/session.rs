//! Stickiness (experimental channel).

use std::time::Duration;

use serde_json::Value;

use crate::{CutScope, Defect};

/// Stickiness of a rule (experimental).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPersistence {
    /// Name of the cookie or header; absent leaves it to the implementation.
    pub session_name: Option<String>,
    /// How the session is carried; a cookie by default.
    pub r#type: SessionPersistenceType,
    /// How long a session lasts at most.
    pub absolute_timeout: Option<Duration>,
    /// How long a session lasts without requests.
    pub idle_timeout: Option<Duration>,
    /// How long a cookie lives; a session by default.
    pub cookie_lifetime: CookieLifetime,
    /// Path attribute of the cookie; absent means `/`.
    pub cookie_path: Option<String>,
}

/// How a session is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionPersistenceType {
    /// In a cookie.
    #[default]
    Cookie,
    /// In a header.
    Header,
}

/// How long a session cookie lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieLifetime {
    /// Until the client's session ends.
    #[default]
    Session,
    /// Until the absolute timeout.
    Permanent,
}

/// Converts one of the generator's types.
macro_rules! session_persistence {
    ($from:expr, $path:expr, $defects:expr, $module:ident, $type:ident, $lifetime:ident) => {
        $from.as_ref().map(|it| crate::normal::SessionPersistence {
            session_name: it.session_name.clone(),
            r#type: match it.r#type {
                None | Some(gateway_api::experimental::$module::$type::Cookie) => crate::normal::SessionPersistenceType::Cookie,
                Some(gateway_api::experimental::$module::$type::Header) => crate::normal::SessionPersistenceType::Header,
            },
            absolute_timeout: crate::normal::route::duration(
                it.absolute_timeout.as_ref(),
                format!("{}.sessionPersistence.absoluteTimeout", $path),
                $defects,
            ),
            idle_timeout: crate::normal::route::duration(
                it.idle_timeout.as_ref(),
                format!("{}.sessionPersistence.idleTimeout", $path),
                $defects,
            ),
            cookie_path: None,
            cookie_lifetime: match it.cookie_config.as_ref().and_then(|cookie| cookie.lifetime_type.as_ref()) {
                None | Some(gateway_api::experimental::$module::$lifetime::Session) => crate::normal::CookieLifetime::Session,
                Some(gateway_api::experimental::$module::$lifetime::Permanent) => crate::normal::CookieLifetime::Permanent,
            },
        })
    };
}
pub(super) use session_persistence;

/// Reads the names that Gateway API v1.7.0 gave to what had others before: `cookie` with name, path and lifetime, and `header` with its name.
pub(super) fn complete(session: &mut SessionPersistence, raw: &Value, path: &str, defects: &mut Vec<Defect>) {
    for section in ["cookie", "header"] {
        if let Some(other) = raw.get(section).filter(|it| !it.is_null() && !it.is_object()) {
            defects.push(defect(format!("{path}.{section}"), other, "it is not an object"));
        }
    }
    let mut text = |section: &str, field: &str| match raw.get(section).and_then(|it| it.get(field)) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => {
            defects.push(defect(format!("{path}.{section}.{field}"), other, "it is not a text"));
            None
        }
    };
    let name = match session.r#type {
        SessionPersistenceType::Cookie => text("cookie", "name"),
        SessionPersistenceType::Header => text("header", "name"),
    };
    session.session_name = name.or(session.session_name.take());
    session.cookie_path = text("cookie", "path");
    match text("cookie", "lifetimeType").as_deref() {
        None => {}
        Some("Session") => session.cookie_lifetime = CookieLifetime::Session,
        Some("Permanent") => session.cookie_lifetime = CookieLifetime::Permanent,
        Some(other) => {
            defects.push(defect(format!("{path}.cookie.lifetimeType"), &Value::from(other), "it is neither Session nor Permanent"))
        }
    }
}

fn defect(path: String, value: &Value, message: &str) -> Defect {
    Defect { path, value: crate::decode::short(&value.to_string()), message: message.to_owned(), cut: CutScope::Field, weight: None }
}
