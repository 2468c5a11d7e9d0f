//! Pods, as processes, are pods.

use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

use super::bench::{Case, condition, values};
use super::manifest::backend;
use crate::node::SHELL_IMAGE;

/// The echo server as a bare pod; `rest` are further lines of its container, indented by four.
fn echo(name: &str, rest: &str, volumes: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: echo
    image: gateway-api/conformance/echo-basic:v0.1.0
{rest}
{volumes}
---
"
    )
}

/// The address of a pod that is Ready.
async fn ready(case: &Case<'_>, name: &str) -> Result<String> {
    case.until(&format!("the pod {name} is Ready"), async || {
        let pod = case.get(&["pod", name]).await?;
        let ready = condition(pod.pointer("/status/conditions"), "Ready");
        ensure!(ready.as_deref() == Some("True"), "its status: {}", pod.get("status").unwrap_or(&Value::Null));
        Ok(pod.pointer("/status/podIP").and_then(Value::as_str).map(str::to_owned))
    })
    .await
}

/// Environment by fieldRef, an address of its own, and logs through the API server.
pub async fn run_with_an_identity_and_logs(case: &Case<'_>) -> Result<String> {
    let env = "    env:
    - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    - {name: SERVICE_NAME, valueFrom: {fieldRef: {fieldPath: status.podIP}}}";
    case.apply(&[echo("one", env, ""), echo("two", env, "")].concat()).await?;
    let (one, two) = (ready(case, "one").await?, ready(case, "two").await?);
    ensure!(one != two, "both pods have the address {one}");
    let reply = case.curl_until(200, &[&format!("http://{one}:3000/who")]).await?;
    ensure!(reply.echo("/pod")? == "one", "POD_NAME is {}", reply.echo("/pod")?);
    ensure!(reply.echo("/namespace")? == case.namespace, "NAMESPACE is {}", reply.echo("/namespace")?);
    ensure!(reply.echo("/service")? == one, "status.podIP is {}", reply.echo("/service")?);
    case.until("the log shows the request", async || {
        let log = case.kubectl(&["logs", "one"]).await?;
        Ok(log.contains("Echoing back request made to /who").then_some(()))
    })
    .await?;
    let other = case.kubectl(&["logs", "two"]).await?;
    ensure!(!other.contains("/who"), "one pod's request is in the other's log");
    Ok(String::new())
}

/// A Secret's and a ConfigMap's keys are files at the paths that the pod names: the server takes its certificate from there.
pub async fn mount_secrets_and_config_maps(case: &Case<'_>) -> Result<String> {
    let key = KeyPair::generate().context("a key")?;
    let params = CertificateParams::new(vec!["pod.example.com".to_owned()]).context("a certificate")?;
    let certificate = params.self_signed(&key).context("a certificate")?.pem();
    let objects = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "serving"}, "type": "kubernetes.io/tls",
         "stringData": {"tls.crt": certificate, "tls.key": key.serialize_pem()}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "clients"}, "data": {"ca.crt": certificate}},
    ]});
    let mounts = "    env:
    - {name: TLS_SERVER_CERT, value: /etc/secret-volume/crt}
    - {name: TLS_SERVER_PRIVKEY, value: /etc/secret-volume/key}
    - {name: TLS_CLIENT_CACERTS, value: /etc/clients/ca.crt}
    volumeMounts:
    - {name: serving, mountPath: /etc/secret-volume}
    - {name: clients, mountPath: /etc/clients}";
    let volumes = "  volumes:
  - name: serving
    secret:
      secretName: serving
      items:
      - {key: tls.crt, path: crt}
      - {key: tls.key, path: key}
  - name: clients
    configMap: {name: clients}";
    // The pod comes first and waits for what it mounts.
    case.apply(&echo("tls", mounts, volumes)).await?;
    case.apply(&objects.to_string()).await?;
    let address = ready(case, "tls").await?;
    let ca = tempfile::NamedTempFile::new().context("a file")?;
    std::fs::write(ca.path(), &certificate).context("a file")?;
    let to = format!("pod.example.com:8443:{address}");
    let arguments = ["--cacert", &ca.path().display().to_string(), "--resolve", &to, "https://pod.example.com:8443/"];
    let reply = case.curl_until(200, &arguments).await?;
    ensure!(reply.echo("/tls/serverName")? == "pod.example.com", "the server name is {}", reply.echo("/tls/serverName")?);
    Ok(String::new())
}

