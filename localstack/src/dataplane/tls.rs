//! TLS: towards clients with certificates chosen by server name, towards targets without validation.

use std::{
    io,
    sync::{Arc, LazyLock},
    time::Duration,
};

use jiff::Timestamp;
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client, server};

use super::client_certificate;
use super::config::{CertificateId, ServerCertificate, Tls};
use crate::x509::KeyType;

mod handshake;

pub(super) use handshake::{Accepted, Refused, TlsSession, note_client};

/// How long a handshake may take, with clients and with targets (AWS: 10 s for targets).
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The ciphers that rustls has, by the names that security policies give them.
const CIPHERS: &[(&str, CipherSuite)] = &[
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
];

/// TLS of a listener, ready for handshakes.
#[derive(Debug)]
pub(super) struct TlsTable {
    pub(super) config: Tls,
    negotiation: Negotiation,
    /// Or why there can be none.
    server: Result<Server, String>,
}

#[derive(Debug)]
struct Server {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

/// What is negotiated by ALPN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Negotiation {
    /// The preferred one first.
    pub(super) protocols: Vec<&'static str>,
    /// Whether a client that offers ALPN must offer one of them. If not, it goes on without ALPN.
    pub(super) required: bool,
}

impl Negotiation {
    /// That of HTTPS listeners.
    pub(super) fn of_http(http2: bool) -> Self {
        Self { protocols: if http2 { vec!["h2", "http/1.1"] } else { vec!["http/1.1"] }, required: true }
    }
}

impl TlsTable {
    /// Makes it ready, or takes over what is ready already.
    pub(super) fn new(config: &Tls, negotiation: Negotiation, previous: Option<&Arc<Self>>) -> Arc<Self> {
        match previous {
            Some(previous) if previous.negotiation == negotiation && previous.config == *config => Arc::clone(previous),
            _ => Arc::new(Self { server: server(config, &negotiation), config: config.clone(), negotiation }),
        }
    }
}

/// What client and load balancer negotiated by ALPN.
pub(super) fn negotiated(stream: &server::TlsStream<TcpStream>) -> Option<&'static str> {
    let agreed = stream.get_ref().1.alpn_protocol()?;
    ALPN.into_iter().find(|name| name.as_bytes() == agreed)
}

/// What load balancer and target agreed on by ALPN.
pub(super) fn agreed(stream: &client::TlsStream<TcpStream>) -> Option<&'static str> {
    let agreed = stream.get_ref().1.alpn_protocol()?;
    ALPN.into_iter().find(|name| name.as_bytes() == agreed)
}

/// A protocol's name in headers and logs.
fn protocol(version: Option<rustls::ProtocolVersion>) -> &'static str {
    match version {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLSv1.2",
    }
}

/// Whether client and load balancer agreed on HTTP/2.
pub(super) fn is_http2(stream: &server::TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

fn server(config: &Tls, negotiation: &Negotiation) -> Result<Server, String> {
    let mut provider = aws_lc_rs::default_provider();
    let all = std::mem::take(&mut provider.cipher_suites);
    let wanted = config.ciphers.iter().filter_map(|name| CIPHERS.iter().find(|(known, _)| known == name));
    provider.cipher_suites = wanted.filter_map(|(_, suite)| all.iter().find(|known| known.suite() == *suite).copied()).collect();
    let mut versions: Vec<&'static SupportedProtocolVersion> = Vec::new();
    versions.extend(config.tls13.then_some(&TLS13));
    versions.extend(config.tls12.then_some(&TLS12));
    let certificates = Arc::new(Certificates {
        default: Candidate::new(&config.default, &provider)?,
        others: config.others.iter().map(|certificate| Candidate::new(certificate, &provider)).collect::<Result<_, _>>()?,
    });
    let provider = Arc::new(provider);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions);
    let builder = builder.map_err(|error| error.to_string())?;
    let builder = match &config.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(client_certificate::verifier(&clients.authentication, &provider)?),
    };
    let mut server = builder.with_cert_resolver(Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>);
    if config.clients.is_some() {
        // AWS does not resume sessions in which clients show certificates.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
    }
    server.ignore_client_order = true;
    server.alpn_protocols = negotiation.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(Server { config: Arc::new(server), certificates })
}

/// The certificates of a listener.
#[derive(Debug)]
struct Certificates {
    default: Candidate,
    others: Vec<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    id: CertificateId,
    kind: KeyType,
    names: Vec<String>,
    not_after: Timestamp,
    /// AWS prefers ECDSA to RSA, then the longer hash, the longer key, the longer validity.
    rank: (bool, u16, usize, i64),
    key: Arc<CertifiedKey>,
}

