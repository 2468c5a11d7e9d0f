//! `rule-action-types.html` (redirects, fixed responses) and `rule-transforms.html`.

use super::{Action, FixedResponse, Redirect, Rewrite, Table, Transform, forward, request};

/// `PROTOCOL HOST PORT PATH QUERY`, a dot for the default; the request; the Location. The listener is HTTP:80.
const REDIRECTS: &[(&str, &str, &str)] = &[
    // "Redirects HTTP requests to HTTPS requests on port 443."
    ("HTTPS . 443 . .", "GET example.com/", "https://example.com:443/"),
    ("HTTPS . 443 . .", "GET example.com/a/b?c=d", "https://example.com:443/a/b?c=d"),
    ("HTTPS . 443 . .", "GET example.com/?", "https://example.com:443/"),
    // "The default retains the component": protocol, host, port, path, query.
    (". example.org . . .", "GET example.com/a?b", "http://example.org:80/a?b"),
    (". . 8080 . .", "GET example.com/a?b", "http://example.com:8080/a?b"),
    (". . . /new .", "GET example.com/a?b", "http://example.com:80/new?b"),
    (". . . . x=y", "GET example.com/a?b", "http://example.com:80/a?x=y"),
    // "#{host}", "#{path}", "#{port}", "#{query}", "#{protocol}".
    (". www.#{host} . . .", "GET example.com/a", "http://www.example.com:80/a"),
    (". . . /new/#{path} .", "GET example.com/a/b", "http://example.com:80/new/a/b"),
    (". . . /#{host}/#{port}/#{path} .", "GET example.com/a", "http://example.com:80/example.com/80/a"),
    (". . . . #{query}&from=#{path}", "GET example.com/a?b=c", "http://example.com:80/a?b=c&from=a"),
    (". . . /x host=#{host}&protocol=#{protocol}", "GET example.com/a", "http://example.com:80/x?host=example.com&protocol=http"),
    ("#{protocol} example.org #{port} . .", "GET example.com/a", "http://example.org:80/a"),
];

#[tokio::test]
async fn redirects() {
    let mut table = Table::new(80).await;
    // Where port 80 is not permitted a stand-in port is what clients see.
    let visible = table.at().port();
    for (config, text, location) in REDIRECTS {
        let parts: Vec<&str> = config.split(' ').collect();
        let part = |index: usize, default: &str| if parts[index] == "." { default.to_owned() } else { parts[index].to_owned() };
        for status in [301, 302] {
            let redirect = Redirect {
                status,
                protocol: part(0, "#{protocol}"),
                host: part(1, "#{host}"),
                port: part(2, "#{port}"),
                path: part(3, "/#{path}"),
                query: part(4, "#{query}"),
            };
            table.rule(vec![], vec![], Action::Redirect(redirect)).await;
            let reply = table.ask(&request(text)).await;
            let expected = location.replace(":80/", &format!(":{visible}/")).replace("/80/", &format!("/{visible}/"));
            assert_eq!((reply.status, reply.header("location")), (status, Some(expected.as_str())), "{config} on {text}");
        }
    }
    table.end(20).await;
}

/// "You can return 2XX, 4XX or 5XX response codes and an optional message"; the content types are a fixed list.
#[tokio::test]
async fn fixed_responses() {
    let mut table = Table::new(super::super::harness::PORT).await;
    let rows = [
        (200, "text/plain", "Hello world"),
        (200, "text/html", "<p>a</p>"),
        (204, "text/plain", ""),
        (404, "application/json", "{\"error\":\"none\"}"),
        (410, "text/css", "a{}"),
        (499, "application/javascript", "0"),
        (503, "text/plain", "busy"),
        (599, "text/plain", "odd"),
    ];
    for (status, content_type, body) in rows {
        let action = FixedResponse { status, content_type: content_type.into(), body: body.into() };
        table.rule(vec![], vec![], Action::FixedResponse(action)).await;
        let reply = table.ask(&request("GET h/")).await;
        assert_eq!((reply.status, reply.body.as_str()), (status, body), "{reply:?}");
        if !body.is_empty() {
            assert!(reply.header("content-type").unwrap().starts_with(content_type), "{reply:?}");
        }
    }
    table.end(8).await;
}

/// Regular expression, replacement, request, what the target sees of the URL.
const URLS: &[(&str, &str, &str, &str)] = &[
    ("^/old", "/new", "GET h/old/a", "/new/a"),
    ("^/old", "/new", "GET h/older", "/newer"),
    ("^/old", "/new", "GET h/a/old", "/a/old"),
    // "$1": the first group.
    ("^/api/([^/]+)/(.*)$", "/$2/$1", "GET h/api/v1/users", "/users/v1"),
    ("^/(?:a|b)/", "/c/", "GET h/b/x", "/c/x"),
    // "The URL without the scheme and host": path and query string.
    ("^/a[?]b=(.*)$", "/c?d=$1", "GET h/a?b=1", "/c?d=1"),
    ("[?].*$", "", "GET h/a?b=1", "/a"),
    ("^([^?]*)", "/x", "GET h/a/b?q=1", "/x?q=1"),
    // "If the regex doesn't match, the request is sent unchanged."
    ("^/none", "/x", "GET h/a", "/a"),
    // The first match is replaced.
    ("a", "b", "GET h/aaa", "/baa"),
];

/// Regular expression, replacement, Host header of the request, Host header that the target sees (HTTP:80).
const HOSTS: &[(&str, &str, &str, &str)] = &[
    ("^.*$", "internal.example.org", "a.example.com", "internal.example.org"),
    ("^(.*)[.]example[.]com$", "$1.example.net", "a.example.com", "a.example.net"),
    ("^mywebsite-(.+)[.]com$", "internal.dev.$1.myweb.com", "mywebsite-eu.com", "internal.dev.eu.myweb.com"),
    ("^none$", "x", "a.example.com", "a.example.com"),
];

#[tokio::test]
async fn transforms() {
    let mut table = Table::new(80).await;
    let rewrite = |regex: &str, replace: &str| Rewrite { regex: regex.into(), replace: replace.into() };
    for (regex, replace, text, seen) in URLS {
        table.rule(vec![], vec![Transform::UrlRewrite(rewrite(regex, replace))], forward(&[("g", 1)])).await;
        let reply = table.ask(&request(text)).await;
        assert_eq!(reply.body.lines().nth(1), Some(format!("GET {seen}").as_str()), "{regex} → {replace} on {text}");
    }
    for (regex, replace, host, seen) in HOSTS {
        table.rule(vec![], vec![Transform::HostHeaderRewrite(rewrite(regex, replace))], forward(&[("g", 1)])).await;
        table.ask(&request(&format!("GET {host}/"))).await.assert_line(&format!("host: {seen}"));
    }
    // Conditions see the request as it came; both transforms of one rule apply.
    let both = vec![Transform::HostHeaderRewrite(rewrite("^.*$", "new.example")), Transform::UrlRewrite(rewrite("^/a", "/b"))];
    table.rule(vec![super::condition("path /a"), super::condition("host old.example")], both, forward(&[("g", 1)])).await;
    let reply = table.ask(&request("GET old.example/a")).await;
    reply.assert_line("GET /b");
    reply.assert_line("host: new.example");
    // "If the transform can't be applied, the load balancer answers with 500."
    table.rule(vec![], vec![Transform::UrlRewrite(rewrite("^/", ""))], forward(&[("g", 1)])).await;
    assert_eq!(table.ask(&request("GET h/a")).await.status, 500);
    table.end(16).await;
}
