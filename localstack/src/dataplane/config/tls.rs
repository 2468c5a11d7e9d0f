//! TLS of HTTPS listeners.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::CertificateId;
use crate::x509::trust::TrustMaterial;
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
    /// Certificates of clients. None: they are not asked for one.
    pub clients: Option<ClientCertificates>,
}

/// What is asked of clients, and what targets are told.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientCertificates {
    /// What is asked of clients.
    pub authentication: ClientAuthentication,
    /// Names of the headers that tell targets about a client's certificate.
    pub headers: ClientCertificateHeaders,
}

/// What is asked of clients.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientAuthentication {
    /// A certificate may be shown; it goes to the target unverified.
    Passthrough,
    /// A certificate must be shown, and one of the authorities must vouch for it.
    Verify {
        /// The authorities and their revocation lists.
        trust: Arc<TrustMaterial>,
        /// Whether expired certificates are taken.
        ignore_expiry: bool,
        /// Whether clients are told the names of the authorities.
        advertise: bool,
    },
}

/// Names of the headers that tell targets about a client's certificate: all but the first one if it was verified, else the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificateHeaders {
    /// All certificates that the client showed.
    pub chain: String,
    /// The issuer's name.
    pub issuer: String,
    /// The client's own certificate.
    pub leaf: String,
    /// Its serial number.
    pub serial_number: String,
    /// Its subject.
    pub subject: String,
    /// When it is valid.
    pub validity: String,
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
