//! An operator on a cluster in memory and an embedded cloud.

pub mod backend;
pub mod dump;
pub mod fuse;
pub mod process;
pub mod scenario;
pub mod secure;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use portico::clouds::Clouds;
use portico::cluster::{Cluster, Deletion, MemoryCluster, finalizers_of, key_of};
use portico::keeper::{Keeper, SharedWorld};
use portico::manifests::Manifests;
use portico::plan;
use portico::watch::{Seen, Sighting};
use portico_cloud::{Cloud, CloudConfig};
use portico_crds::{Kind, NamespacedName};
use portico_envoy_xds::Envoy;
use portico_providers::{ClusterId, Provider, UnitId};
use portico_translate::known_settings;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use fuse::Fuse;
use process::{CLUSTER, Gate, Manner, Process};

/// The binary under test.
pub const PORTICO: &str = env!("CARGO_BIN_EXE_portico");

/// Set by `cargo lab test --full`: tests then take all cases in the place of a sample.
pub const FULL_VARIABLE: &str = "PORTICO_TEST_FULL";

/// Longest wait for anything: only a hanging test sees its end.
pub const LIMIT: Duration = Duration::from_secs(150);

/// Whether all cases are wanted, however long they take.
pub fn is_full() -> bool {
    std::env::var_os(FULL_VARIABLE).is_some()
}

/// Calls by name, without the service's.
pub type Calls = BTreeMap<String, u64>;

/// What something cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Calls that change nothing.
    pub reads: Calls,
    /// Calls that change something.
    pub mutations: Calls,
    /// Writes of Kubernetes statuses.
    pub status_writes: u64,
}

