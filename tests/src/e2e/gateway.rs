//! A Gateway becomes a load balancer.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::bench::{Case, condition, values};
use super::manifest::{backend, everything_to, gateway, route};
use crate::progress::human;

/// The whole chain, looked at from both ends: objects in the cloud, conditions in the cluster, an answer through the address.
pub async fn becomes_a_load_balancer_that_serves(case: &Case<'_>) -> Result<String> {
    case.apply(&[backend("shop", 2), gateway("edge"), route("shop", "edge", &everything_to("shop"))].concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let address = case.programmed("edge").await?;

    // As it stands in the status, the address works in curl.
    let reply = case.curl_until(200, &[&format!("http://{address}/hello")]).await?;
    ensure!(reply.echo("/path")? == "/hello", "the path is {}", reply.echo("/path")?);
    ensure!(reply.backend()? == "shop", "answered by {}", reply.backend()?);
    ensure!(reply.echo("/namespace")? == case.namespace, "answered from {}", reply.echo("/namespace")?);

    let balancers = case.load_balancers().await?;
    let [balancer] = balancers.as_slice() else { anyhow::bail!("{} load balancers", balancers.len()) };
    ensure!(balancer.get("dns_name").and_then(Value::as_str) == Some(address.as_str()), "the address is not the load balancer's name");
    let listeners = values(balancer, "/listeners");
    let [listener] = listeners.as_slice() else { anyhow::bail!("{} listeners", listeners.len()) };
    ensure!(listener.get("port").and_then(Value::as_u64) == Some(80), "the listener's port: {listener}");
    ensure!(listener.get("protocol").and_then(Value::as_str) == Some("HTTP"), "the listener's protocol: {listener}");
    let forwards_somewhere = values(listener, "/rules").iter().any(|rule| rule.to_string().contains(":targetgroup/"));
    ensure!(forwards_somewhere, "no rule forwards to a target group: {listener}");

    // Each pod is a target, by its own address and its own port.
    let pods = case.pod_addresses("shop").await?;
    case.until("the target group holds the pods", async || {
        let state = case.cloud_state().await?;
        let registered = targets(&state);
        ensure!(registered == pods, "registered are {registered:?}, the pods are {pods:?}");
        Ok(Some(()))
    })
    .await?;

    let edge = case.get(&["gateway", "edge"]).await?;
    for type_ in ["Accepted", "Programmed"] {
        let status = condition(edge.pointer("/status/conditions"), type_);
        ensure!(status.as_deref() == Some("True"), "the Gateway's {type_} is {status:?}");
    }
    let listener = edge.pointer("/status/listeners/0").context("the Gateway's status has no listener")?;
    ensure!(listener.get("attachedRoutes").and_then(Value::as_u64) == Some(1), "attached routes: {listener}");
    let shop = case.get(&["httproute", "shop"]).await?;
    let parent = shop.pointer("/status/parents/0").context("the route's status has no parent")?;
    for type_ in ["Accepted", "ResolvedRefs"] {
        let status = condition(parent.get("conditions"), type_);
        ensure!(status.as_deref() == Some("True"), "the route's {type_} is {status:?}");
    }
    let class = case.get(&["gatewayclass", "portico-alb"]).await?;
    let accepted = condition(class.pointer("/status/conditions"), "Accepted");
    ensure!(accepted.as_deref() == Some("True"), "the class's Accepted is {accepted:?}");
    Ok(String::new())
}

/// The time from `kubectl apply` of Gateway and route to the first right answer, with the pods ready. Measured, not judged.
pub async fn answers_soon_after_apply(case: &Case<'_>) -> Result<String> {
    case.apply(&backend("shop", 2)).await?;
    case.deployments_ready(&["shop"]).await?;
    let began = Instant::now();
    case.apply(&[gateway("edge"), route("shop", "edge", &everything_to("shop"))].concat()).await?;
    let applied = began.elapsed();
    let address = case
        .until("the Gateway has an address", async || {
            let gateway = case.get(&["gateway", "edge"]).await?;
            Ok(gateway.pointer("/status/addresses/0/value").and_then(Value::as_str).map(str::to_owned))
        })
        .await?;
    let addressed = began.elapsed();
    case.curl_until(200, &[&format!("http://{address}/")]).await?;
    let answered = began.elapsed();
    case.programmed("edge").await?;
    Ok(format!(
        "first right answer {} after the start of kubectl apply (which took {}; address seen after {})",
        human(answered),
        human(applied),
        human(addressed)
    ))
}

/// The addresses of all registered targets that are not draining, sorted.
pub fn targets(state: &Value) -> Vec<String> {
    let groups = values(state, "/target_groups");
    let mut addresses: Vec<String> = groups
        .iter()
        .flat_map(|group| values(group, "/targets"))
        .filter(|target| target.get("draining").is_none_or(Value::is_null))
        .filter_map(|target| target.get("address").or_else(|| target.get("id")).and_then(Value::as_str).map(str::to_owned))
        .collect();
    addresses.sort();
    addresses
}
