//! What replicas do that do not lead: they serve what every replica serves, and put everything else aside for the day when they lead.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use portico_crds::Kind;
use portico_providers::{Provider, UnitId};
use portico_translate::{UnitState, settings};
use serde_json::Value;

use super::{Engine, PassError, Passed};
use crate::objects::is_programmed;

/// How often a replica looks whether a unit that it is to give up is served elsewhere; it is told when the addresses change, but not of all else.
const ELSEWHERE: Duration = Duration::from_secs(5);

impl<P: Provider> Engine<P> {
    /// Whether a unit is, or was, served by this replica whoever leads.
    pub(super) fn concerns_every_replica(&self, unit: &UnitId) -> bool {
        if self.owned().contains_key(unit) || self.is_left_alone(unit) {
            return true;
        }
        let world = self.world.read();
        // Of what nobody can say what it is, proxies may have something.
        world.unit_state(unit) == UnitState::Live && settings(&world, unit).is_none_or(|settings| settings.is_served_by_every_replica())
    }

    /// Says whether what others were told of a unit stays, since nobody can say what it is to be.
    pub(super) fn leave_alone(&self, unit: &UnitId, alone: bool) {
        let mut left_alone = self.left_alone.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = if alone { left_alone.insert(unit.clone()) } else { left_alone.remove(unit) };
        drop(left_alone);
        if changed {
            self.provider.leave_alone(unit, alone);
        }
    }

    /// Whether what others were told of a unit stays.
    pub(super) fn is_left_alone(&self, unit: &UnitId) -> bool {
        self.left_alone.lock().unwrap_or_else(PoisonError::into_inner).contains(unit)
    }

    /// Tells the provider when everything that every replica serves has been published once: what it then does not have does not exist. To be called when all stores are
    /// synced.
    pub fn expect_all(&self) {
        let all: Vec<UnitId> = self.world.read().units().collect();
        let mut unpublished = self.unpublished();
        *unpublished = all.into_iter().filter(|unit| self.concerns_every_replica(unit)).collect();
        if unpublished.is_empty() {
            self.provider.is_complete();
        }
    }

    /// A pass over a unit came to an end that repeating it will not change by itself.
    pub(super) fn published(&self, unit: &UnitId) {
        let mut unpublished = self.unpublished();
        if unpublished.remove(unit) && unpublished.is_empty() {
            self.provider.is_complete();
        }
    }

    fn unpublished(&self) -> MutexGuard<'_, BTreeSet<UnitId>> {
        self.unpublished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a unit for the leader that this replica may become.
    pub(super) fn postpone(&self, unit: &UnitId) {
        self.postponed.lock().unwrap_or_else(PoisonError::into_inner).insert(unit.clone());
    }

    /// What was put aside, for a replica that leads now. Each unit that it serves already is among it, since statuses are the leader's to write.
    pub fn take_postponed(&self) -> BTreeSet<UnitId> {
        let mut units = std::mem::take(&mut *self.postponed.lock().unwrap_or_else(PoisonError::into_inner));
        units.extend(self.owned().keys().cloned());
        units
    }

    /// Takes back what this replica serves of a unit that another provider is to serve: once it does.
    pub(super) async fn give_way(&self, unit: &UnitId) -> Result<Passed, PassError> {
        if self.owned().contains_key(unit) && !self.is_served_elsewhere(unit) {
            self.postpone(unit);
            return Ok(Passed::Waiting(ELSEWHERE));
        }
        self.withdraw(unit).await
    }

    /// Whether a unit is served by a cloud, and its clients know: its Gateway is programmed, and has none of a fleet's addresses any more.
    fn is_served_elsewhere(&self, unit: &UnitId) -> bool {
        let world = self.world.read();
        let Some(gateway) = unit.gateway().and_then(|key| world.raw(Kind::Gateway, key)) else { return true };
        let addresses = gateway.pointer("/status/addresses").and_then(Value::as_array).filter(|addresses| !addresses.is_empty());
        let is_of_fleet = |address: &Value| address.get("type").and_then(Value::as_str) != Some("Hostname");
        is_programmed(gateway) && addresses.is_some_and(|addresses| !addresses.iter().any(is_of_fleet))
    }

    /// Takes back what this replica serves of a unit at other places than the one where it is served by now. Returns a pause while its Gateway does not say so yet. Calls no cloud.
    pub(super) async fn withdraw_elsewhere(&self, unit: &UnitId, served: &P::Stack) -> Result<Option<Duration>, PassError> {
        let mut left = self.provider.left_behind(served).await;
        left.retain(|stack| self.provider.is_served_by_every_replica(stack));
        if left.is_empty() {
            return Ok(None);
        }
        if !self.provider.is_served_by_every_replica(served) && !self.is_served_elsewhere(unit) {
            return Ok(Some(ELSEWHERE));
        }
        for stack in left {
            self.empty(unit, &stack, false).await?;
        }
        Ok(None)
    }

    /// Takes back what this replica serves of a unit.
    pub(super) async fn withdraw(&self, unit: &UnitId) -> Result<Passed, PassError> {
        self.postpone(unit);
        self.targets.bind(unit, Vec::new());
        self.clear_own(unit).await?;
        Ok(Passed::Nothing)
    }

    /// Withdraws what this replica serves of a unit, and calls no cloud.
    pub(super) async fn clear_own(&self, unit: &UnitId) -> Result<(), PassError> {
        for stack in self.provider.empty_stacks(&self.cluster, unit, None) {
            if self.provider.is_served_by_every_replica(&stack) {
                self.empty(unit, &stack, false).await?;
            }
        }
        self.owned().remove(unit);
        self.leave_alone(unit, false);
        Ok(())
    }
}
