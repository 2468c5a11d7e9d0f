//! What an Envoy fleet serves of the Gateway API's features: the one table that `GatewayClass.status.supportedFeatures`, the documentation and the tests read.

use portico_providers::Feature;
pub use portico_providers::Support;
use portico_providers::Support::{Native, Refused};

const POOL: &str = "the LoadBalancerProfile's addresses say who reaches a Gateway";

/// The features of Gateway API v1.7.0 by name, sorted: all that gateways, and not meshes, can have.
pub const FEATURES: &[(Feature, Support)] = &[
    ("BackendTLSPolicy", Native),
    ("BackendTLSPolicySANValidation", Native),
    ("ClusterTrustBundle", Native),
    ("Gateway", Native),
    ("GatewayAddressEmpty", Native),
    ("GatewayAddressRoutability", Refused(POOL)),
    ("GatewayAddressRoutabilityCluster", Refused(POOL)),
    ("GatewayBackendClientCertificate", Native),
    ("GatewayFrontendClientCertificateValidation", Native),
    ("GatewayFrontendClientCertificateValidationInsecureFallback", Native),
    ("GatewayHTTPListenerIsolation", Native),
    ("GatewayHTTPSListenerDetectMisdirectedRequests", Native),
    ("GatewayInfrastructure", Native),
    ("GatewayListenerFilters", Native),
    ("GatewayPort8080", Native),
    ("GatewayRouteHostnameIntersectionPrecedence", Native),
    ("GatewayStaticAddresses", Native),
    ("GRPCRoute", Native),
    ("GRPCRouteNamedRouteRule", Native),
    ("GRPCRouteRequestHeaderModifier", Native),
    ("HTTPRoute", Native),
    ("HTTPRoute303RedirectStatusCode", Native),
    ("HTTPRoute307RedirectStatusCode", Native),
    ("HTTPRoute308RedirectStatusCode", Native),
    ("HTTPRouteBackendProtocolH2C", Native),
    ("HTTPRouteBackendProtocolWebSocket", Native),
    ("HTTPRouteBackendRequestHeaderModification", Native),
    ("HTTPRouteBackendTimeout", Native),
    ("HTTPRouteBackendURLRewrite", Native),
    ("HTTPRouteCORS", Native),
    ("HTTPRouteDestinationPortMatching", Native),
    ("HTTPRouteHostRewrite", Native),
    ("HTTPRouteMethodMatching", Native),
    ("HTTPRouteNamedRouteRule", Native),
    ("HTTPRouteParentRefPort", Native),
    ("HTTPRoutePathRedirect", Native),
    ("HTTPRoutePathRewrite", Native),
    ("HTTPRoutePortRedirect", Native),
    ("HTTPRouteQueryParamMatching", Native),
    ("HTTPRouteRequestMirror", Native),
    ("HTTPRouteRequestMultipleMirrors", Native),
    ("HTTPRouteRequestPercentageMirror", Native),
    ("HTTPRouteRequestTimeout", Native),
    ("HTTPRouteResponseHeaderModification", Native),
    ("HTTPRouteRetryCodes", Native),
    ("HTTPRouteRetryConnectionError", Native),
    ("HTTPRouteSchemeRedirect", Native),
    ("ListenerSet", Native),
    ("ReferenceGrant", Native),
    ("TCPRoute", Native),
    ("TLSRoute", Native),
    ("TLSRouteModeMixed", Native),
    ("TLSRouteModeTerminate", Native),
    ("UDPRoute", Native),
];

/// The features that a class claims, sorted by name.
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
}
