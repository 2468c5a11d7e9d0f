//! A small universe of objects, in which much refers to much, and what happens in it.

use portico_crds::Kind;
use serde_json::{Value, json};

pub const NAMESPACES: [&str; 2] = ["one", "two"];
const CONTROLLERS: [&str; 2] = ["portico.dev/gateway-controller", "example.com/other"];

/// An object out of a small universe, in which much refers to much. `slot` says which object, `variant` what it says.
pub fn object(slot: u8, variant: u32) -> (Kind, Value) {
    let namespace = NAMESPACES[usize::from(slot % 2)];
    let other = NAMESPACES[usize::from((slot + 1) % 2)];
    let bit = |n: u16| variant >> n & 1 == 1;
    let meta = |name: &str| json!({"name": name, "namespace": namespace, "generation": 1, "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"});
    let gateway_api = "gateway.networking.k8s.io/v1";
    let from = if bit(0) { "All" } else { "Selector" };
    let (kind, mut object) = match slot / 2 {
        0 => {
            let name = if slot.is_multiple_of(2) { "plain" } else { "tuned" };
            let mut spec = json!({"controllerName": CONTROLLERS[usize::from(bit(0))]});
            if slot % 2 == 1 || bit(1) {
                let of = if slot % 2 == 1 { "one" } else { "two" };
                spec["parametersRef"] = json!({"group": "portico.dev", "kind": "LoadBalancerProfile", "namespace": of, "name": "profile"});
            }
            (Kind::GatewayClass, json!({"metadata": {"name": name, "generation": 1}, "spec": spec}))
        }
        1 | 2 => {
            let name = if slot / 2 == 1 { "web" } else { "inner" };
            let selector = json!({"matchLabels": {"team": if bit(1) { "a" } else { "b" }}});
            let mut metadata = meta(name);
            if bit(2) {
                metadata["finalizers"] = json!(["portico.dev/load-balancer"]);
            }
            if bit(3) && bit(4) {
                metadata["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
            }
            let mut listeners = vec![
                json!({"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": from, "selector": selector}}}),
            ];
            if bit(5) {
                let secret = if bit(6) { json!({"name": "cert"}) } else { json!({"name": "cert", "namespace": other}) };
                listeners.push(json!({"name": "https", "port": 443, "protocol": "HTTPS", "hostname": "a.example.com", "tls": {"certificateRefs": [secret]}}));
            }
            listeners.extend(connections(variant, 9000));
            if bit(20) {
                let backend = json!({"name": "front", "namespace": if bit(21) { other } else { namespace }, "port": 80});
                listeners[0]["filters"] =
                    json!({"requests": [{"type": "ExternalAuth", "externalAuth": {"protocol": "GRPC", "backendRef": backend}}]});
            }
            let allowed =
                json!({"namespaces": {"from": if bit(9) { "All" } else { "Selector" }, "selector": {"matchLabels": {"team": "a"}}}});
            let mut spec =
                json!({"allowedListeners": allowed, "gatewayClassName": if bit(7) { "plain" } else { "tuned" }, "listeners": listeners});
            if bit(8) {
                spec["infrastructure"] =
                    json!({"parametersRef": {"group": "portico.dev", "kind": "LoadBalancerProfile", "name": "profile"}});
            }
            if bit(22) {
                let ca = match (bit(24), bit(23)) {
                    (true, _) => json!({"group": "certificates.k8s.io", "kind": "ClusterTrustBundle", "name": "company"}),
                    (false, elsewhere) => {
                        json!({"group": "", "kind": "ConfigMap", "name": "ca", "namespace": if elsewhere { other } else { namespace }})
                    }
                };
                spec["tls"] = json!({"frontend": {"default": {"validation": {"caCertificateRefs": [ca]}}}});
            }
            (Kind::Gateway, json!({"metadata": metadata, "spec": spec}))
        }
        3 | 4 => {
            let name = if slot / 2 == 3 { "shop" } else { "blog" };
            let gateway = |bit: bool| if bit { "web" } else { "inner" };
            let mut parents = vec![json!({"name": gateway(bit(0)), "namespace": NAMESPACES[usize::from(bit(1))]})];
            if bit(12) {
                parents.push(json!({"kind": "ListenerSet", "name": "more", "namespace": NAMESPACES[usize::from(bit(13))]}));
            }
            if bit(2) {
                parents.push(json!({"name": gateway(!bit(0)), "namespace": NAMESPACES[usize::from(bit(3))], "port": 443}));
            }
            let backend_namespace = NAMESPACES[usize::from(bit(4))];
            let backend = json!({"name": if bit(5) { "front" } else { "back" }, "namespace": backend_namespace, "port": 80});
            let mut rule = json!({"backendRefs": [backend.clone()]});
            if bit(6) {
                rule["filters"] = json!([{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "front", "port": 80}}}]);
            }
            if bit(7) {
                rule["filters"] = json!([{"type": "Sparkle"}]);
            }
            let mut spec = json!({"parentRefs": parents, "rules": [rule]});
            if bit(8) {
                spec["hostnames"] = json!(["a.example.com"]);
            }
            if bit(9) && bit(10) {
                spec["rules"] = json!("none");
            }
            let kind = match variant >> 16 & 7 {
                1 => Kind::GrpcRoute,
                2 => Kind::TlsRoute,
                3 => Kind::TcpRoute,
                4 => Kind::UdpRoute,
                _ => Kind::HttpRoute,
            };
            if !matches!(kind, Kind::HttpRoute | Kind::GrpcRoute) {
                spec["rules"] = json!([{"backendRefs": [backend]}]);
                if kind == Kind::TlsRoute {
                    spec["hostnames"] = json!([if bit(8) { "a.example.com" } else { "*.example.com" }]);
                }
            }
            (kind, json!({"metadata": meta(name), "spec": spec}))
        }
        5 | 6 => {
            let name = if slot / 2 == 5 { "front" } else { "back" };
            let protocol = if bit(16) && bit(17) { "UDP" } else { "TCP" };
            (
                Kind::Service,
                json!({"metadata": meta(name), "spec": {"ports": [{"port": if bit(0) { 80 } else { 81 }, "name": if bit(1) { "" } else { "http" }, "protocol": protocol}]}}),
            )
        }
        7 => {
            let kinds = ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"];
            let kind = if bit(3) {
                "ListenerSet"
            } else if bit(0) {
                kinds[(variant >> 16) as usize % kinds.len()]
            } else {
                "Gateway"
            };
            let from = json!([{"group": "gateway.networking.k8s.io", "kind": kind, "namespace": if bit(1) { other } else { namespace }}]);
            let to = match (bit(2), bit(4)) {
                (true, _) => json!([{"group": "", "kind": "Service"}]),
                (false, true) => json!([{"group": "", "kind": "ConfigMap"}]),
                (false, false) => json!([{"group": "", "kind": "Secret", "name": "cert"}]),
            };
            (Kind::ReferenceGrant, json!({"metadata": meta("grant"), "spec": {"from": from, "to": to}}))
        }
        8 => (
            Kind::Namespace,
            json!({"metadata": {"name": namespace, "labels": {"team": if bit(0) { "a" } else { "b" }, "noise": bit(1).to_string()}}}),
        ),
        9 => {
            let encoded = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
            let certificate = encoded(if bit(2) { include_str!("certificates/a.crt") } else { include_str!("certificates/old.crt") });
            let key = encoded(if bit(3) { include_str!("certificates/a.key") } else { include_str!("certificates/b.key") });
            let data = if bit(0) { json!({"tls.crt": certificate, "tls.key": key}) } else { json!({"tls.crt": "eA=="}) };
            (Kind::Secret, json!({"metadata": meta("cert"), "type": if bit(1) { "kubernetes.io/tls" } else { "Opaque" }, "data": data}))
        }
        10 => {
            let overridable = if bit(1) { json!(["scheme"]) } else { json!([]) };
            let branch = match (bit(2), bit(0)) {
                (false, _) => {
                    let fleet = if bit(3) { "edge" } else { "portico" };
                    json!({"envoy": {"fleet": fleet, "identification": if bit(4) { "certificate" } else { "node" }}})
                }
                (true, internal) => json!({"aws": {"scheme": if internal { "internal" } else { "internet-facing" }}}),
            };
            let mut spec = branch;
            spec["overridable"] = if slot.is_multiple_of(2) { overridable } else { json!([]) };
            let mut metadata = meta("profile");
            if bit(6) {
                metadata["creationTimestamp"] = json!("2026-01-03T00:00:00Z");
            }
            (Kind::LoadBalancerProfile, json!({"metadata": metadata, "spec": spec}))
        }
        12 => {
            let selector = json!({"matchLabels": {"team": if bit(0) { "a" } else { "b" }}});
            let from = if bit(1) { "All" } else { "Selector" };
            let mut listeners = vec![
                json!({"name": "http", "port": 80, "protocol": "HTTP", "hostname": if bit(2) { "a.example.com" } else { "b.example.com" }, "allowedRoutes": {"namespaces": {"from": from, "selector": selector}}}),
            ];
            if bit(3) {
                listeners.push(json!({"name": "https", "port": 443, "protocol": "HTTPS", "hostname": "a.example.com", "tls": {"certificateRefs": [{"name": "cert", "namespace": if bit(4) { other } else { namespace }}]}}));
            }
            listeners.extend(connections(variant, 9001));
            if bit(20) {
                let backend = json!({"name": "back", "port": 80});
                listeners[0]["filters"] =
                    json!({"requests": [{"type": "ExternalAuth", "externalAuth": {"protocol": "HTTP", "backendRef": backend}}]});
            }
            let parent = json!({"name": if bit(5) { "web" } else { "inner" }, "namespace": NAMESPACES[usize::from(bit(6))]});
            let listeners = if bit(7) && bit(8) { json!("none") } else { json!(listeners) };
            let mut metadata = meta("more");
            if bit(9) {
                metadata["creationTimestamp"] = json!("2026-01-03T00:00:00Z");
            }
            (Kind::ListenerSet, json!({"metadata": metadata, "spec": {"parentRef": parent, "listeners": listeners}}))
        }
        11 => {
            let version = if bit(0) { "v1.7.0" } else { "v1.2.0" };
            (
                Kind::CustomResourceDefinition,
                json!({"metadata": {"name": "gatewayclasses.gateway.networking.k8s.io", "annotations": {"gateway.networking.k8s.io/bundle-version": version}}}),
            )
        }
        14 => {
            let mut target =
                json!({"group": "", "kind": if bit(3) { "Service" } else { "Other" }, "name": if bit(0) { "front" } else { "back" }});
            if bit(1) {
                target["sectionName"] = json!(if bit(2) { "http" } else { "other" });
            }
            let mut validation = json!({"hostname": "a.example.com"});
            match (bit(4), bit(5)) {
                (true, _) => validation["caCertificateRefs"] = json!([{"group": "", "kind": "ConfigMap", "name": "ca"}]),
                (false, true) => {
                    validation["caCertificateRefs"] =
                        json!([{"group": "certificates.k8s.io", "kind": "ClusterTrustBundle", "name": "company"}]);
                }
                (false, false) => validation["wellKnownCACertificates"] = json!("System"),
            }
            let mut metadata = meta(if bit(6) { "checked" } else { "again" });
            if bit(7) {
                metadata["creationTimestamp"] = json!("2026-01-03T00:00:00Z");
            }
            (Kind::BackendTlsPolicy, json!({"metadata": metadata, "spec": {"targetRefs": [target], "validation": validation}}))
        }
        15 => (Kind::ConfigMap, json!({"metadata": meta("ca"), "data": {"ca.crt": authority(bit(0), bit(1))}})),
        16 => (
            Kind::ClusterTrustBundle,
            json!({"metadata": {"name": "company", "generation": 1}, "spec": {"trustBundle": authority(bit(0), bit(1))}}),
        ),
        _ => {
            let mut metadata = meta(if bit(0) { "slice-1" } else { "slice-2" });
            metadata["labels"] = json!({"kubernetes.io/service-name": if bit(1) { "front" } else { "back" }});
            (
                Kind::EndpointSlice,
                json!({"metadata": metadata, "addressType": "IPv4", "ports": [{"name": "", "port": 8080}], "endpoints": [{"addresses": [if bit(2) { "10.0.0.1" } else { "10.0.0.2" }], "conditions": {"ready": bit(3)}}]}),
            )
        }
    };
    object["apiVersion"] = json!(if kind.group().starts_with("gateway") { gateway_api.to_owned() } else { kind.api_version() });
    object["kind"] = json!(kind.name());
    (kind, object)
}

