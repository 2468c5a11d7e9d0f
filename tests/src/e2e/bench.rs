//! What the tests work with: the cluster, the cloud, curl, boto3, and patience that is bounded.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use serde_json::Value;
use tokio::process::Command;

use crate::assets;
use crate::client;
use crate::controlplane::Kubectl;
use crate::session::Session;

/// How long anything may take before a test gives up. Far above what it takes, so that it decides nothing on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// The lab that the tests run in.
pub struct Bench {
    /// What it says of itself.
    pub session: Session,
    /// Whether tests may take longer than CI may.
    pub full: bool,
    kubectl: Kubectl,
    cases: AtomicUsize,
}

impl Bench {
    /// Works with the lab of that session.
    pub fn new(session: Session, full: bool) -> Result<Self> {
        let kubeconfig = session.env.get("KUBECONFIG").map(PathBuf::from).context("the lab has no kubeconfig")?;
        let kubectl = Kubectl { program: session.programs.join("kubectl"), kubeconfig };
        Ok(Self { session, full, kubectl, cases: AtomicUsize::new(0) })
    }

    /// A fresh namespace for a test.
    pub async fn case(&self, test: &str) -> Result<Case<'_>> {
        let number = self.cases.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("e2e-{}-{}-{number}", test.split("::").next().unwrap_or("case"), std::process::id());
        self.kubectl.run(&["create", "namespace", &namespace]).await?;
        let case = Case { bench: self, namespace };
        // Until the namespace has its ServiceAccount, a bare pod is refused.
        case.until("the namespace has its ServiceAccount", async || Ok(case.kubectl(&["get", "serviceaccount", "default"]).await.ok()))
            .await?;
        Ok(case)
    }

    /// The cloud's URL.
    pub fn cloud(&self) -> Result<&str> {
        self.session.cloud.as_deref().context("this lab has no cloud")
    }
}

/// One test at work.
pub struct Case<'a> {
    /// Where it works.
    pub bench: &'a Bench,
    /// Its namespace.
    pub namespace: String,
}

/// What curl got.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Reply {
    /// A field of the echo server's answer, such as `/path`.
    pub fn echo(&self, pointer: &str) -> Result<String> {
        let body: Value =
            serde_json::from_str(&self.body).with_context(|| format!("status {}, not an echo: {}", self.status, self.body))?;
        let field = body.pointer(pointer).with_context(|| format!("the echo has no {pointer}: {}", self.body))?;
        Ok(field.as_str().map_or_else(|| field.to_string(), str::to_owned))
    }

    /// The Deployment whose pod answered: a pod's name less its last two parts.
    pub fn backend(&self) -> Result<String> {
        let pod = self.echo("/pod")?;
        let mut parts = pod.rsplitn(3, '-');
        parts.nth(2).map(str::to_owned).with_context(|| format!("not a Deployment's pod: {pod}"))
    }
}

