//! Health checks that really probe, and what they change.

use std::{net::SocketAddr, sync::atomic::Ordering};

use portico_cloud::dataplane::{
    config::{Matcher, ProtocolVersion, Reachability, TargetProtocol},
    health::HealthState::{Draining, Healthy, Unavailable, Unhealthy, Unused},
};
use tokio::net::TcpListener;

use super::harness::{Backend, Client, World, fixed, forward, get, group, rule, target};

#[tokio::test]
async fn a_target_turns_with_its_answers() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let mut world = World::new();
    world.groups = vec![group("g", &[a.address, b.address])];
    let at = world.serve(vec![], forward(&[("g", 1)])).await;
    assert_eq!(world.until("g", a.address, Healthy).await, None);
    world.until("g", b.address, Healthy).await;

    a.health.store(500, Ordering::SeqCst);
    assert_eq!(world.until("g", a.address, Unhealthy).await, Some("Target.ResponseCodeMismatch"));
    let health = world.plane.health().get(&"g".into(), &a.address.to_string().into()).unwrap();
    assert_eq!(health.description.as_deref(), Some("Health checks failed with these codes: [500]"));
    for _ in 0..4 {
        assert_eq!(get(at, "h", "/").await.from(), "b");
    }

    // All unhealthy: all get requests.
    b.health.store(500, Ordering::SeqCst);
    world.until("g", b.address, Unhealthy).await;
    let mut client = Client::connect(at).await;
    let mut met = vec![client.get("h", "/").await.from().to_owned(), client.get("h", "/").await.from().to_owned()];
    met.sort();
    assert_eq!(met, ["a", "b"]);

    a.health.store(200, Ordering::SeqCst);
    world.until("g", a.address, Healthy).await;
    for _ in 0..4 {
        assert_eq!(client.get("h", "/").await.from(), "a");
    }
    world.plane.shutdown().await;
}

#[tokio::test]
async fn a_blocked_target_times_out_until_packets_pass_again() {
    let backend = Backend::start("a").await;
    let mut world = World::new();
    world.groups = vec![group("g", &[backend.address])];
    let at = world.serve(vec![], forward(&[("g", 1)])).await;
    world.until("g", backend.address, Healthy).await;
    assert_eq!(get(at, "h", "/").await.status, 200);

    // The health check's port is judged apart.
    world.groups[0].targets[0].reachability = Reachability::Blocked;
    world.apply().await;
    assert_eq!(get(at, "h", "/").await.status, 504);
    world.until("g", backend.address, Healthy).await;
    world.groups[0].targets[0].check_reachability = Reachability::Blocked;
    world.apply().await;
    // At once, on pooled connections too.
    assert_eq!(get(at, "h", "/").await.status, 504);
    assert_eq!(world.until("g", backend.address, Unhealthy).await, Some("Target.Timeout"));
    assert_eq!(get(at, "h", "/").await.status, 504);

    world.groups[0].targets[0].reachability = Reachability::Allowed;
    world.groups[0].targets[0].check_reachability = Reachability::Allowed;
    world.apply().await;
    assert_eq!(get(at, "h", "/").await.status, 200);
    world.until("g", backend.address, Healthy).await;
    world.plane.shutdown().await;
}

#[tokio::test]
async fn states_without_probes() {
    let backend = Backend::start("a").await;
    let board_state = |world: &World, group: &str, address: SocketAddr| {
        let health = world.plane.health().get(&group.into(), &address.to_string().into());
        health.map(|health| (health.state, health.reason))
    };
    let mut world = World::new();
    world.groups = vec![group("g", &[backend.address])];
    let at = world.serve(vec![], fixed("nothing")).await;
    assert_eq!(board_state(&world, "g", backend.address), Some((Unused, Some("Target.NotInUse"))));
    assert_eq!(backend.connections.load(Ordering::SeqCst), 0, "no probe of an unreferenced group");

    // Referenced, if only with weight 0.
    world.listener().rules = vec![rule(1, vec![], forward(&[("g", 0)])).into()];
    world.apply().await;
    world.until("g", backend.address, Healthy).await;
    assert_eq!(get(at, "h", "/").await.status, 503);

    world.load_balancers[0].zones = vec!["zone-b".into()];
    world.apply().await;
    assert_eq!(board_state(&world, "g", backend.address), Some((Unused, Some("Target.NotInUse"))));
    world.groups[0].targets[0].zone = None;
    world.apply().await;
    world.until("g", backend.address, Healthy).await;

    world.groups[0].targets[0].draining = true;
    world.apply().await;
    assert_eq!(board_state(&world, "g", backend.address), Some((Draining, Some("Target.DeregistrationInProgress"))));
    world.groups[0].targets[0].draining = false;
    world.groups[0].health_check.enabled = false;
    world.listener().rules.clear();
    world.listener().default_rule.action = forward(&[("g", 1)]);
    world.apply().await;
    assert_eq!(board_state(&world, "g", backend.address), Some((Unavailable, Some("Target.HealthCheckDisabled"))));
    assert_eq!(get(at, "h", "/").await.status, 200);

    world.groups[0].targets.clear();
    world.apply().await;
    assert_eq!(board_state(&world, "g", backend.address), None);
    world.plane.shutdown().await;
}

