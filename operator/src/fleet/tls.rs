//! TLS of the xDS server: certificate, key and authorities from files, read again when they change, as cert-manager and Kubernetes renew them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use portico_envoy_xds::ServerTls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;
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

/// The server's TLS; a task reads it again when its files change, for connections that come in from then on.
///
/// # Errors
/// If a file cannot be read, or does not hold what it should.
pub fn watched(files: Files, tracker: &TaskTracker, stop: &CancellationToken) -> anyhow::Result<ServerTls> {
    let mut source = Source { read: contents(&files)?, files };
    let (sender, receiver) = watch::channel(Arc::new(config(&source.files)?));
    let stop = stop.clone();
    tracker.spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            match source.look() {
                Ok(None) => {}
                Ok(Some(config)) => {
                    sender.send_replace(Arc::new(config));
                    info!(file = %source.files.certificate.display(), "the TLS for proxies was renewed");
                }
                // Certificate and key are renewed one after the other.
                Err(error) => warn!(error = %crate::output::explain(&error), "the renewed TLS for proxies cannot be used yet"),
            }
        }
    });
    Ok(receiver)
}

/// Files, and what stood in them when they were last taken up.
struct Source {
    files: Files,
    read: Vec<Vec<u8>>,
}

impl Source {
    /// What the files hold, if it is not what was taken up last.
    fn look(&mut self) -> anyhow::Result<Option<ServerConfig>> {
        let now = contents(&self.files)?;
        if now == self.read {
            return Ok(None);
        }
        let config = config(&self.files)?;
        self.read = now;
        Ok(Some(config))
    }
}

fn config(files: &Files) -> anyhow::Result<ServerConfig> {
    let provider = super::cryptography();
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
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified(files)?)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// What stands in the files.
fn contents(files: &Files) -> anyhow::Result<Vec<Vec<u8>>> {
    let all = [Some(&files.certificate), Some(&files.key), files.clients.as_ref()];
    all.into_iter().flatten().map(|path| std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))).collect()
}

fn certified(files: &Files) -> anyhow::Result<CertifiedKey> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("{} holds no certificates", files.certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).with_context(|| format!("{} holds no private key", files.key.display()))?;
    CertifiedKey::from_der(chain, key, &super::cryptography())
        .with_context(|| format!("{} and {} do not belong together", files.certificate.display(), files.key.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use tempfile::TempDir;

    /// An authority's own certificate, and one that it signs with its key, in PEM.
    fn pair() -> (String, String, String) {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["portico.example.com".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        (authority.pem(), certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn files_that_change_are_taken_up_once_they_fit_together() {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
        let (authority, certificate, key) = pair();
        for (name, text) in [("ca.crt", &authority), ("tls.crt", &certificate), ("tls.key", &key)] {
            write(name, text);
        }
        let files = Files { certificate: path("tls.crt"), key: path("tls.key"), clients: Some(path("ca.crt")) };
        let mut source = Source { read: contents(&files).unwrap(), files };
        assert!(source.look().unwrap().is_none(), "nothing changed");

        let (authority, certificate, key) = pair();
        write("tls.crt", &certificate);
        let error = source.look().unwrap_err().to_string();
        assert!(error.ends_with("do not belong together"), "{error}");
        write("tls.key", &key);
        assert!(source.look().unwrap().is_some(), "certificate and key were not taken up");
        write("ca.crt", "");
        let error = source.look().unwrap_err().to_string();
        assert!(error.ends_with("ca.crt holds no certificate authority"), "{error}");
        write("ca.crt", &authority);
        assert!(source.look().unwrap().is_some(), "another authority of proxies was not taken up");
        assert!(source.look().unwrap().is_none(), "nothing changed");
    }
}
