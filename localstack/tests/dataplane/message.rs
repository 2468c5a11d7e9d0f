//! Messages on their way: framing, bodies, connections, upgrades.

use std::sync::atomic::Ordering;

use portico_cloud::dataplane::config::{DesyncMitigation, ForwardedFor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::harness::{Backend, Client, World, fixed, forward, group, read_head, soon};

#[tokio::test]
async fn bodies_pass_in_every_framing() {
    let backend = Backend::start("a").await;
    let mut world = World::new();
    world.groups = vec![group("g", &[backend.address])];
    let at = world.serve(vec![], forward(&[("g", 1)])).await;
    let mut client = Client::connect(at).await;
    let reply = client.send("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello").await;
    reply.assert_line("content-length: 5");
    reply.assert_line("hello");
    let reply = client.send("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n").await;
    reply.assert_line("transfer-encoding: chunked");
    reply.assert_line("hello!");
    let large = "0123456789".repeat(300_000);
    let reply = client.send(&format!("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{large}", large.len())).await;
    assert!(reply.body.ends_with(&large));
    let reply = client.send("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(reply.status, 200);
    assert!(reply.header("content-length").is_some_and(|length| length != "0"));

    // Two requests at once are answered in turn.
    client.stream.write_all(b"GET /one HTTP/1.1\r\nHost: h\r\n\r\nGET /two HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    client.reply(false).await.unwrap().assert_line("GET /one");
    client.reply(false).await.unwrap().assert_line("GET /two");

    // The load balancer itself invites the body.
    client.stream.write_all(b"PUT /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await.unwrap();
    assert_eq!(soon(read_head(&mut client.stream)).await, "HTTP/1.1 100 Continue\r\n\r\n");
    let reply = client.send("hello").await;
    reply.assert_line("hello");
    assert!(!reply.body.contains("expect:"));

    // HTTP/1.0 closes, and may leave the Host header out.
    let mut old = Client::connect(at).await;
    let reply = old.send("GET /old HTTP/1.0\r\n\r\n").await;
    reply.assert_line("GET /old");
    assert!(old.is_closed().await);
    world.plane.shutdown().await;
}

#[tokio::test]
async fn header_names_keep_their_spelling_towards_targets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut world = World::new();
    world.groups = vec![group("g", &[address])];
    world.groups[0].health_check.enabled = false;
    let at = world.serve(vec![], forward(&[("g", 1)])).await;
    let mut client = Client::connect(at).await;
    let request = "GET /Path HTTP/1.1\r\nHost: h\r\nX-MiXeD: Value\r\nConnection: X-Drop\r\nX-Drop: 1\r\nx_y: 1\r\nTE: trailers\r\n\r\n";
    client.stream.write_all(request.as_bytes()).await.unwrap();
    let (mut target, _) = soon(listener.accept()).await.unwrap();
    let head = soon(read_head(&mut target)).await;
    assert!(head.starts_with("GET /Path HTTP/1.1\r\n"), "{head}");
    for line in ["X-MiXeD: Value", "X-Forwarded-Proto: http", "x_y: 1", "Host: h:18080"] {
        assert!(head.lines().any(|found| found == line), "no {line} in {head}");
    }
    for absent in ["x-drop", "connection", "te:", "x-forwarded-host"] {
        assert!(!head.to_lowercase().lines().any(|line| line.starts_with(absent)), "{absent} in {head}");
    }
    target.write_all(b"HTTP/1.1 299 Strange\r\nX-OdD: 1\r\nKeep-Alive: 5\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let reply = client.reply(false).await.unwrap();
    assert!(reply.head.starts_with("HTTP/1.1 299 Strange\r\n"), "{}", reply.head);
    assert!(reply.head.contains("X-OdD: 1\r\n"), "{}", reply.head);
    assert_eq!(reply.header("keep-alive"), None);
    assert!(reply.header("date").is_some());
    world.plane.shutdown().await;
}

#[tokio::test]
async fn attributes_change_headers_between_two_requests() {
    let backend = Backend::start("a").await;
    let mut world = World::new();
    world.groups = vec![group("g", &[backend.address])];
    let at = world.serve(vec![], forward(&[("g", 1)])).await;
    let mut client = Client::connect(at).await;
    let request = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.9\r\nx_y: 1\r\n\r\n";
    let reply = client.send(request).await;
    reply.assert_line("x-forwarded-for: 192.0.2.9, 127.0.0.1");
    reply.assert_line("x_y: 1");

    let attributes = &mut world.load_balancers[0].attributes;
    attributes.forwarded_for = ForwardedFor::Remove;
    attributes.drop_invalid_header_fields = true;
    let listener = &mut world.listener().attributes;
    listener.server_header = false;
    listener.response_headers = vec![("Strict-Transport-Security".into(), "max-age=60".into())];
    world.apply().await;
    let reply = client.send(request).await;
    assert!(!reply.body.contains("x-forwarded-for") && !reply.body.contains("x_y"), "{}", reply.body);
    assert_eq!((reply.header("server"), reply.header("strict-transport-security")), (None, Some("max-age=60")));

    world.load_balancers[0].attributes.desync_mitigation = DesyncMitigation::Strictest;
    world.listener().default_rule.action = fixed("own");
    world.apply().await;
    let reply = client.send(request).await;
    assert_eq!(reply.status, 400, "x_y is not compliant");
    assert_eq!((reply.header("server"), reply.header("strict-transport-security")), (None, Some("max-age=60")));

    world.load_balancers[0].attributes.desync_mitigation = DesyncMitigation::Defensive;
    world.apply().await;
    let mut client = Client::connect(at).await;
    let reply = client.send("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx").await;
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")), "ambiguous: served, then closed");
    world.plane.shutdown().await;
}

#[tokio::test]
async fn connections_to_targets_are_shared() {
    let backend = Backend::start("a").await;
    let mut world = World::new();
    world.groups = vec![group("g", &[backend.address])];
    world.groups[0].health_check.enabled = false;
    let at = world.serve(vec![], forward(&[("g", 1)])).await;
    for _ in 0..5 {
        let mut client = Client::connect(at).await;
        for _ in 0..4 {
            assert_eq!(client.get("h", "/").await.status, 200);
        }
    }
    let connections = backend.connections.load(Ordering::SeqCst);
    assert!(connections <= 5, "20 requests took {connections} connections");
    world.plane.shutdown().await;
}

#[tokio::test]
async fn a_pooled_connection_that_its_target_closed_costs_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut world = World::new();
    world.groups = vec![group("g", &[address])];
    world.groups[0].health_check.enabled = false;
    let at = world.serve(vec![], forward(&[("g", 1)])).await;
    let mut client = Client::connect(at).await;
    let mut earlier = None;
    for _ in 0..10 {
        // Nothing else runs between these two: the load balancer meets the request first, and the end of its connection when it sends.
        let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!(client.stream.try_write(request).unwrap(), request.len());
        drop(earlier.take());
        let (mut target, _) = soon(listener.accept()).await.unwrap();
        soon(read_head(&mut target)).await;
        target.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        let reply = client.reply(false).await.unwrap();
        assert_eq!((reply.status, reply.body.as_str()), (200, "ok"));
        earlier = Some(target);
    }
    world.plane.shutdown().await;
}

#[tokio::test]
async fn websockets_pass_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut world = World::new();
    world.groups = vec![group("g", &[address])];
    world.groups[0].health_check.enabled = false;
    let at = world.serve(vec![], forward(&[("g", 1)])).await;
    let mut client = Client::connect(at).await;
    let request = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    client.stream.write_all(request.as_bytes()).await.unwrap();
    let (mut target, _) = soon(listener.accept()).await.unwrap();
    let head = soon(read_head(&mut target)).await.to_lowercase();
    for line in ["connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13", "x-forwarded-for: 127.0.0.1"] {
        assert!(head.lines().any(|found| found == line), "no {line} in {head}");
    }
    let accept = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfirst";
    target.write_all(accept).await.unwrap();
    let reply = client.reply(true).await.unwrap();
    assert_eq!(reply.status, 101);
    assert_eq!(reply.header("upgrade"), Some("websocket"));
    assert_eq!(reply.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let mut bytes = [0; 5];
    soon(client.stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"first");
    // Bytes that are no HTTP pass both ways.
    for round in 0..20_u8 {
        client.stream.write_all(&[round, 0, 255]).await.unwrap();
        let mut there = [0; 3];
        soon(target.read_exact(&mut there)).await.unwrap();
        assert_eq!(there, [round, 0, 255]);
        target.write_all(&[round; 4]).await.unwrap();
        let mut back = [0; 4];
        soon(client.stream.read_exact(&mut back)).await.unwrap();
        assert_eq!(back, [round; 4]);
    }
    // A change of rules leaves it alone; the end of one side ends the other.
    world.listener().default_rule.action = fixed("other");
    world.apply().await;
    client.stream.write_all(b"still").await.unwrap();
    let mut there = [0; 5];
    soon(target.read_exact(&mut there)).await.unwrap();
    drop(target);
    assert!(client.is_closed().await);
    world.plane.shutdown().await;
}
