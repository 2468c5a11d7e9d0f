//! `portico demo`: a folder of manifests, served on this machine: by the embedded cloud in this process, and by real Envoy proxies, which are its children.
//!
//! The pipeline is that of `run`; only the source of the objects (files) and the place where statuses go (memory) differ.

pub mod backends;
mod block;
mod program;
mod progress;
mod proxies;
mod report;
pub mod requests;
mod stage;
pub mod tied;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use portico_aws_api::{Aws, AwsOptions};
use portico_cloud::{Cloud, CloudConfig};
use portico_crds::Kind;
use portico_crds::v1alpha1::EffectiveProfile;
use portico_envoy::observed::ResourceKind;
use portico_envoy_xds::Envoy;
use portico_providers::{ClusterId, Plan, Provider, TargetState, UnitId};
use portico_translate::translate;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::{DemoArguments, DemoClass};
use crate::clouds::{Clouds, Stack};
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
use proxies::Proxies;
use report::Shown;

/// What the bundled example's class stands for, on AWS and on an Envoy fleet.
const AWS_CLASS: (&str, &str) = ("demo/aws/00-class.yaml", include_str!("../demo/aws/00-class.yaml"));
const ENVOY_CLASS: (&str, &str) = ("demo/envoy/00-class.yaml", include_str!("../demo/envoy/00-class.yaml"));
/// The rest of it, which is the same.
const TEAMS: [(&str, &str); 3] = [
    ("demo/teams/10-platform.yaml", include_str!("../demo/teams/10-platform.yaml")),
    ("demo/teams/20-team-shop.yaml", include_str!("../demo/teams/20-team-shop.yaml")),
    ("demo/teams/30-team-news.yaml", include_str!("../demo/teams/30-team-news.yaml")),
];

/// How long everything may take until it is made, acknowledged and found healthy.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a demo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// With `--once`: everything was as the routes say.
    Good,
    /// With `--once`: something was not.
    Wrong,
    /// It served until it was told to stop.
    Stopped,
    /// It was told to stop before it served.
    BrokenOff,
}

/// Runs the command. Returns whether everything was as the routes say.
pub async fn run(arguments: DemoArguments) -> anyhow::Result<bool> {
    let stop = crate::shutdown::on_signal()?;
    let pool = crate::cloud::pool(&arguments.addresses)?;
    let mut manifests = manifests(&arguments)?;
    let mut proxies =
        if stage::has_fleets(&manifests) { Some(Proxies::prepare(arguments.envoy.as_deref(), pool, &mut manifests).await?) } else { None };
    let config = CloudConfig { addresses: pool, ..CloudConfig::default() };
    let region = config.region.clone();
    let cloud = if proxies.is_none() || stage::has_others(&manifests) {
        Some(Cloud::start(config).await.context("the embedded cloud cannot start")?)
    } else {
        None
    };
    let (tasks, tracker) = (CancellationToken::new(), TaskTracker::new());
    let served = async {
        let aws = AwsOptions { region: Some(region), endpoint: cloud.as_ref().map(Cloud::endpoint), vpc: None, emulated: true };
        let provider = Arc::new(Clouds::new(Aws::connect(aws).await, Envoy::new()));
        let source = arguments.dir.as_ref().map_or_else(|| "the bundled example".to_owned(), |dir| dir.display().to_string());
        line(format_args!("{} {}, {}", styled(HEADING, "Serving"), source, count(manifests.all.len(), "object")))?;
        if let Some(cloud) = &cloud {
            line(format_args!("An embedded cloud answers at {}; nothing leaves this machine.", cloud.endpoint()))?;
        }
        if let Some(proxies) = &proxies {
            proxies.introduce()?;
        }
        let backends = backends::start(&manifests.all, &tracker, &tasks).await?;
        introduce(&backends)?;
        let demo = Demo::new(&manifests, &backends, provider);
        demo.show(&manifests, cloud.as_ref(), proxies.as_mut(), &tracker, &tasks, arguments.once, &stop).await
    };
    let ending = tokio::select! {
        ending = served => ending,
        () = interrupted(&stop, arguments.once) => Ok(Ending::BrokenOff),
    };
    let logs = match proxies {
        Some(proxies) => proxies.stop(matches!(ending, Err(_) | Ok(Ending::Wrong))).await,
        None => None,
    };
    tasks.cancel();
    tracker.close();
    let _ = tokio::time::timeout(Duration::from_secs(5), tracker.wait()).await;
    if let Some(cloud) = cloud {
        cloud.shutdown().await;
    }
    if let Some(logs) = logs {
        anstream::eprintln!("Envoy's configuration and log are in {}", logs.display());
    }
    if let Ok(Ending::Stopped) = ending {
        line("Stopped: backends and load balancers are gone.")?;
    }
    ending.map(|ending| matches!(ending, Ending::Good | Ending::Stopped))
}

/// The manifests that are served.
fn manifests(arguments: &DemoArguments) -> anyhow::Result<Manifests> {
    let class = match (&arguments.dir, arguments.class) {
        (Some(dir), _) => return Manifests::load(std::slice::from_ref(dir)),
        (None, DemoClass::Aws) => AWS_CLASS,
        (None, DemoClass::Envoy) => ENVOY_CLASS,
    };
    Manifests::parse(std::iter::once(class).chain(TEAMS))
}

