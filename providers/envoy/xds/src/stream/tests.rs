//! All forms of the protocol, with a made-up proxy, through random changes, refusals and reconnections: all end with what the store holds.

use super::{Feedback, Mode};
use crate::proxy::{Proxy, World, is_bad, key};
use crate::routes::Hosts;
use portico_envoy::observed::{ResourceKey, ResourceKind, Version};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const FORMS: [(Mode, Hosts); 3] = [(Mode::Delta, Hosts::Apart), (Mode::Delta, Hosts::Within), (Mode::StateOfTheWorld, Hosts::Within)];

#[derive(Clone, Debug)]
enum Step {
    /// A cluster with its endpoints, in some version.
    Cluster(u8, u8),
    /// Other endpoints.
    Endpoints(u8, u8),
    /// A listener with routes, in some version; `bad` ones are refused.
    Listener(u8, u8),
    /// A virtual host of a listener, that leads to a cluster; `bad` ones are refused.
    Host(u8, u8, u8, u8),
    /// A virtual host goes.
    Leave(u8, u8),
    /// A listener goes, with its routes.
    Close(u8),
    Answer,
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..5u8, 0..4u8).prop_map(|(name, version)| Step::Cluster(name, version)),
        2 => (0..5u8, 0..4u8).prop_map(|(name, version)| Step::Endpoints(name, version)),
        2 => (0..3u8, 0..4u8).prop_map(|(name, version)| Step::Listener(name, version)),
        5 => (0..3u8, 0..4u8, 0..5u8, 0..4u8).prop_map(|(name, host, to, version)| Step::Host(name, host, to, version)),
        1 => (0..3u8, 0..4u8).prop_map(|(name, host)| Step::Leave(name, host)),
        1 => (0..3u8).prop_map(Step::Close),
        8 => Just(Step::Answer),
        1 => Just(Step::Reconnect),
    ]
}

fn cluster(world: &mut World, name: u8, content: &str) -> Vec<ResourceKey> {
    let (cluster, endpoints) = (key(ResourceKind::Cluster, name), key(ResourceKind::ClusterLoadAssignment, name));
    world.set(&cluster, content);
    if !world.resources.contains_key(&endpoints) {
        world.set(&endpoints, "endpoints");
    }
    vec![cluster, endpoints]
}

fn take(world: &mut World, step: &Step) -> Vec<ResourceKey> {
    match step {
        // Clusters that routes lead to stay good: what a bad one does to its routes is not for the protocol to mend.
        Step::Cluster(name, version) => cluster(world, *name, &format!("cluster {version}")),
        Step::Endpoints(name, version) if world.resources.contains_key(&key(ResourceKind::Cluster, name)) => {
            let endpoints = key(ResourceKind::ClusterLoadAssignment, name);
            world.set(&endpoints, &format!("endpoints {version}"));
            vec![endpoints]
        }
        Step::Listener(name, version) => {
            let (listener, routes) = (key(ResourceKind::Listener, name), key(ResourceKind::RouteConfiguration, name));
            world.set(&listener, if *version == 3 { "bad listener" } else { "listener" });
            world.set(&routes, if *version == 2 { "another frame" } else { "frame" });
            vec![listener, routes]
        }
        Step::Host(name, host, to, version) if world.resources.contains_key(&key(ResourceKind::RouteConfiguration, name)) => {
            let missing = !world.resources.contains_key(&key(ResourceKind::Cluster, to));
            let mut changed = if missing { cluster(world, *to, "cluster") } else { Vec::new() };
            let host = key(ResourceKind::VirtualHost, format!("{name}/{host}"));
            world.set(&host, &if *version == 3 { "bad".to_owned() } else { format!("to {to} {version}") });
            // As the fleet says it: those that take routes whole hear of the routes.
            changed.push(if world.hosts == Hosts::Apart { host } else { host.routes().unwrap() });
            changed
        }
        Step::Leave(name, host) => {
            let host = key(ResourceKind::VirtualHost, format!("{name}/{host}"));
            world.resources.remove(&host);
            vec![if world.hosts == Hosts::Apart { host } else { host.routes().unwrap() }]
        }
        Step::Close(name) => {
            let of = |key: &ResourceKey| match key.kind {
                ResourceKind::Listener | ResourceKind::RouteConfiguration => key.name == name.to_string(),
                _ => key.routes().is_some_and(|of| of.name == name.to_string()),
            };
            world.resources.extract_if(.., |key, _| of(key)).map(|(key, _)| key).collect()
        }
        Step::Host(..) | Step::Endpoints(..) | Step::Answer | Step::Reconnect => Vec::new(),
    }
}

