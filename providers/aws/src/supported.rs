//! What an ALB serves of the Gateway API's features: the one table that `GatewayClass.status.supportedFeatures`, the documentation and the tests read.

use portico_providers::Feature;
pub use portico_providers::Support;

/// The features of Gateway API v1.7.0 by name, sorted: all that gateways, and not meshes, can have.
pub const FEATURES: &[(Feature, Support)] = &[
    (
        "BackendTLSPolicy",
        Support::Refused("an ALB does not check the certificates of backends: appProtocol https is TLS without the check"),
    ),
    ("BackendTLSPolicySANValidation", Support::Refused("an ALB does not check the certificates of backends")),
    ("ClusterTrustBundle", Support::Refused("needs the validation of client certificates, which is not built yet")),
    ("Gateway", Support::Native),
    ("GatewayAddressEmpty", Support::Refused("AWS chooses an ALB's addresses: use a DNS record that points to its name")),
    (
        "GatewayAddressRoutability",
        Support::Refused("AWS chooses an ALB's addresses: the LoadBalancerProfile's scheme says who reaches them"),
    ),
    (
        "GatewayAddressRoutabilityCluster",
        Support::Refused("AWS chooses an ALB's addresses: the LoadBalancerProfile's scheme says who reaches them"),
    ),
    ("GatewayBackendClientCertificate", Support::Refused("an ALB shows no client certificate")),
    ("GatewayFrontendClientCertificateValidation", Support::Refused("needs trust stores in S3, which are not built yet")),
    ("GatewayFrontendClientCertificateValidationInsecureFallback", Support::Refused("needs trust stores in S3, which are not built yet")),
    ("GatewayHTTPListenerIsolation", Support::Native),
    ("GatewayHTTPSListenerDetectMisdirectedRequests", Support::Refused("an ALB's rules do not see the TLS server name")),
    ("GatewayInfrastructure", Support::Served("labels become AWS tags; its conformance test looks for objects within the cluster")),
    ("GatewayListenerFilters", Support::Refused("an ALB's rules belong to routes: put the filters there")),
    ("GatewayPort8080", Support::Served("its conformance tests also redirect from HTTPS to HTTP, which an ALB refuses")),
    ("GatewayRouteHostnameIntersectionPrecedence", Support::Native),
    ("GatewayStaticAddresses", Support::Refused("AWS chooses an ALB's addresses: use a DNS record that points to its name")),
    ("GRPCRoute", Support::Refused("not built yet: needs HTTPS listeners, since an ALB speaks no HTTP/2 in clear text")),
    ("GRPCRouteNamedRouteRule", Support::Refused("not built yet: GRPCRoutes need HTTPS listeners")),
    ("GRPCRouteRequestHeaderModifier", Support::Refused("an ALB changes no request headers: let the backend do it")),
    ("HTTPRoute", Support::Native),
    ("HTTPRoute303RedirectStatusCode", Support::Refused("an ALB redirects with 301 and 302")),
    ("HTTPRoute307RedirectStatusCode", Support::Refused("an ALB redirects with 301 and 302")),
    ("HTTPRoute308RedirectStatusCode", Support::Refused("an ALB redirects with 301 and 302")),
    ("HTTPRouteBackendProtocolH2C", Support::Refused("an ALB speaks HTTP/2 to targets for HTTP/2 clients only")),
    ("HTTPRouteBackendProtocolWebSocket", Support::Native),
    ("HTTPRouteBackendRequestHeaderModification", Support::Refused("an ALB changes no request headers: let the backend do it")),
    ("HTTPRouteBackendTimeout", Support::Refused("the idle timeout of the LoadBalancerProfile holds for the whole load balancer")),
    ("HTTPRouteBackendURLRewrite", Support::Native),
    ("HTTPRouteCORS", Support::Refused("let the backend answer preflight requests")),
    ("HTTPRouteDestinationPortMatching", Support::Native),
    ("HTTPRouteHostRewrite", Support::Served("its conformance test also changes request headers, which an ALB cannot")),
    ("HTTPRouteMethodMatching", Support::Native),
    ("HTTPRouteNamedRouteRule", Support::Native),
    ("HTTPRouteParentRefPort", Support::Native),
    ("HTTPRoutePathRedirect", Support::Native),
    ("HTTPRoutePathRewrite", Support::Served("its conformance test also changes request headers, which an ALB cannot")),
    ("HTTPRoutePortRedirect", Support::Native),
    ("HTTPRouteQueryParamMatching", Support::Refused("an ALB ignores case in queries: match a header or the path")),
    ("HTTPRouteRequestMirror", Support::Refused("an ALB does not mirror")),
    ("HTTPRouteRequestMultipleMirrors", Support::Refused("an ALB does not mirror")),
    ("HTTPRouteRequestPercentageMirror", Support::Refused("an ALB does not mirror")),
    ("HTTPRouteRequestTimeout", Support::Refused("the idle timeout of the LoadBalancerProfile holds for the whole load balancer")),
    ("HTTPRouteResponseHeaderModification", Support::Refused("an ALB changes no response headers of single rules: let the backend do it")),
    ("HTTPRouteRetryCodes", Support::Refused("an ALB does not repeat requests: let clients do it")),
    ("HTTPRouteRetryConnectionError", Support::Refused("an ALB does not repeat requests: let clients do it")),
    ("HTTPRouteSchemeRedirect", Support::Native),
    ("ListenerSet", Support::Native),
    ("ReferenceGrant", Support::Native),
    ("TCPRoute", Support::Refused("an ALB serves HTTP only; network load balancers are not built yet")),
    ("TLSRoute", Support::Refused("an ALB serves HTTP only; network load balancers are not built yet")),
    ("TLSRouteModeMixed", Support::Refused("an ALB serves HTTP only; network load balancers are not built yet")),
    ("TLSRouteModeTerminate", Support::Refused("an ALB serves HTTP only; network load balancers are not built yet")),
    ("UDPRoute", Support::Refused("an ALB serves HTTP only; network load balancers are not built yet")),
];

/// The features that are claimed, sorted by name.
pub fn claimed() -> Vec<Feature> {
    portico_providers::claimed(FEATURES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_stands_once_in_order() {
        let names: Vec<_> = FEATURES.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(names, sorted);
    }

    /// The names are the suite's, which compares its own with the file when it runs.
    #[test]
    fn every_feature_of_gateways_is_decided_on() {
        let known = include_str!("../../../tests/conformance/features.txt").lines().filter(|name| !name.starts_with("Mesh"));
        let mut decided: Vec<_> = FEATURES.iter().map(|(name, _)| *name).collect();
        decided.sort_unstable();
        assert_eq!(decided, known.collect::<Vec<_>>());
    }

    /// A claim that goes is a regression for users: the list is a golden, which the conformance suite's run reads as well.
    #[test]
    fn claims() {
        expect_test::expect_file!["../../../tests/conformance/portico-alb/claimed.txt"]
            .assert_eq(&claimed().iter().map(|name| format!("{name}\n")).collect::<String>());
    }
}
