//! Where changes come from: the Kubernetes objects behind the resources that are published. For plans, which people read; a pass does not ask.

use crate::name;
use crate::observed::{ResourceKey, ResourceKind};
use crate::operation::Operation;
use crate::stack::route::Route;
use crate::stack::{SecretMaterial, Stack, VirtualHost};
use portico_crds::{Kind, NamespacedName, ObjectRef};
use portico_providers::{Backend, CaBundleSource, Change, ListenerParent, Plan, PlanPort, PortProtocol, RuleId, Source};
use std::collections::{BTreeMap, BTreeSet};

/// A plan, and the stack that it compiles to.
#[derive(Clone, Copy, Debug)]
pub struct Compilation<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Its stack.
    pub stack: &'a Stack,
}

/// Names the objects that changes come from: of a resource that is withdrawn those that it came from before; of routes that change the rules that are not what they were.
/// Where nothing is known of what was before, all rules of the resource are named.
pub fn attribute(changes: &mut [Change<Operation>], now: Option<Compilation<'_>>, before: Option<Compilation<'_>>) {
    let (now, before) = (now.map(Index::of), before.map(Index::of));
    for change in changes {
        let found = match &change.operation {
            Operation::Publish(key) => now.as_ref().map(|now| now.sources(key, before.as_ref())),
            Operation::Withdraw(key) => before.as_ref().map(|before| before.sources(key, None)),
            Operation::Identify(_) => now.as_ref().map(|now| gateways(now.plan)),
        };
        change.sources = found.unwrap_or_default().into_iter().collect();
    }
}

/// A compilation, by the names that resources have.
struct Index<'a> {
    plan: &'a Plan,
    stack: &'a Stack,
    /// By the names of their routes.
    rules: BTreeMap<String, BTreeSet<&'a RuleId>>,
    /// The Services of clusters, and the policies that say how they are spoken to.
    services: BTreeMap<String, BTreeSet<Source>>,
}

impl<'a> Index<'a> {
    fn of(compilation: Compilation<'a>) -> Self {
        let Compilation { plan, stack } = compilation;
        let mut index = Self { plan, stack, rules: BTreeMap::new(), services: BTreeMap::new() };
        for (_, _, rule) in plan.rules() {
            index.rules.entry(name::route(rule)).or_default().insert(&rule.id);
            for weighted in &rule.backends {
                let Backend::Service(backend) = &weighted.backend else { continue };
                let objects = index.services.entry(name::cluster(&plan.unit, backend)).or_default();
                objects.insert(Source::Object(ObjectRef::new(Kind::Service, &backend.service)));
                objects.extend(backend.tls_policy.iter().map(|policy| Source::Object(ObjectRef::new(Kind::BackendTlsPolicy, policy))));
            }
        }
        index
    }

    fn virtual_host(&self, name: &str) -> Option<&'a VirtualHost> {
        self.stack.route_configurations.iter().flat_map(|it| &it.virtual_hosts).find(|it| it.name == name)
    }

    fn sources(&self, key: &ResourceKey, before: Option<&Self>) -> BTreeSet<Source> {
        let found = match key.kind {
            ResourceKind::Cluster | ResourceKind::ClusterLoadAssignment => self.service(&key.name),
            ResourceKind::Secret => secret(key, self.stack),
            ResourceKind::VirtualHost => {
                let rules = |name: &str| self.rules.get(name).or_else(|| before?.rules.get(name));
                let names = changed(self.virtual_host(&key.name), before.and_then(|before| before.virtual_host(&key.name)));
                names.into_iter().filter_map(rules).flatten().map(|rule| Source::Rule((*rule).clone())).collect()
            }
            ResourceKind::Listener | ResourceKind::RouteConfiguration => BTreeSet::new(),
        };
        if found.is_empty() { listeners(key, self.plan) } else { found }
    }

    fn service(&self, cluster: &str) -> BTreeSet<Source> {
        let of_rules = self.services.get(cluster).cloned();
        // Others are named by filters.
        let of_filter = || name::service(&self.plan.unit, cluster).map(|service| Source::Object(ObjectRef::new(Kind::Service, &service)));
        of_rules.unwrap_or_else(|| of_filter().into_iter().collect())
    }
}

/// The routes of a virtual host by name: those that a rule becomes share its name.
fn by_name(host: Option<&VirtualHost>) -> BTreeMap<&str, Vec<&Route>> {
    let mut routes: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
    for route in host.iter().flat_map(|it| &it.routes) {
        routes.entry(&route.name).or_default().push(route);
    }
    routes
}

/// The names of routes that are in one virtual host and not, or not alike, in the other.
fn changed<'a>(now: Option<&'a VirtualHost>, before: Option<&'a VirtualHost>) -> BTreeSet<&'a str> {
    let (now, before) = (by_name(now), by_name(before));
    now.keys().chain(before.keys()).filter(|name| now.get(*name) != before.get(*name)).copied().collect()
}

fn gateways(plan: &Plan) -> BTreeSet<Source> {
    plan.gateways.iter().map(|gateway| Source::Object(ObjectRef::new(Kind::Gateway, &gateway.key))).collect()
}

fn secret(key: &ResourceKey, stack: &Stack) -> BTreeSet<Source> {
    let Some(source) = stack.secrets.iter().find(|it| it.name == key.name) else { return BTreeSet::new() };
    let object = |kind: Kind, key: &NamespacedName| Source::Object(ObjectRef::new(kind, key));
    match &source.material {
        SecretMaterial::TlsCertificate { secret, .. } => BTreeSet::from([object(Kind::Secret, secret)]),
        SecretMaterial::ValidationContext { bundles } => bundles
            .iter()
            .map(|bundle| match &bundle.source {
                CaBundleSource::ConfigMap(key) => object(Kind::ConfigMap, key),
                CaBundleSource::ClusterTrustBundle(name) => object(Kind::ClusterTrustBundle, &NamespacedName::new("", name.as_str())),
            })
            .collect(),
    }
}

/// Whose listeners a listener of Envoy stands for, and the routes that it holds itself: of bytes and datagrams.
fn listeners(key: &ResourceKey, plan: &Plan) -> BTreeSet<Source> {
    let rest = key.name.strip_prefix(&format!("{}/", plan.unit)).unwrap_or_default();
    let (port, what) = rest.split_once('/').unwrap_or((rest, ""));
    let datagrams = key.kind == ResourceKind::Listener && what == "udp";
    let is_it = |it: &&PlanPort| it.port.to_string() == port && (it.protocol == PortProtocol::Udp) == datagrams;
    let mut found = BTreeSet::new();
    for (port, listener) in plan.ports.iter().filter(is_it).flat_map(|port| port.listeners.iter().map(move |listener| (port, listener))) {
        let kind = match listener.owner.parent {
            ListenerParent::Gateway => Kind::Gateway,
            ListenerParent::ListenerSet => Kind::ListenerSet,
        };
        found.insert(Source::Object(ObjectRef::new(kind, &listener.owner.key)));
        if !matches!(port.protocol, PortProtocol::Http | PortProtocol::Https) {
            found.extend(listener.rules.iter().map(|rule| Source::Rule(rule.id.clone())));
        }
    }
    if found.is_empty() { gateways(plan) } else { found }
}
