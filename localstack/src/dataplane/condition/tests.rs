//! Each expectation is AWS's documented or observed behaviour, or the assumption that the reference (§8) settles where nothing is documented.

use super::*;
use crate::dataplane::config::QueryPattern;

/// A request as a row writes it: `METHOD host path[?query]`, the listener's port being 80.
fn holds(condition: &Condition, request: &str, headers: &[(&str, &str)], peer: &str) -> bool {
    let mut words = request.split(' ');
    let (method, host, url) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let view = RequestView {
        method,
        host: host_for_matching(host, [80, 80]),
        path: resolve_dot_segments(path),
        query,
        headers: &map,
        peer: peer.parse().unwrap(),
    };
    Matcher::new(condition).unwrap().matches(&view)
}

/// Header name, patterns, headers sent, whether the condition holds.
type HeaderRow<'a> = (&'a str, Patterns, &'a [(&'a str, &'a str)], bool);
/// Keys and values, path with query, whether the condition holds.
type QueryRow<'a> = (&'a [(Option<&'a str>, &'a str)], &'a str, bool);

fn globs(values: &[&str]) -> Patterns {
    Patterns::Globs(values.iter().map(|value| (*value).to_owned()).collect())
}

fn regexes(values: &[&str]) -> Patterns {
    Patterns::Regexes(values.iter().map(|value| (*value).to_owned()).collect())
}

#[test]
fn host_header() {
    let rows: &[(Patterns, &str, bool)] = &[
        (globs(&["example.com"]), "example.com", true),
        (globs(&["example.com"]), "EXAMPLE.com", true),
        (globs(&["Example.COM"]), "example.com", true),
        (globs(&["example.com"]), "a.example.com", false),
        (globs(&["*.example.com"]), "a.example.com", true),
        (globs(&["*.example.com"]), "a.b.example.com", true),
        (globs(&["*.example.com"]), "example.com", false),
        (globs(&["*.example.com"]), "aexample.com", false),
        (globs(&["?.example.com"]), "a.example.com", true),
        (globs(&["?.example.com"]), "ab.example.com", false),
        (globs(&["a.com", "b.com"]), "b.com", true),
        (globs(&["a.com", "b.com"]), "c.com", false),
        // The port is ignored only where it is the listener's (80 here).
        (globs(&["example.com"]), "example.com:80", true),
        (globs(&["example.com"]), "example.com:1234", false),
        (globs(&["example.com*"]), "example.com:1234", true),
        (globs(&["example.com"]), "", false),
        (regexes(&[r"^very\.specific\.com(:[0-9]+)?$"]), "very.specific.com:1234", true),
        (regexes(&[r"^very\.specific\.com(:[0-9]+)?$"]), "very.specific.com", true),
        (regexes(&[r"^very\.specific\.com(:[0-9]+)?$"]), "xvery.specific.com", false),
        // Put in lower case before a regular expression sees it; unanchored unless it says so.
        (regexes(&["^example"]), "EXAMPLE.com", true),
        (regexes(&["specific"]), "very.specific.com", true),
        (regexes(&["^[A-Z]+$"]), "EXAMPLE", false),
    ];
    for (patterns, host, expected) in rows {
        let condition = Condition::HostHeader(patterns.clone());
        assert_eq!(holds(&condition, &format!("GET {host} /"), &[], "192.0.2.1"), *expected, "{patterns:?} on {host}");
    }
}

