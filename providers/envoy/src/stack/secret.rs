//! Secrets by reference: what they are made of is read when they are published.

use crate::observed::Version;
use portico_crds::NamespacedName;
use portico_providers::CaBundle;
use serde::{Deserialize, Serialize};

/// A secret of Envoy's (`envoy.extensions.transport_sockets.tls.v3.Secret`), and where its content comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// Its name among the resources.
    pub name: String,
    /// What it holds.
    pub material: SecretMaterial,
}

/// What a secret holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecretMaterial {
    /// A certificate with its private key, from a `kubernetes.io/tls` Secret.
    TlsCertificate {
        /// The Secret.
        secret: NamespacedName,
        /// SHA-256 of the leaf's DER, in hexadecimal.
        sha256: String,
    },
    /// The certificates of authorities, one after another.
    ValidationContext {
        /// Where they are.
        bundles: Vec<CaBundle>,
    },
}

impl SecretSource {
    /// Changes with what it holds, as far as the plan says.
    pub fn version(&self) -> Version {
        match &self.material {
            SecretMaterial::TlsCertificate { secret, sha256 } => Version::of(format!("{secret} {sha256}").as_bytes()),
            SecretMaterial::ValidationContext { bundles } => {
                let text: Vec<String> = bundles.iter().map(|bundle| format!("{} {}", bundle.source, bundle.sha256)).collect();
                Version::of(text.join("\n").as_bytes())
            }
        }
    }
}
