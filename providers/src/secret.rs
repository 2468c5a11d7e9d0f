//! Where the private keys of certificates, and the certificates of authorities, come from at the moment when one is uploaded.

use crate::{CaBundleSource, ProviderError};
use async_trait::async_trait;
use portico_crds::NamespacedName;
use std::fmt;
use zeroize::Zeroizing;

/// Reads Secrets and certificates of authorities. Plans hold no keys: a provider asks for one when it uploads it, and keeps nothing of it.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The certificate and the private key of a `kubernetes.io/tls` Secret as it is now, which may be newer than what the plan says.
    ///
    /// # Errors
    /// [`ProviderError::NotReady`] if there is no such Secret, or nothing usable in it; [`ProviderError::Transient`] if it cannot be read now.
    async fn tls(&self, secret: &NamespacedName) -> Result<KeyMaterial, ProviderError>;

    /// The certificates of authorities, in PEM, as they are now, which may be newer than what the plan says.
    ///
    /// # Errors
    /// [`ProviderError::NotReady`] if there is no such object, or nothing usable in it; [`ProviderError::Transient`] if it cannot be read now.
    async fn ca_bundle(&self, source: &CaBundleSource) -> Result<String, ProviderError>;
}

/// A certificate with its private key. Neither is shown by `Debug`, and the key's memory is overwritten when this is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyMaterial {
    /// SHA-256 of the leaf's DER, in hexadecimal.
    pub sha256: String,
    /// The leaf, in PEM.
    pub certificate: String,
    /// The other certificates of the chain, in PEM; empty if there are none.
    pub chain: String,
    /// The private key, in PEM.
    pub key: Zeroizing<String>,
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMaterial").field("sha256", &self.sha256).finish_non_exhaustive()
    }
}
