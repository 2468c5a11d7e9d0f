//! HTTPS with certificates from Secrets and of ACM.

mod client;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::client::{Client, Protocol};
use super::bench::Case;
use super::cost::count;
use super::manifest::{backend, everything_to, on_section, route};
use super::targets::registered;
use crate::objects::Objects;
use crate::progress::human;

const HOSTNAME: &str = "shop.example.com";

/// How often the certificate is renewed.
const RENEWALS: usize = 5;
/// How many requests are sent meanwhile: what fits CI, and all.
const REQUESTS: (usize, usize) = (3_000, 10_000);
/// How long a renewed certificate may take until it is served. It takes well below a second; a busy machine decides nothing.
const SERVED_WITHIN: Duration = Duration::from_secs(10);
/// Pause between two looks at what is served.
const LOOK: Duration = Duration::from_millis(5);
/// Pause of a client between two requests: the operator runs on the same machine.
const PAUSE: Duration = Duration::from_millis(2);

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

/// A self-signed certificate, and the Secret that holds it.
struct Certificate {
    secret: Value,
    pem: String,
    der: CertificateDer<'static>,
}

impl Certificate {
    fn new(namespace: &str) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([HOSTNAME.to_owned()])?;
        let (pem, encoded) = (made.cert.pem(), |text: &str| BASE64_STANDARD.encode(text));
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": { "name": "shop", "namespace": namespace },
            "data": { "tls.crt": encoded(&pem), "tls.key": encoded(&made.signing_key.serialize_pem()) },
        });
        Ok(Self { secret, pem, der: made.cert.der().clone() })
    }
}

/// A Secret is renewed again and again under requests on connections that are kept and on new ones: none of them fails, and who saw the new certificate
/// never sees the old one again.
pub async fn serves_a_renewed_certificate_without_a_failed_request(case: &Case<'_>) -> Result<String> {
    let certificates: Vec<Certificate> = (0..=RENEWALS).map(|_| Certificate::new(&case.namespace)).collect::<Result<_>>()?;
    let first = certificates.first().context("no certificate")?;
    let objects = Objects::connect(&case.bench.session).await?;
    objects.apply(&first.secret).await?;
    case.apply(&[backend("shop", 2), GATEWAY.to_owned(), route("shop", "edge", &everything_to("shop"))].concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let address = resolve(&case.programmed("edge").await?).await?;
    let folder = tempfile::tempdir()?;
    curl_trusts(case, first, address, folder.path()).await?;
    registered(case).await?;
    case.reset_calls().await?;

    let trusted: Arc<[CertificateDer<'static>]> = certificates.iter().map(|certificate| certificate.der.clone()).collect();
    let client = |protocol| Client::new(address, HOSTNAME, &trusted, protocol);
    let wanted = if case.bench.full { REQUESTS.1 } else { REQUESTS.0 };
    let traffic = Arc::new(Traffic { wanted, trusted: Arc::clone(&trusted), ..Traffic::default() });
    let mut clients = JoinSet::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        clients.spawn(Arc::clone(&traffic).on_one_connection(client(protocol)?));
        clients.spawn(Arc::clone(&traffic).on_new_connections(client(protocol)?));
    }
    let looking = client(Protocol::Http1)?;
    let renewed = async {
        let mut took = Vec::new();
        for (number, certificate) in certificates.iter().enumerate().skip(1) {
            case.until("traffic flows", async || Ok((traffic.answered() >= wanted * number / (RENEWALS + 1)).then_some(()))).await?;
            took.push(renew(&objects, certificate, &looking).await.with_context(|| format!("renewal {number}"))?);
        }
        anyhow::Ok(took)
    };
    let took = tokio::select! {
        took = renewed => took?,
        // A client that ends before it may has met a failure.
        Some(ended) = clients.join_next() => {
            ended.context("a client")??;
            anyhow::bail!("a client ended before the last renewal");
        }
    };
    traffic.renewed.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.context("a client")??;
    }
    let calls = case.calls().await?;
    ensure!(count(&calls, "ImportCertificate") == RENEWALS as u64, "not one import for each renewal: {calls}");
    let balancing = |name: &&String| name.starts_with("elasticloadbalancing.") && !name.contains(".Describe");
    let touched: Vec<&String> =
        calls.get("operations").and_then(Value::as_object).into_iter().flat_map(|it| it.keys()).filter(balancing).collect();
    ensure!(touched.is_empty(), "a renewal touched more than the certificate: {calls}");
    let (kept, new) = (traffic.kept.load(Ordering::Relaxed), traffic.new.load(Ordering::Relaxed));
    let (least, most) = (took.iter().min().copied().unwrap_or_default(), took.iter().max().copied().unwrap_or_default());
    Ok(format!(
        "{} requests ({kept} on 2 kept connections, {new} on as many new ones), none failed; {RENEWALS} renewals, each served within {} to {}",
        kept + new,
        human(least),
        human(most)
    ))
}

