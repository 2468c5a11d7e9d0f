//! Security groups of network load balancers and of their targets.

use std::sync::{Arc, atomic::Ordering};

use portico_cloud::dataplane::{
    config::{FlowReach, IngressRule, NetworkIngress, NetworkProtocol::Tcp, Reach, Reachability},
    health::HealthState::{Healthy, Unhealthy},
};

use super::super::harness::World;
use super::{Caller, Echo, ME, flows, serve};

/// "If you don't assign a security group to your load balancer, all client traffic can reach the load balancer listeners."
#[tokio::test]
async fn the_load_balancers_groups_decide_who_connects() {
    let server = Echo::start("a").await;
    let mut world = World::new();
    let at = serve(&mut world, Tcp, flows("g", &[server.address])).await;
    world.until("g", server.address, Healthy).await;
    let other = "127.0.0.3".parse().unwrap();
    assert!(Caller::try_from(at, other).await.is_ok());
    let rule = |source: &str, port: u16| IngressRule { from_port: port, to_port: port, source: source.parse().unwrap() };
    let rows = [
        (vec![], false, false),
        (vec![rule("0.0.0.0/0", at.port())], true, true),
        (vec![rule("127.0.0.1/32", at.port())], true, false),
        (vec![rule("0.0.0.0/0", at.port() + 1)], false, false),
    ];
    for (tcp, me, they) in rows {
        // Rules for UDP do not matter.
        world.network[0].ingress = Some(NetworkIngress { tcp: tcp.clone(), udp: vec![rule("0.0.0.0/0", at.port())] });
        world.apply().await;
        assert_eq!((Caller::try_from(at, ME).await.is_ok(), Caller::try_from(at, other).await.is_ok()), (me, they), "{tcp:?}");
    }
    world.plane.shutdown().await;
}

/// "Health checks are subject to outbound rules, but not inbound rules." Connections that are dropped on the way to the target do not come about.
#[tokio::test]
async fn the_targets_groups_decide_what_arrives() {
    let server = Echo::start("a").await;
    let mut world = World::new();
    let mut group = flows("g", &[server.address]);
    group.flows.preserve_client_ip = true;
    let at = serve(&mut world, Tcp, group).await;
    world.until("g", server.address, Healthy).await;
    let other = "127.0.0.3".parse().unwrap();
    let rows = [
        (Reach::Everybody, true, true),
        (Reach::Nobody, false, false),
        (Reach::From(vec!["127.0.0.1/32".parse().unwrap()]), true, false),
        (Reach::From(vec![]), false, false),
    ];
    for (tcp, me, they) in rows {
        world.groups[0].targets[0].flow_reach = Arc::new(FlowReach { tcp: tcp.clone(), udp: Reach::Everybody });
        world.apply().await;
        assert_eq!((Caller::try_from(at, ME).await.is_ok(), Caller::try_from(at, other).await.is_ok()), (me, they), "{tcp:?}");
    }
    // The health check's port is judged apart.
    world.until("g", server.address, Healthy).await;
    world.groups[0].targets[0].check_reachability = Reachability::Blocked;
    world.apply().await;
    assert_eq!(world.until("g", server.address, Unhealthy).await, Some("Target.FailedHealthChecks"));
    world.plane.shutdown().await;
}

/// Targets in zones that are not enabled, or that are not there, get nothing.
#[tokio::test]
async fn without_targets_connections_are_reset() {
    let server = Echo::start("a").await;
    let mut world = World::new();
    let mut group = flows("g", &[server.address]);
    group.targets[0].zone = Some("zone-c".into());
    let at = serve(&mut world, Tcp, group).await;
    assert!(Caller::try_from(at, ME).await.is_err());
    world.groups[0].targets.clear();
    world.apply().await;
    assert!(Caller::try_from(at, ME).await.is_err());
    world.groups.clear();
    world.apply().await;
    assert!(Caller::try_from(at, ME).await.is_err());
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
    world.plane.shutdown().await;
}