/// How well a certificate's name fits a server's; more specific ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Wildcard,
    Exact,
}

impl Candidate {
    fn new(certificate: &ServerCertificate, provider: &CryptoProvider) -> Result<Self, String> {
        let key = provider.key_provider.load_private_key(certificate.key.0.clone_key());
        let key = key.map_err(|error| format!("the key of {} cannot be served: {error}", certificate.id))?;
        let facts = &certificate.facts;
        let hash = match facts.signature_oid.as_str() {
            "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => 256,
            "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => 384,
            "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => 512,
            _ => 1,
        };
        let (ecdsa, bits) = match facts.key {
            KeyType::Ec(bits) => (true, bits),
            KeyType::Rsa(bits) => (false, bits),
            KeyType::Other => (false, 0),
        };
        let validity = facts.not_after.as_second().saturating_sub(facts.not_before.as_second());
        Ok(Self {
            id: certificate.id.clone(),
            kind: facts.key,
            names: facts.names().iter().map(|name| name.to_ascii_lowercase()).collect(),
            not_after: facts.not_after,
            rank: (ecdsa, hash, bits, validity),
            key: Arc::new(CertifiedKey::new(certificate.chain.clone(), key)),
        })
    }

    /// A wildcard stands for exactly one label.
    fn fit(&self, server: &str) -> Option<Fit> {
        let fit = |name: &String| match name.strip_prefix('*') {
            None => (name == server).then_some(Fit::Exact),
            Some(suffix) => server.strip_suffix(suffix).filter(|label| !label.is_empty() && !label.contains('.')).map(|_| Fit::Wildcard),
        };
        self.names.iter().filter_map(fit).max()
    }
}

impl Certificates {
    fn choose(&self, server: Option<&str>, schemes: &[SignatureScheme], now: Timestamp) -> &Candidate {
        let server = server.map(str::to_ascii_lowercase);
        let fitting = self.others.iter().filter_map(|candidate| {
            candidate.key.key.choose_scheme(schemes)?;
            Some((candidate.fit(server.as_deref()?)?, candidate.not_after > now, candidate.rank, candidate))
        });
        fitting.max_by_key(|(fit, valid, rank, _)| (*fit, *valid, *rank)).map_or(&self.default, |(_, _, _, candidate)| candidate)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.choose(hello.server_name(), hello.signature_schemes(), Timestamp::now()).key))
    }
}

/// Takes whatever certificate a target shows, as AWS does.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The protocols that are negotiated by ALPN.
const ALPN: [&str; 3] = ["h2", "http/1.1", "http/1.0"];

/// TLS towards targets, by what is offered by ALPN.
static TARGET_TLS: LazyLock<Vec<TargetTls>> = LazyLock::new(|| {
    let offers = [None].into_iter().chain(ALPN.map(Some));
    offers.map(|alpn| (alpn, target_config(alpn).map(Arc::new).map_err(|error| error.to_string()))).collect()
});

type TargetTls = (Option<&'static str>, Result<Arc<ClientConfig>, String>);

/// TLS towards a host whose name matters to it.
static NAMED_TLS: LazyLock<Result<Arc<ClientConfig>, String>> = LazyLock::new(|| {
    let mut config = target_config(None).map_err(|error| error.to_string())?;
    config.enable_sni = true;
    Ok(Arc::new(config))
});

/// Shakes hands with a host by its name. Its certificate is not validated: that of a test is one that nobody vouches for.
pub(super) async fn connect_to(stream: TcpStream, host: &str) -> io::Result<client::TlsStream<TcpStream>> {
    let config = NAMED_TLS.as_ref().map_err(|error| io::Error::other(error.clone()))?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

fn target_config(alpn: Option<&str>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    // Connections are shared by requests for many hosts, so none of them is named.
    config.enable_sni = false;
    config.alpn_protocols = alpn.into_iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(config)
}

/// Shakes hands with a target, to which one protocol or none is offered by ALPN.
pub(super) async fn connect(stream: TcpStream, alpn: Option<&str>) -> io::Result<client::TlsStream<TcpStream>> {
    let known = TARGET_TLS.iter().find(|(offered, _)| *offered == alpn);
    let (_, config) = known.ok_or_else(|| io::Error::other("the protocol is not offered to targets"))?;
    let config = config.as_ref().map_err(|error| io::Error::other(error.clone()))?;
    let name = ServerName::IpAddress(stream.peer_addr()?.ip().into());
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

#[cfg(test)]
mod tests;
