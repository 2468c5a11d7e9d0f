use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize, SigningKey};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// Issues tokens, and publishes its key (with the id 1) at `keys`, eleven of them at `keysmany`, something else at `keysother`.
pub(in super::super) struct Issuer {
    pub(in super::super) endpoint: String,
    key: KeyPair,
}

impl Issuer {
    pub(in super::super) async fn start() -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let (modulus, exponent) = numbers(key.der_bytes());
        let one = json!({ "kty": "RSA", "kid": "1", "alg": "RS256", "n": URL_SAFE_NO_PAD.encode(modulus), "e": URL_SAFE_NO_PAD.encode(exponent) });
        let answers = [
            ("/keys", json!({ "keys": [{ "kty": "EC", "kid": "1", "crv": "P-256" }, one] })),
            ("/keysmany", json!({ "keys": vec![one.clone(); 11] })),
            ("/keysother", json!({ "key": one })),
        ];
        let own = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().self_signed(&own).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.serialize_der()));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate.der().clone()], private).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("https://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    head.push(byte);
                }
                let head = String::from_utf8(head).unwrap();
                let path = head.split(' ').nth(1).unwrap_or_default();
                let found = answers.iter().find(|(known, _)| *known == path).map(|(_, answer)| answer.to_string());
                let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
                let body = found.unwrap_or_default();
                let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { endpoint, key }
    }

    pub(in super::super) fn token(&self, id: Option<&str>, claims: &Value) -> String {
        let mut head = json!({ "alg": "RS256" });
        if let Some(id) = id {
            head["kid"] = id.into();
        }
        let [head, claims] = [&head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signature = self.key.sign(format!("{head}.{claims}").as_bytes()).unwrap();
        format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Modulus and exponent of an `RSAPublicKey` in DER.
fn numbers(public: &[u8]) -> (Vec<u8>, Vec<u8>) {
    use crate::x509::der::Reader;
    let mut numbers = Reader::new(public).any().unwrap().inside();
    let [modulus, exponent] = [(); 2].map(|()| numbers.any().unwrap().content.to_vec());
    (modulus, exponent)
}

#[test]
fn keys_are_written_as_certificates_have_them() {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let (modulus, exponent) = numbers(key.der_bytes());
    assert_eq!(rsa_public_key(&modulus, &exponent), key.der_bytes());
    // As JSON has them: without the sign's byte.
    assert_eq!(rsa_public_key(&modulus[1..], &exponent), key.der_bytes());
}
