//! Properties of the world and of translation over random sequences of events.

use portico_crds::normal::ParentRef;
use portico_crds::{Kind, NamespacedName};
use portico_providers::{AddressFamily, AppProtocol, Binding, ServiceBackend, TargetSetId, UnitId};
use portico_translate::{Event, Impact, UnitState, World, endpoints, translate, translate_class};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const NAMESPACES: [&str; 2] = ["one", "two"];
const CONTROLLERS: [&str; 2] = ["portico.dev/gateway-controller", "example.com/other"];

/// An object out of a small universe, in which much refers to much. `slot` says which object, `variant` what it says.
fn object(slot: u8, variant: u16) -> (Kind, Value) {
    let namespace = NAMESPACES[usize::from(slot % 2)];
    let other = NAMESPACES[usize::from((slot + 1) % 2)];
    let bit = |n: u16| variant >> n & 1 == 1;
    let meta = |name: &str| json!({"name": name, "namespace": namespace, "generation": 1, "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"});
    let gateway_api = "gateway.networking.k8s.io/v1";
    let from = if bit(0) { "All" } else { "Selector" };
    let (kind, mut object) = match slot / 2 {
        0 => {
            let name = if slot.is_multiple_of(2) { "plain" } else { "tuned" };
            let mut spec = json!({"controllerName": CONTROLLERS[usize::from(bit(0))]});
            if slot % 2 == 1 {
                spec["parametersRef"] =
                    json!({"group": "portico.dev", "kind": "LoadBalancerProfile", "namespace": "one", "name": "profile"});
            }
            (Kind::GatewayClass, json!({"metadata": {"name": name, "generation": 1}, "spec": spec}))
        }
        1 | 2 => {
            let name = if slot / 2 == 1 { "web" } else { "inner" };
            let selector = json!({"matchLabels": {"team": if bit(1) { "a" } else { "b" }}});
            let mut metadata = meta(name);
            if bit(2) {
                metadata["finalizers"] = json!(["portico.dev/load-balancer"]);
            }
            if bit(3) && bit(4) {
                metadata["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
            }
            let mut listeners = vec![
                json!({"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": from, "selector": selector}}}),
            ];
            if bit(5) {
                let secret = if bit(6) { json!({"name": "cert"}) } else { json!({"name": "cert", "namespace": other}) };
                listeners.push(json!({"name": "https", "port": 443, "protocol": "HTTPS", "hostname": "a.example.com", "tls": {"certificateRefs": [secret]}}));
            }
            let allowed =
                json!({"namespaces": {"from": if bit(9) { "All" } else { "Selector" }, "selector": {"matchLabels": {"team": "a"}}}});
            let mut spec =
                json!({"allowedListeners": allowed, "gatewayClassName": if bit(7) { "plain" } else { "tuned" }, "listeners": listeners});
            if bit(8) {
                spec["infrastructure"] =
                    json!({"parametersRef": {"group": "portico.dev", "kind": "LoadBalancerProfile", "name": "profile"}});
            }
            (Kind::Gateway, json!({"metadata": metadata, "spec": spec}))
        }
        3 | 4 => {
            let name = if slot / 2 == 3 { "shop" } else { "blog" };
            let gateway = |bit: bool| if bit { "web" } else { "inner" };
            let mut parents = vec![json!({"name": gateway(bit(0)), "namespace": NAMESPACES[usize::from(bit(1))]})];
            if bit(12) {
                parents.push(json!({"kind": "ListenerSet", "name": "more", "namespace": NAMESPACES[usize::from(bit(13))]}));
            }
            if bit(2) {
                parents.push(json!({"name": gateway(!bit(0)), "namespace": NAMESPACES[usize::from(bit(3))], "port": 443}));
            }
            let backend_namespace = NAMESPACES[usize::from(bit(4))];
            let backend = json!({"name": if bit(5) { "front" } else { "back" }, "namespace": backend_namespace, "port": 80});
            let mut rule = json!({"backendRefs": [backend]});
            if bit(6) {
                rule["filters"] = json!([{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "front", "port": 80}}}]);
            }
            if bit(7) {
                rule["filters"] = json!([{"type": "Sparkle"}]);
            }
            let mut spec = json!({"parentRefs": parents, "rules": [rule]});
            if bit(8) {
                spec["hostnames"] = json!(["a.example.com"]);
            }
            if bit(9) && bit(10) {
                spec["rules"] = json!("none");
            }
            let kind = if bit(11) && bit(9) { Kind::GrpcRoute } else { Kind::HttpRoute };
            (kind, json!({"metadata": meta(name), "spec": spec}))
        }
        5 | 6 => {
            let name = if slot / 2 == 5 { "front" } else { "back" };
            (
                Kind::Service,
                json!({"metadata": meta(name), "spec": {"ports": [{"port": if bit(0) { 80 } else { 81 }, "name": if bit(1) { "" } else { "http" }}]}}),
            )
        }
        7 => {
            let from = json!([{"group": "gateway.networking.k8s.io", "kind": if bit(3) { "ListenerSet" } else if bit(0) { "HTTPRoute" } else { "Gateway" }, "namespace": if bit(1) { other } else { namespace }}]);
            let to =
                if bit(2) { json!([{"group": "", "kind": "Service"}]) } else { json!([{"group": "", "kind": "Secret", "name": "cert"}]) };
            (Kind::ReferenceGrant, json!({"metadata": meta("grant"), "spec": {"from": from, "to": to}}))
        }
        8 => (
            Kind::Namespace,
            json!({"metadata": {"name": namespace, "labels": {"team": if bit(0) { "a" } else { "b" }, "noise": bit(1).to_string()}}}),
        ),
        9 => {
            let encoded = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
            let certificate = encoded(if bit(2) { include_str!("certificates/a.crt") } else { include_str!("certificates/old.crt") });
            let key = encoded(if bit(3) { include_str!("certificates/a.key") } else { include_str!("certificates/b.key") });
            let data = if bit(0) { json!({"tls.crt": certificate, "tls.key": key}) } else { json!({"tls.crt": "eA=="}) };
            (Kind::Secret, json!({"metadata": meta("cert"), "type": if bit(1) { "kubernetes.io/tls" } else { "Opaque" }, "data": data}))
        }
        10 => {
            let overridable = if bit(1) { json!(["scheme"]) } else { json!([]) };
            (
                Kind::LoadBalancerProfile,
                json!({"metadata": meta("profile"), "spec": {"aws": {"scheme": if bit(0) { "internal" } else { "internet-facing" }}, "overridable": if slot.is_multiple_of(2) { overridable } else { json!([]) }}}),
            )
        }
        12 => {
            let selector = json!({"matchLabels": {"team": if bit(0) { "a" } else { "b" }}});
            let from = if bit(1) { "All" } else { "Selector" };
            let mut listeners = vec![
                json!({"name": "http", "port": 80, "protocol": "HTTP", "hostname": if bit(2) { "a.example.com" } else { "b.example.com" }, "allowedRoutes": {"namespaces": {"from": from, "selector": selector}}}),
            ];
            if bit(3) {
                listeners.push(json!({"name": "https", "port": 443, "protocol": "HTTPS", "hostname": "a.example.com", "tls": {"certificateRefs": [{"name": "cert", "namespace": if bit(4) { other } else { namespace }}]}}));
            }
            let parent = json!({"name": if bit(5) { "web" } else { "inner" }, "namespace": NAMESPACES[usize::from(bit(6))]});
            let listeners = if bit(7) && bit(8) { json!("none") } else { json!(listeners) };
            let mut metadata = meta("more");
            if bit(9) {
                metadata["creationTimestamp"] = json!("2026-01-03T00:00:00Z");
            }
            (Kind::ListenerSet, json!({"metadata": metadata, "spec": {"parentRef": parent, "listeners": listeners}}))
        }
        11 => {
            let version = if bit(0) { "v1.7.0" } else { "v1.2.0" };
            (
                Kind::CustomResourceDefinition,
                json!({"metadata": {"name": "gatewayclasses.gateway.networking.k8s.io", "annotations": {"gateway.networking.k8s.io/bundle-version": version}}}),
            )
        }
        14 => {
            let mut target =
                json!({"group": "", "kind": if bit(3) { "Service" } else { "Other" }, "name": if bit(0) { "front" } else { "back" }});
            if bit(1) {
                target["sectionName"] = json!(if bit(2) { "http" } else { "other" });
            }
            (
                Kind::BackendTlsPolicy,
                json!({"metadata": meta("checked"), "spec": {"targetRefs": [target], "validation": {"hostname": "a.example.com"}}}),
            )
        }
        _ => {
            let mut metadata = meta(if bit(0) { "slice-1" } else { "slice-2" });
            metadata["labels"] = json!({"kubernetes.io/service-name": if bit(1) { "front" } else { "back" }});
            (
                Kind::EndpointSlice,
                json!({"metadata": metadata, "addressType": "IPv4", "ports": [{"name": "", "port": 8080}], "endpoints": [{"addresses": [if bit(2) { "10.0.0.1" } else { "10.0.0.2" }], "conditions": {"ready": bit(3)}}]}),
            )
        }
    };
    object["apiVersion"] = json!(if kind.group().starts_with("gateway") { gateway_api.to_owned() } else { kind.api_version() });
    object["kind"] = json!(kind.name());
    (kind, object)
}

