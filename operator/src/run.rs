//! `portico run`: the operator against a cluster.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use kube_client::{Api, Client};
use portico_aws_api::Aws;
use portico_crds::Kind;
use portico_crds::kubernetes::Namespace;
use portico_envoy_xds::Envoy;
use portico_providers::{ClusterId, Leadership, Provider};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::cli::RunArguments;
use crate::clouds::Clouds;
use crate::cluster::KubeCluster;
use crate::events::{EventWitness, Recorder};
use crate::fleet;
use crate::fleet::replicas::Replicas;
use crate::fleet::tokens::ClusterTokens;
use crate::health::Health;
use crate::keeper::{Keeper, SharedWorld};
use crate::lease::{Elector, Holder, LeaseTimes};
use crate::metrics::Metrics;
use crate::operator::{Limits, Operator, OperatorParts};
use crate::secrets::ClusterSecrets;
use crate::watch::{Discovery, Installed, Sighting, watch};

/// Competes for the lease until it is told to stop; an error if a lease that was held is lost.
type Election = std::pin::Pin<Box<dyn Future<Output = Result<(), crate::lease::LeaseError>> + Send>>;

/// How often kinds without which there is nothing to do are looked for.
const MISSING: Duration = Duration::from_secs(2);

/// How often other kinds that are missing are looked for.
const REDISCOVER: Duration = Duration::from_secs(10);

/// How long work under way may take to end.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the command.
pub async fn run(arguments: RunArguments) -> anyhow::Result<()> {
    let stop = crate::shutdown::on_signal()?;
    let metrics = Arc::new(Metrics::default());
    #[cfg(feature = "count-allocations")]
    metrics.register(|registry| registry.register_collector(Box::new(crate::allocations::Allocations)));
    let health = Arc::new(Health::new(metrics.clone()));
    health.set_waiting("the API server");
    let (address, serving) = health.clone().serve(arguments.listen, stop.clone()).await?;
    tokio::spawn(serving);
    info!(version = env!("CARGO_PKG_VERSION"), %address, "portico starts; /healthz, /readyz and /metrics are served");

    let config = crate::kubernetes::config(&arguments.cluster).await?;
    let lease_namespace = arguments.lease_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).context("the Kubernetes client cannot be set up")?;
    let Some(cluster_id) = cluster_id(&client, arguments.cluster.cluster_id.as_deref(), &stop).await else { return Ok(()) };
    info!(cluster = %cluster_id, "this cluster's id in the cloud");
    let provider = Clouds::new(Aws::connect((&arguments.aws).into()).await, Envoy::new());
    provider.read_keys_from(&Arc::new(ClusterSecrets::new(Arc::new(KubeCluster::new(client.clone())))));
    metrics.register(|registry| provider.register_metrics(registry));

    let session = Session { arguments, client, cluster_id, lease_namespace, metrics, health };
    session.run(Arc::new(provider), stop).await
}

/// What serves Envoy proxies.
struct Proxies {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Proxies {
    async fn end(self) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(GRACE, self.tracker.wait()).await.is_err() {
            warn!("some Envoy proxies did not end their streams in time");
        }
    }
}

