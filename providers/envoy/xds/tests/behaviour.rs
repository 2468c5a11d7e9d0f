//! What a real Envoy does with a plan: each feature by requests.

use crate::backend::{self, Backend};
use crate::client::{Answer, get, send};
use crate::fleet::Replica;
use crate::keys::Keys;
use crate::plans;
use crate::proxy::{Form, Proxy};
use portico_envoy_xds::Stack;
use portico_providers::Provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A plan on a proxy, with its backends by Service.
pub struct Served {
    pub replica: Replica,
    pub proxy: Proxy,
}

pub async fn serve(address: &str, yaml: &str, endpoints: &BTreeMap<&str, Vec<SocketAddr>>) -> Served {
    serve_with(Arc::new(Keys::new(&["a.example.com", "*.example.com", "backend.example.com"])), address, yaml, endpoints).await
}

/// A plan of a Gateway with these addresses on a proxy.
pub async fn served_with(addresses: &[&str], yaml: &str, endpoints: &BTreeMap<&str, Vec<SocketAddr>>) -> Served {
    serve_all(Arc::new(Keys::new(&[])), addresses, yaml, endpoints).await
}

async fn serve_with(keys: Arc<Keys>, address: &str, yaml: &str, endpoints: &BTreeMap<&str, Vec<SocketAddr>>) -> Served {
    serve_all(keys, &[address], yaml, endpoints).await
}

async fn serve_all(keys: Arc<Keys>, addresses: &[&str], yaml: &str, endpoints: &BTreeMap<&str, Vec<SocketAddr>>) -> Served {
    let replica = Replica::start("127.0.0.1:0", keys).await;
    let stack = pass_with(&replica, addresses, yaml, endpoints).await;
    replica.envoy.is_complete();
    let proxy = Proxy::start(&[replica.at], Form::Delta, "one");
    replica.acknowledged(&stack).await;
    Served { replica, proxy }
}

pub async fn pass(replica: &Replica, address: &str, yaml: &str, endpoints: &BTreeMap<&str, Vec<SocketAddr>>) -> Stack {
    pass_with(replica, &[address], yaml, endpoints).await
}

async fn pass_with(replica: &Replica, addresses: &[&str], yaml: &str, endpoints: &BTreeMap<&str, Vec<SocketAddr>>) -> Stack {
    let mut plan = plans::plan(yaml);
    for gateway in &mut plan.gateways {
        gateway.assigned = addresses.iter().map(|address| address.parse().unwrap()).collect();
    }
    replica.pass(&plan, &|service| endpoints.get(service).cloned().unwrap_or_default()).await
}

pub fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

pub fn who(answer: &Answer) -> &str {
    answer.body.lines().next().unwrap_or_default()
}

/// The request line as the backend saw it, without its end.
pub fn target(answer: &Answer) -> &str {
    answer.body.lines().nth(1).unwrap_or_default().trim_end_matches(" HTTP/1.1")
}

