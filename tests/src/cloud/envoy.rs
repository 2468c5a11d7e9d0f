//! `lab cloud-bench`: small requests per CPU-second of the embedded cloud's data plane, beside Envoy, which serves the same routes to the same backends in
//! the same run. A load test through the cloud measures the operator only as long as the cloud itself costs little.

mod load;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::{assets, client, logs};
use load::Backend;

/// The share of Envoy's requests per CPU-second that the cloud must reach.
const PROMISE: f64 = 0.8;
/// How long anything may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// Hosts and paths; each pair is a route.
const HOSTS: usize = 4;
const PATHS: usize = 5;

/// Arguments of `lab cloud-bench`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Requests of each measurement.
    #[arg(long, default_value_t = 50_000)]
    requests: usize,
    /// Measurements of each, by turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Connections of clients.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Requests of a client on a connection before it waits for answers.
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
}

/// A proxy that is measured: its process, and where it listens.
struct Proxy {
    name: &'static str,
    process: Child,
    at: SocketAddr,
}

impl Proxy {
    /// CPU-seconds that the process has used, all of its threads.
    fn cpu(&self) -> Result<f64> {
        let pid = self.process.id().context("it has ended")?;
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("its times")?;
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).context("its times cannot be read");
        // User and system time, in hundredths of a second (USER_HZ).
        Ok((ticks(11)? + ticks(12)?) / 100.0)
    }
}

/// Measures; the exit code is 1 if the cloud does not reach its share.
pub fn run(options: &Options) -> Result<u8> {
    let cloud = assets::measured_cloud()?;
    let envoy = assets::envoy()?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(measure(options, &cloud, &envoy))
}

async fn measure(options: &Options, cloud: &Path, envoy: &Path) -> Result<u8> {
    let folder = logs::create("cloud-bench")?;
    let backends = [Backend::start().await?, Backend::start().await?];
    let ports = backends.each_ref().map(|backend| backend.port);
    let proxies = [start_cloud(cloud, ports, &folder).await?, start_envoy(envoy, ports, &folder).await?];
    let requests = load::requests(HOSTS, PATHS);
    anstream::println!(
        "{} routes, {} connections, {} requests a round. Requests per CPU-second:\n",
        HOSTS * PATHS,
        options.connections,
        options.requests
    );
    anstream::println!("  {:8}{:>10}{:>10}{:>14}", "round", "portico", "envoy", "of Envoy's");
    let line = |name: &str, mine: f64, other: f64| anstream::println!("  {name:8}{mine:>10.0}{other:>10.0}{:>14.2}", mine / other);
    let mut figures: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for round in 0..=options.rounds {
        let mut pair = [0.0; 2];
        for (proxy, figure) in proxies.iter().zip(&mut pair) {
            let before = proxy.cpu()?;
            load::run(proxy.at, &requests, options.requests, options.connections, options.pipeline)
                .await
                .with_context(|| format!("requests to {}", proxy.name))?;
            *figure = options.requests as f64 / (proxy.cpu()? - before);
        }
        // The first round warms up.
        if round > 0 {
            figures.iter_mut().zip(pair).for_each(|(figures, figure)| figures.push(figure));
            line(&round.to_string(), pair[0], pair[1]);
        }
    }
    let [mine, other] = figures.map(median);
    let served: usize = backends.iter().map(Backend::served).sum();
    ensure!(served >= options.requests * (options.rounds + 1) * 2, "the backends saw {served} requests only");
    line("median", mine, other);
    let well = mine >= PROMISE * other;
    anstream::println!("\n{} {PROMISE} of Envoy's are promised", if well { "✓" } else { "✗" });
    Ok(u8::from(!well))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// A free port of an address.
async fn free(address: &str) -> Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind((address, 0)).await.context("cannot bind")?;
    listener.local_addr().context("no address")
}

fn spawn(program: &Path, arguments: &[&str], log: &Path) -> Result<Child> {
    let file = std::fs::File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
    let errors = file.try_clone().context("cannot share the log")?;
    let mut command = Command::new(program);
    command.args(arguments).stdout(file).stderr(errors).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot run {}", program.display()))
}