/// A cost of these mutations.
pub fn calls<'a>(mutations: impl IntoIterator<Item = (&'a str, u64)>) -> Calls {
    mutations.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

/// A test's world.
pub struct Bench {
    pub cloud: Cloud,
    pub cluster: Arc<MemoryCluster>,
    pub fuse: Fuse,
    process: Option<Process>,
    gate: Gate,
    manner: Manner,
}

impl Bench {
    /// Everything that an operator needs, and an operator.
    pub async fn start() -> Self {
        Self::with(cloud(), Manner::default()).await
    }

    pub async fn with(config: CloudConfig, manner: Manner) -> Self {
        let cloud = Cloud::start(config).await.unwrap();
        let fuse = Fuse::start(cloud.address()).await;
        let (nobody, _) = mpsc::unbounded_channel();
        let cluster = Arc::new(MemoryCluster::new(nobody));
        let mut bench = Self { cloud, cluster, fuse, process: None, gate: Gate::default(), manner };
        bench.launch().await;
        bench
    }

    /// Starts an operator that knows nothing.
    pub async fn launch(&mut self) {
        let process = Process::start(self.fuse.endpoint(), self.cluster.clone(), self.gate.clone(), self.manner).await;
        assert!(self.process.replace(process).is_none(), "two operators");
    }

    /// How often operators that start from now on sweep.
    pub fn set_sweep(&mut self, interval: Duration) {
        self.manner.sweep = interval;
    }

    /// `kill -9`, and the line to the cloud is whole again.
    pub async fn kill(&mut self) {
        self.process.take().unwrap().kill().await;
        self.fuse.mend().await;
    }

    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("no operator runs")
    }

    /// Applies objects, all at once.
    pub fn put(&self, objects: Vec<(Kind, Value)>) {
        let _whole = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, object) in objects {
            self.cluster.apply(kind, object);
        }
    }

    /// Deletes objects, all at once.
    pub fn remove(&self, objects: &[(Kind, &str)]) {
        let _whole = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, key) in objects {
            self.cluster.delete(*kind, &key.parse().unwrap());
        }
    }

    /// Applies objects whose deletion is under way before the operator sees them: no finalizer holds it up when it ends.
    pub fn put_doomed(&self, objects: Vec<(Kind, Value)>) -> Vec<Deletion> {
        let _whole = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let apply = |(kind, object): (Kind, Value)| {
            let key = key_of(&object);
            self.cluster.apply(kind, object);
            self.cluster.begin_delete(kind, &key)
        };
        objects.into_iter().map(apply).collect()
    }

    /// Takes all finalizers off an object and deletes it, in one.
    pub fn remove_by_force(&self, kind: Kind, key: &str) {
        let _whole = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key.parse().unwrap();
        let object = self.cluster.read(kind, &key).unwrap();
        self.cluster.write_finalizers(kind, &object, vec![]).now_or_never().unwrap().unwrap();
        self.cluster.delete(kind, &key);
    }

    /// Applies manifests and waits until there is nothing left to do. What it changes in the cloud is what `portico plan` says.
    pub async fn apply(&self, manifests: &str) -> Cost {
        let objects = parse(manifests);
        self.change(objects, &[]).await
    }

    /// Deletes objects and waits until there is nothing left to do; checked as [`Bench::apply`] is.
    pub async fn delete(&self, objects: &[(Kind, &str)]) -> Cost {
        self.change(Vec::new(), objects).await
    }

    /// Applies and deletes objects; checked as [`Bench::apply`] is.
    pub async fn change(&self, applied: Vec<(Kind, Value)>, deleted: &[(Kind, &str)]) -> Cost {
        let planned = self.plan(&applied, deleted).await;
        let cost = self
            .cost(async |bench| {
                bench.put(applied);
                bench.remove(deleted);
            })
            .await;
        cost.is_as_planned(&planned);
        cost
    }

    /// Lets the operator look at a load balancer afresh, as the sweep does. What it changes is what `portico plan` says.
    pub async fn look(&self, gateway: &str) -> Cost {
        let planned = self.plan(&[], &[]).await;
        let cost = self.cost(async |bench| bench.look_afresh(gateway)).await;
        cost.is_as_planned(&planned);
        cost
    }

    /// The same without waiting.
    pub fn look_afresh(&self, gateway: &str) {
        self.process().operator.look_afresh(UnitId::Gateway(gateway.parse().unwrap()));
    }

    pub async fn settle(&self) {
        self.process().settle().await;
    }

    /// Waits until something is so.
    pub async fn waits_for(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let come = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LIMIT, come).await.unwrap_or_else(|_| panic!("{what} does not come"));
    }

    /// What an action costs until there is nothing left to do.
    pub async fn cost(&self, action: impl AsyncFnOnce(&Self)) -> Cost {
        let (calls, writes) = (self.cloud.calls().operations, self.cluster.status_writes());
        action(self).await;
        self.settle().await;
        Cost { status_writes: self.cluster.status_writes() - writes, ..self.calls_since(&calls) }
    }

    /// What a kill costs, and the start of a successor that knows nothing.
    pub async fn restart(&mut self) -> Cost {
        self.kill().await;
        let (calls, writes) = (self.cloud.calls().operations, self.cluster.status_writes());
        self.launch().await;
        self.settle().await;
        Cost { status_writes: self.cluster.status_writes() - writes, ..self.calls_since(&calls) }
    }

    /// Calls since these counts were taken.
    pub fn calls_since(&self, before: &Calls) -> Cost {
        let mut cost = Cost::default();
        for (name, count) in self.cloud.calls().operations {
            let more = count - before.get(&name).copied().unwrap_or_default();
            let name = name.rsplit('.').next().unwrap().to_owned();
            if more > 0 {
                if name.starts_with("Describe") || name.starts_with("List") { &mut cost.reads } else { &mut cost.mutations }
                    .insert(name, more);
            }
        }
        cost
    }

    /// The calls that `portico plan` prints for the cluster with these changes to it.
    pub async fn plan(&self, applied: &[(Kind, Value)], deleted: &[(Kind, &str)]) -> Calls {
        let mut objects: BTreeMap<(Kind, NamespacedName), Value> = BTreeMap::new();
        for kind in Kind::ALL {
            let keys = self.cluster.keys(kind).into_iter();
            objects.extend(keys.filter_map(|key| Some(((kind, key.clone()), self.cluster.read(kind, &key)?))));
        }
        objects.extend(applied.iter().map(|(kind, object)| ((*kind, key_of(object)), object.clone())));
        for (kind, key) in deleted {
            let place = (*kind, key.parse().unwrap());
            match objects.get_mut(&place).filter(|object| !finalizers_of(object).is_empty()) {
                Some(held) => held["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
                None => drop(objects.remove(&place)),
            }
        }
        let world = SharedWorld::default();
        let seen = objects.into_iter().map(|((kind, _), object)| Sighting { kind, seen: Seen::Applied(object) });
        Keeper::new(world.clone(), BTreeSet::new()).take(seen);
        // It looks at the cloud past the fuse, and has nothing to remember, as `portico plan` has not.
        let planner = Clouds::new(process::connect(self.cloud.endpoint()).await, Envoy::new());
        let cluster = ClusterId(CLUSTER.into());
        let settings = known_settings(&world.read());
        let owned = planner.owned_units(&cluster, &settings).await.unwrap();
        let units: BTreeSet<UnitId> = owned.into_iter().chain(world.read().units()).collect();
        let document = plan::make(&world, &cluster, units.into_iter().collect(), BTreeSet::new(), Some(&planner)).await;
        let printed = serde_json::to_value(&document).unwrap();
        let mut planned = Calls::new();
        for change in printed["units"].as_array().unwrap().iter().flat_map(|unit| unit["changes"].as_array().unwrap()) {
            *planned.entry(change["call"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        planned
    }

    /// The state of an object's condition: status and reason.
    pub fn condition(&self, kind: Kind, key: &str, pointer: &str, name: &str) -> String {
        let found = self.condition_of(kind, key, pointer, name);
        let text = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or("-").to_owned();
        format!("{} {}", text("status"), text("reason"))
    }

    /// An object's condition.
    pub fn condition_of(&self, kind: Kind, key: &str, pointer: &str, name: &str) -> Value {
        let object = self.cluster.read(kind, &key.parse().unwrap()).unwrap_or_default();
        let conditions = object.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
        conditions.into_iter().find(|condition| condition.get("type") == Some(&json!(name))).unwrap_or_default()
    }

    /// A request through the only load balancer's listener on port 80: status, and what the pod says it was asked.
    pub async fn request(&self, host: &str, path: &str) -> (u16, Value) {
        let balancers = self.cloud.load_balancers();
        assert_eq!(balancers.len(), 1);
        let port = *balancers[0].ports[&80].as_ref().unwrap();
        let answer = wire::get((balancers[0].address, port).into(), host, path).await;
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    /// What there is: cloud and cluster, without what two ways to it may differ in.
    pub async fn dump(&self) -> Value {
        json!({"cloud": dump::cloud(&wire::state(&self.cloud).await), "cluster": dump::cluster(&self.cluster)})
    }

    /// Waits until what there is is what is wanted and nothing is left to do, however long an operator in trouble pauses.
    pub async fn reaches(&self, wanted: &Value, how: &str) {
        self.becomes(wanted, how).await;
        self.settle().await;
        self.becomes(wanted, how).await;
    }

    /// Waits until what there is is what is wanted, though the operator may go on.
    pub async fn becomes(&self, wanted: &Value, how: &str) {
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            let found = self.dump().await;
            if found == *wanted {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{how}:\n{}", dump::differences(wanted, &found));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn end(mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
        self.cloud.shutdown().await;
    }
}

impl Cost {
    /// Nothing at all.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Checks that what was changed, targets apart, is what was planned, call by call.
    pub fn is_as_planned(&self, planned: &Calls) {
        let mut made = self.mutations.clone();
        made.retain(|name, _| !["RegisterTargets", "DeregisterTargets"].contains(&name.as_str()));
        assert_eq!(made, *planned, "left: what was done to the cloud, right: what the plan says");
    }
}

/// The objects of manifests, as an API server would have them.
pub fn parse(manifests: &str) -> Vec<(Kind, Value)> {
    Manifests::parse([("test.yaml", manifests)]).unwrap().objects
}

/// A cloud whose network is the same in every run.
pub fn cloud() -> CloudConfig {
    CloudConfig { seed: Some(1), ..CloudConfig::default() }
}
