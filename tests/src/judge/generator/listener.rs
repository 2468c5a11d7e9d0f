//! Random Gateways and ListenerSets.

use serde_json::{Value, json};

use super::{Generator, NAMESPACES, object, set};
use crate::judge::Class;

impl Generator {
    pub(super) fn gateway(&mut self, number: usize) -> Value {
        let listeners = self.listeners(4);
        object("Gateway", "judge", &format!("edge-{number}"), json!({"gatewayClassName": self.class.name(), "listeners": listeners}))
    }

    /// ListenerSets, mostly such as the Gateways let in.
    pub(super) fn listener_sets(&mut self, gateways: &mut [Value]) -> Vec<Value> {
        for gateway in gateways {
            let from = self.pick(&[None, Some("All"), Some("All"), Some("Same"), Some("Selector")]).flatten();
            if let (Some(from), Some(spec)) = (from, gateway.get_mut("spec")) {
                let mut namespaces = json!({"from": from});
                set(&mut namespaces, "selector", (from == "Selector").then(|| json!({"matchLabels": {"team": "a"}})));
                set(spec, "allowedListeners", Some(json!({"namespaces": namespaces})));
            }
        }
        self.sets.clear();
        for name in ["more", "others"] {
            if self.chance(50) {
                let namespace = self.text(&NAMESPACES);
                self.sets.push((namespace, name));
            }
        }
        let sets = self.sets.clone();
        let one = |(namespace, name): (&str, &str)| {
            let listeners = self.listeners(3);
            let parent = json!({"name": self.text(&["edge-0", "edge-0", "edge-1"]), "namespace": "judge"});
            object("ListenerSet", namespace, name, json!({"parentRef": parent, "listeners": listeners}))
        };
        sets.into_iter().map(one).collect()
    }

    /// Listeners, each of another port or hostname.
    fn listeners(&mut self, most: usize) -> Vec<Value> {
        const NAMES: [&str; 7] = ["", "*.example.com", "a.example.com", "*.a.example.com", "b.example.com", "*.com", "b.a.example.com"];
        let mut listeners: Vec<Value> = Vec::new();
        let mut taken: Vec<(u16, &str)> = Vec::new();
        for index in 0..self.between(1, most) {
            let at = (self.pick(&[80, 80, 8080]).unwrap_or(80), self.text(&NAMES));
            if taken.contains(&at) {
                continue;
            }
            taken.push(at);
            let namespaces = match self.between(0, 9) {
                0..=5 => json!({"from": "All"}),
                6 => json!({"from": "Same"}),
                7 => json!({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}),
                8 => {
                    json!({"from": "Selector", "selector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["b", "c"]}]}})
                }
                _ => json!({"from": "Selector", "selector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}}),
            };
            let mut listener =
                json!({"name": format!("l{index}"), "port": at.0, "protocol": "HTTP", "allowedRoutes": {"namespaces": namespaces}});
            set(&mut listener, "hostname", (!at.1.is_empty()).then(|| json!(at.1)));
            if self.class == Class::PorticoEnvoy && self.chance(10) {
                let kind = self.text(&["HTTPRoute", "GRPCRoute"]);
                if let Some(allowed) = listener.get_mut("allowedRoutes") {
                    set(allowed, "kinds", Some(json!([{"kind": kind}])));
                }
            }
            listeners.push(listener);
        }
        listeners
    }
}
