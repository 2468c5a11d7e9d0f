//! The lab at the judge's service: objects in, settled, refusals and answers out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_util::task::AbortOnDropHandle;

use super::api::Kind;
use super::call;
use super::comparison::{Received, Refusals};
use super::evaluator::RuleName;
use super::generator::{CALL_PORT, IDLE, NAMESPACES, SERVICE_PORT, SERVICES};
use super::request::Request;
use crate::controlplane::Kubectl;
use crate::e2e::manifest;
use crate::objects::Objects;
use crate::session::Session;
use crate::{assets, client, operator};

/// How long anything may take before the judge gives up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How many looks in a row must see nothing going on.
const QUIET_LOOKS: usize = 10;
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// Our operator's name in statuses.
pub const CONTROLLER: &str = "portico.dev/gateway-controller";
/// The query parameter that tells requests apart in the logs of the echo servers.
pub const TRACE: &str = "judge";

/// The lab that the judge works in.
pub struct Bench {
    /// What it says of itself.
    pub session: Session,
    objects: Objects,
    http: Client<HttpConnector, Full<Bytes>>,
    kubectl: Kubectl,
    portico: std::path::PathBuf,
}

impl Bench {
    /// Uses the lab that we are in, and puts namespaces, Services and pods there.
    pub async fn new(session: Session) -> Result<Self> {
        let objects = Objects::connect(&session).await?;
        let http = Client::builder(TokioExecutor::new()).build_http();
        let kubeconfig = session.env.get("KUBECONFIG").context("the lab has no kubeconfig")?;
        let kubectl = Kubectl { program: session.programs.join("kubectl"), kubeconfig: kubeconfig.into() };
        let bench = Self { session, objects, http, kubectl, portico: assets::portico()? };
        bench.furnish().await?;
        Ok(bench)
    }