/// Waits until all routes answer.
async fn ready(name: &'static str, process: Child, at: SocketAddr) -> Result<Proxy> {
    let requests = load::requests(HOSTS, PATHS);
    let mut problem = None;
    let answered = async {
        while let Err(error) = load::run(at, &requests, requests.len(), 1, 1).await {
            problem = Some(error);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, answered).await.is_err() {
        let problem = problem.map_or_else(|| "no answer".to_owned(), |error| format!("{error:#}"));
        bail!("{name} does not answer all routes at {at} within {PATIENCE:?}: {problem}");
    }
    Ok(Proxy { name, process, at })
}

/// The embedded cloud with one load balancer.
async fn start_cloud(program: &Path, ports: [u16; 2], folder: &Path) -> Result<Proxy> {
    let listen = free("127.0.0.1").await?.to_string();
    // Health is checked as often as it is with Envoy: hardly.
    let settings = r#"{"times": {"health_check_scale": 1}}"#;
    let process = spawn(program, &[&listen, settings], &folder.join("cloud.log"))?;
    let api = Api { url: format!("http://{listen}") };
    let up = async {
        while client::get(&format!("{}/_cloud/health", api.url)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, up).await.context("the cloud does not start")?;
    let state = client::get(&format!("{}/_cloud/state", api.url)).await?.json()?;
    let members = |kind: &str| state.get(kind).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let public: Vec<String> =
        members("subnets").iter().filter(|subnet| subnet.get("public") == Some(&json!(true))).map(|subnet| text(subnet, "id")).collect();
    let vpc = members("vpcs").first().map(|vpc| text(vpc, "id")).unwrap_or_default();
    for group in members("security_groups") {
        let open = format!("GroupId={}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0", text(&group, "id"));
        api.ec2("AuthorizeSecurityGroupIngress", &open).await?;
    }
    // In every zone, the backends' too.
    let subnets: Vec<String> = public.iter().zip(1..).map(|(id, number)| format!("Subnets.member.{number}={id}")).collect();
    let balancer = api.elb("CreateLoadBalancer", &format!("Name=bench&{}", subnets.join("&")), "LoadBalancerArn").await?;
    let listener = format!(
        "LoadBalancerArn={balancer}&Protocol=HTTP&Port=18080&DefaultActions.member.1.Type=fixed-response\
         &DefaultActions.member.1.FixedResponseConfig.StatusCode=404"
    );
    let listener = api.elb("CreateListener", &listener, "ListenerArn").await?;
    let mut groups = Vec::new();
    for (number, port) in ports.into_iter().enumerate() {
        let group = format!("Name=bench-{number}&Protocol=HTTP&Port={port}&VpcId={vpc}&TargetType=ip");
        let group = api.elb("CreateTargetGroup", &group, "TargetGroupArn").await?;
        api.elb("RegisterTargets", &format!("TargetGroupArn={group}&Targets.member.1.Id=127.0.0.1"), "RequestId").await?;
        groups.push(group);
    }
    for (number, (host, path)) in load::routes(HOSTS, PATHS).enumerate() {
        let rule = format!(
            "ListenerArn={listener}&Priority={}&Conditions.member.1.Field=host-header&Conditions.member.1.HostHeaderConfig.Values.member.1={host}\
             &Conditions.member.2.Field=path-pattern&Conditions.member.2.PathPatternConfig.Values.member.1={path}*\
             &Actions.member.1.Type=forward&Actions.member.1.TargetGroupArn={}",
            number + 1,
            groups.get(number % groups.len()).map(String::as_str).unwrap_or_default()
        );
        api.elb("CreateRule", &rule, "RuleArn").await?;
    }
    let listeners = client::get(&format!("{}/_cloud/listeners", api.url)).await?.json()?;
    let at = (|| {
        let row = listeners.get(0)?;
        let port = u16::try_from(row.get("bound")?.as_u64()?).ok()?;
        Some(SocketAddr::new(row.get("address")?.as_str()?.parse().ok()?, port))
    })();
    ready("portico", process, at.with_context(|| format!("the listener is not bound: {listeners}"))?).await
}

/// A client of the cloud's API.
struct Api {
    url: String,
}

impl Api {
    async fn elb(&self, action: &str, parameters: &str, member: &str) -> Result<String> {
        let answer = self.call("elasticloadbalancing", "2015-12-01", action, parameters).await?;
        let text = answer.split_once(&format!("<{member}>")).and_then(|(_, rest)| rest.split('<').next());
        Ok(text.with_context(|| format!("{action} answers without {member}: {answer}"))?.to_owned())
    }

    async fn ec2(&self, action: &str, parameters: &str) -> Result<String> {
        self.call("ec2", "2016-11-15", action, parameters).await
    }

    async fn call(&self, service: &str, version: &str, action: &str, parameters: &str) -> Result<String> {
        let scope = format!("AWS4-HMAC-SHA256 Credential=lab/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0");
        let headers = [("authorization", scope.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let answer = client::send(Method::POST, &self.url, &headers, &format!("Action={action}&Version={version}&{parameters}")).await?;
        ensure!(answer.status.is_success(), "{action}: {}", answer.text());
        Ok(answer.text())
    }
}

/// Envoy with the same routes, and nothing more than it needs.
async fn start_envoy(program: &Path, ports: [u16; 2], folder: &Path) -> Result<Proxy> {
    let at = free("127.0.0.1").await?;
    let config = folder.join("envoy.json");
    std::fs::write(&config, envoy_config(at, ports).to_string()).context("cannot write Envoy's configuration")?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string();
    let path = config.display().to_string();
    let arguments = ["-c", path.as_str(), "--concurrency", &threads, "--log-level", "warning", "--use-dynamic-base-id"];
    ready("envoy", spawn(program, &arguments, &folder.join("envoy.log"))?, at).await
}

fn envoy_config(at: SocketAddr, ports: [u16; 2]) -> Value {
    let address = |address: &str, port: u16| json!({ "socket_address": { "address": address, "port_value": port } });
    let mut hosts: Vec<(String, Vec<Value>)> = Vec::new();
    for (number, (host, path)) in load::routes(HOSTS, PATHS).enumerate() {
        let route = json!({ "match": { "prefix": path }, "route": { "cluster": format!("backend-{}", number % ports.len()) } });
        match hosts.iter_mut().find(|(known, _)| *known == host) {
            Some((_, routes)) => routes.push(route),
            None => hosts.push((host, vec![route])),
        }
    }
    let hosts: Vec<Value> = hosts.into_iter().map(|(host, routes)| json!({ "name": host, "domains": [host], "routes": routes })).collect();
    let clusters = ports.iter().enumerate().map(|(number, port)| {
        let name = format!("backend-{number}");
        json!({
            "name": name, "type": "STATIC", "connect_timeout": "5s",
            "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address("127.0.0.1", *port) } }] }] },
        })
    });
    json!({ "static_resources": {
        "listeners": [{
            "name": "bench", "address": address(&at.ip().to_string(), at.port()),
            "filter_chains": [{ "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "bench", "use_remote_address": true,
                "route_config": { "name": "bench", "virtual_hosts": hosts },
                "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }],
            } }] }],
        }],
        "clusters": clusters.collect::<Vec<_>>(),
    } })
}
