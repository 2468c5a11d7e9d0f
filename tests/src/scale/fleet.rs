//! The objects of the benchmark: Gateways with a namespace's worth of Services and routes each.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

/// Namespaces hold so many Gateways each.
const GATEWAYS_PER_NAMESPACE: usize = 50;
/// Services of one Gateway's routes.
const SERVICES_PER_GATEWAY: usize = 2;
/// Endpoints of one Service.
const ENDPOINTS_PER_SERVICE: usize = 2;
/// The port of all endpoints.
pub const ENDPOINT_PORT: u16 = 3000;
/// Where the endpoints are: within the pods' network, but on this machine.
pub const ENDPOINTS: &str = "198.19.128.0/17";
/// The first address of [`ENDPOINTS`].
const FIRST_ENDPOINT: Ipv4Addr = Ipv4Addr::new(198, 19, 128, 0);
/// How many addresses there are for endpoints; they are used again, since targets of different target groups may share one.
const ENDPOINT_ADDRESSES: usize = 30_000;

/// One of the Gateways, with all that belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct Member(pub usize);

impl Member {
    fn namespace(self) -> String {
        format!("scale-{}", self.0 / GATEWAYS_PER_NAMESPACE)
    }

    fn object(self, kind: &str, name: &str, spec: Value) -> Value {
        let version = if kind == "Service" { "v1" } else { "gateway.networking.k8s.io/v1" };
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": self.namespace()}, "spec": spec})
    }

    /// The Gateway.
    pub fn gateway(self) -> Value {
        let listener = json!({"name": "http", "port": 80, "protocol": "HTTP"});
        self.object("Gateway", &format!("edge-{}", self.0), json!({"gatewayClassName": "portico-alb", "listeners": [listener]}))
    }

    /// A route with one rule; `path` tells it from the others.
    pub fn route(self, number: usize, path: &str) -> Value {
        let backend = json!({"name": self.service_name(number % SERVICES_PER_GATEWAY), "port": 8080});
        let rule = json!({"matches": [{"path": {"type": "PathPrefix", "value": path}}], "backendRefs": [backend]});
        let spec = json!({"parentRefs": [{"name": format!("edge-{}", self.0)}], "rules": [rule]});
        self.object("HTTPRoute", &format!("route-{}-{number}", self.0), spec)
    }

    /// All of its routes.
    pub fn routes(self, count: usize) -> impl Iterator<Item = Value> {
        (0..count).map(move |number| self.route(number, &format!("/path-{number}")))
    }

    fn service_name(self, number: usize) -> String {
        format!("service-{}-{number}", self.0)
    }

    /// Its Services, whose endpoints are written by hand: a benchmark of thousands of pods would be one of the kubelet.
    pub fn services(self) -> impl Iterator<Item = Value> {
        (0..SERVICES_PER_GATEWAY).map(move |number| self.object("Service", &self.service_name(number), json!({"ports": [{"port": 8080}]})))
    }

    /// The endpoints of its Services.
    pub fn slices(self) -> impl Iterator<Item = Value> {
        (0..SERVICES_PER_GATEWAY).map(move |number| self.slice(number, ENDPOINTS_PER_SERVICE))
    }

    /// So many endpoints of one of its Services.
    pub fn slice(self, number: usize, endpoints: usize) -> Value {
        let first = (self.0 * SERVICES_PER_GATEWAY + number) * (ENDPOINTS_PER_SERVICE + 2);
        let endpoint = |at: usize| {
            let offset = u32::try_from((first + at) % ENDPOINT_ADDRESSES).unwrap_or(0) + 1;
            json!({"addresses": [Ipv4Addr::from_bits(FIRST_ENDPOINT.to_bits() + offset).to_string()],
                "conditions": {"ready": true, "serving": true, "terminating": false}, "zone": "us-east-1a"})
        };
        let name = self.service_name(number);
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": self.namespace(), "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": (0..endpoints).map(endpoint).collect::<Vec<_>>(),
            "ports": [{"name": "", "port": ENDPOINT_PORT, "protocol": "TCP"}],
        })
    }
}

/// The namespaces of so many Gateways.
pub fn namespaces(gateways: usize) -> Vec<Value> {
    let count = gateways.div_ceil(GATEWAYS_PER_NAMESPACE);
    (0..count).map(|number| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("scale-{number}")}})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_of_different_services_are_different_and_in_their_range() {
        let addresses = |member: usize, number: usize| {
            let slice = Member(member).slice(number, 3);
            let endpoints = slice["endpoints"].as_array().unwrap().clone();
            endpoints.iter().map(|it| it["addresses"][0].as_str().unwrap().parse::<Ipv4Addr>().unwrap()).collect::<Vec<_>>()
        };
        let all: Vec<Ipv4Addr> = (0..1000).flat_map(|member| [addresses(member, 0), addresses(member, 1)].concat()).collect();
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert!(all.iter().all(|it| it.octets()[0] == 198 && it.octets()[1] == 19 && it.octets()[2] >= 128));
    }
}
