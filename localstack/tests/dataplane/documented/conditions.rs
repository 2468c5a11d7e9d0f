//! `rule-condition-types.html`: "Condition types for listener rules".

use super::{Table, condition, fixed, request};

/// Conditions (all of them must hold), request, whether the rule applies.
const ROWS: &[(&[&str], &str, bool)] = &[
    // Host: "not case-sensitive", "* (matches 0 or more characters)", "? (matches exactly 1 character)".
    (&["host example.com"], "GET example.com/", true),
    (&["host example.com"], "GET EXAMPLE.com/", true),
    (&["host Example.COM"], "GET example.com/", true),
    (&["host example.com"], "GET www.example.com/", false),
    (&["host example.com"], "GET example.com.evil.org/", false),
    // "The rule *.example.com matches test.example.com but doesn't match example.com."
    (&["host *.example.com"], "GET test.example.com/", true),
    (&["host *.example.com"], "GET example.com/", false),
    (&["host *.example.com"], "GET a.b.example.com/", true),
    (&["host *.EXAMPLE.com"], "GET test.example.COM/", true),
    (&["host test-?.example.com"], "GET test-1.example.com/", true),
    (&["host test-?.example.com"], "GET test-.example.com/", false),
    (&["host test-?.example.com"], "GET test-12.example.com/", false),
    (&["host *.com *.org"], "GET a.org/", true),
    (&["host *.com *.org"], "GET a.net/", false),
    (&["host www.*.com"], "GET www.example.com/", true),
    (&["host www.*.com"], "GET api.example.com/", false),
    // Regular expressions.
    (&["host~ ^(a|b)[.]example[.]com$"], "GET b.example.com/", true),
    (&["host~ ^(a|b)[.]example[.]com$"], "GET c.example.com/", false),
    (&["host~ ^[a-z]+[.]example[.]com$"], "GET ABC.example.com/", true),
    // Path: "case-sensitive", "applied only to the path of the URL, not to its query parameters".
    (&["path /img/*"], "GET h/img/picture.jpg", true),
    (&["path /img/*"], "GET h/img/", true),
    (&["path /img/*"], "GET h/img", false),
    (&["path /img/*"], "GET h/IMG/picture.jpg", false),
    (&["path /img/*"], "GET h/other?file=/img/a", false),
    (&["path /img/*/pics"], "GET h/img/2024/pics", true),
    (&["path /img/*/pics"], "GET h/img/2024/05/pics", true),
    (&["path /img/*/pics"], "GET h/img/2024/pics/1", false),
    (&["path /img/*"], "GET h/img/a?x=1", true),
    (&["path /a"], "GET h/a", true),
    (&["path /a"], "GET h/a/", false),
    (&["path /a"], "GET h/a?b", true),
    (&["path /a"], "GET h/ab", false),
    (&["path /a*"], "GET h/ab", true),
    (&["path /v?/x"], "GET h/v1/x", true),
    (&["path /v?/x"], "GET h/v10/x", false),
    (&["path /v?/x"], "GET h/v/x", false),
    (&["path /a /b"], "GET h/b", true),
    (&["path /a /b"], "GET h/c", false),
    (&["path *"], "GET h/anything/at/all", true),
    (&["path /"], "GET h/", true),
    (&["path /"], "GET h/x", false),
    (&["path /~user/$file"], "GET h/~user/$file", true),
    (&["path /a&b"], "GET h/a&b", true),
    // gRPC: "/package", "/package.service", "/package.service/method".
    (&["path /package.service/method"], "POST h/package.service/method | Content-Length: 0", true),
    (&["path /package.service/*"], "POST h/package.service/method | Content-Length: 0", true),
    (&["path /package.service/*"], "POST h/package.other/method | Content-Length: 0", false),
    (&["path~ ^/api/(v1|v2)/"], "GET h/api/v2/users", true),
    (&["path~ ^/api/(v1|v2)/"], "GET h/api/v3/users", false),
    (&["path~ ^/api/"], "GET h/API/users", false),
    (&["path~ ^/[0-9]+$"], "GET h/123", true),
    (&["path~ ^/[0-9]+$"], "GET h/123a", false),
    // HTTP header: "The header name is not case-sensitive", "The comparison strings are not case sensitive".
    (&["header User-Agent *Chrome* *Safari*"], "GET h/ | User-Agent: Mozilla/5.0 Chrome/99", true),
    (&["header User-Agent *Chrome* *Safari*"], "GET h/ | User-Agent: Version/16 Safari/605", true),
    (&["header User-Agent *Chrome* *Safari*"], "GET h/ | User-Agent: curl/8", false),
    (&["header User-Agent *Chrome* *Safari*"], "GET h/", false),
    (&["header user-agent *chrome*"], "GET h/ | USER-AGENT: CHROME", true),
    (&["header X-Version 1"], "GET h/ | X-Version: 1", true),
    (&["header X-Version 1"], "GET h/ | X-Version: 11", false),
    (&["header X-Version 1?"], "GET h/ | X-Version: 11", true),
    (&["header X-Version 1?"], "GET h/ | X-Version: 1", false),
    (&["header X-Team Red_Blue"], "GET h/ | X-Team: red blue", true),
    // "If the same header appears in the request multiple times, they are searched in order until a match is found."
    (&["header X-Version 2"], "GET h/ | X-Version: 1 | X-Version: 2", true),
    (&["header X-Version 3"], "GET h/ | X-Version: 1 | X-Version: 2", false),
    // "To search for a literal * or ?, escape it with \".
    (&["header X-Star a\\*b"], "GET h/ | X-Star: a*b", true),
    (&["header X-Star a\\*b"], "GET h/ | X-Star: axb", false),
    (&["header X-Star a\\?"], "GET h/ | X-Star: a?", true),
    (&["header X-Star a\\?"], "GET h/ | X-Star: ab", false),
    (&["header~ X-Version ^[12]$"], "GET h/ | X-Version: 2", true),
    (&["header~ X-Version ^[12]$"], "GET h/ | X-Version: 3", false),
    // Method: "case sensitive", "must match exactly", "wildcard characters are not supported".
    (&["method GET HEAD"], "GET h/", true),
    (&["method GET HEAD"], "HEAD h/", true),
    (&["method GET"], "HEAD h/", false),
    (&["method GET"], "POST h/ | Content-Length: 0", false),
    (&["method CUSTOM-METHOD"], "CUSTOM-METHOD h/ | Content-Length: 0", true),
    (&["method GET"], "get h/ | Content-Length: 0", false),
    (&["method PUT"], "PUT h/ | Content-Length: 0", true),
    // Query string: "key/value pairs or values", "not case-sensitive".
    (&["query version=v1 =*example*"], "GET h/?version=v1", true),
    (&["query version=v1 =*example*"], "GET h/?x=an-example-here", true),
    (&["query version=v1 =*example*"], "GET h/?version=v2", false),
    (&["query version=v1 =*example*"], "GET h/", false),
    (&["query version=v1"], "GET h/?VERSION=V1", true),
    (&["query version=v1"], "GET h/?a=b&version=v1&c=d", true),
    (&["query version=v1"], "GET h/?version=v2&version=v1", true),
    (&["query version=v1"], "GET h/?subversion=v1", false),
    (&["query version=v?"], "GET h/?version=v9", true),
    (&["query version=v?"], "GET h/?version=v10", false),
    (&["query ver*=v1"], "GET h/?verbose=v1", true),
    (&["query =v1"], "GET h/?anything=v1", true),
    (&["query =v1"], "GET h/?v1=anything", false),
    (&["query q=a\\*"], "GET h/?q=a*", true),
    (&["query q=a\\*"], "GET h/?q=ab", false),
    // Source IP: "the IP address of the proxy", "not satisfied by the addresses in the X-Forwarded-For header".
    (&["source 127.0.0.0/8"], "GET h/", true),
    (&["source 192.0.2.0/24"], "GET h/", false),
    (&["source 192.0.2.0/24"], "GET h/ | X-Forwarded-For: 192.0.2.1", false),
    (&["source 192.0.2.0/24 127.0.0.1/32"], "GET h/", true),
    (&["source 127.0.0.2/32"], "GET h/", false),
    // `listener-rules.html`: all conditions of a rule must be met, any of the values of one suffices.
    (&["host example.com", "path /a"], "GET example.com/a", true),
    (&["host example.com", "path /a"], "GET example.com/b", false),
    (&["host example.com", "path /a"], "GET example.org/a", false),
    (&["header X-A 1", "header X-B 2"], "GET h/ | X-A: 1 | X-B: 2", true),
    (&["header X-A 1", "header X-B 2"], "GET h/ | X-A: 1", false),
    (&["query a=1", "query b=2"], "GET h/?a=1&b=2", true),
    (&["query a=1", "query b=2"], "GET h/?a=1", false),
    (&["method GET", "path /x*", "source 127.0.0.0/8"], "GET h/xyz", true),
];

#[tokio::test]
async fn conditions() {
    let mut table = Table::new(super::super::harness::PORT).await;
    for (conditions, text, applies) in ROWS {
        table.rule(conditions.iter().map(|text| condition(text)).collect(), vec![], fixed("rule")).await;
        let reply = table.ask(&request(text)).await;
        // The rule's answer has another Server header than the target's.
        let found = reply.header("server") == Some("awselb/2.0");
        assert_eq!((reply.status, found), (200, *applies), "{conditions:?} on {text}");
    }
    table.end(90).await;
}
