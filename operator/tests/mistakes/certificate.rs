//! Certificates in Secrets.

use expect_test::expect;

use super::{Mistake, edge, mistake, secret};

fn listener(reference: &str) -> String {
    edge(&format!("- {{name: bad, port: 8443, protocol: HTTPS, hostname: a.example.com, tls: {{certificateRefs: [{{{reference}}}]}}}}"), "")
}

/// A listener with a Secret of these files.
fn with(certificate: &str, key: &str) -> String {
    [listener("name: bad"), secret("bad", certificate, key)].concat()
}

pub fn rows() -> Vec<Mistake> {
    let first = |name, manifests: String, remedy, says| {
        mistake(name, manifests, "Gateway platform/edge/bad: ResolvedRefs", "spec.listeners[3].tls.certificateRefs", remedy, says)
    };
    vec![
        first(
            "a Secret that does not exist",
            listener("name: gone"),
            "does not exist",
            expect![[r#"
            False InvalidCertificateRef
            spec.listeners[3].tls.certificateRefs[0]: Secret platform/gone does not exist"#]],
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
            "nothing under tls.crt",
            expect![[r#"
            False InvalidCertificateRef
            spec.listeners[3].tls.certificateRefs[0]: Secret platform/bad has nothing under tls.crt"#]],
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
            "kubernetes.io/tls",
            expect![[r#"
                False InvalidCertificateRef
                spec.listeners[3].tls.certificateRefs[0]: Secret platform/bad is of type Opaque; kubernetes.io/tls is needed"#]],
        ),
    ]
}
