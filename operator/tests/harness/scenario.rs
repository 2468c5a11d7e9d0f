//! Manifests of the tests.

use super::backend;

/// A class, a Gateway and a route to a Service with endpoints at the given addresses.
pub fn shop(label: &str, endpoints: &[&str]) -> String {
    [
        class(),
        gateway("edge"),
        service("web", 80),
        slice("web", 3000, endpoints.iter().map(|it| (*it).to_owned())),
        format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web, namespace: shop, labels: {{label: '{label}'}}}}
spec:
  parentRefs: [{{name: edge}}]
  rules: [{{backendRefs: [{{name: web, port: 80}}]}}]
"
        ),
    ]
    .concat()
}

/// The class `alb`, without settings.
pub fn class() -> String {
    "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: alb}
spec: {controllerName: portico.dev/gateway-controller}
---
"
    .to_owned()
}

/// A Gateway with a listener on port 80.
pub fn gateway(name: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: shop}}
spec: {{gatewayClassName: alb, listeners: [{{name: http, port: 80, protocol: HTTP}}]}}
---
"
    )
}

/// A Service.
pub fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{selector: {{app: {name}}}, ports: [{{port: {port}, targetPort: 3000}}]}}
---
"
    )
}

/// The EndpointSlice of a Service.
pub fn slice(service: &str, port: u16, addresses: impl IntoIterator<Item = String>) -> String {
    let endpoints: Vec<String> =
        addresses.into_iter().map(|address| format!("{{addresses: ['{address}'], conditions: {{ready: true}}}}")).collect();
    format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {service}-1, namespace: shop, labels: {{kubernetes.io/service-name: {service}}}}}
addressType: IPv4
endpoints: [{}]
ports: [{{name: '', port: {port}, protocol: TCP}}]
---
",
        endpoints.join(", ")
    )
}

/// The EndpointSlice of a Service with these pods.
pub fn pods(service: &str, pods: &[u8]) -> String {
    slice(service, backend::port(), pods.iter().map(|pod| backend::address(*pod).to_string()))
}

/// An HTTPRoute of `parents` (flow style); `rest` are further fields of its spec.
pub fn route(name: &str, parents: &str, rest: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: shop}}
spec:
  parentRefs: [{parents}]
{rest}
---
"
    )
}

/// A route to `service` for requests below a path.
pub fn prefix(name: &str, gateway: &str, path: &str, service: &str) -> String {
    let rest = format!("  rules: [{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{{name: {service}, port: 80}}]}}]");
    route(name, &format!("{{name: {gateway}}}"), &rest)
}

/// The class `alb` with a profile: an idle timeout, and the path of health checks.
fn profile(idle: u32, health: &str, tag: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: alb}}
spec:
  controllerName: portico.dev/gateway-controller
  parametersRef: {{group: portico.dev, kind: LoadBalancerProfile, namespace: platform, name: alb}}
---
apiVersion: portico.dev/v1alpha1
kind: LoadBalancerProfile
metadata: {{name: alb, namespace: platform}}
spec:
  aws:
    attributes: {{idleTimeoutSeconds: {idle}}}
    tags: {{team: '{tag}'}}
    targetGroup: {{deregistrationDelaySeconds: {idle}, healthCheck: {{path: {health}}}}}
---
"
    )
}

/// A route of two Gateways.
fn admin(next_port: u16) -> String {
    let rules = format!(
        "  hostnames: [admin.inner.example.com]
  rules:
    - matches: [{{path: {{type: Exact, value: /metrics}}}}]
      backendRefs: [{{name: api, port: 80}}]
    - backendRefs: [{{name: next, port: {next_port}}}]"
    );
    route("admin", "{name: edge}, {name: inner}", &rules)
}

/// Two Gateways, three listeners, three routes, four Services: matches of all sorts, weights, a rewrite, a redirect, a route of two Gateways, a missing
/// backend.
pub fn created() -> String {
    [
        profile(75, "/healthz", "one"),
        gateway("edge"),
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: inner, namespace: shop}
spec:
  gatewayClassName: alb
  listeners:
    - {name: web, port: 80, protocol: HTTP, hostname: '*.inner.example.com'}
    - {name: admin, port: 8081, protocol: HTTP}
---
"
        .into(),
        service("web", 80),
        pods("web", &[1, 2]),
        service("api", 80),
        pods("api", &[3, 4]),
        service("next", 80),
        pods("next", &[5]),
        route(
            "store",
            "{name: edge}",
            "  hostnames: [store.example.com]
  rules:
    - matches: [{path: {value: /cart}, headers: [{name: x-kind, value: beta}]}]
      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
      backendRefs: [{name: web, port: 80, weight: 9}, {name: api, port: 80, weight: 1}]
    - matches: [{path: {value: /old}}]
      filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301, path: {type: ReplaceFullPath, replaceFullPath: /new}}}]
    - matches: [{path: {value: /tie}, headers: [{name: x-a, value: '1'}]}]
      backendRefs: [{name: web, port: 80}]
    - matches: [{path: {value: /tie}, headers: [{name: x-b, value: '1'}]}]
      backendRefs: [{name: api, port: 80}]
    - matches: [{path: {value: /orders}, method: POST}]
      backendRefs: [{name: api, port: 80}]
    - backendRefs: [{name: web, port: 80}]",
        ),
        admin(80),
        route("broken", "{name: inner, sectionName: admin}", "  rules: [{backendRefs: [{name: gone, port: 80}]}]"),
    ]
    .concat()
}

/// The same, later: a rule is new, one is gone, two have changed places, weights and a default backend have changed; a Service has another port, and so
/// another target group; health checks, attributes and tags have changed, and so have the pods.
pub fn updated() -> String {
    [
        profile(90, "/ready", "two"),
        pods("web", &[2, 3]),
        service("next", 81),
        pods("next", &[5, 6]),
        service("fresh", 80),
        pods("fresh", &[1]),
        route(
            "store",
            "{name: edge}",
            "  hostnames: [store.example.com]
  rules:
    - matches: [{path: {value: /checkout}}]
      backendRefs: [{name: fresh, port: 80}]
    - matches: [{path: {value: /cart}, headers: [{name: x-kind, value: beta}]}]
      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /basket}}}]
      backendRefs: [{name: web, port: 80, weight: 5}, {name: api, port: 80, weight: 5}]
    - matches: [{path: {value: /tie}, headers: [{name: x-b, value: '1'}]}]
      backendRefs: [{name: api, port: 80}]
    - matches: [{path: {value: /tie}, headers: [{name: x-a, value: '1'}]}]
      backendRefs: [{name: web, port: 80}]
    - matches: [{path: {value: /orders}, method: POST}]
      backendRefs: [{name: api, port: 80}]
    - backendRefs: [{name: api, port: 80}]",
        ),
        admin(81),
    ]
    .concat()
}
