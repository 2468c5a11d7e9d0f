//! What one proxy has been told and has answered: the state machines of the protocol, pure. Time, network and the store stay outside.
//!
//! A stream carries all kinds of resources, so that their order can be kept: what is referred to is told, and acknowledged, before what refers to it.

mod delta;
mod host;
mod kind;
#[cfg(test)]
mod tests;
mod world;

use crate::resource::Resource;
use kind::KindState;
use portico_envoy::observed::{ResourceKey, ResourceKind, Version};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a stream may be told.
pub trait View {
    /// A resource, in the version that this proxy should have.
    fn get(&self, key: &ResourceKey) -> Option<Arc<Resource>>;
    /// All names of a kind.
    fn names(&self, kind: ResourceKind) -> Vec<String>;
    /// Whether a resource that is not there may have to be: nobody can say what its unit is to be, and whoever has it keeps it.
    fn leaves_alone(&self, name: &str) -> bool;
    /// The names of a route configuration's virtual hosts, where they are told by themselves.
    fn hosts(&self, routes: &str) -> Vec<String>;
}

/// Which of the two forms of the protocol a stream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Changes only.
    Delta,
    /// All resources of a kind, or all that changed of those that were asked for by name.
    StateOfTheWorld,
}

/// What a proxy asks or answers, in either form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Delta: asked for besides. State of the world: all that is asked for.
    pub subscribe: Vec<String>,
    /// Delta: asked for no more.
    pub unsubscribe: Vec<String>,
    /// Delta: what is there already.
    pub initial_versions: Vec<(String, Version)>,
    /// The response that this answers; empty for none.
    pub nonce: String,
    /// Why that response was refused.
    pub error: Option<String>,
}

/// One response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The kind.
    pub kind: ResourceKind,
    /// Names it.
    pub nonce: String,
    /// Resources.
    pub resources: Vec<Arc<Resource>>,
    /// Names of what is gone (delta).
    pub removed: Vec<String>,
}

impl Response {
    /// Bytes of its resources.
    pub fn size(&self) -> usize {
        self.resources.iter().map(|resource| resource.body.len()).sum()
    }
}

/// What the proxy's answers say of resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// It has this version, or nothing any more.
    Acknowledged(ResourceKey, Option<Version>),
    /// It refused this version.
    Refused(ResourceKey, Version, String),
}

/// One stream.
#[derive(Debug)]
pub struct Stream {
    mode: Mode,
    kinds: [KindState; 6],
    /// What clusters that were told need before routes may lead to them.
    awaited: BTreeSet<ResourceKey>,
    nonces: u64,
    feedback: Vec<Feedback>,
}

impl Stream {
    /// A stream on which nothing was said yet.
    pub fn new(mode: Mode) -> Self {
        Self { mode, kinds: Default::default(), awaited: BTreeSet::new(), nonces: 0, feedback: Vec::new() }
    }

    /// Takes a request.
    pub fn receive(&mut self, kind: ResourceKind, request: &Request, view: &impl View) {
        self.answered(kind, request);
        match self.mode {
            Mode::Delta => self.subscribe_delta(kind, request, view),
            Mode::StateOfTheWorld => self.subscribe_world(kind, request, view),
        }
    }

    /// Says that a resource may have changed.
    pub fn note(&mut self, key: &ResourceKey) {
        if key.kind == ResourceKind::RouteConfiguration {
            self.look_at_hosts(&key.name);
        }
        // Asked for or not: that something is gone which it was never told of is an answer, too.
        self.kind_mut(key.kind).dirty.insert(key.name.clone());
    }

    /// What was learnt since the last call.
    pub fn feedback(&mut self) -> Vec<Feedback> {
        std::mem::take(&mut self.feedback)
    }

