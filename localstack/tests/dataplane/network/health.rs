//! Target health behind network load balancers, and what it does to flows.

use std::time::Duration;

use portico_cloud::dataplane::{
    config::{DataPlaneOptions, Matcher, NetworkProtocol::Tcp, TargetProtocol, Timing},
    health::HealthState::{Draining, Healthy, Unhealthy, UnhealthyDraining},
};
use tokio::{io::AsyncReadExt, net::TcpListener};

use super::super::harness::{Backend, World, raw_backend, read_head, soon};
use super::{Caller, Echo, ME, flows, options, serve};

/// A world with two targets, and connections to the first of them.
async fn pair() -> (World, std::net::SocketAddr, Echo, Echo) {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let timing = Timing { health_check_scale: 0.01, connect_timeout: Duration::from_millis(100), ..Timing::default() };
    let mut world = World::with(DataPlaneOptions { timing, seed: Some(42), ..DataPlaneOptions::default() });
    let at = serve(&mut world, Tcp, flows("g", &[a.address, b.address])).await;
    world.until("g", a.address, Healthy).await;
    world.until("g", b.address, Healthy).await;
    (world, at, a, b)
}

/// A connection to the server with this name.
async fn to(name: &str, at: std::net::SocketAddr) -> Caller {
    for _ in 0..100 {
        let caller = Caller::connect(at).await;
        if caller.server() == name {
            return caller;
        }
    }
    panic!("100 connections never met {name}");
}

/// "If a target becomes unhealthy, the load balancer sends a TCP RST for packets received on the client connections associated with the target,
/// unless the unhealthy target triggers the load balancer to fail open."
#[tokio::test]
async fn connections_to_unhealthy_targets_are_reset_unless_it_fails_open() {
    let (world, at, mut a, mut b) = pair().await;
    let (mut first, mut second) = (to("a", at).await, to("b", at).await);
    a.deafen().await;
    assert_eq!(world.until("g", a.address, Unhealthy).await, Some("Target.FailedHealthChecks"));
    assert!(first.is_reset().await);
    assert!(second.echoes("healthy").await);
    for _ in 0..8 {
        assert_eq!(Caller::connect(at).await.server(), "b");
    }
    // With the last one it fails open: connections go on, and new ones go to all targets.
    b.deafen().await;
    world.until("g", b.address, Unhealthy).await;
    assert!(second.echoes("fail open").await);
    let b = Echo::at("b", b.address).await;
    let mut met = 0;
    for _ in 0..64 {
        met += usize::from(Caller::try_from(at, ME).await.is_ok());
        if met > 0 {
            break;
        }
    }
    assert!(met > 0);
    // A target that recovers ends that for the other one.
    let mut other = Echo::at("a", a.address).await;
    world.until("g", b.address, Healthy).await;
    world.until("g", a.address, Healthy).await;
    let mut late = to("a", at).await;
    other.deafen().await;
    assert!(late.is_reset().await);
    world.plane.shutdown().await;
}

/// "With connection termination disabled … established connections are kept active", "targets in unhealthy.draining state … retain established
/// connections for the configured interval".
#[tokio::test]
async fn connections_to_unhealthy_targets_may_drain() {
    let (mut world, at, mut a, _b) = pair().await;
    options(&mut world).terminate_unhealthy = false;
    // 400 s become 4 s.
    options(&mut world).unhealthy_draining = Duration::from_secs(400);
    world.groups[0].health_check.unhealthy_draining = Duration::from_secs(400);
    world.apply().await;
    let mut caller = to("a", at).await;
    a.deafen().await;
    assert_eq!(world.until("g", a.address, UnhealthyDraining).await, Some("Target.FailedHealthChecks"));
    assert!(caller.echoes("drains").await);
    assert_eq!(Caller::connect(at).await.server(), "b", "it gets no new connections");
    world.until("g", a.address, Unhealthy).await;
    assert!(caller.is_reset().await);
    // Without an interval they are kept.
    options(&mut world).unhealthy_draining = Duration::ZERO;
    world.groups[0].health_check.unhealthy_draining = Duration::ZERO;
    world.apply().await;
    let mut again = Echo::at("a", a.address).await;
    world.until("g", a.address, Healthy).await;
    let mut caller = to("a", at).await;
    again.deafen().await;
    world.until("g", a.address, Unhealthy).await;
    assert!(caller.echoes("kept").await);
    world.plane.shutdown().await;
}

