//! The objects of the benchmark: Gateways of a fleet with routes to Services of their own.

use portico_crds::Kind;
use serde_json::{Value, json};

/// The fleet, of the class's profile and of the proxy.
pub const FLEET: &str = "bench";
/// Routes that share a Service and a hostname.
const ROUTES_PER_SERVICE: usize = 10;
/// Endpoints of a Service.
const ENDPOINTS: usize = 2;

/// How many there are.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Gateways.
    pub gateways: usize,
    /// Routes of each.
    pub routes: usize,
}

impl Shape {
    fn services(self) -> usize {
        self.routes.div_ceil(ROUTES_PER_SERVICE).max(1)
    }

    /// How many resources a proxy gets of all: a listener and its routes of each Gateway, a cluster and its endpoints of each Service.
    pub fn resources(self) -> u64 {
        (self.gateways * (2 + 2 * self.services())) as u64
    }

    /// Everything there is.
    pub fn all(self) -> Vec<(Kind, Value)> {
        let mut all = vec![profile(), class()];
        for member in 0..self.gateways {
            all.push(namespace(member));
            for service in 0..self.services() {
                all.push(self::service(member, service));
                all.push(slice(member, service, ENDPOINTS));
            }
            all.push(gateway(member));
            all.extend((0..self.routes).map(|number| self.route(member, number, &format!("/path-{number}"))));
        }
        all
    }

    /// A route of a Gateway.
    pub fn route(self, member: usize, number: usize, path: &str) -> (Kind, Value) {
        let service = number % self.services();
        let spec = json!({
            "parentRefs": [{"name": "edge"}],
            "hostnames": [format!("app-{service}.example.com")],
            "rules": [{
                "matches": [{"path": {"type": "PathPrefix", "value": path}}],
                "backendRefs": [{"name": format!("service-{service}"), "port": 80}],
            }],
        });
        object(Kind::HttpRoute, "gateway.networking.k8s.io/v1", member, &format!("route-{number}"), spec)
    }

    /// One endpoint more of a Gateway's first Service.
    pub fn more_endpoints(self, member: usize) -> (Kind, Value) {
        slice(member, 0, ENDPOINTS + 1)
    }
}

fn in_namespace(member: usize) -> String {
    format!("team-{member}")
}

fn object(kind: Kind, version: &str, member: usize, name: &str, spec: Value) -> (Kind, Value) {
    let metadata = json!({"name": name, "namespace": in_namespace(member), "generation": 1});
    (kind, json!({"apiVersion": version, "kind": kind.name(), "metadata": metadata, "spec": spec}))
}

fn namespace(member: usize) -> (Kind, Value) {
    (Kind::Namespace, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": in_namespace(member)}}))
}

fn service(member: usize, number: usize) -> (Kind, Value) {
    let spec = json!({"ports": [{"port": 80, "targetPort": 3000, "protocol": "TCP"}], "ipFamilies": ["IPv4"]});
    object(Kind::Service, "v1", member, &format!("service-{number}"), spec)
}

fn slice(member: usize, service: usize, endpoints: usize) -> (Kind, Value) {
    let name = format!("service-{service}");
    let endpoint =
        |at: usize| json!({"addresses": [format!("10.{}.{}.{}", member % 250, service % 250, at + 1)], "conditions": {"ready": true}});
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": in_namespace(member), "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": (0..endpoints).map(endpoint).collect::<Vec<_>>(),
        "ports": [{"name": "", "port": 3000, "protocol": "TCP"}],
    });
    (Kind::EndpointSlice, slice)
}

/// A Gateway, which asks for an address, so that it has one from the beginning.
fn gateway(member: usize) -> (Kind, Value) {
    let spec = json!({"gatewayClassName": "bench", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]});
    let (kind, mut gateway) = object(Kind::Gateway, "gateway.networking.k8s.io/v1", member, "edge", spec);
    let address = format!("172.16.{}.{}", member / 250, member % 250 + 1);
    if let Some(fields) = gateway.as_object_mut() {
        fields.insert("status".to_owned(), json!({"addresses": [{"type": "IPAddress", "value": address}]}));
    }
    (kind, gateway)
}

fn class() -> (Kind, Value) {
    let reference = json!({"group": "portico.dev", "kind": "LoadBalancerProfile", "name": "bench", "namespace": "portico-system"});
    let spec = json!({"controllerName": "portico.dev/gateway-controller", "parametersRef": reference});
    let metadata = json!({"name": "bench", "generation": 1});
    let class = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": metadata, "spec": spec});
    (Kind::GatewayClass, class)
}

fn profile() -> (Kind, Value) {
    let spec = json!({"envoy": {"fleet": FLEET, "addresses": ["172.16.0.0/16"]}});
    let metadata = json!({"name": "bench", "namespace": "portico-system", "generation": 1});
    let profile = json!({"apiVersion": "portico.dev/v1alpha1", "kind": "LoadBalancerProfile", "metadata": metadata, "spec": spec});
    (Kind::LoadBalancerProfile, profile)
}
