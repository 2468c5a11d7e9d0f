//! The routing table: a configuration compiled once, immutable, shared by all requests.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderName, HeaderValue};

use super::{
    condition::{Matcher, RequestView},
    config::{Action, Listener, ListenerId, ListenerProtocol, LoadBalancer, LoadBalancerId, Rule, RuleId, TargetGroupId},
    network::{NetworkKey, NetworkListenerTable, NetworkTable},
    shards::Shards,
    target::TargetGroupState,
    tls::{Negotiation, TlsTable},
    transform::Transforms,
};

/// Address and configured port of a listener.
pub(super) type SocketKey = (IpAddr, u16);

/// Everything in force at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct RoutingTable {
    pub(super) revision: u64,
    pub(super) load_balancers: Shards<LoadBalancerId, Arc<LoadBalancerTable>>,
    pub(super) listeners: Shards<SocketKey, Arc<ListenerTable>>,
    pub(super) network: Shards<LoadBalancerId, Arc<NetworkTable>>,
    pub(super) network_listeners: Shards<NetworkKey, Arc<NetworkListenerTable>>,
    pub(super) target_groups: Shards<TargetGroupId, Arc<TargetGroupState>>,
}

/// A compiled load balancer.
#[derive(Debug)]
pub(super) struct LoadBalancerTable {
    pub(super) config: Arc<LoadBalancer>,
    pub(super) listeners: Vec<Arc<ListenerTable>>,
}

/// A compiled listener.
#[derive(Debug)]
pub(super) struct ListenerTable {
    pub(super) load_balancer: Arc<LoadBalancer>,
    pub(super) id: ListenerId,
    pub(super) port: u16,
    pub(super) protocol: ListenerProtocol,
    pub(super) tls: Option<Arc<TlsTable>>,
    pub(super) server_header: bool,
    pub(super) response_headers: Vec<(HeaderName, HeaderValue)>,
    rules: Vec<Arc<CompiledRule>>,
    default_rule: Arc<CompiledRule>,
}

/// A compiled rule.
#[derive(Debug)]
pub(super) struct CompiledRule {
    config: Rule,
    conditions: Vec<Matcher>,
    pub(super) transforms: Transforms,
    requests: AtomicU64,
}

impl LoadBalancerTable {
    /// Compiles a load balancer. Rules that did not change are taken over from its previous table with their counters.
    pub(super) fn new(config: &Arc<LoadBalancer>, previous: Option<&Self>) -> Self {
        let known: HashMap<&RuleId, &Arc<CompiledRule>> = previous
            .iter()
            .flat_map(|table| &table.listeners)
            .flat_map(|listener| listener.rules.iter().chain([&listener.default_rule]))
            .map(|rule| (rule.id(), rule))
            .collect();
        let tls = |id: &ListenerId| previous?.listeners.iter().find(|listener| listener.id == *id)?.tls.as_ref();
        let table = |listener: &Listener| Arc::new(ListenerTable::new(config, listener, &known, tls(&listener.id)));
        let listeners = config.listeners.iter().map(table).collect();
        Self { config: Arc::clone(config), listeners }
    }

    /// The target groups that any rule refers to, also with weight 0.
    pub(super) fn referenced_groups(&self) -> HashSet<&TargetGroupId> {
        let rules = self.listeners.iter().flat_map(|listener| listener.rules.iter().chain([&listener.default_rule]));
        rules
            .filter_map(|rule| match rule.action().served_by() {
                Action::Forward(forward) => Some(&forward.target_groups),
                _ => None,
            })
            .flatten()
            .map(|weighted| &weighted.target_group)
            .collect()
    }
}

impl RoutingTable {
    /// The zones of the load balancer with this id.
    pub(super) fn zones(&self, id: &LoadBalancerId) -> Option<&[String]> {
        let application = self.load_balancers.get(id).map(|balancer| balancer.config.zones.as_slice());
        application.or_else(|| self.network.get(id).map(|balancer| balancer.config.zones.as_slice()))
    }
}

impl ListenerTable {
    fn new(
        load_balancer: &Arc<LoadBalancer>,
        listener: &Listener,
        known: &HashMap<&RuleId, &Arc<CompiledRule>>,
        tls: Option<&Arc<TlsTable>>,
    ) -> Self {
        let mut rules: Vec<_> = listener.rules.iter().map(|rule| CompiledRule::reuse_or_compile(rule, known)).collect();
        rules.sort_by_key(|rule| rule.config.priority);
        let default_rule = Rule {
            id: listener.default_rule.id.clone(),
            priority: u32::MAX,
            conditions: Vec::new(),
            transforms: Vec::new(),
            action: listener.default_rule.action.clone(),
        };
        let response_headers = listener
            .attributes
            .response_headers
            .iter()
            .filter_map(|(name, value)| Some((name.parse().ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?)))
            .collect();
        Self {
            load_balancer: Arc::clone(load_balancer),
            id: listener.id.clone(),
            port: listener.port,
            protocol: listener.protocol.clone(),
            tls: listener.tls.as_ref().map(|wanted| TlsTable::new(wanted, Negotiation::of_http(load_balancer.attributes.http2), tls)),
            server_header: listener.attributes.server_header,
            response_headers,
            rules,
            default_rule: CompiledRule::reuse_or_compile(&default_rule, known),
        }
    }

    /// The first rule by priority whose conditions all hold, else the default rule.
    pub(super) fn select(&self, request: &RequestView<'_>) -> &Arc<CompiledRule> {
        self.rules.iter().find(|rule| rule.conditions.iter().all(|condition| condition.matches(request))).unwrap_or(&self.default_rule)
    }

    /// Its rules, the default rule last.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Arc<CompiledRule>> {
        self.rules.iter().chain([&self.default_rule])
    }
}

impl CompiledRule {
    fn reuse_or_compile(rule: &Rule, known: &HashMap<&RuleId, &Arc<Self>>) -> Arc<Self> {
        let previous = known.get(&rule.id);
        match previous {
            Some(previous) if previous.config == *rule => Arc::clone(previous),
            _ => Arc::new(Self::compile(rule, previous.map_or(0, |previous| previous.requests()))),
        }
    }

    fn compile(rule: &Rule, requests: u64) -> Self {
        let conditions: Result<Vec<_>, _> = rule.conditions.iter().map(Matcher::new).collect();
        let compiled = conditions.and_then(|conditions| Ok((conditions, Transforms::new(&rule.transforms)?)));
        let (conditions, transforms) = compiled.unwrap_or_else(|error| {
            // The control plane refuses such rules; should one get here, it must not catch requests of others.
            tracing::error!(rule = %rule.id, %error, "a rule does not compile and matches nothing");
            (vec![Matcher::Never], Transforms::default())
        });
        Self { config: rule.clone(), conditions, transforms, requests: AtomicU64::new(requests) }
    }

    pub(super) fn id(&self) -> &RuleId {
        &self.config.id
    }

    /// Its priority as access logs show it: 0 for a default rule.
    pub(super) fn log_priority(&self) -> u32 {
        if self.config.priority == u32::MAX { 0 } else { self.config.priority }
    }

    pub(super) fn action(&self) -> &Action {
        &self.config.action
    }

    /// Counts a request that this rule decided.
    pub(super) fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod property;
