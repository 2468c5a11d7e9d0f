//! The aggregated discovery service over gRPC: connections, TLS, keepalive, the end.

use crate::ads::{Ads, DeltaService, WorldService};
use crate::identity::Credentials;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::server::Grpc;
use tonic_prost::ProstCodec;

/// Between pings on a connection on which nothing happens.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// A ping must be answered within this time.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A handshake must be over within this time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Proxies that lost their connection are given this much time to end it in order, when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);
/// Streams of one connection: a proxy needs one.
const STREAMS: u32 = 16;

const DELTA: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
const WORLD: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

/// TLS of the server: what connections that come in from now on get.
pub type ServerTls = watch::Receiver<Arc<rustls::ServerConfig>>;

/// Serves until `stop` is cancelled; then streams end in order, so that proxies connect elsewhere.
pub(crate) async fn serve(ads: Ads, listener: TcpListener, tls: Option<ServerTls>, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files, mostly: not worth ending everybody's streams for.
                tracing::warn!(%error, "cannot accept a proxy's connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        drop(socket.set_nodelay(true));
        let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(tls.borrow().clone()));
        let (ads, stop) = (ads.clone(), stop.clone());
        connections.spawn(async move {
            let Some(acceptor) = acceptor else { return connection(ads, socket, Credentials::default(), stop).await };
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await {
                Ok(Ok(secured)) => {
                    let certificate = secured.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    let credentials = certificate.map(|der| Credentials::of_certificate(der)).unwrap_or_default();
                    connection(ads, secured, credentials, stop).await;
                }
                Ok(Err(error)) => tracing::info!(%peer, %error, "the TLS handshake of a proxy failed"),
                Err(_) => tracing::info!(%peer, "the TLS handshake of a proxy took too long"),
            }
        });
    }
    connections.close();
    if tokio::time::timeout(FAREWELL, connections.wait()).await.is_err() {
        tracing::warn!("some proxies did not end their streams in time");
    }
}

async fn connection<S>(ads: Ads, socket: S, credentials: Credentials, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let credentials = Arc::new(credentials);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (ads, credentials) = (ads.clone(), credentials.clone());
        async move {
            let response = match request.uri().path() {
                DELTA => Grpc::new(ProstCodec::default()).streaming(DeltaService { ads, credentials }, request).await,
                WORLD => Grpc::new(ProstCodec::default()).streaming(WorldService { ads, credentials }, request).await,
                _ => Status::unimplemented("this server has the aggregated discovery service (ADS) only").into_http(),
            };
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(64 * 1024);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(socket), service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            // GOAWAY; the streams end by the same token.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a proxy's connection ended");
    }
}
