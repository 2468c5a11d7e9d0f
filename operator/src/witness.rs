//! Who is told of what passes do: the log for `run`, the terminal for `demo`.

use portico_providers::{Action, Change, Progress, ProviderError, UnitId};
use tracing::{info, warn};

use crate::metrics::{ChangeLabels, Metrics};
use crate::news::News;

/// One change, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The load balancer.
    pub unit: UnitId,
    /// Create, update or delete.
    pub action: Action,
    /// The resource.
    pub resource: String,
    /// The call, in the provider's words.
    pub operation: String,
    /// Why.
    pub reason: String,
}

/// Hears of what passes do.
pub trait Witness: Send + Sync + 'static {
    /// A change was made, or failed.
    fn changed(&self, step: &Step, error: Option<&ProviderError>);

    /// A pass has news of a unit. The log has it already.
    fn told(&self, _unit: &UnitId, _news: &News<'_>) {}
}

/// Tells the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogWitness;

impl Witness for LogWitness {
    fn changed(&self, step: &Step, error: Option<&ProviderError>) {
        let Step { unit, action, resource, operation, reason } = step;
        let action = action_word(*action);
        match error {
            None => info!(%unit, action, resource, operation, reason, "changed"),
            Some(error) => warn!(%unit, action, resource, operation, reason, %error, "a change failed"),
        }
    }
}

/// `create`, `update` or `delete`.
pub fn action_word(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Delete => "delete",
    }
}

/// Passes a provider's progress on to a witness and the metrics, and to whoever waits for what was made.
pub struct Telling<'a> {
    /// The load balancer.
    pub unit: &'a UnitId,
    /// The provider's name.
    pub provider: &'static str,
    /// Who is told.
    pub witness: &'a dyn Witness,
    /// Where changes are counted.
    pub metrics: &'a Metrics,
    /// Called after each change that was made.
    pub made: &'a (dyn Fn() + Send + Sync),
}

impl<O: std::fmt::Display + Send + Sync> Progress<O> for Telling<'_> {
    fn begin(&self, _change: &Change<O>) {}

    fn end(&self, change: &Change<O>, error: Option<&ProviderError>) {
        let labels = ChangeLabels {
            provider: self.provider.to_owned(),
            action: action_word(change.action).to_owned(),
            result: error.map_or("ok", ProviderError::class).to_owned(),
        };
        self.metrics.changes.get_or_create(&labels).inc();
        let step = Step {
            unit: self.unit.clone(),
            action: change.action,
            resource: change.resource.to_string(),
            operation: change.operation.to_string(),
            reason: change.reason.clone(),
        };
        self.witness.changed(&step, error);
        if error.is_none() {
            (self.made)();
        }
    }
}
