//! Clients of a real Envoy, and how it knows them again: sessions, the PROXY protocol, IPv6, client certificates, and what the access log says.

use crate::backend::Backend;
use crate::behaviour::{at, header, serve, served_with, who};
use crate::client::{Answer, get, send};
use crate::fleet::PATIENCE;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Requests that would be answered by each of two by chance: that all are by one has a probability of 2^-19.
const MANY: usize = 20;

/// Who answers many requests.
fn answered(web: SocketAddr, path: &str, headers: &[(&str, &str)]) -> BTreeSet<String> {
    let ask = |_| who(&send(web, "GET", "www.example.com", path, headers, "").unwrap()).to_owned();
    (0..MANY).map(ask).collect()
}

/// The cookies of an answer as the client sends them again, and their attributes.
fn cookies(answer: &Answer) -> (String, String) {
    let all = answer.headers.get("set-cookie").cloned().unwrap_or_default();
    let pairs: Vec<&str> = all.split('\n').filter_map(|cookie| cookie.split(';').next()).collect();
    (pairs.join("; "), all.to_ascii_lowercase())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn sessions_stay_where_they_began() {
    let backends = [Backend::start("a1"), Backend::start("a2"), Backend::start("b1"), Backend::start("b2")];
    let [a1, a2, b1, b2] = backends.each_ref().map(|backend| backend.at);
    let endpoints = BTreeMap::from([("team-a/a", vec![a1, a2]), ("team-a/b", vec![b1, b2])]);
    let here = "127.92.0.12";
    let yaml = r#"
ports:
  - listeners:
      - rules:
          - { http: { path: { prefix: /cookie } }, sessionPersistence: { sessionName: s, kind: sessionCookie }, backends: [team-a/a:80] }
          - { http: { path: { prefix: /permanent } }, sessionPersistence: { sessionName: p, kind: permanentCookie, absoluteTimeout: 1h, cookiePath: /permanent }, backends: [team-a/a:80] }
          - { http: { path: { prefix: /header } }, sessionPersistence: { sessionName: x-session, kind: header }, backends: [team-a/a:80] }
          - { http: { path: { prefix: /several } }, sessionPersistence: { sessionName: m, kind: sessionCookie }, backends: [team-a/a:80, team-a/b:80] }
          - http: { path: { prefix: /filtered } }
            sessionPersistence: { sessionName: f, kind: sessionCookie }
            backends: [team-a/a:80, { to: team-a/b:80, filters: [{ requestHeaderModifier: { set: [{ name: x-from, value: b }] } }] }]
"#;
    let served = serve(here, yaml, &endpoints).await;
    let web = at(here, 80);
    let first = |path: &str| get(web, "www.example.com", path).unwrap();

    // Without a session everybody answers.
    assert_eq!(answered(web, "/cookie", &[]).len(), 2);
    for (path, more) in [("/cookie", ["s=", "httponly"]), ("/permanent", ["max-age=3600", "path=/permanent"])] {
        let answer = first(path);
        let (cookie, attributes) = cookies(&answer);
        assert!(more.iter().all(|it| attributes.contains(it)), "{attributes}");
        assert_eq!(answered(web, path, &[("cookie", &cookie)]), BTreeSet::from([who(&answer).to_owned()]), "{cookie}");
    }
    let answer = first("/header");
    let session = answer.headers.get("x-session").expect("a session");
    assert_eq!(answered(web, "/header", &[("x-session", session)]), BTreeSet::from([who(&answer).to_owned()]));
    // At one of several Services, and at one of its endpoints.
    for path in ["/several", "/filtered"] {
        assert!(answered(web, path, &[]).len() >= 3, "{path}");
        let answer = first(path);
        let (cookie, _) = cookies(&answer);
        assert_eq!(answered(web, path, &[("cookie", &cookie)]), BTreeSet::from([who(&answer).to_owned()]), "{path}: {cookie}");
    }
    // A session at an endpoint that is gone begins anew elsewhere.
    let gone = send(web, "GET", "www.example.com", "/header", &[("x-session", "MTI3LjAuMC4xOjk=")], "").unwrap();
    assert_eq!(gone.status, 200);
    drop(served.proxy);
    served.replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn clients_are_known_whatever_stands_in_front_of_the_proxy() {
    let a = Backend::start("a");
    let endpoints = BTreeMap::from([("team-a/a", vec![a.at])]);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let yaml = format!(
        r#"
profile: {{ accessLog: {{ path: "{}", format: "%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\n" }} }}
ports:
  - {{ listeners: [{{ rules: [{{ backends: [team-a/a:80] }}] }}] }}
  - {{ port: 8080, listeners: [{{ ingress: {{ behind: {{ trustedHops: 0, proxyProtocol: true }} }}, rules: [{{ backends: [team-a/a:80] }}] }}] }}
  - {{ port: 8081, listeners: [{{ ingress: {{ behind: {{ trustedHops: 1, proxyProtocol: false }} }}, rules: [{{ backends: [team-a/a:80] }}] }}] }}
"#,
        log.display()
    );
    let here = "127.92.0.13";
    let served = serve(here, &yaml, &endpoints).await;

    // Nobody is believed who says where a request came from, unless it is known to stand in front.
    let forged = [("x-forwarded-for", "203.0.113.7")];
    for port in [80, 8081] {
        let answer = send(at(here, port), "GET", "www.example.com", "/x", &forged, "").unwrap();
        // (In the place of loopback Envoy writes the host's own address.)
        let list = header(&answer, "x-forwarded-for").join(",");
        assert!(list.starts_with("203.0.113.7,") && list.matches(',').count() == 1, "{list}");
    }
    let proxied = |first: &str| {
        let mut socket = TcpStream::connect(at(here, 8080)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(socket, "{first}GET /proxied HTTP/1.1\r\nhost: www.example.com\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        drop(socket.read_to_string(&mut text));
        text
    };
    let text = proxied("PROXY TCP4 198.51.100.9 192.0.2.1 5555 80\r\n");
    assert!(text.contains("x-forwarded-for: 198.51.100.9\r\n"), "{text}");
    // Who does not say it is not served.
    assert_eq!(proxied(""), "");

    // The log tells of all of them, the clients by their own addresses.
    let lines = ["GET /x 200 127.0.0.1", "GET /x 200 203.0.113.7", "GET /proxied 200 198.51.100.9"];
    let start = Instant::now();
    loop {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        if lines.iter().all(|line| text.lines().any(|it| it == *line)) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "the access log says {text:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(served.proxy);
    served.replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn clients_and_backends_may_have_addresses_of_ipv6() {
    if TcpStream::connect_timeout(&"[::1]:9".parse().unwrap(), Duration::from_secs(1))
        .is_err_and(|it| it.kind() != std::io::ErrorKind::ConnectionRefused)
    {
        eprintln!("this machine has no IPv6: nothing is tried");
        return;
    }
    let a = Backend::start_at("a", "[::1]:0");
    let endpoints = BTreeMap::from([("team-a/a", vec![a.at])]);
    let plan = |bind: &str, port: u16| {
        format!("profile: {{ bind: {bind} }}\nports:\n  - {{ port: {port}, listeners: [{{ rules: [{{ backends: [team-a/a:80] }}] }}] }}\n")
    };
    let served = served_with(&["::1"], &plan("gatewayAddress", 18_474), &endpoints).await;
    let answer = get(at("::1", 18_474), "www.example.com", "/").unwrap();
    assert_eq!(who(&answer), "a");
    assert!(get(at("127.0.0.1", 18_474), "www.example.com", "/").is_err());
    drop(served.proxy);
    served.replica.stop().await;
    // Both families on all addresses of a host.
    let served = served_with(&["192.0.2.10", "2001:db8::10"], &plan("anyAddress", 18_475), &endpoints).await;
    for address in ["::1", "127.0.0.1"] {
        assert_eq!(who(&get(at(address, 18_475), "www.example.com", "/").unwrap()), "a", "{address}");
    }
    drop(served.proxy);
    served.replica.stop().await;
}
