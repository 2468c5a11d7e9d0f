//! `x-forwarded-headers.html`, `load-balancer-request-tracing.html` and "Host header preservation" of `edit-load-balancer-attributes.html`.

use portico_cloud::dataplane::config::ForwardedFor;

use super::{LoadBalancerAttributes, Table, request};

/// The client's address, as every row sees it.
const ME: &str = "127.0.0.1";

fn header<'a>(reply: &'a super::Reply, name: &str) -> Option<&'a str> {
    reply.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn forwarded_headers() {
    let mut table = Table::new(80).await;
    // Mode, request's X-Forwarded-For, what the target gets.
    let rows: [(ForwardedFor, &str, Option<String>); 9] = [
        (ForwardedFor::Append, "", Some(ME.into())),
        (ForwardedFor::Append, "203.0.113.7", Some(format!("203.0.113.7, {ME}"))),
        (ForwardedFor::Append, "203.0.113.7, 192.0.2.1", Some(format!("203.0.113.7, 192.0.2.1, {ME}"))),
        (ForwardedFor::Append, "2001:DB8::21f:5bff:febf:ce22:8a2e", Some(format!("2001:DB8::21f:5bff:febf:ce22:8a2e, {ME}"))),
        (ForwardedFor::Preserve, "", None),
        (ForwardedFor::Preserve, "203.0.113.7", Some("203.0.113.7".into())),
        (ForwardedFor::Preserve, "203.0.113.7, 192.0.2.1", Some("203.0.113.7, 192.0.2.1".into())),
        (ForwardedFor::Remove, "", None),
        (ForwardedFor::Remove, "203.0.113.7, 192.0.2.1", None),
    ];
    for (mode, sent, expected) in rows {
        table.attributes(LoadBalancerAttributes { forwarded_for: mode, ..LoadBalancerAttributes::default() }).await;
        let text = if sent.is_empty() { "GET h/".to_owned() } else { format!("GET h/ | X-Forwarded-For: {sent}") };
        let reply = table.ask(&request(&text)).await;
        assert_eq!(header(&reply, "x-forwarded-for"), expected.as_deref(), "{mode:?} of {sent:?}");
    }
    // "X-Forwarded-For: 127.0.0.1:51662"
    table.attributes(LoadBalancerAttributes { forwarded_for_client_port: true, ..LoadBalancerAttributes::default() }).await;
    let reply = table.ask(&request("GET h/")).await;
    let port = header(&reply, "x-forwarded-for").unwrap().strip_prefix("127.0.0.1:").unwrap();
    assert!(port.parse::<u16>().is_ok(), "{reply:?}");
    // Protocol and port are those of the connection to the load balancer, whatever the client says.
    for text in ["GET h/", "GET h/ | X-Forwarded-Proto: https | X-Forwarded-Port: 443"] {
        let reply = table.ask(&request(text)).await;
        assert_eq!((header(&reply, "x-forwarded-proto"), header(&reply, "x-forwarded-port")), (Some("http"), Some("80")), "{text}");
    }
    table.end(12).await;
}

/// Listener port, whether preserved, the client's Host header, the target's.
const HOSTS: &[(u16, bool, &str, &str)] = &[
    (80, false, "www.example.com", "www.example.com"),
    (80, false, "www.example.com:80", "www.example.com"),
    (80, false, "www.example.com:8080", "www.example.com"),
    (18080, false, "www.example.com", "www.example.com:18080"),
    (18080, false, "www.example.com:18080", "www.example.com:18080"),
    (18080, false, "www.example.com:8080", "www.example.com:18080"),
    (80, true, "www.example.com", "www.example.com"),
    (80, true, "www.example.com:80", "www.example.com:80"),
    (80, true, "www.example.com:8080", "www.example.com:8080"),
    (18080, true, "www.example.com", "www.example.com"),
    (18080, true, "www.example.com:8080", "www.example.com:8080"),
    (18080, true, "WWW.example.com", "WWW.example.com"),
];

#[tokio::test]
async fn the_host_header() {
    for port in [80, 18080] {
        let mut table = Table::new(port).await;
        for (_, preserve, sent, seen) in HOSTS.iter().filter(|row| row.0 == port) {
            table.attributes(LoadBalancerAttributes { preserve_host_header: *preserve, ..LoadBalancerAttributes::default() }).await;
            let reply = table.ask(&request(&format!("GET {sent}/"))).await;
            assert_eq!(header(&reply, "host"), Some(*seen), "{sent} on port {port}, preserved: {preserve}");
        }
        table.end(6).await;
    }
}

/// `X-Amzn-Trace-Id` of the request; what stands in front of and behind the load balancer's own id at the target.
const TRACES: &[(&str, &str, &str)] = &[
    ("", "Root=", ""),
    // "If the header is present and has a Self field, the load balancer updates the value of the Self field."
    (
        "Self=1-67891234-12456789abcdef012345678;Root=1-67891233-abcdef012345678912345678",
        "Self=",
        ";Root=1-67891233-abcdef012345678912345678",
    ),
    // "If the header has no Self field, the load balancer adds it."
    ("Root=1-67891233-abcdef012345678912345678", "Self=", ";Root=1-67891233-abcdef012345678912345678"),
    // "Fields that the application adds are kept."
    ("Root=1-67891233-abcdef012345678912345678;CalledFrom=app", "Self=", ";Root=1-67891233-abcdef012345678912345678;CalledFrom=app"),
    ("CalledFrom=app", "Root=", ";CalledFrom=app"),
];

#[tokio::test]
async fn the_trace_header() {
    let mut table = Table::new(super::super::harness::PORT).await;
    for (sent, before, after) in TRACES {
        let text = if sent.is_empty() { "GET h/".to_owned() } else { format!("GET h/ | X-Amzn-Trace-Id: {sent}") };
        let reply = table.ask(&request(&text)).await;
        let seen = header(&reply, "x-amzn-trace-id").unwrap();
        let id = seen.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).unwrap_or_else(|| panic!("{sent} became {seen}"));
        // "1-" version, 8 hexadecimal digits of time, 24 of randomness.
        let parts: Vec<&str> = id.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [1, 8, 24], "{id}");
        assert!(parts[0] == "1" && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()), "{id}");
    }
    table.end(5).await;
}

/// "routing.http.drop_invalid_header_fields.enabled": names that are not `[-A-Za-z0-9]+` are removed, or else kept.
#[tokio::test]
async fn invalid_header_fields() {
    let mut table = Table::new(super::super::harness::PORT).await;
    for (name, drop, kept) in
        [("x-good-1", true, true), ("x_under", true, false), ("x.dot", true, false), ("x_under", false, true), ("x-good-1", false, true)]
    {
        table.attributes(LoadBalancerAttributes { drop_invalid_header_fields: drop, ..LoadBalancerAttributes::default() }).await;
        let reply = table.ask(&request(&format!("GET h/ | {name}: 1"))).await;
        assert_eq!(header(&reply, name).is_some(), kept, "{name}, dropped: {drop}");
    }
    table.end(5).await;
}
