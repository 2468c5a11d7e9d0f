//! Transforms: rewrites of the Host header and of the URL after a rule matched.

use http::uri::{Authority, PathAndQuery};
use regex::bytes::Regex;

use super::{
    config::{Rewrite, Transform},
    pattern::compile_regex,
};

/// The compiled transforms of a rule.
#[derive(Debug, Default)]
pub(super) struct Transforms {
    host: Option<Rewriter>,
    url: Option<Rewriter>,
}

#[derive(Debug)]
struct Rewriter {
    regex: Regex,
    replace: String,
}

/// A transform matched, but its result is not a valid host or URL: the request gets 500.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotApplicable;

impl Transforms {
    /// Compiles the transforms of a rule.
    ///
    /// # Errors
    ///
    /// When a regular expression is not valid.
    pub(super) fn new(transforms: &[Transform]) -> Result<Self, regex::Error> {
        let mut compiled = Self::default();
        for transform in transforms {
            match transform {
                Transform::HostHeaderRewrite(rewrite) => compiled.host = Some(Rewriter::new(rewrite)?),
                Transform::UrlRewrite(rewrite) => compiled.url = Some(Rewriter::new(rewrite)?),
            }
        }
        Ok(compiled)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.host.is_none() && self.url.is_none()
    }

    /// The rewritten Host header value; None if it stays.
    ///
    /// # Errors
    ///
    /// [`NotApplicable`] when the result is not a host with an optional port.
    pub(super) fn host(&self, host: &str) -> Result<Option<String>, NotApplicable> {
        let Some(rewritten) = self.host.as_ref().and_then(|rewriter| rewriter.apply(host)) else { return Ok(None) };
        let rewritten = String::from_utf8(rewritten).map_err(|_| NotApplicable)?;
        match rewritten.parse::<Authority>() {
            Ok(authority) if !authority.host().is_empty() && !rewritten.contains('@') => Ok(Some(rewritten)),
            _ => Err(NotApplicable),
        }
    }

    /// The rewritten path and query; None if they stay.
    ///
    /// # Errors
    ///
    /// [`NotApplicable`] when the result is not an absolute path with an optional query.
    pub(super) fn url(&self, url: &PathAndQuery) -> Result<Option<PathAndQuery>, NotApplicable> {
        let Some(rewritten) = self.url.as_ref().and_then(|rewriter| rewriter.apply(url.as_str())) else { return Ok(None) };
        // `#` would cut the URL off silently.
        if rewritten.first() != Some(&b'/') || rewritten.contains(&b'#') {
            return Err(NotApplicable);
        }
        PathAndQuery::from_maybe_shared(rewritten).map(Some).map_err(|_| NotApplicable)
    }
}

impl Rewriter {
    fn new(rewrite: &Rewrite) -> Result<Self, regex::Error> {
        Ok(Self { regex: compile_regex(&rewrite.regex)?, replace: rewrite.replace.clone() })
    }

    /// The text with the first match replaced; None without a match.
    fn apply(&self, text: &str) -> Option<Vec<u8>> {
        let groups = self.regex.captures(text.as_bytes())?;
        let whole = groups.get(0)?;
        let (before, after) = (text.as_bytes().get(..whole.start())?, text.as_bytes().get(whole.end()..)?);
        let mut result = Vec::with_capacity(text.len() + self.replace.len());
        result.extend_from_slice(before);
        let mut rest = self.replace.as_str();
        while let Some((plain, reference)) = rest.split_once('$') {
            result.extend_from_slice(plain.as_bytes());
            let digits = reference.bytes().take_while(u8::is_ascii_digit).count();
            let (number, behind) = reference.split_at(digits);
            match number.parse::<usize>() {
                // A group that took no part in the match is empty.
                Ok(number) if number < groups.len() => {
                    result.extend_from_slice(groups.get(number).map(|group| group.as_bytes()).unwrap_or_default());
                }
                // No such group, or a lone `$`: nothing documented, so it stays as it stands.
                _ => {
                    result.push(b'$');
                    result.extend_from_slice(number.as_bytes());
                }
            }
            rest = behind;
        }
        result.extend_from_slice(rest.as_bytes());
        result.extend_from_slice(after);
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(regex: &str, replace: &str, input: &str) -> Result<Option<String>, NotApplicable> {
        let transforms = Transforms::new(&[Transform::UrlRewrite(Rewrite { regex: regex.into(), replace: replace.into() })]).unwrap();
        transforms.url(&input.parse().unwrap()).map(|url| url.map(|url| url.to_string()))
    }

    fn host(regex: &str, replace: &str, input: &str) -> Result<Option<String>, NotApplicable> {
        let rewrite = Rewrite { regex: regex.into(), replace: replace.into() };
        Transforms::new(&[Transform::HostHeaderRewrite(rewrite)]).unwrap().host(input)
    }

    #[test]
    fn urls_are_rewritten_once() {
        let rows: &[(&str, &str, &str, Option<&str>)] = &[
            // ReplacePrefixMatch, the four forms of the reference.
            ("^/pre", "/backend", "/pre", Some("/backend")),
            ("^/pre", "/backend", "/pre/x?q=1", Some("/backend/x?q=1")),
            ("^/strip/?", "/", "/strip", Some("/")),
            ("^/strip/?", "/", "/strip/x", Some("/x")),
            ("^/strip/?", "/new/", "/strip/x", Some("/new/x")),
            ("^/", "/all/", "/x", Some("/all/x")),
            // ReplaceFullPath keeps the query.
            ("^[^?]*", "/one", "/full/path?a=b", Some("/one?a=b")),
            // Only the first match.
            ("a", "b", "/aaa", Some("/baa")),
            // Groups.
            ("^/([a-z]+)/([0-9]+)", "/$2/$1", "/abc/42/x", Some("/42/abc/x")),
            ("^/(a)?(b)?", "/$1-$2", "/b", Some("/-b")),
            ("^/(a)", "/$2", "/a", Some("/$2")),
            ("^/a", "/$", "/a", Some("/$")),
            // The query can be changed, added and removed.
            (r"\?.*$", "", "/x?secret=1", Some("/x")),
            ("^(/x)$", "$1?added=1", "/x", Some("/x?added=1")),
            // No match: unchanged.
            ("^/other", "/y", "/x", None),
            // An unanchored pattern finds its first place.
            ("/v[0-9]", "", "/api/v2/v3", Some("/api/v3")),
        ];
        for (regex, replace, input, expected) in rows {
            assert_eq!(url(regex, replace, input), Ok(expected.map(str::to_owned)), "{regex} -> {replace} on {input}");
        }
    }

    #[test]
    fn an_invalid_url_is_not_applicable() {
        for (regex, replace) in [("^/x", "x"), ("^/x", ""), ("^/x", "/a b"), ("^/x", "/a#b"), ("^/x", "http://h/")] {
            assert_eq!(url(regex, replace, "/x"), Err(NotApplicable), "{replace:?}");
        }
    }

    #[test]
    fn hosts_are_rewritten() {
        assert_eq!(host("^.*$", "one.example.org", "a.example.com:8080"), Ok(Some("one.example.org".into())));
        assert_eq!(host(r"^(.*)\.example\.com$", "$1.internal", "a.example.com"), Ok(Some("a.internal".into())));
        assert_eq!(host("^b", "c", "a.example.com"), Ok(None));
        for replace in ["", "a b", "a/b", "u@h", "a:b:c"] {
            assert_eq!(host("^.*$", replace, "a"), Err(NotApplicable), "{replace:?}");
        }
    }
}
