//! An event that changes nothing costs nothing.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::bench::Case;
use super::manifest::route;
use super::targets::serving;

/// A label on a route: no call to the cloud, no write of a status.
pub async fn of_a_label_on_a_route_is_nothing(case: &Case<'_>) -> Result<String> {
    serving(case).await?;
    let seen = events(&case.metrics().await?)?;
    case.reset_calls().await?;
    case.kubectl(&["label", "httproute", "shop", "colour=blue"]).await?;
    let labelled = version(case).await?;
    case.until("the operator has seen the label", async || Ok((events(&case.metrics().await?)? > seen).then_some(()))).await?;

    // A further route shows that the label has been dealt with: events of one kind are taken in order, and this one acts.
    let rules = "  rules:\n  - matches:\n    - path: {type: PathPrefix, value: /second}\n    backendRefs: [{name: shop, port: 8080}]\n";
    let after_label = case.calls().await?;
    case.apply(&route("second", "edge", rules)).await?;
    case.until("the second route's rule is there", async || {
        let balancers = case.load_balancers().await?;
        Ok(balancers.iter().any(|balancer| balancer.to_string().contains("/second")).then_some(()))
    })
    .await?;
    let total = after_label.get("total").and_then(Value::as_u64);
    ensure!(total == Some(0), "a label cost calls: {after_label}");
    ensure!(version(case).await? == labelled, "the labelled route was written to");
    // The second route makes its rule, and nothing else is changed.
    let calls = case.calls().await?;
    let mutations = calls.get("mutations").and_then(Value::as_u64);
    ensure!(count(&calls, "CreateRule") == 1 && mutations == Some(1), "a further route cost more than its rule: {calls}");
    Ok(format!("0 calls; a further route: {}", calls.get("operations").unwrap_or(&Value::Null)))
}

/// The version of the labelled route: every write changes it.
async fn version(case: &Case<'_>) -> Result<String> {
    case.kubectl(&["get", "httproute", "shop", "-o", "jsonpath={.metadata.resourceVersion}"]).await
}

/// How often an operation of whichever service was called.
pub fn count(calls: &Value, operation: &str) -> u64 {
    let operations = calls.get("operations").and_then(Value::as_object);
    let matching = operations.into_iter().flatten().filter(|(name, _)| name.ends_with(&format!(".{operation}")));
    matching.filter_map(|(_, count)| count.as_u64()).sum()
}

/// How many HTTPRoute events the operator's watches have seen.
fn events(metrics: &str) -> Result<u64> {
    let lines = metrics.lines().filter(|line| line.contains("watch_events") && line.contains("HTTPRoute"));
    let counts: Vec<u64> = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).map(|count| count as u64).collect();
    ensure!(!counts.is_empty(), "the operator's metrics have no watch_events of HTTPRoute");
    Ok(counts.iter().sum())
}
