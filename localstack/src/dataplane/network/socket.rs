//! Sockets of network load balancers: opening, accepting, closing.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::super::{
    BoundListener, Shared,
    config::{PortFallback, Transport},
    routing::RoutingTable,
    socket::{bind, listen},
};
use super::{
    datagram, flow,
    table::{NetworkKey, NetworkListenerTable},
};

/// The sockets of all network load balancers.
#[derive(Debug, Default)]
pub(in super::super) struct NetworkSockets {
    open: HashMap<NetworkKey, NetworkSocket>,
    /// Those of them that could not be bound.
    failed: HashSet<NetworkKey>,
}

#[derive(Debug)]
struct NetworkSocket {
    /// Where it listens, or why it does not.
    bound: Result<SocketAddr, String>,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

impl NetworkSockets {
    /// Opens and closes what a change touched. Flows of sockets that close are reset. Returns whether anything may listen elsewhere now.
    pub(in super::super) async fn follow(
        &mut self,
        shared: &Arc<Shared>,
        table: &RoutingTable,
        touched: &HashSet<NetworkKey>,
        fallback: PortFallback,
    ) -> bool {
        for key in touched.iter().chain(&self.failed) {
            if let Some(socket) = self.open.remove(key) {
                socket.close().await;
            }
        }
        let keys: HashSet<NetworkKey> = touched.iter().copied().chain(self.failed.drain()).collect();
        for key in &keys {
            let Some(listener) = table.network_listeners.get(key) else { continue };
            let reserved: HashSet<u16> = table
                .network
                .get(&listener.load_balancer)
                .map(|balancer| balancer.config.listeners.iter().map(|listener| listener.port).collect())
                .unwrap_or_default();
            let socket = NetworkSocket::open(shared, *key, listener, fallback, &reserved);
            if socket.bound.is_err() {
                self.failed.insert(*key);
            }
            self.open.insert(*key, socket);
        }
        !keys.is_empty()
    }

    /// Where every listener listens.
    pub(in super::super) fn rows<'a>(&'a self, table: &'a RoutingTable) -> impl Iterator<Item = BoundListener> + 'a {
        let listeners = table.network.values().flat_map(|balancer| &balancer.listeners);
        listeners.flat_map(|listener| listener.keys().map(move |key| (listener, key))).filter_map(|(listener, key)| {
            let (address, port, transport) = key;
            Some(BoundListener {
                load_balancer: listener.load_balancer.clone(),
                listener: listener.id.clone(),
                address,
                port,
                transport,
                bound: self.open.get(&key)?.bound.clone(),
            })
        })
    }

    /// Closes everything.
    pub(in super::super) async fn close(&mut self) {
        for (_, socket) in self.open.drain() {
            socket.close().await;
        }
        self.failed.clear();
    }
}

impl NetworkSocket {
    fn open(
        shared: &Arc<Shared>,
        key: NetworkKey,
        listener: &Arc<NetworkListenerTable>,
        fallback: PortFallback,
        reserved: &HashSet<u16>,
    ) -> Self {
        let stop = shared.hard_stop.child_token();
        let (address, port, transport) = key;
        let failed = |reason: String| Self { bound: Err(reason), stop: stop.clone(), serving: None };
        if listener.protocol.is_quic() && transport == Transport::Udp {
            return failed("QUIC is not served by this cloud".into());
        }
        let latest = Latest { shared: Arc::clone(shared), key, known: Mutex::new(Arc::clone(listener)) };
        let started = match transport {
            Transport::Tcp => bind((address, port), fallback, reserved, listen).and_then(|socket| {
                let bound = socket.local_addr()?;
                Ok((bound, shared.tracker.spawn(accept(Arc::clone(shared), socket, latest, stop.clone()))))
            }),
            Transport::Udp => bind((address, port), fallback, reserved, receive).and_then(|socket| {
                let bound = socket.local_addr()?;
                let serving = datagram::serve(Arc::clone(shared), Arc::new(socket), move || latest.get(), stop.clone());
                Ok((bound, shared.tracker.spawn(serving)))
            }),
        };
        match started {
            Ok((bound, serving)) => Self { bound: Ok(bound), stop, serving: Some(serving) },
            Err(error) => failed(format!("{address}:{port}/{} cannot be bound: {error}", transport.as_str())),
        }
    }

    /// Stops listening. When it returns, the port is free; flows end by themselves at once.
    async fn close(mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take() {
            // It ends by itself; that it panicked would be no reason to go on listening.
            let _ = serving.await;
        }
    }
}

fn receive(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// A listener as it is now, or as it was last.
#[derive(Debug)]
struct Latest {
    shared: Arc<Shared>,
    key: NetworkKey,
    known: Mutex<Arc<NetworkListenerTable>>,
}

impl Latest {
    fn get(&self) -> Arc<NetworkListenerTable> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = self.shared.table().network_listeners.get(&self.key) {
            *known = Arc::clone(listener);
        }
        Arc::clone(&known)
    }
}

async fn accept(shared: Arc<Shared>, socket: TcpListener, latest: Latest, stop: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = socket.accept() => match accepted {
                Ok((stream, client)) => {
                    let serving = flow::serve(Arc::clone(&shared), latest.get(), stream, client, stop.clone());
                    shared.tracker.spawn(serving);
                }
                Err(error) => {
                    // Out of file descriptors, most likely: it passes when connections end.
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(20)).await;
                }
            },
        }
    }
}
