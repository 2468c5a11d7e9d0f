//! All providers as one: each unit goes to the one that its profile names, and what it had with another before is found and deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use portico_aws_api::Aws;
use portico_crds::v1alpha1::EffectiveProfile;
use portico_envoy_xds::Envoy;
use portico_providers::{
    Change, ClusterId, Compiled, Feature, Gathering, Leadership, Outcome, Plan, Progress, Provider, ProviderError, Secrets, ServiceTargets,
    TargetHealth, TargetSetId, TargetsReport, UnitId,
};
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};

/// One provider's own, of any of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Of<A, E> {
    /// Amazon Web Services'.
    Aws(A),
    /// An Envoy fleet's.
    Envoy(E),
}

impl<A: fmt::Display, E: fmt::Display> fmt::Display for Of<A, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aws(it) => it.fmt(f),
            Self::Envoy(it) => it.fmt(f),
        }
    }
}

impl<A, E> Of<A, E> {
    fn aws(self) -> Option<A> {
        match self {
            Self::Aws(it) => Some(it),
            Self::Envoy(_) => None,
        }
    }

    fn envoy(self) -> Option<E> {
        match self {
            Self::Envoy(it) => Some(it),
            Self::Aws(_) => None,
        }
    }
}

/// A stack of any provider.
pub type Stack = Of<portico_aws::Stack, portico_envoy::Stack>;
/// What exists, with any provider.
pub type Observed = Of<portico_aws::Observed, portico_envoy::Observed>;
/// A call of any provider.
pub type Operation = Of<portico_aws::Operation, portico_envoy::Operation>;

/// Where a unit may own something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Home {
    Aws,
    Envoy,
}

impl Home {
    fn of(settings: &EffectiveProfile) -> Self {
        match settings {
            EffectiveProfile::Aws(_) => Self::Aws,
            EffectiveProfile::Envoy(_) => Self::Envoy,
        }
    }
}

/// All providers.
pub struct Clouds {
    aws: Aws,
    envoy: Envoy,
    /// Where units may own something: where this process worked for them, and where the last listing found something.
    homes: Mutex<BTreeMap<UnitId, BTreeSet<Home>>>,
}

impl Clouds {
    /// These providers.
    pub fn new(aws: Aws, envoy: Envoy) -> Self {
        Self { aws, envoy, homes: Mutex::default() }
    }

    /// Says where private keys and authorities come from, once, before anything is executed.
    pub fn read_keys_from<S: Secrets + 'static>(&self, secrets: &Arc<S>) {
        self.aws.read_keys_from(secrets.clone());
        self.envoy.read_keys_from(secrets.clone());
    }

    /// Shows in a registry what providers count.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.aws.register_metrics(registry);
        self.envoy.register_metrics(registry);
    }

    /// Amazon Web Services.
    pub fn aws(&self) -> &Aws {
        &self.aws
    }

    /// The Envoy fleets.
    pub fn envoy(&self) -> &Envoy {
        &self.envoy
    }

    fn homes(&self) -> MutexGuard<'_, BTreeMap<UnitId, BTreeSet<Home>>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn homes_of(&self, unit: &UnitId) -> BTreeSet<Home> {
        self.homes().get(unit).cloned().unwrap_or_default()
    }

    fn works_with_aws(&self) -> bool {
        self.homes().values().any(|homes| homes.contains(&Home::Aws))
    }

    fn aws_stacks(&self, cluster: &ClusterId, unit: &UnitId, settings: Option<&EffectiveProfile>) -> impl Iterator<Item = Stack> + use<> {
        self.aws.empty_stacks(cluster, unit, settings).into_iter().map(Stack::Aws)
    }

    fn envoy_stacks(&self, cluster: &ClusterId, unit: &UnitId, settings: Option<&EffectiveProfile>) -> impl Iterator<Item = Stack> + use<> {
        self.envoy.empty_stacks(cluster, unit, settings).into_iter().map(Stack::Envoy)
    }
}

/// A stack that meets what was observed for another provider's: a defect of ours.
fn strangers() -> ProviderError {
    ProviderError::Transient {
        operation: "comparing".to_owned(),
        message: "the stack and what was observed are of different providers".to_owned(),
    }
}

