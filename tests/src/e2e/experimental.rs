//! What the CRDs of the experimental channel add, on Envoy: permission, sessions, bundles of authorities. In a lab that has these CRDs.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::json;

use super::bench::{Case, Reply, condition};
use super::identity::Authority;
use super::manifest::{backend, gateway_of, route, secure_backend};
use crate::client;
use crate::fleet::CLASS;

/// Requests that would be answered by each of two pods by chance: that all are by one has a probability of 2^-19.
const MANY: usize = 20;

/// The filter: who is asked about `/x` is asked for `/status/x`, and the echo server answers that with the status `x`.
const PERMISSION: &str = "type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: guard, port: 8080}, http: {path: /status}}";

/// A route that asks for permission, and a listener that does: 200 is permission, and nothing else is.
pub async fn permission_is_asked_for(case: &Case<'_>) -> Result<String> {
    let rules =
        format!("    sectionName: http\n  rules:\n  - filters: [{{{PERMISSION}}}]\n    backendRefs: [{{name: shop, port: 8080}}]\n");
    let listener = format!("  - name: asked\n    protocol: HTTP\n    port: 8080\n    filters: {{requests: [{{{PERMISSION}}}]}}\n---");
    let gateway = gateway_of(CLASS, "edge").replacen("---", &listener, 1);
    let plain = "    sectionName: asked\n  rules:\n  - backendRefs: [{name: shop, port: 8080}]\n";
    let manifests = [backend("shop", 1), backend("guard", 1), gateway, route("guarded", "edge", &rules), route("plain", "edge", plain)];
    case.apply(&manifests.concat()).await?;
    case.deployments_ready(&["shop", "guard"]).await?;
    let address = case.programmed("edge").await?;
    for port in [80, 8080] {
        let reply = case.curl_until(200, &[&format!("http://{address}:{port}/200")]).await?;
        ensure!(
            reply.backend()? == "shop" && reply.echo("/path")? == "/200",
            "answered by {} for {}",
            reply.backend()?,
            reply.echo("/path")?
        );
        // Neither a refusal nor a success of another kind.
        for (path, status) in [("/401", 401), ("/204", 204)] {
            let reply = case.curl(&[&format!("http://{address}:{port}{path}")]).await?.context("no answer")?;
            ensure!(reply.status == status && reply.backend().is_err(), "port {port}: {path} is answered {}: {}", reply.status, reply.body);
        }
    }
    // Nobody to ask: the listener says so, and lets nobody in.
    case.kubectl(&["delete", "service", "guard"]).await?;
    for port in [80, 8080] {
        case.until("nobody is let in", async || {
            let reply = case.curl(&[&format!("http://{address}:{port}/200")]).await?.context("no answer")?;
            Ok((reply.status == 500).then_some(()))
        })
        .await?;
    }
    case.until("the listener says why", async || {
        let gateway = case.get(&["gateway", "edge"]).await?;
        let conditions = gateway.pointer("/status/listeners/1/conditions");
        let reasons: Vec<_> = conditions.and_then(|it| it.as_array()).into_iter().flatten().filter_map(|it| it.get("reason")).collect();
        Ok(reasons.contains(&&json!("InvalidListenerFilterRef")).then_some(()))
    })
    .await?;
    Ok(String::new())
}

