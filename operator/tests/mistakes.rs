//! Mistakes of app teams and of platform teams: what the status says of each, and that nobody else is harmed.
//!
//! Each row is laid over a correct base of two teams behind one Gateway and goes the whole way of a pass, without a cloud: world, translation, compile,
//! and the status as it is written. Every message must name the field, the reason and the remedy; rows are read like documentation.

mod attachment;
mod backend;
mod certificate;
mod filter;
mod gateway;
mod listener_set;
mod matching;
mod platform;
mod quota;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use expect_test::Expect;
use portico::cluster::key_of;
use portico_aws::Account;
use portico_aws::account::Certificates;
use portico_aws::observed::Limits;
use portico_aws::stack::Rule;
use portico_aws_api::supported::claimed;
use portico_crds::{Kind, NamespacedName};
use portico_providers::{AddressKind, ClusterId, LoadBalancerAddress, LoadBalancerState, Outcome, Source};
use portico_translate::{Event, World, status, translate, translate_class};
use serde_json::{Value, json};

use crate::harness::parse;

/// A mistake, and what its author is told.
struct Mistake {
    name: &'static str,
    /// What is laid over the base: objects of the same kind and name take the place of the base's.
    manifests: String,
    /// What differs from AWS's default limits.
    limits: fn(&mut Limits),
    /// Certificates in ACM, where somebody looked.
    certificates: Option<Certificates>,
    /// Where it is told: `KIND NAMESPACE/NAME: CONDITION`, with `/LISTENER` after the name for a listener.
    place: &'static str,
    /// Path of the field.
    field: &'static str,
    /// What to do about it.
    remedy: &'static str,
    /// Status, reason and message.
    says: Expect,
}

fn mistake(
    name: &'static str,
    manifests: impl Into<String>,
    place: &'static str,
    field: &'static str,
    remedy: &'static str,
    says: Expect,
) -> Mistake {
    Mistake { name, manifests: manifests.into(), limits: |_| {}, certificates: None, place, field, remedy, says }
}

/// Two teams, `shop` and `news`, with a listener for each, one for all, and one of a ListenerSet.
const BASE: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: alb}
spec: {controllerName: portico.dev/gateway-controller}
---
apiVersion: v1
kind: Namespace
metadata: {name: platform}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: v1
kind: Namespace
metadata: {name: news, labels: {team: news}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 80}, {port: 53, protocol: UDP, name: dns}, {port: 9000, name: grpc, appProtocol: kubernetes.io/h2c}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: news}
spec: {ports: [{port: 80, name: http}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  parentRefs: [{name: edge, namespace: platform, sectionName: http}, {name: edge, namespace: platform, sectionName: shop}]
  hostnames: [a.example.com]
  rules:
    - matches: [{path: {value: /cart}}]
      backendRefs: [{name: web, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: paper, namespace: news, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  parentRefs: [{name: edge, namespace: platform, sectionName: news}]
  hostnames: [news.example.com]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: own, namespace: news, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  parentRef: {name: edge, namespace: platform}
  listeners: [{name: own, port: 9090, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: own, namespace: news, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  parentRefs: [{kind: ListenerSet, name: own}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
"#;

/// The base's Gateway, with more listeners and more of a spec, both as lines of YAML.
fn edge(listeners: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: platform}}
spec:
  gatewayClassName: alb
  allowedListeners: {{namespaces: {{from: All}}}}
  {spec}
  listeners:
    - {{name: http, port: 80, protocol: HTTP, allowedRoutes: {{namespaces: {{from: All}}}}}}
    - {{name: shop, port: 443, protocol: HTTPS, hostname: a.example.com, tls: {{certificateRefs: [{{name: cert}}]}},
        allowedRoutes: {{namespaces: {{from: Selector, selector: {{matchLabels: {{team: shop}}}}}}}}}}
    - {{name: news, port: 8080, protocol: HTTP, hostname: news.example.com,
        allowedRoutes: {{namespaces: {{from: Selector, selector: {{matchLabels: {{team: news}}}}}}}}}}
    {listeners}
---
"
    )
}

/// A Secret of the platform team with these files of the translation's tests; none where a name is empty.
fn secret(name: &str, certificate: &str, key: &str) -> String {
    let file = |name: &str| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/translate/tests/certificates/");
        if name.is_empty() { String::new() } else { std::fs::read_to_string(format!("{path}{name}")).unwrap() }
    };
    let data = json!({ "tls.crt": file(certificate), "tls.key": file(key) });
    let metadata = json!({ "name": name, "namespace": "platform" });
    format!(
        "{}\n---\n",
        json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "stringData": data })
    )
}

/// The route `shop/bad`, younger than all others, with this spec.
fn route(spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: bad, namespace: shop, creationTimestamp: '2026-03-01T00:00:00Z'}}
spec:
  {spec}
---
"
    )
}