impl Case<'_> {
    /// kubectl in the test's namespace.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut all = vec!["--namespace", self.namespace.as_str()];
        all.extend(arguments);
        self.bench.kubectl.run(&all).await
    }

    /// `kubectl apply` in the test's namespace.
    pub async fn apply(&self, manifests: &str) -> Result<()> {
        self.bench.kubectl.run_with(&["--namespace", &self.namespace, "apply", "-f", "-"], manifests).await?;
        Ok(())
    }

    /// kubectl with something to read, in the test's namespace.
    pub async fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut all = vec!["--namespace", self.namespace.as_str()];
        all.extend(arguments);
        self.bench.kubectl.run_with(&all, input).await
    }

    /// Where the lab's processes log.
    pub fn logs(&self) -> &std::path::Path {
        &self.bench.session.logs
    }

    /// Makes these the cloud's faults, in the place of those that it had.
    pub async fn set_faults(&self, faults: &Value) -> Result<()> {
        let url = format!("{}/_cloud/faults", self.bench.cloud()?);
        client::send(Method::DELETE, &url, &[], "").await?;
        let answer = client::send(Method::POST, &url, &[], &faults.to_string()).await?;
        ensure!(answer.status.is_success(), "faults: {}", answer.text());
        Ok(())
    }

    /// `kubectl get ... -o json`.
    pub async fn get(&self, arguments: &[&str]) -> Result<Value> {
        let mut all = vec!["get", "-o", "json"];
        all.extend(arguments);
        serde_json::from_str(&self.kubectl(&all).await?).context("kubectl printed no JSON")
    }

    /// Asks until there is an answer, for a bounded time.
    pub async fn until<T>(&self, what: &str, ask: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let last = match ask().await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => String::new(),
                Err(error) => format!("; at last: {error:#}"),
            };
            if tokio::time::Instant::now() >= deadline {
                bail!("not within {PATIENCE:?}: {what}{last}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until every replica of those Deployments is ready, and their Service has its endpoints.
    pub async fn deployments_ready(&self, names: &[&str]) -> Result<()> {
        for name in names {
            self.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=60s"]).await?;
        }
        Ok(())
    }

    /// The addresses of the ready pods with that label `app`, sorted.
    pub async fn pod_addresses(&self, app: &str) -> Result<Vec<String>> {
        let pods = self.get(&["pods", "-l", &format!("app={app}")]).await?;
        let items = pods.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let alive = items.iter().filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
        let mut addresses: Vec<String> =
            alive.filter_map(|pod| pod.pointer("/status/podIP").and_then(Value::as_str).map(str::to_owned)).collect();
        addresses.sort();
        Ok(addresses)
    }

    /// Waits until a Gateway is Programmed, and returns its first address.
    pub async fn programmed(&self, gateway: &str) -> Result<String> {
        self.until(&format!("the Gateway {gateway} is Programmed and has an address"), async || {
            let gateway = self.get(&["gateway", gateway]).await?;
            let programmed = condition(gateway.pointer("/status/conditions"), "Programmed");
            ensure!(programmed.as_deref() == Some("True"), "Programmed is {programmed:?}");
            Ok(gateway.pointer("/status/addresses/0/value").and_then(Value::as_str).map(str::to_owned))
        })
        .await
    }

    /// curl, as people type it; none if it did not get an answer.
    pub async fn curl(&self, arguments: &[&str]) -> Result<Option<Reply>> {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "5", "--write-out", "\n%{http_code}"])
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run curl")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Ok(None);
        }
        let (body, status) = text.rsplit_once('\n').with_context(|| format!("curl printed {text:?}"))?;
        Ok(Some(Reply { status: status.parse().with_context(|| format!("curl printed {text:?}"))?, body: body.to_owned() }))
    }

    /// curls until the status is the wanted one.
    pub async fn curl_until(&self, status: u16, arguments: &[&str]) -> Result<Reply> {
        self.until(&format!("curl {} answers {status}", arguments.join(" ")), async || match self.curl(arguments).await? {
            Some(reply) if reply.status == status => Ok(Some(reply)),
            Some(reply) => bail!("it answers {}: {}", reply.status, reply.body),
            None => Ok(None),
        })
        .await
    }

    /// Everything in the cloud.
    pub async fn cloud_state(&self) -> Result<Value> {
        client::get(&format!("{}/_cloud/state", self.bench.cloud()?)).await?.json()
    }

    /// The cloud's load balancers, less those that a test put there as not ours.
    pub async fn load_balancers(&self) -> Result<Vec<Value>> {
        let state = self.cloud_state().await?;
        let all = state.get("load_balancers").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(all.into_iter().filter(|balancer| balancer.get("name").and_then(Value::as_str) != Some(FOREIGN)).collect())
    }

    /// How often each operation was called since the last reset, by `service.operation`.
    pub async fn calls(&self) -> Result<Value> {
        client::get(&format!("{}/_cloud/calls", self.bench.cloud()?)).await?.json()
    }

    /// Sets the cloud's counts to nothing.
    pub async fn reset_calls(&self) -> Result<()> {
        client::send(Method::POST, &format!("{}/_cloud/reset", self.bench.cloud()?), &[], "calls").await?;
        Ok(())
    }

    /// The operator's metrics, as text.
    pub async fn metrics(&self) -> Result<String> {
        Ok(client::get(&format!("http://{}/metrics", crate::operator::HEALTH_ADDRESS)).await?.text())
    }

    /// Runs a script with boto3; `elb` and `ec2` are clients, and what `result` holds at its end comes back.
    pub async fn boto3(&self, script: &str) -> Result<Value> {
        let python = assets::python(&assets::workspace_dir()?.join("localstack/tests/boto3/requirements.txt"))?;
        let text = format!(
            "import json, boto3\nelb = boto3.client('elbv2')\nec2 = boto3.client('ec2')\nresult = None\n{script}\nprint(json.dumps(result, default=str))\n"
        );
        let output = Command::new(python)
            .args(["-c", &text])
            .envs(crate::cloud::environment(self.bench.cloud()?))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run python")?;
        ensure!(output.status.success(), "boto3: {}", String::from_utf8_lossy(&output.stderr).trim());
        serde_json::from_slice(&output.stdout).context("boto3 printed no JSON")
    }

    /// Everything that explains a failure.
    pub async fn describe(&self) -> String {
        let mut text = String::new();
        let kinds = "gateways,httproutes,serviceaccounts,services,endpointslices,deployments,pods,events";
        let objects = self.kubectl(&["get", kinds, "-o", "yaml"]).await.unwrap_or_else(|error| format!("{error:#}"));
        text.push_str(&objects);
        for proxy in self.bench.session.proxies() {
            let dump = proxy.admin.dump().await.unwrap_or_else(|error| format!("{error:#}"));
            text.push_str(&format!("\n--- {}\n{dump}", proxy.name));
        }
        if let Ok(url) = self.bench.cloud() {
            for resource in ["calls", "listeners", "log?last=200", "state"] {
                let answer = client::get(&format!("{url}/_cloud/{resource}")).await;
                text.push_str(&format!(
                    "\n--- /_cloud/{resource}\n{}",
                    answer.map_or_else(|error| format!("{error:#}"), |answer| answer.text())
                ));
            }
        }
        text
    }

    /// Takes what the test made away and waits until what it had in the cloud is gone; the namespace controller, which
    /// takes its time, is not waited for.
    pub async fn clear(&self) -> Result<()> {
        if self.bench.session.operator && self.bench.session.cloud.is_some() {
            self.kubectl(&["delete", "gateways,httproutes", "--all", "--timeout=60s"]).await?;
        }
        self.bench.kubectl.run(&["delete", "namespace", &self.namespace, "--wait=false"]).await?;
        if self.bench.session.operator && self.bench.session.cloud.is_some() {
            self.until("the cloud holds no load balancer of ours", async || {
                let balancers = self.load_balancers().await?;
                ensure!(balancers.is_empty(), "{} are left", balancers.len());
                Ok(Some(()))
            })
            .await?;
        }
        Ok(())
    }
}

/// The name of the load balancer that the tests put into the cloud as somebody else's.
pub const FOREIGN: &str = "not-ours";

/// The status of a condition in a list of conditions.
pub fn condition(conditions: Option<&Value>, type_: &str) -> Option<String> {
    status_and_reason(conditions, type_).map(|(status, _)| status)
}

/// The status and the reason of a condition in a list of conditions.
pub fn status_and_reason(conditions: Option<&Value>, type_: &str) -> Option<(String, String)> {
    let conditions = conditions?.as_array()?;
    let found = conditions.iter().find(|condition| condition.get("type").and_then(Value::as_str) == Some(type_))?;
    let text = |name: &str| found.get(name).and_then(Value::as_str).map(str::to_owned);
    Some((text("status")?, text("reason").unwrap_or_default()))
}

/// The members of a JSON object's or array's values at that pointer; empty if there are none.
pub fn values(value: &Value, pointer: &str) -> Vec<Value> {
    match value.pointer(pointer) {
        Some(Value::Array(items)) => items.clone(),
        Some(Value::Object(members)) => members.values().cloned().collect(),
        _ => Vec::new(),
    }
}
