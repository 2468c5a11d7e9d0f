//! What AWS Load Balancer Controller is given to serve.

use crate::e2e::manifest::backend;

/// A Gateway with a route, an Ingress and a Service for layer 4, each a load balancer, of two backends: `web`, and `next` under `/next` and for a header.
pub fn all() -> String {
    [backend("web", 1), backend("next", 1), FRONTS.to_owned()].concat()
}

const FRONTS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata:
  name: peer-alb
spec:
  controllerName: gateway.k8s.aws/alb
---
apiVersion: gateway.k8s.aws/v1beta1
kind: LoadBalancerConfiguration
metadata:
  name: public
spec:
  scheme: internet-facing
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: edge
spec:
  gatewayClassName: peer-alb
  infrastructure:
    parametersRef:
      group: gateway.k8s.aws
      kind: LoadBalancerConfiguration
      name: public
  listeners:
  - name: http
    protocol: HTTP
    port: 80
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: store
spec:
  parentRefs:
  - name: edge
  rules:
  - matches:
    - path: {type: PathPrefix, value: /next}
    - headers: [{name: version, value: two}]
    backendRefs:
    - name: next
      port: 8080
  - backendRefs:
    - name: web
      port: 8080
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata:
  name: peer-alb
spec:
  controller: ingress.k8s.aws/alb
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  annotations:
    alb.ingress.kubernetes.io/scheme: internet-facing
    alb.ingress.kubernetes.io/target-type: ip
spec:
  ingressClassName: peer-alb
  rules:
  - http:
      paths:
      - path: /next
        pathType: Prefix
        backend: {service: {name: next, port: {number: 8080}}}
      - path: /
        pathType: Prefix
        backend: {service: {name: web, port: {number: 8080}}}
---
apiVersion: v1
kind: Service
metadata:
  name: flows
  annotations:
    service.beta.kubernetes.io/aws-load-balancer-nlb-target-type: ip
    service.beta.kubernetes.io/aws-load-balancer-scheme: internet-facing
spec:
  type: LoadBalancer
  loadBalancerClass: service.k8s.aws/nlb
  selector:
    app: web
  ports:
  - port: 80
    targetPort: 3000
";
