//! Network load balancers over real sockets: what they have in common, and small servers that tell whom they see.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portico_cloud::dataplane::config::{
    FlowOptions, Forward, NetworkListener, NetworkLoadBalancer, NetworkNode, NetworkProtocol, TargetGroup, TargetProtocol,
    WeightedTargetGroup,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
    task::JoinHandle,
};

use super::harness::{PORT, World, address, group, soon};

mod datagrams;
mod health;
mod security;
mod tcp;
mod tls;

/// A TCP server that greets with its name and the address that it sees (`name 127.0.0.1\n`), and then sends back what comes.
pub struct Echo {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Echo {
    pub async fn start(name: &'static str) -> Self {
        Self::at(name, "127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn at(name: &'static str, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener: TcpListener = socket.listen(64).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((mut stream, peer)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                // Connections outlive the listener.
                tokio::spawn(async move {
                    let _ = stream.write_all(format!("{name} {}\n", peer.ip()).as_bytes()).await;
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        Self { address, connections, accepting }
    }

    /// Takes no more connections; those that there are go on.
    pub async fn deafen(&mut self) {
        self.accepting.abort();
        // Its socket is closed when the task has ended.
        let _ = (&mut self.accepting).await;
    }
}

/// A UDP server that answers each datagram with its name, the address that it sees, and the datagram.
pub async fn datagram_echo(name: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let mut answer = format!("{name} {} ", peer.ip()).into_bytes();
            answer.extend_from_slice(&buffer[..length]);
            let _ = socket.send_to(&answer, peer).await;
        }
    });
    address
}

/// A client's connection, with the greeting of the server behind the load balancer.
#[derive(Debug)]
pub struct Caller {
    pub stream: TcpStream,
    pub greeting: String,
}

impl Caller {
    /// Connects from a loopback address; an error if the connection ends before the greeting.
    pub async fn try_from(at: SocketAddr, from: IpAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        let mut stream = soon(socket.connect(at)).await?;
        let mut greeting = String::new();
        while !greeting.ends_with('\n') {
            greeting.push(soon(stream.read_u8()).await?.into());
        }
        Ok(Self { stream, greeting: greeting.trim().to_owned() })
    }

    pub async fn connect(at: SocketAddr) -> Self {
        Self::try_from(at, ME).await.unwrap()
    }

    /// The name of the server.
    pub fn server(&self) -> &str {
        self.greeting.split(' ').next().unwrap()
    }

    /// Sends a word, and has it back.
    pub async fn echoes(&mut self, word: &str) -> bool {
        let mut answer = vec![0; word.len()];
        self.stream.write_all(word.as_bytes()).await.is_ok()
            && soon(self.stream.read_exact(&mut answer)).await.is_ok()
            && answer == word.as_bytes()
    }

    /// Whether the connection ends by a reset.
    pub async fn is_reset(&mut self) -> bool {
        let mut rest = Vec::new();
        soon(self.stream.read_to_end(&mut rest)).await.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
    }
}

/// The client's address where it does not matter.
pub const ME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A target group of TCP targets in `zone-a`, with TCP health checks.
pub fn flows(id: &str, targets: &[SocketAddr]) -> TargetGroup {
    let mut made = group(id, targets);
    made.protocol = TargetProtocol::Tcp;
    made.health_check.protocol = TargetProtocol::Tcp;
    made.health_check.coarse = true;
    made.cross_zone = false;
    made
}

pub fn weighted(groups: &[(&str, u32)]) -> Forward {
    let target_groups = groups.iter().map(|(id, weight)| WeightedTargetGroup { target_group: (*id).into(), weight: *weight }).collect();
    Forward { target_groups, stickiness: None }
}

pub fn listener(protocol: NetworkProtocol, groups: &[(&str, u32)]) -> NetworkListener {
    NetworkListener {
        id: "listener".into(),
        port: PORT,
        protocol,
        tls: None,
        alpn: Vec::new(),
        idle_timeout: Duration::from_secs(350),
        rules: Vec::new(),
        rule: "rule".into(),
        forward: weighted(groups),
    }
}

/// A load balancer that everybody reaches, with a node per zone.
pub fn balancer(zones: &[&str], listener: NetworkListener) -> NetworkLoadBalancer {
    let nodes: Vec<NetworkNode> = zones.iter().map(|zone| NetworkNode { zone: (*zone).to_owned(), address: address() }).collect();
    NetworkLoadBalancer {
        id: format!("net-{}", nodes[0].address).into(),
        zones: zones.iter().map(|zone| (*zone).to_owned()).collect(),
        nodes,
        ingress: None,
        listeners: vec![listener],
        logs: Default::default(),
    }
}

/// One load balancer with one node and one listener for a group `g`, in force; says where it listens.
pub async fn serve(world: &mut World, protocol: NetworkProtocol, group: TargetGroup) -> SocketAddr {
    world.groups = vec![group];
    world.network = vec![balancer(&["zone-a"], listener(protocol, &[("g", 1)]))];
    world.apply().await;
    SocketAddr::new(world.network[0].nodes[0].address, PORT)
}

/// The options of a group, to change them.
pub fn options(world: &mut World) -> &mut FlowOptions {
    &mut world.groups[0].flows
}
