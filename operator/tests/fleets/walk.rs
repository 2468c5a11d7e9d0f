//! Fleets through a random life of the cluster: objects of every kind come, change and go, one after the other. `PORTICO_TEST_STEPS` says how many, `PORTICO_TEST_SEED` which.

use std::collections::BTreeMap;
use std::sync::Arc;

use portico::cluster::key_of;
use portico_crds::{Kind, NamespacedName};
use portico_envoy::{Observed, Operation, Stack, compile, diff};
use portico_providers::UnitId;
use portico_translate::{Event, UnitState, World, translate};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use self::universe::{NAMESPACES, SLOTS, Step, start};
use super::{Bench, Objects, changes, cluster_id};

/// The universe whose translation is tested.
#[path = "../../translate/tests/universe.rs"]
mod universe;

/// How many steps are taken where nothing else is said: with the operator, which takes its time for each, and without.
const STEPS: (usize, usize) = (25, 400);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// The steps of one life: those that make everything, and random ones.
fn life(least: usize) -> impl Iterator<Item = Step> {
    let seed = number("PORTICO_TEST_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    let count = number("PORTICO_TEST_STEPS").map_or(least, |count| usize::try_from(count).unwrap());
    // Shown if the test fails.
    println!("PORTICO_TEST_SEED={seed} PORTICO_TEST_STEPS={count}");
    let mut random = StdRng::seed_from_u64(seed);
    let further =
        (0..count).map(move |_| Step { slot: random.random_range(0..SLOTS), variant: random.random(), delete: random.random_bool(0.15) });
    start().into_iter().chain(further)
}

/// The object of a step. Every class is ours and every Gateway on a fleet, whatever the universe says; what an API server would write is left out.
fn object(step: &Step) -> (Kind, Value) {
    let (kind, mut object) = universe::object(step.slot, step.variant);
    let bit = |n: u32| step.variant >> n & 1 == 1;
    let profile = json!({"group": "portico.dev", "kind": "LoadBalancerProfile", "namespace": "one", "name": "profile"});
    match kind {
        Kind::GatewayClass => {
            object["spec"] = json!({"controllerName": "portico.dev/gateway-controller", "parametersRef": profile});
        }
        Kind::LoadBalancerProfile if step.slot.is_multiple_of(2) => {
            // Always the same: what another fleet was told is withdrawn by the next sweep, and not at once.
            object["spec"] = json!({"overridable": if bit(5) { json!(["drainSeconds"]) } else { json!([]) },
                "envoy": {"fleet": "core", "addresses": ["198.51.100.0/24"], "drainSeconds": step.variant % 7}});
        }
        Kind::LoadBalancerProfile => object["spec"] = json!({"envoy": {"drainSeconds": 10 + step.variant % 7}}),
        _ => {}
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|key, _| !["finalizers", "deletionTimestamp"].contains(&key.as_str()));
    }
    (kind, object)
}

/// The objects of a cluster after a step.
fn after(bench: &Bench, step: &Step, kind: Kind, object: &Value) -> Objects {
    if !step.delete {
        return bench.overlaid(&[(kind, object.clone())]);
    }
    let (mut objects, place) = (bench.objects(), (kind, key_of(object)));
    let held = |object: &Value| object.pointer("/metadata/finalizers").and_then(Value::as_array).is_some_and(|it| !it.is_empty());
    match objects.get_mut(&place) {
        Some(object) if held(object) => object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
        _ => drop(objects.remove(&place)),
    }
    objects
}

/// Whatever happens, a plan says what the operator publishes then, resource by resource, and a plan of that is empty.
#[tokio::test]
async fn a_plan_of_any_change_is_what_is_published() {
    let bench = Bench::start().await;
    let (mut published, mut doubts) = (0, 0);
    for (turn, step) in life(STEPS.0).enumerate() {
        let (kind, object) = object(&step);
        let mut document = bench.plan_of(after(&bench, &step, kind, &object), Ok(&bench.said())).await;
        // Of a Gateway that nobody could look into until now a plan says that it does not know what was told; and one that is gone may have been AWS's, which is not there to be asked.
        let mut in_doubt = Vec::new();
        document["units"].as_array_mut().unwrap().retain(|unit| {
            let known = unit.get("note").is_none() && unit.get("error").is_none();
            if let Some(error) = unit.get("error") {
                println!("{}: {error}", unit["unit"]);
            }
            in_doubt.extend((!known).then(|| format!(" {}/", unit["unit"].as_str().unwrap())));
            known
        });
        let planned = changes(&document);
        doubts += in_doubt.len();
        println!("step {turn}: {} {kind} {}: {planned:?}", if step.delete { "delete" } else { "apply" }, key_of(&object));
        published += planned.len();
        if step.delete {
            bench.cluster.delete(kind, &key_of(&object));
        } else {
            bench.cluster.apply(kind, object);
        }
        bench.follows(&planned, &in_doubt).await;
    }
    assert!(published > 5 && doubts < published, "only {published} changes and {doubts} doubts: too little happens");
}

