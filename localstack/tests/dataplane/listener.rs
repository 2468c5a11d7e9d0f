//! Sockets that follow the configuration.

use std::net::SocketAddr;

use portico_cloud::dataplane::config::{Action, DataPlaneConfig, DataPlaneOptions, IngressRule, PortFallback, Redirect};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::harness::{Backend, Client, PORT, World, address, fixed, forward, get, group, host, listener, load_balancer, rule, soon};

#[tokio::test]
async fn sockets_open_and_close() {
    let mut world = World::new();
    let at = world.serve(vec![], fixed("first")).await;
    let second = SocketAddr::new(at.ip(), PORT + 1);
    assert_eq!(get(at, "h", "/").await.body, "first");
    assert!(TcpStream::connect(second).await.is_err());

    world.load_balancers[0].listeners.push(listener(PORT + 1, vec![], fixed("second")).into());
    world.apply().await;
    assert_eq!(get(second, "h", "/").await.body, "second");
    let bound: Vec<_> = world.plane.bound().into_iter().map(|bound| (bound.port, bound.bound)).collect();
    assert_eq!(bound, [(PORT, Ok(at)), (PORT + 1, Ok(second))]);

    // Removed and made again in two steps, and the other one left alone.
    world.load_balancers[0].listeners.remove(0);
    world.apply().await;
    assert!(TcpStream::connect(at).await.is_err());
    world.load_balancers[0].listeners.push(listener(PORT, vec![], fixed("again")).into());
    world.apply().await;
    assert_eq!(get(at, "h", "/").await.body, "again");
    assert_eq!(get(second, "h", "/").await.body, "second");

    world.load_balancers.clear();
    world.apply().await;
    assert!(TcpStream::connect(at).await.is_err());
    assert!(TcpStream::connect(second).await.is_err());
    assert_eq!(world.plane.bound(), []);
    world.plane.shutdown().await;
}

#[tokio::test]
async fn load_balancers_do_not_meet() {
    let mut world = World::new();
    let first = world.serve(vec![], fixed("first")).await;
    let second = world.serve(vec![], fixed("second")).await;
    assert_eq!(get(first, "h", "/").await.body, "first");
    assert_eq!(get(second, "h", "/").await.body, "second");
    world.plane.shutdown().await;
}

#[tokio::test]
async fn a_closed_listener_finishes_its_requests() {
    let mut backend = Backend::start("a").await;
    let mut world = World::new();
    world.groups = vec![group("g", &[backend.address])];
    let at = world.serve(vec![], forward(&[("g", 1)])).await;
    let mut working = Client::connect(at).await;
    let mut idle = Client::connect(at).await;
    assert_eq!(idle.get("h", "/").await.status, 200);
    working.stream.write_all(b"GET /slow/300 HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    soon(backend.busy.wait_for(|busy| *busy == 1)).await.unwrap();
    world.load_balancers.clear();
    world.apply().await;
    assert!(idle.is_closed().await);
    let reply = working.reply(false).await.unwrap();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(working.is_closed().await);
    world.plane.shutdown().await;
}

#[tokio::test]
async fn a_taken_port_gets_a_stand_in() {
    let ip = address();
    let _taken = tokio::net::TcpListener::bind((ip, PORT)).await.unwrap();
    let mut world = World::with(DataPlaneOptions { port_fallback: PortFallback::StandIn { offset: 1000 }, ..DataPlaneOptions::default() });
    let redirect = Action::Redirect(Redirect {
        status: 301,
        protocol: "#{protocol}".into(),
        host: "#{host}".into(),
        port: "#{port}".into(),
        path: "/there".into(),
        query: String::new(),
    });
    let rules = vec![rule(1, vec![host(&["h.example"])], redirect)];
    // The first candidate is a listener's own port, and stays so.
    let listeners = vec![listener(PORT, rules, fixed("default")), listener(PORT + 1000, vec![], fixed("own"))];
    world.load_balancers.push(load_balancer(ip, listeners));
    world.apply().await;
    let stand_in = SocketAddr::new(ip, PORT + 1001);
    let bound: Vec<_> = world.plane.bound().into_iter().map(|bound| bound.bound).collect();
    assert_eq!(bound, [Ok(stand_in), Ok(SocketAddr::new(ip, PORT + 1000))]);
    // The stand-in port counts as the listener's, and a redirect leads back to it.
    let reply = get(stand_in, &format!("h.example:{}", PORT + 1001), "/").await;
    assert_eq!(reply.header("location"), Some(&*format!("http://h.example:{}/there", PORT + 1001)));
    world.plane.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_bound_is_reported_and_tried_again() {
    let ip = address();
    let taken = tokio::net::TcpListener::bind((ip, PORT)).await.unwrap();
    let mut world = World::with(DataPlaneOptions { port_fallback: PortFallback::Refuse, ..DataPlaneOptions::default() });
    world.load_balancers.push(load_balancer(ip, vec![listener(PORT, vec![], fixed("here"))]));
    // No address of this machine.
    world.load_balancers.push(load_balancer([192, 0, 2, 1].into(), vec![listener(PORT, vec![], fixed("nowhere"))]));
    world.apply().await;
    let reasons: Vec<_> = world.plane.bound().into_iter().map(|bound| bound.bound.unwrap_err()).collect();
    assert!(reasons[0].contains("cannot be bound"), "{reasons:?}");
    assert!(reasons[1].contains("192.0.2.1:18080 cannot be bound"), "{reasons:?}");
    drop(taken);
    world.apply().await;
    assert_eq!(get(SocketAddr::new(ip, PORT), "h", "/").await.body, "here");
    world.plane.shutdown().await;
}

#[tokio::test]
async fn security_groups_decide_who_connects() {
    let mut world = World::new();
    let at = world.serve(vec![], fixed("here")).await;
    let mut kept = Client::connect(at).await;
    assert_eq!(kept.get("h", "/").await.status, 200);
    let allow = |from_port, to_port, source: &str| IngressRule { from_port, to_port, source: source.parse().unwrap() };
    for (ingress, allowed) in [
        (vec![], false),
        (vec![allow(PORT, PORT, "127.0.0.1/32")], true),
        (vec![allow(PORT, PORT, "10.0.0.0/8")], false),
        (vec![allow(PORT + 1, u16::MAX, "127.0.0.0/8")], false),
        (vec![allow(PORT + 1, u16::MAX, "127.0.0.0/8"), allow(0, PORT, "127.0.0.0/8")], true),
    ] {
        world.load_balancers[0].ingress = ingress.clone();
        world.apply().await;
        let mut client = Client::connect(at).await;
        if allowed {
            assert_eq!(client.get("h", "/").await.status, 200, "{ingress:?}");
        } else {
            assert!(client.is_closed().await, "{ingress:?}");
        }
    }
    // Security groups are stateful: a connection that stands is not cut.
    world.load_balancers[0].ingress.clear();
    world.apply().await;
    assert_eq!(kept.get("h", "/").await.status, 200);
    world.plane.shutdown().await;
}

#[tokio::test]
async fn an_older_configuration_is_ignored() {
    let mut world = World::new();
    let at = world.serve(vec![], fixed("new")).await;
    world.plane.apply(DataPlaneConfig::default()).await;
    assert_eq!(get(at, "h", "/").await.body, "new");
    world.plane.shutdown().await;
    // And nothing is served after the end.
    world.apply().await;
    assert!(TcpStream::connect(at).await.is_err());
}
