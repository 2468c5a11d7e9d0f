//! The target loop: endpoints to target sets, keyed by target set, apart from the pipeline and never waiting for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portico_crds::NamespacedName;
use portico_providers::{Binding, Leadership, Provider, ProviderError, TargetSetId, UnitId};
use tracing::{debug, info, warn};

use crate::keeper::SharedWorld;
use crate::metrics::{Metrics, ResultLabel};
use crate::queue::{Backoff, Finish, Queue};

/// An endpoint that must get no more requests is taken out at once, but for what changes in the same moment.
const GATHER_LOSSES: Duration = Duration::from_millis(20);

/// The pods of a scale-up become ready one after the other: new endpoints are gathered this long, so that they cost one call.
const GATHER_GAINS: Duration = Duration::from_millis(250);

/// Pause before another look at addresses that cannot be registered yet.
const WAITING: Duration = Duration::from_secs(5);

/// Pause before another look at a target set that was not there, should no pass come before.
const ABSENT: Duration = Duration::from_secs(30);

/// Keeps target sets filled.
pub struct Targets<P> {
    provider: Arc<P>,
    world: SharedWorld,
    leadership: Arc<dyn Leadership>,
    metrics: Arc<Metrics>,
    bindings: Mutex<Bindings>,
    queue: Queue<TargetSetId>,
}

/// Which endpoints fill which target set, from the last compile of each unit.
#[derive(Debug, Default)]
struct Bindings {
    by_unit: BTreeMap<UnitId, BTreeSet<TargetSetId>>,
    by_service: BTreeMap<NamespacedName, BTreeSet<TargetSetId>>,
    by_sink: BTreeMap<TargetSetId, (UnitId, Binding)>,
    absent: BTreeSet<TargetSetId>,
    /// Endpoints in use when a target set was last brought up to date.
    used: BTreeMap<TargetSetId, BTreeSet<(IpAddr, u16)>>,
    /// Counts what a unit's pass made, so that a look that began before it does not count as one after it.
    made: BTreeMap<UnitId, u64>,
}

impl Bindings {
    /// Replaces a unit's bindings; returns the target sets whose binding is new or changed.
    fn replace(&mut self, unit: &UnitId, bindings: Vec<Binding>) -> Vec<TargetSetId> {
        let sinks: BTreeSet<TargetSetId> = bindings.iter().map(|binding| binding.sink.clone()).collect();
        for gone in self.by_unit.insert(unit.clone(), sinks.clone()).unwrap_or_default().difference(&sinks) {
            self.forget(gone);
        }
        let mut changed = Vec::new();
        for binding in bindings {
            let sink = binding.sink.clone();
            if self.by_sink.get(&sink).is_some_and(|(_, old)| *old == binding) {
                continue;
            }
            self.forget(&sink);
            self.by_service.entry(binding.source.service.clone()).or_default().insert(sink.clone());
            self.by_sink.insert(sink.clone(), (unit.clone(), binding));
            changed.push(sink);
        }
        if sinks.is_empty() {
            self.by_unit.remove(unit);
            self.made.remove(unit);
        }
        changed
    }

    fn forget(&mut self, sink: &TargetSetId) {
        self.absent.remove(sink);
        self.used.remove(sink);
        let Some((_, binding)) = self.by_sink.remove(sink) else { return };
        if let Some(sinks) = self.by_service.get_mut(&binding.source.service) {
            sinks.remove(sink);
            if sinks.is_empty() {
                self.by_service.remove(&binding.source.service);
            }
        }
    }

    /// Something of a unit was made: its target sets that were absent may be there now.
    fn made(&mut self, unit: &UnitId) -> Vec<TargetSetId> {
        let Some(sinks) = self.by_unit.get(unit) else { return Vec::new() };
        let found: Vec<_> = sinks.intersection(&self.absent).cloned().collect();
        *self.made.entry(unit.clone()).or_default() += 1;
        found
    }
}

