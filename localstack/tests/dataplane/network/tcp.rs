//! TCP listeners.

use std::{collections::HashMap, sync::atomic::Ordering, time::Duration};

use portico_cloud::dataplane::{
    config::{DataPlaneOptions, NetworkProtocol::Tcp, Timing},
    health::HealthState::Healthy,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::super::harness::{Backend, PORT, World, forward, get, load_balancer, soon};
use super::{Caller, Echo, ME, SocketAddr, address, balancer, flows, listener, options, serve, weighted};

#[tokio::test]
async fn bytes_pass_both_ways_until_both_sides_have_ended() {
    let server = Echo::start("a").await;
    let mut world = World::new();
    let at = serve(&mut world, Tcp, flows("g", &[server.address])).await;
    world.until("g", server.address, Healthy).await;
    let mut caller = Caller::connect(at).await;
    assert!(caller.echoes("hello").await);
    // The client's side ends; what the target has yet to say still arrives.
    let long = vec![7; 1_000_000];
    let (mut read, mut write) = caller.stream.split();
    let send = async {
        write.write_all(&long).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut back = Vec::new();
    soon(async { tokio::join!(send, read.read_to_end(&mut back)) }).await.1.unwrap();
    assert!(back == long);
    let counters = world.plane.counters();
    assert_eq!((counters.rules[0].1, counters.target_groups[0].1), (1, 1));
    world.plane.shutdown().await;
}

/// Network user guide, "Client IP preservation".
#[tokio::test]
async fn targets_see_the_client_or_the_node() {
    let server = Echo::start("a").await;
    let mut world = World::new();
    let at = serve(&mut world, Tcp, flows("g", &[server.address])).await;
    world.until("g", server.address, Healthy).await;
    let client = "127.0.0.77".parse().unwrap();
    assert_eq!(Caller::try_from(at, client).await.unwrap().greeting, format!("a {}", at.ip()));
    options(&mut world).preserve_client_ip = true;
    world.apply().await;
    assert_eq!(Caller::try_from(at, client).await.unwrap().greeting, "a 127.0.0.77");
    world.plane.shutdown().await;
}

/// "The load balancer prepends a proxy protocol header to the TCP data", and "does not discard or overwrite any existing data".
#[tokio::test]
async fn the_proxy_protocol_names_client_and_listener() {
    let server = Echo::start("a").await;
    let mut world = World::new();
    let mut group = flows("g", &[server.address]);
    group.flows.proxy_protocol = true;
    let at = serve(&mut world, Tcp, group).await;
    world.until("g", server.address, Healthy).await;
    let mut caller = Caller::try_from(at, "127.0.0.78".parse().unwrap()).await.unwrap();
    let port = caller.stream.local_addr().unwrap().port();
    let mut header = [0; 100];
    soon(caller.stream.read_exact(&mut header)).await.unwrap();
    let node = match at.ip() {
        super::IpAddr::V4(node) => node.octets(),
        super::IpAddr::V6(_) => unreachable!(),
    };
    assert_eq!(header[..16], [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0, 84]);
    assert_eq!(header[16..28], [&[127, 0, 0, 78][..], &node, &port.to_be_bytes(), &PORT.to_be_bytes()].concat());
    assert!(caller.echoes("after the header").await);
    world.plane.shutdown().await;
}

/// "New connections are routed based on the new target group weights. Existing connections are not affected."
#[tokio::test]
async fn weights_share_new_connections() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let mut world = World::new();
    world.groups = vec![flows("a", &[a.address]), flows("b", &[b.address])];
    world.network = vec![balancer(&["zone-a"], listener(Tcp, &[("a", 30), ("b", 10)]))];
    world.apply().await;
    let at = SocketAddr::new(world.network[0].nodes[0].address, PORT);
    world.until("a", a.address, Healthy).await;
    world.until("b", b.address, Healthy).await;
    let mut met: HashMap<String, usize> = HashMap::new();
    for _ in 0..200 {
        *met.entry(Caller::connect(at).await.server().to_owned()).or_default() += 1;
    }
    // Of 200 with probability 1/4 each; the seed is fixed.
    assert!((25..=75).contains(&met["b"]), "{met:?}");
    let mut old = Caller::connect(at).await;
    let first = old.server().to_owned();
    let other = if first == "a" { "b" } else { "a" };
    world.network[0].listeners[0].forward = weighted(&[(first.as_str(), 0), (other, 7)]);
    world.apply().await;
    for _ in 0..10 {
        assert_eq!(Caller::connect(at).await.server(), other);
    }
    assert!(old.echoes("still here").await);
    // No weight, no target.
    world.network[0].listeners[0].forward = weighted(&[("a", 0), ("b", 0)]);
    world.apply().await;
    assert!(Caller::try_from(at, ME).await.is_err());
    world.plane.shutdown().await;
}

/// "Each load balancer node distributes traffic across the registered targets in its Availability Zone only", unless cross-zone.
#[tokio::test]
async fn nodes_keep_to_their_zones_unless_cross_zone() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let mut world = World::new();
    let mut group = flows("g", &[a.address, b.address]);
    group.targets[1].zone = Some("zone-b".into());
    world.groups = vec![group];
    world.network = vec![balancer(&["zone-a", "zone-b"], listener(Tcp, &[("g", 1)]))];
    world.apply().await;
    let nodes: Vec<SocketAddr> = world.network[0].nodes.iter().map(|node| SocketAddr::new(node.address, PORT)).collect();
    world.until("g", a.address, Healthy).await;
    world.until("g", b.address, Healthy).await;
    for _ in 0..8 {
        assert_eq!(Caller::connect(nodes[0]).await.server(), "a");
        assert_eq!(Caller::connect(nodes[1]).await.server(), "b");
    }
    // A zone without targets refuses; a target outside of the VPC is everyone's.
    world.groups[0].targets[1].zone = None;
    world.groups[0].targets.remove(0);
    world.apply().await;
    assert_eq!(Caller::connect(nodes[0]).await.server(), "b");
    world.groups[0].targets[0].zone = Some("zone-b".into());
    world.apply().await;
    assert!(Caller::try_from(nodes[0], ME).await.is_err());
    world.groups[0].cross_zone = true;
    world.apply().await;
    assert_eq!(Caller::connect(nodes[0]).await.server(), "b");
    world.plane.shutdown().await;
}

