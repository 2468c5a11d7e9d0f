//! The contract that every cloud fulfils.

use crate::{AddressKind, Binding, Change, ClusterId, Plan, Refusal, ServiceTargets, TargetHealth, TargetSetId, TargetsReport, UnitId};
use async_trait::async_trait;
use portico_crds::v1alpha1::EffectiveProfile;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

/// A cloud, in Portico's seven words. `compile` and `diff` are pure; `observe`, `execute` and the target calls are the only ones that may touch
/// the cloud.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Desired objects of one unit and their references to one another; a value that goldens hold and `portico plan` prints.
    type Stack: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync;
    /// What exists for one unit.
    type Observed: Clone + Debug + Serialize + Send + Sync;
    /// One call, in the cloud's own words; displayed as a person would say it.
    type Operation: Clone + Debug + Display + Serialize + Send + Sync;

    /// Short name of whom a stack is for, for logs and metrics: `aws`.
    fn name(&self, stack: &Self::Stack) -> &'static str;

    /// Features that may be claimed in `GatewayClass.status.supportedFeatures` of a class with these settings, sorted by name.
    fn supported_features(&self, settings: &EffectiveProfile) -> Vec<Feature>;

    /// Whether what a stack describes is served by every replica of the operator from its own memory (see [`EffectiveProfile::is_served_by_every_replica`]): then
    /// every replica makes passes over its unit, and nothing of it outlives the operator.
    fn is_served_by_every_replica(&self, _stack: &Self::Stack) -> bool {
        false
    }

    /// Takes, once, what is to be called when something changed about a unit that no pass has brought about: a proxy acknowledged or refused what it was given.
    fn on_news(&self, _tell: Arc<dyn Fn(&UnitId) + Send + Sync>) {}

    /// Everything that the cluster holds has been executed once by this replica: from now on what is not there does not exist.
    fn is_complete(&self) {}

    /// Says whether nobody can say what a unit is to be, of which this process has brought nothing about: until that is known, whoever was told of it before keeps it.
    fn leave_alone(&self, _unit: &UnitId, _alone: bool) {}

    /// This process leads from now on: what it says of load balancers is what everybody reads.
    fn leads(&self) {}

    /// Reads what compile depends on besides the plan (the account's limits, certificates that the cloud holds), unless it is remembered; with `fresh`, what others may
    /// have changed is looked at again. To be called before compile by everyone who may call the cloud;
    /// without it compile takes the cloud's documented defaults. What could not be read and is asked for by single listeners only is compile's to refuse; given back is when
    /// to ask again.
    async fn prepare(&self, _plan: &Plan, _fresh: bool) -> Result<Option<Duration>, ProviderError> {
        Ok(None)
    }

    /// The stack that serves a plan, what it cannot serve, and which endpoints fill its target sets. Pure and total.
    fn compile(&self, cluster: &ClusterId, plan: &Plan) -> Compiled<Self::Stack>;

    /// The stacks of a unit that is to go: `diff` against them deletes everything of that unit and nothing else. One for each place (a region of the cloud) where it may
    /// own something: where `settings` say, as far as they are known, and wherever this process has worked.
    fn empty_stacks(&self, cluster: &ClusterId, unit: &UnitId, settings: Option<&EffectiveProfile>) -> Vec<Self::Stack>;

    /// The empty stacks for places other than the stack's own where its unit owns something as well, because its settings named them before: by the newest listing
    /// of [`Self::owned_units`]. Calls nothing.
    async fn left_behind(&self, stack: &Self::Stack) -> Vec<Self::Stack>;

    /// What exists in the cloud and is ours, with what else the stack refers to (subnets, groups). Answers from the cache where that is
    /// complete; with `fresh`, or where the cache knows nothing, it asks the cloud. Never changes anything.
    async fn observe(&self, stack: &Self::Stack, fresh: bool) -> Result<Self::Observed, ProviderError>;

    /// Minimal changes from what is observed to the stack, ordered make-before-break. Pure; `diff` of a stack that is already there is empty.
    /// Fails where the stack cannot be reached at all (no subnet fits, for example).
    fn diff(&self, stack: &Self::Stack, observed: &Self::Observed) -> Result<Vec<Change<Self::Operation>>, ProviderError>;

    /// Makes the changes, in order. Before each mutation it asks `leadership`; after each it writes the outcome through to the cache. On an error the
    /// changes made so far stand; the caller observes again and goes on later. Safe to repeat at any point.
    async fn execute(
        &self,
        stack: &Self::Stack,
        changes: Vec<Change<Self::Operation>>,
        leadership: &Arc<dyn Leadership>,
        progress: &dyn Progress<Self::Operation>,
    ) -> Result<(), ProviderError>;

    /// Where the unit's load balancer stands and which addresses it has; from the cache after `execute`.
    async fn outcome(&self, stack: &Self::Stack) -> Result<Outcome, ProviderError>;

    /// Brings a target set to hold what it should: registers what is missing before it deregisters what is too much, in batches. A no-op makes no call.
    /// [`ProviderError::NotReady`] where the target set does not exist yet.
    async fn sync_targets(&self, targets: &ServiceTargets, leadership: &Arc<dyn Leadership>) -> Result<TargetsReport, ProviderError>;

    /// How long changes of a target set's endpoints wait for one another.
    fn gathering(&self, _set: &TargetSetId) -> Gathering {
        Gathering::default()
    }

    /// Health of a target set as the cloud sees it: one read.
    async fn target_health(&self, set: &TargetSetId) -> Result<Vec<TargetHealth>, ProviderError>;

    /// All units of this cluster that own something in the cloud: one bulk listing, at start and in each round of the sweep, of every place that one of these settings
    /// names or where this process has worked. What is remembered of things that others make is forgotten.
    async fn owned_units(&self, cluster: &ClusterId, settings: &[EffectiveProfile]) -> Result<Vec<UnitId>, ProviderError>;
}