/// "The load balancer stops creating new connections to the target … If you enable the target group attribute for connection termination,
/// connections to deregistered targets are closed shortly after the end of the deregistration timeout."
#[tokio::test]
async fn deregistered_targets_keep_their_connections_or_not() {
    for terminate in [false, true] {
        let (mut world, at, a, _b) = pair().await;
        options(&mut world).terminate_deregistered = terminate;
        let mut caller = to("a", at).await;
        world.groups[0].targets[0].draining = true;
        world.apply().await;
        world.until("g", a.address, Draining).await;
        for _ in 0..8 {
            assert_eq!(Caller::connect(at).await.server(), "b");
        }
        assert!(caller.echoes("drains").await);
        world.groups[0].targets.remove(0);
        world.apply().await;
        if terminate {
            assert!(caller.is_reset().await);
        } else {
            assert!(caller.echoes("goes on").await);
        }
        world.plane.shutdown().await;
    }
}

/// What a target does, the health check's protocol, whether it is healthy. ("HealthCheckProtocol", "Matcher"; reasons: "Target.FailedHealthChecks".)
#[tokio::test]
async fn health_checks_of_each_protocol() {
    let web = Backend::start("web").await;
    let broken = raw_backend(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
    let redirecting = raw_backend(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n").await;
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let rows = [
        (web.address, TargetProtocol::Tcp, "200-399", true),
        (web.address, TargetProtocol::Http, "200-399", true),
        (web.address, TargetProtocol::Https, "200-399", false),
        (broken, TargetProtocol::Tcp, "200-399", true),
        (broken, TargetProtocol::Http, "200-399", false),
        (broken, TargetProtocol::Http, "200-599", true),
        (redirecting, TargetProtocol::Http, "200-399", true),
        (redirecting, TargetProtocol::Http, "200", false),
        (nowhere, TargetProtocol::Tcp, "200-399", false),
        (nowhere, TargetProtocol::Http, "200-399", false),
    ];
    for (target, protocol, codes, healthy) in rows {
        let mut world = World::new();
        let mut group = flows("g", &[target]);
        group.health_check.protocol = protocol;
        group.health_check.matcher = Matcher::Http(codes.into());
        serve(&mut world, Tcp, group).await;
        let (state, reason) = if healthy { (Healthy, None) } else { (Unhealthy, Some("Target.FailedHealthChecks")) };
        assert_eq!(world.until("g", target, state).await, reason, "{target} {protocol:?} {codes}");
        world.plane.shutdown().await;
    }
}

/// "The host header contains the IP address of the load balancer node and the listener port", "after you enable proxy protocol, the proxy protocol
/// header is also included in health check connections … the client connection information is not sent".
#[tokio::test]
async fn what_a_health_check_sends() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut group = flows("g", &[socket.local_addr().unwrap()]);
    group.health_check.protocol = TargetProtocol::Http;
    group.health_check.host = Some("10.0.0.7:443".into());
    group.health_check.proxy_protocol = true;
    let mut world = World::new();
    serve(&mut world, Tcp, group).await;
    let (mut stream, _) = soon(socket.accept()).await.unwrap();
    let mut header = [0; 100];
    soon(stream.read_exact(&mut header)).await.unwrap();
    // LOCAL: the connection is nobody's but the load balancer's.
    assert_eq!(header[12..16], [0x20, 0x11, 0, 84]);
    let head = soon(read_head(&mut stream)).await;
    assert!(head.starts_with("GET /health HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("host: 10.0.0.7:443\r\n"), "{head}");
    world.plane.shutdown().await;
}
