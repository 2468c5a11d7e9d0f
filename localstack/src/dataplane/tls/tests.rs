use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;
use crate::x509::{SecretKey, facts};

const ALL: &[SignatureScheme] =
    &[SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ECDSA_NISTP384_SHA384, SignatureScheme::RSA_PSS_SHA256];

fn certificate(names: &[&str], key: &KeyPair, until: i32) -> Candidate {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let made = params.self_signed(key).unwrap();
    let certificate = ServerCertificate {
        id: names.join(",").into(),
        facts: facts(made.der()).unwrap(),
        chain: vec![made.der().clone()],
        key: SecretKey(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))),
    };
    Candidate::new(&certificate, &aws_lc_rs::default_provider()).unwrap()
}

/// AWS, "HTTPS listeners: certificate selection": by name, then ECDSA before RSA, not expired before expired, and so on.
#[test]
fn the_server_name_chooses_the_certificate() {
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let (ec, ec384) = (KeyPair::generate().unwrap(), KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap());
    let certificates = Certificates {
        default: certificate(&["default.example"], &ec, 2040),
        others: vec![
            certificate(&["*.wild.example"], &ec, 2040),
            certificate(&["exact.wild.example"], &rsa, 2040),
            certificate(&["both.example"], &rsa, 2040),
            certificate(&["both.example"], &ec, 2040),
            certificate(&["long.example"], &ec384, 2040),
            certificate(&["long.example"], &ec, 2050),
            certificate(&["old.example"], &ec, 2021),
            certificate(&["old.example"], &rsa, 2040),
            certificate(&["longer.example"], &ec, 2040),
            certificate(&["longer.example"], &ec, 2045),
        ],
    };
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let rsa_only = &[SignatureScheme::RSA_PSS_SHA256][..];
    let rows = [
        (None, ALL, "default.example", 256),
        (Some("other.example"), ALL, "default.example", 256),
        (Some("a.wild.example"), ALL, "*.wild.example", 256),
        (Some("A.WILD.example"), ALL, "*.wild.example", 256),
        (Some("a.b.wild.example"), ALL, "default.example", 256),
        (Some("wild.example"), ALL, "default.example", 256),
        (Some("exact.wild.example"), ALL, "exact.wild.example", 2048),
        (Some("both.example"), ALL, "both.example", 256),
        (Some("both.example"), rsa_only, "both.example", 2048),
        (Some("long.example"), ALL, "long.example", 384),
        (Some("old.example"), ALL, "old.example", 2048),
    ];
    for (server, schemes, name, bits) in rows {
        let chosen = certificates.choose(server, schemes, now);
        assert_eq!((chosen.names[0].as_str(), chosen.rank.2), (name, bits), "{server:?}");
    }
    let longest = certificates.choose(Some("longer.example"), ALL, now);
    assert!(longest.not_after > now + SignedDuration::from_hours(18 * 365 * 24));
}
