//! Everything that works together, whatever the source of the objects: the queue and the passes, the target loop, the status writer, the sweep.

use std::sync::Arc;
use std::time::Duration;

use portico_providers::{ClusterId, Leadership, Provider, UnitId};
use portico_translate::Impact;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::Cluster;
use crate::engine::{Engine, EngineParts};
use crate::keeper::SharedWorld;
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::queue::{Backoff, Finish, Queue};
use crate::status::StatusWriter;
use crate::targets::Targets;
use crate::witness::Witness;

/// The operator, without a source of objects.
pub struct Operator<P> {
    world: SharedWorld,
    engine: Arc<Engine<P>>,
    targets: Arc<Targets<P>>,
    status: Arc<StatusWriter>,
    units: Arc<Queue<UnitId>>,
    classes: Arc<Queue<String>>,
    metrics: Arc<Metrics>,
}

impl<P> Clone for Operator<P> {
    fn clone(&self) -> Self {
        Self {
            world: self.world.clone(),
            engine: self.engine.clone(),
            targets: self.targets.clone(),
            status: self.status.clone(),
            units: self.units.clone(),
            classes: self.classes.clone(),
            metrics: self.metrics.clone(),
        }
    }
}

/// What an operator needs.
pub struct OperatorParts<P> {
    /// The cloud.
    pub provider: Arc<P>,
    /// The cluster's id.
    pub cluster_id: ClusterId,
    /// The world, which someone else keeps.
    pub world: SharedWorld,
    /// Where Kubernetes objects are written.
    pub cluster: Arc<dyn Cluster>,
    /// Whether this process may change anything.
    pub leadership: Arc<dyn Leadership>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who hears of changes.
    pub witness: Arc<dyn Witness>,
}

/// How many passes, targets and statuses are worked on at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Passes.
    pub units: usize,
    /// Target sets.
    pub targets: usize,
    /// Statuses.
    pub statuses: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { units: 8, targets: 8, statuses: 4 }
    }
}

impl<P: Provider> Operator<P> {
    /// An operator that does nothing yet.
    pub fn new(parts: OperatorParts<P>) -> Self {
        let OperatorParts { provider, cluster_id, world, cluster, leadership, metrics, witness } = parts;
        let objects = Arc::new(Objects::new(world.clone(), cluster));
        let status = Arc::new(StatusWriter::new(objects.clone(), leadership.clone(), metrics.clone()));
        let targets = Arc::new(Targets::new(provider.clone(), world.clone(), leadership.clone(), metrics.clone(), witness.clone()));
        let engine = Arc::new(Engine::new(EngineParts {
            provider,
            cluster: cluster_id,
            world: world.clone(),
            objects,
            leadership,
            status: status.clone(),
            targets: targets.clone(),
            metrics: metrics.clone(),
            witness,
        }));
        let units = Arc::new(Queue::new(Backoff::default(), metrics.depth("units")));
        let woken = units.clone();
        targets.on_open(move |unit| woken.add(unit.clone()));
        let woken = units.clone();
        engine.provider().on_news(Arc::new(move |unit| woken.add(unit.clone())));
        let classes = Arc::new(Queue::new(Backoff::default(), metrics.depth("classes")));
        Self { world, engine, targets, status, units, classes, metrics }
    }

    /// The world.
    pub fn world(&self) -> &SharedWorld {
        &self.world
    }

    /// The engine.
    pub fn engine(&self) -> &Engine<P> {
        &self.engine
    }

    /// The target loop.
    pub fn targets(&self) -> &Targets<P> {
        &self.targets
    }

    /// Queues what events concern.
    pub fn concern(&self, impact: Impact) {
        self.targets.services_changed(&impact.services);
        for unit in impact.units {
            self.units.add(unit);
        }
        for class in impact.classes {
            self.classes.add(class);
        }
        for route in &impact.routes {
            self.engine.clean_route(route);
        }
        for policy in &impact.policies {
            self.engine.clean_policy(policy);
        }
        for place in &impact.statuses {
            self.status.look(place);
        }
    }

