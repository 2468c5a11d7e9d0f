//! Traffic that moves to other pods loses nothing: make before break.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::bench::{Case, Reply};
use super::cost::count;
use super::manifest::{backend, everything_to, gateway, patient_backend, route};
use super::process::{Kept, end_lease, operator_leads};
use super::targets::{registered, serving};

/// Clients that ask at the same time.
const CLIENTS: usize = 4;
/// Requests of one client after the last change, so that the new state is seen under traffic, too.
const AFTERWARDS: usize = 20;

/// What steady traffic was answered.
#[derive(Debug, Default)]
struct Answers {
    total: usize,
    /// Requests that were not answered 200: status, or `no answer`, with the body.
    lost: Vec<String>,
    /// Who answered, in order, without repetitions of one name in a row. Per client.
    backends: Vec<Vec<String>>,
}

/// Asks without a pause while `change` goes on, and a while after it.
async fn under_traffic(case: &Case<'_>, url: &str, change: impl Future<Output = Result<()>>) -> Result<Answers> {
    let done = AtomicBool::new(false);
    let client = async || -> Result<Answers> {
        let mut answers = Answers { backends: vec![Vec::new()], ..Answers::default() };
        let mut left = AFTERWARDS;
        while left > 0 {
            if done.load(Ordering::Relaxed) {
                left -= 1;
            }
            answers.total += 1;
            match case.curl(&[url]).await? {
                Some(Reply { status: 200, body }) => {
                    let name = Reply { status: 200, body }.backend()?;
                    let seen = answers.backends.iter_mut().flatten().last();
                    if seen.is_none_or(|last| *last != name) {
                        answers.backends.iter_mut().for_each(|seen| seen.push(name.clone()));
                    }
                }
                Some(reply) => answers.lost.push(format!("{}: {}", reply.status, reply.body)),
                None => answers.lost.push("no answer".to_owned()),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(answers)
    };
    let clients = async { futures_join([client(), client(), client(), client()]).await };
    let changed = async {
        let outcome = change.await;
        done.store(true, Ordering::Relaxed);
        outcome
    };
    let (answers, changed) = tokio::join!(clients, changed);
    changed?;
    let mut all = Answers::default();
    for answers in answers {
        let answers = answers?;
        all.total += answers.total;
        all.lost.extend(answers.lost);
        all.backends.extend(answers.backends);
    }
    Ok(all)
}

/// Runs all clients at the same time.
async fn futures_join<F: Future>([a, b, c, d]: [F; CLIENTS]) -> [F::Output; CLIENTS] {
    tokio::join!(a, b, c, d).into()
}

/// Waits until requests are answered by that backend.
async fn answered_by(case: &Case<'_>, url: &str, backend: &str) -> Result<()> {
    case.until(&format!("{backend} answers"), async || {
        let Some(reply) = case.curl(&[url]).await? else { return Ok(None) };
        let name = reply.backend()?;
        ensure!(name == backend, "answered by {name}");
        Ok(Some(()))
    })
    .await
}

/// Lets registrations take so long that traffic which does not wait for them meets a target group without targets.
async fn slow_registrations(case: &Case<'_>) -> Result<()> {
    case.set_faults(&json!([{"operation": "RegisterTargets", "kind": {"delay": {"ms": 1500}}}])).await
}

/// A route's rule moves from one Service to another, whose load balancer does not know it yet: no request is lost, and none goes back.
pub async fn of_a_backend_loses_no_request(case: &Case<'_>) -> Result<String> {
    let address = serving(case).await?;
    let url = format!("http://{address}/");
    case.apply(&backend("next", 2)).await?;
    case.deployments_ready(&["next"]).await?;
    case.reset_calls().await?;
    slow_registrations(case).await?;
    let answers = under_traffic(case, &url, async {
        case.apply(&route("shop", "edge", &everything_to("next"))).await?;
        answered_by(case, &url, "next").await
    })
    .await;
    case.set_faults(&json!([])).await?;
    let answers = answers?;
    ensure!(answers.lost.is_empty(), "{} of {} requests were lost: {:?}", answers.lost.len(), answers.total, answers.lost.first());
    for seen in &answers.backends {
        ensure!(*seen == ["shop", "next"] || *seen == ["next"], "answered by turns: {seen:?}");
    }
    // The old target group is gone at last, and nothing was made twice.
    case.until("one target group is left", async || {
        let calls = case.calls().await?;
        Ok((count(&calls, "DeleteTargetGroup") == 1).then_some(()))
    })
    .await?;
    let calls = case.calls().await?;
    for (operation, times) in [("CreateTargetGroup", 1), ("RegisterTargets", 1), ("ModifyRule", 2), ("CreateRule", 0), ("DeleteRule", 0)] {
        ensure!(count(&calls, operation) == times, "{operation} was called {} times: {calls}", count(&calls, operation));
    }
    Ok(format!("{} requests; calls: {}", answers.total, calls.get("operations").unwrap_or(&Value::Null)))
}

/// A rule for a part of what another rule serves, to a new Service: until its pods are registered, the other rule goes on serving it.
pub async fn of_a_path_loses_no_request(case: &Case<'_>) -> Result<String> {
    let address = serving(case).await?;
    let url = format!("http://{address}/next/page");
    case.apply(&backend("next", 2)).await?;
    case.deployments_ready(&["next"]).await?;
    let rules = "  rules:\n  - matches:\n    - path: {type: PathPrefix, value: /next}\n    backendRefs: [{name: next, port: 8080}]\n";
    slow_registrations(case).await?;
    let answers = under_traffic(case, &url, async {
        case.apply(&route("next", "edge", rules)).await?;
        answered_by(case, &url, "next").await
    })
    .await;
    case.set_faults(&json!([])).await?;
    let answers = answers?;
    ensure!(answers.lost.is_empty(), "{} of {} requests were lost: {:?}", answers.lost.len(), answers.total, answers.lost.first());
    Ok(format!("{} requests", answers.total))
}

/// A Gateway and a backend with two pods that go on answering for so many seconds after they are told to end; its address.
async fn serving_patiently(case: &Case<'_>, seconds: u32) -> Result<String> {
    case.apply(&[patient_backend("shop", 2, seconds), gateway("edge"), route("shop", "edge", &everything_to("shop"))].concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let address = case.programmed("edge").await?;
    case.curl_until(200, &[&format!("http://{address}/")]).await?;
    registered(case).await?;
    Ok(address)
}

/// Waits until the rollout is over and the targets are its pods, and no others.
async fn rolled_out(case: &Case<'_>, before: &[String]) -> Result<()> {
    case.deployments_ready(&["shop"]).await?;
    let after = registered(case).await?;
    ensure!(after.iter().all(|pod| !before.contains(pod)), "{before:?} were replaced by {after:?}");
    Ok(())
}

/// All pods of a backend are replaced by a rollout, as fast as Kubernetes allows: no request is answered by an error.
pub async fn of_a_rollout_loses_no_request(case: &Case<'_>) -> Result<String> {
    let address = serving_patiently(case, 3).await?;
    let before = case.pod_addresses("shop").await?;
    let answers = under_traffic(case, &format!("http://{address}/"), async {
        case.kubectl(&["rollout", "restart", "deployment/shop"]).await?;
        rolled_out(case, &before).await
    })
    .await?;
    ensure!(answers.lost.is_empty(), "{} of {} requests were lost: {:?}", answers.lost.len(), answers.total, answers.lost.first());
    Ok(format!("{} requests", answers.total))
}

/// The same while the operator is killed twice in the midst of a call: once its next process waits until the lease of the killed one is over, once it takes it at once.
pub async fn of_a_rollout_without_the_operator_loses_no_request(case: &Case<'_>) -> Result<String> {
    // Far longer than it takes until somebody leads again.
    let address = serving_patiently(case, 60).await?;
    let before = case.pod_addresses("shop").await?;
    let operator = Kept::new("operator")?;
    case.set_faults(&json!([{"operation": "mutations", "kind": {"delay": {"ms": 300}}}])).await?;
    let answers = under_traffic(case, &format!("http://{address}/"), async {
        case.kubectl(&["rollout", "restart", "deployment/shop"]).await?;
        in_a_call(case).await?;
        operator.kill()?;
        operator_leads(case).await?;
        in_a_call(case).await?;
        operator.kill()?;
        end_lease(case).await?;
        operator_leads(case).await?;
        rolled_out(case, &before).await
    })
    .await;
    case.set_faults(&json!([])).await?;
    operator_leads(case).await?;
    let answers = answers?;
    ensure!(answers.lost.is_empty(), "{} of {} requests were lost: {:?}", answers.lost.len(), answers.total, answers.lost.first());
    Ok(format!("{} requests", answers.total))
}

/// Waits until a call that changes targets is under way.
async fn in_a_call(case: &Case<'_>) -> Result<()> {
    case.until("targets are being changed", async || {
        let calls = case.calls().await?;
        let mut under_way = calls.get("in_flight").and_then(Value::as_object).into_iter().flat_map(|calls| calls.keys());
        Ok(under_way.any(|name| name.ends_with(".RegisterTargets") || name.ends_with(".DeregisterTargets")).then_some(()))
    })
    .await
}
