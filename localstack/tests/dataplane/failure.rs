//! The status codes that the load balancer makes by itself.

use std::{net::SocketAddr, time::Duration};

use portico_cloud::dataplane::config::{DataPlaneOptions, ProtocolVersion, Reachability, TargetProtocol, Timing};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::harness::{Backend, Client, Reply, World, fixed, forward, get, group, path, raw_backend, read_head, rule, soon};

/// A port on which nothing listens.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn assert_page(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(reply.header("server"), Some("awselb/2.0"), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("text/html"));
    assert!(reply.header("date").is_some());
    assert!(reply.body.contains(&format!("<title>{status} ")), "{reply:?}");
}

#[tokio::test]
async fn targets_that_cannot_answer() {
    let backend = Backend::start("a").await;
    let mut world = World::new();
    let mut blocked = group("blocked", &[backend.address]);
    blocked.targets[0].reachability = Reachability::Blocked;
    let mut http2 = group("http2", &[backend.address]);
    http2.version = ProtocolVersion::Http2;
    let mut grpc = group("grpc", &[backend.address]);
    grpc.version = ProtocolVersion::Grpc;
    let mut https = group("https", &[backend.address]);
    https.protocol = TargetProtocol::Https;
    let mut draining = group("draining", &[backend.address]);
    draining.targets[0].draining = true;
    let mut foreign = group("foreign", &[backend.address]);
    foreign.targets[0].zone = Some("zone-b".into());
    world.groups = vec![
        group("empty", &[]),
        group("refused", &[nowhere().await]),
        group("closes", &[raw_backend(b"").await]),
        group("garbage", &[raw_backend(b"no http at all\r\n\r\n").await]),
        group("truncated", &[raw_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten").await]),
        group("large", &[raw_backend(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(33 * 1024)).leak().as_bytes()).await]),
        group("unasked", &[raw_backend(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await]),
        group("fine", &[backend.address]),
        blocked,
        http2,
        grpc,
        https,
        draining,
        foreign,
    ];
    let expected = [
        ("empty", 503),
        ("draining", 503),
        ("foreign", 503),
        ("refused", 502),
        ("closes", 502),
        ("garbage", 502),
        ("large", 502),
        ("unasked", 502),
        ("https", 502),
        ("blocked", 504),
        ("http2", 464),
        ("grpc", 464),
    ];
    let mut rules: Vec<_> = (1..)
        .zip(expected)
        .map(|(priority, (name, _))| rule(priority, vec![path(&[&format!("/{name}")])], forward(&[(name, 1)])))
        .collect();
    rules.push(rule(100, vec![path(&["/zero"])], forward(&[("fine", 0), ("empty", 0)])));
    rules.push(rule(101, vec![path(&["/truncated"])], forward(&[("truncated", 1)])));
    let at = world.serve(rules, forward(&[("fine", 1)])).await;
    let mut client = Client::connect(at).await;
    for (name, status) in expected {
        assert_page(&client.get("h", &format!("/{name}")).await, status);
    }
    assert_page(&client.get("h", "/zero").await, 503);
    // A status of the target's own passes.
    let reply = client.get("h", "/status/503").await;
    assert_eq!((reply.status, reply.header("server")), (503, Some("backend")));
    // A response that breaks off half-way cannot become another status any more: the connection breaks off too.
    let mut client = Client::connect(at).await;
    client.stream.write_all(b"GET /truncated HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    assert_eq!(client.reply(false).await, None);
    world.plane.shutdown().await;
}

#[tokio::test]
async fn requests_that_are_refused_before_any_rule() {
    let backend = Backend::start("a").await;
    let mut world = World::new();
    world.groups = vec![group("a", &[backend.address])];
    let at = world.serve(vec![rule(1, vec![path(&["/fixed"])], fixed("fixed"))], forward(&[("a", 1)])).await;
    let long = "a".repeat(16 * 1024);
    let wide: String = (0..9).map(|index| format!("x{index}: {}\r\n", "y".repeat(8 * 1024))).collect();
    let many: String = (0..300).map(|index| format!("x{index}: y\r\n")).collect();
    let crowd = vec!["192.0.2.1"; 31].join(",");
    let rows = [
        ("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 405),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 400),
        (format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"), 414),
        // Longer than the HTTP parser itself takes.
        (format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(70_000)), 414),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nx: {long}\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{wide}\r\n"), 400),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {crowd}\r\n\r\n"), 463),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), 501),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(), 501),
        ("GET / HTTP/3.0\r\nHost: h\r\n\r\n".to_owned(), 505),
        ("rubbish\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n".to_owned(), 400),
    ];
    for (request, status) in rows {
        // The second request on a connection is judged as the first is.
        let mut client = Client::connect(at).await;
        assert_eq!(client.get("h", "/").await.status, 200);
        assert_page(&client.send(&request).await, status);
    }
    // An HTTP listener never speaks HTTP/2, neither with prior knowledge nor after an upgrade.
    let mut client = Client::connect(at).await;
    client.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    assert!(client.is_closed().await);
    let mut client = Client::connect(at).await;
    let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let reply = client.send(upgrade).await;
    assert!(reply.status == 200 && !reply.body.contains("upgrade:") && !reply.body.contains("http2-settings"), "{reply:?}");
    let mut client = Client::connect(at).await;
    let reply = client.send(&format!("GET /fixed HTTP/1.1\r\nHost: h\r\n{many}\r\n")).await;
    assert_eq!(reply.status, 200, "many short headers are fine");
    world.plane.shutdown().await;
}

