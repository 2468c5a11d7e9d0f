//! `portico demo`: a folder of manifests, served from the embedded cloud in this process.
//!
//! The pipeline is that of `run`; only the source of the objects (files) and the place where statuses go (memory) differ.

pub mod backends;
mod progress;
pub mod requests;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use portico_aws_api::{Aws, AwsOptions};
use portico_cloud::{Cloud, CloudConfig};
use portico_crds::Kind;
use portico_envoy_xds::Envoy;
use portico_providers::{ClusterId, Plan, Provider, TargetState, UnitId};
use portico_translate::translate;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::DemoArguments;
use crate::clouds::Clouds;
use crate::cluster::MemoryCluster;
use crate::keeper::{Keeper, SharedWorld};
use crate::lease::Holder;
use crate::manifests::Manifests;
use crate::metrics::Metrics;
use crate::operator::{Limits, Operator, OperatorParts};
use crate::output::{DELETE, DIM, HEADING, count, line, print, styled};
use crate::secrets::ClusterSecrets;
use crate::watch::Sighting;
use backends::Backends;
use progress::ProgressWitness;
use requests::{Answer, ExampleRequest, examples};

/// The bundled example.
const EXAMPLE: [(&str, &str); 3] = [
    ("demo/10-platform.yaml", include_str!("../demo/10-platform.yaml")),
    ("demo/20-team-shop.yaml", include_str!("../demo/20-team-shop.yaml")),
    ("demo/30-team-news.yaml", include_str!("../demo/30-team-news.yaml")),
];

/// How long the cloud may take to make everything and to find the backends healthy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the command. Returns whether everything was as the routes say.
pub async fn run(arguments: DemoArguments) -> anyhow::Result<bool> {
    let stop = crate::shutdown::on_signal()?;
    let manifests = match &arguments.dir {
        Some(dir) => Manifests::load(std::slice::from_ref(dir))?,
        None => Manifests::parse(EXAMPLE)?,
    };
    let (tasks, tracker) = (CancellationToken::new(), TaskTracker::new());
    let config = CloudConfig { addresses: crate::cloud::pool(&arguments.addresses)?, ..CloudConfig::default() };
    let region = config.region.clone();
    let cloud = Cloud::start(config).await.context("the embedded cloud cannot start")?;
    let result = async {
        let provider = Arc::new(Clouds::new(Aws::connect(options(&cloud, region)).await, Envoy::new()));
        let source = arguments.dir.as_ref().map_or_else(|| "the bundled example".to_owned(), |dir| dir.display().to_string());
        line(format_args!("{} {}, {}", styled(HEADING, "Serving"), source, count(manifests.all.len(), "object")))?;
        line(format_args!("An embedded cloud answers at {}; nothing leaves this machine.", cloud.endpoint()))?;
        let backends = backends::start(&manifests.all, &tracker, &tasks).await?;
        introduce(&backends)?;
        let demo = Demo::new(&manifests, &backends, provider);
        demo.show(&manifests, &cloud, &tracker, &tasks, arguments.once, &stop).await
    };
    let result = tokio::select! {
        result = result => result,
        () = interrupted(&stop, arguments.once) => Ok(false),
    };
    tasks.cancel();
    tracker.close();
    let _ = tokio::time::timeout(Duration::from_secs(5), tracker.wait()).await;
    cloud.shutdown().await;
    result
}