/// Renews the Secret; how long it took from the request to the API server until the certificate was served.
async fn renew(objects: &Objects, certificate: &Certificate, client: &Client) -> Result<Duration> {
    let began = Instant::now();
    let served = async {
        while client.connect().await?.certificate != certificate.der {
            ensure!(began.elapsed() < SERVED_WITHIN, "it is not served within {SERVED_WITHIN:?}");
            tokio::time::sleep(LOOK).await;
        }
        Ok(began.elapsed())
    };
    Ok(tokio::try_join!(objects.apply(&certificate.secret), served)?.1)
}

/// Requests that go on until there were enough of them and the last renewal is over.
#[derive(Default)]
struct Traffic {
    wanted: usize,
    trusted: Arc<[CertificateDer<'static>]>,
    kept: AtomicUsize,
    new: AtomicUsize,
    renewed: AtomicBool,
}

impl Traffic {
    fn answered(&self) -> usize {
        self.kept.load(Ordering::Relaxed) + self.new.load(Ordering::Relaxed)
    }

    fn goes_on(&self) -> bool {
        self.answered() < self.wanted || !self.renewed.load(Ordering::Relaxed)
    }

    /// One request after the other on one connection, no more than there are on new ones, which take longer.
    async fn on_one_connection(self: Arc<Self>, client: Client) -> Result<()> {
        let mut connection = client.connect().await?;
        while self.goes_on() {
            tokio::time::sleep(PAUSE).await;
            if self.kept.load(Ordering::Relaxed) > self.new.load(Ordering::Relaxed) {
                continue;
            }
            let status = connection.get().await.with_context(|| format!("on a kept connection, after {} requests", self.answered()))?;
            ensure!(status.is_success(), "a request on a kept connection was answered {status}");
            self.kept.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// One request on each connection.
    async fn on_new_connections(self: Arc<Self>, client: Client) -> Result<()> {
        let mut newest = 0;
        while self.goes_on() {
            tokio::time::sleep(PAUSE).await;
            let place = || format!("on a new connection, after {} requests", self.answered());
            let mut connection = client.connect().await.with_context(place)?;
            let shown = self.trusted.iter().position(|it| *it == connection.certificate).context("an unknown certificate")?;
            ensure!(shown >= newest, "certificate {shown} was shown after certificate {newest}");
            newest = shown;
            let status = connection.get().await.with_context(place)?;
            ensure!(status.is_success(), "a request on a new connection was answered {status}");
            self.new.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// curl, which shares nothing with the clients here, trusts the certificate, too.
async fn curl_trusts(case: &Case<'_>, certificate: &Certificate, address: SocketAddr, folder: &Path) -> Result<()> {
    let file = folder.join("trusted.pem");
    std::fs::write(&file, &certificate.pem).with_context(|| format!("cannot write {}", file.display()))?;
    let (file, resolve) = (file.display().to_string(), format!("{HOSTNAME}:443:{}", address.ip()));
    case.curl_until(200, &["--cacert", &file, "--resolve", &resolve, &format!("https://{HOSTNAME}/")]).await?;
    Ok(())
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
";

/// The rules of a route that sends clients on to HTTPS.
const REDIRECT: &str = "  rules:
  - filters:
    - type: RequestRedirect
      requestRedirect:
        scheme: https
        statusCode: 301
";

/// A client that comes in clear text is sent on, and served with the certificate that ACM has for the hostname, which stays when the Gateway goes.
pub async fn redirects_to_a_certificate_that_acm_issued(case: &Case<'_>) -> Result<String> {
    let issued = case.boto3(ISSUE).await?;
    let text = |field: &str| issued.get(field).and_then(Value::as_str).map(str::to_owned).context("boto3 gave no certificate");
    let (arn, authority) = (text("arn")?, text("authority")?);
    let folder = tempfile::tempdir()?;
    let trusted = folder.path().join("authority.pem");
    std::fs::write(&trusted, authority)?;
    let secure = route("secure", "edge", &on_section("http", REDIRECT));
    let shop = route("shop", "edge", &on_section("https", &everything_to("shop")));
    case.apply(&[backend("shop", 1), REDIRECTING.to_owned(), secure, shop].concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let address = resolve(&case.programmed("edge").await?).await?.ip();
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

/// Where a load balancer's name leads.
async fn resolve(name: &str) -> Result<SocketAddr> {
    let mut found = tokio::net::lookup_host((name, 443)).await.with_context(|| format!("{name} does not resolve"))?;
    found.next().with_context(|| format!("{name} has no address"))
}
