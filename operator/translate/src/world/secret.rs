//! What the world keeps of Secrets and of bundles of certificate authorities: what their certificates say, and never a key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portico_crds::Kind;
use portico_providers::KeyMaterial;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::asn1::{AnyRef, BitStringRef, ContextSpecific, ObjectIdentifier, OctetStringRef, UintRef};
use x509_cert::der::{self, Decode, Reader, SliceReader, TagNumber};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use zeroize::Zeroizing;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Begins what stands in a Secret's `tls.key` after [`strip_private_key`]: the SHA-256 of the public half, or why there is none.
const STRIPPED: &str = "portico.dev/stripped:";

/// What belongs under `tls.crt`, `tls.key` and `ca.crt`.
const CHAIN: &str = "store certificates in PEM there, the server's own first";
const KEY: &str = "store the certificate's private key in PEM there, without a passphrase";
const AUTHORITY: &str = "store the authority's certificates in PEM there";

/// What belongs under a key of a Secret.
fn wanted(key: &str) -> &'static str {
    if key == "tls.key" { KEY } else { CHAIN }
}

/// What the world keeps of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secret {
    pub r#type: String,
    /// The certificate of a Secret of type `kubernetes.io/tls`, or what is wrong with it.
    pub certificate: Result<Leaf, String>,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// Of its DER, in hexadecimal.
    pub sha256: String,
    /// DNS names that it is valid for.
    pub names: Vec<String>,
    /// RFC 3339, UTC, whole seconds.
    pub not_before: String,
    pub not_after: String,
    pub key_type: String,
}

pub(crate) fn secret(raw: &Value) -> Secret {
    let r#type = raw.get("type").and_then(Value::as_str).unwrap_or("Opaque").to_owned();
    let certificate = if r#type == "kubernetes.io/tls" {
        pair(raw)
    } else {
        Err(format!("is of type {type}; make one of type kubernetes.io/tls, with the certificate and its key"))
    };
    Secret { r#type, certificate }
}

fn pair(raw: &Value) -> Result<Leaf, String> {
    let chain = content(raw, "tls.crt")?;
    let (der, leaf) = chain_of(&chain).map_err(|problem| format!("has no usable certificate under tls.crt: {problem}; {CHAIN}"))?;
    let key = content(raw, "tls.key")?;
    let public = match std::str::from_utf8(&key).ok().and_then(|text| text.strip_prefix(STRIPPED)) {
        Some(stripped) => Public::unpack(stripped),
        None => public_of_key(&key),
    };
    let public = public.map_err(|problem| format!("has no usable key under tls.key: {problem}; {KEY}"))?;
    if public != Public::Unknown && public != public_of_certificate(&leaf) {
        return Err(
            "has a key under tls.key that does not fit the certificate under tls.crt; store the two that belong together".to_owned()
        );
    }
    Ok(Leaf {
        sha256: hex(&Sha256::digest(&der)),
        names: names(&leaf),
        not_before: leaf.tbs_certificate.validity.not_before.to_date_time().to_string(),
        not_after: leaf.tbs_certificate.validity.not_after.to_date_time().to_string(),
        key_type: key_type(&leaf),
    })
}

/// Takes the private key out of a Secret and leaves in its place what tells whether it fits its certificate. To be called at the edge, so that no key
/// is ever in a queue, in the world or in a log; whoever uploads a certificate reads the Secret itself.
pub fn strip_private_key(secret: &mut Value) {
    let Ok(key) = content(secret, "tls.key") else { return };
    if key.starts_with(STRIPPED.as_bytes()) {
        return;
    }
    let stripped = STANDARD.encode(format!("{STRIPPED}{}", Public::pack(public_of_key(&key))));
    for field in ["data", "stringData"] {
        if let Some(data) = secret.get_mut(field).and_then(Value::as_object_mut) {
            data.remove("tls.key");
        }
    }
    if let Some(object) = secret.as_object_mut()
        && let Some(data) = object.entry("data").or_insert_with(|| json!({})).as_object_mut()
    {
        data.insert("tls.key".to_owned(), json!(stripped));
    }
}

