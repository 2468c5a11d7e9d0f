//! HTTPS with certificates from Secrets.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::bench::Case;
use super::manifest::{backend, everything_to, route};

const HOSTNAME: &str = "shop.example.com";

/// Requests of one client after the renewal.
const AFTERWARDS: usize = 50;

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: edge
spec:
  gatewayClassName: portico-alb
  listeners:
  - name: https
    protocol: HTTPS
    port: 443
    hostname: shop.example.com
    tls:
      certificateRefs:
      - name: shop
---
";

/// A new self-signed certificate: the Secret that holds it, and the file by which curl trusts it.
fn certificate(folder: &Path, file: &str) -> Result<(String, PathBuf)> {
    let made = rcgen::generate_simple_self_signed([HOSTNAME.to_owned()])?;
    let path = folder.join(file);
    std::fs::write(&path, made.cert.pem()).with_context(|| format!("cannot write {}", path.display()))?;
    let data = json!({ "tls.crt": made.cert.pem(), "tls.key": made.signing_key.serialize_pem() });
    let secret =
        json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": { "name": "shop" }, "stringData": data });
    Ok((format!("{secret}\n---\n"), path))
}

/// A renewed Secret is served with no failed request on the way.
pub async fn serves_a_renewed_certificate_without_a_failed_request(case: &Case<'_>) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let ((old, trusts_old), (new, trusts_new)) = (certificate(folder.path(), "old.pem")?, certificate(folder.path(), "new.pem")?);
    case.apply(&[old, backend("shop", 2), GATEWAY.to_owned(), route("shop", "edge", &everything_to("shop"))].concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let address = case.programmed("edge").await?;
    let (resolve, url) = (format!("{HOSTNAME}:443:{}", addresses(&address).await?), format!("https://{HOSTNAME}/"));
    let trusting = |path: &Path| ["--cacert".to_owned(), path.display().to_string(), "--resolve".to_owned(), resolve.clone(), url.clone()];
    let ask = async |path: &Path| {
        let arguments = trusting(path);
        case.curl(&arguments.each_ref().map(String::as_str)).await
    };
    case.until("the first certificate is served", async || Ok(ask(&trusts_old).await?.filter(|reply| reply.status == 200))).await?;
    ensure!(ask(&trusts_new).await?.is_none(), "the second certificate is served before it is there");

    let both = folder.path().join("both.pem");
    std::fs::write(&both, [std::fs::read(&trusts_old)?, std::fs::read(&trusts_new)?].concat())?;
    let renewed = AtomicBool::new(false);
    let client = async || -> Result<usize> {
        let (mut requests, mut left) = (0, AFTERWARDS);
        while left > 0 {
            left -= usize::from(renewed.load(Ordering::Relaxed));
            let reply = ask(&both).await?.context("a request was not answered")?;
            ensure!(reply.status == 200, "a request was answered {}: {}", reply.status, reply.body);
            requests += 1;
        }
        Ok(requests)
    };
    let renew = async || -> Result<()> {
        let outcome = async {
            case.apply(&new).await?;
            case.until("the second certificate is served", async || Ok(ask(&trusts_new).await?.filter(|reply| reply.status == 200))).await
        }
        .await;
        renewed.store(true, Ordering::Relaxed);
        outcome.map(drop)
    };
    let (first, second, outcome) = tokio::join!(client(), client(), renew());
    outcome?;
    Ok(format!("{} requests on new connections", first? + second?))
}

/// An address of a load balancer's name.
async fn addresses(name: &str) -> Result<String> {
    let mut found = tokio::net::lookup_host((name, 443)).await.with_context(|| format!("{name} does not resolve"))?;
    Ok(found.next().with_context(|| format!("{name} has no address"))?.ip().to_string())
}
