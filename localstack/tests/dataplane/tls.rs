//! HTTPS: certificates by server name, versions, HTTP/2, targets over TLS, new certificates without a lost request.

use std::sync::{Arc, Mutex};

use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portico_cloud::dataplane::config::{ListenerProtocol, ProtocolVersion, ServerCertificate, TargetProtocol, Tls};
use portico_cloud::dataplane::health::HealthState::Healthy;
use portico_cloud::x509::{self, SecretKey};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::harness::{Backend, Client, PATIENCE, World, fixed, forward, group, listener, soon};
use super::harness::{PORT, address, load_balancer};

/// A self-signed certificate for a name.
pub fn certificate(name: &str) -> Arc<ServerCertificate> {
    let key = KeyPair::generate().unwrap();
    let made = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    Arc::new(ServerCertificate {
        id: name.into(),
        facts: x509::facts(made.der()).unwrap(),
        chain: vec![made.der().clone()],
        key: SecretKey(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))),
    })
}

pub fn tls(default: &Arc<ServerCertificate>, others: &[&Arc<ServerCertificate>]) -> Tls {
    Tls {
        default: Arc::clone(default),
        others: others.iter().map(|other| Arc::clone(other)).collect(),
        tls12: true,
        tls13: true,
        ciphers: vec!["TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"],
        headers: None,
        clients: None,
    }
}

/// A world with one HTTPS listener.
pub async fn world(tls: Tls, groups: Vec<portico_cloud::dataplane::config::TargetGroup>) -> (World, std::net::SocketAddr) {
    let mut world = World::new();
    let action = if groups.is_empty() { fixed("here") } else { forward(&[("g", 1)]) };
    world.groups = groups;
    let address = address();
    let mut listener = listener(PORT, vec![], action);
    listener.protocol = ListenerProtocol::Https;
    listener.tls = Some(tls);
    world.load_balancers.push(load_balancer(address, vec![listener]));
    world.apply().await;
    (world, (address, PORT).into())
}