/// What a Secret as the API server shows it holds for whoever uploads it. To be called on a Secret that was read for this alone, never on one of the world.
///
/// # Errors
/// What is wrong with the Secret, to follow its name.
pub fn key_material(secret: &Value) -> Result<KeyMaterial, String> {
    let leaf = self::secret(secret).certificate?;
    let chain = content(secret, "tls.crt")?;
    let mut certificates = CertificateDer::pem_slice_iter(&chain).filter_map(Result::ok).map(|der| pem("CERTIFICATE", &der).to_string());
    let certificate = certificates.next().unwrap_or_default();
    let stored = Zeroizing::new(content(secret, "tls.key")?);
    let key = PrivateKeyDer::from_pem_slice(&stored).map_err(|_| format!("has no private key under tls.key; {KEY}"))?;
    let label = match &key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    Ok(KeyMaterial { sha256: leaf.sha256, certificate, chain: certificates.collect(), key: pem(label, key.secret_der()) })
}

/// RFC 7468: lines of 64 characters.
fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(der));
    // As long as it can get, so that it never moves and leaves a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(encoded.len() + encoded.len() / 64 + 2 * label.len() + 64));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    for (index, character) in encoded.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

/// What a Secret has under a key: `stringData` comes before `data` (Kubernetes).
fn content(raw: &Value, key: &str) -> Result<Vec<u8>, String> {
    let text = |field: &str| raw.get(field).and_then(|data| data.get(key)).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(text) = text("stringData") {
        return Ok(text.as_bytes().to_vec());
    }
    let encoded = text("data").ok_or_else(|| format!("has nothing under {key}; {}", wanted(key)))?;
    STANDARD.decode(encoded).map_err(|_| format!("has something under {key} that is not base64; {}", wanted(key)))
}

/// The first certificate of a chain in PEM. All of them must be certificates.
fn chain_of(pem: &[u8]) -> Result<(Vec<u8>, Certificate), String> {
    let mut first = None;
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let der = certificate.map_err(|_| "it is not PEM".to_owned())?;
        let parsed = Certificate::from_der(&der).map_err(|error| format!("certificate {index} of it is not X.509: {error}"))?;
        first.get_or_insert((der.to_vec(), parsed));
    }
    first.ok_or_else(|| "there is no certificate in PEM".to_owned())
}

/// What tells whether a key and a certificate belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Public {
    /// SHA-256, in hexadecimal, of the RSA modulus, or of the point on the elliptic curve.
    Hash(String),
    /// The private key does not say it, and it takes more than reading to find it.
    Unknown,
}

impl Public {
    fn of(bytes: &[u8]) -> Self {
        Self::Hash(hex(&Sha256::digest(bytes)))
    }

    fn pack(found: Result<Self, String>) -> String {
        match found {
            Ok(Self::Hash(hash)) => format!("hash:{hash}"),
            Ok(Self::Unknown) => "unknown:".to_owned(),
            Err(problem) => format!("problem:{problem}"),
        }
    }

    fn unpack(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("hash", hash)) => Ok(Self::Hash(hash.to_owned())),
            Some(("unknown", _)) => Ok(Self::Unknown),
            Some((_, problem)) => Err(problem.to_owned()),
            None => Err("it cannot be read".to_owned()),
        }
    }
}

