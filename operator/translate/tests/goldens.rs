//! Golden pairs: `NAME.in.yaml` (Kubernetes manifests, on top of the folder's `base.yaml`) and `NAME.out.yaml` (plan and statuses of every unit). Those in `envoy` are of
//! a class that takes every protocol and kind of route.
//!
//! `UPDATE_EXPECT=1 cargo test -p portico-translate` rewrites the outputs; a person reads the difference.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect_file;
use portico_crds::v1alpha1::{EffectiveProfile, EnvoySettings};
use portico_crds::{Kind, NamespacedName, defaulting, manifest};
use portico_translate::{Event, World, status, translate, translate_class};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// The files of a folder, and of the folders in it, whose names end in this.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = glob::glob(folder().join(format!("**/*{ending}")).to_str().unwrap()).unwrap().map(Result::unwrap).collect();
    found.sort();
    found
}

/// The objects of a file as an API server would give them.
fn objects(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut objects = manifest::read(&path.display().to_string(), &text).unwrap();
    for object in &mut objects {
        defaulting::fill(object);
        let encode = object["kind"] == "Secret";
        read_files(object.pointer_mut("/data"), encode);
        if object["kind"] == "ClusterTrustBundle" {
            read_files(object.pointer_mut("/spec"), false);
        }
        let generation = object.pointer_mut("/metadata").and_then(Value::as_object_mut).unwrap().entry("generation");
        generation.or_insert(json!(1));
    }
    objects
}

/// Puts the contents of files in `tests/certificates` in the place of their names, which are written as `@NAME`.
fn read_files(data: Option<&mut Value>, encode: bool) {
    for value in data.and_then(Value::as_object_mut).into_iter().flat_map(|data| data.values_mut()) {
        let Some(name) = value.as_str().and_then(|text| text.strip_prefix('@')) else { continue };
        let content = std::fs::read_to_string(folder().join("../certificates").join(name)).unwrap();
        *value = json!(if encode { STANDARD.encode(content) } else { content });
    }
}

fn kind_of(object: &Value) -> Kind {
    Kind::of_api_version(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap()).unwrap()
}

fn world<'a>(objects: impl Iterator<Item = &'a Value>) -> World {
    let mut world = World::new();
    world.apply(Event::Now("2026-06-01T00:00:00Z".to_owned()));
    for object in objects {
        world.apply(Event::Upsert { kind: kind_of(object), object: Arc::new(object.clone()) });
    }
    world
}

/// Times are the writer's, not the translation's.
fn without_times(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("lastTransitionTime");
            map.values_mut().for_each(without_times);
        }
        Value::Array(list) => list.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// Merges into the status that an earlier unit has written, as the status writer would.
fn merged(statuses: &mut Map<String, Value>, world: &World, kind: Kind, key: &NamespacedName, desired: &status::Desired) {
    let name = format!("{kind} {key}");
    let mut raw = (**world.raw(kind, key).unwrap()).clone();
    if let Some(status) = statuses.get(&name) {
        raw["status"] = status.clone();
    }
    if let Some(status) = status::merge(&raw, desired, "2026-01-01T00:00:00Z") {
        statuses.insert(name, status);
    }
}

fn output(world: &World, classes: &[String]) -> Value {
    let mut statuses = Map::new();
    let mut plans = Vec::new();
    for class in classes {
        if let Some(report) = translate_class(world, class, &|_| vec!["HTTPRoute", "Gateway"]) {
            let key = NamespacedName::new("", class.as_str());
            merged(&mut statuses, world, Kind::GatewayClass, &key, &report.desired());
        }
    }
    for unit in world.units() {
        let Some(translation) = translate(world, &unit) else { continue };
        let mut plan = serde_json::to_value(&translation.plan).unwrap();
        // The settings fill a page; most goldens have those of a class without a profile, or of one that says nothing but which branch it is.
        let of_envoy = EffectiveProfile::Envoy(EnvoySettings::default());
        for (default, name) in [(EffectiveProfile::default(), "(default)"), (of_envoy, "(default of envoy)")] {
            if plan.get("profile") == Some(&serde_json::to_value(default).unwrap()) {
                plan["profile"] = json!(name);
            }
        }
        plans.push(plan);
        for ((kind, key), desired) in translation.report.statuses(world) {
            merged(&mut statuses, world, kind, &key, &desired);
        }
    }
    statuses.values_mut().for_each(without_times);
    json!({"plans": plans, "statuses": statuses})
}

#[test]
fn every_pair_agrees() {
    let inputs = files(".in.yaml");
    assert!(inputs.len() >= 170, "{} pairs", inputs.len());
    for input in inputs {
        let base = objects(&input.with_file_name("base.yaml"));
        let all: Vec<Value> = base.iter().cloned().chain(objects(&input)).collect();
        let classes: Vec<String> = all[base.len()..]
            .iter()
            .filter(|object| kind_of(object) == Kind::GatewayClass)
            .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
            .collect();
        let forward = output(&world(all.iter()), &classes);
        let backward = output(&world(all.iter().rev()), &classes);
        assert_eq!(forward, backward, "{}: the order of objects matters", input.display());
        let text = manifest::write(&[forward]).unwrap();
        let expected = input.to_str().unwrap().replace(".in.yaml", ".out.yaml");
        expect_file![expected].assert_eq(&text);
    }
}

/// Every output belongs to an input, so that none outlives its reason.
#[test]
fn no_output_is_orphaned() {
    for output in files(".out.yaml") {
        let input = output.to_str().unwrap().replace(".out.yaml", ".in.yaml");
        assert!(Path::new(&input).exists(), "{}", output.display());
    }
}
