//! A pass over one load balancer: translate, compile, observe, diff, execute, and what is to be reported of it.

mod account;
mod assignment;
mod removal;
mod replica;

pub use account::account_name;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portico_crds::{Kind, NamespacedName};
use portico_providers::{ClusterId, Leadership, LoadBalancerState, Outcome, Provider, ProviderError, RouteId, UnitId};
use portico_translate::{CLASS_FINALIZER, FINALIZER, Report, UnitState, translate, translate_class};
use serde_json::Value;
use tracing::{debug, info, warn};

use crate::cluster::ClusterError;
use crate::gate;
use crate::keeper::SharedWorld;
use crate::metrics::{Metrics, ResultLabel};
use crate::news::News;
use crate::objects::{self, Objects};
use crate::queue::Finish;
use crate::status::StatusWriter;
use crate::targets::Targets;
use crate::witness::{Telling, Witness};

/// Makes passes. Passes over different units may run at the same time, passes over one may not: the queue sees to that.
pub struct Engine<P> {
    provider: Arc<P>,
    cluster: ClusterId,
    world: SharedWorld,
    objects: Arc<Objects>,
    leadership: Arc<dyn Leadership>,
    status: Arc<StatusWriter>,
    targets: Arc<Targets<P>>,
    metrics: Arc<Metrics>,
    witness: Arc<dyn Witness>,
    stale: Mutex<BTreeMap<UnitId, Doubt>>,
    owned: Mutex<BTreeMap<UnitId, Owned>>,
    reserved: Mutex<Reserved>,
    postponed: Mutex<BTreeSet<UnitId>>,
    unpublished: Mutex<BTreeSet<UnitId>>,
    left_alone: Mutex<BTreeSet<UnitId>>,
    accounts: Mutex<BTreeMap<UnitId, Value>>,
}

/// Addresses that were chosen, and that no status may show yet.
#[derive(Debug, Default)]
struct Reserved {
    addresses: BTreeMap<IpAddr, UnitId>,
    /// The one that was chosen last.
    last: Option<IpAddr>,
}

/// What a unit may own in the cloud, as far as this process knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owned {
    /// What is served.
    Served,
    /// What its Gateway left behind.
    Orphaned,
}

/// A Gateway that a pass acts for, and its uid.
type Principal = (NamespacedName, Option<Value>);

/// Why the cache is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// The sweep looks for what was changed from outside.
    Swept,
    /// The cloud was still at work when it was last looked at.
    Unsettled,
}

/// What a pass came to.
#[derive(Debug)]
enum Passed {
    /// The load balancer is as it should be.
    Done,
    /// The cloud is still at work: it is looked at afresh after the pause.
    LookAgain(Duration),
    /// The load balancer is not active yet, or changes wait for targets, at most that long; the target loop says when they are ready.
    Waiting(Duration),
    /// There is nothing to do about this unit.
    Nothing,
}

/// What became of a load balancer that is served.
struct Brought {
    outcome: Outcome,
    /// Changes wait for targets, at most that long.
    waiting: Option<Duration>,
    /// Why something is there still that nobody needs any more.
    left_over: Option<ProviderError>,
}

/// Why a pass came to nothing.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("Kubernetes: {0}")]
    Cluster(#[from] ClusterError),
}

impl PassError {
    fn class(&self) -> &'static str {
        match self {
            Self::Provider(error) => error.class(),
            Self::Cluster(_) => "kubernetes",
        }
    }
}

/// What an engine works with.
pub struct EngineParts<P> {
    /// The cloud.
    pub provider: Arc<P>,
    /// The cluster's id.
    pub cluster: ClusterId,
    /// The world.
    pub world: SharedWorld,
    /// Objects that are written.
    pub objects: Arc<Objects>,
    /// Whether this process may change anything.
    pub leadership: Arc<dyn Leadership>,
    /// Where statuses go.
    pub status: Arc<StatusWriter>,
    /// Where bindings go.
    pub targets: Arc<Targets<P>>,
    /// Where passes are counted.
    pub metrics: Arc<Metrics>,
    /// Who hears of changes.
    pub witness: Arc<dyn Witness>,
}