/// Changes in the words of the one provider that is to make them.
fn own<Own>(changes: Vec<Change<Operation>>, words: fn(Operation) -> Option<Own>) -> Result<Vec<Change<Own>>, ProviderError> {
    changes.into_iter().map(|change| change.filter_map(words).ok_or_else(strangers)).collect()
}

/// Whether a target set is a cluster of Envoy, whose name holds its unit. AWS: the name of a target group has letters, digits and hyphens.
fn is_cluster(set: &TargetSetId) -> bool {
    set.0.contains('/')
}

/// Tells a provider's own progress on.
struct Told<'a, A, E> {
    to: &'a dyn Progress<Of<A, E>>,
}

impl Progress<portico_aws::Operation> for Told<'_, portico_aws::Operation, portico_envoy::Operation> {
    fn begin(&self, change: &Change<portico_aws::Operation>) {
        self.to.begin(&change.clone().map(Of::Aws));
    }

    fn end(&self, change: &Change<portico_aws::Operation>, error: Option<&ProviderError>) {
        self.to.end(&change.clone().map(Of::Aws), error);
    }
}

impl Progress<portico_envoy::Operation> for Told<'_, portico_aws::Operation, portico_envoy::Operation> {
    fn begin(&self, change: &Change<portico_envoy::Operation>) {
        self.to.begin(&change.clone().map(Of::Envoy));
    }

    fn end(&self, change: &Change<portico_envoy::Operation>, error: Option<&ProviderError>) {
        self.to.end(&change.clone().map(Of::Envoy), error);
    }
}

#[async_trait]
impl Provider for Clouds {
    type Stack = Stack;
    type Observed = Observed;
    type Operation = Operation;

