//! execute: the changes, one call each, in order.
//!
//! Every call may be repeated. Where an answer is lost, or AWS fails halfway, nobody knows whether the call was carried out: what it would have made is looked up
//! first, by name, port, priority or mark, and only if it is not there is the call made again.

mod call;
mod effect;
mod find;
mod subject;

use crate::Aws;
use crate::cache::{UnitState, key};
use crate::error::{Class, Failure};
use crate::fence;
use crate::lock;
use crate::region::Region;
use backon::{BackoffBuilder, ExponentialBuilder};
use effect::Effect;
use portico_aws::{Operation, Stack};
use portico_providers::{Change, Leadership, Presence, Progress, ProviderError};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use subject::Subject;

/// Pauses between tries of one call.
fn pauses(tries: usize) -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(4))
        .with_factor(2.0)
        .with_max_times(tries)
        .with_jitter()
        .build()
}

/// Tries of a call that AWS throttles, whose outcome is unclear, or that refers to what is not visible yet: about 20 s.
const TRIES: usize = 9;
/// Tries of a deletion of what is still in use: about 1 s. AWS takes from seconds (a target group whose rule is gone) to minutes (network interfaces of a load balancer
/// that is gone, certificates of a listener that is gone) to let go, and a worker that waits serves nobody: it is for the unit's next pass.
const TRIES_IN_USE: usize = 3;

