//! The routing table: a configuration compiled once, immutable, shared by all requests.

use std::{
    cell::LazyCell,
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
    /// The target groups that any rule refers to, also with weight 0.
    pub(super) referenced: HashSet<TargetGroupId>,
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
    config: Arc<Rule>,
    conditions: Vec<Matcher>,
    pub(super) transforms: Transforms,
    requests: AtomicU64,
}

type ById<'a> = HashMap<&'a RuleId, &'a Arc<CompiledRule>>;

/// What a table takes over from the one before: rules, with their counters.
struct Known<'a> {
    rules: HashMap<*const Rule, &'a Arc<CompiledRule>>,
    previous: Option<&'a LoadBalancerTable>,
    /// Made when a rule comes that is not the one of before: what is projected as a whole has new rules throughout.
    by_id: LazyCell<ById<'a>, Box<dyn FnOnce() -> ById<'a> + 'a>>,
}

impl<'a> Known<'a> {
    fn new(previous: Option<&'a LoadBalancerTable>) -> Self {
        let rules = move || previous.into_iter().flat_map(|table| &table.listeners).flat_map(|listener| &listener.rules);
        Self {
            rules: rules().map(|rule| (Arc::as_ptr(&rule.config), rule)).collect(),
            previous,
            by_id: LazyCell::new(Box::new(move || rules().map(|rule| (rule.id(), rule)).collect())),
        }
    }

    fn rule(&self, rule: &Arc<Rule>) -> Arc<CompiledRule> {
        if let Some(same) = self.rules.get(&Arc::as_ptr(rule)) {
            return Arc::clone(same);
        }
        CompiledRule::reuse_or_compile(rule, self.by_id.get(&rule.id).copied())
    }

    fn default_rule(&self, listener: &Listener) -> Arc<CompiledRule> {
        let mut previous = self.previous.into_iter().flat_map(|table| &table.listeners).map(|listener| &listener.default_rule);
        let rule = Rule {
            id: listener.default_rule.id.clone(),
            priority: u32::MAX,
            conditions: Vec::new(),
            transforms: Vec::new(),
            action: listener.default_rule.action.clone(),
        };
        CompiledRule::reuse_or_compile(&Arc::new(rule), previous.find(|known| *known.id() == listener.default_rule.id))
    }

    fn tls(&self, listener: &ListenerId) -> Option<&'a Arc<TlsTable>> {
        self.previous?.listeners.iter().find(|known| known.id == *listener)?.tls.as_ref()
    }
}

impl LoadBalancerTable {
    /// Compiles a load balancer. Rules that did not change are taken over from its previous table with their counters.
    pub(super) fn new(config: &Arc<LoadBalancer>, previous: Option<&Self>) -> Self {
        let known = Known::new(previous);
        let listeners: Vec<_> = config.listeners.iter().map(|listener| Arc::new(ListenerTable::new(config, listener, &known))).collect();
        let rules = listeners.iter().flat_map(|listener| listener.rules());
        let groups = rules.filter_map(|rule| match rule.action().served_by() {
            Action::Forward(forward) => Some(&forward.target_groups),
            _ => None,
        });
        let referenced = groups.flatten().map(|weighted| weighted.target_group.clone()).collect();
        Self { config: Arc::clone(config), listeners, referenced }
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
    fn new(load_balancer: &Arc<LoadBalancer>, listener: &Listener, known: &Known<'_>) -> Self {
        let mut rules: Vec<_> = listener.rules.iter().map(|rule| known.rule(rule)).collect();
        rules.sort_by_key(|rule| rule.config.priority);
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
            tls: listener
                .tls
                .as_ref()
                .map(|wanted| TlsTable::new(wanted, Negotiation::of_http(load_balancer.attributes.http2), known.tls(&listener.id))),
            server_header: listener.attributes.server_header,
            response_headers,
            rules,
            default_rule: known.default_rule(listener),
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
    fn reuse_or_compile(rule: &Arc<Rule>, previous: Option<&Arc<Self>>) -> Arc<Self> {
        match previous {
            Some(previous) if previous.config == *rule => Arc::clone(previous),
            _ => Arc::new(Self::compile(rule, previous.map_or(0, |previous| previous.requests()))),
        }
    }

    fn compile(rule: &Arc<Rule>, requests: u64) -> Self {
        let conditions: Result<Vec<_>, _> = rule.conditions.iter().map(Matcher::new).collect();
        let compiled = conditions.and_then(|conditions| Ok((conditions, Transforms::new(&rule.transforms)?)));
        let (conditions, transforms) = compiled.unwrap_or_else(|error| {
            // The control plane refuses such rules; should one get here, it must not catch requests of others.
            tracing::error!(rule = %rule.id, %error, "a rule does not compile and matches nothing");
            (vec![Matcher::Never], Transforms::default())
        });
        Self { config: Arc::clone(rule), conditions, transforms, requests: AtomicU64::new(requests) }
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
