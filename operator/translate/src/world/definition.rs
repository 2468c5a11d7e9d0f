//! What the world keeps of an installed CustomResourceDefinition of Gateway API: of which release it is, and which fields it has that not every release and channel has.

use portico_crds::{GATEWAY_GROUP, Kind};
use portico_providers::Feature;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Definition {
    pub bundle: Bundle,
    /// Of [`NEEDS`], those that it has in the version in which the kind is read; the kind itself is the empty path. `None` where nobody has looked.
    fields: Option<BTreeSet<&'static str>>,
}

/// Which release of Gateway API a CRD belongs to, by its annotations; empty where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bundle {
    /// `gateway.networking.k8s.io/bundle-version`.
    pub version: String,
    /// `gateway.networking.k8s.io/channel`: standard or experimental.
    pub channel: String,
}

/// What a feature needs that some release from v1.5 on lacks, or one of its channels: a kind, served as `v1`, and a field of it. The empty path is the kind as such.
const NEEDS: &[(Feature, Kind, &str)] = &[
    ("BackendTLSPolicy", Kind::BackendTlsPolicy, ""),
    ("BackendTLSPolicySANValidation", Kind::BackendTlsPolicy, "spec.validation.subjectAltNames"),
    ("GRPCRoute", Kind::GrpcRoute, ""),
    ("GRPCRouteNamedRouteRule", Kind::GrpcRoute, "spec.rules[].name"),
    ("GRPCRouteRequestHeaderModifier", Kind::GrpcRoute, ""),
    ("GatewayAddressRoutability", Kind::Gateway, "spec.addresses[].routability"),
    ("GatewayAddressRoutabilityCluster", Kind::Gateway, "spec.addresses[].routability"),
    ("GatewayBackendClientCertificate", Kind::Gateway, "spec.tls.backend.clientCertificateRef"),
    ("GatewayFrontendClientCertificateValidation", Kind::Gateway, "spec.tls.frontend.default.validation"),
    ("GatewayFrontendClientCertificateValidationInsecureFallback", Kind::Gateway, "spec.tls.frontend.default.validation.mode"),
    ("GatewayListenerFilters", Kind::Gateway, "spec.listeners[].filters"),
    ("HTTPRouteCORS", Kind::HttpRoute, "spec.rules[].filters[].cors"),
    ("HTTPRouteNamedRouteRule", Kind::HttpRoute, "spec.rules[].name"),
    ("HTTPRouteRequestPercentageMirror", Kind::HttpRoute, "spec.rules[].filters[].requestMirror.percent"),
    ("HTTPRouteRetryCodes", Kind::HttpRoute, "spec.rules[].retry.codes"),
    ("HTTPRouteRetryConnectionError", Kind::HttpRoute, "spec.rules[].retry"),
    ("ListenerSet", Kind::ListenerSet, ""),
    ("TCPRoute", Kind::TcpRoute, ""),
    ("TLSRoute", Kind::TlsRoute, ""),
    ("TLSRouteModeMixed", Kind::TlsRoute, ""),
    ("TLSRouteModeTerminate", Kind::TlsRoute, ""),
    ("UDPRoute", Kind::UdpRoute, ""),
];

/// What a feature needs, if not every release and channel has it.
pub(crate) fn needed_by(feature: Feature) -> Option<(Kind, &'static str)> {
    NEEDS.iter().find(|(name, ..)| *name == feature).map(|(_, kind, field)| (*kind, *field))
}

/// Where a schema stood, in a definition that [`strip_schemas`] has seen.
const FIELDS: &str = "fields";

/// The kind of Gateway API that a CustomResourceDefinition defines, by its name.
pub(crate) fn kind(name: &str) -> Option<Kind> {
    let (plural, group) = name.split_once('.')?;
    Kind::ALL.into_iter().find(|kind| kind.group() == GATEWAY_GROUP && kind.group() == group && kind.plural() == plural)
}

