//! Pods from their first container to their last second.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::bench::{Case, values};
use crate::node::SHELL_IMAGE;

/// A pod that runs a shell script; `more` are further fields of its spec, `container` further fields of its container.
fn script(name: &str, text: &str, more: &Value, container: &Value) -> String {
    let mut runs = json!({"name": "main", "image": SHELL_IMAGE, "args": ["-c", text]});
    let mut spec = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 30});
    merge(&mut runs, container);
    merge(&mut spec, more);
    merge(&mut spec, &json!({"containers": [runs]}));
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}).to_string()
}

fn merge(object: &mut Value, more: &Value) {
    if let (Some(object), Some(more)) = (object.as_object_mut(), more.as_object()) {
        object.extend(more.clone());
    }
}

/// Waits until the pod is in that phase.
async fn phase(case: &Case<'_>, name: &str, wanted: &str) -> Result<Value> {
    case.until(&format!("the pod {name} is {wanted}"), async || {
        let pod = case.get(&["pod", name]).await?;
        let phase = pod.pointer("/status/phase").and_then(Value::as_str);
        ensure!(phase == Some(wanted), "its status: {}", pod.get("status").unwrap_or(&Value::Null));
        Ok(Some(pod))
    })
    .await
}

/// Init containers run in order and to their end, a sidecar runs beside the container and ends after it.
pub async fn runs_init_containers_and_sidecars_in_order(case: &Case<'_>) -> Result<String> {
    let mounts = json!([{"name": "shared", "mountPath": "/shared"}]);
    let init = |name: &str, text: &str| json!({"name": name, "image": SHELL_IMAGE, "args": ["-c", text], "volumeMounts": mounts});
    let sidecar = json!({"name": "echo", "image": "gateway-api/conformance/echo-basic:v0.1.0", "restartPolicy": "Always",
        "startupProbe": {"httpGet": {"path": "/health", "port": 3000}}});
    let more = json!({
        "volumes": [{"name": "shared", "emptyDir": {}}],
        "initContainers": [init("first", "echo 1 >> /shared/order"), sidecar, init("second", "echo 2 >> /shared/order")],
    });
    let text = "cat /shared/order && curl -sS http://localhost:3000/from-main";
    case.apply(&script("ordered", text, &more, &json!({"volumeMounts": mounts}))).await?;
    phase(case, "ordered", "Succeeded").await?;
    let log = case.kubectl(&["logs", "ordered", "-c", "main"]).await?;
    ensure!(log.starts_with("1\n2\n") && log.contains("\"path\": \"/from-main\""), "its log: {log}");
    // The pod has succeeded with its container; the sidecar is stopped after it.
    case.until("the sidecar ends", async || {
        let pod = case.get(&["pod", "ordered"]).await?;
        let ended = values(&pod, "/status/initContainerStatuses").iter().all(|status| status.pointer("/state/terminated").is_some());
        ensure!(ended, "something still runs: {}", pod.get("status").unwrap_or(&Value::Null));
        Ok(Some(()))
    })
    .await?;
    Ok(String::new())
}

/// A container that fails is started again; the log of the run before stays to be read.
pub async fn restarts_what_fails(case: &Case<'_>) -> Result<String> {
    let text = "if [ -e /shared/seen ]; then echo second; exec sleep 1000; fi; touch /shared/seen; echo first; exit 3";
    let more = json!({"restartPolicy": "OnFailure", "terminationGracePeriodSeconds": 0, "volumes": [{"name": "shared", "emptyDir": {}}]});
    case.apply(&script("failing", text, &more, &json!({"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}))).await?;
    let status = case
        .until("the second run", async || {
            let pod = case.get(&["pod", "failing"]).await?;
            let status = pod.pointer("/status/containerStatuses/0").cloned().context("no status")?;
            let runs_again = status.get("restartCount") == Some(&json!(1)) && status.pointer("/state/running").is_some();
            Ok(runs_again.then_some(status))
        })
        .await?;
    let code = status.pointer("/lastState/terminated/exitCode");
    ensure!(code == Some(&json!(3)), "the exit code of the first run is {code:?}");
    let previous = case.kubectl(&["logs", "failing", "--previous"]).await?;
    ensure!(previous == "first\n", "the log of the first run: {previous:?}");
    Ok(String::new())
}

/// A pod that is being deleted still serves while its preStop hook runs, and is no ready endpoint any more.
pub async fn drains_before_it_ends(case: &Case<'_>) -> Result<String> {
    // The hook lasts until the test says so: a file in a ConfigMap is renewed in the running pod.
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "draining", "labels": {"app": "draining"}},
        "spec": {
            "terminationGracePeriodSeconds": 120,
            "volumes": [{"name": "signals", "configMap": {"name": "signals"}}],
            "containers": [{
                "name": "echo", "image": "gateway-api/conformance/echo-basic:v0.1.0",
                "readinessProbe": {"httpGet": {"path": "/health", "port": 3000}},
                "volumeMounts": [{"name": "signals", "mountPath": "/signals"}],
                "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "until grep -q go /signals/signal; do sleep 0.05; done"]}}},
            }],
        },
    });
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "draining"},
        "spec": {"selector": {"app": "draining"}, "ports": [{"port": 80, "targetPort": 3000}]}});
    let signals = |text: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "signals"}, "data": {"signal": text}});
    case.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [signals("wait"), service, pod]}).to_string()).await?;
    let endpoint = async |wanted: [bool; 3]| {
        case.until(&format!("the endpoint's ready, serving, terminating are {wanted:?}"), async || {
            let slices = case.get(&["endpointslices", "-l", "kubernetes.io/service-name=draining"]).await?;
            let endpoint = slices.pointer("/items/0/endpoints/0").cloned().context("no endpoint")?;
            let found =
                ["ready", "serving", "terminating"].map(|name| endpoint.pointer(&format!("/conditions/{name}")) == Some(&json!(true)));
            ensure!(found == wanted, "they are {found:?}");
            Ok(endpoint.pointer("/addresses/0").and_then(Value::as_str).map(str::to_owned))
        })
        .await
    };
    let address = endpoint([true, true, false]).await?;
    case.kubectl(&["delete", "pod", "draining", "--wait=false"]).await?;
    endpoint([false, true, true]).await?;
    case.curl_until(200, &[&format!("http://{address}:3000/last-words")]).await?;
    case.apply(&signals("go").to_string()).await?;
    case.until("the pod is gone", async || {
        Ok(case.kubectl(&["get", "pod", "draining", "--ignore-not-found"]).await?.is_empty().then_some(()))
    })
    .await?;
    ensure!(case.curl(&["--connect-timeout", "1", &format!("http://{address}:3000/")]).await?.is_none(), "it still answers");
    Ok(String::new())
}

/// A Job's pod that succeeds completes the Job.
pub async fn completes_a_job(case: &Case<'_>) -> Result<String> {
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": SHELL_IMAGE, "args": ["-c", "echo done > /dev/termination-log"]}]}});
    case.apply(&json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work"}, "spec": {"template": template}}).to_string())
        .await?;
    case.kubectl(&["wait", "--for=condition=Complete", "job/work", "--timeout=60s"]).await?;
    let pods = case.get(&["pods", "-l", "batch.kubernetes.io/job-name=work"]).await?;
    let message = pods.pointer("/items/0/status/containerStatuses/0/state/terminated/message");
    ensure!(message == Some(&json!("done\n")), "the termination message is {message:?}");
    Ok(String::new())
}
