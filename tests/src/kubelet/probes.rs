//! Probes: how often to look, what counts, and when a verdict changes.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// First pause between two looks at a container that has not passed yet.
///
/// The lab's own addition: besides the scheduled looks there are early ones, in quickly growing distances up to the period.
/// Only their success counts. With Kubernetes' default period of 10 s, a container that needs 20 ms to listen would
/// otherwise be 10 s late.
const FIRST_EARLY_LOOK: Duration = Duration::from_millis(20);

/// A probe's verdict: it turns only after as many equal results in a row as the probe's thresholds say.
#[derive(Debug, Clone)]
pub struct Judge {
    success_threshold: u32,
    failure_threshold: u32,
    passing: bool,
    last: Option<bool>,
    run: u32,
}

impl Judge {
    /// Starts with a verdict: `false` for readiness and startup, `true` for liveness.
    pub fn new(probe: &Probe, passing: bool) -> Self {
        let threshold = |value: Option<i32>, default| u32::try_from(value.unwrap_or(default)).unwrap_or(1).max(1);
        Self {
            success_threshold: threshold(probe.success_threshold, 1),
            failure_threshold: threshold(probe.failure_threshold, 3),
            passing,
            last: None,
            run: 0,
        }
    }

    /// Takes a result in; returns the verdict where this result confirms or turns it.
    pub fn observe(&mut self, success: bool) -> Option<bool> {
        self.run = if self.last == Some(success) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(success);
        let threshold = if success { self.success_threshold } else { self.failure_threshold };
        if self.run < threshold {
            return None;
        }
        self.passing = success;
        Some(success)
    }

    /// The verdict so far.
    pub fn passing(&self) -> bool {
        self.passing
    }
}

fn seconds(value: Option<i32>, default: u64, least: u64) -> Duration {
    Duration::from_secs(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default).max(least))
}

/// When to look, and which looks count. Times are since the first look.
#[derive(Debug)]
struct Course {
    judge: Judge,
    period: Duration,
    early: Duration,
    scheduled: Duration,
}

impl Course {
    fn new(probe: &Probe, passing: bool) -> Self {
        let period = seconds(probe.period_seconds, 10, 1);
        Self { judge: Judge::new(probe, passing), period, early: FIRST_EARLY_LOOK, scheduled: Duration::ZERO }
    }

    /// Takes in a look that began at `began` and ended at `now`. Returns the verdict that it confirms or turns, and when to
    /// look again.
    fn take(&mut self, began: Duration, now: Duration, success: bool) -> (Option<bool>, Duration) {
        let is_scheduled = began >= self.scheduled;
        if is_scheduled {
            self.scheduled += self.period;
        }
        let verdict = if is_scheduled || success { self.judge.observe(success) } else { None };
        if self.judge.passing() {
            return (verdict, self.scheduled);
        }
        let early = now + self.early;
        self.early = (self.early * 2).min(self.period);
        (verdict, self.scheduled.min(early))
    }
}

/// Looks again and again; `report` hears each confirmed verdict with the last failure's message and ends the probe by
/// returning `true`.
pub async fn observe<F, C>(probe: &Probe, passing: bool, check: C, mut report: impl FnMut(bool, &str) -> bool)
where
    C: Fn() -> F,
    F: Future<Output = Result<(), String>>,
{
    let timeout = seconds(probe.timeout_seconds, 1, 1);
    let mut course = Course::new(probe, passing);
    tokio::time::sleep(seconds(probe.initial_delay_seconds, 0, 0)).await;
    let start = tokio::time::Instant::now();
    loop {
        let began = start.elapsed();
        let result = match tokio::time::timeout(timeout, check()).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {} s", timeout.as_secs())),
        };
        let (verdict, next) = course.take(began, start.elapsed(), result.is_ok());
        if let Some(verdict) = verdict
            && report(verdict, &result.err().unwrap_or_default())
        {
            return;
        }
        tokio::time::sleep_until(start + next).await;
    }
}

/// The number of a port that may be given by its name in the container.
pub fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => match container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name)) {
            Some(port) => port.container_port,
            None => name.parse().map_err(|_| format!("no port named {name:?}"))?,
        },
    };
    u16::try_from(number).map_err(|_| format!("{number} is not a port"))
}

/// Whether a TCP connection can be made.
pub async fn tcp(host: &str, port: u16) -> Result<(), String> {
    TcpStream::connect((host, port)).await.map(drop).map_err(|error| format!("dial tcp {host}:{port}: {error}"))
}

