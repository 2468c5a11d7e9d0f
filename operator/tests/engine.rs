//! The pipeline against the embedded cloud: what events mean, and that everything goes when the Gateway goes.

use portico_crds::{Kind, NamespacedName};
use serde_json::{Value, json};

use crate::harness::scenario::shop;
use crate::harness::{Bench, Cost, calls};

#[tokio::test]
async fn what_means_nothing_costs_nothing_and_a_new_endpoint_one_call() {
    let bench = Bench::start().await;
    bench.apply(&shop("a", &["198.19.0.2"])).await;
    assert_eq!(bench.condition(Kind::Gateway, "shop/edge", "/status/conditions", "Programmed"), "True Programmed");
    assert_eq!(bench.condition(Kind::HttpRoute, "shop/web", "/status/parents/0/conditions", "Accepted"), "True Accepted");
    assert_eq!(bench.condition(Kind::GatewayClass, "alb", "/status/conditions", "Accepted"), "True Accepted");

    // The same again, and a label.
    assert_eq!(bench.apply(&shop("a", &["198.19.0.2"])).await, Cost::nothing());
    assert_eq!(bench.apply(&shop("b", &["198.19.0.2"])).await, Cost::nothing());
    // A whole pass over an unchanged unit.
    let pass = bench.cost(async |bench| bench.process().operator.concern_everything()).await;
    assert_eq!(pass, Cost::nothing());

    let scaled = bench.apply(&shop("b", &["198.19.0.2", "198.19.0.3"])).await;
    assert_eq!(scaled.mutations, calls([("RegisterTargets", 1)]));
    bench.end().await;
}

#[tokio::test]
async fn a_deleted_gateway_leaves_nothing_behind() {
    let bench = Bench::start().await;
    let before = bench.dump().await["cloud"].clone();
    bench.apply(&shop("a", &["198.19.0.2"])).await;
    assert_eq!(bench.cloud.load_balancers().len(), 1);
    let gateway = NamespacedName::new("shop", "edge");
    let held = bench.cluster.read(Kind::Gateway, &gateway).unwrap();
    assert_eq!(held.pointer("/metadata/finalizers"), Some(&json!(["portico.dev/load-balancer"])));

    bench.delete(&[(Kind::Gateway, "shop/edge")]).await;
    assert_eq!(bench.cluster.read(Kind::Gateway, &gateway), None);
    assert_eq!(bench.dump().await["cloud"], before);
    let route = bench.cluster.read(Kind::HttpRoute, &NamespacedName::new("shop", "web")).unwrap();
    assert_eq!(route.pointer("/status/parents"), Some(&json!([])));
    let class = bench.cluster.read(Kind::GatewayClass, &NamespacedName::new("", "alb")).unwrap();
    assert_eq!(class.pointer("/metadata/finalizers"), Some(&json!([])));
    bench.end().await;
}

#[tokio::test]
async fn entries_and_conditions_of_others_survive() {
    let bench = Bench::start().await;
    bench.apply(&shop("a", &["198.19.0.2"])).await;
    let key = NamespacedName::new("shop", "web");
    let foreign = json!({"controllerName": "example.com/other", "parentRef": {"name": "theirs"}, "odd": [1, {"x": null}],
        "conditions": [{"type": "Accepted", "status": "True", "reason": "Theirs", "message": "", "lastTransitionTime": "2020-01-01T00:00:00Z"}]});
    let route = bench.cluster.read(Kind::HttpRoute, &key).unwrap();
    let mut status = route.get("status").cloned().unwrap();
    status.pointer_mut("/parents").and_then(Value::as_array_mut).unwrap().insert(0, foreign.clone());
    portico::cluster::Cluster::write_status(bench.cluster.as_ref(), Kind::HttpRoute, &route, status).await.unwrap();
    // A new generation: our entry changes, theirs stays where it is.
    let changed = shop("a", &["198.19.0.2"])
        .replace("rules: [{backendRefs: [{name: web, port: 80}]}]", "rules: [{backendRefs: [{name: gone, port: 80}]}]");
    bench.apply(&changed).await;
    let route = bench.cluster.read(Kind::HttpRoute, &key).unwrap();
    assert_eq!(route.pointer("/status/parents/0"), Some(&foreign));
    assert_eq!(bench.condition(Kind::HttpRoute, "shop/web", "/status/parents/1/conditions", "ResolvedRefs"), "False BackendNotFound");
    bench.end().await;
}
