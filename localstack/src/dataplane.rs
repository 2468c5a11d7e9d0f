//! The data plane: sockets, routing, proxying and health checks of the embedded load balancers.
//!
//! It is a function of a [`config::DataPlaneConfig`], swapped as a whole between two requests. It knows nothing of AWS calls.
//!
//! The way of one request: a `socket` accepts it, the client's stream keeps its idle timeout, `service` checks its head and asks the
//! `routing` table for its rule, transforms rewrite it, and it is answered by a `page` or a target: `target` picks one, `connection` lends a
//! connection, `proxy` passes the messages. Health checks run beside it in `probe` and publish on the `health` board. Flows of network load
//! balancers are served by `network`.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod authentication;
mod body;
mod client;
mod client_certificate;
mod condition;
pub mod config;
mod connection;
mod dial;
mod exchange;
mod head;
mod headers;
pub mod health;
pub mod log;
mod network;
mod page;
mod pattern;
mod probe;
mod proxy;
mod random;
mod redirect;
mod routing;
mod service;
mod shards;
mod socket;
mod stickiness;
mod table;
mod target;
mod tls;
mod transform;

use authentication::KeyStore;
use config::{
    Changes, DataPlaneConfig, DataPlaneOptions, ListenerId, LoadBalancerId, PortFallback, RuleId, TargetGroupId, Timing, Transport,
};
use health::HealthBoard;
use log::LogBook;
use network::NetworkSockets;
pub use pattern::check_regex;
use random::Random;
use routing::{RoutingTable, SocketKey};
use socket::Socket;
use table::Users;

/// How long requests in flight may take when the data plane shuts down.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// The running data plane. Clones share it. It runs until [`shutdown`](Self::shutdown), not until the last clone is dropped.
#[derive(Clone, Debug)]
pub struct DataPlane {
    shared: Arc<Shared>,
    applied: Arc<tokio::sync::Mutex<Applied>>,
    bound: Arc<RwLock<Vec<BoundListener>>>,
    port_fallback: PortFallback,
}

/// What putting a configuration in force needs to know of the one before.
#[derive(Debug, Default)]
struct Applied {
    sockets: HashMap<SocketKey, Socket>,
    network: NetworkSockets,
    /// Those of them that could not be bound.
    failed: HashSet<SocketKey>,
    users: Users,
}

/// What every request and every probe needs.
#[derive(Debug)]
struct Shared {
    table: RwLock<Arc<RoutingTable>>,
    board: HealthBoard,
    random: Random,
    /// Entries of logs.
    logs: LogBook,
    /// Ids in them: whether logs are kept must not decide where requests go.
    log_random: Random,
    timing: Timing,
    tracker: TaskTracker,
    /// Keys of those who issue tokens.
    keys: KeyStore,
    /// Where listeners listen whose own ports cannot be bound, by where they should.
    stand_ins: RwLock<HashMap<SocketAddr, SocketAddr>>,
    /// Ends all tasks at once.
    hard_stop: CancellationToken,
}

impl Shared {
    /// The table in force.
    fn table(&self) -> Arc<RoutingTable> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where to connect for an address: a target may be a load balancer whose listener has a stand-in port.
    fn reach(&self, address: SocketAddr) -> SocketAddr {
        self.stand_ins.read().unwrap_or_else(PoisonError::into_inner).get(&address).copied().unwrap_or(address)
    }

    /// A connection timeout, compressed.
    fn compress(&self, time: Duration) -> Duration {
        Duration::try_from_secs_f64(time.as_secs_f64() * self.timing.idle_scale).unwrap_or(time)
    }
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundListener {
    /// Its load balancer.
    pub load_balancer: LoadBalancerId,
    /// The listener.
    pub listener: ListenerId,
    /// The load balancer's address; a network load balancer has one row for each.
    pub address: IpAddr,
    /// The port that the configuration asks for.
    pub port: u16,
    /// Its transport; a listener for TCP and UDP has one row for each.
    pub transport: Transport,
    /// Where it really listens (a stand-in port differs from `port`), or why it does not.
    pub bound: Result<SocketAddr, String>,
}

/// Requests served since the start (of network load balancers: flows), in the order of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Per rule (default rules too): requests that it decided.
    pub rules: Vec<(RuleId, u64)>,
    /// Per target group: requests sent to one of its targets.
    pub target_groups: Vec<(TargetGroupId, u64)>,
}

