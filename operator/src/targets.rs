//! The target loop: endpoints to target sets, keyed by target set, apart from the pipeline and never waiting for it.

mod bindings;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use portico_crds::NamespacedName;
use portico_providers::{
    Binding, Gathering, Leadership, Provider, ProviderError, RejectedTarget, ServiceTargets, TargetHealth, TargetSetId, TargetState,
    TargetsReport, UnitId,
};
use tracing::{debug, info, warn};

use crate::gate::Needed;
use crate::keeper::SharedWorld;
use crate::metrics::{Metrics, ResultLabel};
use crate::news::News;
use crate::queue::{Backoff, Finish, Queue};
use crate::witness::Witness;
use bindings::Bindings;

/// Pause before another look at addresses that cannot be registered yet.
const WAITING: Duration = Duration::from_secs(5);

/// Pause before another look at a target set that was not there, should no pass come before.
const ABSENT: Duration = Duration::from_secs(30);

/// How long changes wait for targets that do not become healthy. AWS registers a target within a minute and looks at it every few seconds; what takes longer is more
/// likely a health check that does not fit its pods than pods that will be ready soon.
const PATIENCE: Duration = Duration::from_secs(120);

/// Pause before addresses are offered again that the cloud did not take.
const REJECTED: Duration = Duration::from_secs(300);

/// Keeps target sets filled.
pub struct Targets<P> {
    provider: Arc<P>,
    world: SharedWorld,
    leadership: Arc<dyn Leadership>,
    metrics: Arc<Metrics>,
    witness: Arc<dyn Witness>,
    bindings: Mutex<Bindings>,
    queue: Queue<TargetSetId>,
    awaited: Mutex<BTreeMap<TargetSetId, Awaited>>,
    patience: Mutex<Duration>,
    wake: OnceLock<Wake>,
}

/// Hears of a unit whose changes need not wait any more.
type Wake = Box<dyn Fn(&UnitId) + Send + Sync>;

/// A target set that changes wait for.
#[derive(Debug)]
struct Awaited {
    unit: UnitId,
    needed: Needed,
    since: Instant,
    open: bool,
    registered: bool,
    /// As last seen since the unit's last change: no rule sends it requests, so that nobody checks its targets.
    unused: bool,
}

/// Target sets that changes wait for.
#[derive(Debug, Default)]
pub struct Closed {
    /// The sets.
    pub sets: BTreeSet<TargetSetId>,
    /// Those among them whose targets are not registered yet.
    pub unregistered: BTreeSet<TargetSetId>,
    /// When patience is over.
    pub at_most: Duration,
}

