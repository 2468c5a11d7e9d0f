//! What is away for a while: the API server, a kind, the operator. Traffic goes on, nothing is deleted, and afterwards all goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::bench::{Case, values};
use super::manifest::{backend, everything_to, gateway, route};
use super::process::{Kept, end_lease, operator_leads};
use super::targets::serving;

/// How long the API server stays away.
const AWAY: Duration = Duration::from_secs(4);

/// Asks again and again while something goes on; every answer must be 200. Returns how many there were.
async fn traffic(case: &Case<'_>, url: &str, meanwhile: impl Future<Output = Result<()>>) -> Result<usize> {
    let done = AtomicBool::new(false);
    let client = async {
        let mut answers = 0;
        while !done.load(Ordering::Relaxed) {
            let reply = case.curl(&[url]).await?.context("a request was not answered")?;
            ensure!(reply.status == 200, "a request was answered {}: {}", reply.status, reply.body);
            answers += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(answers)
    };
    let changes = async {
        let outcome = meanwhile.await;
        done.store(true, Ordering::Relaxed);
        outcome
    };
    let (answers, outcome) = tokio::join!(client, changes);
    outcome?;
    answers
}

/// etcd and the API server are killed and come back: no request is lost, nothing in the cloud changes, and then the operator follows changes again.
pub async fn of_the_api_server_stops_no_traffic(case: &Case<'_>) -> Result<String> {
    let address = serving(case).await?;
    let url = format!("http://{address}/");
    // An operator that cannot renew its lease ends, and is started again, as in a cluster.
    let kept = [Kept::new("kube-controller-manager")?, Kept::new("kube-apiserver")?, Kept::new("etcd")?, Kept::new("operator")?];
    let [_, apiserver, etcd, _] = &kept;
    let before = held(case).await?;
    case.reset_calls().await?;
    let answers = traffic(case, &url, async {
        apiserver.stop(Signal::SIGKILL)?;
        etcd.stop(Signal::SIGKILL)?;
        tokio::time::sleep(AWAY).await;
        etcd.start()?;
        apiserver.start()?;
        case.until("the API server is back", async || Ok(case.kubectl(&["get", "--raw", "/readyz"]).await.ok())).await?;
        operator_leads(case).await
    })
    .await?;
    let calls = case.calls().await?;
    ensure!(calls.get("mutations").and_then(Value::as_u64) == Some(0), "something was changed: {calls}");
    ensure!(held(case).await? == before, "the cloud is not as it was");

    // Everything goes on: a scale-up, and a route.
    case.kubectl(&["scale", "deployment/shop", "--replicas=3"]).await?;
    case.deployments_ready(&["shop"]).await?;
    let rules = "  rules:\n  - matches:\n    - path: {type: PathPrefix, value: /late}\n    backendRefs: [{name: shop, port: 8080}]\n";
    case.apply(&route("late", "edge", rules)).await?;
    case.until("three targets and the new rule", async || {
        let targets = super::gateway::targets(&case.cloud_state().await?);
        ensure!(targets.len() == 3, "registered are {targets:?}");
        Ok(case.load_balancers().await?.iter().any(|balancer| balancer.to_string().contains("/late")).then_some(()))
    })
    .await?;
    Ok(format!("{answers} requests, none lost"))
}

/// The CRD of routes is deleted, and every route with it: that is somebody's wish, but the load balancer is the Gateway's and stays. Made again, routes work again.
pub async fn of_a_custom_resource_definition_keeps_the_load_balancer(case: &Case<'_>) -> Result<String> {
    const CRD: &str = "httproutes.gateway.networking.k8s.io";
    let address = serving(case).await?;
    let mut crd = case.get(&["crd", CRD]).await?;
    if let Some(members) = crd.as_object_mut() {
        let spec = members.get("spec").cloned().unwrap_or_default();
        let annotations = members.get("metadata").and_then(|metadata| metadata.get("annotations")).cloned().unwrap_or_default();
        members.insert("metadata".into(), json!({"name": CRD, "annotations": annotations}));
        members.insert("spec".into(), spec);
        members.remove("status");
    }
    let balancer = |state: &[Value]| state.first().and_then(|balancer| balancer.get("arn")).cloned();
    let before = balancer(&case.load_balancers().await?);
    case.kubectl(&["delete", "crd", CRD, "--timeout=60s"]).await?;
    let gone = case.curl_until(404, &[&format!("http://{address}/")]).await;
    case.kubectl_with(&["create", "-f", "-"], &crd.to_string()).await?;
    gone?;
    case.kubectl(&["wait", "--for=condition=Established", "crd", CRD, "--timeout=60s"]).await?;
    ensure!(balancer(&case.load_balancers().await?) == before, "the load balancer is another one");
    case.until("a route can be made again", async || Ok(case.apply(&route("shop", "edge", &everything_to("shop"))).await.ok())).await?;
    case.curl_until(200, &[&format!("http://{address}/")]).await?;
    ensure!(balancer(&case.load_balancers().await?) == before, "the load balancer is another one");
    Ok(String::new())
}

/// The process is killed in the midst of a creation, an update and a deletion. The next one finishes each, with nothing there twice and nothing left.
pub async fn of_the_operator_at_any_time_is_made_good(case: &Case<'_>) -> Result<String> {
    case.apply(&backend("shop", 2)).await?;
    case.deployments_ready(&["shop"]).await?;
    let before = held(case).await?;
    let operator = Kept::new("operator")?;
    // Calls take a moment, so that there is something to interrupt.
    case.set_faults(&json!([{"operation": "mutations", "kind": {"delay": {"ms": 100}}}])).await?;
    let outcome = killed(case, &operator, &before).await;
    case.set_faults(&json!([])).await?;
    operator_leads(case).await?;
    outcome
}

async fn killed(case: &Case<'_>, operator: &Kept, before: &[Value]) -> Result<String> {
    let rules = |paths: std::ops::Range<u8>| {
        let rules = paths.map(|n| {
            format!("  - matches:\n    - path: {{type: PathPrefix, value: /p{n}/}}\n    backendRefs: [{{name: shop, port: 8080}}]\n")
        });
        format!("  rules:\n{}", rules.collect::<String>())
    };
    case.reset_calls().await?;
    case.apply(&[gateway("edge"), route("shop", "edge", &rules(0..6))].concat()).await?;
    kill_after(case, operator, 4).await?;
    let address = case.programmed("edge").await?;
    case.curl_until(200, &[&format!("http://{address}/p5/")]).await?;
    has_rules(case, 6).await?;

    case.reset_calls().await?;
    case.apply(&route("shop", "edge", &rules(3..10))).await?;
    kill_after(case, operator, 3).await?;
    case.curl_until(200, &[&format!("http://{address}/p9/")]).await?;
    case.curl_until(404, &[&format!("http://{address}/p0/")]).await?;
    has_rules(case, 7).await?;

    case.reset_calls().await?;
    case.kubectl(&["delete", "gateway", "edge", "--wait=false"]).await?;
    kill_after(case, operator, 1).await?;
    case.until("the cloud is as it was", async || {
        let after = held(case).await?;
        ensure!(after == before, "{} things are there, {} were", after.len(), before.len());
        Ok(Some(()))
    })
    .await?;
    Ok(String::new())
}

/// Kills the operator as soon as it has made so many calls that change something, and lets the next one lead at once.
async fn kill_after(case: &Case<'_>, operator: &Kept, calls: u64) -> Result<()> {
    case.until("the operator is at work", async || {
        Ok((case.calls().await?.get("mutations").and_then(Value::as_u64) >= Some(calls)).then_some(()))
    })
    .await?;
    operator.kill()?;
    end_lease(case).await?;
    operator_leads(case).await
}

/// Waits until the only listener has so many rules.
async fn has_rules(case: &Case<'_>, wanted: usize) -> Result<()> {
    case.until(&format!("{wanted} rules"), async || {
        let balancers = case.load_balancers().await?;
        let [balancer] = balancers.as_slice() else { anyhow::bail!("{} load balancers", balancers.len()) };
        let rules: usize = values(balancer, "/listeners").iter().map(|listener| values(listener, "/rules").len()).sum();
        ensure!(rules == wanted, "{rules} rules");
        Ok(Some(()))
    })
    .await
}

/// All that somebody made in the cloud, without the targets, which follow the pods, and without numbers that count changes.
async fn held(case: &Case<'_>) -> Result<Vec<Value>> {
    let state = case.cloud_state().await?;
    let all = ["/load_balancers", "/target_groups", "/security_groups"].iter().flat_map(|kind| values(&state, kind));
    Ok(all
        .map(|mut object| {
            if let Some(members) = object.as_object_mut() {
                members.retain(|name, _| !["targets", "revision"].contains(&name.as_str()));
            }
            object
        })
        .collect())
}
