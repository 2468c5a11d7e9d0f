//! Listeners of one Gateway, of which one is not well.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::bench::{Case, status_and_reason};
use super::identity::Authority;
use super::manifest::{backend, everything_to, route};
use crate::fleet::CLASS;

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: edge
spec:
  gatewayClassName: CLASS
  listeners:
  - {name: good, protocol: HTTPS, port: 443, hostname: good.example.com, tls: {certificateRefs: [{name: good}]}}
  - {name: bad, protocol: HTTPS, port: 443, hostname: bad.example.com, tls: {certificateRefs: [{name: bad}]}}
---
";

/// The status and the reason of a listener's condition.
fn said(gateway: &Value, listener: &str, kind: &str) -> Option<(String, String)> {
    let listeners = gateway.pointer("/status/listeners")?.as_array()?;
    let listener = listeners.iter().find(|it| it.get("name").is_some_and(|name| name == listener))?;
    status_and_reason(listener.get("conditions"), kind)
}

/// A certificate that is missing, does not fit its key, comes, and goes again: its listener says so and refuses connections meanwhile, and the other one serves all the time.
pub async fn without_a_certificate_cost_no_other_anything(case: &Case<'_>) -> Result<String> {
    let authority = Authority::new()?;
    for name in ["good", "bad"] {
        authority.sign(name, &format!("{name}.example.com"))?;
    }
    let secret = async |name: &str, key: &str| {
        let (certificate, key) = (authority.path(&format!("{name}.pem")), authority.path(&format!("{key}.key")));
        let made = ["create", "secret", "tls", name, &format!("--cert={certificate}"), &format!("--key={key}")];
        case.kubectl(&made).await.map(drop)
    };
    secret("good", "good").await?;
    let gateway = GATEWAY.replace("CLASS", CLASS);
    case.apply(&[backend("shop", 1), gateway, route("shop", "edge", &everything_to("shop"))].concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let address = case.until("the Gateway has an address", async || {
        let gateway = case.get(&["gateway", "edge"]).await?;
        Ok(gateway.pointer("/status/addresses/0/value").and_then(Value::as_str).map(str::to_owned))
    });
    let address = address.await?;
    let ca = authority.path("ca.pem");
    let served = async |name: &str| {
        let (resolve, url) = (format!("{name}.example.com:443:{address}"), format!("https://{name}.example.com/"));
        let reply = case.curl(&["--cacert", &ca, "--resolve", &resolve, &url]).await?;
        anyhow::Ok(reply.is_some_and(|reply| reply.status == 200))
    };
    let says = async |what: &str, programmed: (&str, &str), resolved: (&str, &str), serves: bool| {
        case.until(what, async || {
            ensure!(served("good").await?, "the other listener does not serve");
            let gateway = case.get(&["gateway", "edge"]).await?;
            for (kind, wanted) in [("Programmed", programmed), ("ResolvedRefs", resolved)] {
                let (status, reason) = said(&gateway, "bad", kind).with_context(|| format!("no {kind}"))?;
                ensure!((status.as_str(), reason.as_str()) == wanted, "{kind} is {status}, {reason}");
            }
            ensure!(served("bad").await? == serves, "it serves: {}", !serves);
            Ok(Some(()))
        })
        .await
    };
    case.until("the other listener serves", async || Ok(served("good").await?.then_some(()))).await?;
    let (no, yes) = ((("False", "Invalid"), ("False", "InvalidCertificateRef")), (("True", "Programmed"), ("True", "ResolvedRefs")));
    says("a missing Secret is told", no.0, no.1, false).await?;
    secret("bad", "bad").await?;
    says("it serves with its certificate", yes.0, yes.1, true).await?;
    case.kubectl(&["delete", "secret", "bad"]).await?;
    says("a Secret that is gone is told", no.0, no.1, false).await?;
    Ok(String::new())
}