/// Whether a request gets an answer of 200 to 399, as a kubelet asks: redirects are not followed, certificates not verified.
pub async fn http_get(action: &HTTPGetAction, container: &Container, pod_ip: IpAddr) -> Result<(), String> {
    let port = port(&action.port, container)?;
    let host = action.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| pod_ip.to_string());
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|error| format!("dial tcp {host}:{port}: {error}"))?;
    let headers = action.http_headers.as_deref().unwrap_or_default();
    let wanted_host = headers.iter().find(|header| header.name.eq_ignore_ascii_case("host")).map(|header| header.value.clone());
    let path = action.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    let mut request = http::Request::get(path)
        .header(http::header::HOST, wanted_host.unwrap_or_else(|| format!("{host}:{port}")))
        .header(http::header::USER_AGENT, "kube-probe/1.36")
        .header(http::header::CONNECTION, "close");
    for header in headers.iter().filter(|header| !header.name.eq_ignore_ascii_case("host")) {
        request = request.header(&header.name, &header.value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let status = if action.scheme.as_deref() == Some("HTTPS") {
        let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
        let connector = tokio_rustls::TlsConnector::from(unverified_tls()?);
        let stream = connector.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
        send(stream, request).await?
    } else {
        send(stream, request).await?
    };
    match status.as_u16() {
        200..=399 => Ok(()),
        code => Err(format!("HTTP probe failed with statuscode: {code}")),
    }
}

async fn send<S>(stream: S, request: http::Request<Empty<Bytes>>) -> Result<http::StatusCode, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    // The connection is driven beside the request. Where it ends first, the answer is still to be taken, or says why there is none.
    let drive = async {
        let _ = connection.await;
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        answer = sender.send_request(request) => answer.map(|response| response.status()).map_err(|error| error.to_string()),
        never = drive => match never {},
    }
}

#[derive(Debug)]
struct AnyCertificate(rustls::crypto::CryptoProvider);

fn unverified_tls() -> Result<Arc<rustls::ClientConfig>, String> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider.clone()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn probe(value: serde_json::Value) -> Probe {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_verdict_turns_at_its_threshold_only() {
        let mut judge = Judge::new(&probe(json!({"successThreshold": 2, "failureThreshold": 3})), false);
        let mut see = |success| {
            judge.observe(success);
            judge.passing()
        };
        assert!(!see(true));
        assert!(!see(false), "the run of successes was broken");
        assert!(!see(true));
        assert!(see(true));
        assert!(see(false));
        assert!(see(false));
        assert!(see(true), "the run of failures was broken");
        assert!(see(false));
        assert!(see(false));
        assert!(!see(false));
    }

    #[test]
    fn defaults_are_those_of_kubernetes() {
        let mut judge = Judge::new(&Probe::default(), true);
        assert_eq!([false, false, false].map(|ok| judge.observe(ok)), [None, None, Some(false)]);
        assert_eq!(judge.observe(true), Some(true));
    }

    #[test]
    fn early_looks_find_success_soon_and_cost_no_failures() {
        let mut course = Course::new(&probe(json!({"failureThreshold": 2, "periodSeconds": 10})), false);
        let (mut at, mut looks, mut verdicts) = (Duration::ZERO, 0, Vec::new());
        while at < Duration::from_secs(21) {
            let up = at >= Duration::from_millis(10_300);
            looks += 1;
            let (verdict, next) = course.take(at, at, up);
            verdicts.extend(verdict.map(|verdict| (verdict, at.as_secs())));
            assert!(next > at);
            at = next;
        }
        assert_eq!(verdicts, [(false, 10), (true, 20)], "early pauses have grown to the period by then");
        assert!(looks < 20, "{looks} looks");

        let mut course = Course::new(&probe(json!({"periodSeconds": 10})), false);
        let (mut at, mut passed) = (Duration::ZERO, None);
        while passed.is_none() {
            let (verdict, next) = course.take(at, at, at >= Duration::from_millis(15));
            passed = verdict.map(|_| at);
            at = next;
        }
        assert_eq!(passed, Some(FIRST_EARLY_LOOK));
    }

    #[test]
    fn a_container_that_passes_is_looked_at_by_the_period_only() {
        let mut course = Course::new(&probe(json!({"periodSeconds": 3})), true);
        let at = Duration::from_secs;
        assert_eq!(course.take(at(0), at(0), true), (Some(true), at(3)));
        assert_eq!(course.take(at(3), at(4), false), (None, at(6)));
    }

    #[test]
    fn a_port_may_be_named() {
        let container: Container = serde_json::from_value(json!({"name": "c", "ports": [{"name": "web", "containerPort": 3000}]})).unwrap();
        assert_eq!(port(&IntOrString::String("web".into()), &container), Ok(3000));
        assert_eq!(port(&IntOrString::Int(80), &container), Ok(80));
        assert!(port(&IntOrString::String("none".into()), &container).is_err());
    }
}
