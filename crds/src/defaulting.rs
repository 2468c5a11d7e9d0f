//! The defaults that the API server fills in from the Gateway API CRDs, for manifests that never saw one.
//!
//! [`TABLE`] is the `default:` values of `spec` in the standard CRDs of Gateway API v1.7.0 (a test compares them with the CRDs); the
//! defaults of `status` are left out, since nobody but the API server may write them. [`fill`] also knows the few defaults of Services
//! and of namespaces that Portico depends on.

use serde_json::{Map, Value, json};

use crate::Kind;

/// A default of some kinds.
#[derive(Clone, Copy, Debug)]
pub struct DefaultValue {
    /// The kinds that have it.
    pub kinds: &'static [Kind],
    /// Path of the field; `[]` stands for every entry of a list. It is filled in where what encloses it is present.
    pub path: &'static str,
    /// The value, as JSON.
    pub value: &'static str,
}

const GATEWAY: &[Kind] = &[Kind::Gateway];
const LISTENER_SET: &[Kind] = &[Kind::ListenerSet];
const LISTENERS: &[Kind] = &[Kind::Gateway, Kind::ListenerSet];
const HTTP: &[Kind] = &[Kind::HttpRoute];
const GRPC: &[Kind] = &[Kind::GrpcRoute];
const L7: &[Kind] = &[Kind::HttpRoute, Kind::GrpcRoute];
const ROUTES: &[Kind] = &Kind::ROUTES;

const GATEWAY_GROUP: &str = r#""gateway.networking.k8s.io""#;
const SAME: &str = r#"{"namespaces":{"from":"Same"}}"#;
const ROOT_PREFIX: &str = r#"{"type":"PathPrefix","value":"/"}"#;

const fn default(kinds: &'static [Kind], path: &'static str, value: &'static str) -> DefaultValue {
    DefaultValue { kinds, path, value }
}

