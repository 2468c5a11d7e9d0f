//! TLS of the xDS server: a certificate from files, read again when they change, as cert-manager and Kubernetes renew them.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// How often the files are looked at. Kubernetes itself brings a changed Secret to a volume within a minute or so.
const LOOK: Duration = Duration::from_secs(10);

/// Where certificate, key and the authority of clients are, in PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The server's chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities of client certificates. With them a client may show one, and fleets that are identified by certificates are served.
    pub clients: Option<PathBuf>,
}

/// A certificate that can be exchanged while connections come in.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// The server's TLS; a task reads the certificate again when its files change.
///
/// # Errors
/// If a file cannot be read, or does not hold what it should.
pub fn config(files: Files, tracker: &TaskTracker, stop: &CancellationToken) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = super::cryptography();
    let mut read = contents(&files)?;
    let current = Arc::new(Current(RwLock::new(Arc::new(certified(&files)?))));
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context("no version of TLS can be used")?;
    let builder = match &files.clients {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for der in CertificateDer::pem_file_iter(path).with_context(|| format!("{} cannot be read", path.display()))? {
                roots.add(der.with_context(|| format!("{} holds no certificates", path.display()))?)?;
            }
            // Whether one is needed is each fleet's business.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).allow_unauthenticated().build();
            builder.with_client_cert_verifier(verifier.with_context(|| format!("{} holds no certificate authority", path.display()))?)
        }
    };
    let mut config = builder.with_cert_resolver(current.clone());
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stop = stop.clone();
    tracker.spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let Ok(now) = contents(&files) else { continue };
            if now == read {
                continue;
            }
            match certified(&files) {
                Ok(key) => {
                    *current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                    read = now;
                    info!(file = %files.certificate.display(), "the certificate for proxies was renewed");
                }
                // Certificate and key are renewed one after the other.
                Err(error) => warn!(error = %crate::output::explain(&error), "the renewed certificate for proxies cannot be used yet"),
            }
        }
    });
    Ok(Arc::new(config))
}

fn contents(files: &Files) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()));
    Ok((read(&files.certificate)?, read(&files.key)?))
}

fn certified(files: &Files) -> anyhow::Result<CertifiedKey> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("{} holds no certificates", files.certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).with_context(|| format!("{} holds no private key", files.key.display()))?;
    CertifiedKey::from_der(chain, key, &super::cryptography())
        .with_context(|| format!("{} and {} do not belong together", files.certificate.display(), files.key.display()))
}
