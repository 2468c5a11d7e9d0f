//! UDP listeners.

use std::{net::SocketAddr, time::Duration};

use portico_cloud::dataplane::{
    config::{DataPlaneOptions, IngressRule, NetworkIngress, NetworkProtocol, TargetGroup, Timing},
    health::HealthState::{Draining, Healthy},
};
use tokio::{net::UdpSocket, time::timeout};

use super::super::harness::{Backend, World, soon};
use super::{Caller, Echo, ME, datagram_echo, flows, options, serve};

/// A client's socket at a loopback address.
struct Sender(UdpSocket);

impl Sender {
    async fn new(from: [u8; 4], at: SocketAddr) -> Self {
        let socket = UdpSocket::bind(SocketAddr::from((from, 0))).await.unwrap();
        socket.connect(at).await.unwrap();
        Self(socket)
    }

    async fn ask(&self, word: &str) -> Vec<u8> {
        self.0.send(word.as_bytes()).await.unwrap();
        let mut buffer = [0; 2048];
        let length = soon(self.0.recv(&mut buffer)).await.unwrap();
        buffer[..length].to_vec()
    }

    async fn text(&self, word: &str) -> String {
        String::from_utf8(self.ask(word).await).unwrap()
    }

    /// Whether there is no answer.
    async fn is_lost(&self, word: &str) -> bool {
        self.0.send(word.as_bytes()).await.unwrap();
        timeout(Duration::from_millis(300), self.0.recv(&mut [0; 16])).await.is_err()
    }
}

/// UDP targets, checked over TCP at another port ("target availability can be tested using non-UDP health checks").
fn datagrams(targets: &[SocketAddr], checked: SocketAddr) -> TargetGroup {
    let mut group = flows("g", targets);
    group.health_check.port = Some(checked.port());
    group.flows.preserve_client_ip = true;
    group.flows.terminate_deregistered = true;
    group.flows.terminate_unhealthy = false;
    group
}

/// "The load balancer maintains UDP flow state based on the source and destination IP addresses and ports. This ensures that packets that belong to the
/// same flow are consistently sent to the same target."
#[tokio::test]
async fn a_flow_stays_with_its_target_which_sees_the_client() {
    let check = Backend::start("check").await;
    let targets = [datagram_echo("a").await, datagram_echo("b").await];
    let mut world = World::new();
    let at = serve(&mut world, NetworkProtocol::Udp, datagrams(&targets, check.address)).await;
    for target in targets {
        world.until("g", target, Healthy).await;
    }
    let mut met = std::collections::HashSet::new();
    for _ in 0..16 {
        let sender = Sender::new([127, 0, 0, 66], at).await;
        let first = sender.text("x").await;
        let name = first.strip_suffix(" 127.0.0.66 x").unwrap().to_owned();
        for word in ["y", "z"] {
            assert_eq!(sender.text(word).await, format!("{name} 127.0.0.66 {word}"));
        }
        met.insert(name);
    }
    assert_eq!(met.len(), 2, "flows are spread");
    // A datagram as large as they may be, which the target's answer exceeds.
    let sender = Sender::new([127, 0, 0, 66], at).await;
    assert_eq!(sender.ask(&"w".repeat(1400)).await.len(), 1400 + "a 127.0.0.66 ".len());
    world.plane.shutdown().await;
}

/// "After the idle timeout period elapses, the load balancer considers the incoming UDP packet as a new flow" (120 s).
#[tokio::test]
async fn idle_flows_are_forgotten() {
    let check = Backend::start("check").await;
    let target = datagram_echo("a").await;
    // 120 s become 0.12 s.
    let timing = Timing { idle_scale: 0.001, ..Timing::default() };
    let mut world = World::with(DataPlaneOptions { timing, ..DataPlaneOptions::default() });
    let at = serve(&mut world, NetworkProtocol::Udp, datagrams(&[target], check.address)).await;
    world.until("g", target, Healthy).await;
    let sender = Sender::new([127, 0, 0, 1], at).await;
    sender.ask("x").await;
    let flows = || world.plane.counters().rules[0].1;
    assert_eq!(flows(), 1);
    let second = soon(async {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            sender.ask("x").await;
            if flows() > 1 {
                return flows();
            }
        }
    });
    assert_eq!(second.await, 2);
    world.plane.shutdown().await;
}

