//! The commands against a cluster.

use portico_cloud::{Cloud, CloudConfig};
use portico_crds::{Kind, NamespacedName};
use serde_json::{Value, json};

use crate::apiserver::ApiServer;
use crate::harness::scenario::shop;
use crate::process::{Operator, portico, until};

async fn cloud() -> Cloud {
    Cloud::start(CloudConfig::default()).await.unwrap()
}

/// Calls of the cloud that change something.
fn mutations(cloud: &Cloud) -> Vec<String> {
    let reads = |name: &str| name.contains(".Describe") || name.contains(".List");
    cloud.calls().operations.into_keys().filter(|name| !reads(name)).collect()
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
    assert_eq!(calls, ["ModifyRule"], "the rule goes on forwarding to the same Service");
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

#[tokio::test]
async fn an_operator_starts_before_the_crds_and_goes_on_when_they_come() {
    let kubernetes = [Kind::Namespace, Kind::Service, Kind::EndpointSlice, Kind::Secret, Kind::ConfigMap, Kind::CustomResourceDefinition];
    let (server, cloud) = (ApiServer::start(kubernetes).await, cloud().await);
    let operator = Operator::start(&server, &cloud, &[]).await;
    let missing = "not ready: waiting for the Gateway API CRDs: GatewayClass, Gateway, HTTPRoute\n";
    until("readiness names what is missing", async || (operator.get("/readyz").await == (503, missing.to_owned())).then_some(())).await;
    assert_eq!(operator.get("/healthz").await.0, 200);
    // Those of an old bundle, without ListenerSets.
    for kind in [Kind::GatewayClass, Kind::Gateway, Kind::HttpRoute, Kind::ReferenceGrant, Kind::LoadBalancerProfile] {
        server.install(kind);
    }
    server.apply(&shop("a", &["198.19.0.2"]));
    operator.ready().await;
    programmed(&server).await;
    // A kind that comes later is watched.
    server.install(Kind::ListenerSet);
    let watched = "GET /apis/gateway.networking.k8s.io/v1/listenersets";
    until("ListenerSets are watched", async || server.requests().iter().any(|it| it.starts_with(watched)).then_some(())).await;
    // Every line of the log is an object with the fields that the documentation names.
    let log = operator.log();
    assert!(log.iter().all(|line| line.get("level").is_some() && line.get("message").is_some()), "{log:?}");
    assert!(log.iter().any(|line| line.get("missing").is_some()), "{log:?}");
    assert!(log.iter().any(|line| line.get("unit") == Some(&json!("gateway/shop/edge"))), "{log:?}");
    assert_eq!(operator.end().await, Some(0));
    cloud.shutdown().await;
}

#[tokio::test]
async fn events_tell_a_person_what_matters_and_a_restart_repeats_nothing() {
    let (server, cloud) = (ApiServer::start(Kind::ALL).await, cloud().await);
    let mirror = "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}}}], backendRefs: [{name: web, port: 80}]}, \
                  {matches: [{path: {value: /a}}], backendRefs: [{name: web, port: 80}]}]";
    server.apply(&shop("a", &["198.19.0.2"]).replace("rules: [{backendRefs: [{name: web, port: 80}]}]", mirror));
    let operator = Operator::start(&server, &cloud, &[]).await;
    programmed(&server).await;
    let told = |reason: &str| {
        let found = server.events().into_iter().find(|event| event["reason"] == reason);
        async move { found }
    };
    let served = until("an Event that it serves", async || told("Programmed").await).await;
    assert_eq!(served.pointer("/regarding/name"), Some(&json!("edge")));
    assert_eq!(served.pointer("/reportingController"), Some(&json!("portico.dev/gateway-controller")));
    let refused = until("an Event of the refusal", async || told("Refused").await).await;
    assert_eq!(refused.pointer("/regarding/kind"), Some(&json!("HTTPRoute")));
    assert!(refused["note"].as_str().unwrap().contains("does not mirror"), "{refused}");
    until("the route's status says so too", async || {
        server.read(Kind::HttpRoute, &NamespacedName::new("shop", "web"))?.to_string().contains("does not mirror").then_some(())
    })
    .await;
    let metrics = operator.get("/metrics").await.1;
    assert!(metrics.contains("portico_load_balancers{state=\"active\"} 1"), "{metrics}");
    assert!(metrics.contains("portico_refusals{cause=\"unsupported\"} 1"), "{metrics}");
    assert_eq!(operator.end().await, Some(0));

    let before = server.events().len();
    let operator = Operator::start(&server, &cloud, &[]).await;
    operator.ready().await;
    until("a pass after the restart", async || {
        operator.get("/metrics").await.1.contains("portico_load_balancers{state=\"active\"} 1").then_some(())
    })
    .await;
    assert_eq!(operator.end().await, Some(0));
    let after = server.events();
    assert_eq!(after.len(), before, "{after:?}");
    cloud.shutdown().await;
}