impl<P: Provider> Targets<P> {
    /// A loop without bindings.
    pub fn new(
        provider: Arc<P>,
        world: SharedWorld,
        leadership: Arc<dyn Leadership>,
        metrics: Arc<Metrics>,
        witness: Arc<dyn Witness>,
    ) -> Self {
        let backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(30) };
        let queue = Queue::new(backoff, metrics.depth("targets"));
        Self {
            provider,
            world,
            leadership,
            metrics,
            witness,
            bindings: Mutex::default(),
            queue,
            awaited: Mutex::default(),
            patience: Mutex::new(PATIENCE),
            wake: OnceLock::new(),
        }
    }

    /// Says whom to tell of units whose changes need not wait for targets any more; the first call counts.
    pub fn on_open(&self, wake: impl Fn(&UnitId) + Send + Sync + 'static) {
        let _ = self.wake.set(Box::new(wake));
    }

    /// How long changes wait for targets that do not become healthy.
    pub fn set_patience(&self, patience: Duration) {
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner) = patience;
    }

    fn patience(&self) -> Duration {
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn awaited(&self) -> MutexGuard<'_, BTreeMap<TargetSetId, Awaited>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
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
        let patience = self.patience();
        self.queue.is_settled_for(Gathering::default().gains)
            && self.awaited().values().all(|awaited| awaited.open || awaited.since.elapsed() > patience)
    }

    /// Which of the target sets that a unit's changes need are not ready; the loop looks after them, and wakes the unit when they are. What the unit waited for before
    /// and does not need now is forgotten. Never blocks.
    pub fn wait_for(&self, unit: &UnitId, needed: &BTreeMap<TargetSetId, Needed>) -> Closed {
        let bound: BTreeSet<_> = {
            let bindings = self.bindings();
            needed.keys().filter(|sink| bindings.by_sink.contains_key(*sink)).cloned().collect()
        };
        let patience = self.patience();
        let mut closed = Closed::default();
        let mut awaited = self.awaited();
        awaited.retain(|sink, it| it.unit != *unit || bound.contains(sink));
        for (sink, needed) in needed.iter().filter(|(sink, _)| bound.contains(*sink)) {
            let entry = awaited.entry(sink.clone()).or_insert_with(|| {
                self.queue.add(sink.clone());
                Awaited { unit: unit.clone(), needed: *needed, since: Instant::now(), open: false, registered: false, unused: false }
            });
            if entry.needed < *needed {
                entry.needed = *needed;
                entry.open = false;
                self.queue.add(sink.clone());
            }
            self.give_up(sink, entry);
            if !entry.open {
                closed.sets.insert(sink.clone());
                if !entry.registered {
                    closed.unregistered.insert(sink.clone());
                }
                closed.at_most = closed.at_most.max(patience.saturating_sub(entry.since.elapsed()));
            }
        }
        closed
    }

    /// Changes of a unit were made: what was seen of its target sets before says nothing any more.
    pub fn changed(&self, unit: &UnitId) {
        self.awaited().values_mut().filter(|it| it.unit == *unit).for_each(|it| it.unused = false);
    }

    /// Opens the gates of a unit's target sets that cannot become healthy, because only changes that wait for them would put them to use. Says whether there were any.
    pub fn open_unused(&self, unit: &UnitId) -> bool {
        let mut awaited = self.awaited();
        let stuck: Vec<_> = awaited.values_mut().filter(|it| it.unit == *unit && !it.open && it.unused).collect();
        let any = !stuck.is_empty();
        stuck.into_iter().for_each(|it| it.open = true);
        any
    }

    /// Looks whether a target set that changes wait for is ready. Returns the pause until the next look, if one is needed.
    async fn look(&self, sink: &TargetSetId, targets: &ServiceTargets, report: &TargetsReport) -> Option<Duration> {
        let (needed, since) = self.awaited().get(sink).filter(|it| !it.open).map(|it| (it.needed, it.since))?;
        let wanted = targets.in_use();
        let registered = report.held > 0 && report.held + report.waiting + report.rejected.len() >= wanted.len();
        let mut unused = false;
        let ready = wanted.is_empty()
            || registered
                && match needed {
                    Needed::Registered => true,
                    Needed::Healthy => match self.provider.target_health(sink).await {
                        Ok(found) => {
                            unused = !found.is_empty() && found.iter().all(|health| health.state == TargetState::Unused);
                            are_healthy(&wanted, &found)
                        }
                        Err(error) => {
                            debug!(target_set = %sink, %error, "the health of targets cannot be read; looking again");
                            false
                        }
                    },
                };
        let mut awaited = self.awaited();
        let entry = awaited.get_mut(sink)?;
        entry.open |= ready;
        self.give_up(sink, entry);
        let news = entry.open || (registered && !entry.registered) || (unused && !entry.unused);
        (entry.registered, entry.unused) = (entry.registered || registered, unused);
        let (open, unit) = (entry.open, entry.unit.clone());
        drop(awaited);
        if let Some(wake) = self.wake.get().filter(|_| news) {
            wake(&unit);
        }
        if open {
            return None;
        }
        // The longer it takes, the rarer the looks.
        Some((since.elapsed() / 4).clamp(Duration::from_millis(100), WAITING))
    }

    /// Takes up the bindings of a unit's newest compile.
    pub fn bind(&self, unit: &UnitId, bindings: Vec<Binding>) {
        if bindings.is_empty() {
            self.awaited().retain(|_, it| it.unit != *unit);
        }
        let changed = {
            let mut all = self.bindings();
            let changed = all.replace(unit, bindings);
            self.metrics.targets_rejected.set(all.rejected());
            changed
        };
        changed.into_iter().for_each(|sink| self.queue.add(sink));
    }

    /// Brings all target sets of a unit that wait up to date at once. For providers to which that is no call.
    pub async fn fill(&self, unit: &UnitId) {
        let sinks: Vec<TargetSetId> = self.bindings().by_unit.get(unit).into_iter().flatten().cloned().collect();
        for sink in sinks.into_iter().filter(|sink| self.queue.take(sink)) {
            let finish = self.sync(&sink).await;
            self.queue.finish(&sink, finish);
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
            let gathering = self.provider.gathering(sink);
            self.queue.add_after(sink.clone(), if loses { gathering.losses } else { gathering.gains });
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
        let result = self.provider.sync_targets(&targets, &self.leadership).await;
        let word = result.as_ref().map_or_else(ProviderError::class, |_| "ok");
        self.metrics.target_syncs.get_or_create(&ResultLabel { result: word.to_owned() }).inc();
        match result {
            Ok(report) => {
                self.bindings().used.insert(sink.clone(), targets.in_use());
                self.tell_rejected(&unit, sink, &targets, &report.rejected);
                self.metrics.targets_registered.inc_by(u64::try_from(report.registered).unwrap_or(0));
                self.metrics.targets_deregistered.inc_by(u64::try_from(report.deregistered).unwrap_or(0));
                if report.registered + report.deregistered > 0 {
                    info!(target_set = %sink, service = %binding.source.service, registered = report.registered, deregistered = report.deregistered, "targets");
                }
                let waiting = (report.waiting > 0).then_some(WAITING);
                let rejected = (!report.rejected.is_empty()).then_some(REJECTED);
                let look = self.look(sink, &targets, &report).await;
                [waiting, rejected, look].into_iter().flatten().min().map_or(Finish::Done, Finish::Again)
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
                warn!(%unit, target_set = %sink, service = %binding.source.service, %error, class = error.class(), "targets cannot be brought up to date");
                if error.is_retryable() { Finish::Failed } else { Finish::Done }
            }
        }
    }
}

