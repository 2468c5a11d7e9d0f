//! Random Gateways, routes and grants, from a small alphabet so that they collide, overlap and tie.
//!
//! A seed gives the same objects for ever (the dependency's version is pinned by Cargo.lock); only the routes' ages come from the cluster.

mod aim;
mod call;
mod filter;
mod listener;
mod rule;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::Class;

pub use aim::request;

/// The namespaces, the Gateways' first. `judge-a` and `judge/…` sort differently as text than by parts.
pub const NAMESPACES: [&str; 3] = ["judge", "judge-a", "judge-b"];
/// The Services with pods behind them, `NAMESPACE/NAME`.
pub const SERVICES: [&str; 4] = ["judge/one", "judge/two", "judge-a/one", "judge-b/one"];
/// A Service that has no pods.
pub const IDLE: &str = "judge-a/idle";
/// The port of the Services.
pub const SERVICE_PORT: u16 = 8080;
/// Their port that is spoken to by HTTP/2.
pub const CALL_PORT: u16 = 8081;

/// A source of random objects.
#[derive(Debug)]
pub struct Generator {
    random: StdRng,
    class: Class,
    /// The ListenerSets that routes may name, by namespace and name.
    sets: Vec<(&'static str, &'static str)>,
}

impl Generator {
    /// Begins at a seed, for a class of Gateways.
    pub fn new(seed: u64, class: Class) -> Self {
        Self { random: StdRng::seed_from_u64(seed), class, sets: Vec::new() }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn between(&mut self, least: usize, most: usize) -> usize {
        self.random.random_range(least..=most)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { of.get(self.random.random_range(0..of.len())).copied() }
    }

    fn text(&mut self, of: &[&'static str]) -> &'static str {
        self.pick(of).unwrap_or_default()
    }

    /// The Gateways, routes and grants of one round.
    pub fn objects(&mut self) -> Vec<Value> {
        let mut objects: Vec<Value> = (0..2).map(|number| self.gateway(number)).collect();
        if self.class == Class::PorticoEnvoy {
            let sets = self.listener_sets(&mut objects);
            objects.extend(sets);
        }
        for (namespace, from) in
            [("judge-a", "judge"), ("judge-b", "judge"), ("judge-b", "judge-a"), ("judge", "judge-a"), ("judge", "judge-b")]
        {
            if self.chance(45) {
                objects.push(self.grant(namespace, from));
            }
        }
        for number in 0..self.between(5, 10) {
            let route = self.route(number);
            objects.push(route);
        }
        if self.class == Class::PorticoEnvoy {
            for number in 0..self.between(1, 6) {
                let route = self.calls(number);
                objects.push(route);
            }
        }
        objects
    }

    fn grant(&mut self, namespace: &str, from: &str) -> Value {
        let name = format!("from-{from}");
        let mut kinds = vec![if self.chance(85) { "HTTPRoute" } else { "GRPCRoute" }];
        if self.class == Class::PorticoEnvoy && self.chance(40) {
            kinds = vec!["GRPCRoute", "HTTPRoute"];
        }
        let from: Vec<Value> =
            kinds.iter().map(|kind| json!({"group": "gateway.networking.k8s.io", "kind": kind, "namespace": from})).collect();
        let mut to = json!({"group": "", "kind": "Service"});
        if self.chance(30) {
            let name = self.text(&["one", "two", "idle"]);
            set(&mut to, "name", Some(json!(name)));
        }
        let spec = json!({"from": from, "to": [to]});
        let mut grant = object("ReferenceGrant", namespace, &name, spec);
        set(&mut grant, "apiVersion", Some(json!("gateway.networking.k8s.io/v1beta1")));
        grant
    }

    fn route(&mut self, number: usize) -> Value {
        let namespace = self.text(&NAMESPACES);
        let (hostnames, parents) = (self.hostnames(), self.parents());
        let rules: Vec<Value> = (0..self.between(1, 3)).map(|_| self.rule(namespace)).collect();
        let mut spec = json!({"parentRefs": parents, "rules": rules});
        set(&mut spec, "hostnames", hostnames);
        object("HTTPRoute", namespace, &format!("r{number}"), spec)
    }

    /// Hostnames of a route, if it has any.
    fn hostnames(&mut self) -> Option<Value> {
        const NAMES: [&str; 9] = [
            "a.example.com",
            "b.example.com",
            "b.a.example.com",
            "*.example.com",
            "*.a.example.com",
            "*.com",
            "other.org",
            "example.com",
            "c.b.a.example.com",
        ];
        let mut hostnames: Vec<&str> = Vec::new();
        let count = self.pick(&[0, 0, 1, 1, 1, 2]).unwrap_or(0);
        for _ in 0..count {
            let name = self.text(&NAMES);
            if !hostnames.contains(&name) {
                hostnames.push(name);
            }
        }
        (!hostnames.is_empty()).then(|| json!(hostnames))
    }

    fn parents(&mut self) -> Vec<Value> {
        let mut parents: Vec<Value> = Vec::new();
        for gateway in 0..2 {
            if gateway == 0 || self.chance(40) {
                let mut parent = json!({"name": format!("edge-{gateway}"), "namespace": "judge"});
                match self.between(0, 9) {
                    0 => set(&mut parent, "sectionName", Some(json!("l0"))),
                    1 => set(&mut parent, "port", Some(json!(80))),
                    2 => set(&mut parent, "port", Some(json!(8080))),
                    _ => {}
                }
                parents.push(parent);
            }
        }
        for (namespace, name) in self.sets.clone() {
            if self.chance(50) {
                let mut parent = json!({"kind": "ListenerSet", "name": name, "namespace": namespace});
                let section = self.chance(20).then(|| json!("l0"));
                set(&mut parent, "sectionName", section);
                parents.push(parent);
            }
        }
        parents
    }
}

/// An object of the Gateway API.
fn object(kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    })
}

/// Sets a member, if there is a value for it.
fn set(object: &mut Value, key: &str, value: Option<Value>) {
    if let (Some(members), Some(value)) = (object.as_object_mut(), value) {
        members.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_objects_and_another_one_others() {
        let of = |seed| Generator::new(seed, Class::PorticoAlb).objects();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
