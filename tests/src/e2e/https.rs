//! HTTPS with certificates from Secrets and of ACM.

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

/// What ACM issues for a hostname: its ARN, and its certificate authority in PEM.
const ISSUE: &str = "
import os, urllib.request
acm = boto3.client('acm')
arn = acm.request_certificate(DomainName='*.example.net', ValidationMethod='DNS')['CertificateArn']
url = os.environ['AWS_ENDPOINT_URL'] + '/_cloud/certificates'
urllib.request.urlopen(urllib.request.Request(url, json.dumps({'issue': arn}).encode(), method='POST'))
result = {'arn': arn, 'authority': acm.get_certificate(CertificateArn=arn)['CertificateChain']}
";

const REDIRECTING: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: edge
spec:
  gatewayClassName: portico-alb
  listeners:
  - name: http
    protocol: HTTP
    port: 80
    hostname: www.example.net
  - name: https
    protocol: HTTPS
    port: 443
    hostname: www.example.net
    tls:
      options:
        portico.dev/certificate-discovery: 'true'
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: secure
spec:
  parentRefs:
  - name: edge
    sectionName: http
  rules:
  - filters:
    - type: RequestRedirect
      requestRedirect:
        scheme: https
        statusCode: 301
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: shop
spec:
  parentRefs:
  - name: edge
    sectionName: https
  rules:
  - backendRefs:
    - name: shop
      port: 8080
---
";

/// A client that comes in clear text is sent on, and served with the certificate that ACM has for the hostname, which stays when the Gateway goes.
pub async fn redirects_to_a_certificate_that_acm_issued(case: &Case<'_>) -> Result<String> {
    let issued = case.boto3(ISSUE).await?;
    let text = |field: &str| issued.get(field).and_then(serde_json::Value::as_str).map(str::to_owned).context("boto3 gave no certificate");
    let (arn, authority) = (text("arn")?, text("authority")?);
    let folder = tempfile::tempdir()?;
    let trusted = folder.path().join("authority.pem");
    std::fs::write(&trusted, authority)?;
    case.apply(&[backend("shop", 1), REDIRECTING.to_owned()].concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let address = addresses(&case.programmed("edge").await?).await?;
    let trusted = trusted.display().to_string();
    let (http, https) = (format!("www.example.net:80:{address}"), format!("www.example.net:443:{address}"));
    let first = ["--resolve", &http, "http://www.example.net/cart?n=1"];
    case.curl_until(301, &first).await?;
    let reply = case.curl_until(200, &[&["--location", "--cacert", &trusted, "--resolve", &https], first.as_slice()].concat()).await?;
    ensure!(reply.echo("/path")? == "/cart?n=1", "the redirect changed what is asked for: {}", reply.body);
    case.kubectl(&["delete", "gateway", "edge"]).await?;
    case.boto3(&format!(
        "acm = boto3.client('acm')\nacm.describe_certificate(CertificateArn='{arn}')\nacm.delete_certificate(CertificateArn='{arn}')"
    ))
    .await
    .context("ACM's certificate did not outlive the Gateway")?;
    Ok(String::new())
}

/// An address of a load balancer's name.
async fn addresses(name: &str) -> Result<String> {
    let mut found = tokio::net::lookup_host((name, 443)).await.with_context(|| format!("{name} does not resolve"))?;
    Ok(found.next().with_context(|| format!("{name} has no address"))?.ip().to_string())
}
