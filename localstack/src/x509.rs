//! X.509 certificates: what they say, whether a key fits, whether a chain holds.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;

pub mod der;
pub mod encrypted_key;
pub mod name;
pub mod trust;

use der::{Element, Reader, tag};
use name::DistinguishedName;

/// A certificate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum KeyType {
    /// RSA with so many bits.
    Rsa(usize),
    /// ECDSA on P-256, P-384 or P-521, by the number.
    Ec(usize),
    /// Something else, such as Ed25519.
    Other,
}

/// A private key that neither logs nor dumps show.
#[derive(PartialEq)]
pub struct SecretKey(pub PrivateKeyDer<'static>);

impl Clone for SecretKey {
    fn clone(&self) -> Self {
        Self(self.0.clone_key())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(redacted)")
    }
}

/// A name of the subjectAltName extension (RFC 5280, 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum GeneralName {
    /// dNSName.
    Dns(String),
    /// iPAddress.
    Address(IpAddr),
    /// rfc822Name.
    Mail(String),
    /// uniformResourceIdentifier.
    Uri(String),
    /// directoryName.
    Directory(DistinguishedName),
    /// registeredID, dotted.
    RegisteredId(String),
    /// otherName.
    Other {
        /// What it is, dotted.
        oid: String,
        /// Its value, if it is a text; else its DER in hexadecimal digits.
        value: String,
    },
}

impl GeneralName {
    /// Reads a name; `None` for names of kinds that nobody uses (X.400, EDI), and for what is none.
    fn read(name: Element<'_>) -> Option<Self> {
        let text = || String::from_utf8_lossy(name.content).into_owned();
        // Names of the kinds 0, 3, 4 and 5 hold elements.
        Some(match name.tag {
            kind if kind == tag::explicit(0) => {
                let mut fields = name.inside();
                let oid = der::dotted(fields.expect(tag::OBJECT_IDENTIFIER)?.content);
                let value = fields.expect(tag::explicit(0))?.inside().any()?;
                let hex = || value.whole.iter().map(|byte| format!("{byte:02x}")).collect();
                let text = (value.tag == tag::UTF8_STRING).then(|| std::str::from_utf8(value.content).ok()).flatten();
                Self::Other { oid, value: text.map_or_else(hex, str::to_string) }
            }
            kind if kind == tag::implicit(1) => Self::Mail(text()),
            kind if kind == tag::implicit(2) => Self::Dns(text()),
            kind if kind == tag::explicit(4) => Self::Directory(DistinguishedName::read(name.inside().any()?)?),
            kind if kind == tag::implicit(6) => Self::Uri(text()),
            kind if kind == tag::implicit(7) => {
                let four = <[u8; 4]>::try_from(name.content).map(IpAddr::from);
                Self::Address(four.or_else(|_| <[u8; 16]>::try_from(name.content).map(IpAddr::from)).ok()?)
            }
            kind if kind == tag::implicit(8) => Self::RegisteredId(der::dotted(name.content)),
            _ => return None,
        })
    }
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Its serial number, as pairs of hex digits.
    pub serial: String,
    /// Whom it is for.
    pub subject: DistinguishedName,
    /// Who signed it.
    pub issuer: DistinguishedName,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// When it ends to be valid.
    pub not_after: Timestamp,
    /// Its key.
    pub key: KeyType,
    /// The OID of its signature's algorithm.
    pub signature_oid: String,
    /// The names of its subjectAltName extension.
    pub alternative_names: Vec<GeneralName>,
    /// The bits of its keyUsage extension, the first one (digitalSignature) lowest; `None` without the extension.
    pub key_usage: Option<u16>,
    /// The OIDs of its extendedKeyUsage extension.
    pub extended_key_usage: Vec<String>,
}

impl Facts {
    /// The names that it is for: DNS names, or without any the subject's common name.
    pub fn names(&self) -> Vec<String> {
        let names: Vec<String> = self.dns_names().map(str::to_string).collect();
        if names.is_empty() { self.subject.common_name().map(str::to_string).into_iter().collect() } else { names }
    }

