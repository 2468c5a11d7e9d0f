//! `/healthz`, `/readyz` and `/metrics` on one address.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// What the endpoints tell.
#[derive(Default)]
pub struct Health {
    ready: AtomicBool,
    waiting: Mutex<String>,
    metrics: Arc<Metrics>,
}

impl Health {
    /// Not ready yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..Self::default() }
    }

    /// What is waited for until the process is ready, for a person.
    pub fn set_waiting(&self, what: impl Into<String>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
    }

    /// All stores are synced: a replica that is ready could take over at once, whether or not it leads.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Whether the process is ready.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Serves until `stop`. Returns the address that was bound and the task to run.
    pub async fn serve(
        self: Arc<Self>,
        address: SocketAddr,
        stop: CancellationToken,
    ) -> anyhow::Result<(SocketAddr, impl Future<Output = std::io::Result<()>> + Send + 'static)> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} for health and metrics"))?;
        let bound = listener.local_addr().context("cannot read the bound address")?;
        let router = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self);
        let server = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
        Ok((bound, async move { server.await }))
    }
}

async fn ready(State(health): State<Arc<Health>>) -> impl IntoResponse {
    if health.is_ready() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let waiting = health.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: waiting for {waiting}\n"))
}

async fn metrics(State(health): State<Arc<Health>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], health.metrics.render())
}