fn run(mode: Mode, hosts: Hosts, steps: &[Step]) -> (World, Proxy) {
    let mut world = World::new(hosts);
    let mut proxy = Proxy::connect(mode, hosts);
    for step in steps {
        let changed = take(&mut world, step);
        match step {
            Step::Answer => proxy.answer(),
            Step::Reconnect => proxy.reconnect(),
            _ => {}
        }
        proxy.exchange(&world, &changed);
    }
    for _ in 0..1000 {
        proxy.answer();
        proxy.exchange(&world, &[]);
        if proxy.inbox.is_empty() {
            break;
        }
    }
    assert!(proxy.inbox.is_empty(), "the conversation does not end");
    assert!(!proxy.stream.is_waiting());
    (world, proxy)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn all_forms_end_with_what_the_store_holds(steps in prop::collection::vec(step(), 0..80)) {
        for (mode, hosts) in FORMS {
            let (world, proxy) = run(mode, hosts, &steps);
            let listens = |name: &str| proxy.has.contains_key(&key(ResourceKind::Listener, name));
            for (key, resource) in &world.resources {
                let (has, wanted) = match key.routes() {
                    Some(routes) if hosts == Hosts::Apart => {
                        (proxy.meets.get(&routes.name).and_then(|meets| meets.get(&key.name)).cloned(), listens(&routes.name))
                    }
                    Some(_) => continue,
                    None => (proxy.has.get(key).cloned(), key.kind != ResourceKind::RouteConfiguration || listens(&key.name)),
                };
                let expected = crate::stream::View::get(&world, key);
                let bad = is_bad(resource) || expected.as_ref().is_some_and(|it| is_bad(it));
                if !bad && wanted {
                    prop_assert_eq!(has.map(|it| it.version.clone()), expected.map(|it| it.version.clone()), "{:?} {:?} {}", mode, hosts, key);
                }
            }
            // A proxy that has no routes at all, and connects anew before it has forgotten virtual hosts, remembers their names until it has some.
            let routed = proxy.has.keys().any(|key| key.kind == ResourceKind::RouteConfiguration);
            for key in proxy.has.keys().filter(|key| routed || key.kind != ResourceKind::VirtualHost) {
                prop_assert!(world.resources.contains_key(key), "{:?} {:?} keeps {}", mode, hosts, key);
            }
            for name in proxy.meets.values().flat_map(BTreeMap::keys) {
                prop_assert!(world.resources.contains_key(&key(ResourceKind::VirtualHost, name)), "{:?} {:?} meets {}", mode, hosts, name);
            }
        }
    }
}

/// A listener with virtual hosts that lead to a cluster.
fn served(hosts: Hosts, names: usize) -> World {
    let mut world = World::new(hosts);
    cluster(&mut world, 0, "cluster");
    world.set(&key(ResourceKind::Listener, 0), "listener");
    world.set(&key(ResourceKind::RouteConfiguration, 0), "frame");
    for name in 0..names {
        world.set(&key(ResourceKind::VirtualHost, format!("0/{name}.example.com")), "to 0");
    }
    world
}

/// Until nobody has anything to say.
fn settle(proxy: &mut Proxy, world: &World, changed: &[ResourceKey]) -> Vec<Feedback> {
    let mut feedback = proxy.exchange(world, changed);
    for _ in 0..1000 {
        if proxy.inbox.is_empty() {
            break;
        }
        proxy.answer();
        feedback.extend(proxy.exchange(world, &[]));
    }
    assert!(proxy.inbox.is_empty());
    feedback
}

#[test]
fn a_proxy_that_has_everything_is_told_nothing() {
    let world = served(Hosts::Apart, 3);
    let mut proxy = Proxy::connect(Mode::Delta, Hosts::Apart);
    settle(&mut proxy, &world, &[]);
    proxy.reconnect();
    proxy.bytes = 0;
    let feedback = settle(&mut proxy, &world, &[]);
    assert_eq!(proxy.bytes, 0);
    let acknowledged = feedback.into_iter().filter_map(|it| match it {
        Feedback::Acknowledged(key, version) => Some((key, version)),
        Feedback::Refused(..) => None,
    });
    let all = world.resources.iter().map(|(key, resource)| (key.clone(), Some(resource.version.clone())));
    assert_eq!(acknowledged.collect::<BTreeMap<_, Option<Version>>>(), all.collect());
}

#[test]
fn routes_wait_for_the_endpoints_of_new_clusters_but_not_for_ever() {
    let mut world = served(Hosts::Apart, 1);
    world.resources.remove(&key(ResourceKind::ClusterLoadAssignment, 0));
    world.set(&key(ResourceKind::VirtualHost, "0/0.example.com"), "leads nowhere");
    let mut proxy = Proxy::connect(Mode::Delta, Hosts::Apart);
    settle(&mut proxy, &world, &[]);
    assert!(proxy.stream.is_waiting() && !proxy.has.contains_key(&key(ResourceKind::Listener, 0)));
    proxy.stream.lose_patience();
    settle(&mut proxy, &world, &[]);
    assert_eq!(proxy.serves()["0"].virtual_hosts.len(), 1);
}

