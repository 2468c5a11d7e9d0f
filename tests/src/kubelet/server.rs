//! The kubelet's own HTTPS endpoint, over which the API server fetches container logs.
//!
//! Nobody is authenticated: it listens inside the lab's network namespace only, which nobody else can enter.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::SinkExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::logs::Query;
use super::{Context, KubeletError};

type Body = BoxBody<Bytes, Infallible>;

/// The endpoint's socket and certificate.
pub struct Endpoint {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Endpoint {
    /// Opens the endpoint with the configured certificate, or else with one that it signs itself.
    pub async fn open(config: &super::KubeletConfig) -> Result<Self, KubeletError> {
        let failed = |error: &dyn std::fmt::Display| KubeletError::Endpoint(error.to_string());
        let (chain, key) = match &config.serving_certificate {
            Some((chain, key)) => {
                let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(chain).map_err(|e| failed(&e))?.collect();
                (chain.map_err(|e| failed(&e))?, PrivateKeyDer::from_pem_file(key).map_err(|e| failed(&e))?)
            }
            None => {
                let names = vec![config.node_address.to_string(), config.node_name.clone()];
                let made = rcgen::generate_simple_self_signed(names).map_err(|e| failed(&e))?;
                let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(|e| failed(&e))?;
                (vec![made.cert.der().clone()], key)
            }
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| failed(&e))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|e| failed(&e))?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let wanted = SocketAddr::new(config.node_address, config.port);
        let listener = TcpListener::bind(wanted).await.map_err(|e| KubeletError::Endpoint(format!("{wanted}: {e}")))?;
        let address = listener.local_addr().map_err(|e| failed(&e))?;
        Ok(Self { listener, acceptor: TlsAcceptor::from(Arc::new(tls)), address })
    }

    /// Serves until shutdown.
    pub async fn serve(self, context: Arc<Context>) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = context.shutdown.cancelled() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "accepting a connection");
                    // Out of file descriptors, most likely: not to be answered by spinning.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (acceptor, context) = (self.acceptor.clone(), Arc::clone(&context));
            tokio::spawn(async move {
                let shutdown = context.shutdown.clone();
                let connection = async {
                    let stream = acceptor.accept(stream).await?;
                    let service = service_fn(move |request| {
                        let context = Arc::clone(&context);
                        async move { Ok::<_, Infallible>(answer(&context, &request)) }
                    });
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    builder.serve_connection(TokioIo::new(stream), service).await.map_err(std::io::Error::other)
                };
                tokio::select! {
                    ended = connection => if let Err(error) = ended {
                        tracing::debug!(%error, "the kubelet's endpoint");
                    },
                    () = shutdown.cancelled() => {}
                }
            });
        }
    }
}

fn text(status: StatusCode, message: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(message.into())).boxed());
    *response.status_mut() = status;
    response
}

fn answer(context: &Context, request: &Request<Incoming>) -> Response<Body> {
    let parts: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["healthz"]) => text(StatusCode::OK, "ok"),
        (&Method::GET, ["containerLogs", namespace, pod, container]) => {
            let pairs = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned();
            match Query::parse(pairs, jiff::Timestamp::now()) {
                Ok(query) => send_log(context, namespace, pod, container, query),
                Err(message) => text(StatusCode::BAD_REQUEST, message),
            }
        }
        (_, ["exec" | "attach" | "portForward" | "run", ..]) => {
            text(StatusCode::NOT_IMPLEMENTED, "the lab's kubelet has no exec, attach and port-forward: run a command with `cargo lab exec`")
        }
        _ => text(StatusCode::NOT_FOUND, "not found"),
    }
}

fn send_log(context: &Context, namespace: &str, pod: &str, container: &str, query: Query) -> Response<Body> {
    let Some(log) = context.logs.find(namespace, pod, container, query.previous) else {
        let which = if query.previous { "previous terminated container" } else { "container" };
        return text(StatusCode::NOT_FOUND, format!("{which} \"{container}\" in pod \"{namespace}/{pod}\" not found"));
    };
    let (sender, mut pieces) = mpsc::channel::<Vec<u8>>(16);
    tokio::spawn(async move {
        if let Err(error) = log.read(&query, sender).await {
            tracing::debug!(%error, path = %log.path.display(), "reading a log");
        }
    });
    let (mut frames, stream) = futures::channel::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let shutdown = context.shutdown.clone();
    tokio::spawn(async move {
        loop {
            let piece = tokio::select! {
                piece = pieces.recv() => piece,
                () = shutdown.cancelled() => None,
            };
            let Some(piece) = piece else { return };
            if !piece.is_empty() && frames.send(Ok(Frame::data(Bytes::from(piece)))).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(stream)));
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    response
}
