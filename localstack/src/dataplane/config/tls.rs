//! TLS of HTTPS listeners.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::CertificateId;
use crate::x509::{Facts, SecretKey};

/// TLS of an HTTPS listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// What clients get that name no server, or one that no certificate of the list is for.
    pub default: Arc<ServerCertificate>,
    /// The list from which the server name chooses.
    pub others: Vec<Arc<ServerCertificate>>,
    /// Whether TLS 1.2 is spoken. (TLS 1.0 and 1.1, which old policies allow too, are not served by this data plane.)
    pub tls12: bool,
    /// Whether TLS 1.3 is spoken.
    pub tls13: bool,
    /// Ciphers by OpenSSL's names, the preferred ones first. Those that are not forward secret or not authenticated are not served.
    pub ciphers: Vec<&'static str>,
    /// Names of the headers that tell targets the TLS version and the cipher; None: they are not told.
    pub headers: Option<(String, String)>,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerCertificate {
    /// Its id.
    pub id: CertificateId,
    /// What it says.
    pub facts: Facts,
    /// The certificate and those that lead to its authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: SecretKey,
}