/// How long changes of endpoints wait for others that come in the same moment, so that they cost one call together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gathering {
    /// Where an endpoint must get no more requests.
    pub losses: Duration,
    /// Where there are only new endpoints.
    pub gains: Duration,
}

impl Default for Gathering {
    /// What suits a cloud in which each change is a call: the pods of a scale-up, which become ready one after the other, cost one.
    fn default() -> Self {
        Self { losses: Duration::from_millis(20), gains: Duration::from_millis(250) }
    }
}

/// Outcome of compile.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compiled<Stack> {
    /// What should exist. One today; with an Envoy tier behind a cloud load balancer a unit owns several, in order.
    pub stack: Stack,
    /// What cannot be served, ordered.
    pub refusals: Vec<Refusal>,
    /// Which endpoints fill which target set, ordered, no sink twice.
    pub bindings: Vec<Binding>,
}

/// State of a unit's load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Where it stands.
    pub state: LoadBalancerState,
    /// Its addresses; empty while it has none.
    pub addresses: Vec<LoadBalancerAddress>,
}

/// Where a load balancer stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LoadBalancerState {
    /// There is none.
    Absent,
    /// The cloud is still building it; worth another look after the pause.
    Provisioning {
        /// When to look again.
        look_again: Duration,
        /// What is waited for: a sentence.
        message: String,
    },
    /// Who asks has not been there for long enough to know, and whatever was found out before holds until then.
    Unknown {
        /// When to look again.
        look_again: Duration,
        /// What is waited for: a sentence.
        message: String,
    },
    /// It takes traffic.
    Active,
    /// It was refused, or the cloud gave up: why, and what to do about it, in sentences.
    Failed(String),
}

/// An address of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerAddress {
    /// IP address or hostname.
    pub kind: AddressKind,
    /// The address.
    pub value: String,
}

/// A Gateway API feature name, as in `supportedFeatures[].name`.
pub type Feature = &'static str;

/// Whether this process may change the world. Asked right before each call that changes something is sent.
pub trait Leadership: Send + Sync {
    /// Whether the lease is held now.
    fn is_leader(&self) -> bool;
}

/// Hears of each change as it is made.
pub trait Progress<Operation>: Send + Sync {
    /// A change begins.
    fn begin(&self, change: &Change<Operation>);
    /// A change is done, or failed.
    fn end(&self, change: &Change<Operation>, error: Option<&ProviderError>);
}

/// Classes of errors: what the caller does about it depends on the class alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The cloud asks to slow down: back off and try again.
    #[error("the cloud throttles {operation}: {message}")]
    Throttled {
        /// The call.
        operation: String,
        /// The cloud's words.
        message: String,
    },
    /// A failure that passes: a server error, a broken connection, something not visible yet. Observe, then try again.
    #[error("{operation} failed for now: {message}")]
    Transient {
        /// The call.
        operation: String,
        /// The cloud's words.
        message: String,
    },
    /// What is to be deleted is still used by something that is going, too; all else was done. Come back later.
    #[error("{operation} has to wait: {message}")]
    Busy {
        /// The call.
        operation: String,
        /// The cloud's words.
        message: String,
    },
    /// Something needed does not exist yet, and will: come back after the unit's next pass.
    #[error("not ready: {message}")]
    NotReady {
        /// What is missing.
        message: String,
    },
    /// Credentials or permissions are missing.
    #[error("{operation} is not permitted: {message}. Give the operator's role this permission")]
    Denied {
        /// The call.
        operation: String,
        /// The cloud's words.
        message: String,
    },
    /// A quota of the cloud is reached.
    #[error("{operation} needs more than the quota allows: {message}. Ask the cloud for a higher quota, or remove what is not needed")]
    Limit {
        /// The call.
        operation: String,
        /// The cloud's words.
        message: String,
    },
    /// The cloud refuses the request as such; it stays refused until something changes.
    #[error("{operation} was refused: {code}: {message}. Correct what it names; the next change is tried at once")]
    Invalid {
        /// The call.
        operation: String,
        /// The cloud's error code.
        code: String,
        /// The cloud's words.
        message: String,
    },
    /// A name or a place that we need is taken by something that is not ours.
    #[error("{resource} exists and is not ours: {message}. Delete it if nobody needs it, or give the Gateway another name")]
    Foreign {
        /// What is taken.
        resource: String,
        /// Whose it seems to be.
        message: String,
    },
    /// Settings that cannot work: the message names the field and the remedy.
    #[error("{message}")]
    Settings {
        /// For the platform team.
        message: String,
    },
    /// The lease was lost: nothing more may be changed by this process.
    #[error("this process no longer holds the lease")]
    NotLeader,
}

impl ProviderError {
    /// Whether trying again without any change of input can help.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Throttled { .. }
                | Self::Transient { .. }
                | Self::Busy { .. }
                | Self::NotReady { .. }
                | Self::Foreign { .. }
                | Self::Denied { .. }
                | Self::Limit { .. }
        )
    }

    /// One word for metrics and logs.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Transient { .. } => "transient",
            Self::Busy { .. } => "busy",
            Self::NotReady { .. } => "not-ready",
            Self::Denied { .. } => "denied",
            Self::Limit { .. } => "limit",
            Self::Invalid { .. } => "invalid",
            Self::Foreign { .. } => "foreign",
            Self::Settings { .. } => "settings",
            Self::NotLeader => "not-leader",
        }
    }
}
