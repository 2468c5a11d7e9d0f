//! What streams may see, and when what nobody needs goes.

use super::{Publication, Store, StreamId};
use crate::proxy::{self, Proxy};
use crate::resource::Resource;
use crate::routes::Hosts;
use crate::stream::{Feedback, Mode, Request, Stream, View};
use portico_crds::NamespacedName;
use portico_envoy::observed::{ResourceKey, ResourceKind, Version};
use portico_envoy::stack::route::RouteConfiguration;
use portico_providers::{TargetSetId, UnitId};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
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
    let (all, _) = store.connect("portico", None, Hosts::Apart);
    let (one, _) = store.connect("portico", Some(unit("a")), Hosts::Apart);
    let names = |id| store.attend("portico", id, |view, _| (view.names(ResourceKind::Listener), Vec::new())).unwrap();
    assert_eq!(names(all), ["a", "b"]);
    assert_eq!(names(one), ["a"]);
    let secret = store.attend("portico", one, |view, _| (view.get(&key(ResourceKind::Listener, "b")), Vec::new())).unwrap();
    assert!(secret.is_none());
    assert_eq!(store.progress("portico", &unit("b")).proxies, 1);
}

#[test]
fn what_nobody_can_say_is_left_with_whoever_has_it() {
    let store = Store::default();
    publish(&store, &unit("a"), vec![resource(&unit("a"), ResourceKind::Listener, "gateway/infra/a/80", "a")], Vec::new());
    store.leave_alone(&unit("b"), true);
    let (id, notify) = store.connect("portico", None, Hosts::Apart);
    let mut stream = Stream::new(Mode::Delta);
    let mut tell = |request: Request| {
        let look = |view: &super::FleetView<'_>, _: &[ResourceKey]| {
            stream.receive(ResourceKind::Listener, &request, view);
            (stream.next(view), stream.feedback())
        };
        let response = store.attend("portico", id, look).unwrap()?;
        Some((response.resources.iter().map(|it| it.key.name.clone()).collect::<Vec<_>>(), response.removed))
    };
    let had = ["gateway/infra/a/80", "gateway/infra/a/81", "gateway/infra/b/80"];
    let initial_versions = had.map(|name| (name.to_owned(), Version("of before".to_owned()))).to_vec();
    let first = tell(Request { initial_versions, ..Request::default() });
    assert_eq!(first, Some((vec!["gateway/infra/a/80".to_owned()], vec!["gateway/infra/a/81".to_owned()])));
    let answer = |nonce: &str| Request { nonce: nonce.to_owned(), ..Request::default() };
    assert_eq!(tell(answer("1")), None);
    // Its Gateway is gone, or goes elsewhere.
    store.leave_alone(&unit("b"), false);
    assert!(futures::FutureExt::now_or_never(notify.notified()).is_some());
    assert_eq!(tell(Request::default()), Some((Vec::new(), vec!["gateway/infra/b/80".to_owned()])));
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
    let (id, _) = store.connect("portico", None, Hosts::Apart);
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

/// A store, what is published in it for one unit, and a proxy for each form of the protocol.
struct Fleet {
    store: Store,
    published: BTreeMap<ResourceKey, String>,
    proxies: Vec<(StreamId, Proxy)>,
}

const FORMS: [(Mode, Hosts); 3] = [(Mode::Delta, Hosts::Apart), (Mode::Delta, Hosts::Within), (Mode::StateOfTheWorld, Hosts::Within)];

impl Fleet {
    fn new() -> Self {
        let store = Store::default();
        let proxies = FORMS.map(|(mode, hosts)| (store.connect("portico", None, hosts).0, Proxy::connect(mode, hosts)));
        Self { store, published: BTreeMap::new(), proxies: proxies.into() }
    }

    fn publish(&mut self, wanted: BTreeMap<ResourceKey, String>) {
        for key in wanted.keys().filter(|key| key.kind == ResourceKind::Cluster) {
            self.store.set_endpoints(&TargetSetId(key.name.clone()), BTreeSet::from([("192.0.2.1".parse().unwrap(), 80)]));
        }
        let changed = wanted.iter().filter(|(key, content)| self.published.get(*key) != Some(*content));
        let upserts = changed.map(|(key, content)| {
            let resource = proxy::resource(key, content);
            (resource.version.clone(), resource)
        });
        let withdrawals = self.published.keys().filter(|key| !wanted.contains_key(key)).cloned();
        publish(&self.store, &proxy::unit(), upserts.collect(), withdrawals.collect());
        self.published = wanted;
    }

    fn exchange(&mut self, index: usize) {
        let (id, proxy) = &mut self.proxies[index];
        self.store.attend("portico", *id, |view, changed| ((), proxy.exchange(view, changed)));
    }

    fn reconnect(&mut self, index: usize) {
        let (id, proxy) = &mut self.proxies[index];
        self.store.disconnect("portico", *id);
        *id = self.store.connect("portico", None, proxy.hosts).0;
        proxy.reconnect();
    }