impl<P: Provider> Engine<P> {
    /// An engine.
    pub fn new(parts: EngineParts<P>) -> Self {
        let EngineParts { provider, cluster, world, objects, leadership, status, targets, metrics, witness } = parts;
        Self {
            provider,
            cluster,
            world,
            objects,
            leadership,
            status,
            targets,
            metrics,
            witness,
            stale: Mutex::default(),
            owned: Mutex::default(),
            reserved: Mutex::default(),
            postponed: Mutex::default(),
            unpublished: Mutex::default(),
            left_alone: Mutex::default(),
            accounts: Mutex::default(),
        }
    }

    /// The cloud.
    pub fn provider(&self) -> &P {
        &self.provider
    }

    /// The cluster's id.
    pub fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// The next pass over this unit asks the cloud, whatever the cache says.
    pub fn mark_stale(&self, unit: UnitId) {
        self.doubt(unit, Doubt::Swept);
    }

    fn doubt(&self, unit: UnitId, doubt: Doubt) {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner).insert(unit, doubt);
    }

    fn owned(&self) -> MutexGuard<'_, BTreeMap<UnitId, Owned>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, unit: &UnitId, news: &News<'_>) {
        if !self.leadership.is_leader() {
            return;
        }
        self.metrics.standing.note(unit, news);
        self.witness.told(unit, news);
    }

    /// Makes one pass.
    pub async fn pass(&self, unit: &UnitId) -> Finish {
        let finish = self.try_pass(unit).await;
        if finish != Finish::Failed {
            self.published(unit);
        }
        finish
    }

    async fn try_pass(&self, unit: &UnitId) -> Finish {
        if !self.leadership.is_leader() && !self.concerns_every_replica(unit) {
            self.postpone(unit);
            return Finish::Done;
        }
        let begun = Instant::now();
        let doubt = self.stale.lock().unwrap_or_else(PoisonError::into_inner).remove(unit);
        let fresh = doubt.is_some();
        let state = self.world.read().unit_state(unit);
        let passed = match state {
            UnitState::Live => self.serve(unit, doubt).await,
            UnitState::Held => Ok(Passed::Nothing),
            UnitState::Deleting => self.remove(unit).await,
            UnitState::Absent => self.forget(unit, fresh).await,
        };
        let seconds = begun.elapsed().as_secs_f64();
        self.metrics.pass_seconds.observe(seconds);
        let result = match &passed {
            Ok(Passed::Nothing) => "nothing",
            Ok(_) => "ok",
            Err(error) => error.class(),
        };
        self.metrics.passes.get_or_create(&ResultLabel { result: result.to_owned() }).inc();
        debug!(%unit, ?state, fresh, result, seconds, "pass");
        match passed {
            Ok(Passed::Done | Passed::Nothing) => Finish::Done,
            Ok(Passed::LookAgain(pause)) => {
                self.doubt(unit.clone(), Doubt::Unsettled);
                Finish::Again(pause)
            }
            Ok(Passed::Waiting(pause)) => Finish::Again(pause),
            Err(PassError::Provider(ProviderError::NotLeader)) => Finish::Done,
            Err(error) => {
                if let Some(doubt) = doubt {
                    self.doubt(unit.clone(), doubt);
                }
                let again = !matches!(&error, PassError::Provider(error) if !error.is_retryable());
                if let PassError::Cluster(ClusterError::Gone) = error {
                    info!(%unit, "its Gateway is going or gone; what was made for it goes, too");
                    return Finish::Failed;
                }
                let class = error.class();
                warn!(%unit, %error, class, again, "the pass failed");
                self.tell(unit, &News::Failed { error: &error.to_string(), class, again });
                // What no repetition can help waits for an event, or for the sweep.
                if again { Finish::Failed } else { Finish::Done }
            }
        }
    }

    /// Serves a unit.
    async fn serve(&self, unit: &UnitId, doubt: Option<Doubt>) -> Result<Passed, PassError> {
        let (translation, principals) = {
            let world = self.world.read();
            let translation = translate(&world, unit);
            let gateways = translation.iter().flat_map(|it| &it.plan).flat_map(|plan| &plan.gateways);
            let uid = |key| world.raw(Kind::Gateway, key).and_then(|raw| objects::uid(raw)).cloned();
            let principals: Vec<Principal> = gateways.map(|gateway| (gateway.key.clone(), uid(&gateway.key))).collect();
            (translation, principals)
        };
        let Some(mut translation) = translation else { return Ok(Passed::Nothing) };
        if !self.leadership.is_leader() && !translation.plan.as_ref().is_none_or(|plan| plan.profile.is_served_by_every_replica()) {
            return self.give_way(unit).await;
        }
        let Some(plan) = translation.plan.take() else {
            // Nobody can say what to serve: what exists stays as it is, and so do its targets.
            if !self.leadership.is_leader() {
                self.postpone(unit);
            }
            if !self.owned().contains_key(unit) {
                self.leave_alone(unit, true);
            }
            self.say(unit, &translation.report);
            return Ok(Passed::Nothing);
        };
        let mut report = translation.report;
        if let Some(waiting) = self.assign(unit, &plan, &mut report)? {
            return Ok(waiting);
        }
        let unread = match self.provider.prepare(&plan, doubt == Some(Doubt::Swept)).await {
            Ok(again) => again,
            Err(error) => {
                report.fail(&error);
                self.say(unit, &report);
                return Err(error.into());
            }
        };
        let compiled = self.provider.compile(&self.cluster, &plan);
        self.tell(unit, &News::Refused(&compiled.refusals));
        report.refuse(&compiled.refusals);
        self.targets.bind(unit, compiled.bindings);
        let everywhere = self.provider.is_served_by_every_replica(&compiled.stack);
        if everywhere {
            // What is published names its endpoints from the first moment.
            self.targets.fill(unit).await;
        }
        let principals = if everywhere { Vec::new() } else { principals };
        let mut brought = self.bring_about(unit, &principals, &compiled.stack, doubt, &report).await;
        if let (Ok(brought), Some(addresses)) = (&mut brought, assignment::assigned(&plan)) {
            brought.outcome.addresses = addresses;
        }
        match &brought {
            Ok(Brought { outcome, left_over, .. }) => {
                if left_over.is_none() {
                    self.tell(unit, &News::Passed(outcome));
                }
                report.finish(outcome);
            }
            Err(PassError::Provider(error)) => report.fail(error),
            Err(PassError::Cluster(_)) => {}
        }
        self.say(unit, &report);
        if brought.as_ref().is_ok_and(|it| everywhere || it.outcome.state == LoadBalancerState::Active) {
            self.leave_alone(unit, false);
        }
        self.targets.made(unit);
        if doubt.is_some() {
            self.targets.recheck(unit);
        }
        let Brought { outcome, waiting, left_over } = brought?;
        if everywhere {
            self.keep_account(unit, &plan).await?;
        }
        if let Some(busy) = left_over {
            return Err(busy.into());
        }
        let waiting = waiting.into_iter().chain(unread).min();
        match (outcome.state, waiting) {
            // Only its state changes without us, and that is asked for by every pass.
            (LoadBalancerState::Provisioning { look_again, .. } | LoadBalancerState::Unknown { look_again, .. }, _) => {
                Ok(Passed::Waiting(look_again))
            }
            (_, Some(pause)) => Ok(Passed::Waiting(pause)),
            // Where it was before, traffic is served until it is here.
            (state, _) => {
                if state == LoadBalancerState::Active
                    && let Some(pause) = self.withdraw_elsewhere(unit, &compiled.stack).await?
                {
                    return Ok(Passed::Waiting(pause));
                }
                if doubt == Some(Doubt::Swept) {
                    self.clear_elsewhere(unit, &compiled.stack).await?;
                }
                Ok(Passed::Done)
            }
        }
    }

    /// Observe, diff, execute. Changes whose gate is closed are left for a later pass.
    async fn bring_about(
        &self,
        unit: &UnitId,
        principals: &[Principal],
        stack: &P::Stack,
        doubt: Option<Doubt>,
        report: &Report,
    ) -> Result<Brought, PassError> {
        let observed = self.provider.observe(stack, doubt.is_some()).await?;
        let changes = self.provider.diff(stack, &observed)?;
        let needed = gate::needed(&changes);
        let mut closed = self.targets.wait_for(unit, &needed);
        if gate::all_wait(&changes, &closed.sets, &closed.unregistered) && self.targets.open_unused(unit) {
            closed = self.targets.wait_for(unit, &needed);
        }
        let (changes, waiting) = gate::split(changes, &closed.sets, &closed.unregistered);
        if waiting > 0 {
            let target_sets = closed.sets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            info!(%unit, waiting, target_sets, "changes wait until their targets take requests");
        }
        let mut left_over = None;
        if !changes.is_empty() {
            if doubt == Some(Doubt::Swept) {
                self.metrics.drift.inc();
                self.tell(unit, &News::Drifted);
            }
            info!(%unit, changes = changes.len(), "changes");
            // What translation found out need not wait for a cloud.
            if !self.provider.is_served_by_every_replica(stack) {
                self.say(unit, report);
            }
            self.hold(principals).await?;
            self.owned().insert(unit.clone(), Owned::Served);
            let executed = self.execute(unit, stack, changes).await;
            self.targets.changed(unit);
            match executed {
                Err(busy @ ProviderError::Busy { .. }) => left_over = Some(busy),
                result => result?,
            }
        }
        let outcome = self.provider.outcome(stack).await?;
        if outcome.state != LoadBalancerState::Absent {
            self.owned().insert(unit.clone(), Owned::Served);
            self.hold(principals).await?;
        }
        Ok(Brought { outcome, waiting: (waiting > 0).then_some(closed.at_most), left_over })
    }

    async fn execute(
        &self,
        unit: &UnitId,
        stack: &P::Stack,
        changes: Vec<portico_providers::Change<P::Operation>>,
    ) -> Result<(), ProviderError> {
        let made = || self.targets.made(unit);
        let telling =
            Telling { unit, provider: self.provider.name(stack), witness: self.witness.as_ref(), metrics: &self.metrics, made: &made };
        self.provider.execute(stack, changes, &self.leadership, &telling).await
    }

    /// Puts our finalizer on the Gateways that a pass acts for, before anything exists that would outlive them. Where one of them is going, or gone, the event that
    /// says so brings the unit back.
    async fn hold(&self, principals: &[Principal]) -> Result<(), ClusterError> {
        for (gateway, uid) in principals {
            self.objects.hold(Kind::Gateway, gateway, uid.as_ref(), FINALIZER).await?;
        }
        Ok(())
    }

    /// Says what a report holds; only the leader does.
    fn say(&self, unit: &UnitId, report: &Report) {
        if !self.leadership.is_leader() {
            return;
        }
        let statuses = report.statuses(&self.world.read());
        self.status.say(&Some(unit.clone()), statuses);
    }

    /// Reports on a GatewayClass and keeps its finalizer while it has Gateways.
    pub async fn class(&self, name: &String) -> Finish {
        if !self.leadership.is_leader() {
            return Finish::Done;
        }
        let key = NamespacedName::new("", name.as_str());
        let (report, used) = {
            let world = self.world.read();
            let report = translate_class(&world, name, &|settings| self.provider.supported_features(settings));
            (report, world.gateways_of_class(name).next().is_some())
        };
        let ours = report.is_some();
        if let Some(report) = report {
            self.status.say(&None, [((Kind::GatewayClass, key.clone()), report.desired())]);
        }
        match self.objects.set_finalizer(Kind::GatewayClass, &key, CLASS_FINALIZER, ours && used).await {
            Ok(_) => Finish::Done,
            Err(error) => {
                warn!(kind = %Kind::GatewayClass, object = name, %error, "the class's finalizer cannot be written; trying again");
                Finish::Failed
            }
        }
    }

    /// Takes entries of ours off a BackendTLSPolicy whose ancestors are not ours any more.
    pub fn clean_policy(&self, key: &NamespacedName) {
        let world = self.world.read();
        if let Some(desired) = portico_translate::policy_cleanup(&world, key) {
            self.status.say(&None, [((Kind::BackendTlsPolicy, key.clone()), desired)]);
        }
    }

    /// Takes entries of ours off a route whose parents are not ours any more.
    pub fn clean_route(&self, route: &RouteId) {
        let world = self.world.read();
        if let Some(desired) = portico_translate::route_cleanup(&world, route)
            && let Some(kind) = Kind::ROUTES.into_iter().find(|kind| kind.name() == route.kind.as_str())
        {
            self.status.say(&None, [((kind, route.key.clone()), desired)]);
        }
    }
}
