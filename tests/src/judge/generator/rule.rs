//! Random rules: matches, filters, backends.

use serde_json::{Map, Value, json};

use super::{Generator, IDLE, SERVICE_PORT, SERVICES, set};
use crate::judge::Class;

/// Paths that collide: prefixes of one another, siblings, slashes at the end, what is special to patterns and expressions.
pub(super) const PATHS: [&str; 26] = [
    "/", "/", "/a", "/a", "/a/", "/a/b", "/a/b", "/a/b/", "/a/b/c", "/ab", "/A", "/a*", "/a/*", "/a.b", "/a%20b", "/a$b", "/a+b", "/(a)",
    "/~a", "/a;v=1", "/a,b", "/a:b", "/a@b", "/a&b=c", "/a'b", "/a!b",
];
/// Expressions; the last two are none that an ALB could take.
const EXPRESSIONS: [&str; 10] = ["/a/[bc]", "/a.*", "/[a-z]+", "/a/b(/.*)?", "/ab?", "/(a|x)/b", "/a\\.b", ".*", "/a(?=/b)", "/a["];
const HEADERS: [&str; 5] = ["x-a", "x-a", "X-B", "x-c", "x-a-name-that-is-longer-than-forty-characters"];
const HEADER_VALUES: [&str; 7] = ["1", "1", "a", "A", "a*", "a?b", "a b"];
const PARAMETERS: [&str; 5] = ["1", "1", "2", "q", "-"];
const PARAMETER_VALUES: [&str; 7] = ["1", "1", "10", "1*", "*", "a", "0.5"];
const METHODS: [&str; 6] = ["GET", "GET", "POST", "HEAD", "PUT", "OPTIONS"];

impl Generator {
    pub(super) fn rule(&mut self, namespace: &str) -> Value {
        let count = self.pick(&[1, 1, 1, 2, 3]).unwrap_or(1);
        let mut matches: Vec<Value> = (0..count).map(|_| self.matches()).collect();
        let mut rule = json!({});
        let mut backends: Vec<Value> = (0..self.between(1, 3)).map(|_| self.backend(namespace)).collect();
        // A replaced prefix needs exactly one match, of a prefix.
        let prefix = matches.len() == 1 && matches.first().is_some_and(|it| it.pointer("/path/type") == Some(&json!("PathPrefix")));
        match self.between(0, 19) {
            0..=3 => set(&mut rule, "filters", Some(json!([{"type": "URLRewrite", "urlRewrite": self.rewrite(prefix)}]))),
            4..=6 => {
                set(&mut rule, "filters", Some(json!([{"type": "RequestRedirect", "requestRedirect": self.redirect(prefix)}])));
                backends.clear();
            }
            7 => set(&mut rule, "filters", Some(json!([self.rare_filter()]))),
            8 if self.chance(40) => {
                let limits = if self.chance(50) { json!({"request": "10s"}) } else { json!({"request": "0s"}) };
                set(&mut rule, "timeouts", Some(limits));
            }
            9 if self.chance(40) => {
                let filter = self.rare_filter();
                if let Some(backend) = backends.first_mut() {
                    set(backend, "filters", Some(json!([filter])));
                }
            }
            10 => backends.clear(),
            11 => {
                // Matches may be left out: then the API server fills in the prefix `/`.
                matches.clear();
            }
            _ => {}
        }
        if self.class == Class::PorticoEnvoy {
            let rewrites = rule.pointer("/filters/0/type").is_some_and(|kind| kind == "URLRewrite");
            let prefix = prefix && matches.len() == 1;
            for backend in &mut backends {
                let filters = self.filters_of_a_backend(prefix, !rewrites);
                set(backend, "filters", (!filters.is_empty()).then(|| json!(filters)));
            }
        }
        set(&mut rule, "matches", (!matches.is_empty()).then(|| json!(matches)));
        set(&mut rule, "backendRefs", (!backends.is_empty()).then(|| json!(backends)));
        rule
    }

