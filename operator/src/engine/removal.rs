//! What is deleted: everything of a Gateway that is going or gone, and what a load balancer left behind at a place that its settings do not name any more.

use std::time::Duration;

use portico_crds::Kind;
use portico_providers::{Provider, RouteId, UnitId};
use portico_translate::{FINALIZER, settings};
use tracing::{debug, info, warn};

use super::{Engine, Owned, PassError, Passed};
use crate::keeper;
use crate::news::News;

/// Pause before another look while the cloud is at work.
const AT_WORK: Duration = Duration::from_secs(2);

impl<P: Provider> Engine<P> {
    /// Removes everything of a unit that is to go, and then our finalizer.
    pub(super) async fn remove(&self, unit: &UnitId) -> Result<Passed, PassError> {
        if !self.leadership.is_leader() {
            return self.withdraw(unit).await;
        }
        drop(self.status.forget(unit));
        self.targets.bind(unit, Vec::new());
        if let Some(pause) = self.clear(unit, false).await? {
            return Ok(Passed::LookAgain(pause));
        }
        self.tell(unit, &News::Removed);
        if let Some(gateway) = unit.gateway() {
            self.objects.set_finalizer(Kind::Gateway, gateway, FINALIZER, false).await?;
        }
        info!(%unit, "removed");
        Ok(Passed::Done)
    }

    /// Deletes whatever the cloud has of a unit. Returns a pause if the cloud is still at it.
    async fn clear(&self, unit: &UnitId, orphan: bool) -> Result<Option<Duration>, PassError> {
        let settings = settings(&self.world.read(), unit);
        let mut left = false;
        for stack in self.provider.empty_stacks(&self.cluster, unit, settings.as_ref()) {
            // What this process serves by itself is no orphan.
            left |= self.empty(unit, &stack, orphan && !self.provider.is_served_by_every_replica(&stack)).await?;
        }
        if left {
            return Ok(Some(AT_WORK));
        }
        self.owned().remove(unit);
        self.leave_alone(unit, false);
        self.forget_account(unit);
        Ok(None)
    }

    /// Deletes what a unit that is served owns where its settings do not place it any more. What goes later is found by the next round of the sweep.
    pub(super) async fn clear_elsewhere(&self, unit: &UnitId, served: &P::Stack) -> Result<(), PassError> {
        for stack in self.provider.left_behind(served).await {
            info!(%unit, "the load balancer was moved; what it left behind is deleted");
            self.empty(unit, &stack, false).await?;
        }
        Ok(())
    }

    /// Deletes what the cloud has of a unit at one place. Says whether anything is left that goes later.
    pub(super) async fn empty(&self, unit: &UnitId, stack: &P::Stack, orphan: bool) -> Result<bool, PassError> {
        let observed = self.provider.observe(stack, true).await?;
        let changes = self.provider.diff(stack, &observed)?;
        if changes.is_empty() {
            return Ok(false);
        }
        if orphan && self.owned().insert(unit.clone(), Owned::Orphaned) != Some(Owned::Orphaned) {
            warn!(%unit, "the cloud still has a load balancer of a Gateway that is gone; deleting it");
            self.metrics.orphans.inc();
        }
        self.execute(unit, stack, changes).await?;
        // Only a look that finds nothing proves that nothing is left.
        let observed = self.provider.observe(stack, true).await?;
        Ok(!self.provider.diff(stack, &observed)?.is_empty())
    }

    /// A unit that the world does not know (any more). What it may own, since this process served it or the sweep says so, is deleted if the API server itself says that
    /// there is no such Gateway: a finalizer that came while a deletion was under way does not hold it up (kubernetes/kubernetes#77988), and anybody may take it off.
    pub(super) async fn forget(&self, unit: &UnitId, swept: bool) -> Result<Passed, PassError> {
        for (kind, key) in self.status.forget(unit) {
            // A pass that was under way spoke after the event that took it back.
            match keeper::route_kind(kind) {
                Some(kind) => self.clean_route(&RouteId { kind, key }),
                None if kind == Kind::BackendTlsPolicy => self.clean_policy(&key),
                None => {}
            }
        }
        self.targets.bind(unit, Vec::new());
        if !self.leadership.is_leader() {
            self.postpone(unit);
        }
        if !swept && !self.owned().contains_key(unit) && !self.is_left_alone(unit) {
            self.tell(unit, &News::Removed);
            return Ok(Passed::Nothing);
        }
        if let Some(gateway) = unit.gateway()
            && self.objects.cluster().get(Kind::Gateway, gateway).await?.is_some()
        {
            if self.world.read().raw(Kind::Gateway, gateway).is_some() {
                // Another controller serves it now, by its class; what this replica serves of it has no finalizer that would say so.
                self.clear_own(unit).await?;
            }
            debug!(%unit, "the Gateway is there but not ours to serve; what the cloud has of it stays");
            return Ok(Passed::Nothing);
        }
        if !self.leadership.is_leader() {
            self.clear_own(unit).await?;
            return Ok(Passed::Done);
        }
        if let Some(pause) = self.clear(unit, true).await? {
            return Ok(Passed::LookAgain(pause));
        }
        self.tell(unit, &News::Removed);
        Ok(Passed::Done)
    }
}
