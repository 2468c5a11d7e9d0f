//! The objects of the benchmark: Gateways with a namespace's worth of Services and routes each.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::judge::Class;

/// Namespaces hold so many Gateways each.
const GATEWAYS_PER_NAMESPACE: usize = 50;
/// Services of one Gateway's routes, at least.
const SERVICES_PER_GATEWAY: usize = 2;
/// Routes that share a Service and a hostname, of the class whose load balancers take as many as that makes. (AWS: 5 conditions per rule, 100 rules per load balancer.)
const ROUTES_PER_SERVICE: usize = 10;
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

/// What all Gateways have in common.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Their class.
    pub class: Class,
    /// How many routes each has.
    pub routes: usize,
}

/// One of the Gateways, with all that belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Which one.
    pub number: usize,
    /// What it has in common with the others.
    pub shape: Shape,
}

impl Shape {
    /// One of the Gateways.
    pub fn member(self, number: usize) -> Member {
        Member { number, shape: self }
    }

    /// How many Services the routes of a Gateway lead to.
    fn services(self) -> usize {
        match self.class {
            Class::PorticoAlb => SERVICES_PER_GATEWAY,
            Class::PorticoEnvoy => SERVICES_PER_GATEWAY.max(self.routes / ROUTES_PER_SERVICE),
        }
    }
}

impl Member {
    fn namespace(self) -> String {
        format!("scale-{}", self.number / GATEWAYS_PER_NAMESPACE)
    }

    fn object(self, kind: &str, name: &str, spec: Value) -> Value {
        let version = if kind == "Service" { "v1" } else { "gateway.networking.k8s.io/v1" };
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": self.namespace()}, "spec": spec})
    }

    /// Its Gateway's name.
    pub fn name(self) -> String {
        format!("edge-{}", self.number)
    }

    /// The Gateway.
    pub fn gateway(self) -> Value {
        let listener = json!({"name": "http", "port": 80, "protocol": "HTTP"});
        self.object("Gateway", &self.name(), json!({"gatewayClassName": self.shape.class.name(), "listeners": [listener]}))
    }

    /// The hostname of a route, of the class whose routes have one.
    pub fn hostname(self, number: usize) -> Option<String> {
        let service = number % self.shape.services();
        (self.shape.class == Class::PorticoEnvoy).then(|| format!("app-{service}.example.com"))
    }

    /// A route with one rule; `path` tells it from the others.
    pub fn route(self, number: usize, path: &str) -> Value {
        let backend = json!({"name": self.service_name(number % self.shape.services()), "port": 8080});
        let rule = json!({"matches": [{"path": {"type": "PathPrefix", "value": path}}], "backendRefs": [backend]});
        let mut spec = json!({"parentRefs": [{"name": self.name()}], "rules": [rule]});
        if let (Some(hostname), Some(spec)) = (self.hostname(number), spec.as_object_mut()) {
            spec.insert("hostnames".to_owned(), json!([hostname]));
        }
        self.object("HTTPRoute", &format!("route-{}-{number}", self.number), spec)
    }

    /// All of its routes.
    pub fn routes(self) -> impl Iterator<Item = Value> {
        (0..self.shape.routes).map(move |number| self.route(number, &format!("/path-{number}")))
    }

    fn service_name(self, number: usize) -> String {
        format!("service-{}-{number}", self.number)
    }

    /// Its Services, whose endpoints are written by hand: a benchmark of thousands of pods would be one of the kubelet.
    pub fn services(self) -> impl Iterator<Item = Value> {
        (0..self.shape.services()).map(move |number| self.object("Service", &self.service_name(number), json!({"ports": [{"port": 8080}]})))
    }

    /// The endpoints of its Services.
    pub fn slices(self) -> impl Iterator<Item = Value> {
        (0..self.shape.services()).map(move |number| self.slice(number, 0..ENDPOINTS_PER_SERVICE))
    }

    /// The address of an endpoint of one of its Services.
    pub fn endpoint(self, number: usize, at: usize) -> Ipv4Addr {
        let first = (self.number * self.shape.services() + number) * (ENDPOINTS_PER_SERVICE + 2);
        let offset = u32::try_from((first + at) % ENDPOINT_ADDRESSES).unwrap_or(0) + 1;
        Ipv4Addr::from_bits(FIRST_ENDPOINT.to_bits() + offset)
    }

    /// These endpoints of one of its Services.
    pub fn slice(self, number: usize, endpoints: std::ops::Range<usize>) -> Value {
        let endpoint = |at: usize| {
            json!({"addresses": [self.endpoint(number, at).to_string()],
                "conditions": {"ready": true, "serving": true, "terminating": false}, "zone": "us-east-1a"})
        };
        let name = self.service_name(number);
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": self.namespace(), "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": endpoints.map(endpoint).collect::<Vec<_>>(),
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
        for (class, routes, gateways) in [(Class::PorticoAlb, 50, 1000), (Class::PorticoEnvoy, 20, 1000), (Class::PorticoEnvoy, 1000, 20)] {
            let shape = Shape { class, routes };
            let of = |member: Member| {
                (0..shape.services()).flat_map(move |service| (0..ENDPOINTS_PER_SERVICE + 2).map(move |at| member.endpoint(service, at)))
            };
            let all: Vec<Ipv4Addr> = (0..gateways).flat_map(|number| of(shape.member(number))).collect();
            let different: std::collections::BTreeSet<_> = all.iter().collect();
            assert_eq!(different.len(), all.len());
            assert!(all.iter().all(|it| it.octets()[0] == 198 && it.octets()[1] == 19 && it.octets()[2] >= 128));
        }
    }
}
