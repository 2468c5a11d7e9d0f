//! One call for each operation.

mod certificate;
mod listener;
mod load_balancer;
mod security_group;
mod target_group;

use super::effect::Effect;
use super::subject::Subject;
use crate::cache::UnitState;
use crate::error::Failure;
use crate::region::Region;
use portico_aws::Operation;
use portico_aws::observed::Listener;
use portico_providers::{Presence, ProviderError, TargetSetId};

/// Why a call did not succeed.
pub(super) enum Stopped {
    /// AWS, or the way there, failed.
    Failed(Failure),
    /// Something that the call refers to is not remembered: it was not made.
    Missing(ProviderError),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn missing(what: impl std::fmt::Display) -> Stopped {
    Stopped::Missing(ProviderError::NotReady { message: format!("{what} does not exist yet") })
}

/// A listener as remembered.
pub(super) fn listener<'a>(state: &'a UnitState, load_balancer: &str, port: u16) -> Option<&'a Listener> {
    state.observed.load_balancers.get(load_balancer)?.present()?.listeners.present()?.get(&port)
}

fn load_balancer_arn(state: &UnitState, name: &str) -> Result<String, Stopped> {
    let there = state.observed.load_balancers.get(name).and_then(Presence::present);
    there.map(|there| there.arn.clone()).ok_or_else(|| missing(format_args!("load balancer {name}")))
}

fn target_group_arn(state: &UnitState, name: &TargetSetId) -> Option<String> {
    state.observed.target_groups.get(name).and_then(Presence::present).map(|there| there.arn.clone())
}

fn known_group(state: &UnitState, name: &TargetSetId) -> Result<String, Stopped> {
    target_group_arn(state, name).ok_or_else(|| missing(format_args!("target group {name}")))
}

fn own_group(state: &UnitState) -> Result<String, Stopped> {
    state.observed.security_group.present().map(|group| group.id.clone()).ok_or_else(|| missing("the load balancer's security group"))
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn no_answer(operation: &'static str) -> Failure {
    Failure { operation, code: String::new(), message: "the answer does not say what was made".into(), status: None }
}

/// A call that no arm makes: said, so that it does not count as done.
fn misplaced(operation: &Operation) -> Stopped {
    Stopped::Missing(ProviderError::Invalid {
        operation: operation.call().to_owned(),
        code: "NotImplemented".to_owned(),
        message: "Portico does not know how to make this call; please report it".to_owned(),
    })
}

impl Region {
    /// Makes the call once.
    pub(super) async fn call(&self, operation: &Operation, state: &UnitState) -> Result<Effect, Stopped> {
        match Subject::of(operation) {
            Subject::SecurityGroup => self.call_security_group(operation, state).await,
            Subject::TargetGroup => self.call_target_group(operation, state).await,
            Subject::LoadBalancer => self.call_load_balancer(operation, state).await,
            Subject::Listener => self.call_listener(operation, state).await,
            Subject::Certificate => self.call_certificate(operation, state).await,
        }
    }
}