    fn matches(&mut self) -> Value {
        let mut found = json!({});
        let path = match self.between(0, 9) {
            0..=4 => Some(json!({"type": "PathPrefix", "value": self.text(&PATHS)})),
            5..=7 => Some(json!({"type": "Exact", "value": self.text(&PATHS)})),
            8 => Some(json!({"type": "RegularExpression", "value": self.text(&EXPRESSIONS)})),
            _ => None,
        };
        set(&mut found, "path", path);
        if self.chance(30) {
            let headers = self.pairs(&HEADERS, &HEADER_VALUES, "[1a]+");
            set(&mut found, "headers", Some(headers));
        }
        if self.chance(20) {
            let parameters = self.pairs(&PARAMETERS, &PARAMETER_VALUES, "1.*");
            set(&mut found, "queryParams", Some(parameters));
        }
        if self.chance(20) {
            let method = self.text(&METHODS);
            set(&mut found, "method", Some(json!(method)));
        }
        found
    }

    /// One or two entries with different names; the API server would take `x-a` and `X-A` for different ones, too.
    fn pairs(&mut self, names: &[&'static str], values: &[&'static str], expression: &str) -> Value {
        let mut found: Vec<Value> = Vec::new();
        for _ in 0..self.between(1, 2) {
            let mut name = self.text(names).to_owned();
            if self.chance(10) {
                name = name.to_uppercase();
            }
            if found.iter().any(|it| it.get("name") == Some(&json!(name))) {
                continue;
            }
            found.push(if self.chance(10) {
                json!({"type": "RegularExpression", "name": name, "value": expression})
            } else {
                json!({"name": name, "value": self.text(values)})
            });
        }
        json!(found)
    }

    fn backend(&mut self, own: &str) -> Value {
        let target = if self.chance(5) { IDLE } else { self.text(&SERVICES) };
        let (namespace, name) = target.split_once('/').unwrap_or_default();
        // Mostly its own namespace's, where no grant is needed.
        let namespace = if self.chance(60) { own } else { namespace };
        let name = if self.chance(5) { "gone" } else { name };
        let mut backend = json!({"name": name, "port": if self.chance(3) { 1 } else { SERVICE_PORT }});
        set(&mut backend, "namespace", (namespace != own || self.chance(10)).then(|| json!(namespace)));
        set(
            &mut backend,
            "weight",
            self.pick(&[None, None, None, Some(0), Some(1), Some(9), Some(1000)]).flatten().map(|weight: u32| json!(weight)),
        );
        if self.chance(2) {
            set(&mut backend, "kind", Some(json!("Pod")));
            set(&mut backend, "group", Some(json!("")));
        }
        backend
    }

    fn path_modifier(&mut self, prefix: bool) -> Value {
        if prefix && self.chance(70) {
            json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": self.text(&["", "/", "/new", "/new/", "/n/m", "/a"])})
        } else {
            json!({"type": "ReplaceFullPath", "replaceFullPath": self.text(&["/", "/new", "/new/", "/n%20m", "/a"])})
        }
    }

    fn rewrite(&mut self, prefix: bool) -> Value {
        let mut rewrite = json!({});
        let path = self.chance(80).then(|| self.path_modifier(prefix));
        let hostname = (path.is_none() || self.chance(40)).then(|| json!("inner.example.org"));
        set(&mut rewrite, "path", path);
        set(&mut rewrite, "hostname", hostname);
        rewrite
    }

    fn redirect(&mut self, prefix: bool) -> Value {
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
    fn filters_of_a_backend(&mut self, prefix: bool, may_rewrite: bool) -> Vec<Value> {
        let mut filters = Vec::new();
        if self.chance(25) {
            filters.push(json!({"type": "RequestHeaderModifier", "requestHeaderModifier": self.modifier(&HEADERS)}));
        }
        if self.chance(25) {
            filters.push(json!({"type": "ResponseHeaderModifier", "responseHeaderModifier": self.modifier(&["x-answer", "X-Other"])}));
        }
        if may_rewrite && self.chance(25) {
            filters.push(json!({"type": "URLRewrite", "urlRewrite": self.rewrite(prefix)}));
        }
        filters
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
    fn rare_filter(&mut self) -> Value {
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
