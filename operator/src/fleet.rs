//! What `portico run` does for Envoy fleets besides passes: it serves xDS, reviews the tokens of proxies, and tells the other replicas how far its proxies are.

mod record;
pub mod replicas;
mod sheets;
pub mod tls;
pub mod tokens;
pub mod told;

use std::sync::Arc;

use anyhow::Context;
use portico_envoy_xds::Envoy;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::cli::XdsArguments;

/// Starts to listen for proxies; they are answered once everything is published.
pub async fn listen(arguments: &XdsArguments, envoy: &Envoy, tracker: &TaskTracker, stop: &CancellationToken) -> anyhow::Result<()> {
    let Some(address) = arguments.xds_listen else { return Ok(()) };
    let tls = match (&arguments.xds_certificate, &arguments.xds_key) {
        (Some(certificate), Some(key)) => {
            let files = tls::Files { certificate: certificate.clone(), key: key.clone(), clients: arguments.xds_client_ca.clone() };
            Some(tls::watched(files, tracker, stop)?)
        }
        _ => None,
    };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("proxies cannot be served at {address}; choose another address with --xds-listen"))?;
    let address = listener.local_addr().context("the address for proxies cannot be told")?;
    info!(%address, tls = tls.is_some(), "Envoy proxies are served by xDS");
    tracker.spawn(envoy.serve(listener, tls, stop.clone()));
    Ok(())
}

/// The cryptography of the server: that of all else in this process.
pub(crate) fn cryptography() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