    async fn furnish(&self) -> Result<()> {
        self.objects.apply_all(&namespaces(), 4).await?;
        let (namespace, name) = IDLE.split_once('/').unwrap_or_default();
        let idle = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {"app": "nobody"}, "ports": [
                {"name": "http", "port": SERVICE_PORT, "targetPort": 3000},
                {"name": "calls", "port": CALL_PORT, "targetPort": 3001, "appProtocol": "kubernetes.io/h2c"}]}});
        self.objects.apply(&idle).await?;
        for service in SERVICES {
            let (namespace, name) = service.split_once('/').unwrap_or_default();
            self.kubectl.run_with(&["--namespace", namespace, "apply", "-f", "-"], &echo(name)).await?;
        }
        for service in SERVICES {
            let (namespace, name) = service.split_once('/').unwrap_or_default();
            self.kubectl.run(&["--namespace", namespace, "rollout", "status", &format!("deployment/{name}"), "--timeout=120s"]).await?;
        }
        Ok(())
    }

    /// Takes everything away, and waits until it is gone and the cloud has forgotten it: another judge may follow.
    pub async fn clear(&self) -> Result<()> {
        self.replace(&[]).await?;
        self.objects.delete_all(&namespaces(), 4).await?;
        let url = format!("{}/_cloud/state", self.session.cloud.as_deref().context("this lab has no cloud")?);
        self.until("neither the cloud nor the fleet holds anything of the judge", async || {
            let state = client::get(&url).await?.json()?;
            let names = state.get("load_balancers").and_then(Value::as_array).cloned().unwrap_or_default();
            let mut left = names.iter().any(|it| it.to_string().contains("judge/edge-"));
            for proxy in self.session.proxies() {
                left |= proxy.admin.resources().await?.iter().any(|name| name.contains("judge/edge-"));
            }
            let named =
                |object: &Value| object.pointer("/metadata/name").and_then(Value::as_str).is_some_and(|name| NAMESPACES.contains(&name));
            left |= self.objects.list("Namespace").await?.iter().any(named);
            Ok((!left).then_some(()))
        })
        .await
    }

    /// Makes the Gateways, routes and grants in the judge's namespaces be these, changing what is there already.
    pub async fn replace(&self, objects: &[Value]) -> Result<()> {
        let key = |object: &Value| {
            let of = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
            (of("/kind"), of("/metadata/namespace"), of("/metadata/name"))
        };
        let wanted: Vec<_> = objects.iter().map(key).collect();
        let mut leftover = self.current(&["HTTPRoute", "GRPCRoute", "ListenerSet", "ReferenceGrant", "Gateway"]).await?;
        leftover.retain(|object| !wanted.contains(&key(object)));
        self.objects.delete_all(&leftover, 8).await?;
        self.objects.apply_all(objects, 8).await?;
        Ok(())
    }

    /// The objects of these kinds in the judge's namespaces.
    async fn current(&self, kinds: &[&str]) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        for kind in kinds {
            found.extend(self.objects.list(kind).await?);
        }
        let ours = |object: &Value| {
            let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
            namespace.is_none_or(|namespace| NAMESPACES.contains(&namespace) || namespace == operator::NAMESPACE)
        };
        found.retain(ours);
        Ok(found)
    }

    /// Waits until every status speaks of the object as it is and the operator has nothing left to do; returns all that matters.
    pub async fn settled(&self) -> Result<Vec<Value>> {
        let kinds = [
            "GatewayClass",
            "LoadBalancerProfile",
            "Namespace",
            "Service",
            "ReferenceGrant",
            "Gateway",
            "ListenerSet",
            "HTTPRoute",
            "GRPCRoute",
        ];
        let mut quiet = 0;
        let mut before = String::new();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let objects = self.current(&kinds).await?;
            let stale: Vec<String> = objects.iter().filter_map(stale).collect();
            let done = done(&client::get(&format!("http://{}/metrics", operator::HEALTH_ADDRESS)).await?.text());
            quiet = if stale.is_empty() && done == before { quiet + 1 } else { 0 };
            if quiet >= QUIET_LOOKS {
                return Ok(objects);
            }
            if tokio::time::Instant::now() >= deadline {
                bail!("not settled after {PATIENCE:?}: {}", stale.join("; "));
            }
            before = done;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What the operator says that it cannot serve, by Gateway, as `portico plan` prints it for these objects.
    pub async fn refusals(&self, objects: &[Value], folder: &Path) -> Result<BTreeMap<String, Refusals>> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (number, object) in objects.iter().enumerate() {
            let file = folder.join(format!("{number:04}.json"));
            std::fs::write(&file, serde_json::to_vec_pretty(object)?).with_context(|| format!("cannot write {}", file.display()))?;
        }
        let mut plan = Command::new(&self.portico);
        plan.args(["plan", "--output", "json", "-f"]).arg(folder).kill_on_drop(true);
        let output = plan.output().await.context("cannot run portico plan")?;
        let document: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("portico plan printed no JSON: {}", String::from_utf8_lossy(&output.stderr)))?;
        let mut found: BTreeMap<String, Refusals> = BTreeMap::new();
        for unit in document.get("units").and_then(Value::as_array).into_iter().flatten() {
            let name = unit.get("unit").and_then(Value::as_str).unwrap_or_default().trim_start_matches("gateway/").to_owned();
            let refusals = found.entry(name).or_default();
            for refusal in unit.get("refusals").and_then(Value::as_array).into_iter().flatten() {
                let text = |key: &str| refusal.get(key).and_then(Value::as_str).unwrap_or_default();
                let Some(rule) = rule_name(text("subject")) else { continue };
                refusals.fields.insert((rule.clone(), text("field").to_owned()));
                if text("traffic") == "fallsThrough" {
                    refusals.fallen.insert(rule);
                } else {
                    refusals.answered.insert(rule);
                }
            }
        }
        Ok(found)
    }

    /// The address that a Gateway got.
    pub async fn address(&self, objects: &[Value], gateway: &str) -> Result<String> {
        let named = |it: &&Value| it.get("kind") == Some(&json!("Gateway")) && it.pointer("/metadata/name") == Some(&json!(gateway));
        let object = objects.iter().find(named).with_context(|| format!("no Gateway {gateway}"))?;
        let address = object.pointer("/status/addresses/0/value").and_then(Value::as_str);
        let address = address.with_context(|| format!("the Gateway {gateway} has no address"))?;
        let mut found = tokio::net::lookup_host((address, 80)).await.with_context(|| format!("cannot resolve {address}"))?;
        Ok(found.next().with_context(|| format!("{address} has no address"))?.ip().to_string())
    }

    /// Sends a request to an address.
    pub async fn ask(&self, address: &str, request: &Request) -> Result<Received> {
        let calls = call::is_one(request);
        // HTTP/2 has no header for the host: it is a part of what is asked for.
        let authority = if calls { request.host.clone() } else { format!("{address}:{}", request.port) };
        let mut message = http::Request::builder().method(request.method.as_str()).uri(format!("http://{authority}{}", request.target()));
        if !calls {
            message = message.header("host", &request.host);
        }
        for (name, value) in &request.headers {
            message = message.header(name, value);
        }
        let message = message.body(Full::default()).with_context(|| format!("cannot be sent: {request}"))?;
        let exchange = async {
            let answer = if calls {
                let stream = TcpStream::connect((address, request.port)).await?;
                let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
                let task = AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) }));
                let (head, body) = sender.send_request(message).await?.into_parts();
                let body = body.collect().await?.to_bytes();
                drop(task);
                (head, body)
            } else {
                let (head, body) = self.http.request(message).await?.into_parts();
                (head, body.collect().await?.to_bytes())
            };
            let (head, body) = answer;
            anyhow::Ok(Received::of(head.status.as_u16(), &head.headers, String::from_utf8_lossy(&body).into_owned()))
        };
        tokio::time::timeout(ANSWER_WITHIN, exchange)
            .await
            .with_context(|| format!("no answer within {ANSWER_WITHIN:?}: {request}"))?
            .with_context(|| request.to_string())
    }

    /// Which of the Services (`NAMESPACE/NAME`) got the requests that are traced, by their traces, as the echo servers' logs tell.
    pub async fn traces(&self) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for service in SERVICES {
            let (namespace, name) = service.split_once('/').unwrap_or_default();
            let log = self.kubectl.run(&["--namespace", namespace, "logs", &format!("deployment/{name}")]).await?;
            for trace in log.lines().filter_map(trace) {
                found.entry(trace.to_owned()).or_default().insert(service.to_owned());
            }
        }
        Ok(found)
    }

    async fn until<T>(&self, what: &str, ask: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("not within {PATIENCE:?}: {what}")
    }
}

