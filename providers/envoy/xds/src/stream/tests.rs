//! Both forms of the protocol, with a made-up proxy, through random changes, refusals and reconnections: both end with what the store holds.

use super::{Feedback, Mode, Request, Response, Stream, View};
use crate::resource::Resource;
use portico_crds::NamespacedName;
use portico_envoy::observed::{ResourceKey, ResourceKind, Version};
use portico_providers::UnitId;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the store holds.
#[derive(Default)]
struct World(BTreeMap<ResourceKey, Arc<Resource>>);

impl View for World {
    fn get(&self, key: &ResourceKey) -> Option<Arc<Resource>> {
        self.0.get(key).cloned()
    }

    fn names(&self, kind: ResourceKind) -> Vec<String> {
        self.0.keys().filter(|key| key.kind == kind).map(|key| key.name.clone()).collect()
    }
}

fn key(kind: ResourceKind, name: impl ToString) -> ResourceKey {
    ResourceKey { kind, name: name.to_string() }
}

impl World {
    fn set(&mut self, key: &ResourceKey, content: &str) {
        let needs = if key.kind == ResourceKind::Cluster {
            vec![ResourceKey { kind: ResourceKind::ClusterLoadAssignment, name: key.name.clone() }]
        } else {
            Vec::new()
        };
        let body = content.as_bytes().to_vec().into();
        let unit = UnitId::Gateway(NamespacedName::new("infra", "web"));
        let resource = Resource { key: key.clone(), version: Version::of(content.as_bytes()), unit, body, needs };
        self.0.insert(key.clone(), Arc::new(resource));
    }
}

/// A proxy: it asks for all clusters and listeners, for the endpoints of its clusters, and for the routes of its listeners, which have the same names.
struct Proxy {
    mode: Mode,
    stream: Stream,
    has: BTreeMap<ResourceKey, Version>,
    asked: BTreeMap<ResourceKind, BTreeSet<String>>,
    inbox: Vec<Response>,
    acknowledged: BTreeMap<ResourceKey, Option<Version>>,
}

impl Proxy {
    fn connect(mode: Mode, has: BTreeMap<ResourceKey, Version>, world: &World) -> Self {
        let mut proxy =
            Self { mode, stream: Stream::new(mode), has, asked: BTreeMap::new(), inbox: Vec::new(), acknowledged: BTreeMap::new() };
        for kind in [ResourceKind::Cluster, ResourceKind::Listener] {
            proxy.first(kind, BTreeSet::new(), world);
        }
        proxy.ask(world);
        proxy
    }

    fn first(&mut self, kind: ResourceKind, names: BTreeSet<String>, world: &World) {
        let initial = self.has.iter().filter(|(key, _)| key.kind == kind).map(|(key, version)| (key.name.clone(), version.clone()));
        let initial_versions = if self.mode == Mode::Delta { initial.collect() } else { Vec::new() };
        let request = Request { subscribe: names.iter().cloned().collect(), initial_versions, ..Request::default() };
        self.asked.insert(kind, names);
        self.stream.receive(kind, &request, world);
    }

    /// Asks for what its clusters and listeners refer to.
    fn ask(&mut self, world: &World) {
        for (of, kind) in
            [(ResourceKind::Cluster, ResourceKind::ClusterLoadAssignment), (ResourceKind::Listener, ResourceKind::RouteConfiguration)]
        {
            let names: BTreeSet<String> = self.has.keys().filter(|key| key.kind == of).map(|key| key.name.clone()).collect();
            let Some(asked) = self.asked.get(&kind).cloned() else {
                if !names.is_empty() {
                    self.first(kind, names, world);
                }
                continue;
            };
            if names == asked {
                continue;
            }
            let request = match self.mode {
                Mode::Delta => Request {
                    subscribe: names.difference(&asked).cloned().collect(),
                    unsubscribe: asked.difference(&names).cloned().collect(),
                    ..Request::default()
                },
                Mode::StateOfTheWorld => Request { subscribe: names.iter().cloned().collect(), ..Request::default() },
            };
            self.has.retain(|key, _| key.kind != kind || names.contains(&key.name));
            self.asked.insert(kind, names);
            self.stream.receive(kind, &request, world);
        }
    }

    fn listen(&mut self, world: &World) {
        while let Some(response) = self.stream.next(world) {
            self.inbox.push(response);
        }
        for feedback in self.stream.feedback() {
            if let Feedback::Acknowledged(key, version) = feedback {
                self.acknowledged.insert(key, version);
            }
        }
    }