#[test]
fn of_a_refused_response_only_the_resource_at_fault_is_refused() {
    for (mode, hosts) in FORMS {
        let mut world = World::new(hosts);
        for name in 0..4 {
            world.set(&key(ResourceKind::Cluster, name), if name == 2 { "bad" } else { "cluster" });
            world.set(&key(ResourceKind::ClusterLoadAssignment, name), "endpoints");
        }
        let mut proxy = Proxy::connect(mode, hosts);
        let feedback = settle(&mut proxy, &world, &[]);
        let refused = feedback.into_iter().filter_map(|it| match it {
            Feedback::Refused(key, _, message) => Some((key, message)),
            Feedback::Acknowledged(..) => None,
        });
        let refused: BTreeMap<_, _> = refused.collect();
        assert_eq!(refused.keys().collect::<Vec<_>>(), [&key(ResourceKind::Cluster, 2)], "{mode:?}");
        assert!(refused.values().all(|message| message.starts_with("refused: ")));
        assert_eq!(proxy.has.len(), 6, "{mode:?}");
    }
}

#[test]
fn one_virtual_host_at_fault_among_many_is_found_by_halving() {
    let mut world = served(Hosts::Apart, 1000);
    let bad = key(ResourceKind::VirtualHost, "0/617.example.com");
    world.set(&bad, "bad");
    let mut proxy = Proxy::connect(Mode::Delta, Hosts::Apart);
    let (mut responses, mut refused) = (0, BTreeSet::new());
    let mut feedback = proxy.exchange(&world, &[]);
    while !proxy.inbox.is_empty() {
        responses += proxy.inbox.iter().filter(|it| it.kind == ResourceKind::VirtualHost).count();
        while !proxy.inbox.is_empty() {
            proxy.answer();
        }
        feedback.extend(proxy.exchange(&world, &[]));
    }
    for feedback in feedback {
        if let Feedback::Refused(key, ..) = feedback {
            refused.insert(key);
        }
    }
    assert_eq!(refused, BTreeSet::from([bad]));
    assert_eq!(proxy.serves()["0"].virtual_hosts.len(), 999);
    assert!(responses < 30, "{responses} responses");
}

#[test]
fn a_changed_virtual_host_costs_itself_however_many_there_are() {
    let cost = |mode, hosts, names| {
        let mut world = served(hosts, names);
        let mut proxy = Proxy::connect(mode, hosts);
        settle(&mut proxy, &world, &[]);
        proxy.bytes = 0;
        let host = key(ResourceKind::VirtualHost, "0/1.example.com");
        world.set(&host, "to 0, otherwise");
        let told = if hosts == Hosts::Apart { host } else { host.routes().unwrap() };
        settle(&mut proxy, &world, &[told]);
        proxy.bytes
    };
    assert_eq!(cost(Mode::Delta, Hosts::Apart, 2), cost(Mode::Delta, Hosts::Apart, 2000));
    assert!(cost(Mode::Delta, Hosts::Within, 2000) > 100 * cost(Mode::Delta, Hosts::Apart, 2000));
}

#[test]
fn virtual_hosts_of_a_route_configuration_come_together_and_go_with_it() {
    let mut world = served(Hosts::Apart, 30_000);
    let mut proxy = Proxy::connect(Mode::Delta, Hosts::Apart);
    let mut sizes = BTreeSet::new();
    proxy.exchange(&world, &[]);
    while !proxy.inbox.is_empty() {
        proxy.answer();
        proxy.exchange(&world, &[]);
        sizes.extend(proxy.meets.values().map(BTreeMap::len));
    }
    assert_eq!(sizes, BTreeSet::from([0, 30_000]));
    // While the listener is still there, with connections that end, its routes stay. Then the proxy forgets them.
    let gone = world.resources.extract_if(.., |key, _| matches!(key.kind, ResourceKind::RouteConfiguration | ResourceKind::VirtualHost));
    let mut changed: Vec<_> = gone.map(|(key, _)| key).collect();
    settle(&mut proxy, &world, &changed);
    assert_eq!(proxy.meets["0"].len(), 30_000);
    changed = vec![key(ResourceKind::Listener, 0)];
    world.resources.remove(&changed[0]);
    settle(&mut proxy, &world, &changed);
    assert!(proxy.meets.is_empty() && !proxy.has.keys().any(|key| key.kind == ResourceKind::VirtualHost));
}
