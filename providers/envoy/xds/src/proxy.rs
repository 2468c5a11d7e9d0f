//! A made-up proxy for tests: it behaves as Envoy does, as far as the protocol goes. What has `bad` in it is refused.

use crate::resource::Resource;
use crate::routes::{Hosts, frame, whole};
use crate::stream::{Feedback, Mode, Request, Response, Stream, View};
use portico_crds::NamespacedName;
use portico_envoy::observed::{ResourceKey, ResourceKind, Version};
use portico_envoy::stack::route::{Route, RouteConfiguration, VirtualHost};
use portico_providers::UnitId;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub fn unit() -> UnitId {
    UnitId::Gateway(NamespacedName::new("infra", "web"))
}

pub fn key(kind: ResourceKind, name: impl ToString) -> ResourceKey {
    ResourceKey { kind, name: name.to_string() }
}

/// A resource with some content. Clusters need endpoints of their name; route configurations and virtual hosts are real ones, so that they can be put together.
pub fn resource(key: &ResourceKey, content: &str) -> Arc<Resource> {
    let body = match key.kind {
        ResourceKind::RouteConfiguration => {
            let ignore_port_in_host_matching = content != "frame";
            frame(&RouteConfiguration { name: key.name.clone(), ignore_port_in_host_matching, ..RouteConfiguration::default() })
        }
        ResourceKind::VirtualHost => {
            let routes = vec![Route { name: content.to_owned(), ..Route::default() }];
            let domain = key.name.rsplit('/').next().unwrap().to_owned();
            VirtualHost { name: key.name.clone(), domains: vec![domain], routes, ..VirtualHost::default() }.encode_to_vec().into()
        }
        _ => content.as_bytes().to_vec().into(),
    };
    let needs = if key.kind == ResourceKind::Cluster {
        vec![ResourceKey { kind: ResourceKind::ClusterLoadAssignment, name: key.name.clone() }]
    } else {
        Vec::new()
    };
    Arc::new(Resource { key: key.clone(), version: Version::of(&body), unit: unit(), body, needs })
}

pub fn is_bad(resource: &Resource) -> bool {
    resource.body.windows(3).any(|window| window == b"bad")
}

/// Resources that a stream may see, all of them.
pub struct World {
    pub resources: BTreeMap<ResourceKey, Arc<Resource>>,
    pub hosts: Hosts,
}

impl World {
    pub fn new(hosts: Hosts) -> Self {
        Self { resources: BTreeMap::new(), hosts }
    }

    pub fn set(&mut self, key: &ResourceKey, content: &str) {
        self.resources.insert(key.clone(), resource(key, content));
    }

    fn of(&self, routes: &str) -> impl Iterator<Item = &Arc<Resource>> {
        let name = routes.to_owned();
        self.resources.values().filter(move |it| it.key.routes().is_some_and(|of| of.name == name))
    }
}

impl View for World {
    fn get(&self, key: &ResourceKey) -> Option<Arc<Resource>> {
        let resource = self.resources.get(key)?;
        match (self.hosts, key.kind) {
            (Hosts::Within, ResourceKind::RouteConfiguration) => Some(Arc::new(whole(resource, self.of(&key.name)))),
            (Hosts::Within, ResourceKind::VirtualHost) => None,
            _ => Some(resource.clone()),
        }
    }

    fn names(&self, kind: ResourceKind) -> Vec<String> {
        self.resources.keys().filter(|key| key.kind == kind).map(|key| key.name.clone()).collect()
    }

    fn leaves_alone(&self, _name: &str) -> bool {
        false
    }

    fn hosts(&self, routes: &str) -> Vec<String> {
        self.of(routes).map(|it| it.key.name.clone()).collect()
    }
}

