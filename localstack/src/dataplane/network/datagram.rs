//! UDP: datagrams of one client's address and port are a flow, which has one target until nothing moves any more.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::super::{Shared, config::Transport, headers::canonical};
use super::{
    ACCESS,
    choice::{self, Choice},
    flow::{reaches, sources, trouble},
    proxy_protocol,
    relay::Activity,
    table::{NetworkListenerTable, NetworkRuleTable},
};

/// AWS: a flow ends when nothing has moved for 120 s, which cannot be changed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// The largest datagram of UDP.
const LARGEST: usize = 65_535;
/// Flows of a socket at once; what comes from further clients is lost.
const MOST_FLOWS: usize = 16_384;

/// The flows of one socket.
#[derive(Debug, Default)]
struct Flows(Mutex<HashMap<SocketAddr, Arc<Flow>>>);

/// A client's way to its target.
#[derive(Debug)]
struct Flow {
    upstream: UdpSocket,
    activity: Arc<Activity>,
    /// What every datagram begins with.
    prefix: Vec<u8>,
}

impl Flow {
    async fn send(&self, datagram: &[u8]) {
        self.activity.touch();
        // A datagram that cannot be sent is lost, as datagrams are.
        let _ = if self.prefix.is_empty() {
            self.upstream.send(datagram).await
        } else {
            self.upstream.send(&[self.prefix.as_slice(), datagram].concat()).await
        };
    }
}

impl Flows {
    fn get(&self, client: SocketAddr) -> Option<Arc<Flow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&client).cloned()
    }

    fn has_room(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() < MOST_FLOWS
    }

    fn insert(&self, client: SocketAddr, flow: Arc<Flow>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(client, flow);
    }

    fn remove(&self, client: SocketAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&client);
    }
}

/// Serves a socket until its listener is gone. `latest` gives the listener as it is now.
pub(super) async fn serve(
    shared: Arc<Shared>,
    socket: Arc<UdpSocket>,
    latest: impl Fn() -> Arc<NetworkListenerTable>,
    stop: CancellationToken,
) {
    let flows = Arc::new(Flows::default());
    let mut buffer = vec![0; LARGEST];
    loop {
        let received = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        // Errors are those of datagrams sent before (ICMP); there is nobody to tell.
        let Ok((length, client)) = received else { continue };
        let datagram = buffer.get(..length).unwrap_or_default();
        let listener = latest();
        if !listener.admits(Transport::Udp, canonical(client.ip())) {
            continue;
        }
        let known = flows.get(client);
        let flow = match known {
            Some(flow) => flow,
            None if !flows.has_room() => continue,
            None => match begin(&shared, &listener, client) {
                Some((flow, choice, rule)) => {
                    rule.count();
                    let flow = Arc::new(flow);
                    flows.insert(client, Arc::clone(&flow));
                    let answers = answers(Arc::clone(&shared), Arc::clone(&socket), client, Arc::clone(&flow), choice, stop.clone());
                    let flows = Arc::clone(&flows);
                    shared.tracker.spawn(async move {
                        let note = answers.await;
                        flows.remove(client);
                        tracing::info!(target: ACCESS, load_balancer = %listener.load_balancer, rule = %rule.id, "{client} UDP port {}: {note}", listener.port);
                    });
                    flow
                }
                None => continue,
            },
        };
        flow.send(datagram).await;
    }
}

/// A new flow; None if there is no target that its datagrams reach.
fn begin(shared: &Shared, listener: &NetworkListenerTable, client: SocketAddr) -> Option<(Flow, Choice, Arc<NetworkRuleTable>)> {
    let address = canonical(client.ip());
    let rule = listener.select(address)?;
    let choice = choice::choose(shared, &rule.forward, &listener.node.zone, address)?;
    if !reaches(&choice, Transport::Udp, address) {
        return None;
    }
    let upstream = sources(&choice, listener.node.address, address).find_map(|source| {
        open(source, choice.target.state.address).inspect_err(|error| tracing::debug!(%error, "no socket for a flow")).ok()
    })?;
    let asked = SocketAddr::new(listener.node.address, listener.port);
    let prefix = if choice.group.config.flows.proxy_protocol {
        proxy_protocol::header(SocketAddr::new(address, client.port()), asked, Transport::Udp)
    } else {
        Vec::new()
    };
    Some((Flow { upstream, activity: Activity::new(), prefix }, choice, Arc::clone(rule)))
}

fn open(source: Option<IpAddr>, target: SocketAddr) -> io::Result<UdpSocket> {
    let any = if target.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0_u16; 8]) };
    let socket = std::net::UdpSocket::bind(SocketAddr::new(source.unwrap_or(any), 0))?;
    socket.connect(target)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Passes a target's answers to the client until the flow ends; says why it did.
async fn answers(
    shared: Arc<Shared>,
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    flow: Arc<Flow>,
    choice: Choice,
    stop: CancellationToken,
) -> &'static str {
    let mut buffer = vec![0; LARGEST];
    let pass = async {
        loop {
            // An error tells of an earlier datagram that did not arrive.
            if let Ok(length) = flow.upstream.recv(&mut buffer).await {
                flow.activity.touch();
                let _ = socket.send_to(buffer.get(..length).unwrap_or_default(), client).await;
            }
        }
    };
    tokio::select! {
        () = pass => "ended",
        () = flow.activity.idle_for(shared.compress(IDLE_TIMEOUT)) => "nothing moved within the idle timeout",
        reason = trouble(&shared, &choice) => reason,
        () = stop.cancelled() => "the listener is gone",
        () = shared.hard_stop.cancelled() => "the end",
    }
}
