//! Handshakes with clients, and what the logs say of them.

use std::{cell::RefCell, io, sync::Arc, time::Duration};

use rustls::{
    CertificateError, CipherSuite, Error, HandshakeKind, NamedGroup, ServerConfig,
    pki_types::CertificateDer,
    server::{Acceptor, ClientHello},
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server};

use super::{CIPHERS, Candidate, HANDSHAKE_TIMEOUT, TlsTable, protocol};
use crate::dataplane::{
    client_certificate::{self, ClientCertificate},
    config::CertificateId,
    log::ClientCertificateFacts,
};
use crate::x509::KeyType;

tokio::task_local! {
    /// The certificate that the client of the running handshake showed. Nothing but the verifier of clients sees it if the handshake fails.
    static SHOWN: RefCell<Option<ClientCertificateFacts>>;
}

/// Notes the certificate of the running handshake's client, if the logs want it.
pub(in super::super) fn note_client(leaf: &CertificateDer<'_>) {
    // Outside of a handshake whose listener is logged there is no place for it.
    let _ = SHOWN.try_with(|shown| *shown.borrow_mut() = client_certificate::facts_for_logs(leaf));
}

/// A handshake that worked out.
#[derive(Debug)]
pub(in super::super) struct Accepted {
    pub(in super::super) stream: server::TlsStream<TcpStream>,
    pub(in super::super) session: TlsSession,
}

/// One that did not. The connection is closed.
#[derive(Debug)]
pub(in super::super) struct Refused {
    /// What the client said first, if that could be read.
    pub(in super::super) hello: Option<Hello>,
    /// As connection logs name it.
    pub(in super::super) code: &'static str,
    /// The alert that the client sent.
    pub(in super::super) alert: Option<u8>,
    /// The certificate that it showed.
    pub(in super::super) client: Option<ClientCertificateFacts>,
}

impl Refused {
    fn new(hello: Option<Hello>, error: Option<&io::Error>) -> Self {
        let error = error.and_then(|error| error.get_ref()?.downcast_ref::<Error>());
        let alert = match error {
            Some(Error::AlertReceived(alert)) => Some(u8::from(*alert)),
            _ => None,
        };
        let client = SHOWN.try_with(RefCell::take).unwrap_or_default();
        Self { hello, code: error.map_or(UNMAPPED, code), alert, client }
    }
}

/// What a client said first, and what the listener makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Hello {
    /// The server's name that it asked for.
    pub(in super::super) server_name: Option<String>,
    /// Whether a certificate is for that name.
    pub(in super::super) fits: bool,
    /// The protocols that it offered by ALPN.
    pub(in super::super) protocols: Option<Vec<String>>,
    /// The certificate that it is shown.
    pub(in super::super) certificate: CertificateId,
    /// Protocol and cipher that both have.
    pub(in super::super) tls: Option<(&'static str, &'static str)>,
}

/// What a handshake led to, as targets and logs are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct TlsSession {
    /// Such as `TLSv1.3`.
    pub(in super::super) version: &'static str,
    /// Such as `ECDHE-RSA-AES128-GCM-SHA256`.
    pub(in super::super) cipher: &'static str,
    /// The certificate that the client showed.
    pub(in super::super) client: Option<Arc<ClientCertificate>>,
    pub(in super::super) hello: Hello,
    /// An earlier session was resumed, without certificates.
    pub(in super::super) resumed: bool,
    /// Such as `X25519MLKEM768`.
    pub(in super::super) key_exchange: Option<&'static str>,
    /// How long the handshake took.
    pub(in super::super) handshake: Duration,
    /// What the certificate says that the client showed.
    pub(in super::super) client_facts: Option<ClientCertificateFacts>,
}

impl TlsSession {
    /// The server's name that the client asked for, if a certificate is for it.
    pub(in super::super) fn domain(&self) -> Option<&str> {
        self.hello.server_name.as_deref().filter(|_| self.hello.fits)
    }

    /// The certificate that the client was shown, as access logs name it.
    pub(in super::super) fn certificate(&self) -> &str {
        if self.resumed { "session-reused" } else { self.hello.certificate.as_str() }
    }
}

impl TlsTable {
    /// Shakes hands with a client. `logged`: the certificate of a client that is refused is wanted.
    pub(in super::super) async fn accept(&self, stream: TcpStream, logged: bool) -> Result<Accepted, Box<Refused>> {
        let handshake = async {
            let mut hello = None;
            let accepted = timeout(HANDSHAKE_TIMEOUT, self.shake_hands(stream, &mut hello)).await;
            match accepted {
                Ok(Ok(accepted)) => Ok(accepted),
                Ok(Err(error)) => {
                    tracing::info!(target: "portico_cloud::access", "a TLS handshake failed: {error}");
                    Err(Box::new(Refused::new(hello, Some(&error))))
                }
                Err(_) => Err(Box::new(Refused::new(hello, None))),
            }
        };
        let wants_client = logged && self.config.clients.is_some();
        if wants_client { SHOWN.scope(RefCell::default(), handshake).await } else { handshake.await }
    }

    async fn shake_hands(&self, stream: TcpStream, known: &mut Option<Hello>) -> io::Result<Accepted> {
        let started = Instant::now();
        let server = self.server.as_ref().map_err(|error| {
            tracing::error!(%error, "a listener's TLS cannot be served");
            io::Error::other("a listener's TLS cannot be served")
        })?;
        let first = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let (hello, agrees) = self.judge(&first.client_hello(), &server.certificates);
        *known = Some(hello.clone());
        let config = if agrees || self.negotiation.required {
            Arc::clone(&server.config)
        } else {
            let mut without = ServerConfig::clone(&server.config);
            without.alpn_protocols.clear();
            Arc::new(without)
        };
        let stream = first.into_stream(config).await?;
        let session = self.session(&stream, hello, started.elapsed());
        Ok(Accepted { stream, session })
    }

