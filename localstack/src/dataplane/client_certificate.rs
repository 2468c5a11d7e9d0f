//! Certificates of clients: verified or passed through, and what targets are told about them.
//! Source: AWS, "Mutual authentication with TLS in Application Load Balancer".

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::config::{ClientAuthentication, ClientCertificateHeaders};
use super::log::ClientCertificateFacts;
use super::tls::note_client;
use crate::x509;

/// AWS: greatest depth of a client's chain of certificates.
const DEPTH_LIMIT: usize = 4;
/// PEM in a URL's encoding; AWS leaves `+=/` as they are.
const PEM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'+').remove(b'=').remove(b'/');

/// What targets are told about a client's certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientCertificate {
    /// It was not verified: all certificates that the client showed.
    Shown(String),
    /// It was verified.
    Verified { issuer: String, leaf: String, serial_number: String, subject: String, validity: String },
}

impl ClientCertificate {
    /// What there is to tell about what a client showed; None if that is nothing.
    pub(super) fn new(authentication: &ClientAuthentication, shown: &[CertificateDer<'_>]) -> Option<Self> {
        let leaf = shown.first()?;
        if *authentication == ClientAuthentication::Passthrough {
            return Some(Self::Shown(shown.iter().map(|certificate| pem(certificate)).collect()));
        }
        let facts = x509::facts(leaf)?;
        let ClientCertificateFacts { subject, validity, serial_number } = facts_for_logs(leaf)?;
        Some(Self::Verified { issuer: facts.issuer.rfc2253(), leaf: pem(leaf), serial_number, subject, validity })
    }
}

/// What logs tell of a client's certificate.
pub(super) fn facts_for_logs(leaf: &CertificateDer<'_>) -> Option<ClientCertificateFacts> {
    let facts = x509::facts(leaf)?;
    let moment = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    Some(ClientCertificateFacts {
        subject: facts.subject.rfc2253(),
        validity: format!("NotBefore={};NotAfter={}", moment(facts.not_before), moment(facts.not_after)),
        serial_number: serial_number(&facts.serial),
    })
}

/// A serial number in hex digits, without the byte that only says that the number is positive.
fn serial_number(pairs: &str) -> String {
    let digits = pairs.replace(':', "").to_ascii_uppercase();
    match digits.strip_prefix("00") {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => digits,
    }
}

/// A certificate in PEM, encoded as in a URL.
fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        // Base64 is ASCII.
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    utf8_percent_encode(&out, PEM).to_string()
}

/// Tells the target. What a client sent under these names goes.
pub(super) fn set_headers(headers: &mut HeaderMap, names: &ClientCertificateHeaders, certificate: Option<&ClientCertificate>) {
    let ClientCertificateHeaders { chain, issuer, leaf, serial_number, subject, validity } = names;
    for name in [chain, issuer, leaf, serial_number, subject, validity] {
        headers.remove(name.as_str());
    }
    let mut set = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.as_bytes())) {
            headers.insert(name, value);
        }
    };
    match certificate {
        None => {}
        Some(ClientCertificate::Shown(certificates)) => set(chain, certificates),
        Some(ClientCertificate::Verified { issuer: of, leaf: own, serial_number: number, subject: whose, validity: when }) => {
            for (name, value) in [(issuer, of), (leaf, own), (serial_number, number), (subject, whose), (validity, when)] {
                set(name, value);
            }
        }
    }
}

/// What verifies clients.
pub(super) fn verifier(
    authentication: &ClientAuthentication,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    Ok(match authentication {
        ClientAuthentication::Passthrough => Arc::new(AnyClient(Arc::clone(provider))),
        ClientAuthentication::Verify { trust, ignore_expiry, advertise } => {
            Arc::new(TrustedClient { inner: trust.verifier(provider, *advertise)?, ignore_expiry: *ignore_expiry })
        }
    })
}

/// Takes clients for which a trust store vouches.
#[derive(Debug)]
struct TrustedClient {
    inner: Arc<dyn ClientCertVerifier>,
    ignore_expiry: bool,
}

/// The first moment at which one of these certificates ends to be valid.
fn first_end(certificates: &[&CertificateDer<'_>]) -> Option<UnixTime> {
    let ends = certificates.iter().filter_map(|certificate| x509::facts(certificate)).map(|facts| facts.not_after.as_second());
    let end = u64::try_from(ends.min()?).ok()?;
    Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(end)))
}

impl ClientCertVerifier for TrustedClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        note_client(leaf);
        if others.len() >= DEPTH_LIMIT {
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        let verified = self.inner.verify_client_cert(leaf, others, now);
        let expired =
            matches!(verified, Err(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })));
        if !(expired && self.ignore_expiry) {
            return verified;
        }
        // All else must hold: it is judged as of the time when the first of them was about to expire.
        let all: Vec<&CertificateDer<'_>> = [leaf].into_iter().chain(others).collect();
        first_end(&all).map_or(verified, |end| self.inner.verify_client_cert(leaf, others, end))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Takes any client, with any certificate whose key it has, or with none.
#[derive(Debug)]
struct AnyClient(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(&self, leaf: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: UnixTime) -> Result<ClientCertVerified, Error> {
        note_client(leaf);
        match x509::facts(leaf) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