/// A pod whose readiness probe fails runs, and is not Ready; its neighbour, whose probe passes, is.
pub async fn are_ready_when_their_probe_says_so(case: &Case<'_>) -> Result<String> {
    let probe = |path: &str| format!("    readinessProbe: {{httpGet: {{path: {path}, port: 3000}}, periodSeconds: 1}}");
    case.apply(&[echo("poor", &probe("/status/503"), ""), echo("fine", &probe("/health"), "")].concat()).await?;
    ready(case, "fine").await?;
    case.until("an event says that the probe fails", async || {
        let events = case.get(&["events", "--field-selector", "involvedObject.name=poor,reason=Unhealthy"]).await?;
        Ok((!values(&events, "/items").is_empty()).then_some(()))
    })
    .await?;
    let poor = case.get(&["pod", "poor"]).await?;
    let phase = poor.pointer("/status/phase").and_then(Value::as_str);
    ensure!(phase == Some("Running"), "its phase is {phase:?}");
    let is_ready = condition(poor.pointer("/status/conditions"), "Ready");
    ensure!(is_ready.as_deref() == Some("False"), "Ready is {is_ready:?}");
    Ok(String::new())
}

/// An image that the lab has no program for: an event on the pod that names it, and a waiting container.
pub async fn of_an_unknown_image_say_so(case: &Case<'_>) -> Result<String> {
    let image = "registry.example.com/nobody/knows:v1";
    case.apply(&echo("stranger", "", "").replace("gateway-api/conformance/echo-basic:v0.1.0", image)).await?;
    let message = case
        .until("an event names the image", async || {
            let events = case.get(&["events", "--field-selector", "involvedObject.name=stranger,type=Warning"]).await?;
            let messages = values(&events, "/items").into_iter().filter_map(|event| event.get("message")?.as_str().map(str::to_owned));
            Ok(messages.into_iter().find(|message| message.contains(image)))
        })
        .await?;
    let pod = case.get(&["pod", "stranger"]).await?;
    let reason = pod.pointer("/status/containerStatuses/0/state/waiting/reason").and_then(Value::as_str);
    ensure!(reason.is_some(), "the container is not waiting: {}", pod.get("status").unwrap_or(&Value::Null));
    Ok(message)
}

/// A pod calls the API server with its ServiceAccount's token and trusts it by the CA that it was given; it may read nothing.
pub async fn reach_the_api_server(case: &Case<'_>) -> Result<String> {
    let script = "cd /var/run/secrets/kubernetes.io/serviceaccount && \
                  curl -sS --cacert ca.crt -H \"Authorization: Bearer $(cat token)\" -X POST -H 'Content-Type: application/json' \
                  -d '{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"SelfSubjectReview\"}' \
                  https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "caller"},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "caller", "image": SHELL_IMAGE, "args": ["-c", script]}]},
    });
    case.apply(&pod.to_string()).await?;
    case.until("the pod has ended", async || {
        let pod = case.get(&["pod", "caller"]).await?;
        let phase = pod.pointer("/status/phase").and_then(Value::as_str);
        ensure!(phase == Some("Succeeded"), "its status: {}", pod.get("status").unwrap_or(&Value::Null));
        Ok(Some(()))
    })
    .await?;
    let log = case.kubectl(&["logs", "caller"]).await?;
    let user = format!("system:serviceaccount:{}:default", case.namespace);
    ensure!(log.contains(&user), "the API server does not know it as {user}: {log}");
    Ok(String::new())
}

/// The pods of a Deployment are the endpoints of its Service, and leave it with the scale.
pub async fn are_endpoints_of_their_service(case: &Case<'_>) -> Result<String> {
    case.apply(&backend("shop", 2)).await?;
    case.deployments_ready(&["shop"]).await?;
    for replicas in [2, 1] {
        case.kubectl(&["scale", "deployment/shop", &format!("--replicas={replicas}")]).await?;
        case.until(&format!("{replicas} ready endpoints"), async || {
            let slices = case.get(&["endpointslices", "-l", "kubernetes.io/service-name=shop"]).await?;
            let endpoints = values(&slices, "/items").into_iter().flat_map(|slice| values(&slice, "/endpoints"));
            let ready = endpoints.filter(|endpoint| endpoint.pointer("/conditions/ready") == Some(&Value::Bool(true)));
            let mut addresses: Vec<String> =
                ready.filter_map(|endpoint| endpoint.pointer("/addresses/0")?.as_str().map(str::to_owned)).collect();
            addresses.sort();
            let pods = case.pod_addresses("shop").await?;
            ensure!(addresses == pods && pods.len() == replicas, "endpoints {addresses:?}, pods {pods:?}");
            Ok(Some(()))
        })
        .await?;
    }
    Ok(String::new())
}