pub fn header<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let lines = answer.body.lines().skip(2).filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn requests_are_served_as_the_plan_says() {
    let (a, b, copy) = (Backend::start("a"), Backend::start("b"), Backend::start("copy"));
    let endpoints = BTreeMap::from([("team-a/a", vec![a.at]), ("team-a/b", vec![b.at]), ("team-a/copy", vec![copy.at])]);
    let here = "127.92.0.1";
    let served = serve(here, include_str!("behaviour.yaml"), &endpoints).await;
    let web = at(here, 80);
    let ask = |path: &str| get(web, "www.example.com", path).unwrap();

    // Matches.
    assert_eq!(who(&ask("/exact")), "a");
    assert_eq!(ask("/exact/").status, 404);
    assert_eq!(who(&ask("/prefix")), "b");
    assert_eq!(who(&ask("/prefix/x?y=1")), "b");
    assert_eq!(ask("/prefixed").status, 404);
    assert_eq!(who(&ask("/v12/x")), "a");
    assert_eq!(ask("/v/x").status, 404);
    assert_eq!(who(&ask("/query?q=1")), "a");
    assert_eq!(ask("/query?q=2").status, 404);
    let with = |headers: &[(&str, &str)]| send(web, "GET", "www.example.com", "/headers", headers, "").unwrap();
    assert_eq!(who(&with(&[("X-Version", "2")])), "a");
    assert_eq!(with(&[("x-version", "22")]).status, 404);
    assert_eq!(who(&send(web, "POST", "www.example.com", "/method", &[], "body").unwrap()), "b");
    assert_eq!(ask("/method").status, 404);
    // Isolation, and ports of the Host header.
    assert_eq!(get(web, "www.example.com:80", "/exact").unwrap().status, 200);
    assert_eq!(get(web, "nobody.org", "/exact").unwrap().status, 404);
    assert_eq!(who(&get(web, "x.example.com", "/exact").unwrap()), "b");
    // Paths are normalised before rules are tried; slashes stay.
    assert_eq!(target(&ask("/other/../exact")), "GET /exact");
    assert_eq!(ask("//exact").status, 404);

    // Headers.
    let answer = send(web, "GET", "www.example.com", "/modified", &[("x-old", "1"), ("x-both", "client")], "").unwrap();
    assert_eq!(header(&answer, "x-set"), ["100%"]);
    assert_eq!(header(&answer, "x-both"), ["client", "added"]);
    assert!(header(&answer, "x-old").is_empty());
    assert_eq!(answer.headers.get("x-answer").map(String::as_str), Some("yes"));
    assert_eq!(answer.headers.get("x-backend"), None);
    assert_eq!(answer.headers.get("server").map(String::as_str), Some("a"));
    assert_eq!(header(&answer, "x-forwarded-for").len(), 1);
    assert!(!answer.body.contains("x-envoy-internal") && !answer.body.contains("x-envoy-expected"), "{}", answer.body);
    // Nobody outside steers Envoy by headers.
    let spoofed = send(web, "GET", "www.example.com", "/prefix/slow", &[("x-envoy-upstream-rq-timeout-ms", "10")], "").unwrap();
    assert_eq!(spoofed.status, 200);

    // Rewrites.
    for (path, expected) in [
        ("/full/x?q=1", "GET /one?q=1"),
        ("/pre/bar", "GET /xyz/bar"),
        ("/pre", "GET /xyz"),
        ("/pre/", "GET /xyz/"),
        ("/cut/bar", "GET /bar"),
        ("/cut/", "GET /"),
        ("/cut", "GET /"),
        ("/cut/../cut//x", "GET //x"),
    ] {
        assert_eq!(target(&ask(path)), expected, "{path}");
    }
    assert_eq!(header(&ask("/host"), "host"), ["inner.example.com"]);
    assert_eq!(header(&ask("/exact"), "host"), ["www.example.com"]);

    // Redirects.
    for (path, host, location) in [
        ("/to-https", "www.example.com", "https://www.example.com/to-https"),
        ("/to-https?a=b", "www.example.com:80", "https://www.example.com/to-https?a=b"),
        ("/to-port", "www.example.com", "http://www.example.com:8443/to-port"),
        ("/to-path/x", "www.example.com", "http://www.example.com/new/x"),
        ("/to-root/x", "www.example.com", "http://www.example.com/x"),
        ("/to-host", "www.example.com", "http://other.example.com/to-host"),
        ("/wild-https", "y.example.com", "https://y.example.com/wild-https"),
        ("/wild-https", "y.example.com:81", "https://y.example.com:443/wild-https"),
    ] {
        let answer = get(web, host, path).unwrap();
        assert_eq!((answer.status, answer.headers.get("location").map(String::as_str)), (302, Some(location)), "{host}{path}");
    }

    // Weights, backends that lead nowhere, Services without endpoints.
    let mut shares: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..400 {
        let answer = ask("/weights");
        *shares.entry(if answer.status == 200 { who(&answer).to_owned() } else { answer.status.to_string() }).or_default() += 1;
    }
    assert!(shares["a"].abs_diff(200) < 60 && shares["b"].abs_diff(120) < 60 && shares["500"].abs_diff(80) < 50, "{shares:?}");
    assert_eq!(ask("/invalid").status, 500);
    assert_eq!(ask("/nobody").status, 503);
    assert_eq!(ask("/nothing").status, 500);
    // Rewrites of single backends.
    let mut paths: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..300 {
        *paths.entry(target(&ask("/each/x")).to_owned()).or_default() += 1;
    }
    assert_eq!(paths.len(), 2, "{paths:?}");
    assert!(paths["GET /for-a/x"].abs_diff(100) < 50 && paths["GET /for-b"].abs_diff(200) < 50, "{paths:?}");

    // Mirrors.
    assert_eq!(who(&ask("/mirrored")), "a");
    let start = Instant::now();
    while copy.seen("GET /mirrored") == 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "no copy came");
        std::thread::sleep(Duration::from_millis(10));
    }

    // Time limits and retries.
    assert_eq!(ask("/hasty/slow").status, 504);
    assert_eq!(ask("/patient/slow").status, 200);
    assert_eq!(ask("/retried/flaky/2/x").status, 200);
    assert_eq!(ask("/retried/flaky/9/y").status, 503);
    assert_eq!(a.seen("/retried/flaky/9/y"), 4);
    assert_eq!(ask("/retried/status/500").status, 500);
    assert_eq!(a.seen("/retried/status/500"), 1);
    assert_eq!(ask("/exact").status, 200);

    cors(web);

    // Sessions.
    let answer = ask("/session");
    let cookies = answer.headers.get("set-cookie").cloned().unwrap_or_default();
    assert!(cookies.contains("kept="), "{:?}", answer.headers);

    // Authorization.
    assert_eq!(ask("/guarded").status, 200);
    assert_eq!(b.seen("/check/guarded"), 1);
    assert_eq!(ask("/guarded/deny").status, 403);
    assert_eq!(a.seen("/guarded/deny"), 0);
    drop(served.proxy);
    served.replica.stop().await;
}