impl DataPlane {
    /// A data plane that serves nothing yet. Needs no runtime; [`apply`](Self::apply) does.
    pub fn new(options: DataPlaneOptions) -> Self {
        let shared = Shared {
            table: RwLock::default(),
            board: HealthBoard::default(),
            random: Random::new(options.seed),
            logs: LogBook::default(),
            log_random: Random::new(options.seed.map(u64::reverse_bits)),
            timing: options.timing,
            tracker: TaskTracker::new(),
            keys: KeyStore::default(),
            stand_ins: RwLock::default(),
            hard_stop: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared), applied: Arc::default(), bound: Arc::default(), port_fallback: options.port_fallback }
    }

    /// Puts a configuration in force: when it returns, sockets follow it and the next request on every connection, new or kept alive, is
    /// served by it. An older revision than the one in force is ignored. Never fails: what cannot be bound is reported by [`bound`](Self::bound).
    pub async fn apply(&self, config: DataPlaneConfig) {
        self.change(config.into()).await;
    }

    /// As [`apply`](Self::apply), for what is new: costs as much as it changes.
    pub async fn change(&self, changes: Changes) {
        let mut applied = self.applied.lock().await;
        let Applied { sockets, network, failed, users } = &mut *applied;
        let previous = self.shared.table();
        if changes.revision < previous.revision || self.shared.hard_stop.is_cancelled() {
            return;
        }
        let (table, touched) = table::change(&changes, &previous, users, &self.shared);
        let table = Arc::new(table);
        *self.shared.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&table);
        for id in &touched.target_groups {
            let Some(group) = previous.target_groups.get(id) else { continue };
            let successor = table.target_groups.get(id);
            if successor.is_none_or(|successor| !Arc::ptr_eq(successor, group)) {
                group.hand_over(successor.map(Arc::as_ref));
            }
        }

        let keys: HashSet<SocketKey> = touched.sockets.iter().chain(&*failed).copied().collect();
        for key in &keys {
            let wanted = table.listeners.get(key).map(|listener| &listener.protocol);
            if sockets.get(key).is_some_and(|socket| socket.bound.is_err() || wanted != Some(&socket.protocol))
                && let Some(socket) = sockets.remove(key)
            {
                socket.close().await;
            }
        }
        failed.clear();
        for key in &keys {
            let Some(listener) = table.listeners.get(key).filter(|_| !sockets.contains_key(key)) else { continue };
            let reserved: HashSet<u16> = listener.load_balancer.listeners.iter().map(|listener| listener.port).collect();
            let socket = Socket::open(&self.shared, listener, self.port_fallback, &reserved);
            if socket.bound.is_err() {
                failed.insert(*key);
            }
            sockets.insert(*key, socket);
        }
        let moved = network.follow(&self.shared, &table, &touched.network_sockets, self.port_fallback).await;
        if moved || !keys.is_empty() {
            self.report(&table, sockets, network);
        }
    }

    fn report(&self, table: &RoutingTable, sockets: &HashMap<SocketKey, Socket>, network: &NetworkSockets) {
        let mut bound: Vec<BoundListener> = table
            .load_balancers
            .values()
            .flat_map(|load_balancer| &load_balancer.listeners)
            .filter_map(|listener| {
                let address = listener.load_balancer.address;
                Some(BoundListener {
                    load_balancer: listener.load_balancer.id.clone(),
                    listener: listener.id.clone(),
                    address,
                    port: listener.port,
                    transport: Transport::Tcp,
                    bound: sockets.get(&(address, listener.port))?.bound.clone(),
                })
            })
            .chain(network.rows(table))
            .collect();
        bound.sort_by(|a, b| (&a.load_balancer, a.port, a.address, a.transport).cmp(&(&b.load_balancer, b.port, b.address, b.transport)));
        let stand_ins = bound.iter().filter(|row| row.transport == Transport::Tcp).filter_map(|row| {
            let at = *row.bound.as_ref().ok()?;
            (at.port() != row.port).then_some((SocketAddr::new(row.address, row.port), at))
        });
        *self.shared.stand_ins.write().unwrap_or_else(PoisonError::into_inner) = stand_ins.collect();
        *self.bound.write().unwrap_or_else(PoisonError::into_inner) = bound;
    }

    /// The health of all targets, as DescribeTargetHealth shows it; a shared board that follows the probes.
    pub fn health(&self) -> HealthBoard {
        self.shared.board.clone()
    }

    /// The entries of logs that wait for delivery; shared.
    pub fn logs(&self) -> LogBook {
        self.shared.logs.clone()
    }

    /// Where the listeners of the configuration in force listen, by load balancer and port.
    pub fn bound(&self) -> Vec<BoundListener> {
        self.bound.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Request counters of rules and target groups in the configuration in force.
    pub fn counters(&self) -> Counters {
        let table = self.shared.table();
        let listeners = table.load_balancers.values().flat_map(|load_balancer| &load_balancer.listeners);
        let mut rules: Vec<_> = listeners.flat_map(|listener| listener.rules()).map(|rule| (rule.id().clone(), rule.requests())).collect();
        let network = table.network.values().flat_map(|load_balancer| &load_balancer.listeners);
        rules.extend(network.flat_map(|listener| listener.rules()).map(|rule| (rule.id.clone(), rule.flows())));
        rules.sort();
        rules.dedup();
        let mut target_groups: Vec<_> = table.target_groups.iter().map(|(id, group)| (id.clone(), group.requests())).collect();
        target_groups.sort();
        Counters { rules, target_groups }
    }

    /// Closes sockets, lets requests in flight finish for up to a second, ends all tasks. Nothing can be applied afterwards.
    pub async fn shutdown(&self) {
        let mut applied = self.applied.lock().await;
        for (_, socket) in applied.sockets.drain() {
            socket.close().await;
        }
        applied.network.close().await;
        let table = std::mem::take(&mut *self.shared.table.write().unwrap_or_else(PoisonError::into_inner));
        self.shared.tracker.close();
        // Health checks would go on for ever; requests in flight get their grace.
        for group in table.target_groups.values() {
            group.retire();
        }
        let _ = tokio::time::timeout(SHUTDOWN_GRACE, self.shared.tracker.wait()).await;
        self.shared.hard_stop.cancel();
        self.shared.tracker.wait().await;
        self.bound.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