/// "Sticky sessions are a mechanism to route client traffic to the same target": by the client's address.
#[tokio::test]
async fn sticky_clients_stay_with_their_target() {
    let mut servers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        servers.push(Echo::start(name).await);
    }
    let targets: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
    let mut world = World::new();
    let mut group = flows("g", &targets);
    group.flows.source_ip_stickiness = true;
    let at = serve(&mut world, Tcp, group).await;
    for target in &targets {
        world.until("g", *target, Healthy).await;
    }
    let mut met = HashMap::new();
    for client in 1..=24_u8 {
        let from = [127, 0, 9, client].into();
        let first = Caller::try_from(at, from).await.unwrap().server().to_owned();
        for _ in 0..3 {
            assert_eq!(Caller::try_from(at, from).await.unwrap().server(), first);
        }
        *met.entry(first).or_insert(0) += 1;
    }
    assert!(met.len() > 1, "24 clients have more than one target: {met:?}");
    options(&mut world).source_ip_stickiness = false;
    world.apply().await;
    let mut met = HashMap::new();
    for _ in 0..24 {
        *met.entry(Caller::connect(at).await.server().to_owned()).or_insert(0) += 1;
    }
    assert!(met.len() > 1, "{met:?}");
    world.plane.shutdown().await;
}

/// "If no data is sent through the connection by either the client or target for longer than the idle timeout, the connection is closed."
#[tokio::test]
async fn idle_connections_are_reset() {
    let server = Echo::start("a").await;
    // 350 s become 3.5 s.
    let timing = Timing { idle_scale: 0.01, ..Timing::default() };
    let mut world = World::with(DataPlaneOptions { timing, ..DataPlaneOptions::default() });
    let at = serve(&mut world, Tcp, flows("g", &[server.address])).await;
    world.until("g", server.address, Healthy).await;
    let (mut idle, mut busy) = (Caller::connect(at).await, Caller::connect(at).await);
    for _ in 0..10 {
        assert!(busy.echoes("tick").await);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(idle.is_reset().await);
    world.plane.shutdown().await;
}

#[tokio::test]
async fn connections_end_with_their_listener() {
    let server = Echo::start("a").await;
    let mut world = World::new();
    let at = serve(&mut world, Tcp, flows("g", &[server.address])).await;
    world.until("g", server.address, Healthy).await;
    let mut caller = Caller::connect(at).await;
    // Other settings of the listener are no end.
    world.network[0].listeners[0].idle_timeout = Duration::from_secs(60);
    world.apply().await;
    assert!(caller.echoes("still here").await);
    world.network[0].listeners.clear();
    world.apply().await;
    assert!(caller.is_reset().await);
    assert!(Caller::try_from(at, ME).await.is_err());
    assert!(world.plane.bound().is_empty());
    world.plane.shutdown().await;
}

/// An application load balancer as the target, whose listener has a stand-in port; the client's address is preserved.
#[tokio::test]
async fn an_application_load_balancer_as_the_target() {
    let backend = Backend::start("behind both").await;
    let front = address();
    // Takes the port that the application load balancer wants.
    let _taken = TcpListener::bind((front, PORT)).await.unwrap();
    let mut world = World::new();
    let mut group = flows("alb", &[SocketAddr::new(front, PORT)]);
    group.targets[0].zone = None;
    group.flows.preserve_client_ip = true;
    group.health_check = portico_cloud::dataplane::config::HealthCheck { path: "/health".into(), ..Default::default() };
    world.groups = vec![super::group("http", &[backend.address]), group];
    world.load_balancers = vec![load_balancer(front, vec![super::super::harness::listener(PORT, vec![], forward(&[("http", 1)]))])];
    world.network = vec![balancer(&["zone-a"], listener(Tcp, &[("alb", 1)]))];
    world.apply().await;
    assert_ne!(world.plane.bound().iter().find(|row| row.address == front).unwrap().bound.as_ref().unwrap().port(), PORT);
    world.until("http", backend.address, Healthy).await;
    world.until("alb", SocketAddr::new(front, PORT), Healthy).await;
    let at = SocketAddr::new(world.network[0].nodes[0].address, PORT);
    let reply = get(at, "h", "/").await;
    assert_eq!(reply.from(), "behind both");
    reply.assert_line("x-forwarded-for: 127.0.0.1");
    assert!(backend.connections.load(Ordering::SeqCst) > 0);
    world.plane.shutdown().await;
}
