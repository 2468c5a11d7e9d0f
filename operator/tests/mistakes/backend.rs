//! Backends that lead nowhere, or that an ALB does not speak with.

use expect_test::expect;

use super::{Mistake, mistake, rule};

const RESOLVED: &str = "HTTPRoute shop/bad: ResolvedRefs";
const PARTIALLY: &str = "HTTPRoute shop/bad: PartiallyInvalid";
const FIRST: &str = "spec.rules[0].backendRefs[0]";

fn to(backend: &str) -> String {
    rule(&format!("{{backendRefs: [{{{backend}}}]}}"))
}

/// A Service `shop/odd`, and the route to its port 80.
fn odd(spec: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: odd, namespace: shop}}\nspec: {spec}\n---\n{}", to("name: odd, port: 80"))
}

fn grant(from: &str, to: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {{name: grant, namespace: news}}
spec:
  from: [{{group: gateway.networking.k8s.io, {from}}}]
  to: [{{group: '', {to}}}]
---
"
    )
}

fn policy(target: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: checked, namespace: shop}}
spec:
  targetRefs: [{{group: '', kind: Service, {target}}}]
  validation: {{hostname: web.example.com, wellKnownCACertificates: System}}
---
"
    )
}

pub fn rows() -> Vec<Mistake> {
    let news = || to("name: web, namespace: news, port: 80");
    let ungranted = |name, grant: String| {
        mistake(
            name,
            [grant, news()].concat(),
            RESOLVED,
            FIRST,
            "create one in namespace news",
            expect![[r#"
            False RefNotPermitted
            spec.rules[0].backendRefs[0]: Service news/web is in another namespace, and no ReferenceGrant there lets HTTPRoutes of namespace shop refer to it; create one in namespace news"#]],
        )
    };
    vec![
        ungranted("no grant", String::new()),
        ungranted("a grant for another kind", grant("kind: Gateway, namespace: shop", "kind: Service")),
        ungranted("a grant for another namespace", grant("kind: HTTPRoute, namespace: shop-dev", "kind: Service")),
        ungranted("a grant to another Service", grant("kind: HTTPRoute, namespace: shop", "kind: Service, name: wbe")),
        mistake("a Service that does not exist", to("name: wbe, port: 80"), RESOLVED, FIRST, "create it", expect![[r#"
            False BackendNotFound
            spec.rules[0].backendRefs[0]: Service shop/wbe does not exist; create it, or correct the reference"#]]),
        mistake("a port that the Service does not have", to("name: web, port: 81"), RESOLVED, FIRST, "use one of its TCP ports: 80", expect![[r#"
            False BackendNotFound
            spec.rules[0].backendRefs[0]: Service shop/web has no port 81; use one of its TCP ports: 80, 9000"#]]),
        mistake("a port left out", to("name: web"), RESOLVED, FIRST, "use one of its TCP ports: 80", expect![[r#"
            False UnsupportedValue
            spec.rules[0].backendRefs[0]: port is missing for Service shop/web; use one of its TCP ports: 80, 9000"#]]),
        mistake("a port for datagrams", to("name: web, port: 53"), RESOLVED, FIRST, "use one of its TCP ports: 80", expect![[r#"
            False UnsupportedProtocol
            spec.rules[0].backendRefs[0]: port 53 of Service shop/web is UDP, and an HTTPRoute needs TCP; use one of its TCP ports: 80, 9000"#]]),
        mistake(
            "an ExternalName Service",
            odd("{type: ExternalName, externalName: example.org, ports: [{port: 80}]}"),
            RESOLVED,
            FIRST,
            "use one that selects pods",
            expect![[r#"
                False UnsupportedValue
                spec.rules[0].backendRefs[0]: Service shop/odd is of type ExternalName, which has no endpoints; use one that selects pods or has EndpointSlices"#]],
        ),
        mistake("an appProtocol that nobody knows", odd("{ports: [{port: 80, appProtocol: htp}]}"), RESOLVED, FIRST, "use http", expect![[r#"
            False UnsupportedProtocol
            spec.rules[0].backendRefs[0]: appProtocol "htp" of port 80 of Service shop/odd is not served; use http, https, kubernetes.io/h2c, kubernetes.io/ws or kubernetes.io/wss"#]]),
        mistake("HTTP/2 in clear text", to("name: web, port: 9000"), PARTIALLY, FIRST, "remove its appProtocol", expect![[r#"
            True UnsupportedValue
            Dropped Rule: spec.rules[0].backendRefs[0]: An ALB speaks HTTP/2 to targets only for clients that speak HTTP/2, which needs an HTTPS listener; its requests are answered 500. Let the Service's port speak HTTP/1.1 (remove its appProtocol)."#]]),
        mistake(
            "a Service without IPv4",
            odd("{ipFamilies: [IPv6], ports: [{port: 80}]}"),
            PARTIALLY,
            FIRST,
            "spec.aws.ipAddressType",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].backendRefs[0]: Service shop/odd has IPv6 addresses only, which an ALB reaches only if it is dual-stack itself; its requests are answered 500. Set spec.aws.ipAddressType of the LoadBalancerProfile to dualstack."#]],
        ),
        mistake(
            "a backend that is no Service",
            to("group: storage.example.com, kind: Bucket, name: web"),
            RESOLVED,
            FIRST,
            "refer to a Service",
            expect![[r#"
                False InvalidKind
                spec.rules[0].backendRefs[0]: kind Bucket of group "storage.example.com" is not served; refer to a Service"#]],
        ),
        mistake(
            "more backends than an action has room for",
            [
                (0..6).map(|n| format!("apiVersion: v1\nkind: Service\nmetadata: {{name: s{n}, namespace: shop}}\nspec: {{ports: [{{port: 80}}]}}\n---\n")).collect::<String>(),
                rule(&format!("{{backendRefs: [{}]}}", (0..6).map(|n| format!("{{name: s{n}, port: 80}}")).collect::<Vec<_>>().join(", "))),
            ]
            .concat(),
            PARTIALLY,
            "spec.rules[0].backendRefs",
            "at most five",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].backendRefs: needs 6 target groups, an action of an ALB allows 5; its requests are answered 500. Use at most five different backends in one rule."#]],
        ),
        mistake(
            "a BackendTLSPolicy",
            [policy("name: odd"), odd("{ports: [{port: 80}]}")].concat(),
            "BackendTLSPolicy shop/checked: Accepted",
            "spec.validation",
            "appProtocol https",
            expect![[r#"
                False Invalid
                spec.validation: An ALB does not check the certificates of backends, so that rules with these backends are answered 500. For TLS to the backend without the check, delete the policy and give the Service's port appProtocol https."#]],
        ),
        mistake(
            "a backend with a BackendTLSPolicy",
            [policy("name: odd"), odd("{ports: [{port: 80}]}")].concat(),
            PARTIALLY,
            FIRST,
            "delete the policy",
            expect![[r#"
                True UnsupportedValue
                Dropped Rule: spec.rules[0].backendRefs[0]: BackendTLSPolicy shop/checked asks to check the certificate of Service shop/odd, which an ALB does not; its requests are answered 500. For TLS to the backend without the check, delete the policy and give the Service's port appProtocol https."#]],
        ),
        mistake(
            "a BackendTLSPolicy for a port that is not there",
            [policy("name: odd, sectionName: https"), odd("{ports: [{port: 80, name: http}]}")].concat(),
            "BackendTLSPolicy shop/checked: Accepted",
            "spec.targetRefs[0].sectionName",
            "correct the name",
            expect![[r#"
                False TargetNotFound
                spec.targetRefs[0].sectionName: Service shop/odd has no port named https, but http; correct the name, or leave it out for all ports"#]],
        ),
        mistake(
            "a BackendTLSPolicy for a Service that does not exist",
            [policy("name: gone"), to("name: gone, port: 80")].concat(),
            "BackendTLSPolicy shop/checked: Accepted",
            "spec.targetRefs[0].name",
            "create it",
            expect![[r#"
                False TargetNotFound
                spec.targetRefs[0].name: Service shop/gone does not exist; create it, or correct the name"#]],
        ),
    ]
}
