//! Properties of the world and of translation over random sequences of events.

use crate::steps::steps;
use crate::universe::{NAMESPACES, Step, object, start};
use portico_crds::normal::ParentRef;
use portico_crds::{Kind, NamespacedName};
use portico_providers::{AddressFamily, AppProtocol, Binding, ServiceBackend, TargetSetId, UnitId};
use portico_translate::{Event, Impact, UnitState, World, endpoints, translate, translate_class};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

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
