//! Cross-origin resource sharing: HTTPCORSFilter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::api::Cors;
use super::request::Request;

/// The method that a preflight request asks for; nothing if a request is none.
pub fn asked(request: &Request) -> Option<&str> {
    (request.method == "OPTIONS" && request.header("origin").is_some()).then(|| request.header("access-control-request-method")).flatten()
}

/// What a rule that shares answers across origins says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    policy: Cors,
    /// The request's origin.
    origin: Option<String>,
    /// What a preflight request asks for.
    preflight: Option<Asked>,
}

/// What a preflight request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    method: String,
    headers: Option<String>,
}

impl Sharing {
    /// Says it.
    pub fn of(policy: &Cors, request: &Request) -> Self {
        let owned = |name: &str| request.header(name).map(str::to_owned);
        let preflight = asked(request).map(|method| Asked { method: method.to_owned(), headers: owned("access-control-request-headers") });
        Self { policy: policy.clone(), origin: owned("origin"), preflight }
    }

    /// Whether the proxy answers by itself.
    pub fn is_preflight(&self) -> bool {
        self.preflight.is_some()
    }

    fn allowed(&self) -> Option<&str> {
        self.origin.as_deref().filter(|origin| self.policy.allow_origins.iter().any(|allowed| covers(allowed, origin)))
    }

    /// Whether an answer is as meant: the proxy's own to a preflight request, or one that a backend gave, with what is added to it.
    pub fn fits(&self, status: u16, headers: &BTreeMap<String, String>) -> bool {
        // An empty list says as much as none: Envoy repeats what is not asked for so.
        let get = |name: &str| headers.get(&format!("access-control-{name}")).map(String::as_str).filter(|value| !value.is_empty());
        let Some(origin) = self.allowed() else {
            // 403 is one of the two ways to say no to a preflight request. The other is to leave out the relevant headers: Envoy tells others, too, what would be allowed, but not
            // the origin, without which that means nothing to a browser (Fetch, 4.10).
            return match self.preflight {
                Some(_) => [200, 204, 403].contains(&status) && get("allow-origin").is_none(),
                None => get("allow-origin").is_none() && get("allow-credentials").is_none(),
            };
        };
        let credentials = self.policy.allow_credentials;
        let any = |list: &[String]| list.iter().any(|it| it == "*");
        let whose =
            get("allow-origin") == Some(origin) || !credentials && any(&self.policy.allow_origins) && get("allow-origin") == Some("*");
        let shared = whose && get("allow-credentials") == credentials.then_some("true");
        let Some(asked) = &self.preflight else {
            let exposed = get("expose-headers");
            let wanted = &self.policy.expose_headers;
            let listed = match (any(wanted), credentials) {
                _ if wanted.is_empty() => exposed.is_none(),
                (true, true) => exposed.is_none_or(|it| !it.contains('*')),
                _ => exposed.is_some_and(|it| names(it) == names(&wanted.join(","))),
            };
            return shared && listed;
        };
        let permits = |list: &[String], found: Option<&str>, asked: Option<&str>| {
            let echoed = || found.map(names) == asked.map(names);
            match (any(list), credentials) {
                _ if list.is_empty() => true,
                (true, true) => echoed(),
                (true, false) => found == Some("*") || echoed(),
                (false, _) => found.is_some_and(|it| names(it) == names(&list.join(","))),
            }
        };
        shared
            && [200, 204].contains(&status)
            && permits(&self.policy.allow_methods, get("allow-methods"), Some(&asked.method))
            && permits(&self.policy.allow_headers, get("allow-headers"), asked.headers.as_deref())
            && get("max-age") == Some(self.policy.max_age.unwrap_or(5).to_string().as_str())
    }
}

impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_preflight() { "a preflight answer" } else { "an answer" };
        match self.allowed() {
            Some(origin) => write!(f, "{what} for {origin} by {:?}", self.policy),
            None => write!(f, "{what} for no other origin"),
        }
    }
}

/// Names in a list, which have no case and no order.
fn names(list: &str) -> BTreeSet<String> {
    list.split(',').map(|name| name.trim().to_ascii_lowercase()).collect()
}

/// Whether an origin is one of those that are allowed: `*` stands for everything to its left, labels with their dots.
fn covers(allowed: &str, origin: &str) -> bool {
    match allowed.split_once('*') {
        None => allowed == origin,
        Some(("", "")) => true,
        Some((before, after)) => {
            origin.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).is_some_and(|middle| !middle.is_empty())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fits(policy: &serde_json::Value, request: &[(&str, &str)], status: u16, answer: &[(&str, &str)]) -> bool {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let method = if request.iter().any(|(name, _)| name.contains("request-method")) { "OPTIONS" } else { "GET" };
        let request = Request { method: method.into(), headers: request.iter().map(owned).collect(), ..Request::get("/") };
        let answer = answer.iter().map(|(name, value)| (format!("access-control-{name}"), (*value).to_owned())).collect();
        Sharing::of(&serde_json::from_value(policy.clone()).unwrap(), &request).fits(status, &answer)
    }

    /// Gateway API v1.7.0, HTTPCORSFilter.
    #[test]
    fn origins_are_allowed_by_name_and_by_wildcard() {
        for (allowed, origin, expected) in [
            ("*", "http://a.test", true),
            ("https://a.test", "https://a.test", true),
            ("https://a.test", "http://a.test", false),
            ("https://*.a.test", "https://b.c.a.test", true),
            ("https://*.a.test", "https://a.test", false),
        ] {
            assert_eq!(covers(allowed, origin), expected, "{allowed} {origin}");
        }
    }

    #[test]
    fn credentials_allow_no_wildcards() {
        let preflight =
            [("Origin", "https://a.test"), ("access-control-request-method", "PUT"), ("access-control-request-headers", "x-a, x-b")];
        let policy = |credentials: bool| json!({"allowOrigins": ["*"], "allowMethods": ["*"], "allowHeaders": ["*"], "allowCredentials": credentials});
        let any = [("allow-origin", "*"), ("allow-methods", "*"), ("allow-headers", "*"), ("max-age", "5")];
        let exact = [("allow-origin", "https://a.test"), ("allow-methods", "PUT"), ("allow-headers", "X-B,X-A"), ("max-age", "5")];
        assert!(fits(&policy(false), &preflight, 200, &any) && fits(&policy(false), &preflight, 204, &exact));
        assert!(!fits(&policy(true), &preflight, 200, &any) && !fits(&policy(true), &preflight, 200, &exact));
        assert!(fits(&policy(true), &preflight, 200, &[&exact[..], &[("allow-credentials", "true")]].concat()));
    }

    #[test]
    fn other_origins_are_told_nothing() {
        let policy = json!({"allowOrigins": ["https://a.test"], "exposeHeaders": ["x-a"]});
        assert!(fits(&policy, &[("origin", "https://a.test")], 200, &[("allow-origin", "https://a.test"), ("expose-headers", "X-A")]));
        assert!(!fits(&policy, &[("origin", "https://a.test")], 200, &[("allow-origin", "https://a.test")]));
        assert!(fits(&policy, &[("origin", "https://b.test")], 200, &[]) && fits(&policy, &[], 200, &[]));
        assert!(!fits(&policy, &[("origin", "https://b.test")], 200, &[("allow-origin", "https://b.test")]));
    }
}