/// The same on the listener for all, with this rule and a good one.
fn rule(rule: &str) -> String {
    route(&format!(
        "parentRefs: [{{name: edge, namespace: platform, sectionName: http}}]
  hostnames: [bad.example.com]
  rules:
    - {rule}
    - {{matches: [{{path: {{value: /good}}}}], backendRefs: [{{name: web, port: 80}}]}}"
    ))
}

type Place = (Kind, NamespacedName);

/// What comes of objects: the statuses as they are written, and the rules of each route on the load balancers.
#[derive(Default)]
struct Outcomes {
    statuses: BTreeMap<Place, Value>,
    rules: BTreeMap<NamespacedName, Vec<Rule>>,
}

/// One pass over everything there is.
fn pass(objects: &BTreeMap<Place, Value>, account: &Account) -> Outcomes {
    let mut world = World::new();
    world.apply(Event::Now("2026-06-01T00:00:00Z".to_owned()));
    for ((kind, _), object) in objects {
        world.apply(Event::Upsert { kind: *kind, object: Arc::new(object.clone()) });
    }
    let mut outcomes = Outcomes::default();
    let mut write = |place: Place, desired: &status::Desired| {
        if let Some(status) = status::merge(world.raw(place.0, &place.1).unwrap(), desired, "2026-06-01T00:00:00Z") {
            outcomes.statuses.insert(place, status);
        }
    };
    for class in world.classes() {
        let report = translate_class(&world, class, &|_| claimed()).unwrap();
        write((Kind::GatewayClass, NamespacedName::new("", class)), &report.desired());
    }
    let mut rules: BTreeMap<NamespacedName, Vec<Rule>> = BTreeMap::new();
    for unit in world.units() {
        let translation = translate(&world, &unit).unwrap();
        let mut report = translation.report;
        if let Some(plan) = translation.plan {
            let compiled = portico_aws::compile_within(&ClusterId("test".into()), &plan, account);
            report.refuse(&compiled.refusals);
            let address = LoadBalancerAddress { kind: AddressKind::Hostname, value: "lb.example.com".to_owned() };
            report.finish(&Outcome { state: LoadBalancerState::Active, addresses: vec![address] });
            for rule in compiled.stack.listeners.into_iter().flat_map(|listener| listener.rules) {
                if let Some(Source::Rule(id)) = rule.sources.first() {
                    rules.entry(id.route.key.clone()).or_default().push(Rule { rank: 0, ..rule });
                }
            }
        }
        report.statuses(&world).into_iter().for_each(|(place, desired)| write(place, &desired));
    }
    Outcomes { rules, ..outcomes }
}

fn store(manifests: &str) -> BTreeMap<Place, Value> {
    parse(manifests).into_iter().map(|(kind, object)| ((kind, key_of(&object)), object)).collect()
}

/// The conditions of an object, a listener (`NAME/LISTENER`), or of a route's or policy's first entry.
fn conditions<'a>(outcomes: &'a Outcomes, kind: Kind, name: &str) -> &'a [Value] {
    let (key, listener) = match name.splitn(3, '/').collect::<Vec<_>>().as_slice() {
        [namespace, name, listener] => (NamespacedName::new(*namespace, *name), Some((*listener).to_owned())),
        [namespace, name] => (NamespacedName::new(*namespace, *name), None),
        _ => (NamespacedName::new("", name), None),
    };
    let Some(status) = outcomes.statuses.get(&(kind, key)) else { return &[] };
    let holder = match listener {
        Some(listener) => status["listeners"].as_array().and_then(|all| all.iter().find(|it| it["name"] == *listener)),
        None => status.pointer("/parents/0").or(status.pointer("/ancestors/0")).or(Some(status)),
    };
    holder.and_then(|holder| holder["conditions"].as_array()).map_or(&[], Vec::as_slice)
}

/// A status without what may differ without anybody being harmed: counts, and listeners that the other one does not have.
fn without_counts(status: &Value, base: &Value) -> Value {
    let mut status = status.clone();
    let known: Vec<_> = base["listeners"].as_array().into_iter().flatten().map(|it| it["name"].clone()).collect();
    if let Some(status) = status.as_object_mut() {
        status.remove("attachedListenerSets");
    }
    if let Some(listeners) = status.get_mut("listeners").and_then(Value::as_array_mut) {
        listeners.retain(|listener| known.contains(&listener["name"]));
        listeners.iter_mut().for_each(|listener| listener["attachedRoutes"] = Value::Null);
    }
    status
}