fn namespaces() -> Vec<Value> {
    let teams = [None, Some("a"), Some("b")];
    let object = |(name, team): (&str, Option<&str>)| {
        let labels = team.map_or_else(|| json!({}), |team| json!({"team": team}));
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    };
    NAMESPACES.into_iter().zip(teams).map(object).collect()
}

/// The echo server, which is spoken to by HTTP/1.1 on one port, and by HTTP/2 on another.
fn echo(name: &str) -> String {
    let ports = format!(
        "  - name: http\n    port: {SERVICE_PORT}\n    targetPort: 3000\n  - name: calls\n    port: {CALL_PORT}\n    targetPort: 3001\n    \
         appProtocol: kubernetes.io/h2c\n"
    );
    manifest::backend(name, 1).replacen("  - port: 8080\n    targetPort: 3000\n", &ports, 1)
}

/// The trace of a request in a line of the echo server's log.
fn trace(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("request made to ")?;
    let (target, _) = rest.split_once(" to client")?;
    target.split(['?', '&']).find_map(|pair| pair.strip_prefix(TRACE)?.strip_prefix('='))
}

/// `HTTPRoute NAMESPACE/NAME rules[R].matches[M]`.
fn rule_name(subject: &str) -> Option<RuleName> {
    let (kind, rest) = subject.split_once(' ')?;
    let kind = Kind::ALL.into_iter().find(|it| it.name() == kind)?;
    let (route, place) = rest.split_once(" rules[")?;
    let (rule, index) = place.strip_suffix(']')?.split_once("].matches[")?;
    Some(RuleName { kind, route: route.to_owned(), rule: rule.parse().ok()?, index: index.parse().ok()? })
}

