//! Kubeconfig files: one server, one user with a token.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What a kubeconfig of the lab says.
#[derive(Debug, Clone, Copy)]
pub struct Kubeconfig<'a> {
    /// The API server's URL.
    pub server: &'a str,
    /// The authority that signed the server's certificate, as PEM.
    pub ca: &'a str,
    /// The user's name in the file.
    pub user: &'a str,
    /// The user's bearer token.
    pub token: &'a str,
}

impl Kubeconfig<'_> {
    /// Writes the file, readable by its owner alone.
    pub fn write(&self, path: &Path) -> Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let staged = path.with_extension("staged");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&staged)
            .with_context(|| format!("cannot write {}", staged.display()))?;
        // JSON is YAML.
        serde_json::to_writer_pretty(&mut file, &self.document()).with_context(|| format!("cannot write {}", staged.display()))?;
        fs::rename(&staged, path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The configuration of a client with these credentials.
    pub fn client_config(&self) -> Result<kube_client::Config> {
        let mut config = kube_client::Config::new(self.server.parse().context("the API server's URL")?);
        let certificates = rustls::pki_types::pem::PemObject::pem_slice_iter(self.ca.as_bytes())
            .map(|certificate: Result<rustls::pki_types::CertificateDer<'_>, _>| certificate.map(|certificate| certificate.to_vec()))
            .collect::<Result<Vec<_>, _>>()
            .context("the authority's certificate")?;
        config.root_cert = Some(certificates);
        config.auth_info.token = Some(self.token.to_owned().into());
        Ok(config)
    }

    fn document(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {"server": self.server, "certificate-authority-data": STANDARD.encode(self.ca)}}],
            "users": [{"name": self.user, "user": {"token": self.token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": self.user}}],
            "current-context": "lab",
        })
    }
}
