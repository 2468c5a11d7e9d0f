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
        mistake(
            "CRDs without a mark of their release",
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: gatewayclasses.gateway.networking.k8s.io}\nspec: {}\n",
            "GatewayClass alb: SupportedVersion",
            "gateway.networking.k8s.io/bundle-version",
            "install those of v1.7.0",
            expect![[r#"
                False UnsupportedVersion
                The installed Gateway API CRDs of GatewayClass have no annotation gateway.networking.k8s.io/bundle-version; install those of v1.7.0"#]],
        ),
        mistake(
            "CRDs that nobody has seen",
            "",
            "GatewayClass alb: SupportedVersion",
            "CRDs",
            "let the operator list",
            expect![[r#"
            Unknown Pending
            The installed Gateway API CRDs have not been seen; install those of v1.7.0, and let the operator list CustomResourceDefinitions"#]],
        ),
        mistake(
            "a class whose profile is for no cloud",
            [class(&format!("{OWN}, namespace: platform")), profile("{}")].concat(),
            CLASS,
            "spec.aws",
            "must be set",
            expect![[r#"
                False InvalidParameters
                spec.parametersRef: LoadBalancerProfile platform/own: the class's profile: exactly one of spec.aws and spec.envoy must be set"#]],
        ),
        mistake(
            "a class whose profile checks health longer than it pauses",
            [
                class(&format!("{OWN}, namespace: platform")),
                profile("{aws: {targetGroup: {healthCheck: {intervalSeconds: 5, timeoutSeconds: 6}}}}"),
            ]
            .concat(),
            CLASS,
            "spec.aws.targetGroup.healthCheck",
            "must be smaller",
            expect![[r#"
                False InvalidParameters
                spec.parametersRef: LoadBalancerProfile platform/own: the class's profile: spec.aws.targetGroup.healthCheck: timeoutSeconds (6) must be smaller than intervalSeconds (5)"#]],
        ),
        mistake(
            "a class whose profile has public addresses for an internal ALB",
            [
                class(&format!("{OWN}, namespace: platform")),
                profile("{aws: {scheme: internal, ipAddressType: dualstack-without-public-ipv4}}"),
            ]
            .concat(),
            CLASS,
            "spec.aws.ipAddressType",
            "use ipv4 or dualstack",
            expect![[r#"
                False InvalidParameters
                spec.parametersRef: LoadBalancerProfile platform/own: the class's profile: spec.aws.ipAddressType: dualstack-without-public-ipv4 is for internet-facing load balancers; use ipv4 or dualstack"#]],
        ),
        mistake(
            "a Gateway whose profile says what may be overridden",
            [own(), profile("{overridable: [tags], aws: {}}")].concat(),
            GATEWAY,
            "spec.overridable",
            "remove it",
            expect![[r#"
                False InvalidParameters
                spec.infrastructure.parametersRef: LoadBalancerProfile platform/own: the Gateway's profile: spec.overridable is for profiles of GatewayClasses; remove it"#]],
        ),
        mistake(
            "a Gateway of a class that is not accepted",
            [class(&format!("{OWN}, namespace: platform")), edge("", "").replace("gatewayClassName: alb", "gatewayClassName: bad")]
                .concat(),
            GATEWAY,
            "spec.parametersRef",
            "create it",
            expect![[r#"
                Unknown Pending
                GatewayClass bad is not accepted: spec.parametersRef: LoadBalancerProfile platform/own does not exist; create it, or correct the reference"#]],
        ),
    ]
}
