//! What streams may see, and when what nobody needs goes.

use super::{Publication, Store};
use crate::resource::Resource;
use crate::stream::{Feedback, View};
use portico_crds::NamespacedName;
use portico_envoy::observed::{ResourceKey, ResourceKind, Version};
use portico_providers::{TargetSetId, UnitId};
use std::collections::BTreeSet;
use std::sync::Arc;

fn unit(name: &str) -> UnitId {
    UnitId::Gateway(NamespacedName::new("infra", name))
}

fn key(kind: ResourceKind, name: &str) -> ResourceKey {
    ResourceKey { kind, name: name.to_owned() }
}

fn resource(unit: &UnitId, kind: ResourceKind, name: &str, content: &str) -> (Version, Arc<Resource>) {
    let version = Version::of(content.as_bytes());
    let body = content.as_bytes().to_vec().into();
    (version.clone(), Arc::new(Resource { key: key(kind, name), version, unit: unit.clone(), body, needs: Vec::new() }))
}

fn publish(store: &Store, unit: &UnitId, upserts: Vec<(Version, Arc<Resource>)>, withdrawals: Vec<ResourceKey>) {
    store.publish("portico", unit, Publication { upserts, withdrawals, ..Publication::default() });
}

#[test]
fn a_stream_of_one_gateway_sees_no_other() {
    let store = Store::default();
    for name in ["a", "b"] {
        publish(&store, &unit(name), vec![resource(&unit(name), ResourceKind::Listener, name, name)], Vec::new());
    }
    let (all, _) = store.connect("portico", None);
    let (one, _) = store.connect("portico", Some(unit("a")));
    let names = |id| store.attend("portico", id, |view, _| (view.names(ResourceKind::Listener), Vec::new())).unwrap();
    assert_eq!(names(all), ["a", "b"]);
    assert_eq!(names(one), ["a"]);
    let secret = store.attend("portico", one, |view, _| (view.get(&key(ResourceKind::Listener, "b")), Vec::new())).unwrap();
    assert!(secret.is_none());
    assert_eq!(store.progress("portico", &unit("b")).proxies, 1);
}

#[test]
fn what_nobody_needs_goes_when_every_proxy_has_what_does_not_refer_to_it() {
    let (store, unit) = (Store::default(), unit("a"));
    publish(
        &store,
        &unit,
        vec![resource(&unit, ResourceKind::Cluster, "old", "old"), resource(&unit, ResourceKind::RouteConfiguration, "r", "to old")],
        Vec::new(),
    );
    store.set_endpoints(&TargetSetId("old".into()), BTreeSet::from([("192.0.2.1".parse().unwrap(), 80)]));
    let (id, _) = store.connect("portico", None);
    let acknowledge = |kind, name: &str, content: Option<&str>| {
        let feedback = Feedback::Acknowledged(key(kind, name), content.map(|content| Version::of(content.as_bytes())));
        store.attend("portico", id, |_, _| ((), vec![feedback]));
    };
    let has = |kind, name: &str| store.attend("portico", id, |view, _| (view.get(&key(kind, name)).is_some(), Vec::new())).unwrap();
    publish(
        &store,
        &unit,
        vec![resource(&unit, ResourceKind::Cluster, "new", "new"), resource(&unit, ResourceKind::RouteConfiguration, "r", "to new")],
        vec![key(ResourceKind::Cluster, "old")],
    );
    acknowledge(ResourceKind::Cluster, "old", Some("old"));
    let endpoints = store.attend("portico", id, |view, _| (view.get(&key(ResourceKind::ClusterLoadAssignment, "old")), Vec::new()));
    let version = endpoints.unwrap().unwrap().version.clone();
    let feedback = Feedback::Acknowledged(key(ResourceKind::ClusterLoadAssignment, "old"), Some(version));
    store.attend("portico", id, |_, _| ((), vec![feedback]));
    acknowledge(ResourceKind::Cluster, "new", Some("new"));
    assert!(has(ResourceKind::Cluster, "old"), "routes still lead there");
    // A refusal keeps it, too, and the last good routes with it.
    let refused = Feedback::Refused(key(ResourceKind::RouteConfiguration, "r"), Version::of(b"to new"), "no".into());
    store.attend("portico", id, |_, _| ((), vec![refused]));
    assert!(has(ResourceKind::Cluster, "old"));
    assert_eq!(store.progress("portico", &unit).refusals, ["routes r: no"]);
    publish(&store, &unit, vec![resource(&unit, ResourceKind::RouteConfiguration, "r", "to new, mended")], Vec::new());
    acknowledge(ResourceKind::RouteConfiguration, "r", Some("to new, mended"));
    assert!(!has(ResourceKind::Cluster, "old") && !has(ResourceKind::ClusterLoadAssignment, "old"));
    acknowledge(ResourceKind::Cluster, "old", None);
    let progress = store.progress("portico", &unit);
    assert_eq!((progress.acknowledged, progress.waiting, progress.refusals.len()), (1, 0, 0));
}