impl<P: Provider> Targets<P> {
    /// A loop without bindings.
    pub fn new(provider: Arc<P>, world: SharedWorld, leadership: Arc<dyn Leadership>, metrics: Arc<Metrics>) -> Self {
        let backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(30) };
        Self { provider, world, leadership, metrics, bindings: Mutex::default(), queue: Queue::new(backoff) }
    }

    fn bindings(&self) -> MutexGuard<'_, Bindings> {
        self.bindings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The target sets that wait.
    pub fn queue(&self) -> &Queue<TargetSetId> {
        &self.queue
    }

    /// Whether nothing is being worked on, due, or gathered.
    pub fn is_settled(&self) -> bool {
        self.queue.is_settled_for(GATHER_GAINS)
    }

    /// Takes up the bindings of a unit's newest compile.
    pub fn bind(&self, unit: &UnitId, bindings: Vec<Binding>) {
        for sink in self.bindings().replace(unit, bindings) {
            self.queue.add(sink);
        }
    }

    /// Something of a unit was made in the cloud.
    pub fn made(&self, unit: &UnitId) {
        for sink in self.bindings().made(unit) {
            self.queue.add(sink);
        }
    }

    /// Endpoints of these Services changed.
    pub fn services_changed(&self, services: &BTreeSet<NamespacedName>) {
        let bindings = self.bindings();
        let world = self.world.read();
        for sink in services.iter().filter_map(|service| bindings.by_service.get(service)).flatten() {
            let Some((_, binding)) = bindings.by_sink.get(sink) else { continue };
            let now = portico_translate::endpoints(&world, binding).in_use();
            let loses = bindings.used.get(sink).is_none_or(|before| !before.is_subset(&now));
            self.queue.add_after(sink.clone(), if loses { GATHER_LOSSES } else { GATHER_GAINS });
        }
    }

    /// Looks at all target sets of a unit again.
    pub fn recheck(&self, unit: &UnitId) {
        for sink in self.bindings().by_unit.get(unit).into_iter().flatten() {
            self.queue.add(sink.clone());
        }
    }

    /// All target sets that are bound, ordered.
    pub fn sinks(&self) -> Vec<TargetSetId> {
        self.bindings().by_sink.keys().cloned().collect()
    }

    /// Brings one target set up to date.
    pub async fn sync(&self, sink: &TargetSetId) -> Finish {
        let (unit, binding, made) = {
            let mut bindings = self.bindings();
            bindings.absent.remove(sink);
            let Some((unit, binding)) = bindings.by_sink.get(sink).cloned() else { return Finish::Done };
            let made = bindings.made.get(&unit).copied().unwrap_or_default();
            (unit, binding, made)
        };
        let targets = portico_translate::endpoints(&self.world.read(), &binding);
        let result = self.provider.sync_targets(&targets, self.leadership.as_ref()).await;
        let word = result.as_ref().map_or_else(ProviderError::class, |_| "ok");
        self.metrics.target_syncs.get_or_create(&ResultLabel { result: word.to_owned() }).inc();
        match result {
            Ok(report) => {
                self.bindings().used.insert(sink.clone(), targets.in_use());
                self.metrics.targets_registered.inc_by(u64::try_from(report.registered).unwrap_or(0));
                self.metrics.targets_deregistered.inc_by(u64::try_from(report.deregistered).unwrap_or(0));
                if report.registered + report.deregistered > 0 {
                    info!(target_set = %sink, service = %binding.source.service, registered = report.registered, deregistered = report.deregistered, "targets");
                }
                if report.waiting > 0 { Finish::Again(WAITING) } else { Finish::Done }
            }
            Err(ProviderError::NotReady { message }) => {
                debug!(target_set = %sink, message, "target set is not there yet");
                let mut bindings = self.bindings();
                bindings.absent.insert(sink.clone());
                if bindings.made.get(&unit).copied().unwrap_or_default() == made {
                    Finish::Again(ABSENT)
                } else {
                    Finish::Again(Duration::ZERO)
                }
            }
            Err(ProviderError::NotLeader) => Finish::Done,
            Err(error) => {
                warn!(target_set = %sink, service = %binding.source.service, error = %error, "targets cannot be brought up to date");
                if error.is_retryable() { Finish::Failed } else { Finish::Done }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portico_providers::{AddressFamily, AppProtocol, ServiceBackend};

    fn binding(service: &str, sink: &str) -> Binding {
        Binding {
            source: ServiceBackend {
                service: NamespacedName::new("a", service),
                port: 80,
                port_name: String::new(),
                protocol: AppProtocol::Http,
                families: vec![AddressFamily::V4],
            },
            family: AddressFamily::V4,
            sink: TargetSetId(sink.into()),
        }
    }

    #[test]
    fn bindings_follow_the_last_compile() {
        let unit = UnitId::Gateway(NamespacedName::new("a", "g"));
        let mut bindings = Bindings::default();
        let names = |sinks: Vec<TargetSetId>| sinks.into_iter().map(|sink| sink.0).collect::<Vec<_>>();
        assert_eq!(names(bindings.replace(&unit, vec![binding("web", "1"), binding("api", "2")])), ["1", "2"]);
        assert!(bindings.replace(&unit, vec![binding("web", "1"), binding("api", "2")]).is_empty());
        bindings.absent.insert(TargetSetId("1".into()));
        assert_eq!(names(bindings.made(&unit)), ["1"]);
        assert_eq!(names(bindings.replace(&unit, vec![binding("api", "1")])), ["1"]);
        assert_eq!(bindings.by_service.len(), 1);
        assert!(bindings.absent.is_empty());
        assert!(bindings.replace(&unit, vec![]).is_empty());
        assert!(bindings.by_sink.is_empty() && bindings.by_service.is_empty() && bindings.by_unit.is_empty() && bindings.made.is_empty());
    }
}