#[test]
fn path_pattern() {
    let rows: &[(Patterns, &str, bool)] = &[
        (globs(&["/foo"]), "/foo", true),
        (globs(&["/foo"]), "/FOO", false),
        (globs(&["/foo"]), "/foo/", false),
        (globs(&["/foo"]), "/foo?q=1", true),
        (globs(&["/foo*"]), "/foobar", true),
        (globs(&["/foo", "/foo/*"]), "/foo/bar", true),
        (globs(&["/foo", "/foo/*"]), "/foobar", false),
        (globs(&["/foo/*"]), "/foo/", true),
        (globs(&["/foo/*"]), "/foo/a/b/c", true),
        (globs(&["/*/bar"]), "/a/b/bar", true),
        (globs(&["/a?c"]), "/abc", true),
        (globs(&["/a?c"]), "/a/c", true),
        (globs(&["/a?c"]), "/ac", false),
        (globs(&["*"]), "/", true),
        (globs(&["/"]), "/", true),
        (globs(&["/"]), "/a", false),
        // The query takes no part.
        (globs(&["*q=1*"]), "/foo?q=1", false),
        // `//` is kept.
        (globs(&["/application/*"]), "/application//api", true),
        (globs(&["/application"]), "//application", false),
        (globs(&["//application"]), "//application", true),
        // Dot segments are resolved before matching.
        (globs(&["/b"]), "/a/../b", true),
        (globs(&["/a/*"]), "/a/../b", false),
        (globs(&["/a/b"]), "/a/./b", true),
        // Nothing is decoded.
        (globs(&["/a b"]), "/a%20b", false),
        (regexes(&["^/a%20b$"]), "/a%20b", true),
        (regexes(&["^/foo(/.*)?$"]), "/foo", true),
        (regexes(&["^/foo(/.*)?$"]), "/foo/bar", true),
        (regexes(&["^/foo(/.*)?$"]), "/foobar", false),
        (regexes(&["^/foo$"]), "/FOO", false),
        (regexes(&["foo"]), "/a/foo/b", true),
        (regexes(&["^/v[0-9]+/items$", "^/other$"]), "/other", true),
    ];
    for (patterns, url, expected) in rows {
        let condition = Condition::PathPattern(patterns.clone());
        assert_eq!(holds(&condition, &format!("GET h {url}"), &[], "192.0.2.1"), *expected, "{patterns:?} on {url}");
    }
}

#[test]
fn http_header() {
    let rows: &[HeaderRow<'_>] = &[
        ("Version", globs(&["two"]), &[("version", "two")], true),
        ("version", globs(&["two"]), &[("VERSION", "TWO")], true),
        ("version", globs(&["two"]), &[("version", "two ")], true),
        ("version", globs(&["two"]), &[("version", "twofold")], false),
        ("version", globs(&["two*"]), &[("version", "twofold")], true),
        ("version", globs(&["*"]), &[("version", "")], true),
        ("version", globs(&["*"]), &[("other", "x")], false),
        // Each line of a repeated header is tried, not their concatenation.
        ("version", globs(&["two"]), &[("version", "one"), ("version", "two")], true),
        ("version", globs(&["one, two"]), &[("version", "one"), ("version", "two")], false),
        ("version", globs(&[r"a\*b"]), &[("version", "a*b")], true),
        ("version", globs(&[r"a\*b"]), &[("version", "axb")], false),
        ("version", globs(&[r"a\?"]), &[("version", "a?")], true),
        ("version", globs(&[r"a\\b"]), &[("version", r"a\b")], true),
        // Regular expressions are sensitive to case and unanchored.
        ("version", regexes(&["^two$"]), &[("Version", "two")], true),
        ("version", regexes(&["^two$"]), &[("version", "TWO")], false),
        ("version", regexes(&["w"]), &[("version", "two")], true),
        // A name that is no header name matches nothing.
        ("ver sion", globs(&["*"]), &[("version", "two")], false),
    ];
    for (name, values, headers, expected) in rows {
        let condition = Condition::HttpHeader { name: (*name).to_owned(), values: values.clone() };
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.trim())).collect();
        assert_eq!(holds(&condition, "GET h /", &headers, "192.0.2.1"), *expected, "{name}: {values:?} on {headers:?}");
    }
}

#[test]
fn http_request_method() {
    for (methods, method, expected) in [
        (vec!["GET"], "GET", true),
        (vec!["GET"], "HEAD", false),
        (vec!["GET", "HEAD"], "HEAD", true),
        (vec!["GET"], "get", false),
        (vec!["CUSTOM-VERB"], "CUSTOM-VERB", true),
        (vec!["*"], "GET", false),
    ] {
        let condition = Condition::HttpRequestMethod(methods.iter().map(|method| (*method).to_owned()).collect());
        assert_eq!(holds(&condition, &format!("{method} h /"), &[], "192.0.2.1"), expected, "{methods:?} on {method}");
    }
}