    /// Until nobody has anything to say.
    fn settle(&mut self) {
        // What one learns may be news to another that was asked before.
        let mut silence = 0;
        for _ in 0..1000 {
            let mut quiet = true;
            for index in 0..self.proxies.len() {
                self.exchange(index);
                quiet &= self.proxies[index].1.inbox.is_empty();
                self.proxies[index].1.answer();
            }
            silence = if quiet { silence + 1 } else { 0 };
            if silence == 3 {
                return;
            }
        }
        panic!("the conversations do not end");
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Listeners with their virtual hosts: which cluster each leads to, and in which version. Version 3 is refused.
    Publish(BTreeMap<u8, BTreeMap<u8, (u8, u8)>>),
    Exchange(usize),
    Answer(usize),
    Reconnect(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let hosts = prop::collection::btree_map(0..4u8, (0..4u8, 0..4u8), 1..4);
    prop_oneof![
        2 => prop::collection::btree_map(0..2u8, hosts, 0..3).prop_map(Step::Publish),
        4 => (0..3usize).prop_map(Step::Exchange),
        8 => (0..3usize).prop_map(Step::Answer),
        1 => (0..3usize).prop_map(Step::Reconnect),
    ]
}

fn wanted(listeners: &BTreeMap<u8, BTreeMap<u8, (u8, u8)>>, good: bool) -> BTreeMap<ResourceKey, String> {
    let mut wanted = BTreeMap::new();
    for (listener, hosts) in listeners {
        wanted.insert(proxy::key(ResourceKind::Listener, listener), "listener".to_owned());
        wanted.insert(proxy::key(ResourceKind::RouteConfiguration, listener), "frame".to_owned());
        for (host, (to, version)) in hosts {
            let content = if *version == 3 && !good { "bad".to_owned() } else { format!("to {to} {version}") };
            wanted.insert(proxy::key(ResourceKind::VirtualHost, format!("{listener}/{host}")), content);
            wanted.insert(proxy::key(ResourceKind::Cluster, to), "cluster".to_owned());
        }
    }
    wanted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever was published, answered and refused on the way: in the end every proxy serves what is published, whichever form of the protocol it speaks, and has said so.
    #[test]
    fn all_forms_serve_the_same(steps in prop::collection::vec(step(), 0..60), last in prop::collection::btree_map(0..2u8, prop::collection::btree_map(0..4u8, (0..4u8, 0..4u8), 1..4), 0..3)) {
        let mut fleet = Fleet::new();
        for step in steps {
            match step {
                Step::Publish(listeners) => fleet.publish(wanted(&listeners, false)),
                Step::Exchange(index) => fleet.exchange(index),
                Step::Answer(index) => fleet.proxies[index].1.answer(),
                Step::Reconnect(index) => fleet.reconnect(index),
            }
        }
        fleet.publish(wanted(&last, true));
        fleet.settle();
        let serves: Vec<BTreeMap<String, RouteConfiguration>> = fleet.proxies.iter().map(|(_, proxy)| proxy.serves()).collect();
        let names: BTreeMap<String, usize> = last.iter().map(|(listener, hosts)| (listener.to_string(), hosts.len())).collect();
        let first = &serves[0];
        for other in &serves {
            prop_assert_eq!(first, other);
        }
        prop_assert_eq!(first.iter().map(|(name, it)| (name.clone(), it.virtual_hosts.len())).collect::<BTreeMap<_, _>>(), names);
        let progress = fleet.store.progress("portico", &proxy::unit());
        if last.is_empty() {
            prop_assert_eq!(progress.version, None);
        } else {
            prop_assert_eq!((progress.acknowledged, progress.waiting, progress.refusals), (3, 0, Vec::new()));
        }
        fleet.publish(BTreeMap::new());
        fleet.settle();
        prop_assert_eq!(fleet.store.progress("portico", &proxy::unit()).version, None);
        for (_, proxy) in &fleet.proxies {
            prop_assert!(proxy.has.is_empty() && proxy.meets.is_empty(), "{:?}", proxy.has.keys());
        }
    }
}

#[test]
fn a_refused_virtual_host_is_told_of_and_the_last_good_one_stays() {
    let mut fleet = Fleet::new();
    let hosts = |version| BTreeMap::from([(0, BTreeMap::from([(0, (0, 0)), (1, (0, version))]))]);
    fleet.publish(wanted(&hosts(0), true));
    fleet.settle();
    fleet.publish(wanted(&hosts(3), false));
    fleet.settle();
    let progress = fleet.store.progress("portico", &proxy::unit());
    let words: Vec<&str> = progress.refusals.iter().map(String::as_str).collect();
    assert_eq!(words, ["virtual-host 0/1: refused: 0/1"]);
    // A proxy that comes now has the last good one, whichever way it takes virtual hosts.
    for (mode, hosts) in FORMS {
        fleet.proxies.push((fleet.store.connect("portico", None, hosts).0, Proxy::connect(mode, hosts)));
    }
    fleet.settle();
    let serves: Vec<_> = fleet.proxies.iter().map(|(_, proxy)| proxy.serves()).collect();
    assert!(serves.iter().all(|it| *it == serves[0] && it["0"].virtual_hosts.iter().all(|host| host.routes[0].name == "to 0 0")));
    // What is refused can be taken back like anything else.
    fleet.publish(BTreeMap::new());
    fleet.settle();
    assert_eq!(fleet.store.progress("portico", &proxy::unit()).version, None);
}

#[test]
fn what_no_proxy_has_taken_can_be_taken_back() {
    let mut fleet = Fleet::new();
    let listener = proxy::key(ResourceKind::Listener, 0);
    let routes = proxy::key(ResourceKind::RouteConfiguration, 0);
    fleet.publish(BTreeMap::from([(listener, "bad".to_owned()), (routes, "frame".to_owned())]));
    fleet.settle();
    fleet.publish(BTreeMap::new());
    fleet.settle();
    assert_eq!(fleet.store.progress("portico", &proxy::unit()).version, None);
}