/// What a run has after its start.
struct Session {
    arguments: RunArguments,
    client: Client,
    cluster_id: ClusterId,
    lease_namespace: String,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

impl Session {
    async fn run(self, provider: Arc<Clouds>, stop: CancellationToken) -> anyhow::Result<()> {
        let discovery = Discovery::new(self.client.clone());
        let health = self.health.clone();
        let Some(installed) = discovery.wait(MISSING, &stop, |what| health.set_waiting(what)).await else { return Ok(()) };
        self.health.set_waiting("the first lists of all kinds");
        let holder = Arc::new(if self.arguments.no_leader_election { Holder::unrivalled() } else { Holder::default() });
        let leadership: Arc<dyn Leadership> = holder.clone();
        let world = SharedWorld::default();
        let cluster = Arc::new(KubeCluster::new(self.client.clone()));
        // Events are written until everything else has ended.
        let (events, told) = (CancellationToken::new(), TaskTracker::new());
        let (recorder, writing) = Recorder::new(cluster.clone(), instance(), self.metrics.clone(), events.clone());
        told.spawn(writing);
        let proxies = self.serve_proxies(provider.envoy(), &world, &leadership).await?;
        let operator = Operator::new(OperatorParts {
            provider,
            cluster_id: self.cluster_id.clone(),
            world: world.clone(),
            cluster,
            leadership,
            metrics: self.metrics.clone(),
            witness: Arc::new(EventWitness::new(world.clone(), recorder, self.arguments.sweep_interval)),
        });

        // Watches and the keeper live until everything else has ended: a pass that ends late still sees its events.
        let (watches, tracker) = (CancellationToken::new(), TaskTracker::new());
        let synced = self.watch(world, installed, discovery, &operator, &tracker, &watches);

        let election = CancellationToken::new();
        let (leading, elected) = self.elect(holder, &election);
        let lost = stop.clone();
        let elected = tokio::spawn(async move {
            let result = elected.await;
            // A lost lease stops everything, as a signal does.
            lost.cancel();
            result
        });

        let worked = self.work(operator, synced, leading, &stop).await;
        // Proxies turn to the other replicas, before the lease goes to one of them.
        proxies.end().await;
        election.cancel();
        let lease = elected.await.context("the election ended unexpectedly")?;
        watches.cancel();
        tracker.close();
        let _ = tokio::time::timeout(Duration::from_secs(5), tracker.wait()).await;
        events.cancel();
        told.close();
        let _ = tokio::time::timeout(Duration::from_secs(5), told.wait()).await;
        self.metrics.leader.set(0);
        if let Err(lost) = lease {
            error!(%lost, "stopped; start again to compete for the lease");
            bail!(lost);
        }
        info!("stopped");
        worked
    }

    /// Starts to serve Envoy proxies, to tell the other replicas how far they are, and to hear it of theirs.
    async fn serve_proxies(&self, envoy: &Envoy, world: &SharedWorld, leadership: &Arc<dyn Leadership>) -> anyhow::Result<Proxies> {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        envoy.review_tokens_by(Arc::new(ClusterTokens::new(self.client.clone(), world.clone())));
        fleet::listen(&self.arguments.xds, envoy, &tracker, &stop).await?;
        let replicas = Replicas::new(self.client.clone(), &self.lease_namespace, &uuid::Uuid::new_v4(), envoy.clone(), leadership.clone());
        tracker.spawn(replicas.clone().tell(stop.clone()));
        tracker.spawn(replicas.hear(stop.clone()));
        let (namespace, leadership) = (self.lease_namespace.clone(), leadership.clone());
        tracker.spawn(fleet::told::keep(self.client.clone(), namespace, envoy.clone(), leadership, stop.clone()));
        Ok(Proxies { stop, tracker })
    }