/// A proxy: it asks for all clusters and listeners, for the endpoints of its clusters, and for the routes of its listeners, which have the same names.
pub struct Proxy {
    pub mode: Mode,
    pub hosts: Hosts,
    pub stream: Stream,
    /// What it has, or at least acknowledged.
    pub has: BTreeMap<ResourceKey, Arc<Resource>>,
    /// The virtual hosts that requests meet, by route configuration.
    pub meets: BTreeMap<String, BTreeMap<String, Arc<Resource>>>,
    pub inbox: VecDeque<Response>,
    asked: BTreeMap<ResourceKind, BTreeSet<String>>,
    outbox: Vec<(ResourceKind, Request)>,
    /// Bytes of all responses.
    pub bytes: usize,
}

impl Proxy {
    pub fn connect(mode: Mode, hosts: Hosts) -> Self {
        let mut proxy = Self {
            mode,
            hosts,
            stream: Stream::new(mode),
            has: BTreeMap::new(),
            meets: BTreeMap::new(),
            inbox: VecDeque::new(),
            asked: BTreeMap::new(),
            outbox: Vec::new(),
            bytes: 0,
        };
        proxy.reconnect();
        proxy
    }

    /// A new stream, on which it says what it has.
    pub fn reconnect(&mut self) {
        self.stream = Stream::new(self.mode);
        self.inbox.clear();
        self.outbox.clear();
        let discovers = self.asked.contains_key(&ResourceKind::VirtualHost);
        self.asked.clear();
        for kind in [ResourceKind::Cluster, ResourceKind::Listener] {
            self.first(kind, BTreeSet::new());
        }
        self.ask();
        if discovers {
            self.first(ResourceKind::VirtualHost, BTreeSet::new());
        }
    }

    fn first(&mut self, kind: ResourceKind, names: BTreeSet<String>) {
        let initial = self.has.iter().filter(|(key, _)| key.kind == kind).map(|(key, it)| (key.name.clone(), it.version.clone()));
        let initial_versions = if self.mode == Mode::Delta { initial.collect() } else { Vec::new() };
        let request = Request { subscribe: names.iter().cloned().collect(), initial_versions, ..Request::default() };
        self.asked.insert(kind, names);
        self.outbox.push((kind, request));
    }