/// Reads a definition.
pub(crate) fn definition(kind: Kind, crd: &Value) -> Definition {
    let annotation = |name: &str| {
        let value = crd.pointer(&format!("/metadata/annotations/{GATEWAY_GROUP}~1{name}"));
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let bundle = Bundle { version: annotation("bundle-version"), channel: annotation("channel") };
    let Some(versions) = crd.pointer("/spec/versions").and_then(Value::as_array) else { return Definition { bundle, fields: None } };
    let served =
        versions.iter().find(|it| it.get("name").and_then(Value::as_str) == Some(kind.version()) && it.get("served") == Some(&json!(true)));
    let fields = served.map(|version| fields_of(kind, version)).unwrap_or_default();
    Definition { bundle, fields: Some(fields) }
}

impl Definition {
    /// Whether it has a field; a definition that nobody looked into is taken for whole.
    pub fn has(&self, field: &str) -> bool {
        self.fields.as_ref().is_none_or(|fields| fields.contains(field))
    }
}

/// Of the fields that features need, those that a version has.
fn fields_of(kind: Kind, version: &Value) -> BTreeSet<&'static str> {
    let wanted = NEEDS.iter().filter(|(_, of, _)| *of == kind).map(|(_, _, field)| *field);
    if let Some(known) = version.get(FIELDS).and_then(Value::as_array) {
        return wanted.filter(|field| field.is_empty() || known.iter().any(|it| it == field)).collect();
    }
    let schema = version.pointer("/schema/openAPIV3Schema").unwrap_or(&Value::Null);
    wanted.filter(|field| has(schema, field)).collect()
}

/// Whether a schema has a field, such as `spec.rules[].name`.
fn has(schema: &Value, field: &str) -> bool {
    let mut steps = field.split('.').filter(|step| !step.is_empty());
    let found = steps.try_fold(schema, |schema, step| {
        let (name, list) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        let inner = schema.get("properties")?.get(name)?;
        if list { inner.get("items") } else { Some(inner) }
    });
    found.is_some()
}

/// Takes the schemas out of a CustomResourceDefinition, which fill megabytes, and leaves in their place which of their fields matter. To be called where objects come in.
pub fn strip_schemas(crd: &mut Value) {
    let name = crd.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let kind = kind(name);
    for version in crd.pointer_mut("/spec/versions").and_then(Value::as_array_mut).into_iter().flatten() {
        let fields = kind.map(|kind| fields_of(kind, version));
        if let Some(version) = version.as_object_mut() {
            version.remove("schema");
            if let Some(fields) = fields {
                version.insert(FIELDS.to_owned(), json!(fields));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http_routes(served: bool) -> Value {
        let rule = json!({ "properties": { "name": {}, "retry": { "properties": { "attempts": {} } }, "filters": { "items": { "properties": { "cors": {} } } } } });
        let schema = json!({ "openAPIV3Schema": { "properties": { "spec": { "properties": { "rules": { "items": rule } } } } } });
        json!({ "metadata": { "name": "httproutes.gateway.networking.k8s.io" }, "spec": { "versions": [
            { "name": "v1beta1", "served": true, "schema": {} }, { "name": "v1", "served": served, "schema": schema },
        ] } })
    }

    #[test]
    fn fields_are_known_with_and_without_the_schema() {
        let mut crd = http_routes(true);
        let whole = definition(Kind::HttpRoute, &crd);
        for (field, there) in [
            ("spec.rules[].name", true),
            ("spec.rules[].filters[].cors", true),
            ("spec.rules[].retry", true),
            ("spec.rules[].retry.codes", false),
            ("spec.rules[].filters[].requestMirror.percent", false),
        ] {
            assert_eq!(whole.has(field), there, "{field}");
        }
        strip_schemas(&mut crd);
        assert!(!crd.to_string().contains("schema"), "{crd}");
        assert_eq!(definition(Kind::HttpRoute, &crd), whole);
        strip_schemas(&mut crd);
        assert_eq!(definition(Kind::HttpRoute, &crd), whole);
    }

    #[test]
    fn a_version_that_is_not_served_has_nothing() {
        assert!(!definition(Kind::HttpRoute, &http_routes(false)).has("spec.rules[].name"));
        let unknown = definition(Kind::HttpRoute, &json!({ "metadata": { "name": "httproutes.gateway.networking.k8s.io" } }));
        assert!(unknown.has("spec.rules[].name"));
    }

    #[test]
    fn features_stand_in_order_once() {
        assert!(NEEDS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(needed_by("TCPRoute"), Some((Kind::TcpRoute, "")));
        assert_eq!(needed_by("HTTPRoute"), None);
    }
}
