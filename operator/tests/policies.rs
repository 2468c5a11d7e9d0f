//! BackendTLSPolicies, which an ALB cannot honour: refused aloud, and no request goes to their backends.

use portico::cluster::Cluster;
use portico_crds::{Kind, NamespacedName};
use serde_json::{Value, json};

use crate::harness::scenario::{class, gateway, pods, prefix, service};
use crate::harness::{Bench, Cost};

/// A policy for `shop/web`, with another annotation each time.
fn policy(note: &str, hostname: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: checked, namespace: shop, annotations: {{note: '{note}'}}}}
spec:
  targetRefs: [{{group: '', kind: Service, name: web}}]
  validation: {{hostname: {hostname}, wellKnownCACertificates: System}}
"
    )
}

const POLICY: (Kind, &str) = (Kind::BackendTlsPolicy, "shop/checked");

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_whose_certificate_is_to_be_checked_gets_no_requests_and_its_policy_says_why() {
    let bench = Bench::start().await;
    let base = [class(), gateway("edge"), service("web", 80), pods("web", &[1]), service("api", 80), pods("api", &[2])].concat();
    let routes = [prefix("web", "edge", "/web", "web"), prefix("api", "edge", "/api", "api")].concat();
    bench.apply(&[base, routes].concat()).await;
    let answers = async |bench: &Bench| (bench.request("a", "/web").await.0, bench.request("a", "/api").await.0);
    assert_eq!(answers(&bench).await, (200, 200));

    bench.apply(&policy("one", "web.example.com")).await;
    assert_eq!(answers(&bench).await, (500, 200));
    let says = |bench: &Bench| bench.condition(POLICY.0, POLICY.1, "/status/ancestors/0/conditions", "Accepted");
    assert_eq!(says(&bench), "False Invalid");
    let key: NamespacedName = POLICY.1.parse().unwrap();
    let read = |bench: &Bench| bench.cluster.read(POLICY.0, &key).unwrap();
    let ancestor = json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "shop", "name": "edge"});
    assert_eq!(read(&bench).pointer("/status/ancestors/0/ancestorRef"), Some(&ancestor));
    assert_eq!(bench.condition(Kind::HttpRoute, "shop/web", "/status/parents/0/conditions", "Accepted"), "False UnsupportedValue");
    assert_eq!(bench.condition(Kind::HttpRoute, "shop/api", "/status/parents/0/conditions", "Accepted"), "True Accepted");
    assert_eq!(bench.apply(&policy("two", "web.example.com")).await, Cost::nothing());

    // Somebody else's entry stays as it is, wherever it stands, while ours follows the generation.
    let foreign = json!({"controllerName": "example.com/other", "ancestorRef": ancestor, "odd": [1, {"x": null}], "conditions": []});
    let seen = read(&bench);
    let mut status = seen["status"].clone();
    status["ancestors"].as_array_mut().unwrap().insert(0, foreign.clone());
    bench.cluster.write_status(POLICY.0, &seen, status).await.unwrap();
    bench.apply(&policy("two", "b.example.com")).await;
    let ancestors = read(&bench)["status"]["ancestors"].clone();
    assert_eq!((&ancestors[0], &ancestors[1]["conditions"][0]["observedGeneration"]), (&foreign, &json!(2)), "{ancestors:#}");

    // Who takes our entry away gets it back.
    let seen = read(&bench);
    bench.cluster.write_status(POLICY.0, &seen, json!({"ancestors": [foreign]})).await.unwrap();
    bench.settle().await;
    assert_eq!(read(&bench)["status"]["ancestors"].as_array().map(Vec::len), Some(2));

    // No route leads there any more: the entry goes, and nobody else's.
    bench.delete(&[(Kind::HttpRoute, "shop/web")]).await;
    assert_eq!(read(&bench)["status"]["ancestors"], json!([foreign]));
    bench.apply(&prefix("web", "edge", "/web", "web")).await;
    assert_eq!(read(&bench)["status"]["ancestors"].as_array().map(Vec::len), Some(2));
    assert_eq!(answers(&bench).await, (500, 200));

    bench.delete(&[POLICY]).await;
    assert_eq!(answers(&bench).await, (200, 200));
    let conditions = bench.cluster.read(Kind::HttpRoute, &"shop/web".parse().unwrap()).unwrap();
    let accepted = conditions.pointer("/status/parents/0/conditions/0/message").and_then(Value::as_str);
    assert_eq!(accepted, Some("The route is accepted"));

    // Without its Gateway a policy has no ancestor.
    bench.apply(&policy("one", "web.example.com")).await;
    bench.delete(&[(Kind::Gateway, "shop/edge")]).await;
    assert_eq!(read(&bench)["status"]["ancestors"], json!([]));
    bench.end().await;
}
