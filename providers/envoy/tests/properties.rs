//! What holds for any plan: compile is total, and a stack that is published as it is needs no change.

use crate::plans::{cluster, plan};
use portico_envoy::observed::{Observed, ResourceKey, ResourceKind};
use portico_envoy::stack::TypedConfig;
use portico_envoy::{Operation, Stack, compile, diff};
use portico_providers::Action;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn hostname() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(vec![
        None,
        Some("a.example.com"),
        Some("b.example.com"),
        Some("*.example.com"),
        Some("*.com"),
        Some("x.a.example.com"),
    ])
}

fn backend() -> impl Strategy<Value = Value> {
    let filters = prop::sample::select(vec![
        json!([]),
        json!([{ "requestHeaderModifier": { "set": [{ "name": "x", "value": "1" }] } }]),
        json!([{ "urlRewrite": { "hostname": "other.example.com", "path": { "replaceFullPath": "/x" } } }]),
        json!([{ "requestMirror": { "backend": "team-a/copy:80", "fraction": [1, 3] } }]),
    ]);
    let target = prop_oneof![4 => (0..4u8).prop_map(|n| format!("team-a/s{n}:80")), 1 => Just("invalid".to_owned())];
    (0..50u32, target, filters).prop_map(|(weight, target, filters)| json!({ "to": format!("{weight} x {target}"), "filters": filters }))
}

fn rule() -> impl Strategy<Value = Value> {
    let path = prop::sample::select(vec![
        json!({ "prefix": "/" }),
        json!({ "prefix": "/p" }),
        json!({ "exact": "/e" }),
        json!({ "regularExpression": "/r[0-9]+" }),
        json!({ "regularExpression": "/(" }),
    ]);
    let filters = prop::sample::select(vec![
        json!([]),
        json!([{ "requestRedirect": { "statusCode": 301, "scheme": "https" } }]),
        json!([{ "cors": { "allowOrigins": ["*"], "maxAgeSeconds": 5 } }]),
        json!([{ "unknown": { "kind": "New", "message": "of tomorrow" } }]),
    ]);
    (hostname(), path, filters, prop::collection::vec(backend(), 0..4)).prop_map(|(hostname, path, filters, backends)| {
        let mut rule = json!({ "http": { "path": path, "method": "GET" }, "filters": filters, "backends": backends });
        if let Some(hostname) = hostname {
            rule["hostname"] = hostname.into();
        }
        rule
    })
}

fn ports() -> impl Strategy<Value = Value> {
    let listeners = prop::collection::btree_map(hostname(), prop::collection::vec(rule(), 0..5), 1..4);
    let port = (80..83u16, prop::sample::select(vec!["HTTP", "HTTPS", "TLS", "TCP", "UDP"]));
    prop::collection::btree_map(port, listeners, 0..4).prop_map(|ports| {
        let ports = ports.into_iter().map(|((port, protocol), listeners)| {
            let listeners: Vec<Value> = listeners.into_iter().map(|(hostname, rules)| listener(protocol, hostname, &rules)).collect();
            json!({ "port": port, "protocol": protocol, "listeners": ordered(listeners) })
        });
        ports.collect()
    })
}

fn listener(protocol: &str, hostname: Option<&str>, rules: &[Value]) -> Value {
    let mut listener = json!({ "name": hostname.unwrap_or("all"), "rules": rules });
    if let Some(hostname) = hostname {
        listener["hostname"] = hostname.into();
    }
    if matches!(protocol, "HTTPS" | "TLS") {
        listener["tls"] = json!({ "mode": "Terminate", "certificates": [{ "reference": { "secret": "infra/cert" }, "sha256": "00" }] });
    }
    listener
}

fn ordered(mut listeners: Vec<Value>) -> Vec<Value> {
    listeners.sort_by_key(|listener| {
        let name = listener["hostname"].as_str().unwrap_or("*");
        (name.starts_with('*'), std::cmp::Reverse(name.len()))
    });
    listeners
}

