//! GatewayClasses and LoadBalancerProfiles.

use expect_test::expect;

use super::{Mistake, edge, mistake};

fn class(parameters: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: bad}}
spec: {{controllerName: portico.dev/gateway-controller, parametersRef: {{{parameters}}}}}
---
"
    )
}

fn profile(spec: &str) -> String {
    format!(
        "apiVersion: portico.dev/v1alpha1\nkind: LoadBalancerProfile\nmetadata: {{name: own, namespace: platform}}\nspec: {spec}\n---\n"
    )
}

pub fn rows() -> Vec<Mistake> {
    const CLASS: &str = "GatewayClass bad: Accepted";
    const GATEWAY: &str = "Gateway platform/edge: Accepted";
    const OWN: &str = "group: portico.dev, kind: LoadBalancerProfile, name: own";
    let own = || edge("", &format!("infrastructure: {{parametersRef: {{{OWN}}}}}"));
    vec![
        mistake(
            "a class whose profile does not exist",
            class(&format!("{OWN}, namespace: platform")),
            CLASS,
            "spec.parametersRef",
            "create it",
            expect![[r#"
                False InvalidParameters
                spec.parametersRef: LoadBalancerProfile platform/own does not exist; create it, or correct the reference"#]],
        ),
        mistake(
            "a class whose profile has no namespace",
            class(OWN),
            CLASS,
            "spec.parametersRef.namespace",
            "name it",
            expect![[r#"
            False InvalidParameters
            spec.parametersRef.namespace is missing: LoadBalancerProfile own lives in a namespace; name it"#]],
        ),
        mistake(
            "a class with parameters of another kind",
            class("group: '', kind: ConfigMap, name: own, namespace: platform"),
            CLASS,
            "spec.parametersRef",
            "refer to a LoadBalancerProfile",
            expect![[r#"
                False InvalidParameters
                spec.parametersRef: kind ConfigMap of group "" is not known here; refer to a LoadBalancerProfile of group portico.dev"#]],
        ),
        mistake(
            "a class whose profile cannot be read",
            [class(&format!("{OWN}, namespace: platform")), profile("{aws: {scheme: public}}")].concat(),
            CLASS,
            "spec.aws.scheme",
            "expected",
            expect![[r#"
                False InvalidParameters
                spec.parametersRef: LoadBalancerProfile platform/own cannot be read: spec.aws.scheme: unknown variant `public`, expected `internet-facing` or `internal`"#]],
        ),
        mistake(
            "a Gateway whose profile does not exist",
            own(),
            GATEWAY,
            "spec.infrastructure.parametersRef",
            "create it",
            expect![[r#"
            False InvalidParameters
            spec.infrastructure.parametersRef: LoadBalancerProfile platform/own does not exist; create it, or correct the reference"#]],
        ),
        mistake(
            "a Gateway that overrides what its class does not allow",
            [own(), profile("{aws: {scheme: internal}}")].concat(),
            GATEWAY,
            "spec.infrastructure.parametersRef",
            "ask the owners of GatewayClass alb",
            expect![[r#"
                False InvalidParameters
                spec.infrastructure.parametersRef: LoadBalancerProfile platform/own: spec.aws.scheme is set by the Gateway's profile, and the class's profile does not list it in overridable. Remove the setting, or ask the owners of GatewayClass alb to allow it"#]],
        ),
        mistake(
            "CRDs of a release that nobody knows",
            [
                class("group: portico.dev, kind: LoadBalancerProfile, name: own, namespace: platform"),
                profile("{aws: {}}"),
                "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: gatewayclasses.gateway.networking.k8s.io
  annotations: {gateway.networking.k8s.io/bundle-version: v1.2.0, gateway.networking.k8s.io/channel: standard}
spec: {}
"
                .to_owned(),
            ]
            .concat(),
            "GatewayClass bad: SupportedVersion",
            "GatewayClass",
            "install those of v1.7.0",
            expect![[r#"
                False UnsupportedVersion
                The installed Gateway API CRDs are v1.2.0 (standard channel) of GatewayClass, and v1.5 to v1.7 are supported: what is the same in both is served; install those of v1.7.0"#]],
        ),
    ]
}
