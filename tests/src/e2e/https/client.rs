//! An HTTPS client that keeps or opens connections as a test wants it, and tells which certificate it was shown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

/// How long a handshake or an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The protocol that a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Whom to ask, and whom to trust.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    hostname: String,
    tls: Arc<rustls::ClientConfig>,
    protocol: Protocol,
}

impl Client {
    /// A client that asks for a hostname at an address and trusts these certificates and no others.
    pub fn new(address: SocketAddr, hostname: &str, trusted: &[CertificateDer<'static>], protocol: Protocol) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in trusted {
            roots.add(certificate.clone()).context("a certificate cannot be trusted")?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        // A resumed session shows no certificate.
        tls.resumption = rustls::client::Resumption::disabled();
        tls.alpn_protocols = vec![match protocol {
            Protocol::Http1 => b"http/1.1".to_vec(),
            Protocol::Http2 => b"h2".to_vec(),
        }];
        Ok(Self { address, hostname: hostname.to_owned(), tls: Arc::new(tls), protocol })
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Result<Connection> {
        tokio::time::timeout(PATIENCE, self.open()).await.context("no connection in time")?
    }

    async fn open(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address).await.context("no connection")?;
        let name = ServerName::try_from(self.hostname.clone()).context("not a server name")?;
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await.context("no handshake")?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).context("no certificate was shown")?;
        let certificate = shown.clone().into_owned();
        let io = TokioIo::new(stream);
        let (sender, task) = match self.protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await.context("no HTTP/1.1")?;
                (Sender::Http1(sender), tokio::spawn(async { drop(connection.await) }))
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.context("no HTTP/2")?;
                (Sender::Http2(sender), tokio::spawn(async { drop(connection.await) }))
            }
        };
        Ok(Connection { certificate, hostname: self.hostname.clone(), sender, _task: AbortOnDropHandle::new(task) })
    }
}

/// An open connection; closed when this value is gone.
pub struct Connection {
    /// The certificate that the server showed.
    pub certificate: CertificateDer<'static>,
    hostname: String,
    sender: Sender,
    _task: AbortOnDropHandle<()>,
}

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Connection {
    /// Gets `/`, and returns the status once the whole answer is there.
    pub async fn get(&mut self) -> Result<StatusCode> {
        tokio::time::timeout(PATIENCE, self.exchange()).await.context("no answer in time")?
    }

    async fn exchange(&mut self) -> Result<StatusCode> {
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.context("the connection was closed")?;
                let request = Request::get("/").header(http::header::HOST, &self.hostname).body(Empty::new())?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await.context("the connection was closed")?;
                sender.send_request(Request::get(format!("https://{}/", self.hostname)).body(Empty::new())?).await
            }
        };
        let (head, body) = response.context("no answer")?.into_parts();
        body.collect().await.context("the answer was cut")?;
        Ok(head.status)
    }
}