    /// What the listener makes of a client's first message, and whether they have a protocol of ALPN in common.
    fn judge(&self, hello: &ClientHello<'_>, certificates: &super::Certificates) -> (Hello, bool) {
        let offered = hello.alpn().map(|offered| offered.map(<[u8]>::to_vec).collect::<Vec<_>>());
        let ours = |offered: &Vec<u8>| self.negotiation.protocols.iter().any(|protocol| protocol.as_bytes() == offered);
        let agrees = offered.iter().flatten().any(ours);
        let chosen = certificates.choose(hello.server_name(), hello.signature_schemes(), jiff::Timestamp::now());
        let said = Hello {
            server_name: hello.server_name().map(str::to_owned),
            fits: hello.server_name().is_some_and(|name| chosen.fit(&name.to_ascii_lowercase()).is_some()),
            protocols: offered.map(|all| all.iter().map(|one| String::from_utf8_lossy(one).into_owned()).collect()),
            certificate: chosen.id.clone(),
            tls: self.common(hello.cipher_suites(), chosen),
        };
        (said, agrees)
    }

    /// Protocol and cipher that a handshake leads to if nothing else stands against it: the listener's preferred one.
    fn common(&self, offered: &[CipherSuite], certificate: &Candidate) -> Option<(&'static str, &'static str)> {
        let mutual = self.config.ciphers.iter().filter_map(|name| CIPHERS.iter().find(|(known, _)| known == name));
        let mutual: Vec<&'static str> = mutual.filter(|(_, suite)| offered.contains(suite)).map(|(name, _)| *name).collect();
        let authenticates = match certificate.kind {
            KeyType::Ec(_) => "-ECDSA-",
            KeyType::Rsa(_) | KeyType::Other => "-RSA-",
        };
        let modern = mutual.iter().find(|name| self.config.tls13 && name.starts_with("TLS_"));
        let older = || mutual.iter().find(|name| self.config.tls12 && name.contains(authenticates));
        modern.map(|name| ("TLSv1.3", *name)).or_else(|| older().map(|name| ("TLSv1.2", *name)))
    }

    fn session(&self, stream: &server::TlsStream<TcpStream>, hello: Hello, handshake: Duration) -> TlsSession {
        let (_, connection) = stream.get_ref();
        let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
        let shown = self.config.clients.as_ref().zip(connection.peer_certificates());
        let client = shown.and_then(|(clients, shown)| ClientCertificate::new(&clients.authentication, shown)).map(Arc::new);
        TlsSession {
            version: protocol(connection.protocol_version()),
            cipher: CIPHERS.iter().find(|(_, known)| Some(*known) == suite).map_or("-", |(name, _)| *name),
            client,
            hello,
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            key_exchange: connection.negotiated_key_exchange_group().and_then(|group| group_name(group.name())),
            handshake,
            client_facts: shown.and_then(|(_, shown)| client_certificate::facts_for_logs(shown.first()?)),
        }
    }
}

/// The groups that rustls has, by IANA's names.
fn group_name(group: NamedGroup) -> Option<&'static str> {
    Some(match group {
        NamedGroup::secp256r1 => "secp256r1",
        NamedGroup::secp384r1 => "secp384r1",
        NamedGroup::secp521r1 => "secp521r1",
        NamedGroup::X25519 => "x25519",
        NamedGroup::secp256r1MLKEM768 => "SecP256r1MLKEM768",
        NamedGroup::X25519MLKEM768 => "X25519MLKEM768",
        _ => return None,
    })
}

const UNMAPPED: &str = "UnmappedConnectionError";

/// An error as connection logs name it (AWS, "Error reason codes").
fn code(error: &Error) -> &'static str {
    let Error::InvalidCertificate(reason) = error else {
        return if matches!(error, Error::InvalidCertRevocationList(_)) { "ClientCertCrlProcessingError" } else { UNMAPPED };
    };
    match reason {
        // The one thing that is refused by the listener itself, and not by what verifies certificates.
        CertificateError::ApplicationVerificationFailure => "ClientCertMaxChainDepthExceeded",
        CertificateError::Revoked => "ClientCertCrlHit",
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => "ClientCertCrlProcessingError",
        CertificateError::UnknownIssuer | CertificateError::BadSignature => "ClientCertUntrusted",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "ClientCertNotYetValid",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "ClientCertExpired",
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => "ClientCertTypeUnsupported",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "ClientCertPurposeInvalid",
        CertificateError::BadEncoding | CertificateError::UnhandledCriticalExtension => "ClientCertInvalid",
        _ => UNMAPPED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_documented_codes() {
        for (reason, expected) in [
            (CertificateError::Expired, "ClientCertExpired"),
            (CertificateError::NotValidYet, "ClientCertNotYetValid"),
            (CertificateError::UnknownIssuer, "ClientCertUntrusted"),
            (CertificateError::Revoked, "ClientCertCrlHit"),
            (CertificateError::InvalidPurpose, "ClientCertPurposeInvalid"),
            (CertificateError::BadEncoding, "ClientCertInvalid"),
            (CertificateError::ApplicationVerificationFailure, "ClientCertMaxChainDepthExceeded"),
            (CertificateError::NotValidForName, "UnmappedConnectionError"),
        ] {
            assert_eq!(code(&Error::InvalidCertificate(reason)), expected);
        }
        assert_eq!(code(&Error::NoCertificatesPresented), "UnmappedConnectionError");
        let error = io::Error::other(Error::AlertReceived(rustls::AlertDescription::UnknownCA));
        assert_eq!(Refused::new(None, Some(&error)).alert, Some(48));
    }
}
