//! Random filters.

use serde_json::{Map, Value, json};

use super::rule::HEADERS;
use super::{Generator, SERVICE_PORT, SERVICES, set};

impl Generator {
    fn path_modifier(&mut self, prefix: bool) -> Value {
        if prefix && self.chance(70) {
            json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": self.text(&["", "/", "/new", "/new/", "/n/m", "/a"])})
        } else {
            json!({"type": "ReplaceFullPath", "replaceFullPath": self.text(&["/", "/new", "/new/", "/n%20m", "/a"])})
        }
    }

    pub(super) fn rewrite(&mut self, prefix: bool) -> Value {
        let mut rewrite = json!({});
        let path = self.chance(80).then(|| self.path_modifier(prefix));
        let hostname = (path.is_none() || self.chance(40)).then(|| json!("inner.example.org"));
        set(&mut rewrite, "path", path);
        set(&mut rewrite, "hostname", hostname);
        rewrite
    }

    pub(super) fn redirect(&mut self, prefix: bool) -> Value {
        let mut redirect = json!({});
        let scheme = self.pick(&[None, None, Some("http"), Some("https")]).flatten();
        let hostname = self.chance(50).then(|| json!("to.example.org"));
        let port = self.pick(&[None, None, Some(80), Some(8080), Some(8443)]).flatten();
        let path = self.chance(60).then(|| self.path_modifier(prefix));
        let status = self.pick(&[None, Some(301), Some(302), Some(302), Some(307)]).flatten();
        set(&mut redirect, "scheme", scheme.map(|it| json!(it)));
        set(&mut redirect, "hostname", hostname);
        set(&mut redirect, "port", port.map(|it: u16| json!(it)));
        set(&mut redirect, "path", path);
        set(&mut redirect, "statusCode", status.map(|it: u16| json!(it)));
        redirect
    }

    /// Filters of one backend among several, which proxies can have.
    pub(super) fn filters_of_a_backend(&mut self, prefix: bool, may_rewrite: bool) -> Vec<Value> {
        let mut filters = Vec::new();
        if self.chance(25) {
            filters.push(json!({"type": "RequestHeaderModifier", "requestHeaderModifier": self.modifier(&HEADERS)}));
        }
        if self.chance(25) {
            filters.push(json!({"type": "ResponseHeaderModifier", "responseHeaderModifier": self.modifier(&["x-answer", "X-Other"])}));
        }
        if may_rewrite && self.chance(25) {
            filters.push(json!({"type": "URLRewrite", "urlRewrite": self.rewrite(prefix)}));
        } else if may_rewrite && self.chance(8) {
            filters.push(json!({"type": "RequestRedirect", "requestRedirect": self.redirect(prefix)}));
        }
        if self.chance(10) {
            filters.push(self.mirror(SERVICE_PORT));
        }
        if self.chance(8) {
            filters.push(self.sharing());
        }
        filters
    }

    /// Changes of headers and copies, which all kinds of routes have.
    pub(super) fn changes(&mut self, port: u16) -> Vec<Value> {
        let mut filters = Vec::new();
        if self.chance(20) {
            filters.push(json!({"type": "RequestHeaderModifier", "requestHeaderModifier": self.modifier(&HEADERS)}));
        }
        if self.chance(20) {
            filters.push(json!({"type": "ResponseHeaderModifier", "responseHeaderModifier": self.modifier(&["x-answer", "X-Other"])}));
        }
        for _ in 0..self.pick(&[0, 0, 0, 0, 0, 0, 1, 2]).unwrap_or(0) {
            filters.push(self.mirror(port));
        }
        filters
    }

    /// Copies of all requests, of some, of none; to whom is sometimes not allowed or not there.
    fn mirror(&mut self, port: u16) -> Value {
        let (namespace, name) = self.text(&SERVICES).split_once('/').unwrap_or_default();
        let mut backend = json!({"name": if self.chance(5) { "gone" } else { name }, "port": port});
        set(&mut backend, "namespace", self.chance(50).then(|| json!(namespace)));
        let mut mirror = json!({"backendRef": backend});
        match self.between(0, 9) {
            0 => set(&mut mirror, "percent", Some(json!(0))),
            1 => set(&mut mirror, "percent", Some(json!(100))),
            2 => set(&mut mirror, "fraction", Some(json!({"numerator": 1, "denominator": 2}))),
            _ => {}
        }
        json!({"type": "RequestMirror", "requestMirror": mirror})
    }

    /// Rules for other origins.
    pub(super) fn sharing(&mut self) -> Value {
        let mut cors = json!({});
        let origins: &[&str] = self.pick(&[&["*"][..], &["https://a.test"], &["https://*.a.test", "http://b.test:8443"]]).unwrap_or(&["*"]);
        set(&mut cors, "allowOrigins", Some(json!(origins)));
        for (key, lists) in [
            ("allowMethods", [&["*"][..], &["PUT"], &["GET", "DELETE"]]),
            ("allowHeaders", [&["*"], &["x-a"], &["x-a", "X-B"]]),
            ("exposeHeaders", [&["*"], &["x-answer"], &["x-answer", "X-Other"]]),
        ] {
            if self.chance(60) {
                let list = self.pick(&lists);
                set(&mut cors, key, list.map(|list| json!(list)));
            }
        }
        let credentials = self.chance(40).then_some(json!(true));
        set(&mut cors, "allowCredentials", credentials);
        let age = self.chance(40).then(|| json!(60));
        set(&mut cors, "maxAge", age);
        json!({"type": "CORS", "cors": cors})
    }

    /// Changes of headers, each name once.
    fn modifier(&mut self, names: &[&'static str]) -> Value {
        let mut changed: Vec<String> = Vec::new();
        let (mut set, mut add, mut remove) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.between(1, 3) {
            let name = self.text(names);
            if changed.contains(&name.to_ascii_lowercase()) {
                continue;
            }
            changed.push(name.to_ascii_lowercase());
            let header = json!({"name": name, "value": self.text(&["1", "a", "new value"])});
            match self.between(0, 2) {
                0 => set.push(header),
                1 => add.push(header),
                _ => remove.push(json!(name)),
            }
        }
        let lists = [("set", set), ("add", add), ("remove", remove)];
        let all = lists.into_iter().filter(|(_, list)| !list.is_empty());
        Value::Object(all.map(|(name, list)| (name.to_owned(), json!(list))).collect())
    }

    /// Filters that an ALB does not have.
    pub(super) fn rare_filter(&mut self) -> Value {
        let (kind, key, settings) = match self.between(0, 4) {
            0 => ("RequestHeaderModifier", "requestHeaderModifier", json!({"set": [{"name": "x-set", "value": "1"}]})),
            1 => ("ResponseHeaderModifier", "responseHeaderModifier", json!({"add": [{"name": "x-added", "value": "1"}]})),
            2 => ("RequestMirror", "requestMirror", json!({"backendRef": {"name": "one", "port": SERVICE_PORT}})),
            3 => ("CORS", "cors", json!({"allowOrigins": ["https://example.org"]})),
            _ => ("ExtensionRef", "extensionRef", json!({"group": "example.org", "kind": "Unknown", "name": "it"})),
        };
        let mut filter = Map::from_iter([("type".to_owned(), json!(kind))]);
        filter.insert(key.to_owned(), settings);
        Value::Object(filter)
    }
}