/// While it serves, the demo itself watches for Ctrl-C; before that, and with `--once`, Ctrl-C breaks it off.
async fn interrupted(stop: &CancellationToken, once: bool) {
    stop.cancelled().await;
    if !once {
        // The demo ends by itself where it serves; elsewhere this moment ends it.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn options(cloud: &Cloud, region: String) -> AwsOptions {
    AwsOptions { region: Some(region), endpoint: Some(cloud.endpoint()), vpc: None, emulated: true }
}

/// Says which backends stand in for the Deployments.
fn introduce(backends: &Backends) -> anyhow::Result<()> {
    if !backends.servers.is_empty() {
        line("")?;
        line(format_args!("{} (small HTTP servers of the demo stand in for the Deployments)", styled(HEADING, "Backends")))?;
    }
    for server in &backends.servers {
        let stand_in =
            if server.port == server.wanted_port { String::new() } else { format!(", standing in for port {}", server.wanted_port) };
        let replica = &server.replica;
        line(format_args!("  {}/{}  {}:{}{stand_in}", replica.namespace, replica.pod, server.address, server.port))?;
    }
    for service in &backends.without_deployment {
        line(format_args!("  {} Service {service} selects no Deployment of these files: it has no endpoints", styled(DELETE, "!")))?;
    }
    line("")
}

/// The demo's operator and what it works on.
struct Demo<P> {
    operator: Operator<P>,
    cluster: Arc<MemoryCluster>,
    sightings: Option<mpsc::UnboundedReceiver<Sighting>>,
    world: SharedWorld,
    cluster_id: ClusterId,
}

impl Demo<Clouds> {
    fn new(manifests: &Manifests, backends: &Backends, provider: Arc<Clouds>) -> Self {
        let (out, sightings) = mpsc::unbounded_channel();
        let cluster = Arc::new(MemoryCluster::new(out));
        for (kind, object) in &manifests.objects {
            cluster.apply(*kind, object.clone());
        }
        for slice in &backends.slices {
            cluster.apply(Kind::EndpointSlice, slice.clone());
        }
        provider.read_keys_from(&Arc::new(ClusterSecrets::new(cluster.clone())));
        let (world, cluster_id) = (SharedWorld::default(), ClusterId("demo".to_owned()));
        let operator = Operator::new(OperatorParts {
            provider,
            cluster_id: cluster_id.clone(),
            world: world.clone(),
            cluster: cluster.clone(),
            leadership: Arc::new(Holder::unrivalled()),
            metrics: Arc::new(Metrics::default()),
            witness: Arc::new(ProgressWitness),
        });
        Self { operator, cluster, sightings: Some(sightings), world, cluster_id }
    }

    async fn show(
        mut self,
        manifests: &Manifests,
        cloud: &Cloud,
        tracker: &TaskTracker,
        tasks: &CancellationToken,
        once: bool,
        stop: &CancellationToken,
    ) -> anyhow::Result<bool> {
        let Some(mut sightings) = self.sightings.take() else { bail!("the demo can be shown once") };
        let mut keeper = Keeper::new(self.world.clone(), BTreeSet::new());
        keeper.take(std::iter::from_fn(|| sightings.try_recv().ok()));

        line(styled(HEADING, "Plan"))?;
        line("")?;
        let provider = self.operator.engine().provider();
        let problems = crate::plan::Objects::of_files(manifests.clone()).problems(&self.world);
        let units = self.operator.units();
        let document = crate::plan::make(&self.world, &self.cluster_id, units, problems, Some(provider)).await;
        print(&document.text(crate::output::width()))?;
        line("")?;

        line(styled(HEADING, "Applying"))?;
        let begun = Instant::now();
        self.start(keeper, sightings, tracker, tasks);
        if !self.operator.settle(PATIENCE).await {
            bail!("the load balancers were not done after {} s", PATIENCE.as_secs());
        }
        let healthy = self.wait_for_health().await?;
        line(format_args!("Done in {:.1} s.", begun.elapsed().as_secs_f64()))?;
        line("")?;

        let asked = self.requests(cloud)?;
        let good = self.report(&asked, healthy).await?;
        if once {
            return Ok(good && document.summary.errors == 0);
        }
        line(styled(DIM, "Serving until Ctrl-C; nothing is left behind then."))?;
        stop.cancelled().await;
        line("Stopped: backends, load balancers and cloud are gone.")?;
        Ok(true)
    }

    /// Lets the operator work, with the memory cluster's changes as its events.
    fn start(&self, keeper: Keeper, mut sightings: mpsc::UnboundedReceiver<Sighting>, tracker: &TaskTracker, tasks: &CancellationToken) {
        let (out, events) = mpsc::channel(64);
        let stop = tasks.clone();
        tracker.spawn(async move {
            while let Some(sighting) = tokio::select! { () = stop.cancelled() => None, next = sightings.recv() => next } {
                if out.send(sighting).await.is_err() {
                    return;
                }
            }
        });
        let concerned = self.operator.clone();
        tracker.spawn(keeper.run(events, tasks.clone(), move |impact| concerned.concern(impact)));
        self.operator.engine().expect_all();
        self.operator.concern_everything();
        let (operator, stop) = (self.operator.clone(), tasks.clone());
        tracker.spawn(async move { operator.run(Limits::default(), stop).await });
    }

    /// Waits until every registered target is healthy. Returns the target sets that are not, in words.
    async fn wait_for_health(&self) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut unhealthy = Vec::new();
            for sink in self.operator.targets().sinks() {
                let health =
                    self.operator.engine().provider().target_health(&sink).await.context("the health of targets cannot be read")?;
                for target in health
                    .iter()
                    .filter(|target| !matches!(target.state, TargetState::Healthy | TargetState::Draining | TargetState::Unused))
                {
                    unhealthy.push(format!(
                        "{}:{} in {sink}: {}",
                        target.address,
                        target.port,
                        target.reason.as_deref().unwrap_or("not healthy yet")
                    ));
                }
            }
            if unhealthy.is_empty() || Instant::now() > deadline {
                return Ok(unhealthy);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The Gateways with their addresses, and a request for each of their rules.
    fn requests(&self, cloud: &Cloud) -> anyhow::Result<Vec<Shown>> {
        let world = self.world.read();
        let mut shown = Vec::new();
        for unit in world.units() {
            let plan = translate(&world, &unit).and_then(|translation| translation.plan);
            let status = unit.gateway().and_then(|gateway| self.cluster.read(Kind::Gateway, gateway)).unwrap_or_default();
            let name = status.pointer("/status/addresses/0/value").and_then(Value::as_str).map(str::to_owned);
            let place = name.as_deref().and_then(|name| cloud.load_balancer(name));
            let requests = plan.iter().flat_map(examples).map(|request| {
                let bound = place.as_ref().and_then(|place| match place.ports.get(&request.port)? {
                    Ok(port) => Some(SocketAddr::new(place.address, *port)),
                    Err(_) => None,
                });
                (request, bound)
            });
            let ports = place.iter().flat_map(|place| place.ports.clone()).collect();
            let address = place.as_ref().map(|place| place.address);
            shown.push(Shown { name, address, ports, programmed: programmed(&status), requests: requests.collect(), plan, unit });
        }
        Ok(shown)
    }

    /// Prints what is served; makes every request once and says what answered.
    async fn report(&self, shown: &[Shown], unhealthy: Vec<String>) -> anyhow::Result<bool> {
        let mut good = unhealthy.is_empty();
        line(styled(HEADING, "Addresses"))?;
        for gateway in shown {
            gateway.introduce()?;
            good &= gateway.programmed.is_ok();
        }
        for target in unhealthy {
            line(format_args!("  {} {target}", styled(DELETE, "!")))?;
        }
        line("")?;
        line(format_args!("{} (each was just made; this is what answered)", styled(HEADING, "Try")))?;
        for (request, address) in shown.iter().flat_map(|gateway| &gateway.requests) {
            line("")?;
            line(format_args!("{}", styled(DIM, format_args!("# {}", request.rule))))?;
            let Some(address) = address else {
                good = false;
                line(format_args!("# port {} is not bound, so that nothing can be asked", request.port))?;
                continue;
            };
            line(request.curl(*address))?;
            let answer = request.send(*address).await;
            good &= answer.as_ref().is_ok_and(|answer| self.is_right(shown, request, answer));
            line(format_args!("{}", styled(DIM, format_args!("# {}", words(&answer)))))?;
        }
        line("")?;
        Ok(good)
    }

    /// Whether an answer is what the route says: one of its rule's backends where it has some that are valid, an error or a redirect otherwise.
    fn is_right(&self, shown: &[Shown], request: &ExampleRequest, answer: &Answer) -> bool {
        let rules = shown.iter().filter_map(|gateway| gateway.plan.as_ref()).flat_map(Plan::rules).map(|(_, _, rule)| rule);
        let rule = rules.into_iter().find(|rule| rule.id == request.rule);
        let services = rule
            .is_some_and(|rule| rule.backends.iter().any(|b| b.weight > 0 && matches!(b.backend, portico_providers::Backend::Service(_))));
        if services { answer.status == 200 && answer.backend.is_some() } else { answer.status >= 300 }
    }
}

/// A Gateway and what can be asked of it.
struct Shown {
    unit: UnitId,
    plan: Option<Plan>,
    name: Option<String>,
    address: Option<std::net::IpAddr>,
    ports: std::collections::BTreeMap<u16, Result<u16, String>>,
    programmed: Result<(), String>,
    requests: Vec<(ExampleRequest, Option<SocketAddr>)>,
}

impl Shown {
    fn introduce(&self) -> anyhow::Result<()> {
        let name = self.name.as_deref().unwrap_or("no address");
        match &self.programmed {
            Ok(()) => line(format_args!("  {}  {name}", self.unit))?,
            Err(why) => line(format_args!("  {}  {}", self.unit, styled(DELETE, why)))?,
        }
        let Some(address) = self.address else { return Ok(()) };
        for (port, bound) in &self.ports {
            match bound {
                Ok(bound) if bound == port => line(format_args!("    port {port} at http://{address}:{port}"))?,
                Ok(bound) => {
                    line(format_args!("    port {port} at http://{address}:{bound} (port {bound} stands in: {port} cannot be bound here)"))?
                }
                Err(why) => line(format_args!("    {} port {port}: {why}", styled(DELETE, "!")))?,
            }
        }
        Ok(())
    }
}

/// Whether a Gateway's status says Programmed, or what it says instead.
fn programmed(gateway: &Value) -> Result<(), String> {
    let conditions = gateway.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|condition| condition.get("type").and_then(Value::as_str) == Some("Programmed"));
    let text = |field: &str| found.and_then(|condition| condition.get(field)).and_then(Value::as_str).unwrap_or_default();
    if text("status") == "True" { Ok(()) } else { Err(format!("not programmed: {}: {}", text("reason"), text("message"))) }
}

fn words(answer: &anyhow::Result<Answer>) -> String {
    match answer {
        Err(error) => format!("no answer: {}", crate::output::explain(error)),
        Ok(Answer { status, backend: Some((namespace, pod)), seen_path }) => {
            let path = seen_path.as_deref().unwrap_or("/");
            format!("{status} from {namespace}/{pod}, which saw {path}")
        }
        Ok(Answer { status, .. }) => format!("{status} from the load balancer itself"),
    }
}