/// What the operator has done, by its metrics: while it works, they change. (The gauges of its queues also count what waits for a later look.)
fn done(metrics: &str) -> String {
    let counted = ["portico_passes_total", "portico_changes_total", "portico_status_writes_total", "portico_targets_"];
    metrics.lines().filter(|line| counted.iter().any(|name| line.starts_with(name))).collect::<Vec<_>>().join("\n")
}

/// Why the status of an object does not speak of it as it is; none if it does.
fn stale(object: &Value) -> Option<String> {
    let name = format!("{} {}", object.get("kind").and_then(Value::as_str)?, object.pointer("/metadata/name").and_then(Value::as_str)?);
    let generation = object.pointer("/metadata/generation")?;
    let current = |conditions: Option<&Value>| {
        let conditions = conditions.and_then(Value::as_array).cloned().unwrap_or_default();
        !conditions.is_empty() && conditions.iter().all(|it| it.get("observedGeneration") == Some(generation))
    };
    match object.get("kind").and_then(Value::as_str)? {
        "Gateway" => {
            let conditions = object.pointer("/status/conditions");
            let programmed = crate::e2e::bench::condition(conditions, "Programmed");
            (!current(conditions) || programmed.as_deref() != Some("True")).then(|| format!("{name}: Programmed is {programmed:?}"))
        }
        "ListenerSet" => (!current(object.pointer("/status/conditions"))).then(|| format!("{name}: not told")),
        "HTTPRoute" | "GRPCRoute" => {
            // A ListenerSet that is not let in has nobody who would say anything.
            let of_gateway = |reference: Option<&Value>| reference.and_then(|it| it.get("kind")).is_none_or(|kind| kind == "Gateway");
            let wanted = object.pointer("/spec/parentRefs").and_then(Value::as_array).into_iter().flatten();
            let wanted = wanted.filter(|it| of_gateway(Some(it))).count();
            let parents = object.pointer("/status/parents").and_then(Value::as_array).cloned().unwrap_or_default();
            let ours = parents.iter().filter(|it| it.get("controllerName") == Some(&json!(CONTROLLER)) && of_gateway(it.get("parentRef")));
            let told = ours.filter(|it| current(it.get("conditions"))).count();
            (told != wanted).then(|| format!("{name}: {told} of {wanted} parents told"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_named_as_the_plan_names_them() {
        for kind in Kind::ALL {
            let name = RuleName { kind, route: "judge-a/r1".into(), rule: 2, index: 1 };
            assert_eq!(rule_name(&name.to_string()), Some(name));
        }
        assert_eq!(rule_name("Gateway judge/edge-0"), None);
    }

    #[test]
    fn traces_are_read_from_logs() {
        assert_eq!(trace("Echoing back request made to /a?x=judge&judge=3.14 to client (10.0.0.1:8)"), Some("3.14"));
        assert_eq!(trace("Echoing back request made to /a?judge=3&x=1 to client (10.0.0.1:8)"), Some("3"));
        assert_eq!(trace("Echoing back request made to /health to client (10.0.0.1:8)"), None);
    }

    #[test]
    fn a_status_of_another_generation_is_stale() {
        let gateway = |observed: u64, status: &str| {
            json!({"kind": "Gateway", "metadata": {"name": "g", "generation": 2},
                "status": {"conditions": [{"type": "Programmed", "status": status, "observedGeneration": observed}]}})
        };
        assert_eq!(stale(&gateway(2, "True")), None);
        assert!(stale(&gateway(1, "True")).is_some());
        assert!(stale(&gateway(2, "False")).is_some());
    }
}
