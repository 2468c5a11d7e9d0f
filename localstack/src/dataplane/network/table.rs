//! Network load balancers in force.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::super::{
    config::{
        Forward, IpVersion, ListenerId, LoadBalancerId, LogOptions, NetworkListener, NetworkLoadBalancer, NetworkNode, NetworkProtocol,
        RuleId, TargetGroupId, Transport,
    },
    tls::{Negotiation, TlsTable},
};

/// Address, configured port and transport of a listener's socket.
pub(in super::super) type NetworkKey = (IpAddr, u16, Transport);

/// A network load balancer, made ready.
#[derive(Debug)]
pub(in super::super) struct NetworkTable {
    pub(in super::super) config: Arc<NetworkLoadBalancer>,
    /// Every listener of every node.
    pub(in super::super) listeners: Vec<Arc<NetworkListenerTable>>,
}

/// A listener of a node, made ready.
#[derive(Debug)]
pub(in super::super) struct NetworkListenerTable {
    pub(in super::super) load_balancer: LoadBalancerId,
    pub(in super::super) id: ListenerId,
    pub(in super::super) node: NetworkNode,
    pub(in super::super) port: u16,
    pub(in super::super) protocol: NetworkProtocol,
    pub(super) idle_timeout: Duration,
    pub(super) tls: Option<Arc<TlsTable>>,
    /// What is negotiated by ALPN.
    pub(super) alpn: Vec<&'static str>,
    balancer: Arc<NetworkLoadBalancer>,
    /// By ascending priority, the default rule last.
    rules: Vec<Arc<NetworkRuleTable>>,
}

/// A rule, made ready.
#[derive(Debug)]
pub(in super::super) struct NetworkRuleTable {
    pub(in super::super) id: RuleId,
    /// Whose flows it matches; None: everybody's.
    source: Option<IpVersion>,
    pub(super) forward: Forward,
    flows: Arc<AtomicU64>,
}

impl NetworkRuleTable {
    /// Counts a flow.
    pub(super) fn count(&self) {
        self.flows.fetch_add(1, Ordering::Relaxed);
    }

    /// Flows so far, of all nodes.
    pub(in super::super) fn flows(&self) -> u64 {
        self.flows.load(Ordering::Relaxed)
    }
}

/// The rules of a listener; those of before go on counting.
fn rules(listener: &NetworkListener, known: Option<&NetworkListenerTable>) -> Vec<Arc<NetworkRuleTable>> {
    let mut sorted: Vec<_> = listener.rules.iter().collect();
    sorted.sort_by_key(|rule| rule.priority);
    let ready = |id: &RuleId, source, forward: &Forward| {
        let before = known.and_then(|known| known.rules.iter().find(|rule| rule.id == *id));
        let flows = before.map(|rule| Arc::clone(&rule.flows)).unwrap_or_default();
        Arc::new(NetworkRuleTable { id: id.clone(), source, forward: forward.clone(), flows })
    };
    let default = ready(&listener.rule, None, &listener.forward);
    sorted.into_iter().map(|rule| ready(&rule.id, Some(rule.source), &rule.forward)).chain([default]).collect()
}

impl NetworkTable {
    /// Makes a load balancer ready; what did not change of its previous table is taken over.
    pub(in super::super) fn new(config: &Arc<NetworkLoadBalancer>, previous: Option<&Self>) -> Self {
        let mut listeners = Vec::new();
        for listener in &config.listeners {
            let known = previous.and_then(|table| table.listeners.iter().find(|known| known.id == listener.id));
            let negotiation = Negotiation { protocols: listener.alpn.clone(), required: false };
            let tls = listener.tls.as_ref().map(|wanted| TlsTable::new(wanted, negotiation, known.and_then(|known| known.tls.as_ref())));
            let rules = rules(listener, known.map(Arc::as_ref));
            listeners.extend(config.nodes.iter().map(|node| {
                Arc::new(NetworkListenerTable {
                    load_balancer: config.id.clone(),
                    id: listener.id.clone(),
                    node: node.clone(),
                    port: listener.port,
                    protocol: listener.protocol,
                    idle_timeout: listener.idle_timeout,
                    tls: tls.clone(),
                    alpn: listener.alpn.clone(),
                    balancer: Arc::clone(config),
                    rules: rules.clone(),
                })
            }));
        }
        Self { config: Arc::clone(config), listeners }
    }

    /// The target groups that its listeners name, also with weight 0.
    pub(in super::super) fn referenced_groups(&self) -> HashSet<&TargetGroupId> {
        let forwards =
            self.config.listeners.iter().flat_map(|listener| listener.rules.iter().map(|rule| &rule.forward).chain([&listener.forward]));
        forwards.flat_map(|forward| &forward.target_groups).map(|weighted| &weighted.target_group).collect()
    }

    /// Its sockets, with what a change of needs another one.
    pub(in super::super) fn shape(&self) -> HashSet<(NetworkKey, ListenerId, bool)> {
        let sockets = |listener: &Arc<NetworkListenerTable>| {
            let (id, quic) = (listener.id.clone(), listener.protocol.is_quic());
            listener.keys().map(move |key| (key, id.clone(), quic)).collect::<Vec<_>>()
        };
        self.listeners.iter().flat_map(sockets).collect()
    }
}

impl NetworkListenerTable {
    /// The keys of its sockets.
    pub(in super::super) fn keys(&self) -> impl Iterator<Item = NetworkKey> + use<> {
        let (address, port) = (self.node.address, self.port);
        self.protocol.transports().iter().map(move |transport| (address, port, *transport))
    }

    /// Whether the security groups let a client in.
    pub(super) fn admits(&self, transport: Transport, client: IpAddr) -> bool {
        let Some(ingress) = &self.balancer.ingress else { return true };
        let rules = match transport {
            Transport::Tcp => &ingress.tcp,
            Transport::Udp => &ingress.udp,
        };
        rules.iter().any(|rule| (rule.from_port..=rule.to_port).contains(&self.port) && rule.source.contains(&client))
    }

    /// The logs of its load balancer.
    pub(super) fn logs(&self) -> &LogOptions {
        &self.balancer.logs
    }

    /// The first rule by priority that matches a client, else the default rule.
    pub(super) fn select(&self, client: IpAddr) -> Option<&Arc<NetworkRuleTable>> {
        self.rules.iter().find(|rule| rule.source.is_none_or(|version| version.is_of(client)))
    }

    /// Its rules, the default rule last.
    pub(in super::super) fn rules(&self) -> impl Iterator<Item = &Arc<NetworkRuleTable>> {
        self.rules.iter()
    }
}