const SLOTS: u8 = 30;

#[derive(Clone, Debug)]
struct Step {
    slot: u8,
    variant: u16,
    delete: bool,
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (0..SLOTS, any::<u16>(), prop::bool::weighted(0.15)).prop_map(|(slot, variant, delete)| Step { slot, variant, delete });
    prop::collection::vec(step, 1..most)
}

/// A world in which much works, to start from: without it most random steps would mean nothing.
fn start() -> Vec<Step> {
    (0..SLOTS).map(|slot| Step { slot, variant: if slot / 2 == 0 { 0 } else { 0b1010_0011 }, delete: false }).collect()
}

fn key(object: &Value) -> NamespacedName {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
    NamespacedName::new(text("namespace"), text("name"))
}

/// What there is, by kind and key.
type Store = BTreeMap<(Kind, NamespacedName), Value>;

fn play(world: &mut World, store: &mut Store, step: &Step) -> Impact {
    let (kind, object) = object(step.slot, step.variant);
    let key = key(&object);
    if step.delete {
        store.remove(&(kind, key.clone()));
        world.apply(Event::Delete { kind, key })
    } else {
        store.insert((kind, key), object.clone());
        world.apply(Event::Upsert { kind, object: Arc::new(object) })
    }
}

fn all_units() -> Vec<UnitId> {
    NAMESPACES.iter().flat_map(|namespace| ["web", "inner"].map(|name| UnitId::Gateway(NamespacedName::new(*namespace, name)))).collect()
}

