//! Mutual TLS. Source: AWS, "Mutual authentication with TLS in Application Load Balancer".

use std::net::SocketAddr;
use std::sync::Arc;

use portico_cloud::dataplane::config::{ClientAuthentication, ClientCertificateHeaders, ClientCertificates, ServerCertificate, Tls};
use portico_cloud::x509::trust::{TrustMaterial, entries, revocation_lists};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{Backend, World, group, soon};
use super::tls::{BOTH, certificate, connect, tls, world};

/// An authority, or a client, with its key.
struct Party {
    certificate: Certificate,
    key: KeyPair,
    params: CertificateParams,
}

impl Party {
    fn new(name: &str, authority: bool, signer: Option<&Party>, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "US");
        params.distinguished_name.push(DnType::OrganizationName, "Test, Ltd");
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 2), date_time_ymd(2045, 3, 4));
        if authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        } else {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
        params.serial_number = Some(SerialNumber::from(vec![0x83, 0xa5, 0xb1]));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = match signer {
            None => params.self_signed(&key).unwrap(),
            Some(signer) => params.signed_by(&key, &signer.issuer()).unwrap(),
        };
        Self { certificate, key, params }
    }

    fn authority(name: &str) -> Self {
        Self::new(name, true, None, |_| {})
    }

    fn client(signer: &Party) -> Self {
        Self::new("client", false, Some(signer), |_| {})
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }
}

/// The revocation list of an authority, in PEM.
fn revoked(authority: &Party, serials: &[&[u8]]) -> String {
    let revoked = |serial: &&[u8]| RevokedCertParams {
        serial_number: SerialNumber::from(serial.to_vec()),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(2045, 1, 1),
        crl_number: SerialNumber::from(vec![1]),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&authority.issuer()).unwrap().pem().unwrap()
}

fn names() -> ClientCertificateHeaders {
    let name = |of: &str| format!("X-Amzn-Mtls-Clientcert{of}");
    ClientCertificateHeaders {
        chain: name(""),
        issuer: name("-Issuer"),
        leaf: name("-Leaf"),
        serial_number: name("-Serial-Number"),
        subject: name("-Subject"),
        validity: name("-Validity"),
    }
}

fn verify(authorities: &[&Party], lists: &[String], ignore_expiry: bool) -> ClientAuthentication {
    let revocations = lists.iter().flat_map(|pem| revocation_lists(pem.as_bytes()).unwrap()).collect();
    let trust = TrustMaterial { authorities: authorities.iter().map(|party| party.der()).collect(), revocations };
    ClientAuthentication::Verify { trust: Arc::new(trust), ignore_expiry, advertise: false }
}

fn mutual(server: &Arc<ServerCertificate>, authentication: ClientAuthentication) -> Tls {
    Tls { clients: Some(ClientCertificates { authentication, headers: names() }), ..tls(server, &[]) }
}

/// A client that shows these certificates.
fn showing(server: &Arc<ServerCertificate>, shown: &[&Party], versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(server.chain[0].clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_protocol_versions(versions).unwrap();
    let builder = builder.with_root_certificates(roots);
    Arc::new(match shown {
        [] => builder.with_no_client_auth(),
        [client, ..] => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(client.key.serialize_der()));
            builder.with_client_auth_cert(shown.iter().map(|party| party.der()).collect(), key).unwrap()
        }
    })
}

/// The answer to a request with spoofed headers; None if the connection is closed without one.
async fn ask(at: SocketAddr, config: &Arc<ClientConfig>) -> Option<String> {
    let mut stream = connect(at, "a.example", config).await.ok()?;
    let request = "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nX-Amzn-Mtls-Clientcert: spoofed\r\n\
                   X-Amzn-Mtls-Clientcert-Subject: spoofed\r\n\r\n";
    soon(stream.write_all(request.as_bytes())).await.ok()?;
    let mut answer = Vec::new();
    // In TLS 1.3 a client learns only now that its certificate was refused.
    soon(stream.read_to_end(&mut answer)).await.ok().filter(|count| *count > 0)?;
    Some(String::from_utf8(answer).unwrap().to_ascii_lowercase())
}

async fn set(world: &mut World, server: &Arc<ServerCertificate>, authentication: ClientAuthentication) {
    world.listener().tls = Some(mutual(server, authentication));
    world.apply().await;
}