/// Sessions by cookie, at one of two Services with two pods each, and by header, at one of two pods.
pub async fn sessions_stay_where_they_began(case: &Case<'_>) -> Result<String> {
    let rules = "  rules:
  - matches: [{path: {value: /header}}]
    sessionPersistence: {type: Header, header: {name: x-session}}
    backendRefs: [{name: shop, port: 8080}]
  - sessionPersistence: {type: Cookie, cookie: {name: sitting}}
    backendRefs: [{name: shop, port: 8080}, {name: next, port: 8080}]
";
    let manifests = [backend("shop", 2), backend("next", 2), gateway_of(CLASS, "edge"), route("shop", "edge", rules)];
    case.apply(&manifests.concat()).await?;
    case.deployments_ready(&["shop", "next"]).await?;
    let address = case.programmed("edge").await?;
    for (path, all) in [("/header", 2), ("/", 4)] {
        let url = format!("http://{address}{path}");
        let pods = async |headers: &[(&str, &str)]| {
            let mut pods = BTreeSet::new();
            for _ in 0..MANY {
                let answer = client::send(Method::GET, &url, headers, "").await?;
                pods.insert(Reply { status: answer.status.as_u16(), body: answer.text() }.echo("/pod")?);
            }
            anyhow::Ok(pods)
        };
        // Twenty requests leave one of four pods out now and then.
        case.until("all pods answer", async || Ok((pods(&[]).await?.len() == all).then_some(()))).await?;
        let first = client::get(&url).await?;
        let pod = Reply { status: first.status.as_u16(), body: first.text() }.echo("/pod")?;
        let texts = |name: &str| {
            let values = first.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.map(|value| value.split(';').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        let session = [("cookie", texts("set-cookie").join("; ")), ("x-session", texts("x-session").concat())];
        let session: Vec<(&str, &str)> =
            session.iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (*name, text.as_str())).collect();
        let found = pods(&session).await?;
        ensure!(found == BTreeSet::from([pod.clone()]), "{session:?} began at {pod} and was answered by {found:?}");
    }
    Ok(String::new())
}

/// Backends are trusted by the authorities of a ClusterTrustBundle, and no longer when it holds others.
pub async fn bundles_say_whom_to_trust(case: &Case<'_>) -> Result<String> {
    let (ours, theirs) = (Authority::new()?, Authority::new()?);
    ours.sign("vault", "vault.example.com")?;
    // Bundles belong to no namespace: this one's name is this test's own.
    let name = format!("{}-authorities", case.namespace);
    let bundle = |authority: &Authority| {
        let text = std::fs::read_to_string(authority.path("ca.pem")).context("the authority")?;
        let bundle = json!({"apiVersion": "certificates.k8s.io/v1beta1", "kind": "ClusterTrustBundle", "metadata": {"name": name},
            "spec": {"trustBundle": text}});
        anyhow::Ok(bundle.to_string())
    };
    let policy = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy", "metadata": {"name": "vault"}, "spec": {
        "targetRefs": [{"group": "", "kind": "Service", "name": "vault"}],
        "validation": {"hostname": "vault.example.com",
            "caCertificateRefs": [{"group": "certificates.k8s.io", "kind": "ClusterTrustBundle", "name": name}]}}});
    let (certificate, key) = (ours.path("vault.pem"), ours.path("vault.key"));
    case.kubectl(&["create", "secret", "tls", "serving", &format!("--cert={certificate}"), &format!("--key={key}")]).await?;
    let rules = "  rules:\n  - backendRefs: [{name: vault, port: 8080}]\n";
    case.apply(&[secure_backend("vault"), gateway_of(CLASS, "edge"), route("vault", "edge", rules)].concat()).await?;
    case.apply(&policy.to_string()).await?;
    let outcome = trusted(case, [bundle(&ours)?, bundle(&theirs)?]).await;
    case.kubectl(&["delete", "clustertrustbundle", &name]).await?;
    outcome
}

async fn trusted(case: &Case<'_>, [ours, theirs]: [String; 2]) -> Result<String> {
    case.apply(&ours).await?;
    case.deployments_ready(&["vault"]).await?;
    let url = format!("http://{}/", case.programmed("edge").await?);
    let reply = case.curl_until(200, &[&url]).await?;
    ensure!(reply.echo("/tls/serverName")? == "vault.example.com", "the backend was asked for {}", reply.echo("/tls/serverName")?);
    case.apply(&theirs).await?;
    case.curl_until(503, &[&url]).await?;
    case.apply(&ours).await?;
    case.curl_until(200, &[&url]).await?;
    let policy = case.get(&["backendtlspolicy", "vault"]).await?;
    let resolved = condition(policy.pointer("/status/ancestors/0/conditions"), "ResolvedRefs");
    ensure!(resolved.as_deref() == Some("True"), "ResolvedRefs is {resolved:?}");
    Ok(String::new())
}