fn cors(web: SocketAddr) {
    let preflight = |origin: &str, path: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "PUT"), ("access-control-request-headers", "x-1, x-2")];
        send(web, "OPTIONS", "www.example.com", path, &headers, "").unwrap()
    };
    let allowed = |answer: &Answer, name: &str| answer.headers.get(&format!("access-control-{name}")).cloned();
    for origin in ["https://www.foo.com", "https://a.b.bar.com"] {
        let answer = preflight(origin, "/cors");
        assert_eq!(answer.status, 200);
        assert_eq!(allowed(&answer, "allow-origin").as_deref(), Some(origin));
        assert_eq!(allowed(&answer, "allow-credentials").as_deref(), Some("true"));
        assert_eq!(allowed(&answer, "allow-methods").as_deref(), Some("PUT, OPTIONS"));
        assert_eq!(allowed(&answer, "max-age").as_deref(), Some("3600"));
    }
    for origin in ["https://bar.com", "https://evil.com", "https://www.foo.com.evil.com"] {
        assert_eq!(allowed(&preflight(origin, "/cors"), "allow-origin"), None, "{origin}");
    }
    let answer = send(web, "PUT", "www.example.com", "/cors", &[("origin", "https://www.foo.com")], "").unwrap();
    assert_eq!((answer.status, allowed(&answer, "allow-origin").as_deref()), (200, Some("https://www.foo.com")));
    let answer = preflight("https://any.com", "/cors-wild");
    assert_eq!(allowed(&answer, "allow-origin").as_deref(), Some("https://any.com"));
    assert_eq!(allowed(&answer, "allow-methods").as_deref(), Some("PUT"), "{:?}", answer.headers);
    assert_eq!(allowed(&answer, "allow-headers").as_deref(), Some("x-1, x-2"), "{:?}", answer.headers);
}

