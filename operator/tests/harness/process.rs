//! An operator as a process: threads, memory and connections of its own, which end from one moment to the next when it is killed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portico::cluster::MemoryCluster;
use portico::keeper::{Keeper, SharedWorld};
use portico::lease::Holder;
use portico::metrics::Metrics;
use portico::operator::{Limits, Operator, OperatorParts};
use portico::secrets::ClusterSecrets;
use portico::watch::{Seen, Sighting, WATCHED};
use portico::witness::LogWitness;
use portico_aws_api::{Aws, AwsOptions};
use portico_crds::Kind;
use portico_providers::ClusterId;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::LIMIT;

/// The cluster's id in all tests.
pub const CLUSTER: &str = "test";

/// The events that a keeper takes in at once; enough for everything that a test applies.
const ROOM: usize = 8192;

/// Held while a test applies several objects: the operator sees all of them or none.
pub type Gate = Arc<Mutex<()>>;

/// What differs between operators.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub limits: Limits,
    /// Zero: only orphans are looked for, at the start.
    pub sweep: Duration,
}

impl Default for Manner {
    fn default() -> Self {
        Self { limits: Limits::default(), sweep: Duration::ZERO }
    }
}

/// A running operator.
pub struct Process {
    pub operator: Operator<Aws>,
    metrics: Arc<Metrics>,
    /// Whether it may change anything.
    pub lease: Arc<Holder>,
    handle: Handle,
    inbox: Inbox,
    cluster: Arc<MemoryCluster>,
    kill: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Events on their way to the keeper.
#[derive(Clone)]
struct Inbox {
    events: mpsc::Sender<Sighting>,
    forwarded: Arc<AtomicU64>,
    swept: watch::Receiver<bool>,
}

impl Process {
    /// Starts one; returns when it has seen the whole cluster.
    pub async fn start(endpoint: String, cluster: Arc<MemoryCluster>, gate: Gate, manner: Manner) -> Self {
        let (kill, (ready, started)) = (CancellationToken::new(), oneshot::channel());
        let (killed, seen) = (kill.clone(), cluster.clone());
        let thread = std::thread::spawn(move || {
            // One thread: an event's consequences follow it in an order that does not depend on the machine.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = killed.cancelled() => {}
                    () = live(endpoint, seen, gate, manner, ready) => {}
                }
            });
            // What is dropped here never gets to its next step.
            runtime.shutdown_timeout(LIMIT);
        });
        let (operator, metrics, lease, handle, inbox) = started.await.expect("the operator does not start");
        Self { operator, metrics, lease, handle, inbox, cluster, kill, thread: Some(thread) }
    }

    /// Whether it has dealt with everything that happened so far.
    pub async fn is_quiet(&self) -> bool {
        let (operator, cluster, inbox) = (self.operator.clone(), self.cluster.clone(), self.inbox.clone());
        // Asked between two steps of its one thread, so that nothing is halfway.
        let look = self.handle.spawn(async move {
            inbox.forwarded.load(Ordering::SeqCst) == cluster.told()
                && inbox.events.capacity() == inbox.events.max_capacity()
                && *inbox.swept.borrow()
                && operator.is_settled()
        });
        look.await.unwrap_or(false)
    }

    /// Lets it see what the cluster did not say.
    pub fn see(&self, kind: Kind, seen: Seen) {
        self.inbox.events.try_send(Sighting { kind, seen }).expect("the operator is gone");
    }

    /// Lets it list what the cloud has of this cluster, and look at what nobody asks for, as the sweep does once per round.
    pub async fn list_orphans(&self) {
        let operator = self.operator.clone();
        self.handle.spawn(portico::sweep::run(operator, Duration::ZERO, CancellationToken::new())).await.unwrap();
    }

    /// Passes that have ended so far.
    pub fn passes(&self) -> u64 {
        self.count("portico_passes_total")
    }

    /// Load balancers of Gateways that were gone.
    pub fn orphans(&self) -> u64 {
        self.count("portico_orphans_total")
    }

    fn count(&self, metric: &str) -> u64 {
        let text = self.metrics.render();
        let lines = text.lines().filter(|line| line.starts_with(metric));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Waits until it is quiet and stays so.
    pub async fn settle(&self) {
        let quiet = async {
            let mut still = 0;
            while still < 4 {
                still = if self.is_quiet().await { still + 1 } else { 0 };
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, quiet).await.expect("the operator does not come to rest");
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.kill.cancel();
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(move || thread.join()).await.unwrap().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}

type Started = (Operator<Aws>, Arc<Metrics>, Arc<Holder>, Handle, Inbox);

/// The life of an operator, put together as `portico run` does it.
async fn live(endpoint: String, cluster: Arc<MemoryCluster>, gate: Gate, manner: Manner, ready: oneshot::Sender<Started>) {
    let provider = Arc::new(connect(endpoint).await);
    provider.read_keys_from(Arc::new(ClusterSecrets::new(cluster.clone())));
    let (world, metrics, lease) = (SharedWorld::default(), Arc::new(Metrics::default()), Arc::new(Holder::unrivalled()));
    let operator = Operator::new(OperatorParts {
        provider,
        cluster_id: ClusterId(CLUSTER.into()),
        world: world.clone(),
        cluster: cluster.clone(),
        leadership: lease.clone(),
        metrics: metrics.clone(),
        witness: Arc::new(LogWitness),
    });
    // Where endpoints answer no health checks, changes that wait for healthy ones go on soon.
    operator.targets().set_patience(Duration::from_secs(2));
    let never = CancellationToken::new();
    let (events, received) = mpsc::channel(ROOM);
    let keeper = Keeper::new(world, BTreeSet::from(WATCHED));
    let mut synced = keeper.synced();
    let concerned = operator.clone();
    tokio::spawn(keeper.run(received, never.clone(), move |impact| concerned.concern(impact)));

    let (out, mut sightings) = mpsc::unbounded_channel();
    let forwarded = Arc::new(AtomicU64::new(0));
    let (forward, count, seeing) = (events.clone(), forwarded.clone(), gate.clone());
    tokio::spawn(async move {
        while let Some(first) = sightings.recv().await {
            let _whole = seeing.lock().unwrap_or_else(PoisonError::into_inner);
            for sighting in std::iter::once(first).chain(std::iter::from_fn(|| sightings.try_recv().ok())) {
                forward.try_send(sighting).expect("more events at once than a test should make");
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    {
        let _whole = gate.lock().unwrap_or_else(PoisonError::into_inner);
        cluster.watch(out);
    }
    synced.wait_for(|synced| *synced).await.unwrap();

    let swept = watch::Sender::new(false);
    let inbox = Inbox { events, forwarded, swept: swept.subscribe() };
    let _ = ready.send((operator.clone(), metrics, lease, Handle::current(), inbox));
    let (sweeping, stop) = (operator.clone(), never.clone());
    tokio::spawn(async move {
        if manner.sweep.is_zero() {
            portico::sweep::run(sweeping, manner.sweep, stop).await;
            swept.send_replace(true);
        } else {
            swept.send_replace(true);
            portico::sweep::run(sweeping, manner.sweep, stop).await;
        }
    });
    operator.run(manner.limits, never).await;
}

/// A provider at that endpoint that remembers nothing yet.
pub async fn connect(endpoint: String) -> Aws {
    let options = AwsOptions { region: Some("us-east-1".into()), endpoint: Some(endpoint), vpc: None, emulated: true };
    Aws::connect(options).await
}
