//! What events cost, counted at the cloud and at the cluster, and what the sweep finds at what price.

use portico::cluster::Cluster;
use portico::watch::{Seen, WATCHED};
use portico_crds::{Kind, NamespacedName};
use serde_json::{Value, json};

use crate::harness::scenario::{class, gateway, pods, prefix, service};
use crate::harness::{Bench, Cost, calls, scenario};

#[tokio::test]
async fn what_changes_no_plan_costs_no_call_and_no_write() {
    let mut bench = Bench::start().await;
    bench.apply(&scenario::created()).await;
    let key = |key: &str| key.parse::<NamespacedName>().unwrap();
    let edit = |kind: Kind, name: &str, pointer: &str, field: &str, value: Value| {
        let mut object = bench.cluster.read(kind, &key(name)).unwrap();
        object.pointer_mut(pointer).and_then(Value::as_object_mut).unwrap().insert(field.into(), value);
        (kind, object)
    };
    let odd = json!({"addresses": ["198.19.0.9"], "conditions": {"ready": false}});
    let mut slice = edit(Kind::EndpointSlice, "shop/web-1", "/metadata", "annotations", json!({"x": "y"}));
    slice.1["endpoints"].as_array_mut().unwrap().reverse();
    let mut unready =
        edit(Kind::EndpointSlice, "shop/api-1", "/metadata", "labels", json!({"kubernetes.io/service-name": "api", "x": "y"}));
    unready.1["endpoints"].as_array_mut().unwrap().push(odd);
    let events = [
        ("a label on a route", edit(Kind::HttpRoute, "shop/store", "/metadata", "labels", json!({"colour": "blue"}))),
        ("an annotation on a Gateway", edit(Kind::Gateway, "shop/edge", "/metadata", "annotations", json!({"a": "b"}))),
        ("a label on a Service", edit(Kind::Service, "shop/web", "/metadata", "labels", json!({"a": "b"}))),
        ("a label on a namespace", edit(Kind::Namespace, "shop", "/metadata", "labels", json!({"a": "b"}))),
        ("a slice whose endpoints stand in another order", slice),
        ("an endpoint that is not ready", unready),
        (
            "a route of nobody's",
            (
                Kind::HttpRoute,
                json!({"metadata": {"name": "stray", "namespace": "shop"}, "spec": {"parentRefs": [{"name": "nobody"}], "rules": []}}),
            ),
        ),
        (
            "a Service that nothing names",
            (Kind::Service, json!({"metadata": {"name": "unused", "namespace": "shop"}, "spec": {"ports": [{"port": 80}]}})),
        ),
    ];
    for (name, event) in events {
        let cost = bench.cost(async |bench| bench.put(vec![event])).await;
        assert_eq!(cost, Cost::nothing(), "{name}");
    }

    // Somebody else's condition: one write, which is theirs.
    let status_only = bench
        .cost(async |bench| {
            let route = bench.cluster.read(Kind::HttpRoute, &key("shop/store")).unwrap();
            let mut status = route["status"].clone();
            let theirs = json!({"controllerName": "example.com/other", "parentRef": {"name": "theirs"}, "conditions": []});
            status["parents"].as_array_mut().unwrap().push(theirs);
            bench.cluster.write_status(Kind::HttpRoute, &route, status).await.unwrap();
        })
        .await;
    assert_eq!(status_only, Cost { status_writes: 1, ..Cost::nothing() }, "a status-only change");

    // Every watch lists afresh, as after an API server's restart.
    let relist = bench
        .cost(async |bench| {
            for kind in WATCHED {
                bench.process().see(kind, Seen::ListBegins);
                for key in bench.cluster.keys(kind) {
                    bench.process().see(kind, Seen::Listed(bench.cluster.read(kind, &key).unwrap()));
                }
                bench.process().see(kind, Seen::ListEnds);
            }
        })
        .await;
    assert_eq!(relist, Cost::nothing(), "a relist");

    // A new operator on a cloud that is as it should be reads, and changes nothing.
    let restart = bench.restart().await;
    assert_eq!(restart, Cost { reads: restart.reads.clone(), ..Cost::nothing() }, "a restart");
    bench.end().await;
}

