//! All that the operator does, on a cluster in memory, and what a proxy gets of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use portico::cluster::MemoryCluster;
use portico::keeper::{Keeper, SharedWorld};
use portico::lease::Holder;
use portico::metrics::{Metrics, ResultLabel};
use portico::operator::{Limits, Operator, OperatorParts};
use portico::watch::{Sighting, WATCHED};
use portico::witness::LogWitness;
use portico_crds::Kind;
use portico_envoy_xds::Envoy;
use portico_providers::ClusterId;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::count::{Begun, begin, show};
use crate::objects::{FLEET, Shape};
use crate::proxy::{self, Received};

/// How long nothing may happen before something counts as done.
const QUIET: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(900);
/// Sightings that may wait for the keeper, as in `portico run`.
const SIGHTINGS: usize = 1024;

/// The operator under measurement.
struct Bench {
    cluster: Arc<MemoryCluster>,
    operator: Operator<Envoy>,
    received: Arc<Received>,
    /// Where events go to the keeper, and how many have gone that way.
    events: mpsc::Sender<Sighting>,
    forwarded: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
    bytes: u64,
    resources: u64,
    written: u64,
    passes: u64,
}

/// Measures a start with everything new, one with everything there, and single changes.
pub async fn run(shape: Shape) -> anyhow::Result<()> {
    let (nobody, _) = mpsc::unbounded_channel();
    let cluster = Arc::new(MemoryCluster::new(nobody));
    for (kind, object) in shape.all() {
        cluster.apply(kind, object);
    }
    let begun = begin();
    let mut bench = Bench::start(cluster).await?;
    bench.settle("operator, from nothing", &begun, shape.resources(), |_| {}).await?;

    let (gateway, route) = (shape.gateways / 2, shape.route(shape.gateways / 2, 0, "/changed"));
    bench.change("operator, one route changed", |cluster| put(cluster, route)).await?;
    let new = shape.route(gateway, shape.routes, "/new");
    let key = portico::cluster::key_of(&new.1);
    bench.change("operator, a route more", |cluster| put(cluster, new)).await?;
    bench.change("operator, a route fewer", |cluster| cluster.delete(Kind::HttpRoute, &key)).await?;
    bench.change("operator, an endpoint more", |cluster| put(cluster, shape.more_endpoints(gateway))).await?;
    Ok(())
}

fn put(cluster: &MemoryCluster, (kind, object): (Kind, Value)) {
    cluster.apply(kind, object);
}

impl Bench {
    /// Starts an operator as `portico run` does, and a proxy.
    async fn start(cluster: Arc<MemoryCluster>) -> anyhow::Result<Self> {
        let envoy = Envoy::new();
        let never = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
        let address = listener.local_addr()?;
        tokio::spawn(envoy.serve(listener, None, never.clone()));

        let world = SharedWorld::default();
        let metrics = Arc::<Metrics>::default();
        let operator = Operator::new(OperatorParts {
            provider: Arc::new(envoy),
            cluster_id: ClusterId("bench".to_owned()),
            world: world.clone(),
            cluster: cluster.clone(),
            leadership: Arc::new(Holder::unrivalled()),
            metrics: metrics.clone(),
            witness: Arc::new(LogWitness),
        });
        let (events, received) = mpsc::channel::<Sighting>(SIGHTINGS);
        let keeper = Keeper::new(world, BTreeSet::from(WATCHED));
        let mut synced = keeper.synced();
        let concerned = operator.clone();
        tokio::spawn(keeper.run(received, never.clone(), move |impact| concerned.concern(impact)));
        let (out, mut sightings) = mpsc::unbounded_channel();
        let forwarded = Arc::<AtomicU64>::default();
        let (forward, count) = (events.clone(), forwarded.clone());
        tokio::spawn(async move {
            while let Some(sighting) = sightings.recv().await {
                if forward.send(sighting).await.is_err() {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        cluster.watch(out);
        synced.wait_for(|synced| *synced).await.context("the keeper is gone")?;
        operator.engine().expect_all();
        let working = operator.clone();
        tokio::spawn(async move { working.run(Limits::default(), never).await });
        let received = proxy::connect(address, FLEET).await?;
        Ok(Self { cluster, operator, received, events, forwarded, metrics, bytes: 0, resources: 0, written: 0, passes: 0 })
    }

    /// Makes a change, and shows what it costs until nothing is left to do.
    async fn change(&mut self, what: &str, change: impl FnOnce(&MemoryCluster)) -> anyhow::Result<()> {
        self.settle(what, &begin(), 1, change).await
    }

    /// Waits until the proxy has had so many resources, and nothing is left to do.
    async fn settle(&mut self, what: &str, begun: &Begun, resources: u64, change: impl FnOnce(&MemoryCluster)) -> anyhow::Result<()> {
        let began = Instant::now();
        change(&self.cluster);
        let (mut seen, mut last) = (self.seen(), began);
        while last.elapsed() < QUIET {
            if began.elapsed() > PATIENCE {
                bail!("{what}: the operator is still busy after {PATIENCE:?}");
            }
            tokio::time::sleep(PAUSE).await;
            let now = self.seen();
            let has_all = self.received.resources.load(Ordering::Relaxed) >= self.resources + resources;
            if now != seen || !has_all || !self.is_settled() {
                (seen, last) = (now, Instant::now());
            }
        }
        let (bytes, resources) = (self.received.bytes.load(Ordering::Relaxed), self.received.resources.load(Ordering::Relaxed));
        let (written, passes) = (self.cluster.status_writes(), self.passes());
        show(what, &begun.end_at(last), Some(bytes - self.bytes));
        println!(
            "  {} resources to the proxy, {} statuses written, {} passes",
            resources - self.resources,
            written - self.written,
            passes - self.passes
        );
        (self.bytes, self.resources, self.written, self.passes) = (bytes, resources, written, passes);
        Ok(())
    }

    /// Whether every event was taken in, and nothing is left to do.
    fn is_settled(&self) -> bool {
        self.forwarded.load(Ordering::SeqCst) == self.cluster.told()
            && self.events.capacity() == self.events.max_capacity()
            && self.operator.is_settled()
    }

    /// Passes that came to a good end.
    fn passes(&self) -> u64 {
        self.metrics.passes.get_or_create(&ResultLabel { result: "ok".to_owned() }).get()
    }

    /// What changes while something is done.
    fn seen(&self) -> (u64, u64) {
        (self.cluster.told(), self.received.responses.load(Ordering::Relaxed))
    }
}
