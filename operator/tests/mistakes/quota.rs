//! More than an account's quotas allow: the older stays.

use expect_test::expect;

use super::{Mistake, edge, mistake, rule};

pub fn rows() -> Vec<Mistake> {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: odd, namespace: shop}\nspec: {ports: [{port: 80}]}\n---\n";
    vec![
        Mistake {
            limits: |limits| limits.rules_per_load_balancer = 4,
            ..mistake(
                "more rules than the ALB has room for",
                rule("{backendRefs: [{name: web, port: 80}]}"),
                "HTTPRoute shop/bad: Accepted",
                "spec.rules[0].matches[0]",
                "Ask AWS for a higher quota",
                expect![[r#"
                    False UnsupportedValue
                    No rule can be served: spec.rules[0].matches[0], spec.rules[1].matches[0]: needs 6 rules, the ALB allows 4; its requests FALL THROUGH to the next rule that matches. Older routes are served first. Ask AWS for a higher quota of rules per Application Load Balancer, match with fewer hostnames and matches, or move routes to another Gateway."#]],
            )
        },
        Mistake {
            limits: |limits| limits.target_groups_per_load_balancer = 2,
            ..mistake(
                "more target groups than the ALB has room for",
                [service, &rule("{backendRefs: [{name: odd, port: 80}]}")].concat(),
                "HTTPRoute shop/bad: PartiallyInvalid",
                "spec.rules[0].matches[0]",
                "forward to fewer Services",
                expect![[r#"
                    True UnsupportedValue
                    Dropped Rule: spec.rules[0].matches[0]: needs 3 target groups, the ALB allows 2; its requests are answered 500. Older routes are served first. AWS does not raise this quota: forward to fewer Services, or move routes to another Gateway."#]],
            )
        },
        Mistake {
            limits: |limits| limits.listeners_per_load_balancer = 4,
            ..mistake(
                "more listeners than the ALB has room for",
                edge("- {name: bad, port: 9999, protocol: HTTP}", ""),
                "Gateway platform/edge/bad: Programmed",
                "port",
                "ask AWS for a higher quota",
                expect![[r#"
                    False Invalid
                    spec.listeners[bad].port: needs 5 listeners, the ALB allows 4. Use fewer ports, or ask AWS for a higher quota of listeners."#]],
            )
        },
        Mistake {
            limits: |limits| limits.certificates_per_load_balancer = 0,
            ..mistake(
                "more certificates than the ALB has room for",
                [
                    edge("- {name: bad, port: 443, protocol: HTTPS, hostname: rsa.example.com, tls: {certificateRefs: [{name: rsa}]}}", ""),
                    super::secret("rsa", "rsa.crt", "rsa.key"),
                ]
                .concat(),
                "Gateway platform/edge/bad: Programmed",
                "tls.certificateRefs[0]",
                "ask AWS for a higher quota",
                expect![[r#"
                    False Invalid
                    spec.listeners[bad].tls.certificateRefs[0]: needs 1 certificates beyond the default ones, the ALB allows 0. Use certificates for several hostnames, or ask AWS for a higher quota of certificates per ALB."#]],
            )
        },
    ]
}