/// A Gateway with two Services and three routes.
fn shop(gateway: &str) -> String {
    let (web, api) = (format!("{gateway}-web"), format!("{gateway}-api"));
    let routes = [("a", &web), ("b", &api), ("c", &web)];
    let routes = routes.map(|(path, service)| prefix(&format!("{gateway}-{path}"), gateway, &format!("/{path}"), service)).concat();
    [self::gateway(gateway), service(&web, 80), pods(&web, &[1, 2]), service(&api, 80), pods(&api, &[3]), routes].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_reads_what_changes_often_of_each_gateway_and_lists_the_rest() {
    let mut totals = Vec::new();
    for gateways in [1, 20] {
        let mut bench = Bench::start().await;
        let manifests: Vec<_> = (0..gateways).map(|n| shop(&format!("edge{n}"))).collect();
        bench.apply(&[class(), manifests.concat()].concat()).await;
        let restart = bench.restart().await;
        assert_eq!(restart, Cost { reads: restart.reads.clone(), ..Cost::nothing() }, "a restart changes nothing");
        // Of each Gateway: its listeners, the rules of its one listener, and who is in its two target groups.
        let each = calls([("DescribeListeners", gateways), ("DescribeRules", gateways), ("DescribeTargetHealth", 2 * gateways)]);
        let mut listings = restart.reads.clone();
        listings.retain(|name, _| !each.contains_key(name));
        let mut own = restart.reads.clone();
        own.retain(|name, _| each.contains_key(name));
        assert_eq!(own, each, "{gateways} Gateways");
        // Tags are told of 20 resources a call.
        let tags = gateways.div_ceil(20) + (2 * gateways).div_ceil(20);
        let wanted = [
            ("DescribeAccountLimits", 1),
            ("DescribeLoadBalancers", 1),
            ("DescribeSecurityGroups", 3),
            ("DescribeSubnets", 1),
            ("DescribeTags", tags),
            ("DescribeTargetGroups", 1),
            ("ListCertificates", 1),
        ];
        assert_eq!(listings, calls(wanted), "{gateways} Gateways");
        totals.push(restart.reads.values().sum::<u64>());

        // What it has not read, it knows nevertheless: a change costs what it always costs.
        let cost = bench.apply(&prefix("more", "edge0", "/a-longer-path", "edge0-web")).await;
        assert_eq!((cost.mutations, cost.reads), (calls([("CreateRule", 1)]), calls([])), "{gateways} Gateways");
        bench.end().await;
    }
    let more = totals[1] - totals[0];
    assert!(more * 100 <= 19 * 425, "19 Gateways more cost {more} reads more: {totals:?}");
}

#[tokio::test]
async fn a_rule_inserted_above_eighty_costs_one_call() {
    let bench = Bench::start().await;
    let mut manifests = vec![class(), gateway("edge"), service("web", 80), pods("web", &[1])];
    manifests.extend((0..80).map(|n| prefix(&format!("r{n}"), "edge", &format!("/p{n:02}"), "web")));
    let created = bench.apply(&manifests.concat()).await;
    assert_eq!(created.mutations["CreateRule"], 80);

    // Longer paths come first, and then the names of routes count.
    for (name, path) in [("above", "/a-path-longer-than-all-others"), ("r40a", "/q40"), ("below", "/")] {
        let cost = bench.apply(&prefix(name, "edge", path, "web")).await;
        assert_eq!(cost.mutations, calls([("CreateRule", 1)]), "{name}");
    }
    let cost = bench
        .apply(&[service("new", 80), pods("new", &[2]), prefix("new", "edge", "/the-longest-path-of-all-of-them", "new")].concat())
        .await;
    let mut mutations = cost.mutations.clone();
    // A target group's creation takes no attributes.
    mutations.remove("ModifyTargetGroupAttributes");
    assert_eq!(mutations, calls([("CreateTargetGroup", 1), ("CreateRule", 1), ("RegisterTargets", 1)]), "{cost:?}");
    bench.end().await;
}

#[tokio::test]
async fn a_match_that_joins_others_or_leaves_them_costs_one_call() {
    let bench = Bench::start().await;
    let web = |paths: &[&str]| {
        let matches: Vec<_> = paths.iter().map(|path| format!("{{path: {{value: {path}}}}}")).collect();
        let rest = format!("  rules: [{{matches: [{}], backendRefs: [{{name: web, port: 80}}]}}]", matches.join(", "));
        scenario::route("web", "{name: edge}", &rest)
    };
    let created = bench.apply(&[class(), gateway("edge"), service("web", 80), pods("web", &[1]), web(&["/a", "/b"])].concat()).await;
    assert_eq!(created.mutations["CreateRule"], 1, "{created:?}");
    for paths in [&["/a", "/b", "/c"][..], &["/a", "/c", "/a-new-one", "/and-another-one", "/more"], &["/c"]] {
        let cost = bench.apply(&web(paths)).await;
        assert_eq!(cost.mutations, calls([("ModifyRule", 1)]), "{paths:?}");
        for path in paths {
            assert_eq!(bench.request("a.example.com", path).await.0, 200, "{path}");
        }
        assert_eq!(bench.request("a.example.com", "/b").await.0 == 200, paths.contains(&"/b"));
    }
    bench.end().await;
}

#[tokio::test]
async fn new_tags_of_the_profile_reach_the_listeners() {
    let bench = Bench::start().await;
    bench.apply(&scenario::created()).await;
    bench.apply(&scenario::updated()).await;
    let state = bench.dump().await;
    let balancers = state.pointer("/cloud/load_balancers").and_then(Value::as_array).unwrap();
    let listeners: Vec<_> = balancers.iter().flat_map(|balancer| balancer["listeners"].as_array().unwrap()).collect();
    assert_eq!(listeners.len(), 3);
    assert!(listeners.iter().all(|listener| listener["tags"]["team"] == "two"), "{listeners:#?}");
    bench.end().await;
}