fn stack(ports: &Value) -> Stack {
    compile(&cluster(), &plan(&json!({ "ports": ports }).to_string())).stack
}

fn published(stack: &Stack) -> Observed {
    Observed { identification: Some(stack.identification), resources: stack.versions() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_diff_leads_to_the_stack_and_from_there_nowhere(first in ports(), second in ports()) {
        let (first, second) = (stack(&first), stack(&second));
        prop_assert!(diff(&first, &published(&first)).is_empty());
        let mut observed = published(&first);
        let wanted = second.versions();
        let mut withdrawing = false;
        for change in diff(&second, &observed) {
            // What goes, goes last.
            prop_assert!(!withdrawing || change.action == Action::Delete);
            match change.operation {
                Operation::Publish(key) => drop(observed.resources.insert(key.clone(), wanted[&key].clone())),
                Operation::Withdraw(key) => {
                    withdrawing = true;
                    prop_assert!(observed.resources.remove(&key).is_some());
                }
                Operation::Identify(identification) => prop_assert!(false, "{identification:?} is no news"),
            }
        }
        prop_assert_eq!(observed.resources, wanted);
    }

    /// Envoy refuses a route configuration whose virtual hosts share a domain, and a listener whose filter chains match the same.
    #[test]
    fn names_and_matches_are_unique_and_everything_that_is_named_is_there(ports in ports()) {
        let stack = stack(&ports);
        let keys = stack.versions();
        let hosts: usize = stack.route_configurations.iter().map(|routes| routes.virtual_hosts.len()).sum();
        let routes = stack.route_configurations.len() + hosts;
        prop_assert_eq!(keys.len(), stack.listeners.len() + routes + stack.clusters.len() + stack.secrets.len());
        for routes in &stack.route_configurations {
            let domains: Vec<_> = routes.virtual_hosts.iter().flat_map(|host| &host.domains).collect();
            prop_assert_eq!(domains.iter().collect::<BTreeSet<_>>().len(), domains.len());
            // A name belongs to one virtual host for ever, so that proxies may be told of virtual hosts in any order; and Envoy finds the routes by the host's name.
            for host in &routes.virtual_hosts {
                prop_assert_eq!(&host.domains, &[host.name.rsplit('/').next().unwrap().to_owned()]);
                let key = ResourceKey { kind: ResourceKind::VirtualHost, name: host.name.clone() };
                prop_assert_eq!(key.routes().unwrap().name, routes.name.clone());
            }
        }
        let clusters: BTreeSet<_> = stack.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        let named = stack.route_configurations.iter().flat_map(|it| &it.virtual_hosts).flat_map(|it| &it.routes).filter_map(|it| it.route.as_ref());
        for action in named {
            let weighted = action.weighted_clusters.iter().flat_map(|it| &it.clusters).map(|it| it.name.as_str());
            for name in action.cluster.as_deref().into_iter().chain(weighted).chain(action.request_mirror_policies.iter().map(|it| it.cluster.as_str())) {
                prop_assert!(name == "invalid-backend" || clusters.contains(name), "{}", name);
            }
        }
        for listener in &stack.listeners {
            let matches: Vec<_> = listener.filter_chains.iter().map(|chain| format!("{:?}", chain.filter_chain_match)).collect();
            prop_assert_eq!(matches.iter().collect::<BTreeSet<_>>().len(), matches.len());
            for filter in listener.filter_chains.iter().flat_map(|chain| &chain.filters) {
                if let Some(TypedConfig::HttpConnectionManager(manager)) = &filter.typed_config {
                    let name = manager.rds.as_ref().unwrap().route_config_name.clone();
                    let known = stack.route_configurations.iter().any(|routes| routes.name == name);
                    prop_assert!(known, "{} {}", ResourceKind::RouteConfiguration, name);
                }
            }
        }
    }
}