/// A client that trusts these certificates.
pub fn client(
    trusted: &[&Arc<ServerCertificate>],
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.chain[0].clone()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

pub const BOTH: &[&rustls::SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

pub async fn connect(at: std::net::SocketAddr, name: &str, config: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = soon(TcpStream::connect(at)).await.unwrap();
    soon(TlsConnector::from(Arc::clone(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream)).await
}

/// The certificate that the server shows.
pub fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

async fn http2(at: std::net::SocketAddr, name: &str, config: &Arc<ClientConfig>) -> SendRequest<Full<Bytes>> {
    let stream = connect(at, name, config).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> (http::response::Parts, String, Option<http::HeaderMap>) {
    let (head, body) = soon(sender.send_request(request)).await.unwrap().into_parts();
    let body = soon(body.collect()).await.unwrap();
    let trailers = body.trailers().cloned();
    (head, String::from_utf8(body.to_bytes().to_vec()).unwrap(), trailers)
}

fn get(uri: &str) -> Request<Full<Bytes>> {
    Request::get(uri).body(Full::default()).unwrap()
}

#[tokio::test]
async fn the_server_name_chooses_and_the_default_serves_the_rest() {
    let (a, b, default) = (certificate("a.example"), certificate("*.b.example"), certificate("default.example"));
    let (world, at) = world(tls(&default, &[&a, &b]), vec![]).await;
    let trusting = client(&[&a, &b], BOTH, &["http/1.1"]);
    for (name, expected) in [("a.example", &a), ("x.b.example", &b)] {
        let mut client = Client::over(connect(at, name, &trusting).await.unwrap());
        let reply = client.get(name, "/").await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "here"));
        assert_eq!(shown(&client.stream), expected.chain[0], "{name}");
    }
    // Another name gets the default certificate, which is not for it.
    let error = connect(at, "c.example", &client(&[&default], BOTH, &[])).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(shown(&connect(at, "default.example", &client(&[&default], BOTH, &[])).await.unwrap()), default.chain[0]);
    world.plane.shutdown().await;
}

#[tokio::test]
async fn versions_follow_the_policy() {
    let a = certificate("a.example");
    let (mut world, at) = world(tls(&a, &[]), vec![]).await;
    for (tls12, tls13) in [(true, true), (true, false), (false, true)] {
        let listener = world.listener();
        listener.tls = Some(Tls { tls12, tls13, ..tls(&a, &[]) });
        world.apply().await;
        for (version, expected) in [(&version::TLS12, tls12), (&version::TLS13, tls13)] {
            let connected = connect(at, "a.example", &client(&[&a], &[version], &[])).await;
            assert_eq!(connected.is_ok(), expected, "{version:?} with {tls12}/{tls13}: {connected:?}");
        }
    }
    world.plane.shutdown().await;
}

#[tokio::test]
async fn targets_learn_the_protocol_and_tls_of_the_client() {
    let backend = Backend::start("a").await;
    let a = certificate("a.example");
    let mut wanted = tls(&a, &[]);
    wanted.headers = Some(("X-Version".into(), "x-cipher".into()));
    let (world, at) = world(wanted, vec![group("g", &[backend.address])]).await;
    let mut client = Client::over(connect(at, "a.example", &client(&[&a], &[&version::TLS12], &[])).await.unwrap());
    let reply = client.send("GET /x HTTP/1.1\r\nHost: a.example\r\nX-Version: spoofed\r\nX-Forwarded-Proto: http\r\n\r\n").await;
    for line in
        ["x-forwarded-proto: https", &format!("x-forwarded-port: {PORT}"), "x-version: TLSv1.2", "x-cipher: ECDHE-ECDSA-AES128-GCM-SHA256"]
    {
        reply.assert_line(line);
    }
    world.plane.shutdown().await;
}

#[tokio::test]
async fn http2_clients_are_served_by_http1_targets() {
    let backend = Backend::start("a").await;
    let a = certificate("a.example");
    let (mut world, at) = world(tls(&a, &[]), vec![group("g", &[backend.address])]).await;
    let trusting = client(&[&a], BOTH, &["h2", "http/1.1"]);
    let mut sender = http2(at, "a.example", &trusting).await;
    let mut request = get("https://a.example/x?y=1");
    request.headers_mut().append("cookie", "a=1".parse().unwrap());
    request.headers_mut().append("cookie", "b=2".parse().unwrap());
    let (head, body, _) = ask(&mut sender, request).await;
    assert_eq!((head.status.as_u16(), head.version), (200, Version::HTTP_2));
    assert!(head.headers.contains_key("date") && !head.headers.contains_key("connection"), "{head:?}");
    for line in ["GET /x?y=1", "host: a.example:18080", "cookie: a=1; b=2", "x-forwarded-proto: https"] {
        assert!(body.lines().any(|found| found == line), "no {line:?} in {body}");
    }
    // Requests overlap on one connection.
    let slow = (0..20).map(|_| {
        let mut sender = sender.clone();
        async move { ask(&mut sender, get("https://a.example/slow/200")).await.0.status.as_u16() }
    });
    let started = std::time::Instant::now();
    assert_eq!(futures::future::join_all(slow).await, vec![200; 20]);
    assert!(started.elapsed() < PATIENCE.min(std::time::Duration::from_secs(3)), "they overlap");
    // A body goes up, and an error page of the load balancer comes down.
    let posted = Request::post("https://a.example/").body(Full::from("hello")).unwrap();
    assert!(ask(&mut sender, posted).await.1.ends_with("\nhello"));
    world.groups[0].targets.clear();
    world.apply().await;
    assert_eq!(ask(&mut sender, get("https://a.example/")).await.0.status.as_u16(), 503);
    // Switched off, HTTP/2 is not offered any more.
    world.load_balancers[0].attributes.http2 = false;
    world.apply().await;
    let stream = connect(at, "a.example", &trusting).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    world.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_served_at_once_and_no_request_is_lost() {
    let backend = Backend::start("a").await;
    let mut certificates = vec![certificate("a.example")];
    let (mut world, at) = world(tls(&certificates[0], &[]), vec![group("g", &[backend.address])]).await;
    let first = client(&[&certificates[0]], BOTH, &[]);
    let mut kept = Client::over(connect(at, "a.example", &first).await.unwrap());
    for round in 0..20 {
        let next = certificate("a.example");
        world.listener().tls = Some(tls(&next, &[]));
        world.apply().await;
        certificates.push(next.clone());
        // The open connection goes on, with the first certificate; a new one gets the new one.
        assert_eq!(kept.get("a.example", "/").await.status, 200, "round {round}");
        let mut fresh = Client::over(connect(at, "a.example", &client(&[&next], BOTH, &[])).await.unwrap());
        assert_eq!(fresh.get("a.example", "/").await.status, 200, "round {round}");
        assert_eq!((shown(&kept.stream), shown(&fresh.stream)), (certificates[0].chain[0].clone(), next.chain[0].clone()));
    }
    world.plane.shutdown().await;
}

/// An HTTP/2 server, with TLS or without, that tells what it saw; it sets a trailer.
async fn http2_backend(tls: Option<Arc<ServerCertificate>>) -> (std::net::SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let acceptor = tls.map(|certificate| {
        let builder =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_no_client_auth().with_single_cert(certificate.chain.clone(), certificate.key.0.clone_key()).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (record, acceptor) = (Arc::clone(&record), acceptor.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let record = Arc::clone(&record);
                    async move {
                        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
                        record.lock().unwrap().push(format!("{} {host} {}", request.method(), request.uri().path()));
                        let te = request.headers().get("te").is_some_and(|te| te == "trailers");
                        let trailers = http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), "12".parse().unwrap())]);
                        let body = Full::<Bytes>::from(format!("te: {te}")).with_trailers(async move { Some(Ok(trailers)) });
                        Ok::<_, std::convert::Infallible>(Response::new(body))
                    }
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                match acceptor {
                    None => drop(server.serve_connection(TokioIo::new(stream), service).await),
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            drop(server.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                }
            });
        }
    });
    (at, seen)
}