    /// Asks for what its clusters and listeners refer to.
    fn ask(&mut self) {
        for (of, kind) in
            [(ResourceKind::Cluster, ResourceKind::ClusterLoadAssignment), (ResourceKind::Listener, ResourceKind::RouteConfiguration)]
        {
            let names: BTreeSet<String> = self.has.keys().filter(|key| key.kind == of).map(|key| key.name.clone()).collect();
            let Some(asked) = self.asked.get(&kind).cloned() else {
                if !names.is_empty() {
                    self.first(kind, names);
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
            if kind == ResourceKind::RouteConfiguration {
                self.meets.retain(|routes, _| names.contains(routes));
            }
            self.asked.insert(kind, names);
            self.outbox.push((kind, request));
        }
    }

    /// Sends what it has to say, and receives what there is to be told.
    pub fn exchange(&mut self, view: &impl View, changed: &[ResourceKey]) -> Vec<Feedback> {
        for key in changed {
            self.stream.note(key);
        }
        for (kind, request) in std::mem::take(&mut self.outbox) {
            self.stream.receive(kind, &request, view);
        }
        while let Some(response) = self.stream.next(view) {
            self.bytes += response.size();
            self.inbox.push_back(response);
        }
        self.stream.feedback()
    }

    /// Answers the oldest response.
    pub fn answer(&mut self) {
        let Some(response) = self.inbox.pop_front() else { return };
        // Virtual hosts of route configurations that it does not have are not looked at.
        let read = |it: &Resource| it.key.routes().is_none_or(|of| self.meets.contains_key(&of.name));
        let bad: Vec<_> = response.resources.iter().filter(|it| is_bad(it) && read(it)).map(|it| it.key.name.as_str()).collect();
        let error = (!bad.is_empty()).then(|| format!("refused: {}", bad.join(", ")));
        let wildcard = matches!(response.kind, ResourceKind::Cluster | ResourceKind::Listener);
        if self.mode == Mode::StateOfTheWorld && wildcard {
            let names: BTreeSet<_> = response.resources.iter().map(|it| it.key.name.clone()).collect();
            self.has.retain(|key, _| key.kind != response.kind || names.contains(&key.name));
        }
        if response.kind == ResourceKind::VirtualHost {
            self.take_hosts(&response);
        } else {
            let wanted = |name: &String| wildcard || self.asked.get(&response.kind).is_some_and(|asked| asked.contains(name));
            let taken: Vec<_> = response.resources.iter().filter(|it| !is_bad(it) && wanted(&it.key.name)).cloned().collect();
            for resource in taken {
                self.check(&resource);
                if resource.key.kind == ResourceKind::RouteConfiguration && self.hosts == Hosts::Apart {
                    self.meets.entry(resource.key.name.clone()).or_default();
                    if !self.asked.contains_key(&ResourceKind::VirtualHost) {
                        self.first(ResourceKind::VirtualHost, BTreeSet::new());
                    }
                }
                self.has.insert(resource.key.clone(), resource);
            }
            for name in &response.removed {
                self.has.remove(&ResourceKey { kind: response.kind, name: name.clone() });
            }
        }
        let asked = self.asked.get(&response.kind).cloned().unwrap_or_default();
        let subscribe = if self.mode == Mode::Delta { Vec::new() } else { asked.into_iter().collect() };
        self.outbox.push((response.kind, Request { subscribe, nonce: response.nonce, error, ..Request::default() }));
        self.ask();
    }

    /// Envoy hands virtual hosts to the route configuration that they belong to, if it has it, which takes all of them or none.
    fn take_hosts(&mut self, response: &Response) {
        let of = |name: &str| key(ResourceKind::VirtualHost, name).routes().unwrap().name;
        let names = response.resources.iter().map(|it| it.key.name.as_str()).chain(response.removed.iter().map(String::as_str));
        let all: BTreeSet<String> = names.map(of).collect();
        assert_eq!(all.len(), 1, "what is taken of several route configurations would be for chance to say");
        if let Some(meets) = self.meets.get(all.first().unwrap()) {
            if response.resources.iter().any(|it| is_bad(it)) {
                return;
            }
            response.resources.iter().for_each(|it| self.check(it));
            let mut meets = meets.clone();
            meets.extend(response.resources.iter().map(|it| (it.key.name.clone(), it.clone())));
            meets.retain(|name, _| !response.removed.contains(name));
            self.meets.insert(all.first().unwrap().clone(), meets);
        }
        for resource in &response.resources {
            self.has.insert(resource.key.clone(), resource.clone());
        }
        for name in &response.removed {
            self.has.remove(&key(ResourceKind::VirtualHost, name));
        }
    }

    /// Whatever routes lead to must be there.
    fn check(&self, routes: &Resource) {
        let text = String::from_utf8_lossy(&routes.body);
        for (at, _) in text.match_indices("to ") {
            let cluster = &text[at + 3..at + 4];
            for kind in [ResourceKind::Cluster, ResourceKind::ClusterLoadAssignment] {
                assert!(self.has.contains_key(&key(kind, cluster)), "a route leads to {cluster}, whose {kind} the proxy does not have");
            }
        }
    }

    /// What requests meet, whichever way it came.
    pub fn serves(&self) -> BTreeMap<String, RouteConfiguration> {
        let routes = self.has.values().filter(|it| it.key.kind == ResourceKind::RouteConfiguration);
        let each = routes.map(|it| {
            let mut routes = RouteConfiguration::decode(it.body.as_ref()).unwrap();
            let hosts = self.meets.get(&it.key.name).into_iter().flat_map(BTreeMap::values);
            routes.virtual_hosts.extend(hosts.map(|host| VirtualHost::decode(host.body.as_ref()).unwrap()));
            routes.vhds = None;
            (it.key.name.clone(), routes)
        });
        each.collect()
    }
}