/// While it serves, the demo itself watches for Ctrl-C; before that, and with `--once`, Ctrl-C breaks it off.
async fn interrupted(stop: &CancellationToken, once: bool) {
    stop.cancelled().await;
    if !once {
        // The demo ends by itself where it serves; elsewhere this moment ends it.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
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
struct Demo {
    operator: Operator<Clouds>,
    cluster: Arc<MemoryCluster>,
    sightings: Option<mpsc::UnboundedReceiver<Sighting>>,
    world: SharedWorld,
    cluster_id: ClusterId,
}

impl Demo {
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

    #[expect(clippy::too_many_arguments, reason = "all that a demo is made of")]
    async fn show(
        mut self,
        manifests: &Manifests,
        cloud: Option<&Cloud>,
        mut proxies: Option<&mut Proxies>,
        tracker: &TaskTracker,
        tasks: &CancellationToken,
        once: bool,
        stop: &CancellationToken,
    ) -> anyhow::Result<Ending> {
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
        if let Some(proxies) = &mut proxies {
            proxies.start(self.fleets(), provider.envoy(), tracker, tasks)?;
        }
        let unhealthy = tokio::select! {
            made = self.wait() => made?,
            ended = ended(&mut proxies) => return Err(ended),
        };
        line(format_args!("Done in {:.1} s.", begun.elapsed().as_secs_f64()))?;
        line("")?;

        if let Some(proxies) = &proxies {
            proxies.show()?;
            self.acknowledged()?;
            line("")?;
        }
        let shown: Vec<Shown> = self
            .plans()
            .map(|(unit, plan)| {
                let gateway = self.gateway(&unit);
                Shown::new(unit, plan, &gateway, cloud, proxies.as_deref())
            })
            .collect();
        let good = report::report(&shown, unhealthy).await?;
        if once {
            return Ok(if good && document.summary.errors == 0 { Ending::Good } else { Ending::Wrong });
        }
        line(styled(DIM, "Serving until Ctrl-C; nothing is left behind then."))?;
        tokio::select! {
            () = stop.cancelled() => Ok(Ending::Stopped),
            ended = ended(&mut proxies) => Err(ended),
        }
    }

    /// The plans of all Gateways, as they are now.
    fn plans(&self) -> impl Iterator<Item = (UnitId, Option<Plan>)> + use<> {
        let world = self.world.read();
        let plan = |unit: UnitId| {
            let plan = translate(&world, &unit).and_then(|translation| translation.plan);
            (unit, plan)
        };
        world.units().map(plan).collect::<Vec<_>>().into_iter()
    }

    /// A Gateway's object, with its status.
    fn gateway(&self, unit: &UnitId) -> Value {
        unit.gateway().and_then(|gateway| self.cluster.read(Kind::Gateway, gateway)).unwrap_or_default()
    }

    /// The fleets that serve.
    fn fleets(&self) -> BTreeSet<String> {
        let fleet = |plan: Plan| match plan.profile {
            EffectiveProfile::Envoy(settings) => Some(settings.fleet),
            EffectiveProfile::Aws(_) => None,
        };
        self.plans().filter_map(|(_, plan)| fleet(plan?)).collect()
    }

    /// Waits until everything is made, acknowledged and healthy. Returns the targets that are not, in words.
    async fn wait(&self) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        if !self.operator.settle(PATIENCE).await {
            bail!("the load balancers were not done after {} s", PATIENCE.as_secs());
        }
        let is_pending = |(unit, plan): (UnitId, Option<Plan>)| plan.is_some() && report::is_pending(&self.gateway(&unit));
        while self.plans().any(is_pending) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.wait_for_health().await
    }

    /// Says what proxies acknowledged.
    fn acknowledged(&self) -> anyhow::Result<()> {
        let provider = self.operator.engine().provider();
        for (unit, plan) in self.plans() {
            let Some(Stack::Envoy(stack)) = plan.map(|plan| provider.compile(&self.cluster_id, &plan).stack) else { continue };
            let progress = provider.envoy().progress(&stack.fleet, &unit);
            let mut counts: BTreeMap<ResourceKind, usize> = BTreeMap::new();
            for key in stack.versions().into_keys() {
                *counts.entry(key.kind).or_default() += 1;
            }
            let words = |(kind, number): (&ResourceKind, &usize)| match kind {
                ResourceKind::Cluster => format!("{} with endpoints", count(*number, "cluster")),
                ResourceKind::RouteConfiguration => count(*number, "route configuration"),
                ResourceKind::VirtualHost => count(*number, "virtual host"),
                kind => count(*number, kind.word()),
            };
            let what = counts.iter().map(words).collect::<Vec<_>>().join(", ");
            let who = if progress.acknowledged > 0 && progress.waiting == 0 && progress.refusals.is_empty() {
                "acknowledged"
            } else {
                "not acknowledged"
            };
            line(format_args!("    {unit}: {who}: {what}"))?;
            for refusal in progress.refusals {
                line(format_args!("      {} {refusal}", styled(DELETE, "!")))?;
            }
        }
        Ok(())
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
                for target in health.iter().filter(|target| {
                    !matches!(target.state, TargetState::Healthy | TargetState::Draining | TargetState::Unused | TargetState::Unavailable)
                }) {
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
}

/// Comes back when a proxy ends by itself.
async fn ended(proxies: &mut Option<&mut Proxies>) -> anyhow::Error {
    match proxies {
        Some(proxies) => proxies.ended().await,
        None => std::future::pending().await,
    }
}