/// AWS, "Target groups: protocol version", row by row: the client's protocol, the group's version, the status.
#[tokio::test]
async fn protocol_versions_of_client_and_target_group() {
    let (plain, seen) = http2_backend(None).await;
    let (secret, _) = http2_backend(Some(certificate("target.example"))).await;
    let http1 = Backend::start("one").await;
    let a = certificate("a.example");
    let trusting = client(&[&a], BOTH, &["h2", "http/1.1"]);
    let old = client(&[&a], BOTH, &["http/1.1"]);
    let request = |kind: &str| match kind {
        "grpc" => Request::post("https://a.example/svc/m").header("content-type", "application/grpc").body(Full::from("x")).unwrap(),
        "post" => Request::post("https://a.example/svc/m").body(Full::from("x")).unwrap(),
        _ => get("https://a.example/svc/m"),
    };
    let rows = [
        ("http1", ProtocolVersion::Http1, 200),
        ("http1", ProtocolVersion::Http2, 464),
        ("http1", ProtocolVersion::Grpc, 464),
        ("get", ProtocolVersion::Http1, 200),
        ("get", ProtocolVersion::Http2, 200),
        ("get", ProtocolVersion::Grpc, 464),
        ("post", ProtocolVersion::Grpc, 200),
        ("grpc", ProtocolVersion::Http1, 464),
        ("grpc", ProtocolVersion::Http2, 200),
        ("grpc", ProtocolVersion::Grpc, 200),
    ];
    for (protocol, target) in [(TargetProtocol::Http, plain), (TargetProtocol::Https, secret)] {
        for (kind, version, status) in rows {
            let target = if version == ProtocolVersion::Http1 { http1.address } else { target };
            let mut wanted = group("g", &[target]);
            wanted.version = version;
            wanted.protocol = if version == ProtocolVersion::Http1 { TargetProtocol::Http } else { protocol };
            wanted.health_check.protocol = wanted.protocol;
            if version == ProtocolVersion::Grpc {
                wanted.health_check.matcher = portico_cloud::dataplane::config::Matcher::Grpc("12".into());
            }
            let (world, at) = world(tls(&a, &[]), vec![wanted]).await;
            world.until("g", target, Healthy).await;
            let found = if kind == "http1" {
                Client::over(connect(at, "a.example", &old).await.unwrap()).get("a.example", "/svc/m").await.status
            } else {
                let mut sender = http2(at, "a.example", &trusting).await;
                let (head, body, trailers) = ask(&mut sender, request(kind)).await;
                if status == 200 && version != ProtocolVersion::Http1 {
                    assert_eq!(body, "te: true");
                    assert_eq!(trailers.unwrap()["grpc-status"], "12");
                }
                head.status.as_u16()
            };
            assert_eq!(found, status, "{kind} to {version:?} over {protocol:?}");
            world.plane.shutdown().await;
        }
    }
    assert!(seen.lock().unwrap().iter().any(|line| line == "POST a.example:18080 /svc/m"), "{seen:?}");
}

#[tokio::test]
async fn https_targets_need_no_valid_certificate() {
    // A server whose certificate is for another name and of no known authority, over HTTP/1.1.
    let certificate_of_target = certificate("somebody.else");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let builder =
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions().unwrap();
    let (chain, key) = (certificate_of_target.chain.clone(), certificate_of_target.key.0.clone_key());
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| async move {
                    let name = if request.uri().path() == "/health" { "" } else { "secret\n" };
                    Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from(name)))
                });
                if let Ok(stream) = acceptor.accept(stream).await {
                    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                }
            });
        }
    });
    let plain = Backend::start("plain").await;
    let a = certificate("a.example");
    let mut groups = vec![group("g", &[target]), group("no-tls", &[plain.address])];
    for group in &mut groups {
        group.protocol = TargetProtocol::Https;
        group.health_check.protocol = TargetProtocol::Https;
    }
    let (mut world, at) = world(tls(&a, &[]), groups).await;
    world.until("g", target, Healthy).await;
    let mut client = Client::over(connect(at, "a.example", &client(&[&a], BOTH, &[])).await.unwrap());
    assert_eq!(client.get("a.example", "/").await.from(), "secret");
    assert_eq!(client.get("a.example", "/").await.from(), "secret", "on a pooled connection");
    // A target that speaks no TLS: 502.
    world.listener().default_rule.action = forward(&[("no-tls", 1)]);
    world.apply().await;
    assert_eq!(client.get("a.example", "/").await.status, 502);
    world.plane.shutdown().await;
}
