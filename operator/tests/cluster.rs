//! The commands against a cluster.

use portico_cloud::{Cloud, CloudConfig};
use portico_crds::{Kind, NamespacedName};
use serde_json::{Value, json};

use crate::apiserver::ApiServer;
use crate::harness::shop;
use crate::process::{Operator, portico, until};

async fn cloud() -> Cloud {
    Cloud::start(CloudConfig::default()).await.unwrap()
}

/// Calls of the cloud that change something.
fn mutations(cloud: &Cloud) -> Vec<String> {
    cloud.calls().operations.into_keys().filter(|name| !name.contains(".Describe")).collect()
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

async fn programmed(server: &ApiServer) {
    let key = NamespacedName::new("shop", "edge");
    until("the Gateway is programmed", async || {
        let gateway = server.read(Kind::Gateway, &key)?;
        let conditions = gateway.pointer("/status/conditions")?.as_array()?.clone();
        conditions.iter().any(|it| it["type"] == "Programmed" && it["status"] == "True").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_plan_reads_a_cluster_by_pages_and_changes_nothing() {
    let (server, cloud) = (ApiServer::start(Kind::ALL).await, cloud().await);
    server.apply(&shop("a", &["198.19.0.2"]));
    for number in 0..1100 {
        server.put(Kind::Service, json!({"metadata": {"name": format!("s{number}"), "namespace": "other"}, "spec": {}}));
    }
    let (out, err, code) = portico(&server, &cloud, &["plan", "--output", "json", "--detailed-exitcode"]).await;
    assert_eq!((err.as_str(), code), ("", Some(2)), "{out}");
    let plan = read(&out);
    assert_eq!(plan["source"], json!({"objects": "cluster", "observed": "cloud", "clusterId": "cluster-uid"}));
    assert!(plan["summary"]["create"].as_u64().unwrap() > 3, "{plan}");
    // Proof that nothing was changed: no call of the cloud and no request to the API server but reads.
    assert_eq!(mutations(&cloud), Vec::<String>::new());
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.starts_with("GET ") && !request.contains("watch=")), "{requests:?}");
    let pages = requests.iter().filter(|request| request.starts_with("GET /api/v1/services?")).count();
    assert_eq!(pages, 3, "{requests:?}");
    cloud.shutdown().await;
}

#[tokio::test]
async fn plan_and_run_agree_and_an_overlay_shows_a_change_before_it_happens() {
    let (server, cloud) = (ApiServer::start(Kind::ALL).await, cloud().await);
    server.apply(&shop("a", &["198.19.0.2"]));
    let before = read(&portico(&server, &cloud, &["plan", "--output", "json"]).await.0);
    let operator = Operator::start(&server, &cloud, &[]).await;
    programmed(&server).await;
    // What was planned is what was called.
    let calls = cloud.calls().operations;
    for change in before.pointer("/units/0/changes").and_then(Value::as_array).unwrap() {
        let name = change["call"].as_str().unwrap();
        assert!(calls.keys().any(|call| call.ends_with(&format!(".{name}"))), "{name} is not among {calls:?}");
    }
    let (out, err, code) = portico(&server, &cloud, &["plan", "--detailed-exitcode", "--strict"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(out, "As they should be: Gateway shop/edge\n\nPlan: no changes.\n");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("route.yaml");
    let more = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: web, namespace: shop}\nspec:\n  \
                parentRefs: [{name: edge}]\n  rules: [{matches: [{path: {value: /new}}], backendRefs: [{name: web, port: 80}]}]\n";
    std::fs::write(&file, more).unwrap();
    let file = file.display().to_string();
    let overlay = ["plan", "-f", &file, "--overlay", "--output", "json", "--detailed-exitcode", "--gateway", "shop/edge"];
    let (out, err, code) = portico(&server, &cloud, &overlay).await;
    assert_eq!((err.as_str(), code), ("", Some(2)), "{out}");
    let plan = read(&out);
    assert_eq!(plan["source"]["objects"], "cluster and files");
    let calls: Vec<_> = plan["units"][0]["changes"].as_array().unwrap().iter().map(|change| change["call"].as_str().unwrap()).collect();
    assert!(calls.contains(&"CreateRule") && !calls.contains(&"CreateLoadBalancer"), "{calls:?}");
    assert_eq!(operator.end().await, Some(0));
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_plan_tells_what_it_may_not_read() {
    let (server, cloud) = (ApiServer::start(Kind::ALL).await, cloud().await);
    server.apply(&shop("a", &["198.19.0.2"]));
    server.forbid(Kind::Secret);
    let (out, _, code) = portico(&server, &cloud, &["plan", "--observed", "none"]).await;
    assert!(code == Some(0) && out.contains("! Secret objects"), "{out}");
    server.forbid(Kind::HttpRoute);
    let (_, err, code) = portico(&server, &cloud, &["plan", "--observed", "none"]).await;
    assert!(code == Some(1) && err.contains("HTTPRoute objects may not be listed") && err.contains("--only rbac"), "{err}");
    let (_, err, _) = portico(&server, &cloud, &["plan", "--gateway", "shop/nobody"]).await;
    assert!(err.contains("may not be listed") || err.contains("shop/nobody is no Gateway"), "{err}");
    cloud.shutdown().await;
}
