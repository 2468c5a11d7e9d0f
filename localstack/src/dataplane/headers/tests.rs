use super::*;

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}

fn forwarded_for(mode: ForwardedFor, with_port: bool, peer: &str, sent: &[(&str, &str)]) -> Option<String> {
    let attributes = LoadBalancerAttributes { forwarded_for: mode, forwarded_for_client_port: with_port, ..Default::default() };
    let mut headers = map(sent);
    set_forwarded(&mut headers, &attributes, peer.parse().unwrap(), "http", 8080);
    assert_eq!(headers.get_all("x-forwarded-proto").iter().collect::<Vec<_>>(), ["http"]);
    assert_eq!(headers.get_all("x-forwarded-port").iter().collect::<Vec<_>>(), ["8080"]);
    headers.get(X_FORWARDED_FOR).map(|value| value.to_str().unwrap().to_owned())
}

/// Mode, whether with the client's port, peer, headers sent, X-Forwarded-For.
type ForwardedRow<'a> = (ForwardedFor, bool, &'a str, &'a [(&'a str, &'a str)], Option<&'a str>);

#[test]
fn forwarded_headers() {
    use ForwardedFor::{Append, Preserve, Remove};
    let rows: &[ForwardedRow<'_>] = &[
        (Append, false, "192.0.2.1:5000", &[], Some("192.0.2.1")),
        (Append, true, "192.0.2.1:5000", &[], Some("192.0.2.1:5000")),
        (Append, false, "[2001:db8::1]:5000", &[], Some("2001:db8::1")),
        (Append, true, "[2001:db8::1]:5000", &[], Some("[2001:db8::1]:5000")),
        (Append, true, "[::ffff:192.0.2.1]:5000", &[], Some("192.0.2.1:5000")),
        (Append, false, "192.0.2.1:5000", &[("X-Forwarded-For", "203.0.113.9")], Some("203.0.113.9, 192.0.2.1")),
        (
            Append,
            false,
            "192.0.2.1:5000",
            &[("x-forwarded-for", "203.0.113.9, 203.0.113.8"), ("x-forwarded-for", "203.0.113.7")],
            Some("203.0.113.9, 203.0.113.8, 203.0.113.7, 192.0.2.1"),
        ),
        (Preserve, false, "192.0.2.1:5000", &[("x-forwarded-for", "203.0.113.9")], Some("203.0.113.9")),
        (Preserve, false, "192.0.2.1:5000", &[], None),
        (Remove, false, "192.0.2.1:5000", &[("x-forwarded-for", "203.0.113.9")], None),
        // What the client claims about protocol and port is overwritten (checked for each row).
        (Append, false, "192.0.2.1:1", &[("x-forwarded-proto", "https"), ("x-forwarded-port", "443")], Some("192.0.2.1")),
    ];
    for (mode, with_port, peer, sent, expected) in rows {
        assert_eq!(forwarded_for(*mode, *with_port, peer, sent).as_deref(), *expected, "{mode:?} {peer} {sent:?}");
    }
}

#[test]
fn thirty_forwarded_addresses_and_no_more() {
    let list = |count: usize| vec!["192.0.2.1"; count].join(", ");
    assert!(!too_many_forwarded_addresses(&map(&[])));
    assert!(!too_many_forwarded_addresses(&map(&[("x-forwarded-for", &list(30))])));
    assert!(too_many_forwarded_addresses(&map(&[("x-forwarded-for", &list(31))])));
    assert!(too_many_forwarded_addresses(&map(&[("x-forwarded-for", &list(16)), ("x-forwarded-for", &list(15))])));
}