    fn name(&self, stack: &Stack) -> &'static str {
        match stack {
            Of::Aws(stack) => self.aws.name(stack),
            Of::Envoy(stack) => self.envoy.name(stack),
        }
    }

    fn supported_features(&self, settings: &EffectiveProfile) -> Vec<Feature> {
        match Home::of(settings) {
            Home::Aws => self.aws.supported_features(settings),
            Home::Envoy => self.envoy.supported_features(settings),
        }
    }

    fn is_served_by_every_replica(&self, stack: &Stack) -> bool {
        match stack {
            Of::Aws(stack) => self.aws.is_served_by_every_replica(stack),
            Of::Envoy(stack) => self.envoy.is_served_by_every_replica(stack),
        }
    }

    fn on_news(&self, tell: Arc<dyn Fn(&UnitId) + Send + Sync>) {
        self.aws.on_news(tell.clone());
        self.envoy.on_news(tell);
    }

    fn is_complete(&self) {
        self.aws.is_complete();
        self.envoy.is_complete();
    }

    fn leave_alone(&self, unit: &UnitId, alone: bool) {
        self.aws.leave_alone(unit, alone);
        self.envoy.leave_alone(unit, alone);
    }

    fn leads(&self) {
        self.aws.leads();
        self.envoy.leads();
    }

    async fn prepare(&self, plan: &Plan, fresh: bool) -> Result<Option<Duration>, ProviderError> {
        match Home::of(&plan.profile) {
            Home::Aws => self.aws.prepare(plan, fresh).await,
            Home::Envoy => self.envoy.prepare(plan, fresh).await,
        }
    }

    fn compile(&self, cluster: &ClusterId, plan: &Plan) -> Compiled<Stack> {
        let home = Home::of(&plan.profile);
        self.homes().entry(plan.unit.clone()).or_default().insert(home);
        match home {
            Home::Aws => {
                let Compiled { stack, refusals, bindings } = self.aws.compile(cluster, plan);
                Compiled { stack: Of::Aws(stack), refusals, bindings }
            }
            Home::Envoy => {
                let Compiled { stack, refusals, bindings } = self.envoy.compile(cluster, plan);
                Compiled { stack: Of::Envoy(stack), refusals, bindings }
            }
        }
    }

    fn empty_stacks(&self, cluster: &ClusterId, unit: &UnitId, settings: Option<&EffectiveProfile>) -> Vec<Stack> {
        let mut homes = self.homes_of(unit);
        homes.extend(settings.map(Home::of));
        if homes.is_empty() {
            homes.extend([Home::Aws, Home::Envoy]);
        }
        let aws = homes.contains(&Home::Aws).then(|| self.aws_stacks(cluster, unit, settings));
        let envoy = homes.contains(&Home::Envoy).then(|| self.envoy_stacks(cluster, unit, settings));
        aws.into_iter().flatten().chain(envoy.into_iter().flatten()).collect()
    }

    async fn left_behind(&self, stack: &Stack) -> Vec<Stack> {
        match stack {
            Of::Aws(stack) => {
                let moved = self.homes_of(&stack.unit).contains(&Home::Envoy).then(|| self.envoy_stacks(&stack.cluster, &stack.unit, None));
                self.aws.left_behind(stack).await.into_iter().map(Of::Aws).chain(moved.into_iter().flatten()).collect()
            }
            Of::Envoy(stack) => {
                let moved = self.homes_of(&stack.unit).contains(&Home::Aws).then(|| self.aws_stacks(&stack.cluster, &stack.unit, None));
                self.envoy.left_behind(stack).await.into_iter().map(Of::Envoy).chain(moved.into_iter().flatten()).collect()
            }
        }
    }

    async fn observe(&self, stack: &Stack, fresh: bool) -> Result<Observed, ProviderError> {
        match stack {
            Of::Aws(stack) => self.aws.observe(stack, fresh).await.map(Of::Aws),
            Of::Envoy(stack) => self.envoy.observe(stack, fresh).await.map(Of::Envoy),
        }
    }

    fn diff(&self, stack: &Stack, observed: &Observed) -> Result<Vec<Change<Operation>>, ProviderError> {
        match (stack, observed) {
            (Of::Aws(stack), Of::Aws(observed)) => {
                Ok(self.aws.diff(stack, observed)?.into_iter().map(|change| change.map(Of::Aws)).collect())
            }
            (Of::Envoy(stack), Of::Envoy(observed)) => {
                Ok(self.envoy.diff(stack, observed)?.into_iter().map(|change| change.map(Of::Envoy)).collect())
            }
            _ => Err(strangers()),
        }
    }

    async fn execute(
        &self,
        stack: &Stack,
        changes: Vec<Change<Operation>>,
        leadership: &Arc<dyn Leadership>,
        progress: &dyn Progress<Operation>,
    ) -> Result<(), ProviderError> {
        let told = Told { to: progress };
        match stack {
            Of::Aws(stack) => self.aws.execute(stack, own(changes, Of::aws)?, leadership, &told).await,
            Of::Envoy(stack) => self.envoy.execute(stack, own(changes, Of::envoy)?, leadership, &told).await,
        }
    }

    async fn outcome(&self, stack: &Stack) -> Result<Outcome, ProviderError> {
        match stack {
            Of::Aws(stack) => self.aws.outcome(stack).await,
            Of::Envoy(stack) => self.envoy.outcome(stack).await,
        }
    }

    async fn sync_targets(&self, targets: &ServiceTargets, leadership: &Arc<dyn Leadership>) -> Result<TargetsReport, ProviderError> {
        if is_cluster(&targets.binding.sink) {
            self.envoy.sync_targets(targets, leadership).await
        } else {
            self.aws.sync_targets(targets, leadership).await
        }
    }

    fn gathering(&self, set: &TargetSetId) -> Gathering {
        if is_cluster(set) { self.envoy.gathering(set) } else { self.aws.gathering(set) }
    }

    async fn target_health(&self, set: &TargetSetId) -> Result<Vec<TargetHealth>, ProviderError> {
        if is_cluster(set) { self.envoy.target_health(set).await } else { self.aws.target_health(set).await }
    }

    async fn owned_units(&self, cluster: &ClusterId, settings: &[EffectiveProfile]) -> Result<Vec<UnitId>, ProviderError> {
        let mut units: BTreeSet<UnitId> = self.envoy.owned_units(cluster, settings).await?.into_iter().collect();
        // Whoever has classes, and none in AWS, need not be able to list load balancers there.
        let elsewhere = !settings.is_empty() && settings.iter().all(|settings| Home::of(settings) != Home::Aws);
        if self.works_with_aws() || !elsewhere {
            let owned = self.aws.owned_units(cluster, settings).await?;
            let mut homes = self.homes();
            for unit in &owned {
                homes.entry(unit.clone()).or_default().insert(Home::Aws);
            }
            drop(homes);
            units.extend(owned);
        }
        Ok(units.into_iter().collect())
    }
}
