//! The class of the Envoy fleet: what the AWS classes are asked, too, and what only proxies of one's own can do.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::process::Child;

use super::bench::Case;
use super::load::Load;
use super::manifest::{backend, everything_to, gateway_of, patient_backend, route};
use super::process::{FIRST_REPLICA, Kept, Replica, operator_leads};
use crate::fleet::{self, CLASS, Programs, Proxy};
use crate::objects::Objects;
use crate::progress::human;

/// Requests per second of open loops, and how many there are in all: what fits CI, and all.
const RATE: u32 = 500;
const REQUESTS: (usize, usize) = (5_000, 100_000);
/// How long pods go on answering after they are told to end.
const PATIENT_SECONDS: u32 = 3;
/// Pause between two looks where time is measured.
const LOOK: Duration = Duration::from_millis(10);

/// A Gateway of the class with two patient pods that serves; its address.
async fn serving(case: &Case<'_>) -> Result<SocketAddr> {
    let objects = [patient_backend("shop", 2, PATIENT_SECONDS), gateway_of(CLASS, "edge"), route("shop", "edge", &everything_to("shop"))];
    case.apply(&objects.concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let address: IpAddr = case.programmed("edge").await?.parse().context("the Gateway's address")?;
    case.curl_until(200, &[&format!("http://{address}/")]).await?;
    // One proxy answered; what comes next goes to all of them.
    endpoints_are_the_pods(case, 2).await?;
    Ok(SocketAddr::new(address, 80))
}

/// Waits until all proxies have what the first one has, and that is something.
async fn alike(case: &Case<'_>, proxies: &[Proxy]) -> Result<()> {
    case.until("all proxies have the same configuration", async || {
        let mut first = None;
        for proxy in proxies {
            let found = proxy.admin.resources().await?;
            ensure!(found.iter().any(|resource| resource.starts_with("listener ")), "{} has no listener", proxy.name);
            let first = first.get_or_insert_with(|| found.clone());
            ensure!(*first == found, "{} has {found:?}, another one {first:?}", proxy.name);
        }
        Ok(Some(()))
    })
    .await
}

/// The first request to a Gateway of the class is answered; all proxies have its configuration, and none of it is left when it is deleted.
pub async fn serves_the_first_request(case: &Case<'_>) -> Result<String> {
    case.apply(&backend("shop", 2)).await?;
    case.deployments_ready(&["shop"]).await?;
    let began = Instant::now();
    case.apply(&[gateway_of(CLASS, "edge"), route("shop", "edge", &everything_to("shop"))].concat()).await?;
    let address = case.programmed("edge").await?;
    let reply = case.curl_until(200, &[&format!("http://{address}/hello")]).await?;
    let took = began.elapsed();
    ensure!(reply.echo("/path")? == "/hello", "the path is {}", reply.echo("/path")?);
    ensure!(reply.backend()? == "shop", "answered by {}", reply.backend()?);
    let proxies = fleet::proxies();
    alike(case, &proxies).await?;
    ensure!(case.load_balancers().await?.is_empty(), "a load balancer was made for it, too");
    case.kubectl(&["delete", "gateway", "edge"]).await?;
    case.until("the proxies have forgotten the Gateway", async || {
        for proxy in &proxies {
            let left: Vec<String> = proxy.admin.resources().await?.into_iter().filter(|name| name.contains(&case.namespace)).collect();
            ensure!(left.is_empty(), "{} still has {left:?}", proxy.name);
        }
        Ok(Some(()))
    })
    .await?;
    ensure!(case.curl(&["--connect-timeout", "1", &format!("http://{address}/")]).await?.is_none(), "somebody still answers");
    Ok(format!("answered {} after apply", human(took)))
}

/// A route that moves to another backend does so without an error, and nobody who saw the new one sees the old one later than its proxies do.
pub async fn follows_a_changed_route(case: &Case<'_>) -> Result<String> {
    let at = serving(case).await?;
    case.apply(&backend("next", 2)).await?;
    case.deployments_ready(&["next"]).await?;
    let load = Load { at, path: "/".to_owned(), rate: RATE / 2, least: 0 };
    let report = load
        .during(async {
            case.apply(&route("shop", "edge", &everything_to("next"))).await?;
            // In a row, since several proxies answer.
            let mut in_a_row = 0;
            case.until("next answers", async || Ok(Some(case.curl(&[&format!("http://{at}/")]).await?.context("no answer")?.backend()?)))
                .await?;
            for _ in 0..500 {
                let name = case.curl(&[&format!("http://{at}/")]).await?.context("no answer")?.backend()?;
                in_a_row = if name == "next" { in_a_row + 1 } else { 0 };
                if in_a_row == 10 {
                    return Ok(());
                }
            }
            bail!("next does not answer all requests")
        })
        .await?;
    report.verdict()
}

/// A rolling deploy, a scale-up and a scale-down, a restart of the operator and a change of leader under steady load: no request fails.
pub async fn loses_no_request_in_trouble(case: &Case<'_>) -> Result<String> {
    let at = serving(case).await?;
    let least = if case.bench.full { REQUESTS.1 } else { REQUESTS.0 };
    let load = Load { at, path: "/health".to_owned(), rate: RATE, least };
    let report = load.during(trouble(case)).await?;
    report.verdict()
}

async fn trouble(case: &Case<'_>) -> Result<()> {
    case.kubectl(&["scale", "deployment/shop", "--replicas=4"]).await?;
    endpoints_are_the_pods(case, 4).await?;
    let before = case.pod_addresses("shop").await?;
    case.kubectl(&["rollout", "restart", "deployment/shop"]).await?;
    case.deployments_ready(&["shop"]).await?;
    let after = endpoints_are_the_pods(case, 4).await?;
    ensure!(after.iter().all(|pod| !before.contains(pod)), "{before:?} were replaced by {after:?}");
    case.kubectl(&["scale", "deployment/shop", "--replicas=1"]).await?;
    endpoints_are_the_pods(case, 1).await?;

    let operator = Kept::new("operator")?;
    operator.kill()?;
    super::process::end_lease(case).await?;
    operator_leads(case).await?;
    case.kubectl(&["scale", "deployment/shop", "--replicas=2"]).await?;
    endpoints_are_the_pods(case, 2).await?;

    // Another one leads, and serves all proxies; then the first one again.
    let program = operator.program()?;
    let mut replica = Replica::start(case, &program, FIRST_REPLICA).await?;
    operator.stop(Signal::SIGTERM)?;
    replica.leads(case).await?;
    case.kubectl(&["scale", "deployment/shop", "--replicas=3"]).await?;
    endpoints_are_the_pods(case, 3).await?;
    operator.start()?;
    case.until("the first one is back", async || {
        let answer = crate::client::get(&format!("http://{}/readyz", crate::operator::HEALTH_ADDRESS)).await?;
        Ok(answer.status.is_success().then_some(()))
    })
    .await?;
    replica.signal(Signal::SIGTERM)?;
    ensure!(replica.ended().await?, "the replica did not end well");
    operator_leads(case).await?;
    case.kubectl(&["scale", "deployment/shop", "--replicas=2"]).await?;
    endpoints_are_the_pods(case, 2).await?;
    Ok(())
}

/// Waits until there are so many pods, and every proxy has them as endpoints of the case's clusters, and no others.
async fn endpoints_are_the_pods(case: &Case<'_>, count: usize) -> Result<Vec<String>> {
    case.until(&format!("every proxy has {count} endpoints"), async || {
        let pods = case.pod_addresses("shop").await?;
        ensure!(pods.len() == count, "{} pods", pods.len());
        for proxy in fleet::proxies() {
            let found = proxy.admin.endpoints(&case.namespace).await?;
            ensure!(found == pods, "{} has {found:?}, the pods are {pods:?}", proxy.name);
        }
        Ok(Some(pods))
    })
    .await
}

/// An operator that starts again tells proxies nothing that they know, and writes no status: no listener, cluster or route is touched.
pub async fn keeps_what_it_has_over_a_restart(case: &Case<'_>) -> Result<String> {
    serving(case).await?;
    let proxies = fleet::proxies();
    alike(case, &proxies).await?;
    let operator = Kept::new("operator")?;
    let before = touched(&proxies).await?;
    let written = case.get(&["gateways,httproutes"]).await?;
    operator.kill()?;
    super::process::end_lease(case).await?;
    operator_leads(case).await?;
    connected(case, &proxies).await?;
    let now = case.get(&["gateways,httproutes"]).await?;
    ensure!(written == now, "somebody wrote statuses: {written}, then {now}");
    // What is told now can only be told because something changes.
    case.apply(&route("more", "edge", "  rules:\n  - matches: [{path: {value: /more}}]\n    backendRefs: [{name: shop, port: 8080}]\n"))
        .await?;
    let address = case.programmed("edge").await?;
    case.curl_until(200, &[&format!("http://{address}/more")]).await?;
    let after = touched(&proxies).await?;
    ensure!(before == after, "listeners or clusters were told again: {before:?}, then {after:?}");
    Ok(String::new())
}

/// A class that is not accepted any more when the operator starts costs its Gateways nothing: its profile says something else of the fleet than the older one.
pub async fn keeps_what_it_has_while_its_class_is_rejected(case: &Case<'_>) -> Result<String> {
    let class = case.get(&["gatewayclass", CLASS]).await?;
    let text = |pointer: &str| class.pointer(pointer).and_then(Value::as_str).with_context(|| format!("the class has no {pointer}"));
    let (namespace, name) = (text("/spec/parametersRef/namespace")?, text("/spec/parametersRef/name")?);
    let spec = case.get(&["loadbalancerprofile", "--namespace", namespace, name]).await?["spec"].take();
    let own = case.namespace.as_str();
    let profile = |identification: &str| {
        let mut spec = spec.clone();
        spec["envoy"]["identification"] = json!(identification);
        json!({"apiVersion": "portico.dev/v1alpha1", "kind": "LoadBalancerProfile", "metadata": {"name": "edge", "namespace": own}, "spec": spec})
    };
    let identification = spec.pointer("/envoy/identification").and_then(Value::as_str).unwrap_or("node").to_owned();
    let other = if identification == "node" { "certificate" } else { "node" };
    let parameters = json!({"group": "portico.dev", "kind": "LoadBalancerProfile", "namespace": own, "name": "edge"});
    let class = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": own},
        "spec": {"controllerName": text("/spec/controllerName")?, "parametersRef": parameters}});
    case.apply(&profile(&identification).to_string()).await?;
    case.apply(&class.to_string()).await?;
    let outcome = rejected(case, &profile(other).to_string(), &profile(&identification).to_string()).await;
    case.kubectl(&["delete", "gateway", "edge", "--ignore-not-found"]).await?;
    case.kubectl(&["delete", "gatewayclass", own]).await?;
    outcome
}