    /// Queues everything there is, for a fresh start.
    pub fn concern_everything(&self) {
        let impact = crate::keeper::all(&self.world.read());
        self.concern(impact);
    }

    /// Looks at a unit afresh, cloud included.
    pub fn look_afresh(&self, unit: UnitId) {
        self.engine.mark_stale(unit.clone());
        self.units.add(unit);
    }

    /// Every unit of the world, in order; the metric `units` follows. The cost is that of the world.
    pub fn units(&self) -> Vec<UnitId> {
        let units: Vec<_> = self.world.read().units().collect();
        self.metrics.units.set(i64::try_from(units.len()).unwrap_or(i64::MAX));
        units
    }

    /// Whether nothing is due and nothing is being worked on.
    pub fn is_settled(&self) -> bool {
        self.units.is_settled() && self.classes.is_settled() && self.targets.is_settled() && self.status.queue().is_settled()
    }

    /// Waits until nothing is due, at most for `limit`. Returns whether that came.
    pub async fn settle(&self, limit: Duration) -> bool {
        let settled = async {
            // Events may be under way from a write to its sighting: what was settled must stay so for a moment.
            let mut still = 0;
            while still < 3 {
                still = if self.is_settled() { still + 1 } else { 0 };
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(limit, settled).await.is_ok()
    }

    /// Works as a replica that does not lead, until `stop`: serves what every replica serves, changes no cloud and writes no object.
    pub async fn follow(&self, limits: Limits, stop: CancellationToken) {
        tokio::join!(self.passes(limits.units, stop.clone()), self.target_syncs(limits.targets, stop));
    }

    /// Works as the leader until `stop`: passes and targets end first, then statuses are flushed, so that what was done is also said.
    pub async fn run(&self, limits: Limits, stop: CancellationToken) {
        self.engine.provider().leads();
        for unit in self.engine.take_postponed() {
            self.units.add(unit);
        }
        let flush = CancellationToken::new();
        let writing = self.clone().work(
            limits.statuses,
            flush.clone(),
            |it| it.status.queue(),
            |it, place| async move { it.status.write(&place).await },
        );
        let writer = tokio::spawn(writing);
        tokio::join!(self.passes(limits.units, stop.clone()), self.class_reports(stop.clone()), self.target_syncs(limits.targets, stop));
        let flushed = async {
            while !self.status.queue().is_settled() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), flushed).await;
        flush.cancel();
        let _ = writer.await;
    }

    async fn passes(&self, limit: usize, stop: CancellationToken) {
        self.clone().work(limit, stop, |it| &it.units, |it, unit| async move { it.engine.pass(&unit).await }).await;
    }

    async fn class_reports(&self, stop: CancellationToken) {
        self.clone().work(1, stop, |it| &it.classes, |it, class| async move { it.engine.class(&class).await }).await;
    }

    async fn target_syncs(&self, limit: usize, stop: CancellationToken) {
        self.clone().work(limit, stop, |it| it.targets.queue(), |it, sink| async move { it.targets.sync(&sink).await }).await;
    }

    /// Takes keys off a queue as they are due and works on up to `limit` at the same time, until `stop`; then waits for those under way.
    async fn work<K, H, F>(self, limit: usize, stop: CancellationToken, queue: fn(&Self) -> &Queue<K>, handle: H)
    where
        K: Clone + Ord + Send + Sync + 'static,
        H: Fn(Self, K) -> F + Send,
        F: Future<Output = Finish> + Send + 'static,
    {
        let tracker = TaskTracker::new();
        let room = Arc::new(Semaphore::new(limit.max(1)));
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else { break };
            let key = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                key = queue(&self).next() => key,
            };
            let (operator, work) = (self.clone(), handle(self.clone(), key.clone()));
            tracker.spawn(async move {
                let finish = work.await;
                queue(&operator).finish(&key, finish);
                drop(permit);
            });
        }
        tracker.close();
        tracker.wait().await;
    }
}