    /// Starts the watches and the keeper. Returns whether all stores are synced, as it changes.
    fn watch<P: Provider>(
        &self,
        world: SharedWorld,
        installed: Installed,
        discovery: Discovery,
        operator: &Operator<P>,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> watch::Receiver<bool> {
        let (out, sightings) = mpsc::channel::<Sighting>(1024);
        let keeper = Keeper::new(world, installed.0.clone());
        let synced = keeper.synced();
        let concerned = operator.clone();
        tracker.spawn(keeper.run(sightings, stop.clone(), move |impact| concerned.concern(impact)));
        let (client, metrics, inner, stop) = (self.client.clone(), self.metrics.clone(), tracker.clone(), stop.clone());
        tracker.spawn(async move {
            let mut watched = BTreeSet::new();
            let mut installed = installed;
            loop {
                for kind in installed.0.iter().copied().filter(|kind| watched.insert(*kind)) {
                    inner.spawn(watch(client.clone(), kind, out.clone(), metrics.clone(), stop.clone()));
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(REDISCOVER) => {}
                }
                match discovery.look().await {
                    Ok(now) => {
                        for kind in now.0.difference(&installed.0) {
                            info!(%kind, "this kind is installed now; watching it too");
                        }
                        installed = now;
                    }
                    Err(error) => warn!(%error, "the API server cannot be asked for its kinds; trying again"),
                }
            }
        });
        synced
    }

    /// Starts the election, or none. Returns whether this replica leads, as it changes, and the task to run.
    fn elect(&self, holder: Arc<Holder>, stop: &CancellationToken) -> (watch::Receiver<bool>, Election) {
        let stop = stop.clone();
        if self.arguments.no_leader_election {
            let (leads, leading) = watch::channel(true);
            return (
                leading,
                Box::pin(async move {
                    stop.cancelled().await;
                    drop(leads);
                    Ok(())
                }),
            );
        }
        let identity = format!("{}_{}", instance(), uuid::Uuid::new_v4());
        let name = &self.arguments.lease_name;
        let elector = Elector::new(self.client.clone(), &self.lease_namespace, name, identity, LeaseTimes::default(), holder);
        (elector.leading(), Box::pin(elector.run(stop)))
    }

    /// Waits for stores and leadership, then works until `stop`.
    async fn work<P: Provider>(
        &self,
        operator: Operator<P>,
        mut synced: watch::Receiver<bool>,
        mut leading: watch::Receiver<bool>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        if !until(&mut synced, stop).await {
            return Ok(());
        }
        self.health.set_ready(true);
        let units = operator.units().len();
        info!(load_balancers = units, "all stores are synced");
        operator.engine().expect_all();
        if !self.follow(&operator, &mut leading, stop).await {
            return Ok(());
        }
        self.metrics.leader.set(1);
        let sweep = crate::sweep::run(operator.clone(), self.arguments.sweep_interval, stop.clone());
        let sweep = tokio::spawn(sweep);
        let limits = self.limits();
        let working = operator.run(limits, stop.clone());
        let bounded = async {
            stop.cancelled().await;
            info!("stopping: what is under way ends first");
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            () = working => {}
            () = bounded => warn!(seconds = GRACE.as_secs(), "work under way did not end in time; the next start goes on with it"),
        }
        sweep.abort();
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits { units: usize::from(self.arguments.concurrency), ..Limits::default() }
    }

    /// Works as a replica that does not lead, until it does; false if `stop` came first.
    async fn follow<P: Provider>(&self, operator: &Operator<P>, leading: &mut watch::Receiver<bool>, stop: &CancellationToken) -> bool {
        let following = CancellationToken::new();
        let work = {
            let (operator, limits, following) = (operator.clone(), self.limits(), following.clone());
            tokio::spawn(async move { operator.follow(limits, following).await })
        };
        let leads = until(leading, stop).await;
        following.cancel();
        let _ = tokio::time::timeout(GRACE, work).await;
        leads
    }
}

/// This replica's name: its Pod's.
fn instance() -> String {
    std::env::var("HOSTNAME").unwrap_or_else(|_| "portico".to_owned())
}

/// Waits until it is true; false if `stop` came first.
async fn until(flag: &mut watch::Receiver<bool>, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        reached = flag.wait_for(|value| *value) => reached.is_ok(),
    }
}

/// The cluster's id: as told, or the UID of `kube-system`. Waits for the API server.
async fn cluster_id(client: &Client, told: Option<&str>, stop: &CancellationToken) -> Option<ClusterId> {
    if let Some(id) = told {
        return Some(ClusterId(id.to_owned()));
    }
    let api: Api<Namespace> = Api::all(client.clone());
    let mut failing = false;
    loop {
        let looked = tokio::time::timeout(Duration::from_secs(10), api.get("kube-system")).await;
        match looked {
            Ok(Ok(namespace)) if namespace.metadata.uid.is_some() => return namespace.metadata.uid.map(ClusterId),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                if !failing {
                    warn!(%error, "{} kube-system cannot be read; trying again", Kind::Namespace);
                }
                failing = true;
            }
            Err(_) => warn!("the API server does not answer; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}
