//! Private keys under a passphrase: PKCS #8's `EncryptedPrivateKeyInfo` (RFC 5958) by PBES2 (RFC 8018) with PBKDF2 over HMAC-SHA-256 and AES-256 in CBC mode, which OpenSSL and
//! everyone else decrypt.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::PrivateKeyDer;

use super::SecretKey;
use super::der::{element, tag};

/// How often the passphrase is hashed: between 2^8 and 2^15, as it is encoded in two bytes.
const ITERATIONS: NonZeroU32 = match NonZeroU32::new(10_000) {
    Some(count) => count,
    None => NonZeroU32::MIN,
};

/// Object identifiers as they are encoded.
mod oid {
    /// PBES2: 1.2.840.113549.1.5.13.
    pub const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
    /// PBKDF2: 1.2.840.113549.1.5.12.
    pub const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
    /// HMAC with SHA-256: 1.2.840.113549.2.9.
    pub const HMAC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09];
    /// AES-256 in CBC mode: 2.16.840.1.101.3.4.1.42.
    pub const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    element(tag::SEQUENCE, &parts.concat())
}

fn identifier(content: &[u8]) -> Vec<u8> {
    element(tag::OBJECT_IDENTIFIER, content)
}

/// The key under a passphrase, in PEM; `None` if it is not in PKCS #8, or the system has no random numbers.
pub fn pem(key: &SecretKey, passphrase: &[u8]) -> Option<String> {
    let PrivateKeyDer::Pkcs8(plain) = &key.0 else { return None };
    let (mut salt, mut iv, mut secret) = ([0_u8; 16], [0_u8; 16], [0_u8; 32]);
    rand::fill(&mut salt).ok()?;
    rand::fill(&mut iv).ok()?;
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, &salt, passphrase, &mut secret);
    let mut data = plain.secret_pkcs8_der().to_vec();
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, &secret).ok()?).ok()?;
    cipher.less_safe_encrypt(&mut data, EncryptionContext::Iv128(FixedLength::from(iv))).ok()?;
    // An integer has as few bytes as say it, of which the first begins with a zero bit: two for this number.
    let iterations = element(tag::INTEGER, &u16::try_from(ITERATIONS.get()).ok()?.to_be_bytes());
    let hash = sequence(&[identifier(oid::HMAC_SHA256), element(tag::NULL, &[])]);
    let derivation = sequence(&[identifier(oid::PBKDF2), sequence(&[element(tag::OCTET_STRING, &salt), iterations, hash])]);
    let encryption = sequence(&[identifier(oid::AES_256_CBC), element(tag::OCTET_STRING, &iv)]);
    let scheme = sequence(&[identifier(oid::PBES2), sequence(&[derivation, encryption])]);
    let whole = STANDARD.encode(sequence(&[scheme, element(tag::OCTET_STRING, &data)]));
    let lines: Vec<&str> = (0..whole.len()).step_by(64).filter_map(|at| whole.get(at..whole.len().min(at + 64))).collect();
    Some(format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{}\n-----END ENCRYPTED PRIVATE KEY-----\n", lines.join("\n")))
}