#[tokio::test]
async fn only_clients_of_trusted_authorities_are_served() {
    let (server, root, other) = (certificate("a.example"), Party::authority("root"), Party::authority("other"));
    let middle = Party::new("middle", true, Some(&root), |_| {});
    let (good, bad, below) = (Party::client(&root), Party::client(&other), Party::client(&middle));
    let purpose = Party::new("server", false, Some(&root), |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let (world, at) = world(mutual(&server, verify(&[&root], &[], false)), vec![]).await;
    let deep: Vec<&Party> = vec![&below, &middle, &root, &other, &root];
    for version in [&version::TLS12, &version::TLS13] {
        let rows: [(&str, &[&Party], bool); 8] = [
            ("no certificate", &[], false),
            ("of the authority", &[&good], true),
            ("of another authority", &[&bad], false),
            ("with its intermediate", &[&below, &middle], true),
            ("without its intermediate", &[&below], false),
            ("for servers only", &[&purpose], false),
            ("a chain of four", deep.get(..4).unwrap(), true),
            ("a chain of five", &deep, false),
        ];
        for (row, shown, expected) in rows {
            assert_eq!(ask(at, &showing(&server, shown, &[version])).await.is_some(), expected, "{row}, {version:?}");
        }
    }
    world.plane.shutdown().await;
}

#[tokio::test]
async fn expired_certificates_are_refused_unless_that_is_ignored() {
    let (server, root, other) = (certificate("a.example"), Party::authority("root"), Party::authority("other"));
    let old = |signer: &Party| Party::new("old", false, Some(signer), |params| params.not_after = date_time_ymd(2021, 1, 1));
    let (expired, foreign) = (old(&root), old(&other));
    let early = Party::new("early", false, Some(&root), |params| params.not_before = date_time_ymd(2044, 1, 1));
    let (mut world, at) = world(mutual(&server, verify(&[&root], &[], false)), vec![]).await;
    for (ignored, client, expected) in [
        (false, &expired, false),
        (true, &expired, true),
        (true, &foreign, false),
        (true, &early, false),
        (true, &Party::client(&root), true),
    ] {
        set(&mut world, &server, verify(&[&root], &[], ignored)).await;
        let served = ask(at, &showing(&server, &[client], BOTH)).await.is_some();
        assert_eq!(served, expected, "{ignored} {:?}", client.params.distinguished_name);
    }
    world.plane.shutdown().await;
}

#[tokio::test]
async fn revoked_certificates_are_refused() {
    let (server, root, second) = (certificate("a.example"), Party::authority("root"), Party::authority("second"));
    let (client, unlisted) = (Party::client(&root), Party::client(&second));
    let (mut world, at) = world(mutual(&server, verify(&[&root, &second], &[], false)), vec![]).await;
    let list = revoked(&root, &[&[0x83, 0xa5, 0xb1], &[7]]);
    assert_eq!(entries(&revocation_lists(list.as_bytes()).unwrap()[0]), Some(2));
    let others = revoked(&root, &[]);
    assert_eq!(entries(&revocation_lists(others.as_bytes()).unwrap()[0]), Some(0));
    for (lists, expected) in
        [(vec![], true), (vec![list.clone()], false), (vec![others], true), (vec![revoked(&second, &[&[9]]), list], false)]
    {
        set(&mut world, &server, verify(&[&root, &second], &lists, false)).await;
        assert_eq!(ask(at, &showing(&server, &[&client], BOTH)).await.is_some(), expected, "{lists:?}");
        // The authority without a list, or with one that does not name the certificate.
        assert!(ask(at, &showing(&server, &[&unlisted], BOTH)).await.is_some(), "{lists:?}");
    }
    world.plane.shutdown().await;
}

#[tokio::test]
async fn targets_learn_what_was_verified() {
    let (server, root, backend) = (certificate("a.example"), Party::authority("root"), Backend::start("a").await);
    let client = Party::client(&root);
    let (mut world, at) = world(mutual(&server, verify(&[&root], &[], false)), vec![group("g", &[backend.address])]).await;
    let answer = ask(at, &showing(&server, &[&client], BOTH)).await.unwrap();
    for line in [
        "x-amzn-mtls-clientcert-serial-number: 83a5b1",
        "x-amzn-mtls-clientcert-issuer: cn=root,o=test\\, ltd,c=us",
        "x-amzn-mtls-clientcert-subject: cn=client,o=test\\, ltd,c=us",
        "x-amzn-mtls-clientcert-validity: notbefore=2020-01-02t00:00:00z;notafter=2045-03-04t00:00:00z",
    ] {
        assert!(answer.lines().any(|found| found == line), "no {line:?} in {answer}");
    }
    let leaf = answer.lines().find_map(|line| line.strip_prefix("x-amzn-mtls-clientcert-leaf: ")).unwrap();
    assert!(leaf.starts_with("-----begin%20certificate-----%0a") && leaf.ends_with("%0a-----end%20certificate-----%0a"), "{leaf}");
    assert!(!answer.contains("spoofed") && !answer.contains("\nx-amzn-mtls-clientcert:"), "{answer}");

    // Another listener has other names for them.
    let mut renamed = mutual(&server, verify(&[&root], &[], false));
    renamed.clients.as_mut().unwrap().headers.subject = "X-Subject".into();
    world.listener().tls = Some(renamed);
    world.apply().await;
    let answer = ask(at, &showing(&server, &[&client], BOTH)).await.unwrap();
    assert!(answer.contains("\nx-subject: cn=client,"), "{answer}");
    world.plane.shutdown().await;
}

#[tokio::test]
async fn passed_through_certificates_are_not_verified() {
    let (server, root, backend) = (certificate("a.example"), Party::authority("root"), Backend::start("a").await);
    let client = Party::client(&root);
    let (world, at) = world(mutual(&server, ClientAuthentication::Passthrough), vec![group("g", &[backend.address])]).await;
    let answer = ask(at, &showing(&server, &[&client, &root], BOTH)).await.unwrap();
    let chain = answer.lines().find_map(|line| line.strip_prefix("x-amzn-mtls-clientcert: ")).unwrap();
    assert_eq!(chain.matches("-----begin%20certificate-----").count(), 2, "{chain}");
    assert!(!answer.contains("spoofed") && !answer.contains("x-amzn-mtls-clientcert-"), "{answer}");
    // Who shows none is served too, and is not taken for one who did.
    let answer = ask(at, &showing(&server, &[], BOTH)).await.unwrap();
    assert!(answer.starts_with("http/1.1 200") && !answer.contains("x-amzn-mtls-clientcert"), "{answer}");
    world.plane.shutdown().await;
}

#[test]
fn what_is_no_revocation_list_is_not_read() {
    let root = Party::authority("root");
    for text in ["", "x", &root.certificate.pem(), "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"] {
        assert!(revocation_lists(text.as_bytes()).is_none(), "{text}");
    }
}