fn public_of_key(pem: &[u8]) -> Result<Public, String> {
    if std::str::from_utf8(pem).is_ok_and(|text| text.contains("BEGIN ENCRYPTED PRIVATE KEY")) {
        return Err("it is encrypted".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "it is not a private key in PEM".to_owned())?;
    let found = match &key {
        PrivateKeyDer::Pkcs1(key) => rsa_modulus(key.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(key) => ec_point(key.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(key) => pkcs8(key.secret_pkcs8_der()),
        _ => Ok(Public::Unknown),
    };
    found.map_err(|_| "it is not a private key that can be read".to_owned())
}

/// RFC 5208: version, algorithm, the key in the form of its algorithm.
fn pkcs8(bytes: &[u8]) -> der::Result<Public> {
    let (algorithm, key) = SliceReader::new(bytes)?.sequence(|reader| {
        UintRef::decode(reader)?;
        let algorithm = reader.sequence(|reader| {
            let algorithm = ObjectIdentifier::decode(reader)?;
            skip(reader)?;
            Ok(algorithm)
        })?;
        let key = OctetStringRef::decode(reader)?.as_bytes().to_vec();
        skip(reader)?;
        Ok((algorithm, key))
    })?;
    match algorithm {
        RSA => rsa_modulus(&key),
        EC => ec_point(&key),
        _ => Ok(Public::Unknown),
    }
}

/// RFC 8017: version, modulus, and more.
fn rsa_modulus(bytes: &[u8]) -> der::Result<Public> {
    SliceReader::new(bytes)?.sequence(|reader| {
        UintRef::decode(reader)?;
        let modulus = UintRef::decode(reader)?.as_bytes().to_vec();
        skip(reader)?;
        Ok(Public::of(&modulus))
    })
}

/// RFC 5915: version, key, the curve, and the point, which may be absent.
fn ec_point(bytes: &[u8]) -> der::Result<Public> {
    SliceReader::new(bytes)?.sequence(|reader| {
        UintRef::decode(reader)?;
        OctetStringRef::decode(reader)?;
        ContextSpecific::<AnyRef<'_>>::decode_explicit(reader, TagNumber::N0)?;
        let point = ContextSpecific::<BitStringRef<'_>>::decode_explicit(reader, TagNumber::N1)?;
        let found = point.map_or(Public::Unknown, |point| Public::of(point.value.raw_bytes()));
        skip(reader)?;
        Ok(found)
    })
}

/// Reads over what is left.
fn skip<'r>(reader: &mut impl Reader<'r>) -> der::Result<()> {
    while !reader.is_finished() {
        AnyRef::decode(reader)?;
    }
    Ok(())
}

fn public_of_certificate(certificate: &Certificate) -> Public {
    let info = &certificate.tbs_certificate.subject_public_key_info;
    let bits = info.subject_public_key.raw_bytes();
    if info.algorithm.oid == RSA { modulus(bits).map_or(Public::Unknown, |modulus| Public::of(&modulus)) } else { Public::of(bits) }
}

/// RFC 8017: modulus and exponent.
fn modulus(bits: &[u8]) -> Option<Vec<u8>> {
    let read = |reader: &mut der::NestedReader<'_, SliceReader<'_>>| {
        let modulus = UintRef::decode(reader)?.as_bytes().to_vec();
        UintRef::decode(reader)?;
        Ok(modulus)
    };
    SliceReader::new(bits).ok()?.sequence(read).ok()
}

/// `RSA-2048`, `ECDSA-P256` and so on.
fn key_type(certificate: &Certificate) -> String {
    let info = &certificate.tbs_certificate.subject_public_key_info;
    let curve = || info.algorithm.parameters.as_ref().and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
    match info.algorithm.oid {
        RSA => format!("RSA-{}", modulus(info.subject_public_key.raw_bytes()).map_or(0, |modulus| modulus.len() * 8)),
        EC => match curve().map(|oid| oid.to_string()).as_deref() {
            Some("1.2.840.10045.3.1.7") => "ECDSA-P256".to_owned(),
            Some("1.3.132.0.34") => "ECDSA-P384".to_owned(),
            Some("1.3.132.0.35") => "ECDSA-P521".to_owned(),
            Some(other) => format!("ECDSA-{other}"),
            None => "ECDSA".to_owned(),
        },
        ED25519 => "Ed25519".to_owned(),
        other => other.to_string(),
    }
}

/// The DNS names among the subject's alternative names; clients look at nothing else (RFC 9525).
fn names(certificate: &Certificate) -> Vec<String> {
    let found = certificate.tbs_certificate.get::<SubjectAltName>().ok().flatten();
    let names = found.into_iter().flat_map(|(_, names)| names.0);
    names
        .filter_map(|name| if let GeneralName::DnsName(name) = name { Some(name.to_string().to_ascii_lowercase()) } else { None })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the world keeps of a ConfigMap or ClusterTrustBundle: the SHA-256 of its certificates in PEM, or what is wrong with them.
pub(crate) type CaBundle = Result<String, String>;

pub(crate) fn ca_bundle(kind: Kind, raw: &Value) -> CaBundle {
    ca_certificates(kind, raw).map(|text| hex(&Sha256::digest(text.as_bytes())))
}

/// The certificates of authorities, in PEM, that a ConfigMap or ClusterTrustBundle holds.
///
/// # Errors
/// What is wrong with the object, to follow its name.
pub fn ca_certificates(kind: Kind, raw: &Value) -> Result<String, String> {
    let (pointer, field) = match kind {
        Kind::ClusterTrustBundle => ("/spec/trustBundle", "spec.trustBundle"),
        _ => ("/data/ca.crt", "ca.crt"),
    };
    let text = raw.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| format!("has nothing under {field}; {AUTHORITY}"))?;
    chain_of(text.as_bytes()).map_err(|problem| format!("has no usable certificate authority under {field}: {problem}; {AUTHORITY}"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
