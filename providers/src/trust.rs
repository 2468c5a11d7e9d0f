//! Whom to trust: certificate authorities by reference, and how the certificates of backends are checked.

use crate::Hostname;
use portico_crds::NamespacedName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Certificates of authorities, by reference. Whoever needs them in PEM asks for them where they are ([`crate::Secrets::ca_bundle`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaBundle {
    /// Where they are.
    pub source: CaBundleSource,
    /// SHA-256 of the PEM text, in hexadecimal: another text is another bundle.
    pub sha256: String,
}

/// Where certificates of authorities are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CaBundleSource {
    /// A ConfigMap, under the key `ca.crt`.
    ConfigMap(NamespacedName),
    /// A ClusterTrustBundle (certificates.k8s.io), by name, under `spec.trustBundle`.
    ClusterTrustBundle(String),
}

impl fmt::Display for CaBundleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigMap(key) => write!(f, "ConfigMap {key}"),
            Self::ClusterTrustBundle(name) => write!(f, "ClusterTrustBundle {name}"),
        }
    }
}

/// A BackendTLSPolicy that holds: TLS towards a Service's endpoints, and how their certificates are checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsPolicy {
    /// Its namespace and name, by which [`crate::ServiceBackend::tls_policy`] refers to it.
    pub key: NamespacedName,
    /// `validation.hostname`, never a wildcard: the server name (SNI) that is sent, and the name that the certificate must be for unless
    /// `subject_alt_names` says otherwise.
    pub hostname: Hostname,
    /// `validation.subjectAltNames`: the certificate must have one of them; if there are any, `hostname` is no longer compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject_alt_names: Vec<SubjectAltName>,
    /// Who must have signed the certificate.
    pub authorities: Authorities,
    /// `options`: provider-specific settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// A name that a certificate may have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SubjectAltName {
    /// A DNS name.
    Hostname(Hostname),
    /// A URI, compared as a whole: `spiffe://cluster.example/ns/a/sa/b`.
    Uri(String),
}

/// Who must have signed a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Authorities {
    /// `wellKnownCACertificates: System`: those that the proxy's system trusts.
    System,
    /// Any of these; never empty.
    Bundles(Vec<CaBundle>),
}