fn bindings() -> Vec<Binding> {
    let services = NAMESPACES.iter().flat_map(|namespace| ["front", "back"].map(|name| NamespacedName::new(*namespace, name)));
    services
        .map(|service| Binding {
            source: ServiceBackend {
                tls_policy: None,
                service,
                port: 80,
                port_name: String::new(),
                protocol: AppProtocol::Http,
                families: vec![AddressFamily::V4],
            },
            family: AddressFamily::V4,
            sink: TargetSetId("t".to_owned()),
        })
        .collect()
}

/// The Gateway that a ListenerSet belongs to now, if that is what a route's parent is.
fn gateway_of_set(store: &Store, route: &NamespacedName, parent: &ParentRef) -> Option<UnitId> {
    let namespace = parent.namespace.as_ref().unwrap_or(&route.namespace);
    let set = store.get(&(Kind::ListenerSet, NamespacedName::new(namespace, &parent.name))).filter(|_| parent.kind == "ListenerSet")?;
    let gateway = &set["spec"]["parentRef"];
    Some(UnitId::Gateway(NamespacedName::new(gateway["namespace"].as_str()?, gateway["name"].as_str()?)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The key safety property of the index layer: what comes out differently was said to be affected.
    #[test]
    fn whatever_changes_was_in_the_impact(random in steps(40)) {
        let (mut world, mut store) = (World::new(), Store::new());
        for (turn, step) in start().iter().chain(&random).enumerate() {
            let before = world.clone();
            let mut impact = play(&mut world, &mut store, step);
            if turn % 3 == 0 {
                let now = ["2023-01-01T00:00:00Z", "2024-06-01T00:00:00Z", "2026-01-01T00:00:00Z", "2050-01-01T00:00:00Z"][turn / 3 % 4];
                impact.merge(world.apply(Event::Now(now.to_owned())));
            }
            for unit in all_units() {
                let was = (before.unit_state(&unit), translate(&before, &unit));
                let is = (world.unit_state(&unit), translate(&world, &unit));
                prop_assert!(was == is || impact.units.contains(&unit), "{step:?} changes {unit}");
            }
            for class in ["plain", "tuned"] {
                let changed = translate_class(&before, class, &|_| Vec::new()) != translate_class(&world, class, &|_| Vec::new());
                prop_assert!(!changed || impact.classes.contains(class), "{step:?} changes class {class}");
            }
            for binding in bindings() {
                let changed = endpoints(&before, &binding) != endpoints(&world, &binding);
                prop_assert!(!changed || impact.services.contains(&binding.source.service), "{step:?} changes endpoints");
            }
            // An entry of a route that no unit reports on any more, although the route is there, is to be cleaned up.
            let reported = |world: &World| -> BTreeMap<_, _> {
                let live = all_units().into_iter().filter(|unit| world.unit_state(unit) == UnitState::Live);
                let translated = live.filter_map(|unit| Some((translate(world, &unit)?.report.routes, unit)));
                let entries = translated.flat_map(|(routes, unit)| {
                    routes.into_iter().flat_map(|(id, route)| route.parents.into_iter().map(move |it| (id.clone(), it.parent))).map(move |entry| (entry, unit.clone()))
                });
                entries.collect()
            };
            let after = reported(&world);
            for ((id, parent), unit) in reported(&before) {
                if after.contains_key(&(id.clone(), parent.clone())) {
                    continue;
                }
                let there = store.keys().any(|(kind, key)| kind.name() == id.kind.as_str() && *key == id.key);
                // A Gateway that is held, or cannot be looked into, reports on no routes and keeps their entries, also those of a ListenerSet that has just come to it.
                let owners = std::iter::once(unit).chain(gateway_of_set(&store, &id.key, &parent));
                let kept = owners.into_iter().any(|unit| {
                    translate(&world, &unit).is_some_and(|it| it.report.routes.is_empty() && it.plan.is_none()) || world.unit_state(&unit) == UnitState::Held
                });
                prop_assert!(!there || kept || impact.routes.contains(&id), "{step:?} leaves an entry on {id}");
            }
            // So is an entry of a policy.
            let policies = |world: &World, unit: &UnitId| translate(world, unit).map(|it| it.report.policies).unwrap_or_default();
            for unit in all_units() {
                let kept = world.unit_state(&unit) == UnitState::Held || translate(&world, &unit).is_some_and(|it| it.plan.is_none());
                let after = policies(&world, &unit);
                for key in policies(&before, &unit).into_keys().filter(|key| !kept && !after.contains_key(key)) {
                    let there = store.contains_key(&(Kind::BackendTlsPolicy, key.clone()));
                    prop_assert!(!there || impact.policies.contains(&key), "{step:?} leaves an entry on policy {key}");
                }
            }
        }
    }

    /// The indexes hold no memory of how the world came about.
    #[test]
    fn a_world_equals_one_built_from_scratch(random in steps(60)) {
        let (mut world, mut store) = (World::new(), Store::new());
        for step in &random {
            play(&mut world, &mut store, step);
        }
        let mut scratch = World::new();
        for ((kind, _), object) in store.iter().rev() {
            scratch.apply(Event::Upsert { kind: *kind, object: Arc::new(object.clone()) });
        }
        prop_assert_eq!(world, scratch);
    }

    /// Labels, annotations, managedFields, resourceVersion and status of what is there mean nothing (labels of Namespaces and EndpointSlices apart).
    #[test]
    fn an_object_that_says_the_same_has_no_impact(random in steps(30)) {
        let (mut world, mut store) = (World::new(), Store::new());
        for step in start().iter().chain(&random) {
            play(&mut world, &mut store, step);
        }
        for ((kind, key), object) in store {
            let mut again = object.clone();
            again["metadata"]["resourceVersion"] = json!("2");
            again["metadata"]["managedFields"] = json!([{"manager": "kubectl"}]);
            again["status"] = json!({"parents": []});
            if !matches!(kind, Kind::Namespace | Kind::EndpointSlice | Kind::CustomResourceDefinition) {
                again["metadata"]["labels"] = json!({"new": "label"});
                again["metadata"]["annotations"] = json!({"new": "annotation"});
            }
            let impact = world.apply(Event::Upsert { kind, object: Arc::new(again.clone()) });
            let named = Impact { statuses: impact.statuses.clone(), ..Impact::default() };
            prop_assert!(impact == named && impact.statuses.iter().all(|it| *it == (kind, key.clone())), "{kind} {key}: {impact:?}");
            // A resync brings the same once more, and nothing is said of it.
            again["metadata"]["resourceVersion"] = json!("3");
            let impact = world.apply(Event::Upsert { kind, object: Arc::new(again) });
            prop_assert!(impact.is_empty(), "{kind} {key}: {impact:?}");
        }
    }

    /// The order in which objects come never matters, and ranks are dense.
    #[test]
    fn translation_does_not_depend_on_order((random, shuffled) in steps(40).prop_flat_map(|steps| {
        let mut last: BTreeMap<_, _> = start().into_iter().map(|step| (object(step.slot, step.variant).0, key(&object(step.slot, step.variant).1), step)).map(|(kind, key, step)| ((kind, key), step)).collect();
        for step in steps {
            let (kind, object) = object(step.slot, step.variant);
            last.insert((kind, key(&object)), Step { delete: false, ..step });
        }
        let steps: Vec<Step> = last.into_values().collect();
        (Just(steps.clone()), Just(steps).prop_shuffle())
    })) {
        let build = |steps: &[Step]| {
            let mut world = World::new();
            steps.iter().for_each(|step| drop(play(&mut world, &mut Store::new(), step)));
            world
        };
        let (one, two) = (build(&random), build(&shuffled));
        for unit in all_units() {
            let (a, b) = (translate(&one, &unit), translate(&two, &unit));
            prop_assert_eq!(&a, &b);
            for port in a.and_then(|it| it.plan).into_iter().flat_map(|plan| plan.ports) {
                for listener in port.listeners {
                    let ranks: Vec<_> = listener.rules.iter().map(|rule| rule.rank).collect();
                    prop_assert_eq!(ranks, (0..listener.rules.len() as u32).collect::<Vec<_>>());
                }
            }
        }
    }
}
