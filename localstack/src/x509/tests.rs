use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    PKCS_RSA_SHA256, RsaKeySize,
};

use super::*;

fn key_pem(key: &KeyPair) -> PrivateKeyDer<'static> {
    private_key(key.serialize_pem().as_bytes()).unwrap()
}

#[test]
fn what_a_certificate_says() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.example.com".into(), "*.example.org".into(), "192.0.2.7".into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "a.example.com");
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params.not_before = rcgen::date_time_ymd(2020, 1, 2);
    params.not_after = rcgen::date_time_ymd(2051, 3, 4);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params.serial_number = Some(rcgen::SerialNumber::from(vec![1, 171]));
    let facts = facts(params.self_signed(&key).unwrap().der()).unwrap();
    assert_eq!(facts.dns_names().collect::<Vec<_>>(), ["a.example.com", "*.example.org"]);
    assert_eq!(facts.alternative_names.last(), Some(&GeneralName::Address("192.0.2.7".parse().unwrap())));
    assert_eq!((facts.subject.common_name(), facts.subject.organization()), (Some("a.example.com"), Some("Example")));
    assert_eq!(
        (facts.not_before.to_string().as_str(), facts.not_after.to_string().as_str()),
        ("2020-01-02T00:00:00Z", "2051-03-04T00:00:00Z")
    );
    assert_eq!((facts.key, facts.signature_oid.as_str()), (KeyType::Ec(256), "1.2.840.10045.4.3.2"));
    assert_eq!((facts.serial.as_str(), facts.key_usage), ("01:ab", Some(0b101)));
    assert_eq!(facts.extended_key_usage, ["1.3.6.1.5.5.7.3.1"]);
}

#[test]
fn keys_by_type_and_fit() {
    let keys = [
        (KeyPair::generate().unwrap(), KeyType::Ec(256)),
        (KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(), KeyType::Ec(384)),
        (KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(), KeyType::Rsa(2048)),
        (KeyPair::generate_for(&PKCS_ED25519).unwrap(), KeyType::Other),
    ];
    let other = key_pem(&KeyPair::generate().unwrap());
    for (key, expected) in &keys {
        let certificate = CertificateParams::new(vec!["a.example".into()]).unwrap().self_signed(key).unwrap();
        assert_eq!(facts(certificate.der()).unwrap().key, *expected);
        assert_eq!(key_fits(&key_pem(key), certificate.der()), Some(true), "{expected:?}");
        assert_eq!(key_fits(&other, certificate.der()), Some(false), "{expected:?}");
    }
}

#[test]
fn chains_hold_or_not() {
    let (root_key, leaf_key) = (KeyPair::generate().unwrap(), KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap());
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&root_key).unwrap();
    // The same name, but another key.
    let impostor = authority.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let leaf = CertificateParams::new(vec!["a.example".into()]).unwrap();
    let leaf = leaf.signed_by(&leaf_key, &Issuer::from_params(&authority, &root_key)).unwrap();
    let [root, impostor, leaf] = [root, impostor, leaf].map(|certificate| certificate.der().clone());
    for (chain, expected) in [
        (vec![], true),
        (vec![leaf.clone()], true),
        (vec![leaf.clone(), root.clone()], true),
        (vec![leaf.clone(), root.clone(), root.clone()], true),
        (vec![leaf.clone(), impostor], false),
        (vec![root.clone(), leaf.clone()], false),
        (vec![leaf.clone(), leaf], false),
    ] {
        assert_eq!(chain_holds(&chain), expected, "{}", chain.len());
    }
}

#[test]
fn pem_texts() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["a.example".into()]).unwrap().self_signed(&key).unwrap();
    let pem = certificate.pem();
    assert_eq!(certificates(format!("intro\n{pem}\n{pem}").as_bytes()).unwrap().len(), 2);
    let cut: String = pem.lines().take(3).chain(["-----END CERTIFICATE-----"]).collect::<Vec<_>>().join("\n");
    for broken in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &cut, &key.serialize_pem()] {
        assert!(certificates(broken.as_bytes()).is_none(), "{broken}");
    }
    assert!(private_key(pem.as_bytes()).is_none());
    assert!(private_key(format!("{pem}{}", key.serialize_pem()).as_bytes()).is_some());
}

#[test]
fn dns_names() {
    for (name, expected) in [
        ("a.example", true),
        ("*.a.example", true),
        ("default", true),
        ("a_b.example", true),
        ("a..b", false),
        ("-a.b", false),
        ("*", false),
        ("a b", false),
    ] {
        assert_eq!(is_dns_name(name), expected, "{name}");
    }
}

#[test]
fn rubbish_is_no_certificate() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["a.example".into()]).unwrap().self_signed(&key).unwrap();
    let bytes = certificate.der();
    for cut in 0..bytes.len() {
        assert_eq!(facts(&bytes[..cut]), None, "cut at {cut}");
    }
    // Whatever one byte is changed to, nothing panics.
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 0x81;
        let _ = facts(&changed);
    }
}
