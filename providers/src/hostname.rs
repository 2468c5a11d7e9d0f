//! Hostnames as listeners and routes write them.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// A hostname, exact (`www.example.com`) or with a wildcard label in front (`*.example.com`), in lower case.
///
/// A wildcard stands for one or more labels: `*.example.com` matches `a.example.com` and `a.b.example.com`, but not `example.com`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

/// Why a text is not a hostname.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a hostname; use labels of letters, digits and hyphens with dots between them, at most 253 characters, with `*` as the whole first label or nowhere"
)]
pub struct HostnameError(pub String);

impl Hostname {
    /// Reads a hostname; upper case is folded. Fails where the Gateway API's own validation would (RFC 1123 labels, one leading `*.`).
    pub fn new(text: &str) -> Result<Self, HostnameError> {
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_prefix("*.").unwrap_or(&lower);
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        if lower.len() > 253 || !name.split('.').all(label) {
            return Err(HostnameError(text.to_owned()));
        }
        Ok(Self(lower))
    }

    /// The text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows `*` in a wildcard hostname (`.example.com`), or nothing for an exact one.
    pub fn wildcard_suffix(&self) -> Option<&str> {
        self.0.strip_prefix('*')
    }

    /// Whether the name starts with a wildcard label.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with('*')
    }

    /// Whether every name that `other` stands for is also one of this hostname's.
    pub fn covers(&self, other: &Hostname) -> bool {
        match (self.wildcard_suffix(), other.wildcard_suffix()) {
            (None, None) => self.0 == other.0,
            (None, Some(_)) => false,
            (Some(suffix), None) => other.0.len() > suffix.len() && other.0.ends_with(suffix),
            (Some(suffix), Some(narrower)) => narrower.ends_with(suffix),
        }
    }

    /// Whether clients take a certificate with this DNS name for the hostname: a wildcard in a certificate stands for one label (RFC 9525). A wildcard
    /// hostname needs the same name.
    pub fn is_named_by(&self, name: &str) -> bool {
        let parent = |text: &str| text.split_once('.').map(|(_, parent)| parent.to_owned());
        name.eq_ignore_ascii_case(&self.0)
            || (!self.is_wildcard() && name.strip_prefix("*.").is_some_and(|rest| parent(&self.0) == Some(rest.to_ascii_lowercase())))
    }

    /// The names that both stand for: the narrower of the two, where one covers the other.
    pub fn intersect(&self, other: &Hostname) -> Option<Hostname> {
        if self.covers(other) {
            Some(other.clone())
        } else if other.covers(self) {
            Some(self.clone())
        } else {
            None
        }
    }

    /// Orders by specificity, the most specific first: exact names before wildcards, then more characters, then by text.
    ///
    /// Gateway API v1.7.0, HTTPRoute `hostnames`: most non-wildcard characters, then most characters. An exact name that a wildcard
    /// covers always has more non-wildcard characters, so that this order agrees wherever two hostnames can meet in one request.
    pub fn by_specificity(a: &Option<Hostname>, b: &Option<Hostname>) -> Ordering {
        let key = |h: &Option<Hostname>| match h {
            None => (2, 0),
            Some(h) => (u8::from(h.is_wildcard()), h.0.len()),
        };
        let ((kind_a, length_a), (kind_b, length_b)) = (key(a), key(b));
        kind_a.cmp(&kind_b).then(length_b.cmp(&length_a)).then_with(|| a.cmp(b))
    }
}

impl TryFrom<String> for Hostname {
    type Error = HostnameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<Hostname> for String {
    fn from(hostname: Hostname) -> Self {
        hostname.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Hostname {
        Hostname::new(text).unwrap()
    }

    #[test]
    fn wildcards_cover_any_number_of_labels_but_not_the_apex() {
        for (wide, narrow, covers) in [
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "aexample.com", false),
            ("*.example.com", "*.b.example.com", true),
            ("*.b.example.com", "*.example.com", false),
            ("a.example.com", "*.example.com", false),
            ("a.example.com", "A.Example.com", true),
            ("*.com", "*.example.com", true),
        ] {
            assert_eq!(host(wide).covers(&host(narrow)), covers, "{wide} covers {narrow}");
        }
    }

    #[test]
    fn a_wildcard_of_a_certificate_stands_for_one_label() {
        for (hostname, name, fits) in [
            ("a.example.com", "A.example.com", true),
            ("a.example.com", "*.example.com", true),
            ("a.b.example.com", "*.example.com", false),
            ("example.com", "*.example.com", false),
            ("*.example.com", "*.example.com", true),
            ("*.example.com", "a.example.com", false),
            ("*.example.com", "*.com", false),
        ] {
            assert_eq!(host(hostname).is_named_by(name), fits, "{hostname} by {name}");
        }
    }

    #[test]
    fn intersections_are_the_narrower_name() {
        assert_eq!(host("*.com").intersect(&host("a.com")), Some(host("a.com")));
        assert_eq!(host("a.com").intersect(&host("*.com")), Some(host("a.com")));
        assert_eq!(host("a.com").intersect(&host("b.com")), None);
    }

    #[test]
    fn exact_names_come_first_then_longer_ones_then_none() {
        let mut names = [None, Some(host("*.com")), Some(host("*.example.com")), Some(host("b.com")), Some(host("a.b.com"))];
        names.sort_by(Hostname::by_specificity);
        let texts: Vec<_> = names.iter().map(|n| n.as_ref().map_or("-", Hostname::as_str)).collect();
        assert_eq!(texts, ["a.b.com", "b.com", "*.example.com", "*.com", "-"]);
    }

    #[test]
    fn malformed_names_are_errors() {
        for text in ["", "*", "*.", "a..b", "a.*.b", "-a.com", "a-.com", "a_b.com", "a b", "a.com:80", "*a.com"] {
            assert!(Hostname::new(text).is_err(), "{text:?}");
        }
        assert!(Hostname::new("a.".repeat(127).trim_end_matches('.')).is_ok());
    }
}
