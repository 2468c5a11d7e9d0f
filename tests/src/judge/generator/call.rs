//! Random GRPCRoutes: services and methods whose paths are those of HTTPRoutes, too.

use serde_json::{Value, json};

use super::rule::{HEADER_VALUES, HEADERS};
use super::{CALL_PORT, Generator, NAMESPACES, object, set};

/// Services that are called.
pub(super) const CALLED: [&str; 5] = ["a", "a", "a.b", "ab", "x.Y"];
/// Their methods.
pub(super) const METHODS: [&str; 4] = ["b", "b", "c", "Get"];

impl Generator {
    pub(super) fn calls(&mut self, number: usize) -> Value {
        let namespace = self.text(&NAMESPACES);
        let (hostnames, parents) = (self.hostnames(), self.parents());
        let rules: Vec<Value> = (0..self.between(1, 3)).map(|_| self.rule_of_calls(namespace)).collect();
        let mut spec = json!({"parentRefs": parents, "rules": rules});
        set(&mut spec, "hostnames", hostnames);
        object("GRPCRoute", namespace, &format!("g{number}"), spec)
    }

    fn rule_of_calls(&mut self, namespace: &str) -> Value {
        let matches: Vec<Value> = (0..self.pick(&[0, 1, 1, 2, 3]).unwrap_or(1)).map(|_| self.match_of_calls()).collect();
        let mut rule = json!({});
        let mut backends: Vec<Value> = (0..self.between(0, 3)).map(|_| self.backend(namespace)).collect();
        for backend in &mut backends {
            set(backend, "port", Some(json!(CALL_PORT)));
            let filters = self.changes(CALL_PORT);
            set(backend, "filters", (!filters.is_empty()).then(|| json!(filters)));
        }
        let mut filters = self.changes(CALL_PORT);
        if self.chance(3) {
            filters.push(json!({"type": "ExtensionRef", "extensionRef": {"group": "example.org", "kind": "Unknown", "name": "it"}}));
        }
        set(&mut rule, "filters", (!filters.is_empty()).then(|| json!(filters)));
        set(&mut rule, "matches", (!matches.is_empty()).then(|| json!(matches)));
        set(&mut rule, "backendRefs", (!backends.is_empty()).then(|| json!(backends)));
        rule
    }

    fn match_of_calls(&mut self) -> Value {
        let mut found = json!({});
        let method = match self.between(0, 9) {
            0..=3 => Some(json!({"type": "Exact", "service": self.text(&CALLED), "method": self.text(&METHODS)})),
            4 | 5 => Some(json!({"service": self.text(&CALLED)})),
            6 => Some(json!({"method": self.text(&METHODS)})),
            7 | 8 => {
                let mut method = json!({"type": "RegularExpression"});
                let which = self.between(0, 2);
                let (service, name) = (self.text(&["a.*", "[a-z]+", "x[.]Y", "a|ab"]), self.text(&["[bc]", "b.*", "Get", "b|c"]));
                set(&mut method, "service", (which != 1).then(|| json!(service)));
                set(&mut method, "method", (which != 0).then(|| json!(name)));
                Some(method)
            }
            _ => None,
        };
        set(&mut found, "method", method);
        if self.chance(30) {
            let headers = self.pairs(&HEADERS, &HEADER_VALUES, "[1a]+");
            set(&mut found, "headers", Some(headers));
        }
        found
    }
}