async fn rejected(case: &Case<'_>, broken: &str, mended: &str) -> Result<String> {
    let own = case.namespace.as_str();
    let objects = [patient_backend("shop", 1, PATIENT_SECONDS), gateway_of(own, "edge"), route("shop", "edge", &everything_to("shop"))];
    case.apply(&objects.concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let address = case.programmed("edge").await?;
    let url = format!("http://{address}/");
    case.curl_until(200, &[&url]).await?;
    let proxies = fleet::proxies();
    alike(case, &proxies).await?;
    let before = touched(&proxies).await?;
    let operator = Kept::new("operator")?;
    operator.stop(Signal::SIGTERM)?;
    case.apply(broken).await?;
    operator.start()?;
    operator_leads(case).await?;
    connected(case, &proxies).await?;
    case.until("the class is not accepted", async || {
        let class = case.get(&["gatewayclass", own]).await?;
        Ok((super::bench::condition(class.pointer("/status/conditions"), "Accepted").as_deref() == Some("False")).then_some(()))
    })
    .await?;
    for _ in 0..20 {
        let reply = case.curl(&[&url]).await?.context("no answer")?;
        ensure!(reply.status == 200, "answered {}", reply.status);
    }
    alike(case, &proxies).await?;
    case.apply(mended).await?;
    ensure!(case.programmed("edge").await? == address, "it has another address");
    case.curl_until(200, &[&url]).await?;
    let after = touched(&proxies).await?;
    ensure!(before == after, "listeners or clusters were told again: {before:?}, then {after:?}");
    Ok(String::new())
}

async fn connected(case: &Case<'_>, proxies: &[Proxy]) -> Result<()> {
    case.until("all proxies are connected again", async || {
        for proxy in proxies {
            ensure!(proxy.admin.total("^control_plane.connected_state$").await? == 1, "{} is not connected", proxy.name);
        }
        Ok(Some(()))
    })
    .await
}

/// How often each proxy took, changed and dropped listeners and clusters.
async fn touched(proxies: &[Proxy]) -> Result<Vec<std::collections::BTreeMap<String, u64>>> {
    let mut found = Vec::new();
    for proxy in proxies {
        found.push(proxy.admin.stats(r"(listener_manager\.listener|cluster_manager\.cluster)_(added|modified|removed)$").await?);
    }
    Ok(found)
}

/// A proxy that is connected to a replica which does not lead refuses an update: the Gateway says so, in Envoy's words, and what served goes on serving.
pub async fn shows_what_a_proxy_of_a_follower_refuses(case: &Case<'_>) -> Result<String> {
    let at = serving(case).await?;
    let operator = Kept::new("operator")?;
    let mut replica = Replica::start(case, &operator.program()?, FIRST_REPLICA).await?;
    let proxy = Proxy::beside(fleet::REPLICA);
    let process = start(case, &proxy).await?;
    alike(case, &[fleet::proxies(), vec![proxy.clone()]].concat()).await?;
    case.programmed("edge").await?;
    let outcome = refusal(case, &proxy, at).await;
    drop(process);
    replica.signal(Signal::SIGTERM)?;
    replica.ended().await?;
    let took = outcome?;
    // Without that proxy, nothing is refused any more.
    case.programmed("edge").await?;
    Ok(format!("shown {} after Envoy refused it", human(took)))
}

/// A Gateway moves to the class of a cloud, whose load balancers take their time: until its own serves, all proxies do, also those of a replica that does not lead; then none
/// has anything of it.
pub async fn is_left_only_once_the_gateway_is_served_elsewhere(case: &Case<'_>) -> Result<String> {
    let at = serving(case).await?;
    let operator = Kept::new("operator")?;
    let mut replica = Replica::start(case, &operator.program()?, FIRST_REPLICA).await?;
    let proxy = Proxy::beside(fleet::REPLICA);
    let process = start(case, &proxy).await?;
    let proxies = [fleet::proxies(), vec![proxy]].concat();
    alike(case, &proxies).await?;
    set_provisioning(case, SLOW_SECONDS).await?;
    let outcome = moved(case, &proxies, at).await;
    set_provisioning(case, 0).await?;
    drop(process);
    replica.signal(Signal::SIGTERM)?;
    replica.ended().await?;
    outcome
}

async fn moved(case: &Case<'_>, proxies: &[Proxy], at: SocketAddr) -> Result<String> {
    let patch = json!({"spec": {"gatewayClassName": crate::conformance::ALB}}).to_string();
    case.kubectl(&["patch", "gateway", "edge", "--type=merge", "--patch", &patch]).await?;
    let before = Cell::new(0);
    let host = case
        .until("the Gateway is served by a cloud's load balancer", async || {
            // What each proxy has is asked for before the Gateway's status: whoever has less by then gave it up too early.
            let mut listeners = Vec::new();
            for proxy in proxies {
                listeners.push(listener_count(proxy).await?);
            }
            let reply = case.curl(&[&format!("http://{at}/")]).await?;
            let gateway = case.get(&["gateway", "edge"]).await?;
            let programmed = super::bench::condition(gateway.pointer("/status/conditions"), "Programmed").as_deref() == Some("True");
            let address = gateway.pointer("/status/addresses/0").cloned().unwrap_or_default();
            if programmed && address["type"] == "Hostname" {
                return Ok(address["value"].as_str().map(str::to_owned));
            }
            before.set(before.get() + 1);
            // Not an error to be tried again: requests were lost.
            if reply.is_none_or(|reply| reply.status != 200) || listeners.contains(&0) {
                return Ok(Some(String::new()));
            }
            Ok(None)
        })
        .await?;
    ensure!(!host.is_empty(), "the proxies gave the Gateway up before its load balancer served it");
    ensure!(before.get() > 0, "the load balancer was there at once: nothing was seen");
    case.curl_until(200, &[&format!("http://{host}/")]).await?;
    case.until("no proxy has anything of the Gateway", async || {
        for proxy in proxies {
            ensure!(listener_count(proxy).await? == 0, "{} has a listener", proxy.name);
        }
        Ok(Some(()))
    })
    .await?;
    Ok(format!("{} looks before the load balancer served", before.get()))
}

/// How long a load balancer takes to be provisioned: longer than a replica that errs needs to give its proxies something to do.
const SLOW_SECONDS: u32 = 3;

async fn set_provisioning(case: &Case<'_>, seconds: u32) -> Result<()> {
    let settings = json!({"times": {"provisioning": seconds}}).to_string();
    let url = format!("{}/_cloud/settings", case.bench.cloud()?);
    let answer = crate::client::send(http::Method::PUT, &url, &[], &settings).await?;
    ensure!(answer.status.is_success(), "the cloud refuses {settings}: {}", answer.status);
    Ok(())
}

async fn listener_count(proxy: &Proxy) -> Result<usize> {
    Ok(proxy.admin.resources().await?.iter().filter(|resource| resource.starts_with("listener ")).count())
}

async fn refusal(case: &Case<'_>, proxy: &Proxy, at: SocketAddr) -> Result<Duration> {
    let objects = Objects::connect(&case.bench.session).await?;
    let refused_before = proxy.admin.refused().await?;
    // From now on this proxy refuses every regular expression; the others do not.
    proxy.admin.post("/runtime_modify?re2.max_program_size.error_level=1").await?;
    case.apply(&route("odd", "edge", &regular("/odd/[0-9]{3}"))).await?;
    let refused = async {
        while proxy.admin.refused().await? == refused_before {
            tokio::time::sleep(LOOK).await;
        }
        anyhow::Ok(Instant::now())
    };
    let shown = async {
        loop {
            let gateways = objects.list("Gateway").await?;
            let named = |it: &&Value| it.pointer("/metadata/namespace") == Some(&json!(case.namespace));
            let message = gateways.iter().find(named).and_then(failure);
            if message.is_some_and(|message| message.contains("program size")) {
                return anyhow::Ok(Instant::now());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let both = async { tokio::try_join!(refused, shown) };
    let (refused, shown) = tokio::time::timeout(super::bench::PATIENCE, both).await.context("the Gateway does not show the refusal")??;
    for _ in 0..20 {
        let reply = case.curl(&[&format!("http://{at}/")]).await?.context("no answer")?;
        ensure!(reply.status == 200, "what served is answered {}", reply.status);
    }
    // The route is mended while the proxy is as it is: everything is well again.
    case.kubectl(&["delete", "httproute", "odd"]).await?;
    case.programmed("edge").await?;
    Ok(shown.saturating_duration_since(refused))
}

/// Why a Gateway is not Programmed.
fn failure(gateway: &Value) -> Option<String> {
    let conditions = gateway.pointer("/status/conditions")?.as_array()?;
    let programmed =
        conditions.iter().find(|it| it.get("type") == Some(&json!("Programmed")) && it.get("status") == Some(&json!("False")))?;
    programmed.get("message")?.as_str().map(str::to_owned)
}

/// The rules of a route for a regular expression.
fn regular(expression: &str) -> String {
    format!(
        "  rules:\n  - matches:\n    - path: {{type: RegularExpression, value: \"{expression}\"}}\n    backendRefs: [{{name: shop, port: 8080}}]\n"
    )
}

/// Starts a further proxy; it ends with what is returned.
pub async fn start(case: &Case<'_>, proxy: &Proxy) -> Result<Child> {
    start_by(case, proxy, case.bench.session.fleet.as_ref().context("this lab has no fleet")?).await
}

/// Starts a further proxy by other programs than the lab's own proxies are started by.
pub async fn start_by(case: &Case<'_>, proxy: &Proxy, programs: &Programs) -> Result<Child> {
    let log = case.logs().join(format!("{}.log", proxy.name));
    let log = std::fs::File::options().create(true).append(true).open(&log).with_context(|| format!("cannot make {}", log.display()))?;
    let mut command = proxy.command(programs).await?;
    command.stdin(Stdio::null()).stdout(log.try_clone().context("cannot share the log")?).stderr(log).kill_on_drop(true);
    let child = command.spawn().context("cannot start a proxy")?;
    case.until("the proxy answers", async || Ok(proxy.admin.answers().await.then_some(()))).await?;
    Ok(child)
}

/// The proxies are replaced one by one under steady load, as in an upgrade: drained, stopped, started anew. No request fails.
pub async fn of_proxies_that_are_replaced_loses_no_request(case: &Case<'_>) -> Result<String> {
    let at = serving(case).await?;
    let load = Load { at, path: "/health".to_owned(), rate: RATE / 2, least: 0 };
    let proxies = fleet::proxies();
    let report = load
        .during(async {
            for (proxy, name) in proxies.iter().zip(["envoy-0", "envoy-1"]) {
                let process = Kept::new(name)?;
                let replaced = replace(case, proxy, &process).await;
                if replaced.is_err() {
                    // Those that come after it must not meet a proxy that drains.
                    process.kill()?;
                }
                replaced?;
                alike(case, &proxies).await?;
            }
            Ok(())
        })
        .await?;
    report.verdict()
}

/// Drains a proxy as docs/envoy.md says, stops it, and starts another one in its place.
async fn replace(case: &Case<'_>, proxy: &Proxy, process: &Kept) -> Result<()> {
    proxy.admin.post("/healthcheck/fail").await?;
    proxy.admin.post("/drain_listeners?graceful").await?;
    case.until(&format!("{} accepts no more clients", proxy.name), async || {
        let stopped = proxy.admin.total(r"^listener_manager\.listener_stopped$").await?;
        ensure!(stopped > 0, "its listeners are open");
        Ok(Some(()))
    })
    .await?;
    // What docs/envoy.md leaves five seconds for.
    case.until(&format!("{} has answered everybody", proxy.name), async || {
        let active = proxy.admin.stats(r"^http\.gateway.*\.downstream_rq_active$").await?;
        ensure!(!active.is_empty() && active.values().all(|requests| *requests == 0), "requests are under way: {active:?}");
        Ok(Some(()))
    })
    .await?;
    process.stop(Signal::SIGTERM)?;
    process.start()?;
    case.until(&format!("{} is live", proxy.name), async || {
        // Not the one that is ending.
        let young = proxy.admin.total(r"^listener_manager\.listener_stopped$").await? == 0;
        Ok((young && proxy.admin.is_live().await).then_some(()))
    })
    .await
}