impl<P: Provider> Targets<P> {
    /// Says once of each address that the cloud does not take it, and of which pod it is.
    fn tell_rejected(&self, unit: &UnitId, sink: &TargetSetId, targets: &ServiceTargets, rejected: &[RejectedTarget]) {
        let before = {
            let mut bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
            let before = bindings.reject(sink, rejected);
            self.metrics.targets_rejected.set(bindings.rejected());
            before
        };
        let service = &targets.binding.source.service;
        for target in rejected.iter().filter(|target| !before.contains(target)) {
            let endpoint = targets.endpoints.iter().find(|endpoint| endpoint.address == target.address && endpoint.port == target.port);
            let pod = endpoint.and_then(|endpoint| endpoint.target_ref.as_deref());
            let RejectedTarget { address, port, reason } = target;
            warn!(target_set = %sink, %service, pod, %address, port, reason, "the cloud does not take this address; all others are registered");
            self.witness.told(unit, &News::Rejected { service, target: pod, rejected: target });
        }
    }

    /// Opens the gate of a target set when patience is over.
    fn give_up(&self, sink: &TargetSetId, awaited: &mut Awaited) {
        let patience = self.patience();
        if awaited.open || awaited.since.elapsed() < patience {
            return;
        }
        awaited.open = true;
        let (unit, seconds) = (&awaited.unit, patience.as_secs());
        warn!(
            %unit, target_set = %sink, needed = ?awaited.needed, seconds,
            "the targets did not become ready; traffic is moved to them nevertheless: check the health check of the LoadBalancerProfile and the pods"
        );
        if let Some(service) = self.bindings().service_of(sink) {
            self.witness.told(unit, &News::Unready { service: &service, seconds });
        }
    }
}

/// Whether the load balancer sends requests to targets that answer: each has been checked, and at least one is healthy.
fn are_healthy(wanted: &BTreeSet<(IpAddr, u16)>, found: &[TargetHealth]) -> bool {
    let mut states = found.iter().filter(|health| wanted.contains(&(health.address, health.port))).map(|health| health.state);
    let unchecked = states.clone().any(|state| state == TargetState::Initial);
    !unchecked && states.any(|state| state == TargetState::Healthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_healthy_when_all_were_checked_and_one_passed() {
        use TargetState::{Healthy, Initial, Unhealthy, Unused};
        for (states, expected) in [
            (vec![Healthy], true),
            (vec![Healthy, Unhealthy], true),
            (vec![Healthy, Initial], false),
            (vec![Unhealthy], false),
            (vec![Unused], false),
            (vec![], false),
        ] {
            let address = |n: usize| IpAddr::from([10, 0, 0, u8::try_from(n).unwrap()]);
            let wanted = (0..states.len()).map(|n| (address(n), 80)).collect();
            let mut found: Vec<_> =
                (0..).zip(&states).map(|(n, state)| TargetHealth { address: address(n), port: 80, state: *state, reason: None }).collect();
            // One that goes does not count.
            found.push(TargetHealth { address: address(99), port: 80, state: Initial, reason: None });
            assert_eq!(are_healthy(&wanted, &found), expected, "{states:?}");
        }
    }
}