/// Every default, enclosing fields before enclosed ones: a default may bring fields that have defaults themselves.
pub const TABLE: &[DefaultValue] = &[
    // Gateway and ListenerSet
    default(GATEWAY, "spec.addresses[].type", r#""IPAddress""#),
    default(GATEWAY, "spec.allowedListeners.namespaces", r#"{"from":"None"}"#),
    default(GATEWAY, "spec.allowedListeners.namespaces.from", r#""None""#),
    default(LISTENERS, "spec.listeners[].allowedRoutes", SAME),
    default(LISTENERS, "spec.listeners[].allowedRoutes.kinds[].group", GATEWAY_GROUP),
    default(LISTENERS, "spec.listeners[].allowedRoutes.namespaces", r#"{"from":"Same"}"#),
    default(LISTENERS, "spec.listeners[].allowedRoutes.namespaces.from", r#""Same""#),
    default(LISTENERS, "spec.listeners[].tls.certificateRefs[].group", r#""""#),
    default(LISTENERS, "spec.listeners[].tls.certificateRefs[].kind", r#""Secret""#),
    default(LISTENERS, "spec.listeners[].tls.mode", r#""Terminate""#),
    default(GATEWAY, "spec.tls.backend.clientCertificateRef.group", r#""""#),
    default(GATEWAY, "spec.tls.backend.clientCertificateRef.kind", r#""Secret""#),
    default(GATEWAY, "spec.tls.frontend.default.validation.mode", r#""AllowValidOnly""#),
    default(GATEWAY, "spec.tls.frontend.perPort[].tls.validation.mode", r#""AllowValidOnly""#),
    default(LISTENER_SET, "spec.parentRef.group", GATEWAY_GROUP),
    default(LISTENER_SET, "spec.parentRef.kind", r#""Gateway""#),
    // Routes
    default(ROUTES, "spec.parentRefs[].group", GATEWAY_GROUP),
    default(ROUTES, "spec.parentRefs[].kind", r#""Gateway""#),
    default(HTTP, "spec.rules", r#"[{"matches":[{"path":{"type":"PathPrefix","value":"/"}}]}]"#),
    default(HTTP, "spec.rules[].matches", r#"[{"path":{"type":"PathPrefix","value":"/"}}]"#),
    default(HTTP, "spec.rules[].matches[].path", ROOT_PREFIX),
    default(HTTP, "spec.rules[].matches[].path.type", r#""PathPrefix""#),
    default(HTTP, "spec.rules[].matches[].path.value", r#""/""#),
    default(HTTP, "spec.rules[].matches[].queryParams[].type", r#""Exact""#),
    default(L7, "spec.rules[].matches[].headers[].type", r#""Exact""#),
    default(GRPC, "spec.rules[].matches[].method.type", r#""Exact""#),
    default(HTTP, "spec.rules[].retry.attempts", "1"),
    default(HTTP, "spec.rules[].filters[].cors.maxAge", "5"),
    default(HTTP, "spec.rules[].filters[].requestRedirect.statusCode", "302"),
    default(L7, "spec.rules[].filters[].requestMirror.backendRef.group", r#""""#),
    default(L7, "spec.rules[].filters[].requestMirror.backendRef.kind", r#""Service""#),
    default(L7, "spec.rules[].filters[].requestMirror.fraction.denominator", "100"),
    default(ROUTES, "spec.rules[].backendRefs[].group", r#""""#),
    default(ROUTES, "spec.rules[].backendRefs[].kind", r#""Service""#),
    default(ROUTES, "spec.rules[].backendRefs[].weight", "1"),
    default(HTTP, "spec.rules[].backendRefs[].filters[].cors.maxAge", "5"),
    default(HTTP, "spec.rules[].backendRefs[].filters[].requestRedirect.statusCode", "302"),
    default(L7, "spec.rules[].backendRefs[].filters[].requestMirror.backendRef.group", r#""""#),
    default(L7, "spec.rules[].backendRefs[].filters[].requestMirror.backendRef.kind", r#""Service""#),
    default(L7, "spec.rules[].backendRefs[].filters[].requestMirror.fraction.denominator", "100"),
];

/// The namespace of namespaced objects that name none, as `kubectl` has it.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Fills the defaults of an object in where fields are absent (or `null`, which the API server treats alike). Objects of kinds that Portico
/// does not know are left as they are.
pub fn fill(object: &mut Value) {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let Some(kind) = Kind::of_api_version(text("apiVersion"), text("kind")) else { return };
    if kind.namespaced() {
        set(object, &["metadata", "namespace"], || json!(DEFAULT_NAMESPACE));
    }
    for default in TABLE.iter().filter(|default| default.kinds.contains(&kind)) {
        let steps: Vec<&str> = default.path.split('.').collect();
        set(object, &steps, || serde_json::from_str(default.value).unwrap_or_default());
    }
    if kind == Kind::Service {
        set(object, &["spec", "type"], || json!("ClusterIP"));
        set(object, &["spec", "ports[]", "protocol"], || json!("TCP"));
        for port in object.pointer_mut("/spec/ports").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(number) = port.get("port").cloned() {
                set(port, &["targetPort"], || number.clone());
            }
        }
    }
}

/// Sets a field where what encloses it is present and the field itself is not.
fn set(value: &mut Value, steps: &[&str], default: impl Fn() -> Value + Copy) {
    let Some((first, rest)) = steps.split_first() else { return };
    let Some(fields) = value.as_object_mut() else { return };
    let (name, each) = first.strip_suffix("[]").map_or((*first, false), |name| (name, true));
    match (rest.is_empty(), each) {
        (true, _) => fill_in(fields, name, default),
        (false, false) => {
            if let Some(inner) = fields.get_mut(name) {
                set(inner, rest, default);
            }
        }
        (false, true) => {
            for entry in fields.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
                set(entry, rest, default);
            }
        }
    }
}

fn fill_in(fields: &mut Map<String, Value>, name: &str, default: impl Fn() -> Value) {
    if fields.get(name).is_none_or(Value::is_null) {
        fields.insert(name.to_owned(), default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(mut object: Value) -> Value {
        fill(&mut object);
        object
    }

    #[test]
    fn an_http_route_becomes_what_the_api_server_would_store() {
        let route = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": { "name": "web" },
            "spec": {
                "parentRefs": [{ "name": "edge" }],
                "rules": [
                    { "backendRefs": [{ "name": "web", "port": 80, "weight": 0 }], "retry": {} },
                    { "matches": [{ "headers": [{ "name": "a", "value": "b" }] }, { "path": { "value": "/x" } }], "filters": null },
                ],
            },
        });
        let expected = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": { "name": "web", "namespace": "default" },
            "spec": {
                "parentRefs": [{ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge" }],
                "rules": [
                    {
                        "matches": [{ "path": { "type": "PathPrefix", "value": "/" } }],
                        "backendRefs": [{ "group": "", "kind": "Service", "name": "web", "port": 80, "weight": 0 }],
                        "retry": { "attempts": 1 },
                    },
                    {
                        "matches": [
                            { "headers": [{ "name": "a", "type": "Exact", "value": "b" }], "path": { "type": "PathPrefix", "value": "/" } },
                            { "path": { "type": "PathPrefix", "value": "/x" } },
                        ],
                        "filters": null,
                    },
                ],
            },
        });
        assert_eq!(filled(route), expected);
        assert_eq!(filled(expected.clone()), expected, "filling twice changes nothing");
    }

    #[test]
    fn services_get_protocol_and_target_port() {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web", "namespace": "apps" },
            "spec": { "ports": [{ "port": 80 }, { "port": 53, "protocol": "UDP", "targetPort": "dns" }] },
        });
        let filled = filled(service);
        assert_eq!(
            filled.get("spec"),
            Some(&json!({
                "type": "ClusterIP",
                "ports": [{ "port": 80, "protocol": "TCP", "targetPort": 80 }, { "port": 53, "protocol": "UDP", "targetPort": "dns" }],
            }))
        );
    }

    #[test]
    fn other_kinds_and_odd_shapes_are_left_alone() {
        for object in [
            json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" } }),
            json!({ "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {}, "spec": { "listeners": [{}] } }),
            json!(null),
        ] {
            assert_eq!(filled(object.clone()), object);
        }
        let odd =
            json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": 3, "spec": { "listeners": "none" } });
        assert_eq!(filled(odd.clone()), odd);
    }
}