#[test]
fn trace_ids() {
    let now = Timestamp::from_second(0x5759_e988).unwrap();
    let id = "1-5759e988-0000000000000000000000ab";
    for (sent, expected) in [
        (None, format!("Root={id}")),
        (Some("Root=1-67891233-abcdef012345678912345678"), format!("Self={id};Root=1-67891233-abcdef012345678912345678")),
        (
            Some("Self=1-67891234-12456789abcdef012345678;Root=1-67891233-abcdef012345678912345678;CalledFrom=app"),
            format!("Self={id};Root=1-67891233-abcdef012345678912345678;CalledFrom=app"),
        ),
        (Some("CalledFrom=app"), format!("Root={id};CalledFrom=app")),
        (Some("rubbish"), format!("Root={id}")),
        (Some(format!("Root=1-2-3;x={}", "y".repeat(8000)).leak() as &str), format!("Root={id}")),
    ] {
        let mut headers = sent.map_or_else(HeaderMap::new, |sent| map(&[("x-amzn-trace-id", sent)]));
        set_trace_id(&mut headers, now, 0xab);
        assert_eq!(headers.get_all("x-amzn-trace-id").iter().collect::<Vec<_>>(), [&expected], "{sent:?}");
    }
}

#[test]
fn hosts_towards_targets() {
    for (host, preserve, port, expected) in [
        ("a.com", false, 80, "a.com"),
        ("a.com:80", false, 80, "a.com"),
        ("a.com:1234", false, 80, "a.com"),
        ("a.com", false, 8080, "a.com:8080"),
        ("a.com:8080", false, 8080, "a.com:8080"),
        ("a.com", true, 8080, "a.com"),
        ("A.com:1234", true, 80, "A.com:1234"),
        ("[::1]:80", false, 80, "[::1]"),
    ] {
        assert_eq!(outgoing_host(host, preserve, port, 80), expected, "{host} {preserve} {port}");
    }
}

#[test]
fn hop_by_hop_headers_stay_behind() {
    let mut headers = map(&[
        ("connection", "keep-alive, X-Internal"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("x-internal", "1"),
        ("x-kept", "1"),
        ("authorization", "secret"),
    ]);
    remove_hop_by_hop(&mut headers);
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["authorization", "x-kept"]);
}

#[test]
fn only_a_complete_websocket_handshake_upgrades() {
    for (lines, expected) in [
        (&[("connection", "Upgrade"), ("upgrade", "websocket")][..], true),
        (&[("connection", "keep-alive, upgrade"), ("upgrade", "WebSocket")], true),
        (&[("connection", "Upgrade"), ("upgrade", "h2c")], false),
        (&[("upgrade", "websocket")], false),
        (&[("connection", "Upgrade")], false),
    ] {
        assert_eq!(asks_for_websocket(&map(lines)), expected, "{lines:?}");
    }
}

#[test]
fn invalid_fields_are_dropped_if_asked() {
    let mut headers = map(&[("x-good", "1"), ("x_bad", "1"), ("x.bad", "1"), ("X-Good2", "1")]);
    remove_invalid_fields(&mut headers);
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["x-good", "x-good2"]);
}

#[test]
fn cookies() {
    let headers = map(&[("cookie", "a=1; AWSALB=xyz"), ("cookie", "b=2=3")]);
    assert_eq!(cookie(&headers, "a"), Some("1"));
    assert_eq!(cookie(&headers, "AWSALB"), Some("xyz"));
    assert_eq!(cookie(&headers, "b"), Some("2=3"));
    assert_eq!(cookie(&headers, "awsalb"), None);
    let now = Timestamp::from_second(0).unwrap();
    assert_eq!(set_cookie("AWSALB", "v", now, false).unwrap(), "AWSALB=v; Expires=Thu, 08 Jan 1970 00:00:00 GMT; Path=/");
    assert_eq!(
        set_cookie("AWSALBCORS", "v", now, true).unwrap(),
        "AWSALBCORS=v; Expires=Thu, 08 Jan 1970 00:00:00 GMT; Path=/; SameSite=None; Secure"
    );
    assert!(sets_cookie(&map(&[("set-cookie", "SESSION=1; Path=/")]), "SESSION"));
    assert!(!sets_cookie(&map(&[("set-cookie", "OTHER=SESSION; Path=/")]), "SESSION"));
}
