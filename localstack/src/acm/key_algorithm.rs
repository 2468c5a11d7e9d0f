//! Key algorithms by the names that ACM gives them.

use crate::x509::KeyType;

/// ACM's names of key algorithms.
pub const NAMES: &[&str] = &["RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1"];

/// The name of a key; `None` for those that ACM does not take (Ed25519, RSA of other sizes).
pub fn name(key: KeyType) -> Option<&'static str> {
    Some(match key {
        KeyType::Rsa(1024) => "RSA_1024",
        KeyType::Rsa(2048) => "RSA_2048",
        KeyType::Rsa(3072) => "RSA_3072",
        KeyType::Rsa(4096) => "RSA_4096",
        KeyType::Ec(256) => "EC_prime256v1",
        KeyType::Ec(384) => "EC_secp384r1",
        KeyType::Ec(521) => "EC_secp521r1",
        _ => return None,
    })
}

/// The name of a signature algorithm.
pub fn signature(oid: &str) -> &'static str {
    match oid {
        "1.2.840.113549.1.1.5" => "SHA1WITHRSA",
        "1.2.840.113549.1.1.11" => "SHA256WITHRSA",
        "1.2.840.113549.1.1.12" => "SHA384WITHRSA",
        "1.2.840.113549.1.1.13" => "SHA512WITHRSA",
        "1.2.840.10045.4.1" => "SHA1WITHECDSA",
        "1.2.840.10045.4.3.2" => "SHA256WITHECDSA",
        "1.2.840.10045.4.3.3" => "SHA384WITHECDSA",
        "1.2.840.10045.4.3.4" => "SHA512WITHECDSA",
        _ => "UNKNOWN",
    }
}

/// keyUsage bits from digitalSignature on (RFC 5280, 4.2.1.3), by ACM's names.
pub const KEY_USAGES: &[&str] = &[
    "DIGITAL_SIGNATURE",
    "NON_REPUDIATION",
    "KEY_ENCIPHERMENT",
    "DATA_ENCIPHERMENT",
    "KEY_AGREEMENT",
    "CERTIFICATE_SIGNING",
    "CRL_SIGNING",
    "ENCIPHER_ONLY",
    "DECIPHER_ONLY",
];

/// All values of a key usage: those of the extension, that there is no extension, and that it has others.
pub fn key_usages() -> Vec<&'static str> {
    [KEY_USAGES, &["ANY", "CUSTOM"]].concat()
}

/// ACM's names of extended key usages, by which certificates are listed.
pub const EXTENDED_KEY_USAGES: &[&str] = &[
    "TLS_WEB_SERVER_AUTHENTICATION",
    "TLS_WEB_CLIENT_AUTHENTICATION",
    "CODE_SIGNING",
    "EMAIL_PROTECTION",
    "TIME_STAMPING",
    "OCSP_SIGNING",
    "IPSEC_END_SYSTEM",
    "IPSEC_TUNNEL",
    "IPSEC_USER",
    "ANY",
    "NONE",
    "CUSTOM",
];

/// ACM's name of an extended key usage.
pub fn extended_key_usage(oid: &str) -> &'static str {
    match oid {
        "1.3.6.1.5.5.7.3.1" => "TLS_WEB_SERVER_AUTHENTICATION",
        "1.3.6.1.5.5.7.3.2" => "TLS_WEB_CLIENT_AUTHENTICATION",
        "1.3.6.1.5.5.7.3.3" => "CODE_SIGNING",
        "1.3.6.1.5.5.7.3.4" => "EMAIL_PROTECTION",
        "1.3.6.1.5.5.7.3.8" => "TIME_STAMPING",
        "1.3.6.1.5.5.7.3.9" => "OCSP_SIGNING",
        "2.5.29.37.0" => "ANY",
        _ => "CUSTOM",
    }
}