impl Aws {
    pub(crate) async fn execute_changes(
        &self,
        stack: &Stack,
        changes: Vec<Change<Operation>>,
        leadership: &Arc<dyn Leadership>,
        progress: &dyn Progress<Operation>,
    ) -> Result<(), ProviderError> {
        let region = self.in_region(stack.region.as_deref());
        let key = key(stack);
        let Some(mut state) = lock(&region.units).get(&key).cloned() else {
            return Err(ProviderError::NotReady { message: format!("{} was not observed yet", stack.unit) });
        };
        // The first failure, and the changes that failed or need one that did.
        let mut failure = None;
        let mut undone = BTreeSet::new();
        let mut denied = BTreeSet::new();
        for (id, change) in changes.iter().enumerate() {
            if denied.contains(change.operation.call()) || change.after.iter().any(|before| undone.contains(before)) {
                undone.insert(id);
                continue;
            }
            progress.begin(change);
            let result = self.make(&region, stack, &change.operation, &mut state, leadership).await;
            if let (Err(_), Operation::CreateTargetGroup { target_group, .. }) = (&result, &change.operation) {
                // It may exist although nobody said so, and a later plan may not name it: it is looked for then, too.
                state.observed.target_groups.insert(target_group.name.clone(), Presence::Unknown);
            }
            state.import_lost |=
                matches!((&result, &change.operation), (Err(ProviderError::Transient { .. }), Operation::ImportCertificate { .. }));
            // What is not known for sure is read again before the next pass.
            state.stale |= result.as_ref().is_err_and(is_doubtful);
            lock(&region.units).insert(key.clone(), state.clone());
            progress.end(change, result.as_ref().err());
            let Err(error) = result else { continue };
            if matches!(
                change.operation,
                Operation::CreateListener { .. } | Operation::ModifyListener { .. } | Operation::AddListenerCertificate { .. }
            ) {
                // Perhaps the certificate is gone.
                region.account.doubt_certificates();
            }
            // Whatever becomes of a certificate, listeners that do not need it go on.
            let alone = concerns_one_change(&error) || Subject::of(&change.operation) == Subject::Certificate;
            if !alone || matches!(error, ProviderError::NotLeader) {
                return Err(error);
            }
            undone.insert(id);
            if matches!(error, ProviderError::Denied { .. }) {
                denied.insert(change.operation.call());
            }
            // What is only left over matters least.
            if failure.as_ref().is_none_or(|first| matches!(first, ProviderError::Busy { .. })) {
                failure = Some(error);
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        if stack.load_balancer.is_none() {
            // Nothing is left to remember of a unit that is gone; should it come back, its names are looked up again.
            let mut units = lock(&region.units);
            if let Some(state) = units.get_mut(&key) {
                state.stale = true;
            }
        }
        Ok(())
    }

    /// Makes one call, repeating it where that is safe and worth it, and writes its outcome through.
    async fn make(
        &self,
        region: &Region,
        stack: &Stack,
        operation: &Operation,
        state: &mut UnitState,
        leadership: &Arc<dyn Leadership>,
    ) -> Result<(), ProviderError> {
        let (mut pauses, mut pauses_in_use) = (pauses(TRIES), pauses(TRIES_IN_USE));
        // Whether an earlier try may have been carried out.
        let mut unclear = false;
        loop {
            region.calls.admit(Subject::of(operation).kind()).await;
            let failure = match fence::behind(leadership, region.call(operation, state)).await {
                Ok(effect) => return self.write_through(region, operation, effect, state),
                Err(call::Stopped::Missing(error)) => return Err(error),
                Err(call::Stopped::Failed(failure)) => failure,
            };
            match failure.class() {
                Class::NotFound if gone_is_done(operation, &failure, unclear) => {
                    return self.write_through(region, operation, Effect::Done, state);
                }
                Class::Duplicate if there_is_done(operation, &failure) => {
                    return self.write_through(region, operation, Effect::Done, state);
                }
                Class::Duplicate | Class::Invalid if unclear || is_taken(&failure) => match region.find(stack, operation, state).await? {
                    Some(effect) => return self.write_through(region, operation, effect, state),
                    None => return Err(conflict(failure)),
                },
                Class::Unclear => {
                    unclear = true;
                    if let Ok(Some(effect)) = region.find(stack, operation, state).await {
                        return self.write_through(region, operation, effect, state);
                    }
                }
                Class::Soon if deletes(operation) => {
                    let Some(pause) = pauses_in_use.next() else { return Err(failure.busy()) };
                    tokio::time::sleep(pause).await;
                    continue;
                }
                Class::Throttled | Class::Soon => {}
                Class::NotFound if may_appear(&failure) => {}
                _ => return Err(failure.into()),
            }
            let Some(pause) = pauses.next() else { return Err(failure.into()) };
            tracing::debug!(operation = operation.call(), code = failure.code, ?pause, "the call is tried again");
            tokio::time::sleep(pause).await;
        }
    }

    fn write_through(&self, region: &Region, operation: &Operation, effect: Effect, state: &mut UnitState) -> Result<(), ProviderError> {
        effect::apply(operation, effect, state)?;
        match operation {
            Operation::CreateTargetGroup { target_group, .. } => {
                if let Some(group) = state.observed.target_groups.get(&target_group.name).and_then(|group| group.present()) {
                    self.shared.target_sets.created(&target_group.name, &region.name, &group.arn, &group.vpc);
                }
            }
            Operation::DeleteTargetGroup { target_group } => self.shared.target_sets.forget(target_group, &region.name),
            _ => {}
        }
        Ok(())
    }
}

/// Whether a failure says nothing of other changes: they are made nevertheless, so that one thing which AWS does not take, or has no room for, harms only itself.
fn concerns_one_change(error: &ProviderError) -> bool {
    matches!(
        error,
        ProviderError::Limit { .. }
            | ProviderError::Invalid { .. }
            | ProviderError::Foreign { .. }
            | ProviderError::Denied { .. }
            | ProviderError::Settings { .. }
            | ProviderError::Busy { .. }
    )
}

/// Whether a failure leaves it open what there is now.
fn is_doubtful(error: &ProviderError) -> bool {
    !matches!(error, ProviderError::NotLeader | ProviderError::Throttled { .. } | ProviderError::Denied { .. } | ProviderError::Busy { .. })
}

/// Whether an operation deletes something as a whole.
fn deletes(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::DeleteSecurityGroup { .. }
            | Operation::DeleteTargetGroup { .. }
            | Operation::DeleteCertificate { .. }
            | Operation::DeleteLoadBalancer { .. }
            | Operation::DeleteListener { .. }
            | Operation::DeleteRule { .. }
    )
}

/// Deletions of what is not there are done. EC2 takes back all rules of a call or none: that one of several is not there says nothing of the others, unless an
/// earlier try may have taken them all.
fn gone_is_done(operation: &Operation, failure: &Failure, unclear: bool) -> bool {
    let several = match operation {
        Operation::RevokeIngress { rules } => rules.len() > 1,
        Operation::RevokeBackend { ranges, .. } => ranges.len() > 1,
        Operation::RemoveListenerCertificate { .. } => false,
        operation if deletes(operation) => false,
        _ => return false,
    };
    !several || unclear || failure.code != "InvalidPermission.NotFound"
}

/// A single rule of a security group that is there already is done.
fn there_is_done(operation: &Operation, failure: &Failure) -> bool {
    let single = match operation {
        Operation::AuthorizeBackend { .. } => true,
        Operation::AuthorizeIngress { rules } => rules.len() == 1,
        _ => false,
    };
    single && failure.code == "InvalidPermission.Duplicate"
}

/// Another resource has the name, the port or the priority: perhaps it is the one that a lost call made.
fn is_taken(failure: &Failure) -> bool {
    failure.class() == Class::Duplicate || failure.code.trim_end_matches("Exception") == "PriorityInUse"
}

/// AWS shows what was just made to other calls a little later.
fn may_appear(failure: &Failure) -> bool {
    matches!(
        failure.code.trim_end_matches("Exception"),
        "ListenerNotFound"
            | "TargetGroupNotFound"
            | "LoadBalancerNotFound"
            | "InvalidGroup.NotFound"
            | "InvalidSecurityGroup"
            | "CertificateNotFound"
    )
}

/// Something is in the way that was not observed: worth another look, unless it is somebody else's name.
fn conflict(failure: Failure) -> ProviderError {
    let code = failure.code.trim_end_matches("Exception");
    if matches!(code, "PriorityInUse" | "DuplicateListener" | "InvalidPermission.Duplicate") {
        return ProviderError::Transient {
            operation: failure.operation.to_owned(),
            message: format!("{}: {}", failure.code, failure.message),
        };
    }
    failure.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_bounded() {
        for (tries, longest) in [(TRIES, Duration::from_secs(60)), (TRIES_IN_USE, Duration::from_secs(2))] {
            let all: Vec<_> = pauses(tries).collect();
            assert_eq!(all.len(), tries);
            assert!(all.iter().sum::<Duration>() < longest);
        }
    }
}