/// A TLS connection, with a client certificate if one is given.
fn tls(at: SocketAddr, name: &str, keys: &Keys, client: bool) -> Result<rustls::StreamOwned<rustls::ClientConnection, TcpStream>, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(keys.authority_pem.as_bytes()).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = if client {
        let material = keys.material("client");
        let certificate = CertificateDer::from_pem_slice(material.certificate.as_bytes()).unwrap();
        builder.with_client_auth_cert(vec![certificate], PrivateKeyDer::from_pem_slice(material.key.as_bytes()).unwrap()).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    let connection = rustls::ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let socket = TcpStream::connect(at).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    Ok(rustls::StreamOwned::new(connection, socket))
}

/// The status of a request over TLS, with a server name and a Host header.
fn secure(at: SocketAddr, name: &str, host: &str, keys: &Keys, client: bool) -> Result<u16, String> {
    let mut stream = tls(at, name, keys, client)?;
    write!(stream, "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").map_err(|error| error.to_string())?;
    let mut bytes = vec![0; 16];
    let read = stream.read(&mut bytes).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(text)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn connections_are_served_as_the_plan_says() {
    let a = Backend::start("a");
    let (one, two) = (backend::tcp("one"), backend::tcp("two"));
    let (ping, pong) = (backend::udp("ping"), backend::udp("pong"));
    let endpoints = BTreeMap::from([
        ("team-a/a", vec![a.at]),
        ("team-a/one", vec![one]),
        ("team-a/two", vec![two]),
        ("team-a/ping", vec![ping]),
        ("team-a/pong", vec![pong]),
    ]);
    let here = "127.92.0.2";
    let served = serve(here, include_str!("connections.yaml"), &endpoints).await;
    let keys = served.replica.keys.clone();

    // Each HTTPS listener answers for its names only.
    let https = at(here, 443);
    assert_eq!(secure(https, "a.example.com", "a.example.com", &keys, false), Ok(200));
    assert_eq!(secure(https, "b.example.com", "b.example.com", &keys, false), Ok(200));
    assert_eq!(secure(https, "a.example.com", "b.example.com", &keys, false), Ok(421));
    assert_eq!(secure(https, "b.example.com", "a.example.com", &keys, false), Ok(421));
    assert_eq!(secure(https, "a.example.com", "nobody.org", &keys, false), Ok(404));
    assert!(secure(https, "nobody.org", "nobody.org", &keys, false).is_err());
    // Client certificates.
    assert!(secure(at(here, 8443), "a.example.com", "a.example.com", &keys, false).is_err());
    assert_eq!(secure(at(here, 8443), "a.example.com", "a.example.com", &keys, true), Ok(200));
    assert_eq!(secure(at(here, 9443), "a.example.com", "a.example.com", &keys, false), Ok(200));
    let stranger = Keys::new(&["a.example.com"]);
    let mut borrowed = tls(at(here, 9443), "a.example.com", &keys, true).unwrap();
    assert!(borrowed.write_all(b"GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n").is_ok());
    assert!(secure(at(here, 9443), "a.example.com", "a.example.com", &stranger, true).is_err(), "the client trusts another authority");

    // TLS that ends at the proxy, and names that none takes.
    let mut ended = tls(at(here, 8883), "end.example.com", &keys, false).unwrap();
    ended.write_all(b"x").unwrap();
    let mut greeting = [0; 4];
    ended.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"one\n");
    let mut refused = tls(at(here, 8883), "silent.example.com", &keys, false).unwrap();
    assert!(refused.write_all(b"x").and_then(|()| refused.read_exact(&mut greeting)).is_err());

    // Weights of connections and of datagrams.
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..300 {
        let mut socket = TcpStream::connect(at(here, 9000)).unwrap();
        let mut text = String::new();
        let mut buffer = [0; 16];
        let read = socket.read(&mut buffer).unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        *seen.entry(text).or_default() += 1;
    }
    assert!(seen["one\n"].abs_diff(180) < 50 && seen["two\n"].abs_diff(90) < 45 && seen[""].abs_diff(30) < 25, "{seen:?}");
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..300 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.send_to(b"hello", at(here, 5300)).unwrap();
        let mut buffer = [0; 16];
        let read = socket.recv(&mut buffer).unwrap_or(0);
        *seen.entry(String::from_utf8_lossy(&buffer[..read]).into_owned()).or_default() += 1;
    }
    assert!(seen["ping"].abs_diff(210) < 50 && seen["pong"].abs_diff(90) < 50, "{seen:?}");
    drop(served.proxy);
    served.replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn backends_are_trusted_as_their_policies_say() {
    let keys = Arc::new(Keys::new(&["backend.example.com"]));
    let stranger = Keys::new(&["backend.example.com"]);
    let trusted = backend::tls(&keys.material("backend"), &keys.authority_pem);
    let foreign = backend::tls(&stranger.material("backend"), &stranger.authority_pem);
    let endpoints = BTreeMap::from([
        ("team-a/good", vec![trusted]),
        ("team-a/name", vec![trusted]),
        ("team-a/san", vec![trusted]),
        ("team-a/plain", vec![trusted]),
        ("team-a/foreign", vec![foreign]),
    ]);
    let here = "127.92.0.6";
    let yaml = r#"
gateways: [{ key: infra/web, assigned: [192.0.2.10], clientCertificate: { reference: { secret: infra/client }, sha256: "cd" } }]
backendTlsPolicies:
  - { key: team-a/good, hostname: backend.example.com, authorities: { bundles: [{ source: { configMap: team-a/ca }, sha256: "01" }] } }
  - { key: team-a/name, hostname: other.example.com, authorities: { bundles: [{ source: { configMap: team-a/ca }, sha256: "01" }] } }
  - { key: team-a/san, hostname: sni.example.com, subjectAltNames: [{ uri: "spiffe://x/y" }, { hostname: backend.example.com }], authorities: { bundles: [{ source: { configMap: team-a/ca }, sha256: "01" }] } }
ports:
  - listeners:
      - rules:
          - { http: { path: { prefix: /good } }, backends: [{ to: team-a/good:443, tlsPolicy: team-a/good }] }
          - { http: { path: { prefix: /name } }, backends: [{ to: team-a/name:443, tlsPolicy: team-a/name }] }
          - { http: { path: { prefix: /san } }, backends: [{ to: team-a/san:443, tlsPolicy: team-a/san }] }
          - { http: { path: { prefix: /foreign } }, backends: [{ to: team-a/foreign:443, tlsPolicy: team-a/good }] }
          - { http: { path: { prefix: /plain } }, backends: [{ to: team-a/plain:443, protocol: https }] }
  - { port: 443, protocol: TLS, listeners: [{ hostname: "*.example.com", tls: { mode: Passthrough }, rules: [{ hostname: "*.example.com", backends: [team-a/plain:443] }] }] }
"#;
    let served = serve_with(keys.clone(), here, yaml, &endpoints).await;
    let ask = |path: &str| get(at(here, 80), "www.example.com", path).unwrap();
    assert_eq!(ask("/good").body, "backend.example.com true");
    assert_eq!(ask("/san").body, "sni.example.com true");
    assert_eq!(ask("/plain").body, "www.example.com true");
    assert_eq!(ask("/name").status, 503);
    assert_eq!(ask("/foreign").status, 503);
    // What is passed through is the backend's own TLS.
    assert_eq!(secure(at(here, 443), "backend.example.com", "backend.example.com", &keys, false), Ok(200));
    assert!(secure(at(here, 443), "backend.example.org", "backend.example.org", &keys, false).is_err());
    drop(served.proxy);
    served.replica.stop().await;
}
