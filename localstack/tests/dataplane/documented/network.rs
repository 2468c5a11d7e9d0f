//! Network load balancers (paths of pages below <https://docs.aws.amazon.com/elasticloadbalancing/latest/network/>): `load-balancer-listeners.html`,
//! "Default actions"; `target-group-health.html`, "Example"; `target-group-health-checks.html`.

use std::net::SocketAddr;

use portico_cloud::dataplane::{
    config::{
        IpVersion::{self, V4, V6},
        NetworkProtocol::Tcp,
        NetworkRule, TargetProtocol,
    },
    health::HealthState::{Healthy, Initial, Unhealthy},
};

use tokio::{io::AsyncReadExt, net::TcpStream};

use super::super::harness::{PORT, World, soon};
use super::super::network::{Caller, Echo, ME, balancer, flows, listener, weighted};

/// Weights of two groups, of 300 connections how many the first may get. "If you specify two target groups, each with a weight of 10, each target group
/// receives half the requests. If you specify two target groups, one with a weight of 10 and the other with a weight of 20, the target group with a
/// weight of 20 receives twice as many requests." "A target group with a weight of 0 does not receive any traffic."
const WEIGHTS: &[(u32, u32, std::ops::RangeInclusive<usize>)] =
    &[(10, 10, 110..=190), (10, 20, 60..=140), (20, 10, 160..=240), (1, 999, 0..=10), (0, 1, 0..=0), (7, 0, 300..=300)];

#[tokio::test]
async fn weights() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let mut world = World::new();
    world.groups = vec![flows("a", &[a.address]), flows("b", &[b.address])];
    world.network = vec![balancer(&["zone-a"], listener(Tcp, &[("a", 1), ("b", 1)]))];
    world.apply().await;
    world.until("a", a.address, Healthy).await;
    world.until("b", b.address, Healthy).await;
    let at = SocketAddr::new(world.network[0].nodes[0].address, PORT);
    for (first, second, expected) in WEIGHTS {
        world.network[0].listeners[0].forward = weighted(&[("a", *first), ("b", *second)]);
        world.apply().await;
        let mut met = 0;
        for _ in 0..300 {
            met += usize::from(Caller::connect(at).await.server() == "a");
        }
        assert!(expected.contains(&met), "{met} of 300 for {first}:{second}");
    }
    world.plane.shutdown().await;
}

/// Rules with their priorities; the group that clients over IPv4 get, and over IPv6.
type RulesRow = (&'static [(u32, IpVersion, &'static str)], &'static str, &'static str);

/// Rules with their priorities, and which group clients over IPv4 and IPv6 get (`create-rule.html`): "You can create listener rules to route traffic to
/// different target groups based on the source IP address type of incoming traffic." (`load-balancer-listeners.html`): "Rules are evaluated in priority
/// order, from the lowest value to the highest value. The default rule is evaluated last."
const RULES: &[RulesRow] = &[
    (&[], "c", "c"),
    (&[(1, V4, "a")], "a", "c"),
    (&[(1, V6, "a")], "c", "a"),
    (&[(1, V4, "a"), (2, V6, "b")], "a", "b"),
    (&[(2, V4, "a"), (1, V6, "b")], "a", "b"),
    (&[(2, V4, "a"), (1, V4, "b")], "b", "c"),
    (&[(50_000, V6, "a"), (49_999, V6, "b")], "c", "b"),
];

#[tokio::test]
async fn rules() {
    let (a, b, c) = (Echo::start("a").await, Echo::start("b").await, Echo::start("c").await);
    let mut world = World::new();
    world.groups = vec![flows("a", &[a.address]), flows("b", &[b.address]), flows("c", &[c.address])];
    // Not every machine has IPv6; there, only clients over IPv4 come.
    let six = std::net::TcpListener::bind("[::1]:0").map(|free| free.local_addr().unwrap()).ok();
    let zones: &[&str] = if six.is_some() { &["zone-a", "zone-b"] } else { &["zone-a"] };
    world.network = vec![balancer(zones, listener(Tcp, &[("c", 1)]))];
    if let Some(six) = six {
        (world.network[0].nodes[1].address, world.network[0].listeners[0].port) = (six.ip(), six.port());
    }
    world.groups.iter_mut().for_each(|group| group.cross_zone = true);
    world.network[0].listeners[0].rules = vec![forwards("a", 1, V4), forwards("b", 2, V6)];
    world.apply().await;
    for (name, server) in [("a", &a), ("b", &b), ("c", &c)] {
        world.until(name, server.address, Healthy).await;
    }
    let mut counted = 0;
    for (rules, over_ipv4, over_ipv6) in RULES {
        world.network[0].listeners[0].rules = rules.iter().map(|(priority, version, group)| forwards(group, *priority, *version)).collect();
        world.apply().await;
        for row in world.plane.bound() {
            let expected = if row.address.is_ipv6() { over_ipv6 } else { over_ipv4 };
            assert_eq!(greeted_by(row.bound.unwrap()).await, *expected, "{rules:?} at {}", row.address);
            counted += 1;
        }
    }
    assert_eq!(counted, RULES.len() * zones.len());
    world.plane.shutdown().await;
}

