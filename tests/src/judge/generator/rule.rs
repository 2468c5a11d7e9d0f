//! Random rules: matches, filters, backends.

use serde_json::{Value, json};

use super::{CALL_PORT, Generator, IDLE, SERVICE_PORT, SERVICES, set};
use crate::judge::Class;

/// Paths that collide: prefixes of one another, siblings, slashes at the end, what is special to patterns and expressions.
pub(super) const PATHS: [&str; 26] = [
    "/", "/", "/a", "/a", "/a/", "/a/b", "/a/b", "/a/b/", "/a/b/c", "/ab", "/A", "/a*", "/a/*", "/a.b", "/a%20b", "/a$b", "/a+b", "/(a)",
    "/~a", "/a;v=1", "/a,b", "/a:b", "/a@b", "/a&b=c", "/a'b", "/a!b",
];
/// Expressions; the last two are none that an ALB could take.
const EXPRESSIONS: [&str; 10] = ["/a/[bc]", "/a.*", "/[a-z]+", "/a/b(/.*)?", "/ab?", "/(a|x)/b", "/a\\.b", ".*", "/a(?=/b)", "/a["];
pub(super) const HEADERS: [&str; 5] = ["x-a", "x-a", "X-B", "x-c", "x-a-name-that-is-longer-than-forty-characters"];
pub(super) const HEADER_VALUES: [&str; 7] = ["1", "1", "a", "A", "a*", "a?b", "a b"];
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
            self.enrich(&mut rule, prefix && matches.len() == 1, &mut backends);
        }
        set(&mut rule, "matches", (!matches.is_empty()).then(|| json!(matches)));
        set(&mut rule, "backendRefs", (!backends.is_empty()).then(|| json!(backends)));
        rule
    }

    /// Adds what proxies have and others have not.
    fn enrich(&mut self, rule: &mut Value, prefix: bool, backends: &mut [Value]) {
        let mut filters: Vec<Value> = rule.get("filters").and_then(Value::as_array).cloned().unwrap_or_default();
        let has = |filters: &[Value], kind: &str| filters.iter().any(|it| it.get("type").is_some_and(|it| it == kind));
        if !has(&filters, "RequestRedirect") {
            let further = self.changes(SERVICE_PORT);
            filters.extend(
                further
                    .into_iter()
                    .filter(|it| !it.get("type").and_then(Value::as_str).is_some_and(|kind| has(&filters, kind)))
                    .collect::<Vec<_>>(),
            );
            if !has(&filters, "CORS") && self.chance(12) {
                filters.push(self.sharing());
            }
        }
        let may_rewrite = !has(&filters, "URLRewrite");
        for backend in backends.iter_mut() {
            if self.chance(25) && backend.get("port").is_some_and(|port| *port == SERVICE_PORT) {
                set(backend, "port", Some(json!(CALL_PORT)));
            }
            let filters = self.filters_of_a_backend(prefix, may_rewrite);
            set(backend, "filters", (!filters.is_empty()).then(|| json!(filters)));
        }
        set(rule, "filters", (!filters.is_empty()).then(|| json!(filters)));
        if self.chance(12) {
            let limits = match self.between(0, 3) {
                0 => json!({"request": "100ms"}),
                1 => json!({"backendRequest": "150ms"}),
                2 => json!({"request": "30s", "backendRequest": "100ms"}),
                _ => json!({"request": "0s", "backendRequest": "30s"}),
            };
            set(rule, "timeouts", Some(limits));
        }
        if self.chance(8) {
            let attempts = self.between(0, 2);
            set(rule, "retry", Some(json!({"codes": [500, 503], "attempts": attempts, "backoff": "10ms"})));
        }
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
    pub(super) fn pairs(&mut self, names: &[&'static str], values: &[&'static str], expression: &str) -> Value {
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

    pub(super) fn backend(&mut self, own: &str) -> Value {
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
}
