//! Two replicas: one leads, the other takes over, and neither does the other's work again.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::bench::Case;
use super::cost::count;
use super::manifest::route;
use super::process::{Kept, Replica, metric, operator_leads};
use super::targets::serving;

/// The leader is asked to end, is killed, and is frozen in the midst of its work until its lease is over: each time the other one takes over, and
/// what nobody changed costs nothing; what somebody changed is done once.
pub async fn passes_on_and_costs_nothing(case: &Case<'_>) -> Result<String> {
    let address = serving(case).await?;
    // The lab's own operator makes room for two of ours.
    let own = Kept::new("operator")?;
    let program = own.program()?;
    own.stop(Signal::SIGTERM)?;
    let outcome = replicas(case, &program, &address).await;
    own.start()?;
    operator_leads(case).await?;
    outcome
}

type Program = (std::path::PathBuf, std::collections::BTreeMap<String, String>);

async fn replicas(case: &Case<'_>, program: &Program, address: &str) -> Result<String> {
    let mut first = Replica::start(case, program, 9411).await?;
    first.leads(case).await?;
    let mut second = Replica::start(case, program, 9412).await?;
    ensure!(metric(&second.address, "portico_leader").await? == 0, "two leaders");

    // Asked to end, it passes the lease on.
    case.reset_calls().await?;
    first.signal(Signal::SIGTERM)?;
    ensure!(first.ended().await?, "the leader did not end well");
    second.leads(case).await?;
    nothing_changed(case, "after an orderly handover").await?;
    one_rule(case, address, "one").await?;

    // Killed, it is missed when its lease is over.
    let mut first = Replica::start(case, program, 9413).await?;
    case.reset_calls().await?;
    second.signal(Signal::SIGKILL)?;
    second.ended().await?;
    first.leads(case).await?;
    nothing_changed(case, "after a kill").await?;
    one_rule(case, address, "two").await?;

    // Frozen while a call is under way, it comes back when another has long done its work: the answer waits for it, and no further call may follow.
    let second = Replica::start(case, program, 9414).await?;
    case.set_faults(&json!([{"operation": "mutations", "kind": {"delay": {"ms": 500}}}])).await?;
    case.reset_calls().await?;
    let paths: Vec<String> = (0..12)
        .map(|n| {
            format!("  - matches:\n    - path: {{type: PathPrefix, value: /many/{n}}}\n    backendRefs: [{{name: shop, port: 8080}}]\n")
        })
        .collect();
    case.apply(&route("many", "edge", &format!("  rules:\n{}", paths.concat()))).await?;
    let frozen_at = freeze_in_a_call(case, &first).await?;
    ensure!(frozen_at < 11, "it was all but done before it was frozen");
    case.set_faults(&json!([])).await?;
    second.leads(case).await?;
    case.until("the other one finishes the work", async || {
        let state = case.load_balancers().await?;
        let rules: usize = (0..12).filter(|n| state.iter().any(|balancer| balancer.to_string().contains(&format!("/many/{n}\"")))).count();
        ensure!(rules == 12, "{rules} rules are there");
        Ok(Some(()))
    })
    .await?;
    let calls = case.calls().await?;
    ensure!(count(&calls, "CreateRule") <= 13, "rules were made twice: {calls}");
    case.reset_calls().await?;
    first.signal(Signal::SIGCONT)?;
    ensure!(!first.ended().await?, "a replica that lost its lease ends as if all were well");
    nothing_changed(case, "by a leader that was frozen").await?;
    one_rule(case, address, "three").await?;
    second.signal(Signal::SIGTERM)?;
    Ok(format!("frozen in a call after {frozen_at} of 12"))
}

/// Freezes the replica while a call of its that makes a rule is under way, after at least two; how many calls had been carried out before.
async fn freeze_in_a_call(case: &Case<'_>, replica: &Replica) -> Result<u64> {
    case.until("the leader is frozen in a call", async || {
        let calls = case.calls().await?;
        if mutations(&calls) < 2 || in_flight(&calls) == 0 {
            return Ok(None);
        }
        replica.signal(Signal::SIGSTOP)?;
        // It is only now, when it cannot go on, that what is in flight says where it was stopped.
        let calls = case.calls().await?;
        if in_flight(&calls) > 0 {
            return Ok(Some(mutations(&calls)));
        }
        replica.signal(Signal::SIGCONT)?;
        Ok(None)
    })
    .await
}

/// How many calls that make a rule are under way.
fn in_flight(calls: &Value) -> u64 {
    calls.pointer("/in_flight/elasticloadbalancing.CreateRule").and_then(Value::as_u64).unwrap_or_default()
}

fn mutations(calls: &Value) -> u64 {
    calls.get("mutations").and_then(Value::as_u64).unwrap_or_default()
}

async fn nothing_changed(case: &Case<'_>, when: &str) -> Result<()> {
    let calls = case
        .until("no call is under way", async || {
            let calls = case.calls().await?;
            Ok((calls.get("in_flight") == Some(&json!({}))).then_some(calls))
        })
        .await?;
    ensure!(mutations(&calls) == 0, "something was changed {when}: {calls}");
    Ok(())
}

/// A new rule is made, once, and serves.
async fn one_rule(case: &Case<'_>, address: &str, name: &str) -> Result<()> {
    case.reset_calls().await?;
    let rules = format!(
        "  rules:\n  - matches:\n    - path: {{type: PathPrefix, value: /{name}}}\n      headers: [{{name: x-probe, value: {name}}}]\n    backendRefs: [{{name: shop, port: 8080}}]\n"
    );
    case.apply(&route(name, "edge", &rules)).await?;
    case.until("the rule is there", async || {
        Ok(case
            .load_balancers()
            .await?
            .iter()
            .any(|balancer| balancer.to_string().contains("x-probe") && balancer.to_string().contains(&format!("/{name}")))
            .then_some(()))
    })
    .await?;
    case.curl_until(200, &["-H", &format!("x-probe: {name}"), &format!("http://{address}/{name}")]).await?;
    let calls = case.calls().await?;
    ensure!(count(&calls, "CreateRule") == 1 && mutations(&calls) == 1, "one rule cost {calls}");
    Ok(())
}
