//! Certificates, from Secrets and of ACM, and what else TLS has to do with.

use expect_test::expect;

use portico_aws::account::{Certificates, HeldCertificate, Unread};

use super::{Mistake, edge, mistake, secret};

fn listener(reference: &str) -> String {
    edge(&format!("- {{name: bad, port: 8443, protocol: HTTPS, hostname: a.example.com, tls: {{certificateRefs: [{{{reference}}}]}}}}"), "")
}

/// A listener with a Secret of these files.
fn with(certificate: &str, key: &str) -> String {
    [listener("name: bad"), secret("bad", certificate, key)].concat()
}

/// A listener with options of its TLS.
fn options(options: &str) -> String {
    edge(&format!("- {{name: bad, port: 8443, protocol: HTTPS, hostname: a.example.com, tls: {{options: {{{options}}}}}}}"), "")
}

/// The Gateway that checks certificates of clients on the bad listener's port alone.
fn checking(validation: &str) -> String {
    listener("name: cert").replace(
        "  listeners:\n",
        &format!(
            "  tls: {{frontend: {{default: {{}}, perPort: [{{port: 8443, tls: {{validation: {{{validation}}}}}}}]}}}}\n  listeners:\n"
        ),
    )
}

fn ca(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca, namespace: platform}}\ndata: {data}\n---\n")
}

const ARN: &str = "arn:aws:acm:us-east-1:123456789012:certificate/0c5b3c1e-5a0e-4d2f-9d7e-3f1f0a6f2b11";

pub fn rows() -> Vec<Mistake> {
    [of_secrets(), of_acm(), of_clients()].into_iter().flatten().collect()
}

