//! TLS listeners.

use std::net::SocketAddr;

use portico_cloud::dataplane::{
    config::{NetworkProtocol::Tls, TargetProtocol},
    health::HealthState::Healthy,
};
use rustls::{ServerConfig, crypto::aws_lc_rs, version};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::super::harness::{World, soon};
use super::super::tls::{BOTH, certificate, client, connect, shown, tls};
use super::{Echo, flows, serve};

/// What the client offers, the policy's list, what is agreed. ("ALPN policies": "the load balancer establishes the connection based on the preference
/// list of the ALPN policy. Otherwise, the load balancer does not use ALPN.")
const NEGOTIATIONS: &[(&[&str], &[&str], Option<&str>)] = &[
    // HTTP1Only.
    (&["h2", "http/1.1"], &["http/1.1", "http/1.0"], Some("http/1.1")),
    (&["http/1.0"], &["http/1.1", "http/1.0"], Some("http/1.0")),
    (&["h2"], &["http/1.1", "http/1.0"], None),
    // HTTP2Only.
    (&["http/1.1", "h2"], &["h2"], Some("h2")),
    (&["http/1.1"], &["h2"], None),
    // HTTP2Optional.
    (&["h2", "http/1.1"], &["http/1.1", "http/1.0", "h2"], Some("http/1.1")),
    (&["h2"], &["http/1.1", "http/1.0", "h2"], Some("h2")),
    // HTTP2Preferred.
    (&["http/1.1", "h2"], &["h2", "http/1.1", "http/1.0"], Some("h2")),
    (&["http/1.0", "http/1.1"], &["h2", "http/1.1", "http/1.0"], Some("http/1.1")),
    (&["other"], &["h2", "http/1.1", "http/1.0"], None),
    (&[], &["h2", "http/1.1", "http/1.0"], None),
    // None.
    (&["h2", "http/1.1"], &[], None),
];

#[tokio::test]
async fn it_ends_at_the_load_balancer() {
    let server = Echo::start("plain").await;
    let (a, b) = (certificate("a.example"), certificate("b.example"));
    let mut world = World::new();
    let at = serve(&mut world, Tls, flows("g", &[server.address])).await;
    world.network[0].listeners[0].tls = Some(tls(&a, &[&b]));
    world.apply().await;
    world.until("g", server.address, Healthy).await;
    // The server name chooses; the default certificate serves the rest.
    let trusting = client(&[&a, &b], BOTH, &[]);
    for (name, chosen) in [("a.example", &a), ("b.example", &b)] {
        let mut stream = connect(at, name, &trusting).await.unwrap();
        assert_eq!(shown(&stream), chosen.chain[0]);
        let mut greeting = [0; 6];
        soon(stream.read_exact(&mut greeting)).await.unwrap();
        assert_eq!(&greeting, b"plain ");
        stream.write_all(b"secret").await.unwrap();
    }
    assert!(connect(at, "c.example", &trusting).await.is_err(), "the default certificate is not for it");
    // Versions follow the policy.
    let mut only13 = tls(&a, &[]);
    only13.tls12 = false;
    world.network[0].listeners[0].tls = Some(only13);
    world.apply().await;
    assert!(connect(at, "a.example", &client(&[&a], &[&version::TLS12], &[])).await.is_err());
    assert!(connect(at, "a.example", &client(&[&a], &[&version::TLS13], &[])).await.is_ok());
    for (offered, policy, agreed) in NEGOTIATIONS {
        world.network[0].listeners[0].alpn = policy.to_vec();
        world.apply().await;
        let stream = connect(at, "a.example", &client(&[&a], BOTH, offered)).await.unwrap();
        let found = stream.get_ref().1.alpn_protocol().map(|name| std::str::from_utf8(name).unwrap());
        assert_eq!(found, *agreed, "{offered:?} to {policy:?}");
    }
    world.plane.shutdown().await;
}

/// A TLS server that says what was negotiated, and then sends back what comes.
async fn secret_echo(alpn: &[&str]) -> SocketAddr {
    let own = certificate("somebody.else");
    let builder = ServerConfig::builder_with_provider(std::sync::Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(own.chain.clone(), own.key.0.clone_key()).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let alpn = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap());
                let _ = stream.write_all(format!("{}\n", alpn.unwrap_or_default()).as_bytes()).await;
                let (mut read, mut write) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

/// "The load balancer establishes TLS connections with the targets … does not validate these certificates."
#[tokio::test]
async fn targets_over_tls_need_no_valid_certificate() {
    let target = secret_echo(&["h2", "http/1.1"]).await;
    let a = certificate("a.example");
    let mut world = World::new();
    let mut group = flows("g", &[target]);
    group.protocol = TargetProtocol::Tls;
    let at = serve(&mut world, Tls, group).await;
    world.network[0].listeners[0].tls = Some(tls(&a, &[]));
    world.network[0].listeners[0].alpn = vec!["h2", "http/1.1"];
    world.apply().await;
    world.until("g", target, Healthy).await;
    for (offered, told) in [(&["h2"][..], "h2\n"), (&["http/1.1"], "http/1.1\n"), (&[], "\n")] {
        let mut stream = connect(at, "a.example", &client(&[&a], BOTH, offered)).await.unwrap();
        stream.write_all(b"there and back").await.unwrap();
        let mut answer = vec![0; told.len() + 14];
        soon(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer, [told.as_bytes(), b"there and back"].concat());
    }
    // A target that speaks no TLS: the connection ends.
    let plain = Echo::start("plain").await;
    let mut group = flows("g", &[plain.address]);
    group.protocol = TargetProtocol::Tls;
    world.groups = vec![group];
    world.apply().await;
    world.until("g", plain.address, Healthy).await;
    let mut stream = connect(at, "a.example", &client(&[&a], BOTH, &[])).await.unwrap();
    assert!(soon(stream.read_u8()).await.is_err());
    world.plane.shutdown().await;
}
