//! Requests go where the routes say.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::bench::{Case, condition};
use super::manifest::{backend, everything_to, gateway, route};

/// Requests of the weight test.
const REQUESTS: usize = 400;

/// Path, hostname and header matches, in the order of precedence that the Gateway API lays down.
pub async fn follows_paths_hostnames_and_headers(case: &Case<'_>) -> Result<String> {
    let shop = "  hostnames: [shop.example.com]
  rules:
  - matches:
    - path: {type: PathPrefix, value: /cart}
    backendRefs: [{name: cart, port: 8080}]
  - matches:
    - path: {type: Exact, value: /cart/exact}
    backendRefs: [{name: exact, port: 8080}]
  - matches:
    - path: {type: PathPrefix, value: /cart}
      headers: [{name: X-Canary, value: always}]
    backendRefs: [{name: canary, port: 8080}]";
    let names = ["cart", "exact", "canary", "other"];
    let mut manifests: Vec<String> = names.iter().map(|name| backend(name, 1)).collect();
    manifests.push(gateway("edge"));
    manifests.push(route("shop", "edge", shop));
    manifests.push(route("other", "edge", &everything_to("other").replacen("  rules:", "  hostnames: [\"*.example.com\"]\n  rules:", 1)));
    case.apply(&manifests.concat()).await?;
    case.deployments_ready(&names).await?;
    let address = case.programmed("edge").await?;

    let host = "Host: shop.example.com";
    let canary = "X-Canary: always";
    let url = |path: &str| format!("http://{address}{path}");
    let cases: [(&str, &[&str], &str); 7] = [
        ("/cart", &[host], "cart"),
        ("/cart/7", &[host], "cart"),
        ("/cart/exact", &[host], "exact"),
        ("/cart/7", &[host, canary], "canary"),
        ("/cart/exact", &[host, canary], "exact"),
        ("/cart", &["Host: else.example.com"], "other"),
        // /cartoon does not begin with the segment /cart; the wildcard's route takes what the exact hostname's leaves.
        ("/cartoon", &[host], "other"),
    ];
    for (path, headers, expected) in cases {
        let target = url(path);
        let mut arguments: Vec<&str> = headers.iter().flat_map(|header| ["-H", header]).collect();
        arguments.push(&target);
        case.until(&format!("{path} with {headers:?} is answered by {expected}"), async || {
            let Some(reply) = case.curl(&arguments).await? else { return Ok(None) };
            let answered = reply.backend()?;
            ensure!(answered == expected, "answered by {answered}");
            Ok(Some(()))
        })
        .await?;
    }
    // example.org is nobody's hostname.
    case.curl_until(404, &["-H", "Host: example.org", &url("/cart")]).await?;
    Ok(String::new())
}

/// Weights 3 to 1, and a backend of weight 0 that gets nothing.
pub async fn splits_by_weight(case: &Case<'_>) -> Result<String> {
    let rules = "  rules:
  - backendRefs:
    - {name: stable, port: 8080, weight: 3}
    - {name: canary, port: 8080, weight: 1}
    - {name: idle, port: 8080, weight: 0}";
    let names = ["stable", "canary", "idle"];
    let mut manifests: Vec<String> = names.iter().map(|name| backend(name, 1)).collect();
    manifests.extend([gateway("edge"), route("split", "edge", rules)]);
    case.apply(&manifests.concat()).await?;
    case.deployments_ready(&names).await?;
    let address = case.programmed("edge").await?;
    let url = format!("http://{address}/");
    // Both backends must be in service before anything is counted.
    for name in ["stable", "canary"] {
        case.until(&format!("{name} answers"), async || {
            let Some(reply) = case.curl(&[&url]).await? else { return Ok(None) };
            Ok((reply.status == 200 && reply.backend()? == name).then_some(()))
        })
        .await?;
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..REQUESTS {
        let answer = crate::client::get(&url).await?;
        let body = answer.json()?;
        let pod = body.get("pod").and_then(Value::as_str).unwrap_or_default().to_owned();
        *counts.entry(pod.split('-').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let canary = counts.get("canary").copied().unwrap_or(0);
    let share = canary * 100 / REQUESTS;
    // A quarter of 400 is 100, with a standard deviation of 8.7: 10 points are more than four of them.
    ensure!((15..=35).contains(&share), "the canary got {share} % of {counts:?}");
    ensure!(!counts.contains_key("idle"), "weight 0 got requests: {counts:?}");
    ensure!(counts.values().sum::<usize>() == REQUESTS && counts.len() == 2, "answers: {counts:?}");
    Ok(format!("3:1 gave {counts:?}"))
}

/// ReplacePrefixMatch: `/pre/x` reaches the backend as `/backend/x`.
pub async fn rewrites_prefixes(case: &Case<'_>) -> Result<String> {
    let rules = "  rules:
  - matches:
    - path: {type: PathPrefix, value: /pre}
    filters:
    - type: URLRewrite
      urlRewrite:
        path: {type: ReplacePrefixMatch, replacePrefixMatch: /backend}
    backendRefs: [{name: shop, port: 8080}]";
    case.apply(&[backend("shop", 1), gateway("edge"), route("rewrite", "edge", rules)].concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let address = case.programmed("edge").await?;
    for (asked, reached) in [("/pre/one/two?x=1", "/backend/one/two?x=1"), ("/pre", "/backend")] {
        let reply = case.curl_until(200, &[&format!("http://{address}{asked}")]).await?;
        ensure!(reply.echo("/path")? == reached, "{asked} reached the backend as {}", reply.echo("/path")?);
    }
    case.curl_until(404, &[&format!("http://{address}/prefix")]).await?;
    Ok(String::new())
}

/// A backend that does not exist is a value in the plan: its rule answers 500, the route's other rules serve.
pub async fn answers_500_for_a_missing_backend(case: &Case<'_>) -> Result<String> {
    let rules = "  rules:
  - matches:
    - path: {type: PathPrefix, value: /missing}
    backendRefs: [{name: nowhere, port: 8080}]
  - backendRefs: [{name: shop, port: 8080}]";
    case.apply(&[backend("shop", 1), gateway("edge"), route("half", "edge", rules)].concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let address = case.programmed("edge").await?;
    case.curl_until(200, &[&format!("http://{address}/")]).await?;
    case.curl_until(500, &[&format!("http://{address}/missing")]).await?;
    let half = case.get(&["httproute", "half"]).await?;
    let resolved = condition(half.pointer("/status/parents/0/conditions"), "ResolvedRefs");
    ensure!(resolved.as_deref() == Some("False"), "ResolvedRefs is {resolved:?}");
    Ok(String::new())
}