#[tokio::test]
async fn what_takes_longer_than_the_idle_timeout() {
    let backend = Backend::start("a").await;
    // 60 s become 120 ms.
    let timing = Timing { idle_scale: 0.002, ..Timing::default() };
    let mut world = World::with(DataPlaneOptions { timing, ..DataPlaneOptions::default() });
    world.groups = vec![group("a", &[backend.address])];
    let at = world.serve(vec![rule(1, vec![path(&["/fixed"])], fixed("fixed"))], forward(&[("a", 1)])).await;
    // A target that does not answer.
    assert_page(&get(at, "h", "/slow/10000").await, 504);
    // A body that does not come: the target waits for it.
    let mut client = Client::connect(at).await;
    assert_page(&client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf").await, 504);
    // A head that does not come.
    let mut client = Client::connect(at).await;
    client.stream.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    assert_page(&client.reply(false).await.unwrap(), 408);
    assert!(client.is_closed().await);
    // A connection without a request, new or kept alive, is closed without a word.
    let mut client = Client::connect(at).await;
    assert!(client.is_closed().await);
    let mut client = Client::connect(at).await;
    assert_eq!(client.get("h", "/fixed").await.status, 200);
    assert!(client.is_closed().await);
    world.plane.shutdown().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let timing = Timing { idle_scale: 0.002, ..Timing::default() };
    let mut world = World::with(DataPlaneOptions { timing, ..DataPlaneOptions::default() });
    world.groups = vec![group("a", &[listener.local_addr().unwrap()])];
    world.groups[0].health_check.enabled = false;
    let at = world.serve(vec![], forward(&[("a", 1)])).await;
    let mut client = Client::connect(at).await;
    client.stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let (mut target, _) = soon(listener.accept()).await.unwrap();
    soon(read_head(&mut target)).await;
    // More than all buffers on the way take.
    let length = 256 * 1024 * 1024;
    target.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes()).await.unwrap();
    let chunk = vec![0; 1024 * 1024];
    let cut_off = soon(async {
        for _ in 0..256 {
            if target.write_all(&chunk).await.is_err() {
                return true;
            }
        }
        false
    });
    assert!(cut_off.await);
    world.plane.shutdown().await;
}

#[tokio::test]
async fn a_client_connection_lives_as_long_as_its_attribute_says() {
    // 3600 s become 180 ms; the idle timeout is made long enough to play no part.
    let timing = Timing { idle_scale: 0.00005, ..Timing::default() };
    let mut world = World::with(DataPlaneOptions { timing, ..DataPlaneOptions::default() });
    let at = world.serve(vec![], fixed("here")).await;
    world.load_balancers[0].attributes.idle_timeout = Duration::from_secs(1_000_000);
    world.apply().await;
    let mut client = Client::connect(at).await;
    let mut served = 0;
    // Bounded by the connection's age.
    let ended = soon(async {
        loop {
            if client.stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.is_err() {
                break;
            }
            let Some(reply) = client.reply(false).await else { break };
            served += 1;
            if reply.header("connection") == Some("close") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    ended.await;
    assert!(served > 1);
    assert!(client.is_closed().await);
    world.plane.shutdown().await;
}