fn of_secrets() -> Vec<Mistake> {
    let first = |name, manifests: String, remedy, says| {
        mistake(name, manifests, "Gateway platform/edge/bad: ResolvedRefs", "spec.listeners[3].tls.certificateRefs", remedy, says)
    };
    vec![
        first(
            "a Secret that does not exist",
            listener("name: gone"),
            "create it",
            expect![[r#"
                False InvalidCertificateRef
                spec.listeners[3].tls.certificateRefs[0]: Secret platform/gone does not exist; create it, or correct the reference"#]],
        ),
        first(
            "a Secret of another namespace",
            listener("name: cert, namespace: shop"),
            "create one in namespace shop",
            expect![[r#"
            False RefNotPermitted
            spec.listeners[3].tls.certificateRefs[0]: Secret shop/cert is in another namespace, and no ReferenceGrant there lets Gateways of namespace platform refer to it; create one in namespace shop"#]],
        ),
        first(
            "a reference to something else",
            listener("kind: ConfigMap, name: cert"),
            "refer to a Secret",
            expect![[r#"
            False InvalidCertificateRef
            spec.listeners[3].tls.certificateRefs[0]: kind ConfigMap of group "" is not known here; refer to a Secret of type kubernetes.io/tls"#]],
        ),
        first(
            "an expired certificate",
            with("old.crt", "a.key"),
            "renew it",
            expect![[r#"
            False InvalidCertificateRef
            spec.listeners[3].tls.certificateRefs[0]: the certificate in Secret platform/bad expired at 2025-01-01T00:00:00Z; renew it in the Secret"#]],
        ),
        first(
            "a key that does not fit",
            with("a.crt", "b.key"),
            "store",
            expect![[r#"
            False InvalidCertificateRef
            spec.listeners[3].tls.certificateRefs[0]: Secret platform/bad has a key under tls.key that does not fit the certificate under tls.crt; store the two that belong together"#]],
        ),
        first(
            "a Secret without a certificate",
            with("", "a.key"),
            "store certificates in PEM there",
            expect![[r#"
                False InvalidCertificateRef
                spec.listeners[3].tls.certificateRefs[0]: Secret platform/bad has nothing under tls.crt; store certificates in PEM there, the server's own first"#]],
        ),
        first(
            "a certificate for another hostname",
            with("rsa.crt", "rsa.key"),
            "store one for the hostname",
            expect![[r#"
            True ResolvedRefs
            All references resolve; spec.listeners[3].tls.certificateRefs: no certificate is for hostname a.example.com, but for rsa.example.com: clients will refuse it; store one for the hostname"#]],
        ),
        first(
            "a Secret of another type",
            [listener("name: bad"), secret("bad", "a.crt", "a.key").replace("kubernetes.io/tls", "Opaque")].concat(),
            "make one of type kubernetes.io/tls",
            expect![[r#"
                False InvalidCertificateRef
                spec.listeners[3].tls.certificateRefs[0]: Secret platform/bad is of type Opaque; make one of type kubernetes.io/tls, with the certificate and its key"#]],
        ),
        first("a Secret without a key", with("a.crt", ""), "store the certificate's private key", expect![[r#"
            False InvalidCertificateRef
            spec.listeners[3].tls.certificateRefs[0]: Secret platform/bad has nothing under tls.key; store the certificate's private key in PEM there, without a passphrase"#]]),
        first("a certificate that is none", [listener("name: bad"), broken("nonsense", "a.key")].concat(), "store certificates in PEM there", expect![[r#"
            False InvalidCertificateRef
            spec.listeners[3].tls.certificateRefs[0]: Secret platform/bad has no usable certificate under tls.crt: there is no certificate in PEM; store certificates in PEM there, the server's own first"#]]),
        first("a key that is none", [listener("name: bad"), broken("a.crt", "nonsense")].concat(), "in PEM there", expect![[r#"
            False InvalidCertificateRef
            spec.listeners[3].tls.certificateRefs[0]: Secret platform/bad has no usable key under tls.key: it is not a private key in PEM; store the certificate's private key in PEM there, without a passphrase"#]]),
        first(
            "a key with a passphrase",
            [listener("name: bad"), broken("a.crt", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")].concat(),
            "without a passphrase",
            expect![[r#"
                False InvalidCertificateRef
                spec.listeners[3].tls.certificateRefs[0]: Secret platform/bad has no usable key under tls.key: it is encrypted; store the certificate's private key in PEM there, without a passphrase"#]],
        ),
        first("a Secret that holds no base64", [listener("name: bad"), "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: bad, namespace: platform}\ndata: {tls.crt: '%', tls.key: '%'}\n---\n".to_owned()].concat(), "store certificates in PEM there", expect![[r#"
            False InvalidCertificateRef
            spec.listeners[3].tls.certificateRefs[0]: Secret platform/bad has something under tls.crt that is not base64; store certificates in PEM there, the server's own first"#]]),
        first("a reference to another group", listener("group: cert-manager.io, kind: Certificate, name: cert"), "refer to a Secret", expect![[r#"
            False InvalidCertificateRef
            spec.listeners[3].tls.certificateRefs[0]: kind Certificate of group "cert-manager.io" is not known here; refer to a Secret of type kubernetes.io/tls"#]]),
        first("one Secret of two that does not exist", edge("- {name: bad, port: 8443, protocol: HTTPS, hostname: a.example.com, tls: {certificateRefs: [{name: cert}, {name: gone}]}}", ""), "create it", expect![[r#"
            False InvalidCertificateRef
            spec.listeners[3].tls.certificateRefs[1]: Secret platform/gone does not exist; create it, or correct the reference"#]]),
        mistake(
            "hostnames that overlap",
            edge("- {name: bad, port: 8443, protocol: HTTPS, hostname: '*.example.org', tls: {certificateRefs: [{name: cert}]}}\n    - {name: worse, port: 8443, protocol: HTTPS, hostname: b.example.org, tls: {certificateRefs: [{name: cert}]}}", ""),
            "Gateway platform/edge/bad: OverlappingTLSConfig",
            "spec.listeners[3].hostname",
            "give them hostnames that do not overlap",
            expect![[r#"
                True OverlappingHostnames
                spec.listeners[3].hostname overlaps with those of worse: a client that reuses a connection may reach the wrong one; give them hostnames that do not overlap, or other ports"#]],
        ),
        mistake(
            "a certificate for another listener's hostname, too",
            edge("- {name: bad, port: 8443, protocol: HTTPS, hostname: a.example.com, tls: {certificateRefs: [{name: rsa}]}}\n    - {name: worse, port: 8443, protocol: HTTPS, hostname: rsa.example.com, tls: {certificateRefs: [{name: cert}]}}", "") + &secret("rsa", "rsa.crt", "rsa.key"),
            "Gateway platform/edge/bad: OverlappingTLSConfig",
            "spec.listeners[3].tls",
            "use certificates of their own",
            expect![[r#"
                True OverlappingCertificates
                spec.listeners[3].tls: a certificate of this listener or of worse is for the other's hostname, too: a client may send requests for both on one connection; use certificates of their own, or other ports"#]],
        ),
        mistake("a certificate for backends that does not exist", edge("", "tls: {backend: {clientCertificateRef: {name: gone}}}"), "Gateway platform/edge: ResolvedRefs", "spec.tls.backend.clientCertificateRef", "create it", expect![[r#"
            False InvalidClientCertificateRef
            spec.tls.backend.clientCertificateRef: Secret platform/gone does not exist; create it, or correct the reference"#]]),
    ]
}

/// A Secret with what a file of the translation's tests holds, or with this text where there is no such file.
fn broken(certificate: &str, key: &str) -> String {
    let name = |text: &str| if text.ends_with(".crt") || text.ends_with(".key") { text.to_owned() } else { String::new() };
    let text = |text: &str| if name(text).is_empty() { Some(text.to_owned()) } else { None };
    let mut object: serde_json::Value =
        serde_json::from_str(secret("bad", &name(certificate), &name(key)).trim_end_matches("---\n")).unwrap();
    for (field, text) in [("tls.crt", text(certificate)), ("tls.key", text(key))] {
        if let Some(text) = text {
            object["stringData"][field] = text.into();
        }
    }
    format!("{object}\n---\n")
}

fn of_acm() -> Vec<Mistake> {
    let first = |name, options_of: &str, field, remedy, says| {
        mistake(name, options(options_of), "Gateway platform/edge/bad: ResolvedRefs", field, remedy, says)
    };
    let held = |row: Mistake, certificates: fn() -> Certificates| Mistake { certificates: Some(certificates()), ..row };
    const OPTIONS: &str = "spec.listeners[3].tls.options";
    const DISCOVERY: &str = "spec.listeners[bad].tls.options[portico.dev/certificate-discovery]";
    const NAMED: &str = "spec.listeners[bad].tls.options[portico.dev/certificate-arn]";
    let by_arn = || format!("portico.dev/certificate-arn: '{ARN}'");
    vec![
        first(
            "neither true nor false",
            "portico.dev/certificate-discovery: maybe",
            OPTIONS,
            "write one of them",
            expect![[r#"
            False InvalidCertificateRef
            spec.listeners[3].tls.options[portico.dev/certificate-discovery]: "maybe" is neither "true" nor "false"; write one of them, or remove the option"#]],
        ),
        first(
            "no ARN at all",
            "portico.dev/certificate-arn: ', '",
            OPTIONS,
            "write ids of certificates",
            expect![[r#"
            False InvalidCertificateRef
            spec.listeners[3].tls.options[portico.dev/certificate-arn]: it is empty; write ids of certificates, separated by commas"#]],
        ),
        mistake(
            "a certificate to be found for no hostname",
            edge("- {name: bad, port: 8443, protocol: HTTPS, tls: {options: {portico.dev/certificate-discovery: 'true'}}}", ""),
            "Gateway platform/edge/bad: ResolvedRefs",
            OPTIONS,
            "give it one",
            expect![[r#"
                False InvalidCertificateRef
                spec.listeners[3].tls.options[portico.dev/certificate-discovery]: a certificate is looked for by the listener's hostname, and it has none; give it one, or name certificates under portico.dev/certificate-arn"#]],
        ),
        mistake(
            "no certificate asked for, and an option that is misspelt",
            options("portico.dev/certificate-discover: 'true'"),
            "Gateway platform/edge/bad: Programmed",
            "spec.listeners[3].tls",
            "refer to a Secret",
            expect![[r#"
                False InvalidTLSConfig
                spec.listeners[3].tls.certificateRefs is empty: an HTTPS listener needs a certificate; refer to a Secret, or set portico.dev/certificate-arn or portico.dev/certificate-discovery under spec.listeners[3].tls.options (portico.dev/certificate-discover is not known to Portico)"#]],
        ),
        first(
            "what is no ARN",
            "portico.dev/certificate-arn: shop",
            NAMED,
            "arn:aws:acm:REGION:ACCOUNT:certificate/ID",
            expect![[r#"
            False InvalidCertificateRef
            spec.listeners[bad].tls.options[portico.dev/certificate-arn]: "shop" is not the ARN of a certificate in ACM. Write it like arn:aws:acm:REGION:ACCOUNT:certificate/ID."#]],
        ),
        held(
            first(
                "a certificate that ACM does not have",
                &by_arn(),
                NAMED,
                "request or import one",
                expect![[r#"
            False InvalidCertificateRef
            spec.listeners[bad].tls.options[portico.dev/certificate-arn]: ACM has no certificate arn:aws:acm:us-east-1:123456789012:certificate/0c5b3c1e-5a0e-4d2f-9d7e-3f1f0a6f2b11 in the account and region of the load balancer. Name one that is there, or request or import one."#]],
            ),
            || of_account([]),
        ),
        held(
            first(
                "a certificate that is not validated yet",
                &by_arn(),
                NAMED,
                "Finish its validation",
                expect![[r#"
            False InvalidCertificateRef
            spec.listeners[bad].tls.options[portico.dev/certificate-arn]: Certificate arn:aws:acm:us-east-1:123456789012:certificate/0c5b3c1e-5a0e-4d2f-9d7e-3f1f0a6f2b11 is PENDING_VALIDATION in ACM. Finish its validation in ACM, or name a certificate that is issued."#]],
            ),
            || of_account([HeldCertificate { status: "PENDING_VALIDATION".into(), ..HeldCertificate::default() }]),
        ),
        held(
            first(
                "a certificate of another Gateway's",
                &by_arn(),
                NAMED,
                "Refer to the Secret",
                expect![[r#"
            False InvalidCertificateRef
            spec.listeners[bad].tls.options[portico.dev/certificate-arn]: arn:aws:acm:us-east-1:123456789012:certificate/0c5b3c1e-5a0e-4d2f-9d7e-3f1f0a6f2b11 was imported by Portico from a Secret, and goes with the Gateway that needs it. Refer to the Secret under certificateRefs."#]],
            ),
            || {
                of_account([HeldCertificate {
                    status: "ISSUED".into(),
                    imported: true,
                    imported_by_portico: true,
                    ..HeldCertificate::default()
                }])
            },
        ),
        held(
            first(
                "a certificate of ACM that expired",
                &by_arn(),
                NAMED,
                "Renew it in ACM",
                expect![[r#"
            False InvalidCertificateRef
            spec.listeners[bad].tls.options[portico.dev/certificate-arn]: Certificate arn:aws:acm:us-east-1:123456789012:certificate/0c5b3c1e-5a0e-4d2f-9d7e-3f1f0a6f2b11 expired; it goes on being served until another takes its place. Renew it in ACM."#]],
            ),
            || {
                let names = vec!["a.example.com".to_owned()];
                of_account([HeldCertificate { status: "EXPIRED".into(), names, in_use: true, ..HeldCertificate::default() }])
            },
        ),
        held(
            first(
                "a certificate of ACM for another hostname",
                &by_arn(),
                "spec.listeners[bad].tls",
                "Name a certificate for the hostname",
                expect![[r#"
                    True ResolvedRefs
                    All references resolve; spec.listeners[bad].tls: No certificate is for hostname a.example.com, but for b.example.com: clients will refuse it. Name a certificate for the hostname."#]],
            ),
            || {
                of_account([HeldCertificate {
                    status: "ISSUED".into(),
                    names: vec!["b.example.com".to_owned()],
                    ..HeldCertificate::default()
                }])
            },
        ),
        held(
            first(
                "a hostname that ACM has no certificate for",
                "portico.dev/certificate-discovery: 'true'",
                DISCOVERY,
                "Request or import one",
                expect![[r#"
                    False InvalidCertificateRef
                    spec.listeners[bad].tls.options[portico.dev/certificate-discovery]: ACM has no issued certificate for hostname a.example.com in the account and region of the load balancer. Request or import one, name one under portico.dev/certificate-arn, or refer to a Secret under certificateRefs."#]],
            ),
            || of_account([]),
        ),
        held(
            first(
                "certificates that may not be listed",
                "portico.dev/certificate-discovery: 'true'",
                DISCOVERY,
                "acm:ListCertificates",
                expect![[r#"
                    False InvalidCertificateRef
                    spec.listeners[bad].tls.options[portico.dev/certificate-discovery]: It cannot be found out which certificate ACM has for hostname a.example.com (ListCertificates: AccessDeniedException: no); what is served stays, and nothing new is. Allow acm:ListCertificates to the operator's role."#]],
            ),
            denied,
        ),
        first(
            "an option that is misspelt",
            "portico.dev/certificate-arn: 'ARN', portico.dev/ssl-polcy: x".replace("ARN", ARN).as_str(),
            "spec.listeners[bad].tls.options[portico.dev/ssl-polcy]",
            "Its options are",
            expect![[r#"
                True ResolvedRefs
                All references resolve; spec.listeners[bad].tls.options[portico.dev/ssl-polcy]: Portico has no such option. Its options are portico.dev/certificate-arn, portico.dev/certificate-discovery, portico.dev/ssl-policy."#]],
        ),
        first(
            "a security policy that AWS does not have",
            "portico.dev/certificate-arn: 'ARN', portico.dev/ssl-policy: TLS-9".replace("ARN", ARN).as_str(),
            "spec.listeners[bad].tls.options[portico.dev/ssl-policy]",
            "policies",
            expect![[r#"
                True ResolvedRefs
                All references resolve; spec.listeners[bad].tls.options[portico.dev/ssl-policy]: AWS has no security policy TLS-9 for application load balancers; ELBSecurityPolicy-TLS13-1-2-2021-06 is served. `aws elbv2 describe-ssl-policies --load-balancer-type application` lists those that there are."#]],
        ),
    ]
}

/// An account that holds these, the first by [`ARN`].
fn of_account<const N: usize>(certificates: [HeldCertificate; N]) -> Certificates {
    Certificates { held: std::sync::Arc::new(certificates.into_iter().map(|it| (ARN.to_owned(), it)).collect()), unread: None }
}

fn denied() -> Certificates {
    let unread = Unread {
        detail: "ListCertificates: AccessDeniedException: no".into(),
        remedy: "Allow acm:ListCertificates to the operator's role.".into(),
    };
    Certificates { unread: Some(unread), ..Certificates::default() }
}

fn of_clients() -> Vec<Mistake> {
    const BAD: &str = "Gateway platform/edge/bad: Accepted";
    const RESOLVED: &str = "Gateway platform/edge/bad: ResolvedRefs";
    const REFS: &str = "spec.tls.frontend.perPort[port 8443].tls.validation.caCertificateRefs[0]";
    let by = |reference: &str| checking(&format!("caCertificateRefs: [{{{reference}}}]"));
    let map = "group: '', kind: ConfigMap, name: ca";
    let authority = || {
        ca(&serde_json::json!({ "ca.crt": std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/translate/tests/certificates/a.crt")).unwrap() }).to_string())
    };
    vec![
        mistake(
            "an authority in a Secret",
            by("group: '', kind: Secret, name: cert"),
            RESOLVED,
            REFS,
            "refer to a ConfigMap",
            expect![[r#"
            False InvalidCACertificateKind
            spec.tls.frontend.perPort[port 8443].tls.validation.caCertificateRefs[0]: kind Secret of group "" is not known here; refer to a ConfigMap with the key ca.crt"#]],
        ),
        mistake(
            "an authority of another namespace",
            by("group: '', kind: ConfigMap, name: ca, namespace: shop"),
            RESOLVED,
            REFS,
            "create one in namespace shop",
            expect![[r#"
                False RefNotPermitted
                spec.tls.frontend.perPort[port 8443].tls.validation.caCertificateRefs[0]: ConfigMap shop/ca is in another namespace, and no ReferenceGrant there lets Gateways of namespace platform refer to it; create one in namespace shop"#]],
        ),
        mistake(
            "a ConfigMap without an authority",
            [by(map), ca("{other: x}")].concat(),
            RESOLVED,
            REFS,
            "store the authority's certificates",
            expect![[r#"
                False InvalidCACertificateRef
                spec.tls.frontend.perPort[port 8443].tls.validation.caCertificateRefs[0]: ConfigMap platform/ca has nothing under ca.crt; store the authority's certificates in PEM there"#]],
        ),
        mistake(
            "an authority that is none",
            [by(map), ca("{ca.crt: nonsense}")].concat(),
            RESOLVED,
            REFS,
            "store the authority's certificates",
            expect![[r#"
                False InvalidCACertificateRef
                spec.tls.frontend.perPort[port 8443].tls.validation.caCertificateRefs[0]: ConfigMap platform/ca has no usable certificate authority under ca.crt: there is no certificate in PEM; store the authority's certificates in PEM there"#]],
        ),
        mistake(
            "clients that must show a certificate of an authority that is there",
            [by(map), authority()].concat(),
            BAD,
            "spec.tls.frontend.perPort[port 8443].tls.validation",
            "Remove it for this port",
            expect![[r#"
                False UnsupportedValue
                spec.tls.frontend.perPort[port 8443].tls.validation: to check clients' certificates an ALB needs a trust store, which Portico does not make yet, and port 8443 is not served without the check. Remove it for this port, and let backends tell clients apart."#]],
        ),
        mistake(
            "clients that may come without a certificate",
            [checking(&format!("mode: AllowInsecureFallback, caCertificateRefs: [{{{map}}}]")), authority()].concat(),
            "Gateway platform/edge: InsecureFrontendValidationMode",
            "spec.tls.frontend",
            "use AllowValidOnly",
            expect![[r#"
                True ConfigurationChanged
                spec.tls.frontend lets clients without a valid certificate in (AllowInsecureFallback); use AllowValidOnly to keep them out"#]],
        ),
    ]
}
