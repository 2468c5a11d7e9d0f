//! Connections and datagrams that are passed on as they are.

use super::Compiler;
use super::filter::millionths;
use crate::name;
use crate::stack::Listener;
use crate::stack::core::{Protocol, TypedExtensionConfig};
use crate::stack::listener::{
    Filter, ListenerFilter, TcpClusterWeight, TcpProxy, TcpWeightedCluster, UdpListenerConfig, UdpProxyConfig, UdpRoute,
};
use crate::stack::matcher::{FieldMatcher, Matcher, MatcherList, OnMatch, Predicate, RuntimeFraction, SinglePredicate, SourcePortInput};
use portico_providers::{PlanPort, PlanRule, PortProtocol};

impl Compiler<'_> {
    /// The network filter that passes connections on. Without a rule, and for the share of an invalid backend, it closes them: their cluster does not exist.
    pub(super) fn tcp_proxy(&mut self, rule: Option<&PlanRule>) -> Filter {
        let shares = rule.map(|rule| self.shares(rule)).unwrap_or_default();
        let mut proxy =
            TcpProxy { stat_prefix: prefix(rule), access_log: self.access_log(), max_connect_attempts: Some(3), ..TcpProxy::default() };
        match shares.as_slice() {
            [] => proxy.cluster = Some(name::INVALID.to_owned()),
            [(cluster, _)] => proxy.cluster = Some(cluster.clone()),
            shares => {
                let weight = |(name, weight): &(String, u32)| TcpClusterWeight { name: name.clone(), weight: *weight };
                proxy.weighted_clusters = Some(TcpWeightedCluster { clusters: shares.iter().map(weight).collect() });
            }
        }
        Filter { name: "envoy.filters.network.tcp_proxy".into(), typed_config: Some(proxy.into()) }
    }

    /// The listener of a UDP port: the oldest route has it. Without one, and for the share of an invalid backend, datagrams are dropped: their cluster does not exist.
    ///
    /// Envoy has no weights for datagrams. Sessions are shared out by a hash of the client's port, which it draws by chance.
    pub(super) fn datagrams(&mut self, port: &PlanPort) -> Listener {
        let rule = port.listeners.iter().flat_map(|listener| &listener.rules).next();
        let mut shares = rule.map(|rule| self.shares(rule)).unwrap_or_default();
        let total: u64 = shares.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let (rest, _) = shares.pop().unwrap_or_else(|| (name::INVALID.to_owned(), 0));
        let mut taken = 0;
        let mut matchers = Vec::new();
        for (cluster, weight) in shares {
            taken += u64::from(weight);
            let fraction = RuntimeFraction { runtime_fraction: Some(millionths(taken, total)), seed: 0 };
            let predicate = SinglePredicate {
                input: extension("envoy.matching.inputs.source_port", SourcePortInput {}.into()),
                custom_match: extension("envoy.matching.matchers.runtime_fraction", fraction.into()),
            };
            matchers.push(FieldMatcher { predicate: Some(Predicate { single_predicate: Some(predicate) }), on_match: Some(to(cluster)) });
        }
        let proxy = UdpProxyConfig {
            stat_prefix: prefix(rule),
            access_log: self.access_log(),
            matcher: Some(Matcher {
                matcher_list: (!matchers.is_empty()).then_some(MatcherList { matchers }),
                on_no_match: Some(to(rest)),
            }),
        };
        Listener {
            name: name::listener(&self.plan.unit, port.port, PortProtocol::Udp),
            listener_filters: vec![ListenerFilter {
                name: "envoy.filters.udp_listener.udp_proxy".into(),
                typed_config: Some(proxy.into()),
            }],
            udp_listener_config: Some(UdpListenerConfig {}),
            ..self.bound(port.port, Protocol::Udp)
        }
    }

    /// Clusters with their weights, those without a share left out.
    fn shares(&mut self, rule: &PlanRule) -> Vec<(String, u32)> {
        let targets: Vec<_> = rule.backends.iter().map(|backend| (self.target(backend), backend.weight)).collect();
        targets.into_iter().filter(|(_, weight)| *weight > 0).collect()
    }
}

fn prefix(rule: Option<&PlanRule>) -> String {
    rule.map_or_else(|| "none".to_owned(), |rule| rule.id.route.to_string())
}

fn extension(name: &str, config: crate::stack::TypedConfig) -> Option<TypedExtensionConfig> {
    Some(TypedExtensionConfig { name: name.to_owned(), typed_config: Some(config) })
}

fn to(cluster: String) -> OnMatch {
    OnMatch { action: extension("route", UdpRoute { cluster }.into()) }
}
