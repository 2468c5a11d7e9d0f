//! Targets follow the pods.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::bench::{Case, values};
use super::cost::count;
use super::gateway::targets;
use super::manifest::{backend, everything_to, gateway, route};

/// A Gateway with two pods that serves and whose targets are registered; its address.
pub async fn serving(case: &Case<'_>) -> Result<String> {
    case.apply(&[backend("shop", 2), gateway("edge"), route("shop", "edge", &everything_to("shop"))].concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let address = case.programmed("edge").await?;
    case.curl_until(200, &[&format!("http://{address}/")]).await?;
    registered(case).await?;
    Ok(address)
}

/// Waits until exactly the pods are registered.
pub async fn registered(case: &Case<'_>) -> Result<Vec<String>> {
    case.until("exactly the pods are registered", async || {
        let (pods, found) = (case.pod_addresses("shop").await?, targets(&case.cloud_state().await?));
        ensure!(found == pods, "registered are {found:?}, the pods are {pods:?}");
        Ok(Some(pods))
    })
    .await
}

/// A scale-up from 2 to 3 costs exactly one RegisterTargets, and nothing else is changed.
pub async fn follow_a_scale_up_in_one_call(case: &Case<'_>) -> Result<String> {
    serving(case).await?;
    case.reset_calls().await?;
    case.kubectl(&["scale", "deployment/shop", "--replicas=3"]).await?;
    case.deployments_ready(&["shop"]).await?;
    let pods = registered(case).await?;
    ensure!(pods.len() == 3, "{} pods", pods.len());
    let calls = case.calls().await?;
    let register = count(&calls, "RegisterTargets");
    let mutations = calls.get("mutations").and_then(Value::as_u64);
    ensure!(register == 1, "RegisterTargets was called {register} times: {calls}");
    ensure!(mutations == Some(1), "{mutations:?} mutations: {calls}");
    Ok(format!("calls: {}", calls.get("operations").unwrap_or(&Value::Null)))
}

/// A scale-down takes targets out, and requests go on being answered.
pub async fn follow_a_scale_down(case: &Case<'_>) -> Result<String> {
    let address = serving(case).await?;
    case.kubectl(&["scale", "deployment/shop", "--replicas=1"]).await?;
    case.until("one target is left", async || {
        let found = targets(&case.cloud_state().await?);
        ensure!(found.len() == 1, "registered are {found:?}");
        Ok(Some(()))
    })
    .await?;
    let left = registered(case).await?;
    ensure!(left.len() == 1, "{} pods", left.len());
    case.curl_until(200, &[&format!("http://{address}/")]).await?;
    Ok(String::new())
}

/// Security groups are enforced: without the rule towards the pods, targets time out and requests fail; with it, they serve.
pub async fn time_out_without_the_security_group_rule(case: &Case<'_>) -> Result<String> {
    let address = serving(case).await?;
    let url = format!("http://{address}/");
    // The rules that let the load balancer's group into the nodes' group, whoever wrote them.
    let taken = case
        .boto3(
            "balancer = elb.describe_load_balancers()['LoadBalancers'][0]
ours = set(balancer['SecurityGroups'])
result = []
for group in ec2.describe_security_groups()['SecurityGroups']:
    if group['GroupId'] in ours:
        continue
    rules = [p for p in group['IpPermissions'] if any(pair.get('GroupId') in ours for pair in p.get('UserIdGroupPairs', []))]
    if rules:
        ec2.revoke_security_group_ingress(GroupId=group['GroupId'], IpPermissions=rules)
        result.append({'group': group['GroupId'], 'rules': rules})",
        )
        .await?;
    ensure!(taken.as_array().is_some_and(|taken| !taken.is_empty()), "no rule lets the load balancer reach the pods");
    case.until("the targets are Target.Timeout", async || {
        let found = health(case).await?;
        ensure!(!found.is_empty() && found.iter().all(|reason| reason == "Target.Timeout"), "health: {found:?}");
        Ok(Some(()))
    })
    .await?;
    // With no healthy target AWS lets requests through to all of them, where they now wait in vain.
    case.until("curl fails", async || {
        let reply = case.curl(&["--max-time", "2", &url]).await?;
        Ok(reply.is_none_or(|reply| reply.status >= 500).then_some(()))
    })
    .await?;

    let text = serde_json::to_string(&taken)?;
    case.boto3(&format!(
        "for entry in json.loads({text:?}):
    ec2.authorize_security_group_ingress(GroupId=entry['group'], IpPermissions=entry['rules'])"
    ))
    .await
    .context("cannot put the rule back")?;
    case.until("the targets are healthy again", async || {
        let found = health(case).await?;
        ensure!(!found.is_empty() && found.iter().all(|reason| reason == "healthy"), "health: {found:?}");
        Ok(Some(()))
    })
    .await?;
    // Connections that were dropped meanwhile must not linger: the next request is answered.
    tokio::time::timeout(Duration::from_secs(60), case.curl_until(200, &[&url])).await.context("no answer")??;
    Ok(String::new())
}

/// Of every registered target: `healthy`, or the reason why not.
async fn health(case: &Case<'_>) -> Result<Vec<String>> {
    let descriptions = case
        .boto3(
            "result = [d['TargetHealth'] for g in elb.describe_target_groups()['TargetGroups']
          for d in elb.describe_target_health(TargetGroupArn=g['TargetGroupArn'])['TargetHealthDescriptions']]",
        )
        .await?;
    let health = values(&descriptions, "");
    let word = |health: &Value| {
        let field = |name: &str| health.get(name).and_then(Value::as_str).map(str::to_owned);
        if field("State").as_deref() == Some("healthy") { field("State") } else { field("Reason").or_else(|| field("State")) }
    };
    Ok(health.iter().filter_map(word).collect())
}