fn all() -> Vec<Mistake> {
    [
        attachment::rows(),
        backend::rows(),
        filter::rows(),
        matching::rows(),
        gateway::rows(),
        listener_set::rows(),
        certificate::rows(),
        platform::rows(),
        quota::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_mistake_is_told_with_field_reason_and_remedy_and_harms_nobody_else() {
    let base = store(&[BASE, &edge("", ""), &secret("cert", "a.crt", "a.key")].concat());
    let alone = pass(&base, &Account::default());
    for ((kind, key), status) in &alone.statuses {
        assert!(!status.to_string().contains(r#""status":"False""#), "{kind} {key} of the base: {status:#}");
    }
    let rows = all();
    let names: BTreeSet<_> = rows.iter().map(|row| row.name).collect();
    assert!(rows.len() >= 40 && names.len() == rows.len(), "{} rows, {} names", rows.len(), names.len());
    let mut complaints = Vec::new();
    for row in rows {
        let mut overlay = store(&row.manifests);
        // Namespaces that no row writes are assumed to be plain.
        overlay.retain(|(kind, _), _| *kind != Kind::Namespace);
        let objects = base.clone().into_iter().chain(overlay.clone()).collect();
        let mut account = Account { certificates: row.certificates, ..Account::default() };
        (row.limits)(&mut account.limits);
        let outcomes = pass(&objects, &account);

        let (kind, rest) = row.place.split_once(' ').unwrap();
        let (name, condition) = rest.split_once(": ").unwrap();
        let kind = Kind::ALL.into_iter().find(|it| it.name() == kind).unwrap();
        let found = conditions(&outcomes, kind, name).iter().find(|it| it["type"] == condition);
        let Some(found) = found else {
            complaints.push(format!("{}: no condition {}: {:#?}", row.name, row.place, conditions(&outcomes, kind, name)));
            continue;
        };
        let text = |field: &str| found[field].as_str().unwrap();
        let message = text("message");
        for (what, wanted) in [("field", row.field), ("remedy", row.remedy)] {
            if wanted.is_empty() || !message.contains(wanted) {
                complaints.push(format!("{}: the {what} {wanted:?} is not in {message:?}", row.name));
            }
        }
        row.says.assert_eq(&format!("{} {}\n{message}", text("status"), text("reason")));

        let harmed = |place: &Place| {
            // Where a Gateway as a whole is not accepted nothing changes for its routes, which their statuses say.
            let accepted = |place: &Place| {
                conditions(&outcomes, place.0, &place.1.to_string()).iter().any(|it| it["type"] == "Accepted" && it["status"] == "True")
            };
            let edge = (Kind::Gateway, NamespacedName::new("platform", "edge"));
            let (is, was) = (outcomes.statuses.get(place), alone.statuses.get(place)?);
            let mine = overlay.contains_key(place);
            // The release of the CRDs is every class's concern.
            if place.0 == Kind::GatewayClass && overlay.keys().any(|(kind, _)| *kind == Kind::CustomResourceDefinition) {
                return None;
            }
            if !accepted(&edge) || (mine && place.0 != Kind::Gateway) {
                return None;
            }
            let (mut is, mut was) = (without_counts(is.unwrap_or(&Value::Null), was), without_counts(was, was));
            if mine {
                (is, was) = (is["listeners"].clone(), was["listeners"].clone());
            }
            (is != was).then(|| format!("{}: {} {} is harmed: {is:#} {was:#}", row.name, place.0, place.1))
        };
        complaints.extend(alone.statuses.keys().filter_map(harmed));
        let others = alone.rules.iter().filter(|(key, _)| !overlay.contains_key(&(Kind::HttpRoute, (*key).clone())));
        for (key, rules) in others.filter(|_| !outcomes.rules.is_empty()) {
            if outcomes.rules.get(key) != Some(rules) {
                complaints.push(format!("{}: the rules of {key} are others: {:#?}", row.name, outcomes.rules.get(key)));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// What may look like a mistake and is none: the status is as good as any.
#[test]
fn what_is_no_mistake_is_not_complained_of() {
    let base = [BASE, &edge("", ""), &secret("cert", "a.crt", "a.key")].concat();
    let service = |spec: &str| format!("apiVersion: v1\nkind: Service\nmetadata: {{name: odd, namespace: shop}}\nspec: {spec}\n---\n");
    for (name, manifests) in [
        ("a headless Service", service("{clusterIP: None, ports: [{port: 80}]}")),
        ("a Service without a selector and without endpoints", service("{ports: [{port: 80}]}")),
        ("a Service whose port names its protocol", service("{ports: [{port: 80, appProtocol: http}]}")),
        ("a WebSocket backend", service("{ports: [{port: 80, appProtocol: kubernetes.io/ws}]}")),
        ("TLS to the backend", service("{ports: [{port: 80, appProtocol: https}]}")),
    ] {
        let mut objects = store(&base);
        objects.extend(store(&[manifests, rule("{backendRefs: [{name: odd, port: 80}]}")].concat()));
        let outcomes = pass(&objects, &Account::default());
        let said: Vec<_> = conditions(&outcomes, Kind::HttpRoute, "shop/bad").iter().map(|it| it["message"].as_str().unwrap()).collect();
        assert_eq!(said, ["The route is accepted", "All references resolve"], "{name}");
    }
}