    /// DNS names of its subjectAltName extension.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.alternative_names.iter().filter_map(|name| if let GeneralName::Dns(name) = name { Some(name.as_str()) } else { None })
    }
}

/// A certificate as it was read.
#[derive(Clone, Copy, Debug)]
struct Parsed<'a> {
    signed: &'a [u8],
    signature_algorithm: Element<'a>,
    signature: &'a [u8],
    serial: &'a [u8],
    issuer: Element<'a>,
    validity: Element<'a>,
    subject: Element<'a>,
    key_info: Element<'a>,
    key_algorithm: Element<'a>,
    key: &'a [u8],
    extensions: Option<Element<'a>>,
}

fn parse(certificate: &[u8]) -> Option<Parsed<'_>> {
    let mut outer = Reader::new(certificate);
    let mut fields = outer.expect(tag::SEQUENCE).filter(|_| outer.is_empty())?.inside();
    let signed = fields.expect(tag::SEQUENCE)?;
    let signature_algorithm = fields.expect(tag::SEQUENCE)?;
    let signature = fields.expect(tag::BIT_STRING)?.bits()?;
    let mut inner = signed.inside();
    inner.optional(tag::explicit(0));
    let serial = inner.expect(tag::INTEGER)?.content;
    inner.expect(tag::SEQUENCE)?;
    let issuer = inner.expect(tag::SEQUENCE)?;
    let validity = inner.expect(tag::SEQUENCE)?;
    let subject = inner.expect(tag::SEQUENCE)?;
    let key_info = inner.expect(tag::SEQUENCE)?;
    inner.optional(tag::implicit(1));
    inner.optional(tag::implicit(2));
    let extensions = inner.optional(tag::explicit(3));
    let mut key = key_info.inside();
    let key_algorithm = key.expect(tag::SEQUENCE)?;
    let key = key.expect(tag::BIT_STRING)?.bits()?;
    let signed = signed.whole;
    Some(Parsed { signed, signature_algorithm, signature, serial, issuer, validity, subject, key_info, key_algorithm, key, extensions })
}

/// What a certificate in DER says; `None` if it is none.
pub fn facts(certificate: &[u8]) -> Option<Facts> {
    let parsed = parse(certificate)?;
    let mut validity = parsed.validity.inside();
    let mut facts = Facts {
        serial: parsed.serial.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"),
        subject: DistinguishedName::read(parsed.subject)?,
        issuer: DistinguishedName::read(parsed.issuer)?,
        not_before: time(validity.any()?)?,
        not_after: time(validity.any()?)?,
        key: key_type(&parsed)?,
        signature_oid: der::dotted(parsed.signature_algorithm.inside().expect(tag::OBJECT_IDENTIFIER)?.content),
        alternative_names: Vec::new(),
        key_usage: None,
        extended_key_usage: Vec::new(),
    };
    if let Some(extensions) = parsed.extensions {
        for extension in extensions.inside().expect(tag::SEQUENCE)?.inside().all() {
            read_extension(&mut facts, extension)?;
        }
    }
    Some(facts)
}

fn read_extension(facts: &mut Facts, extension: Element<'_>) -> Option<()> {
    let mut fields = extension.inside();
    let oid = der::dotted(fields.expect(tag::OBJECT_IDENTIFIER)?.content);
    fields.optional(tag::BOOLEAN);
    let mut value = fields.expect(tag::OCTET_STRING)?.inside();
    match oid.as_str() {
        // subjectAltName
        "2.5.29.17" => {
            let names = value.expect(tag::SEQUENCE)?.inside().all();
            facts.alternative_names = names.into_iter().filter_map(GeneralName::read).collect();
        }
        // keyUsage: the first bit is the highest of the first byte.
        "2.5.29.15" => {
            let (_, bits) = value.expect(tag::BIT_STRING)?.content.split_first()?;
            let bytes = [bits.first().copied().unwrap_or_default(), bits.get(1).copied().unwrap_or_default()];
            facts.key_usage = Some(u16::from_be_bytes(bytes).reverse_bits());
        }
        // extKeyUsage
        "2.5.29.37" => {
            let purposes = value.expect(tag::SEQUENCE)?.inside().all();
            facts.extended_key_usage = purposes.into_iter().map(|purpose| der::dotted(purpose.content)).collect();
        }
        _ => {}
    }
    Some(())
}

