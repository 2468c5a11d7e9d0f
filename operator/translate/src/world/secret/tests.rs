use super::*;

const CERTIFICATE: &str = include_str!("../../../tests/certificates/a.crt");
const KEY: &str = include_str!("../../../tests/certificates/a.key");
const OTHER_KEY: &str = include_str!("../../../tests/certificates/b.key");
const RSA_CERTIFICATE: &str = include_str!("../../../tests/certificates/rsa.crt");
const RSA_KEY: &str = include_str!("../../../tests/certificates/rsa.key");

fn object(certificate: &str, key: &str) -> Value {
    json!({"type": "kubernetes.io/tls", "data": {"tls.crt": STANDARD.encode(certificate), "tls.key": STANDARD.encode(key)}})
}

/// What is read of a Secret must not depend on whether its key was stripped.
fn read(mut raw: Value) -> Result<Leaf, String> {
    let whole = secret(&raw);
    strip_private_key(&mut raw);
    assert!(!raw.to_string().contains("PRIVATE") && !raw.to_string().contains(&STANDARD.encode("-----BEGIN PRIV")[..16]), "{raw}");
    assert_eq!(secret(&raw), whole);
    let once = raw.clone();
    strip_private_key(&mut raw);
    assert_eq!(raw, once);
    whole.certificate
}

#[test]
fn a_pair_is_read() {
    let leaf = read(object(CERTIFICATE, KEY)).unwrap();
    assert_eq!(leaf.names, ["a.example.com", "*.shop.example.com"]);
    assert_eq!((leaf.not_before.as_str(), leaf.not_after.as_str()), ("2025-01-01T00:00:00Z", "2045-01-01T00:00:00Z"));
    assert_eq!((leaf.key_type.as_str(), leaf.sha256.len()), ("ECDSA-P256", 64));
    // PKCS#1, and a chain of which the first certificate counts.
    let leaf = read(object(&format!("{RSA_CERTIFICATE}{CERTIFICATE}"), RSA_KEY)).unwrap();
    assert_eq!((leaf.key_type.as_str(), leaf.names.as_slice()), ("RSA-2048", ["rsa.example.com".to_owned()].as_slice()));
    let plain = json!({"type": "kubernetes.io/tls", "stringData": {"tls.crt": CERTIFICATE, "tls.key": KEY}});
    assert!(read(plain).is_ok());
}

#[test]
fn a_key_of_another_certificate_does_not_fit() {
    for (certificate, key) in [(CERTIFICATE, OTHER_KEY), (CERTIFICATE, RSA_KEY), (RSA_CERTIFICATE, KEY)] {
        assert!(read(object(certificate, key)).unwrap_err().contains("does not fit"));
    }
}

#[test]
fn what_cannot_be_read_says_what_is_wrong() {
    let broken = CERTIFICATE.replace('M', "N");
    for (certificate, key, problem) in [
        ("nonsense", KEY, "tls.crt: there is no certificate in PEM"),
        (broken.as_str(), KEY, "is not X.509"),
        (CERTIFICATE, "nonsense", "tls.key: it is not a private key in PEM"),
        (CERTIFICATE, CERTIFICATE, "tls.key: it is not a private key in PEM"),
        (CERTIFICATE, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "without a passphrase"),
        (CERTIFICATE, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be read"),
        ("", KEY, "has nothing under tls.crt"),
        (CERTIFICATE, "", "has nothing under tls.key"),
    ] {
        let found = read(object(certificate, key)).unwrap_err();
        assert!(found.contains(problem) || (problem == "cannot be read" && found.contains("can be read")), "{found} / {problem}");
    }
    assert!(read(json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "%", "tls.key": "%"}})).unwrap_err().contains("not base64"));
    assert!(read(json!({"data": {}})).unwrap_err().contains("Opaque"));
}
