//! Certificates for tests, made when they are asked for.

use async_trait::async_trait;
use portico_crds::NamespacedName;
use portico_providers::{CaBundleSource, KeyMaterial, ProviderError, Secrets};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// One authority, which signs a certificate for each Secret, valid for the names given.
pub struct Keys {
    authority: Issuer<'static, KeyPair>,
    pub authority_pem: String,
    names: Vec<String>,
    made: Mutex<BTreeMap<String, KeyMaterial>>,
}

impl Keys {
    pub fn new(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // An issuer with the leaf's own name would make a certificate look as if it had signed itself.
        parameters.distinguished_name.push(DnType::CommonName, "Authority");
        let authority_pem = parameters.self_signed(&key).unwrap().pem();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self { authority: Issuer::new(parameters, key), authority_pem, names, made: Mutex::default() }
    }

    /// The certificate of a Secret.
    pub fn material(&self, secret: &str) -> KeyMaterial {
        let make = || {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(self.names.clone()).unwrap().signed_by(&key, &self.authority).unwrap();
            KeyMaterial { sha256: String::new(), certificate: certificate.pem(), chain: String::new(), key: key.serialize_pem().into() }
        };
        self.made.lock().unwrap().entry(secret.to_owned()).or_insert_with(make).clone()
    }
}

#[async_trait]
impl Secrets for Keys {
    async fn tls(&self, secret: &NamespacedName) -> Result<KeyMaterial, ProviderError> {
        Ok(self.material(&secret.to_string()))
    }

    async fn ca_bundle(&self, _source: &CaBundleSource) -> Result<String, ProviderError> {
        Ok(self.authority_pem.clone())
    }
}