/// What a fleet is told for a unit.
type Told = BTreeMap<UnitId, (String, Observed)>;

/// Lets a fleet be told what a world comes to, from what it is told: only what the diff says is changed.
fn tell(told: &mut Told, unit: &UnitId, world: &World) {
    let stack = match (world.unit_state(unit), translate(world, unit).map(|it| it.plan)) {
        (UnitState::Held, _) | (_, Some(None)) => return,
        (_, Some(Some(plan))) => compile(&cluster_id(), &plan).stack,
        (_, None) => {
            let fleet = told.get(unit).map(|(fleet, _)| fleet.clone()).unwrap_or_default();
            Stack::empty(&cluster_id(), unit, &fleet)
        }
    };
    let entry = told.entry(unit.clone()).or_default();
    if entry.0 != stack.fleet {
        // Another fleet knows nothing.
        *entry = (stack.fleet.clone(), Observed::default());
    }
    let wanted = stack.versions();
    for change in diff(&stack, &entry.1) {
        match change.operation {
            Operation::Publish(key) => drop(entry.1.resources.insert(key.clone(), wanted[&key].clone())),
            Operation::Withdraw(key) => assert!(entry.1.resources.remove(&key).is_some(), "{key} was never told"),
            Operation::Identify(identification) => entry.1.identification = Some(identification),
        }
    }
}

/// A Gateway's address, as the operator would have written it.
fn addressed((kind, mut object): (Kind, Value)) -> (Kind, Value) {
    if kind == Kind::Gateway {
        let key = key_of(&object);
        let number = NAMESPACES.iter().position(|it| *it == key.namespace).unwrap() * 2 + usize::from(key.name == "web");
        object["status"] = json!({"addresses": [{"type": "IPAddress", "value": format!("198.51.100.{}", number + 1)}]});
    }
    (kind, object)
}

/// Of each change only the units that it concerns are translated, compiled and compared, and what fleets are told then is what they would be told were everything made from nothing.
#[test]
fn what_is_told_step_by_step_is_what_is_told_from_nothing() {
    let units = |name: &'static str| NAMESPACES.map(|namespace| UnitId::Gateway(NamespacedName::new(namespace, name)));
    let (mut kept, mut told, mut objects, mut changed) = (World::new(), Told::new(), Objects::new(), 0);
    for (turn, step) in life(STEPS.1).enumerate() {
        let (kind, object) = addressed(object(&step));
        let key = key_of(&object);
        let event = if step.delete {
            objects.remove(&(kind, key.clone()));
            Event::Delete { kind, key }
        } else {
            objects.insert((kind, key), object.clone());
            Event::Upsert { kind, object: Arc::new(object) }
        };
        let impact = kept.apply(event);
        let before = told.clone();
        for unit in &impact.units {
            tell(&mut told, unit, &kept);
        }
        changed += usize::from(told != before);
        if turn % 5 != 0 {
            continue;
        }
        let mut scratch = World::new();
        for ((kind, _), object) in &objects {
            scratch.apply(Event::Upsert { kind: *kind, object: Arc::new(object.clone()) });
        }
        let mut anew = Told::new();
        for unit in units("web").into_iter().chain(units("inner")) {
            tell(&mut anew, &unit, &scratch);
            let held = !anew.contains_key(&unit);
            let of =
                |told: &Told| told.get(&unit).map(|(fleet, it)| (fleet.clone(), it.resources.clone())).filter(|(_, it)| !it.is_empty());
            // A Gateway that cannot be looked into keeps what it has.
            assert!(held || of(&told) == of(&anew), "step {turn}, {step:?}: {unit} is told {:#?} and not {:#?}", of(&told), of(&anew));
        }
    }
    assert!(changed > 20, "only {changed} steps changed what is told: too little happens");
}