/// How many objects there are.
pub const SLOTS: u8 = 34;

/// Something that happens to an object.
#[derive(Clone, Debug)]
pub struct Step {
    pub slot: u8,
    pub variant: u32,
    pub delete: bool,
}

/// A world in which much works, to start from: without it most random steps would mean nothing.
pub fn start() -> Vec<Step> {
    let variant = |slot: u8| match slot / 2 {
        0 => 0,
        // The inner Gateways are of the class that takes everything, with listeners of every protocol.
        2 => 0x003b_0023,
        4 => 0x0003_00a2,
        14 => 0x00b0,
        15 | 16 => 1,
        _ => 0b1010_0011,
    };
    (0..SLOTS).map(|slot| Step { slot, variant: variant(slot), delete: false }).collect()
}

/// Listeners of other protocols than HTTP, as a variant has them.
fn connections(variant: u32, port: u16) -> Vec<Value> {
    let bit = |n: u16| variant >> n & 1 == 1;
    let mut listeners = Vec::new();
    if bit(16) {
        listeners.push(json!({"name": "tcp", "port": port, "protocol": "TCP"}));
    }
    if bit(17) {
        let tls =
            if bit(18) { json!({"mode": "Passthrough"}) } else { json!({"mode": "Terminate", "certificateRefs": [{"name": "cert"}]}) };
        listeners.push(json!({"name": "tls", "port": 443, "protocol": "TLS", "hostname": "*.example.com", "tls": tls}));
    }
    if bit(19) {
        listeners.push(json!({"name": "udp", "port": port, "protocol": "UDP"}));
    }
    listeners
}

/// Certificates of an authority, of one or of another, or none.
fn authority(valid: bool, first: bool) -> &'static str {
    match (valid, first) {
        (true, true) => include_str!("certificates/a.crt"),
        (true, false) => include_str!("certificates/old.crt"),
        (false, _) => "none",
    }
}