    /// Whether routes and listeners wait for endpoints or secrets that the proxy has not acknowledged.
    pub fn is_waiting(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Waits no longer: better a route to a cluster that has no endpoints yet than none.
    pub fn lose_patience(&mut self) {
        self.awaited.clear();
    }

    /// The next response, if there is something to tell and nothing that must be answered first.
    pub fn next(&mut self, view: &impl View) -> Option<Response> {
        for kind in [ResourceKind::Cluster, ResourceKind::ClusterLoadAssignment, ResourceKind::Secret] {
            if let Some(response) = self.tell(kind, view) {
                return Some(response);
            }
        }
        let busy = |kind: ResourceKind| !self.kind(kind).outstanding.is_empty();
        if busy(ResourceKind::Cluster) || busy(ResourceKind::Secret) || self.is_waiting() {
            return None;
        }
        for kind in [ResourceKind::Listener, ResourceKind::RouteConfiguration, ResourceKind::VirtualHost] {
            if let Some(response) = self.tell(kind, view) {
                return Some(response);
            }
        }
        None
    }

    fn tell(&mut self, kind: ResourceKind, view: &impl View) -> Option<Response> {
        if self.mode == Mode::Delta && kind == ResourceKind::VirtualHost {
            return self.tell_hosts(view);
        }
        if !self.kind(kind).outstanding.is_empty() {
            return None;
        }
        match self.mode {
            Mode::Delta => self.tell_delta(kind, view),
            Mode::StateOfTheWorld => self.tell_world(kind, view),
        }
    }

    /// Books a response as sent.
    fn send(&mut self, kind: ResourceKind, resources: Vec<Arc<Resource>>, removed: Vec<String>, view: &impl View) -> Response {
        self.nonces += 1;
        let nonce = self.nonces.to_string();
        for resource in &resources {
            self.await_needs(resource);
        }
        // Nobody asks any more for what only these needed.
        let gone: Vec<Arc<Resource>> = removed.iter().filter_map(|name| self.kind(kind).held.get(name)?.resource.clone()).collect();
        for need in gone.iter().flat_map(|resource| &resource.needs) {
            self.awaited.remove(need);
        }
        self.kind_mut(kind).sent(nonce.clone(), &resources, &removed);
        if kind == ResourceKind::RouteConfiguration {
            for resource in &resources {
                self.tell_hosts_again(&resource.key.name, view);
            }
        }
        if kind == ResourceKind::Cluster {
            // Right behind it: Envoy acknowledges no cluster while it warms one, and one that changed is warmed until it is told its endpoints once more.
            for resource in &resources {
                if self.kind(kind).outstanding.last().is_some_and(|outstanding| outstanding.changed(resource)) {
                    self.tell_endpoints_again(&resource.key.name);
                }
            }
        }
        Response { kind, nonce, resources, removed }
    }

    /// A cluster that is told is of no use before its endpoints and secrets are there. Envoy wants the endpoints of a cluster that changed once more.
    fn await_needs(&mut self, resource: &Arc<Resource>) {
        if resource.key.kind != ResourceKind::Cluster {
            return;
        }
        let same = |held: &kind::Held| held.version == resource.version;
        if self.kind(ResourceKind::Cluster).held.get(&resource.key.name).is_some_and(same) {
            return;
        }
        for need in &resource.needs {
            let has = self.kind(need.kind).held.contains_key(&need.name);
            if need.kind == ResourceKind::ClusterLoadAssignment || !has {
                self.awaited.insert(need.clone());
            }
        }
    }

    /// Reads what a request says of the last response.
    fn answered(&mut self, kind: ResourceKind, request: &Request) {
        let open = &mut self.kind_mut(kind).outstanding;
        let Some(answered) = open.iter().position(|it| it.nonce == request.nonce) else { return };
        let outstanding = open.remove(answered);
        match &request.error {
            None => {
                self.kind_mut(kind).accept(&outstanding);
                for resource in &outstanding.sent {
                    self.awaited.remove(&resource.key);
                    self.feedback.push(Feedback::Acknowledged(resource.key.clone(), Some(resource.version.clone())));
                }
                let key = |name: &String| ResourceKey { kind, name: name.clone() };
                self.feedback.extend(outstanding.removed.iter().map(|name| Feedback::Acknowledged(key(name), None)));
            }
            Some(message) => {
                for resource in &outstanding.sent {
                    self.awaited.remove(&resource.key);
                    for need in &resource.needs {
                        self.awaited.remove(need);
                    }
                }
                let whole = self.mode == Mode::StateOfTheWorld && world::is_whole(kind);
                let verdict = self.kind_mut(kind).refuse(outstanding, whole, message);
                let accepted = verdict.accepted.iter().map(|it| Feedback::Acknowledged(it.key.clone(), Some(it.version.clone())));
                self.feedback.extend(accepted);
                let refused = verdict.refused.iter().map(|it| Feedback::Refused(it.key.clone(), it.version.clone(), message.clone()));
                self.feedback.extend(refused);
            }
        }
    }

    /// A cluster that is warmed waits for its endpoints, although the proxy was told of them before.
    fn tell_endpoints_again(&mut self, cluster: &str) {
        let state = self.kind_mut(ResourceKind::ClusterLoadAssignment);
        if state.names.contains(cluster) {
            state.forced.insert(cluster.to_owned());
            state.dirty.insert(cluster.to_owned());
        }
    }

    fn kind(&self, kind: ResourceKind) -> &KindState {
        let [cluster, endpoints, secret, listener, routes, hosts] = &self.kinds;
        match kind {
            ResourceKind::Cluster => cluster,
            ResourceKind::ClusterLoadAssignment => endpoints,
            ResourceKind::Secret => secret,
            ResourceKind::Listener => listener,
            ResourceKind::RouteConfiguration => routes,
            ResourceKind::VirtualHost => hosts,
        }
    }

    fn kind_mut(&mut self, kind: ResourceKind) -> &mut KindState {
        let [cluster, endpoints, secret, listener, routes, hosts] = &mut self.kinds;
        match kind {
            ResourceKind::Cluster => cluster,
            ResourceKind::ClusterLoadAssignment => endpoints,
            ResourceKind::Secret => secret,
            ResourceKind::Listener => listener,
            ResourceKind::RouteConfiguration => routes,
            ResourceKind::VirtualHost => hosts,
        }
    }
}
