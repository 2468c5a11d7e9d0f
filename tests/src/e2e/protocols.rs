//! What the conformance suite's pods speak besides HTTP/1.1: each mode of the echo server, in the pods' network.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UdpSocket};

use super::bench::Case;

const IMAGE: &str = "gateway-api/conformance/echo-basic:v0.1.0";
const NAME: &str = "pod.example.com";
/// The gRPC method that answers with what it was asked.
const ECHO: &str = "gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/Echo";

/// A pod of the echo server in one of its modes, with a certificate.
fn pod(name: &str, environment: &[(&str, &str)]) -> Value {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let mut env = vec![field("POD_NAME", "metadata.name"), field("NAMESPACE", "metadata.namespace")];
    env.extend(environment.iter().map(|(name, value)| json!({"name": name, "value": value})));
    env.push(json!({"name": "TLS_SERVER_CERT", "value": "/etc/secret-volume/crt"}));
    // HTTP has it under one name, the other modes under another.
    env.extend(["TLS_SERVER_PRIVKEY", "TLS_SERVER_PRIV_KEY"].map(|name| json!({"name": name, "value": "/etc/secret-volume/key"})));
    let items = json!([{"key": "tls.crt", "path": "crt"}, {"key": "tls.key", "path": "key"}]);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "containers": [{"name": "echo", "image": IMAGE, "env": env,
            "volumeMounts": [{"name": "secret-volume", "mountPath": "/etc/secret-volume"}]}],
        "volumes": [{"name": "secret-volume", "secret": {"secretName": "serving", "items": items}}],
    }})
}

/// TCP and TCP in TLS, UDP, gRPC and gRPC in TLS, HTTP/2 in clear text: all of them reach pods and come back.
pub async fn of_the_suite_s_pods_are_spoken(case: &Case<'_>) -> Result<String> {
    let key = KeyPair::generate().context("a key")?;
    let certificate = CertificateParams::new(vec![NAME.to_owned()]).context("a certificate")?.self_signed(&key).context("a certificate")?;
    let pem = certificate.pem();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "serving"}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": pem, "tls.key": key.serialize_pem()}});
    let pods = [
        pod("http", &[]),
        pod("grpc", &[("GRPC_ECHO_SERVER", "1")]),
        pod("tcp", &[("TCP_ECHO_SERVER", "1")]),
        pod("udp", &[("UDP_ECHO_SERVER", "1"), ("SERVICE_NAME", "udp-echo")]),
    ];
    let items: Vec<Value> = pods.into_iter().chain([secret]).collect();
    case.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()).await?;
    let authority = tempfile::NamedTempFile::new().context("a file")?;
    std::fs::write(authority.path(), &pem).context("a file")?;
    let authority = authority.path().display().to_string();

    let http = address(case, "http").await?;
    let reply = case.curl_until(200, &["--http2-prior-knowledge", &format!("http://{http}:3001/")]).await?;
    ensure!(reply.echo("/proto")? == "HTTP/2.0", "clear text is {}", reply.echo("/proto")?);

    let grpc = address(case, "grpc").await?;
    let message = tempfile::NamedTempFile::new().context("a file")?;
    // An empty message: not compressed, of length 0.
    std::fs::write(message.path(), [0; 5]).context("a file")?;
    let data = format!("@{}", message.path().display());
    let call = ["-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", &data];
    let resolve = format!("{NAME}:8443:{grpc}");
    let (plain, secure) = (format!("http://{grpc}:3000/{ECHO}"), format!("https://{NAME}:8443/{ECHO}"));
    let by_tls = ["--http2", "--cacert", &authority, "--resolve", &resolve, &secure];
    for way in [&["--http2-prior-knowledge", plain.as_str()][..], &by_tls] {
        let reply = case.curl_until(200, &[&call[..], way].concat()).await?;
        ensure!(reply.body.contains("grpc") && reply.body.contains(&case.namespace), "gRPC answers {:?}", reply.body);
    }

    let tcp = address(case, "tcp").await?;
    let port = |port: u16| format!("{tcp}:{port}").parse::<SocketAddr>().context("an address");
    let plain = port(3000)?;
    let stream = case.until("TCP is accepted", async || Ok(TcpStream::connect(plain).await.ok())).await?;
    speaks_tcp(stream, "false").await.context("TCP")?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).context("the certificate")?;
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(port(8443)?).await.context("TLS")?;
    let name = ServerName::try_from(NAME).context("the name")?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.context("TLS")?;
    speaks_tcp(stream, "true").await.context("TCP in TLS")?;

    let udp = address(case, "udp").await?;
    let answer = case
        .until("UDP is answered", async || {
            let socket = UdpSocket::bind("0.0.0.0:0").await?;
            socket.connect(format!("{udp}:8080")).await?;
            socket.send(b"hello").await?;
            let mut buffer = [0; 1024];
            let received = tokio::time::timeout(std::time::Duration::from_secs(1), socket.recv(&mut buffer)).await;
            let Ok(Ok(length)) = received else { return Ok(None) };
            Ok(Some(serde_json::from_slice::<Value>(buffer.get(..length).unwrap_or_default())?))
        })
        .await?;
    for (field, wanted) in [("request", "hello"), ("service", "udp-echo"), ("namespace", case.namespace.as_str()), ("pod", "udp")] {
        ensure!(answer.get(field) == Some(&json!(wanted)), "UDP answers {answer}");
    }
    Ok(String::new())
}

/// The pod's address, once it is Ready.
async fn address(case: &Case<'_>, pod: &str) -> Result<String> {
    case.kubectl(&["wait", "--for=condition=Ready", &format!("pod/{pod}"), "--timeout=60s"]).await?;
    let pod = case.get(&["pod", pod]).await?;
    pod.pointer("/status/podIP").and_then(Value::as_str).map(str::to_owned).context("no address")
}

/// The suite's line protocol.
async fn speaks_tcp(stream: impl AsyncRead + AsyncWrite + Unpin, is_tls: &str) -> Result<()> {
    let mut lines = BufReader::new(stream);
    for (said, wanted) in [("", "Gateway API Test TCP Server"), ("PING\n", "PONG"), ("IS_TLS\n", is_tls)] {
        lines.write_all(said.as_bytes()).await?;
        lines.flush().await?;
        let mut line = String::new();
        lines.read_line(&mut line).await?;
        ensure!(line.trim_end() == wanted, "it answers {line:?} and not {wanted:?}");
    }
    Ok(())
}
