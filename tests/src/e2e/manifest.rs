//! Manifests as people write them.

/// A Deployment of the echo server and its Service on port 8080, both of that name.
pub fn backend(name: &str, replicas: u32) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata:
  name: {name}
spec:
  selector:
    app: {name}
  ports:
  - port: 8080
    targetPort: 3000
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  replicas: {replicas}
  selector:
    matchLabels:
      app: {name}
  template:
    metadata:
      labels:
        app: {name}
    spec:
      containers:
      - name: echo
        image: gateway-api/conformance/echo-basic:v0.1.0
        env:
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: NAMESPACE
          valueFrom:
            fieldRef:
              fieldPath: metadata.namespace
        readinessProbe:
          httpGet:
            path: /health
            port: 3000
          periodSeconds: 1
---
"
    )
}

/// A Deployment and its Service as by [`backend`], whose pods go on answering for so many seconds after they are told to end, as every guide for load
/// balancers outside the cluster asks for.
pub fn patient_backend(name: &str, replicas: u32, seconds: u32) -> String {
    let grace = format!("      terminationGracePeriodSeconds: {}\n      containers:", seconds + 30);
    let hook =
        format!("        lifecycle:\n          preStop:\n            sleep:\n              seconds: {seconds}\n        readinessProbe:");
    backend(name, replicas).replacen("      containers:", &grace, 1).replacen("        readinessProbe:", &hook, 1)
}

/// A Deployment of the echo server that speaks gRPC, with one pod, and its Service.
pub fn calls(name: &str) -> String {
    backend(name, 1)
        .replacen("        env:\n", "        env:\n        - {name: GRPC_ECHO_SERVER, value: \"1\"}\n", 1)
        .replacen("    targetPort: 3000\n", "    targetPort: 3000\n    appProtocol: kubernetes.io/h2c\n", 1)
        .replacen("          httpGet:\n            path: /health\n", "          tcpSocket:\n", 1)
}

/// A Deployment of the echo server that speaks HTTPS with the certificate of the Secret `serving`, with one pod, and its Service.
pub fn secure_backend(name: &str) -> String {
    let env = "        env:
        - {name: TLS_SERVER_CERT, value: /etc/secret-volume/crt}
        - {name: TLS_SERVER_PRIVKEY, value: /etc/secret-volume/key}
";
    let volumes = "      volumes:
      - name: secret-volume
        secret: {secretName: serving, items: [{key: tls.crt, path: crt}, {key: tls.key, path: key}]}
      containers:
      - name: echo
        volumeMounts: [{name: secret-volume, mountPath: /etc/secret-volume}]
";
    backend(name, 1).replacen("        env:\n", env, 1).replacen("    targetPort: 3000\n", "    targetPort: 8443\n", 1).replacen(
        "      containers:\n      - name: echo\n",
        volumes,
        1,
    )
}

/// A Gateway with one HTTP listener on port 80 for routes of its own namespace, of application load balancers.
pub fn gateway(name: &str) -> String {
    gateway_of("portico-alb", name)
}

/// Such a Gateway of any class.
pub fn gateway_of(class: &str, name: &str) -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: {name}
spec:
  gatewayClassName: {class}
  listeners:
  - name: http
    protocol: HTTP
    port: 80
---
"
    )
}

/// An HTTPRoute of a Gateway; `rest` is what follows its parent, indented by two: hostnames and rules.
pub fn route(name: &str, gateway: &str, rest: &str) -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {name}
spec:
  parentRefs:
  - name: {gateway}
{rest}
---
"
    )
}

/// What follows the parent of a route that attaches to one listener only; `rest` as in [`route`].
pub fn on_section(listener: &str, rest: &str) -> String {
    format!("    sectionName: {listener}\n{rest}")
}

/// The rules of a route that sends everything to one backend.
pub fn everything_to(backend: &str) -> String {
    format!("  rules:\n  - backendRefs:\n    - name: {backend}\n      port: 8080\n")
}