fn key_type(parsed: &Parsed<'_>) -> Option<KeyType> {
    let mut algorithm = parsed.key_algorithm.inside();
    let oid = der::dotted(algorithm.expect(tag::OBJECT_IDENTIFIER)?.content);
    Some(match oid.as_str() {
        "1.2.840.113549.1.1.1" => {
            let modulus = Reader::new(parsed.key).expect(tag::SEQUENCE)?.inside().expect(tag::INTEGER)?.content;
            let mut digits = modulus.iter().skip_while(|byte| **byte == 0);
            let first = digits.next().map_or(0, |byte| 8 - byte.leading_zeros() as usize);
            KeyType::Rsa(first + 8 * digits.count())
        }
        "1.2.840.10045.2.1" => match der::dotted(algorithm.expect(tag::OBJECT_IDENTIFIER)?.content).as_str() {
            "1.2.840.10045.3.1.7" => KeyType::Ec(256),
            "1.3.132.0.34" => KeyType::Ec(384),
            "1.3.132.0.35" => KeyType::Ec(521),
            _ => KeyType::Other,
        },
        _ => KeyType::Other,
    })
}

/// UTCTime has two digits for the year, of which 50 and more are of the last century (RFC 5280).
fn time(element: Element<'_>) -> Option<Timestamp> {
    let text = std::str::from_utf8(element.content).ok()?;
    let full = match element.tag {
        tag::UTC_TIME => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        tag::GENERALIZED_TIME => text.to_string(),
        _ => return None,
    };
    let moment = DateTime::strptime("%Y%m%d%H%M%SZ", &full).ok()?;
    // The year 9999, which stands for "never", is beyond what a timestamp holds in some zones.
    Some(moment.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |zoned| zoned.timestamp()))
}

/// Whether a text is a DNS name; its first label may be `*`.
pub fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let plain = name.strip_prefix("*.").unwrap_or(name);
    name.len() <= 253 && plain.split('.').all(label)
}

/// The certificates of a PEM text. `None` if there is none or one is broken.
pub fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found: &Vec<CertificateDer<'static>>| !found.is_empty() && found.iter().all(|one| parse(one).is_some()))
}

/// The private key of a PEM text, unencrypted: PKCS #8, PKCS #1 or SEC1.
pub fn private_key(pem: &[u8]) -> Option<PrivateKeyDer<'static>> {
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem).filter_map(Result::ok);
    sections.into_iter().find_map(|(kind, bytes)| PrivateKeyDer::from_pem(kind, bytes))
}

/// Whether a private key is the one of a certificate; `None` if it is of a kind that cannot be served.
pub fn key_fits(key: &PrivateKeyDer<'static>, certificate: &[u8]) -> Option<bool> {
    let signing = aws_lc_rs::default_provider().key_provider.load_private_key(key.clone_key()).ok()?;
    let parsed = parse(certificate)?;
    Some(signing.public_key()?.as_ref() == parsed.key_info.whole)
}

/// Whether each certificate was signed by the next one.
pub fn chain_holds(certificates: &[CertificateDer<'static>]) -> bool {
    certificates.windows(2).all(|pair| match pair {
        [signed, signer] => is_signed_by(signed, signer).unwrap_or(false),
        _ => false,
    })
}

fn is_signed_by(signed: &[u8], signer: &[u8]) -> Option<bool> {
    let (signed, signer) = (parse(signed)?, parse(signer)?);
    if signed.issuer.whole != signer.subject.whole {
        return Some(false);
    }
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    Some(algorithms.iter().any(|algorithm| {
        algorithm.signature_alg_id().as_ref() == signed.signature_algorithm.content
            && algorithm.public_key_alg_id().as_ref() == signer.key_algorithm.content
            && algorithm.verify_signature(signer.key, signed.signed, signed.signature).is_ok()
    }))
}

#[cfg(test)]
mod tests;