    /// Answers the oldest response.
    fn answer(&mut self, world: &World) {
        if self.inbox.is_empty() {
            return;
        }
        let response = self.inbox.remove(0);
        let bad: Vec<_> = response.resources.iter().filter(|it| it.body.starts_with(b"bad")).collect();
        let error =
            (!bad.is_empty()).then(|| format!("refused: {}", bad.iter().map(|it| it.key.name.as_str()).collect::<Vec<_>>().join(", ")));
        if self.mode == Mode::StateOfTheWorld && matches!(response.kind, ResourceKind::Cluster | ResourceKind::Listener) {
            let names: BTreeSet<_> = response.resources.iter().map(|it| it.key.name.clone()).collect();
            self.has.retain(|key, _| key.kind != response.kind || names.contains(&key.name));
        }
        let wildcard = matches!(response.kind, ResourceKind::Cluster | ResourceKind::Listener);
        let wanted = |name: &String| wildcard || self.asked.get(&response.kind).is_some_and(|asked| asked.contains(name));
        for resource in response.resources.iter().filter(|it| !it.body.starts_with(b"bad") && wanted(&it.key.name)) {
            if let Some(cluster) = std::str::from_utf8(&resource.body).unwrap().strip_prefix("to ") {
                let cluster = cluster.split(' ').next().unwrap();
                for kind in [ResourceKind::Cluster, ResourceKind::ClusterLoadAssignment] {
                    assert!(self.has.contains_key(&key(kind, cluster)), "a route leads to {cluster}, whose {kind} the proxy does not have");
                }
            }
            self.has.insert(resource.key.clone(), resource.version.clone());
        }
        for name in &response.removed {
            self.has.remove(&ResourceKey { kind: response.kind, name: name.clone() });
        }
        let asked = self.asked.get(&response.kind).cloned().unwrap_or_default();
        let subscribe = if self.mode == Mode::Delta { Vec::new() } else { asked.into_iter().collect() };
        let request = Request { subscribe, nonce: response.nonce, error, ..Request::default() };
        self.stream.receive(response.kind, &request, world);
        self.ask(world);
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A cluster with its endpoints, in some version; `bad` ones are refused.
    Cluster(u8, u8),
    /// Other endpoints.
    Endpoints(u8, u8),
    /// A listener with routes to a cluster.
    Listener(u8, u8, u8),
    /// A listener goes.
    Close(u8),
    Answer,
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..5u8, 0..4u8).prop_map(|(name, version)| Step::Cluster(name, version)),
        2 => (0..5u8, 0..4u8).prop_map(|(name, version)| Step::Endpoints(name, version)),
        3 => (0..3u8, 0..5u8, 0..4u8).prop_map(|(name, cluster, version)| Step::Listener(name, cluster, version)),
        1 => (0..3u8).prop_map(Step::Close),
        6 => Just(Step::Answer),
        1 => Just(Step::Reconnect),
    ]
}

fn run(mode: Mode, steps: &[Step]) -> (World, BTreeMap<ResourceKey, Version>) {
    let mut world = World::default();
    let mut proxy = Proxy::connect(mode, BTreeMap::new(), &world);
    for step in steps {
        let mut changed = Vec::new();
        let cluster = |world: &mut World, name: u8, content: &str, changed: &mut Vec<ResourceKey>| {
            let (cluster, endpoints) = (key(ResourceKind::Cluster, name), key(ResourceKind::ClusterLoadAssignment, name));
            world.set(&cluster, content);
            if !world.0.contains_key(&endpoints) {
                world.set(&endpoints, "endpoints");
            }
            changed.extend([cluster, endpoints]);
        };
        match step {
            Step::Cluster(name, version) => {
                // Clusters that routes lead to stay good: what a bad one does to its routes is not for the protocol to mend.
                cluster(&mut world, *name, &format!("cluster {version}"), &mut changed);
            }
            Step::Endpoints(name, version) if world.0.contains_key(&key(ResourceKind::Cluster, name)) => {
                let endpoints = key(ResourceKind::ClusterLoadAssignment, name);
                world.set(&endpoints, &format!("endpoints {version}"));
                changed.push(endpoints);
            }
            Step::Listener(name, to, version) => {
                if !world.0.contains_key(&key(ResourceKind::Cluster, to)) {
                    cluster(&mut world, *to, "cluster", &mut changed);
                }
                let (listener, routes) = (key(ResourceKind::Listener, name), key(ResourceKind::RouteConfiguration, name));
                world.set(&listener, if *version == 3 { "bad listener" } else { "listener" });
                world.set(&routes, &format!("to {to} {version}"));
                changed.extend([listener, routes]);
            }
            Step::Close(name) => {
                for kind in [ResourceKind::Listener, ResourceKind::RouteConfiguration] {
                    world.0.remove(&key(kind, name));
                    changed.push(key(kind, name));
                }
            }
            Step::Endpoints(..) => {}
            Step::Answer => proxy.answer(&world),
            Step::Reconnect => proxy = Proxy::connect(mode, std::mem::take(&mut proxy.has), &world),
        }
        for key in &changed {
            proxy.stream.note(key);
        }
        proxy.listen(&world);
    }
    for _ in 0..500 {
        proxy.answer(&world);
        proxy.listen(&world);
        if proxy.inbox.is_empty() {
            break;
        }
    }
    assert!(proxy.inbox.is_empty(), "the conversation does not end");
    assert!(!proxy.stream.is_waiting());
    (world, proxy.has)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn both_forms_end_with_what_the_store_holds(steps in prop::collection::vec(step(), 0..60)) {
        for mode in [Mode::Delta, Mode::StateOfTheWorld] {
            let (world, has) = run(mode, &steps);
            for (key, resource) in &world.0 {
                let bad = resource.body.starts_with(b"bad");
                let listened = key.kind != ResourceKind::RouteConfiguration
                    || has.contains_key(&ResourceKey { kind: ResourceKind::Listener, name: key.name.clone() });
                if !bad && listened {
                    prop_assert_eq!(has.get(key), Some(&resource.version), "{:?} {}", mode, key);
                }
            }
            for key in has.keys() {
                prop_assert!(world.0.contains_key(key), "{:?} keeps {}", mode, key);
            }
        }
    }
}