#[test]
fn query_string() {
    let rows: &[QueryRow<'_>] = &[
        (&[(Some("animal"), "whale")], "/?animal=whale", true),
        (&[(Some("animal"), "whale")], "/?ANIMAL=Whale", true),
        (&[(Some("animal"), "whale")], "/?animal=whales", false),
        (&[(Some("animal"), "whale*")], "/?animal=whales", true),
        (&[(Some("animal"), "whale")], "/?x=1&animal=whale", true),
        // Any occurrence of a repeated key counts.
        (&[(Some("animal"), "whale")], "/?animal=cat&animal=whale", true),
        (&[(Some("animal"), "whale")], "/", false),
        (&[(Some("animal"), "whale")], "/?", false),
        // Without a key, any key.
        (&[(None, "whale")], "/?anything=whale", true),
        (&[(None, "whale")], "/?anything=cat", false),
        (&[(Some("a*"), "?")], "/?abc=1", true),
        (&[(Some("a"), "")], "/?a", true),
        (&[(Some("a"), "*")], "/?a=b=c", true),
        (&[(Some("a"), "b=c")], "/?a=b=c", true),
        (&[(Some("a"), r"\*")], "/?a=*", true),
        (&[(Some("a"), r"\*")], "/?a=b", false),
        // The values are alternatives.
        (&[(Some("a"), "1"), (Some("b"), "2")], "/?b=2", true),
        (&[(Some("a"), "1"), (Some("b"), "2")], "/?a=2&b=1", false),
        // Raw text is compared.
        (&[(Some("a"), "b c")], "/?a=b+c", false),
        (&[(Some("a"), "b%20c")], "/?a=b%20c", true),
    ];
    for (patterns, url, expected) in rows {
        let pairs = patterns.iter().map(|(key, value)| QueryPattern { key: key.map(str::to_owned), value: (*value).to_owned() }).collect();
        assert_eq!(holds(&Condition::QueryString(pairs), &format!("GET h {url}"), &[], "192.0.2.1"), *expected, "{patterns:?} on {url}");
    }
}

#[test]
fn source_ip() {
    for (sources, peer, expected) in [
        (vec!["192.0.2.0/24"], "192.0.2.77", true),
        (vec!["192.0.2.0/24"], "192.0.3.77", false),
        (vec!["198.51.100.1/32", "192.0.2.1/32"], "192.0.2.1", true),
        (vec!["2001:db8::/32"], "2001:db8::1", true),
        (vec!["2001:db8::/32"], "192.0.2.1", false),
        (vec!["0.0.0.0/0"], "192.0.2.1", true),
        (vec!["0.0.0.0/0"], "2001:db8::1", false),
    ] {
        let condition = Condition::SourceIp(sources.iter().map(|source| source.parse().unwrap()).collect());
        // X-Forwarded-For plays no part.
        let headers = [("x-forwarded-for", "203.0.113.9")];
        assert_eq!(holds(&condition, "GET h /", &headers, peer), expected, "{sources:?} on {peer}");
    }
}

#[test]
fn an_invalid_regular_expression_is_an_error() {
    assert!(Matcher::new(&Condition::PathPattern(regexes(&["("]))).is_err());
}

#[test]
fn dot_segments() {
    for (path, expected) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/./b", "/a/b"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/..", "/"),
        ("/../../a", "/a"),
        ("/a//../b", "/a/b"),
        ("/a/..b/c", "/a/..b/c"),
        ("*", "*"),
    ] {
        assert_eq!(resolve_dot_segments(path), expected, "{path}");
    }
}

#[test]
fn ports_of_hosts() {
    for (host, expected) in [
        ("a.com", ("a.com", None)),
        ("a.com:80", ("a.com", Some("80"))),
        ("a.com:", ("a.com", Some(""))),
        ("[::1]:80", ("[::1]", Some("80"))),
        ("[::1]", ("[::1]", None)),
        ("::1", ("::1", None)),
        ("a.com:x", ("a.com:x", None)),
    ] {
        assert_eq!(split_port(host), expected, "{host}");
    }
    // The stand-in port is the listener's too.
    assert_eq!(host_for_matching("a.com:8080", [80, 8080]), "a.com");
}
