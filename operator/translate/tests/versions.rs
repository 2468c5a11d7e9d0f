//! Which CRDs of Gateway API a class says are supported.

use crate::world::{class, upsert};
use portico_crds::Kind;
use portico_translate::{World, translate_class};
use serde_json::{Value, json};

/// Status and reason of SupportedVersion, and the message, with these CRDs: kind, version and channel.
fn said(crds: &[(Kind, &str, &str)]) -> (String, String) {
    let mut world = World::new();
    upsert(&mut world, Kind::GatewayClass, class("alb", "portico.dev/gateway-controller"));
    for (kind, version, channel) in crds {
        let mut annotations = json!({});
        for (name, value) in [("bundle-version", version), ("channel", channel)] {
            if !value.is_empty() {
                annotations[format!("gateway.networking.k8s.io/{name}")] = json!(value);
            }
        }
        let name = format!("{}.{}", kind.plural(), kind.group());
        upsert(&mut world, Kind::CustomResourceDefinition, json!({"metadata": {"name": name, "annotations": annotations}}));
    }
    let report = translate_class(&world, "alb", &|_| Vec::new()).unwrap();
    assert_eq!(report.conditions[0].status.as_str(), "True", "the class is accepted whatever the version");
    let condition = &report.conditions[1];
    assert_eq!(condition.r#type, "SupportedVersion");
    (format!("{} {}", condition.status.as_str(), condition.reason), condition.message.clone())
}

#[test]
fn releases_from_v1_5_to_v1_7_of_both_channels_are_supported() {
    for (version, supported) in [
        ("v1.4.1", false),
        ("v1.5.0", true),
        ("v1.5.1", true),
        ("v1.6.3", true),
        ("v1.7.0-rc.3", true),
        ("v1.7.0", true),
        ("v1.7.12", true),
        ("v1.8.0", false),
        ("v1.50.0", false),
        ("v1.70.0", false),
        ("v2.7.0", false),
        ("v0.0.0-dev", false),
        ("1.7.0", false),
        ("main", false),
        ("", false),
    ] {
        for channel in ["standard", "experimental"] {
            let (state, message) = said(&[(Kind::GatewayClass, version, channel), (Kind::HttpRoute, version, channel)]);
            let expected = if supported { "True SupportedVersion" } else { "False UnsupportedVersion" };
            assert_eq!(state, expected, "{version:?} {channel}: {message}");
            assert!(message.contains(version) && message.contains("v1.7.0") != supported || supported, "{version:?}: {message}");
        }
    }
}

#[test]
fn one_crd_of_another_release_is_told() {
    assert_eq!(said(&[]).0, "Unknown Pending");
    assert_eq!(
        said(&[(Kind::GatewayClass, "v1.7.0", "standard"), (Kind::HttpRoute, "v1.2.0", "standard"), (Kind::Gateway, "v1.7.0", "standard")]),
        (
            "False UnsupportedVersion".to_owned(),
            "The installed Gateway API CRDs are v1.2.0 (standard channel) of HTTPRoute, and v1.5 to v1.7 are supported: what is the same in both is \
             served; install those of v1.7.0"
                .to_owned()
        )
    );
    assert_eq!(
        said(&[(Kind::GatewayClass, "v1.7.0", "standard"), (Kind::TcpRoute, "v1.6.1", "experimental")]),
        (
            "True SupportedVersion".to_owned(),
            "Gateway API v1.6.1 (experimental channel), v1.7.0 (standard channel) is supported".to_owned()
        )
    );
    let (state, message) = said(&[(Kind::GatewayClass, "v1.7.0", "standard"), (Kind::ListenerSet, "", "")]);
    assert!(state.starts_with("False") && message.contains("of ListenerSet have no annotation"), "{state}: {message}");
    // What is not Gateway API's own does not count.
    let (state, _) = said(&[(Kind::GatewayClass, "v1.7.0", "standard"), (Kind::LoadBalancerProfile, "v0.1.0", "")]);
    assert_eq!(state, "True SupportedVersion");
}

/// A feature is claimed where the installed CRDs have the kind and the field that it needs, whatever their channel is called.
#[test]
fn features_go_by_the_fields_of_the_installed_crds() {
    let features = |crds: &[Value]| {
        let mut world = World::new();
        upsert(&mut world, Kind::GatewayClass, class("alb", "portico.dev/gateway-controller"));
        crds.iter().for_each(|crd| drop(upsert(&mut world, Kind::CustomResourceDefinition, crd.clone())));
        let all = ["Gateway", "HTTPRoute", "HTTPRouteNamedRouteRule", "HTTPRouteRetryCodes", "TCPRoute", "UDPRoute"];
        translate_class(&world, "alb", &|_| all.to_vec()).unwrap().features.join(" ")
    };
    let crd = |plural: &str, version: &str, rule: Value| {
        let schema = json!({"openAPIV3Schema": {"properties": {"spec": {"properties": {"rules": {"items": {"properties": rule}}}}}}});
        json!({"metadata": {"name": format!("{plural}.gateway.networking.k8s.io")}, "spec": {"versions": [{"name": version, "served": true, "schema": schema}]}})
    };
    let everything = "Gateway HTTPRoute HTTPRouteNamedRouteRule HTTPRouteRetryCodes TCPRoute UDPRoute";
    assert_eq!(features(&[]), everything, "where nobody has looked");
    let classes = crd("gatewayclasses", "v1", json!({}));
    let older = crd("httproutes", "v1", json!({"name": {}}));
    assert_eq!(features(&[classes.clone(), older, crd("tcproutes", "v1alpha2", json!({}))]), "Gateway HTTPRoute HTTPRouteNamedRouteRule");
    let newer = crd("httproutes", "v1", json!({"name": {}, "retry": {"properties": {"codes": {}}}}));
    let l4 = ["tcproutes", "udproutes"].map(|plural| crd(plural, "v1", json!({})));
    assert_eq!(features(&[&[classes, newer], l4.as_slice()].concat()), everything);
}