fn forwards(group: &str, priority: u32, source: IpVersion) -> NetworkRule {
    NetworkRule { id: format!("rule-{priority}").into(), priority, source, forward: weighted(&[(group, 1)]) }
}

/// The name of the server behind a load balancer.
async fn greeted_by(at: SocketAddr) -> String {
    let mut stream = soon(TcpStream::connect(at)).await.unwrap();
    let mut name = String::new();
    while !name.ends_with(' ') {
        name.push(soon(stream.read_u8()).await.unwrap().into());
    }
    name.trim().to_owned()
}

/// Cross-zone, the routing failover's percentage, the zone of the node, whether unhealthy targets get connections. "A load balancer that supports two
/// Availability Zones, A and B. Each Availability Zone contains 10 registered targets … routing failover: 50% … Six targets fail in Availability Zone
/// B." Off: "the load balancer continues to distribute traffic between the 10 healthy targets" in A, "distributes traffic to all targets in Availability
/// Zone B". On: "14 healthy targets … 70% … distributes traffic between the 14 healthy targets in both Availability Zones."
const FAILOVERS: &[(bool, Option<u8>, &str, bool)] = &[
    (false, Some(50), "zone-a", false),
    (false, Some(50), "zone-b", true),
    (true, Some(50), "zone-a", false),
    (true, Some(50), "zone-b", false),
    // "If the percentage of healthy targets is below this value": 40 % and 70 % are not below themselves.
    (false, Some(40), "zone-b", false),
    (true, Some(70), "zone-b", false),
    (true, Some(71), "zone-a", true),
    // "By default, a target group is considered healthy as long as it has at least one healthy target."
    (false, None, "zone-b", false),
];

#[tokio::test]
async fn routing_failover() {
    let mut servers = Vec::new();
    for _ in 0..20 {
        servers.push(Echo::start("t").await);
    }
    let targets: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
    let mut group = flows("g", &targets);
    for target in &mut group.targets[10..] {
        target.zone = Some("zone-b".into());
    }
    let mut world = World::new();
    world.groups = vec![group];
    world.network = vec![balancer(&["zone-a", "zone-b"], listener(Tcp, &[("g", 1)]))];
    world.apply().await;
    for target in &targets {
        world.until("g", *target, Healthy).await;
    }
    for server in &mut servers[14..] {
        server.deafen().await;
    }
    for target in &targets[14..] {
        world.until("g", *target, Unhealthy).await;
    }
    let mut rows = 0;
    for (cross_zone, percentage, zone, reached) in FAILOVERS {
        world.groups[0].cross_zone = *cross_zone;
        world.groups[0].minimum_healthy_percentage = *percentage;
        world.apply().await;
        let node = world.network[0].nodes.iter().find(|node| node.zone == *zone).unwrap();
        let at = SocketAddr::new(node.address, PORT);
        let mut failed = 0;
        for _ in 0..40 {
            // Unhealthy targets take no connections: those that go to them are reset.
            failed += usize::from(Caller::try_from(at, ME).await.is_err());
        }
        assert_eq!(failed > 0, *reached, "{failed} of 40: cross-zone {cross_zone}, {percentage:?} %, {zone}");
        rows += 1;
    }
    assert_eq!(rows, 8);
    world.plane.shutdown().await;
}

/// "Your target is not in service until it passes one health check", and "the number of consecutive failed health checks required before considering a
/// target unhealthy".
#[tokio::test]
async fn a_new_target_needs_one_success() {
    let server = Echo::start("a").await;
    let mut world = World::new();
    let mut group = flows("g", &[server.address]);
    group.health_check.healthy_threshold = 10;
    group.health_check.protocol = TargetProtocol::Tcp;
    world.groups = vec![group];
    world.network = vec![balancer(&["zone-a"], listener(Tcp, &[("g", 1)]))];
    world.apply().await;
    let board = world.plane.health();
    let first = board.get(&"g".into(), &server.address.to_string().into()).unwrap();
    assert!(matches!(first.state, Initial | Healthy), "{first:?}");
    assert_eq!(world.until("g", server.address, Healthy).await, None);
    world.plane.shutdown().await;
}