#[tokio::test]
async fn flows_leave_a_deregistered_target() {
    let check = Backend::start("check").await;
    let targets = [datagram_echo("a").await, datagram_echo("b").await];
    let mut world = World::new();
    let at = serve(&mut world, NetworkProtocol::Udp, datagrams(&targets, check.address)).await;
    for target in targets {
        world.until("g", target, Healthy).await;
    }
    let sender = Sender::new([127, 0, 0, 1], at).await;
    let name = sender.text("x").await[..1].to_owned();
    let gone = usize::from(name == "b");
    world.groups[0].targets[gone].draining = true;
    world.apply().await;
    world.until("g", targets[gone], Draining).await;
    assert_eq!(sender.text("x").await[..1], name, "it drains");
    world.groups[0].targets.remove(gone);
    world.apply().await;
    let moved = soon(async {
        loop {
            // What arrives while the flow ends may be lost.
            sender.0.send(b"x").await.unwrap();
            let mut buffer = [0; 64];
            if let Ok(Ok(_)) = timeout(Duration::from_millis(100), sender.0.recv(&mut buffer)).await
                && buffer[0] != name.as_bytes()[0]
            {
                return;
            }
        }
    });
    moved.await;
    world.plane.shutdown().await;
}

#[tokio::test]
async fn who_may_send() {
    let check = Backend::start("check").await;
    let target = datagram_echo("a").await;
    let mut world = World::new();
    let at = serve(&mut world, NetworkProtocol::Udp, datagrams(&[target], check.address)).await;
    world.until("g", target, Healthy).await;
    let rule = |source: &str| IngressRule { from_port: at.port(), to_port: at.port(), source: source.parse().unwrap() };
    world.network[0].ingress = Some(NetworkIngress { tcp: vec![rule("0.0.0.0/0")], udp: vec![rule("127.0.0.4/32")] });
    world.apply().await;
    assert_eq!(Sender::new([127, 0, 0, 4], at).await.text("x").await, "a 127.0.0.4 x");
    assert!(Sender::new([127, 0, 0, 5], at).await.is_lost("x").await);
    world.plane.shutdown().await;
}

/// The proxy protocol's specification: each datagram carries the header.
#[tokio::test]
async fn datagrams_carry_the_proxy_protocol() {
    let check = Backend::start("check").await;
    let target = datagram_echo("a").await;
    let mut world = World::new();
    let at = serve(&mut world, NetworkProtocol::Udp, datagrams(&[target], check.address)).await;
    world.until("g", target, Healthy).await;
    options(&mut world).proxy_protocol = true;
    world.apply().await;
    let sender = Sender::new([127, 0, 0, 6], at).await;
    for word in ["one", "two"] {
        let answer = sender.ask(word).await;
        let answer = answer.strip_prefix(b"a 127.0.0.6 ".as_slice()).unwrap();
        assert_eq!((answer[12..14].to_vec(), &answer[16..20], &answer[100..]), (vec![0x21, 0x12], &[127, 0, 0, 6][..], word.as_bytes()));
    }
    world.plane.shutdown().await;
}

#[tokio::test]
async fn one_port_for_both_and_none_for_quic() {
    let server = Echo::start("tcp").await;
    let mut world = World::new();
    let at = serve(&mut world, NetworkProtocol::TcpUdp, flows("g", &[server.address])).await;
    // The same address and port, but for UDP.
    let socket = UdpSocket::bind(server.address).await.unwrap();
    world.until("g", server.address, Healthy).await;
    assert_eq!(Caller::try_from(at, ME).await.unwrap().server(), "tcp");
    let sender = Sender::new([127, 0, 0, 1], at).await;
    sender.0.send(b"udp").await.unwrap();
    let mut buffer = [0; 16];
    let (length, peer) = soon(socket.recv_from(&mut buffer)).await.unwrap();
    assert_eq!(&buffer[..length], b"udp");
    socket.send_to(b"answer", peer).await.unwrap();
    assert_eq!(soon(sender.0.recv(&mut buffer)).await.unwrap(), 6);
    assert_eq!(world.plane.bound().len(), 2);

    world.network[0].listeners[0].protocol = NetworkProtocol::TcpQuic;
    world.apply().await;
    assert_eq!(Caller::try_from(at, ME).await.unwrap().server(), "tcp");
    let bound = world.plane.bound();
    let refused: Vec<&str> = bound.iter().filter_map(|row| row.bound.as_ref().err().map(String::as_str)).collect();
    assert_eq!(refused, ["QUIC is not served by this cloud"]);
    world.plane.shutdown().await;
}
