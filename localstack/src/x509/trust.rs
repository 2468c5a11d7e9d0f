//! Whom a server trusts to vouch for its clients: certificates of authorities, and lists of certificates that they took back.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::der::{Reader, tag};

/// Authorities and revocation lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustMaterial {
    /// Certificates of the authorities.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Revocation lists, of any of them.
    pub revocations: Vec<CertificateRevocationListDer<'static>>,
}

impl TrustMaterial {
    /// What verifies clients by it: who shows no certificate, one of another authority, or a revoked one is refused. A certificate whose
    /// authority has no revocation list counts as not revoked. With `advertise` clients are told the authorities' names.
    ///
    /// # Errors
    /// In words: which authority or list cannot be used.
    pub fn verifier(&self, provider: &Arc<CryptoProvider>, advertise: bool) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let mut roots = RootCertStore::empty();
        for authority in &self.authorities {
            roots.add(authority.clone()).map_err(|error| error.to_string())?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .with_crls(self.revocations.iter().cloned())
            .allow_unknown_revocation_status();
        let builder = if advertise { builder } else { builder.clear_root_hint_subjects() };
        builder.build().map_err(|error| error.to_string())
    }
}

/// The revocation lists of a PEM text. `None` if there is none or one is broken.
pub fn revocation_lists(pem: &[u8]) -> Option<Vec<CertificateRevocationListDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    found
        .ok()
        .filter(|found: &Vec<CertificateRevocationListDer<'static>>| !found.is_empty() && found.iter().all(|list| entries(list).is_some()))
}

/// How many certificates a revocation list names (RFC 5280, 5.1). `None` if it is no revocation list.
pub fn entries(list: &[u8]) -> Option<usize> {
    let mut outer = Reader::new(list);
    let mut fields = outer.expect(tag::SEQUENCE).filter(|_| outer.is_empty())?.inside().expect(tag::SEQUENCE)?.inside();
    fields.optional(tag::INTEGER);
    fields.expect(tag::SEQUENCE)?;
    fields.expect(tag::SEQUENCE)?;
    // This update, and perhaps the next.
    fields.optional(tag::UTC_TIME).or_else(|| fields.optional(tag::GENERALIZED_TIME))?;
    let _ = fields.optional(tag::UTC_TIME).or_else(|| fields.optional(tag::GENERALIZED_TIME));
    Some(fields.optional(tag::SEQUENCE).map_or(0, |revoked| revoked.inside().all().len()))
}
