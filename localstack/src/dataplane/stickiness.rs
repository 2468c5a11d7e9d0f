//! Cookies that keep a client with its target group and its target.
//!
//! AWS's cookie values are opaque. Here they hold a hash of what they name and the second at which they end, in hexadecimal.

use std::hash::{DefaultHasher, Hash, Hasher};

use http::HeaderMap;
use jiff::Timestamp;

use super::headers::cookie;

/// Names of a cookie and of its copy for cross-site requests.
pub(super) struct CookieNames {
    pub(super) name: &'static str,
    pub(super) cross_site: Option<&'static str>,
}

/// Target stickiness by the load balancer's cookie.
pub(super) const TARGET: CookieNames = CookieNames { name: "AWSALB", cross_site: Some("AWSALBCORS") };
/// Target group stickiness.
pub(super) const TARGET_GROUP: CookieNames = CookieNames { name: "AWSALBTG", cross_site: Some("AWSALBTGCORS") };
/// Target stickiness by the application's cookie.
pub(super) const APPLICATION: CookieNames = CookieNames { name: "AWSALBAPP-0", cross_site: None };

/// A cookie of the request that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pin(u64);

impl Pin {
    /// Reads the cookie or its copy.
    pub(super) fn read(headers: &HeaderMap, names: &CookieNames, now: Timestamp) -> Option<Self> {
        let value = cookie(headers, names.name).or_else(|| cookie(headers, names.cross_site?))?;
        let (named, ends) = value.split_at_checked(16)?;
        let ends = i64::from_str_radix(ends, 16).ok()?;
        (now.as_second() < ends).then(|| u64::from_str_radix(named, 16).ok().map(Self)).flatten()
    }

    /// Whether it names this target or group.
    pub(super) fn names(self, id: &str) -> bool {
        self.0 == hash(id)
    }
}

/// The value of a cookie that names a target or group for `seconds`.
pub(super) fn value(id: &str, seconds: u64, now: Timestamp) -> String {
    format!("{:016x}{:x}", hash(id), now.as_second().saturating_add_unsigned(seconds))
}

fn hash(id: &str) -> u64 {
    // `new` has fixed keys, unlike `RandomState`: a cookie outlives the process.
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_names_its_target_until_it_ends() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let later = Timestamp::from_second(1_700_000_060).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("cookie", format!("x=y; AWSALB={}; z", value("10.0.0.1:80", 60, now)).parse().unwrap());
        let pin = Pin::read(&headers, &TARGET, now).unwrap();
        assert!(pin.names("10.0.0.1:80"));
        assert!(!pin.names("10.0.0.2:80"));
        assert_eq!(Pin::read(&headers, &TARGET, later), None);
        assert_eq!(Pin::read(&headers, &TARGET_GROUP, now), None);
    }

    #[test]
    fn the_cross_site_copy_counts_and_rubbish_does_not() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        for (cookie, found) in [
            (format!("AWSALBCORS={}", value("t", 60, now)), true),
            ("AWSALB=".to_owned(), false),
            ("AWSALB=zzzzzzzzzzzzzzzz12345678".to_owned(), false),
            ("AWSALB=äöüäöüäöü".to_owned(), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("cookie", http::HeaderValue::from_bytes(cookie.as_bytes()).unwrap());
            assert_eq!(Pin::read(&headers, &TARGET, now).is_some(), found, "{cookie}");
        }
    }
}
