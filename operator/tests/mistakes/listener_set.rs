//! ListenerSets.

use expect_test::expect;

use super::{Mistake, edge, mistake};

fn set(namespace: &str, listener: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {{name: bad, namespace: {namespace}, creationTimestamp: '2026-03-01T00:00:00Z'}}
spec:
  parentRef: {{name: edge, namespace: platform}}
  listeners: [{{name: bad, {listener}}}]
---
"
    )
}

pub fn rows() -> Vec<Mistake> {
    vec![
        mistake(
            "a Gateway that takes none from the namespace",
            [
                edge("", "")
                    .replace("namespaces: {from: All}}\n", "namespaces: {from: Selector, selector: {matchLabels: {team: news}}}}\n"),
                set("shop", "port: 9091, protocol: HTTP"),
            ]
            .concat(),
            "ListenerSet shop/bad: Accepted",
            "spec.parentRef",
            "ask its owner to let the namespace in",
            expect![[r#"
                False NotAllowed
                spec.parentRef: Gateway platform/edge takes no ListenerSets from namespace shop; use another one, or ask its owner to let the namespace in (spec.allowedListeners.namespaces)"#]],
        ),
        mistake(
            "a port and hostname that the Gateway has",
            set("shop", "port: 8080, protocol: HTTP, hostname: news.example.com"),
            "ListenerSet shop/bad/bad: Accepted",
            "spec.listeners[0]",
            "give it another port or hostname",
            expect![[r#"
                False HostnameConflict
                spec.listeners[0]: Gateway platform/edge listener news also has the port and hostname; it comes first; give it another port or hostname"#]],
        ),
        mistake(
            "a port that another team's ListenerSet has",
            set("shop", "port: 9090, protocol: HTTP"),
            "ListenerSet shop/bad/bad: Accepted",
            "spec.listeners[0]",
            "give it another port or hostname",
            expect![[r#"
                False HostnameConflict
                spec.listeners[0]: a listener of a ListenerSet elsewhere also has the port and hostname; it comes first; give it another port or hostname"#]],
        ),
        mistake(
            "the Gateway's certificate without a grant of its own",
            set("shop", "port: 9443, protocol: HTTPS, tls: {certificateRefs: [{name: cert, namespace: platform}]}"),
            "ListenerSet shop/bad/bad: ResolvedRefs",
            "spec.listeners[0].tls.certificateRefs[0]",
            "create one in namespace platform",
            expect![[r#"
                False RefNotPermitted
                spec.listeners[0].tls.certificateRefs[0]: Secret platform/cert is in another namespace, and no ReferenceGrant there lets ListenerSets of namespace shop refer to it; create one in namespace platform"#]],
        ),
        mistake(
            "what the ListenerSet itself says",
            set("shop", "port: 9091, protocol: UDP"),
            "ListenerSet shop/bad: Accepted",
            "listener bad: spec.listeners[0].protocol",
            "use HTTP or HTTPS",
            expect![[r#"
                False ListenersNotValid
                listener bad: spec.listeners[0].protocol: UDP is not served; use HTTP or HTTPS"#]],
        ),
    ]
}