#[test]
fn a_proxy_that_has_everything_is_told_nothing() {
    let mut world = World::default();
    for (kind, content) in [
        (ResourceKind::Cluster, "cluster"),
        (ResourceKind::ClusterLoadAssignment, "endpoints"),
        (ResourceKind::Listener, "listener"),
        (ResourceKind::RouteConfiguration, "to 0 0"),
    ] {
        world.set(&key(kind, 0), content);
    }
    let has: BTreeMap<_, _> = world.0.iter().map(|(key, resource)| (key.clone(), resource.version.clone())).collect();
    let mut proxy = Proxy::connect(Mode::Delta, has.clone(), &world);
    for _ in 0..4 {
        proxy.listen(&world);
        assert!(proxy.inbox.iter().all(|response| response.resources.is_empty() && response.removed.is_empty()), "{:?}", proxy.inbox);
        proxy.answer(&world);
    }
    assert_eq!(proxy.acknowledged, has.into_iter().map(|(key, version)| (key, Some(version))).collect());
}

#[test]
fn routes_wait_for_the_endpoints_of_new_clusters_but_not_for_ever() {
    let mut world = World::default();
    world.set(&key(ResourceKind::Cluster, 0), "cluster");
    world.set(&key(ResourceKind::Listener, 0), "listener");
    world.set(&key(ResourceKind::RouteConfiguration, 0), "routes");
    let mut proxy = Proxy::connect(Mode::Delta, BTreeMap::new(), &world);
    for _ in 0..5 {
        proxy.listen(&world);
        proxy.answer(&world);
    }
    assert!(proxy.stream.is_waiting() && !proxy.has.contains_key(&key(ResourceKind::Listener, 0)));
    proxy.stream.lose_patience();
    for _ in 0..5 {
        proxy.listen(&world);
        proxy.answer(&world);
    }
    assert!(proxy.has.contains_key(&key(ResourceKind::RouteConfiguration, 0)));
}

#[test]
fn of_a_refused_response_only_the_resource_at_fault_is_refused() {
    let mut world = World::default();
    for name in 0..4 {
        world.set(&key(ResourceKind::Cluster, name), if name == 2 { "bad" } else { "cluster" });
        world.set(&key(ResourceKind::ClusterLoadAssignment, name), "endpoints");
    }
    for mode in [Mode::Delta, Mode::StateOfTheWorld] {
        let mut proxy = Proxy::connect(mode, BTreeMap::new(), &world);
        let mut refused = BTreeSet::new();
        for _ in 0..20 {
            while let Some(response) = proxy.stream.next(&world) {
                proxy.inbox.push(response);
            }
            for feedback in proxy.stream.feedback() {
                if let Feedback::Refused(key, _, message) = feedback {
                    assert!(message.starts_with("refused: "));
                    refused.insert(key);
                }
            }
            proxy.answer(&world);
        }
        assert_eq!(refused, BTreeSet::from([key(ResourceKind::Cluster, 2)]), "{mode:?}");
        assert_eq!(proxy.has.len(), 6, "{mode:?}");
    }
}
