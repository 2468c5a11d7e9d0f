//! The lab's own certificate authority and what it signs; made afresh for each run, gone with it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The private key's file.
    pub key: PathBuf,
}

/// The lab's certificates.
pub struct Pki {
    /// The folder of all the files.
    pub dir: PathBuf,
    /// The authority's certificate, as a file.
    pub ca: PathBuf,
    /// The authority's certificate, as PEM.
    pub ca_pem: String,
    /// What the API server shows.
    pub apiserver: Identity,
    /// What the API server shows to the kubelet.
    pub kubelet_client: Identity,
    /// What the kubelet shows to the API server.
    pub kubelet: Identity,
    /// The key that signs ServiceAccount tokens.
    pub service_account_key: PathBuf,
    /// The key that proves them.
    pub service_account_public_key: PathBuf,
}

impl Pki {
    /// Makes an authority and everything that it signs; `names` are the names and addresses of the lab's servers.
    pub fn create(dir: &Path, names: Vec<String>) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let mut params = CertificateParams::new(Vec::new()).context("authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "portico-lab");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("the authority's key")?;
        let ca_pem = params.self_signed(&key).context("the authority's certificate")?.pem();
        let ca = dir.join("ca.crt");
        fs::write(&ca, &ca_pem).context("cannot write the authority's certificate")?;
        let authority = Authority { dir, issuer: Issuer::new(params, key) };

        let service_account_key = dir.join("service-account.key");
        let signing = KeyPair::generate().context("the key of ServiceAccount tokens")?;
        fs::write(&service_account_key, signing.serialize_pem()).context("cannot write the key of ServiceAccount tokens")?;
        let service_account_public_key = dir.join("service-account.pub");
        fs::write(&service_account_public_key, signing.public_key_pem()).context("cannot write the key of ServiceAccount tokens")?;
        Ok(Self {
            dir: dir.to_path_buf(),
            ca,
            ca_pem,
            apiserver: authority.issue("apiserver", "kube-apiserver", None, names.clone())?,
            kubelet_client: authority.issue("kubelet-client", "kube-apiserver-kubelet-client", Some("system:masters"), Vec::new())?,
            kubelet: authority.issue("kubelet", "system:node:lab", Some("system:nodes"), names)?,
            service_account_key,
            service_account_public_key,
        })
    }
}

struct Authority<'a> {
    dir: &'a Path,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority<'_> {
    fn issue(&self, file: &str, name: &str, organization: Option<&str>, names: Vec<String>) -> Result<Identity> {
        let mut params = CertificateParams::new(names).with_context(|| format!("the names of {name}"))?;
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(organization) = organization {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().with_context(|| format!("the key of {name}"))?;
        let certificate = params.signed_by(&key, &self.issuer).with_context(|| format!("the certificate of {name}"))?;
        let identity = Identity { certificate: self.dir.join(format!("{file}.crt")), key: self.dir.join(format!("{file}.key")) };
        fs::write(&identity.certificate, certificate.pem()).with_context(|| format!("cannot write the certificate of {name}"))?;
        fs::write(&identity.key, key.serialize_pem()).with_context(|| format!("cannot write the key of {name}"))?;
        Ok(identity)
    }
}
