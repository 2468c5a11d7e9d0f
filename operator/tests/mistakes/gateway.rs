//! Gateways and their listeners.

use expect_test::expect;

use super::{Mistake, edge, mistake};

const BAD: &str = "Gateway platform/edge/bad: Accepted";

fn listener(settings: &str) -> String {
    edge(&format!("- {{name: bad, {settings}}}"), "")
}

fn spec(spec: &str) -> String {
    edge("", spec)
}

pub fn rows() -> Vec<Mistake> {
    const PROGRAMMED: &str = "Gateway platform/edge: Programmed";
    vec![
        mistake("a protocol that an ALB does not serve", listener("port: 9000, protocol: TCP"), BAD, "spec.listeners[3].protocol", "use HTTP or HTTPS", expect![[r#"
            False UnsupportedProtocol
            spec.listeners[3].protocol: TCP is not served; use HTTP or HTTPS"#]]),
        mistake(
            "what the Gateway itself says of a bad listener",
            listener("port: 9000, protocol: TCP"),
            "Gateway platform/edge: Accepted",
            "listener bad: spec.listeners[3].protocol",
            "use HTTP or HTTPS",
            expect![[r#"
                True ListenersNotValid
                listener bad: spec.listeners[3].protocol: TCP is not served; use HTTP or HTTPS"#]],
        ),
        mistake(
            "two listeners with one hostname",
            edge(
                "- {name: bad, port: 8081, protocol: HTTP, hostname: b.example.com}\n    - {name: worse, port: 8081, protocol: HTTP, hostname: b.example.com}",
                "",
            ),
            BAD,
            "spec.listeners[3]",
            "give it another port or hostname",
            expect![[r#"
                False HostnameConflict
                spec.listeners[3]: worse also has the port and hostname; none of them is served; give it another port or hostname"#]],
        ),
        mistake(
            "two protocols on one port",
            edge("- {name: bad, port: 8081, protocol: HTTP}\n    - {name: worse, port: 8081, protocol: TCP}", ""),
            BAD,
            "spec.listeners[3]",
            "give it another port",
            expect![[r#"
                False ProtocolConflict
                spec.listeners[3]: worse also has the port, with a protocol that cannot share it; none of them is served; give it another port"#]],
        ),
        mistake(
            "two listeners with one name",
            edge("- {name: bad, port: 8081, protocol: HTTP}\n    - {name: bad, port: 8082, protocol: HTTP}", ""),
            BAD,
            "spec.listeners[4].name",
            "give each its own",
            expect![[r#"
                False UnsupportedValue
                spec.listeners[4].name: bad is the name of another listener too; give each its own"#]],
        ),
        mistake(
            "a hostname of a listener that is none",
            listener("port: 8081, protocol: HTTP, hostname: 'b_example'"),
            BAD,
            "spec.listeners[3].hostname",
            "use labels of letters",
            expect![[r#"
                False UnsupportedValue
                spec.listeners[3].hostname: "b_example" is not a hostname; use labels of letters, digits and hyphens with dots between them, at most 253 characters, with `*` as the whole first label or nowhere"#]],
        ),
        mistake(
            "TLS on an HTTP listener",
            listener("port: 8081, protocol: HTTP, tls: {certificateRefs: [{name: cert}]}"),
            BAD,
            "spec.listeners[3].tls",
            "make the protocol HTTPS",
            expect![[r#"
                False UnsupportedValue
                spec.listeners[3].tls: an HTTP listener has no TLS; remove it, or make the protocol HTTPS"#]],
        ),
        mistake(
            "TLS that is passed through",
            listener("port: 8443, protocol: HTTPS, tls: {mode: Passthrough}"),
            BAD,
            "spec.listeners[3].tls.mode",
            "use Terminate",
            expect![[r#"
                False UnsupportedValue
                spec.listeners[3].tls.mode: TLS of an HTTPS listener ends at the load balancer; use Terminate"#]],
        ),
        mistake(
            "an HTTPS listener without TLS settings",
            listener("port: 8443, protocol: HTTPS"),
            "Gateway platform/edge/bad: Programmed",
            "spec.listeners[3].tls",
            "refer to a Secret",
            expect![[r#"
                False InvalidTLSConfig
                spec.listeners[3].tls is missing: an HTTPS listener needs a certificate; refer to a Secret under certificateRefs there"#]],
        ),
        mistake(
            "kinds of routes that an ALB does not serve",
            listener("port: 8081, protocol: HTTP, allowedRoutes: {kinds: [{kind: TCPRoute}]}"),
            "Gateway platform/edge/bad: ResolvedRefs",
            "spec.listeners[3].allowedRoutes.kinds[0]",
            "name HTTPRoute",
            expect![[r#"
                False InvalidRouteKinds
                spec.listeners[3].allowedRoutes.kinds[0]: kind TCPRoute of group "gateway.networking.k8s.io" is not served by HTTP listeners; name HTTPRoute or nothing"#]],
        ),
        mistake(
            "a selector that makes no sense",
            listener("port: 8081, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchExpressions: [{key: team, operator: Near, values: [shop]}]}}}"),
            BAD,
            "spec.listeners[3].allowedRoutes.namespaces.selector",
            "use In, NotIn, Exists or DoesNotExist",
            expect![[r#"
                False UnsupportedValue
                spec.listeners[3].allowedRoutes.namespaces.selector: operator "Near" on label team is unknown; use In, NotIn, Exists or DoesNotExist"#]],
        ),
        mistake(
            "filters of a listener (experimental channel)",
            listener("port: 8081, protocol: HTTP, filters: {requests: [{type: ExtensionRef, extensionRef: {group: example.com, kind: Auth, name: sso}}]}"),
            BAD,
            "spec.listeners[bad].filters",
            "Put the filter on the routes",
            expect![[r#"
                False UnsupportedValue
                spec.listeners[bad].filters.requests[0]: An ALB applies no ExtensionRef to a whole listener; its requests are answered 500. Put the filter on the routes."#]],
        ),
        mistake(
            "filters of a listener that nobody knows (experimental channel)",
            listener("port: 8081, protocol: HTTP, filters: {requests: [{type: ExtensionRef, extensionRef: {group: example.com, kind: Auth, name: sso}}]}"),
            "Gateway platform/edge/bad: ResolvedRefs",
            "spec.listeners[3].filters",
            "remove the filter",
            expect![[r#"
                False InvalidListenerFilterRef
                spec.listeners[3].filters.requests[0].extensionRef: kind Auth of group "example.com" is not known here; remove the filter"#]],
        ),
        mistake(
            "clients that must show a certificate",
            listener("port: 8443, protocol: HTTPS, hostname: a.example.com, tls: {certificateRefs: [{name: cert}]}").replace(
                "  listeners:\n",
                "  tls: {frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}, perPort: [{port: 443, tls: {}}]}}\n  listeners:\n",
            ),
            BAD,
            "spec.tls.frontend.default.validation",
            "create it",
            expect![[r#"
                False NoValidCACertificate
                spec.tls.frontend.default.validation.caCertificateRefs[0]: ConfigMap platform/ca does not exist; create it, or correct the reference"#]],
        ),
        mistake("an address", spec("addresses: [{type: IPAddress, value: 192.0.2.1}]"), PROGRAMMED, "spec.addresses[0]", "let a DNS record", expect![[r#"
            False AddressNotUsable
            spec.addresses[0]: An ALB's addresses are AWS's to choose and to change. Remove the entry, and let a DNS record of your own point to the Gateway's address."#]]),
        mistake(
            "a type of address that nobody knows",
            spec("addresses: [{type: example.com/pool, value: blue}]"),
            "Gateway platform/edge: Accepted",
            "spec.addresses[0].type",
            "use IPAddress or Hostname",
            expect![[r#"
                False UnsupportedAddress
                spec.addresses[0].type: example.com/pool is not served; use IPAddress or Hostname, or remove the entry"#]],
        ),
        mistake(
            "annotations for what is made",
            spec("infrastructure: {annotations: {example.com/team: shop}}"),
            PROGRAMMED,
            "spec.infrastructure.annotations",
            "Use spec.infrastructure.labels",
            expect![[r#"
                False Invalid
                spec.infrastructure.annotations: AWS resources have tags only; labels become tags. Use spec.infrastructure.labels."#]],
        ),
        mistake(
            "a scope for routes that name no Gateway (experimental channel)",
            spec("defaultScope: All"),
            "Gateway platform/edge: Accepted",
            "spec.defaultScope",
            "name this one in their parentRefs",
            expect![[r#"
                True Accepted
                spec.defaultScope: routes do not attach to Gateways that they do not name; name this one in their parentRefs, and remove the field"#]],
        ),
        mistake(
            "a label that is Portico's own",
            spec("infrastructure: {labels: {portico.dev/unit: mine, team: shop}}"),
            PROGRAMMED,
            "spec.infrastructure.labels[portico.dev/unit]",
            "Use another key",
            expect![[r#"
                False Invalid
                spec.infrastructure.labels[portico.dev/unit]: Tags that start with portico.dev/ mark what Portico owns. Use another key or value, or remove it."#]],
        ),
        mistake(
            "a certificate to show to backends",
            spec("tls: {backend: {clientCertificateRef: {name: cert}}}"),
            PROGRAMMED,
            "spec.tls.backend.clientCertificateRef",
            "Remove the field",
            expect![[r#"
                False Invalid
                spec.tls.backend.clientCertificateRef: An ALB shows no client certificate to backends. Remove the field."#]],
        ),
    ]
}
