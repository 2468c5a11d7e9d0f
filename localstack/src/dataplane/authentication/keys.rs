//! Keys with which tokens are signed, as their issuers publish them (RFC 7517, "JSON Web Key").

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{SignatureScheme, crypto::aws_lc_rs};
use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};

use super::super::tls;
use crate::x509::der::{self, tag};

/// AWS: the largest answer with keys.
const LARGEST: usize = 150 * 1024;
/// AWS: the most keys.
const MOST_KEYS: usize = 10;
/// How long fetching may take. Not documented.
const PATIENCE: Duration = Duration::from_secs(5);
/// For how long keys are used. Not documented.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// A token that names another key has them fetched again, but not more often than this.
const FETCHED_AT_MOST: Duration = Duration::from_secs(1);
/// Endpoints whose keys are kept at once.
const MOST_ENDPOINTS: usize = 100;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum Trouble {
    /// The endpoint is not one.
    #[error("'{0}' is not a URL with the HTTPS protocol and a host")]
    Endpoint(String),
    /// It cannot be reached, or what comes is not HTTP.
    #[error("the keys cannot be fetched: {0}")]
    Connection(String),
    /// It takes too long.
    #[error("fetching the keys took longer than {PATIENCE:?}")]
    Slow,
    /// The answer is no set of keys, or one that is too large.
    #[error("the answer is not a set of at most {MOST_KEYS} keys in at most {LARGEST} bytes: {0}")]
    Answer(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Connection(error.to_string())
    }
}

impl From<hyper::Error> for Trouble {
    fn from(error: hyper::Error) -> Self {
        Self::Connection(error.to_string())
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<PublishedKey>,
}

#[derive(Deserialize)]
struct PublishedKey {
    kty: String,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// An RSA key.
#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// `RSAPublicKey` of RFC 8017 in DER.
    public: Vec<u8>,
}

/// The keys of an endpoint and when they were fetched.
#[derive(Clone, Debug)]
struct Fetched {
    at: Instant,
    keys: Arc<[Key]>,
}

/// Keys by the endpoint where they are published, kept for a while.
#[derive(Debug, Default)]
pub(in super::super) struct KeyStore(Mutex<HashMap<String, Fetched>>);

impl KeyStore {
    /// Whether one of an endpoint's keys signed a text with RS256; the one with this id, if the token names one.
    pub(super) async fn signed(&self, endpoint: &str, id: Option<&str>, text: &[u8], signature: &[u8]) -> Result<bool, Trouble> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(endpoint).cloned();
        let named = |fetched: &Fetched| id.is_none() || fetched.keys.iter().any(|key| key.id.as_deref() == id);
        let usable = |fetched: &Fetched| {
            let age = fetched.at.elapsed();
            age < FETCHED_AT_MOST || age < KEPT_FOR && named(fetched)
        };
        let fetched = match known.filter(usable) {
            Some(fetched) => fetched,
            None => self.fetch(endpoint).await?,
        };
        let mut candidates = fetched.keys.iter().filter(|key| id.is_none() || key.id.is_none() || key.id.as_deref() == id);
        Ok(candidates.any(|key| verifies(&key.public, text, signature)))
    }

    async fn fetch(&self, endpoint: &str) -> Result<Fetched, Trouble> {
        let answer = timeout(PATIENCE, answer(endpoint)).await.map_err(|_| Trouble::Slow)??;
        let fetched = Fetched { at: Instant::now(), keys: keys(&answer)?.into() };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_ENDPOINTS {
            known.clear();
        }
        known.insert(endpoint.to_owned(), fetched.clone());
        Ok(fetched)
    }
}

/// What an endpoint answers.
async fn answer(endpoint: &str) -> Result<Bytes, Trouble> {
    let wrong = || Trouble::Endpoint(endpoint.to_owned());
    let uri: Uri = endpoint.parse().map_err(|_| wrong())?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(wrong)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, uri.port_u16().unwrap_or(443))).await?;
    let stream = tls::connect_to(stream, bare).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(header::HOST, uri.authority().map_or(host, |authority| authority.as_str()));
    let request = request.body(Empty::<Bytes>::new()).map_err(|_| wrong())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        if response.status() != http::StatusCode::OK {
            return Err(Trouble::Answer(format!("status {}", response.status())));
        }
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| Trouble::Answer(error.to_string()))
    };
    // The connection may end before its answer is read.
    let drive = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = exchange => answer,
        never = drive => never,
    }
}

/// The RSA keys of a set; keys of other types cannot have signed with RS256.
fn keys(answer: &[u8]) -> Result<Vec<Key>, Trouble> {
    let set: KeySet = serde_json::from_slice(answer).map_err(|error| Trouble::Answer(error.to_string()))?;
    if set.keys.len() > MOST_KEYS {
        return Err(Trouble::Answer(format!("{} keys", set.keys.len())));
    }
    let decoded = |text: Option<&String>| URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok();
    let rsa = set.keys.iter().filter(|key| key.kty == "RSA");
    Ok(rsa
        .filter_map(|key| Some(Key { id: key.kid.clone(), public: rsa_public_key(&decoded(key.n.as_ref())?, &decoded(key.e.as_ref())?) }))
        .collect())
}

/// `SEQUENCE { modulus INTEGER, publicExponent INTEGER }`.
fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let integers = [modulus, exponent].map(|number| {
        let number = number.iter().position(|byte| *byte != 0).and_then(|first| number.get(first..)).unwrap_or_default();
        // The first bit is the sign's.
        let sign = if number.first().is_none_or(|first| *first >= 0x80) { &[0][..] } else { &[] };
        der::element(tag::INTEGER, &[sign, number].concat())
    });
    der::element(tag::SEQUENCE, &integers.concat())
}

fn verifies(public: &[u8], text: &[u8], signature: &[u8]) -> bool {
    let known = aws_lc_rs::default_provider().signature_verification_algorithms.mapping;
    let mut rs256 = known.iter().filter(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256).flat_map(|(_, algorithms)| *algorithms);
    rs256.any(|algorithm| algorithm.verify_signature(public, text, signature).is_ok())
}

#[cfg(test)]
pub(super) mod tests;