#[tokio::test]
async fn probes_follow_their_settings() {
    let backend = Backend::start("a").await;
    let other = Backend::start("b").await;
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut world = World::new();
    world.groups = vec![group("g", &[backend.address]), group("dead", &[nowhere]), group("tls", &[backend.address])];
    world.groups[2].health_check.protocol = TargetProtocol::Https;
    world.serve(vec![], forward(&[("g", 1), ("dead", 1), ("tls", 1)])).await;
    world.until("g", backend.address, Healthy).await;
    assert_eq!(world.until("dead", nowhere, Unhealthy).await, Some("Target.FailedHealthChecks"));
    assert_eq!(world.until("tls", backend.address, Unhealthy).await, Some("Target.FailedHealthChecks"), "it speaks no TLS");

    world.groups[0].health_check.path = "/status/404".into();
    world.apply().await;
    assert_eq!(world.until("g", backend.address, Unhealthy).await, Some("Target.ResponseCodeMismatch"));
    world.groups[0].health_check.matcher = Matcher::Http("200-299,404".into());
    world.apply().await;
    world.until("g", backend.address, Healthy).await;

    // A port of its own, to which requests do not go.
    world.groups[0].health_check.path = "/health".into();
    world.groups[0].health_check.port = Some(other.address.port());
    other.health.store(503, Ordering::SeqCst);
    world.apply().await;
    world.until("g", backend.address, Unhealthy).await;
    world.plane.shutdown().await;
}

#[tokio::test]
async fn http2_targets_are_probed_with_prior_knowledge() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let mut tasks = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                let grpc = request.uri().path() == "/AWS.ALB/healthcheck";
                let mut response = hyper::Response::new(http_body_util::Empty::<hyper::body::Bytes>::new());
                if grpc {
                    // Unimplemented, which AWS expects by default.
                    response.headers_mut().insert("grpc-status", "12".parse().unwrap());
                }
                Ok::<_, std::convert::Infallible>(response)
            });
            let io = hyper_util::rt::TokioIo::new(stream);
            tasks.spawn(hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new()).serve_connection(io, service));
        }
    });
    let mut world = World::new();
    world.groups = vec![group("http2", &[address]), group("grpc", &[address]), group("wrong", &[address])];
    world.groups[0].version = ProtocolVersion::Http2;
    for (index, matcher) in [(1, "12"), (2, "0")] {
        world.groups[index].version = ProtocolVersion::Grpc;
        world.groups[index].health_check.path = "/AWS.ALB/healthcheck".into();
        world.groups[index].health_check.matcher = Matcher::Grpc(matcher.into());
    }
    world.serve(vec![], forward(&[("http2", 1), ("grpc", 1), ("wrong", 1)])).await;
    world.until("http2", address, Healthy).await;
    world.until("grpc", address, Healthy).await;
    assert_eq!(world.until("wrong", address, Unhealthy).await, Some("Target.ResponseCodeMismatch"));
    world.plane.shutdown().await;
    server.abort();
}

#[tokio::test]
async fn a_target_that_is_added_is_probed_at_once_and_joins() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let mut world = World::new();
    world.groups = vec![group("g", &[a.address])];
    let at = world.serve(vec![], forward(&[("g", 1)])).await;
    world.until("g", a.address, Healthy).await;
    world.groups[0].targets.push(target(b.address));
    world.apply().await;
    world.until("g", b.address, Healthy).await;
    let mut client = Client::connect(at).await;
    let mut met = vec![client.get("h", "/").await.from().to_owned(), client.get("h", "/").await.from().to_owned()];
    met.sort();
    assert_eq!(met, ["a", "b"]);
    world.plane.shutdown().await;
}
