//! Addresses out of a profile's pool: the leader chooses them, and nothing is served at one before the Gateway's status says whose it is.

use std::sync::PoisonError;
use std::time::Duration;

use portico_providers::{AddressKind, LoadBalancerAddress, LoadBalancerState, Outcome, Plan, Provider, ProviderError, UnitId};
use portico_translate::{Report, choose_addresses};
use tracing::info;

use super::{Engine, PassError, Passed};

/// When to look again for an address that was chosen, should its status never be seen.
const WRITTEN: Duration = Duration::from_secs(10);

impl<P: Provider> Engine<P> {
    /// Chooses addresses for a Gateway that has none of those that it should have, and says so; the event that brings its status goes on with it. Where it has some
    /// already they go on being served until then.
    pub(super) fn assign(&self, unit: &UnitId, plan: &Plan, report: &mut Report) -> Result<Option<Passed>, PassError> {
        let Some(gateway) = plan.gateways.first() else { return Ok(None) };
        if plan.profile.address_pool().is_none() || !self.leadership.is_leader() {
            return Ok(None);
        }
        let chosen = {
            let world = self.world.read();
            let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
            // What a status shows, or whose unit is gone, need not be kept in mind.
            reserved.retain(|address, holder| world.is_live(holder) && !world.has_address(holder, *address));
            let chosen = choose_addresses(&world, plan, &reserved);
            for address in chosen.iter().flatten().filter(|address| !gateway.assigned.contains(address)) {
                reserved.insert(*address, unit.clone());
            }
            chosen
        };
        let chosen = match chosen {
            Ok(chosen) if chosen.is_empty() || chosen == gateway.assigned => return Ok(None),
            Ok(chosen) => chosen,
            // It has what it needs to go on.
            Err(_) if !gateway.assigned.is_empty() => return Ok(None),
            Err(error) => return self.refuse_address(unit, report, error),
        };
        let addresses = chosen.iter().map(|it| LoadBalancerAddress { kind: AddressKind::IpAddress, value: it.to_string() }).collect();
        info!(%unit, addresses = ?chosen, "addresses assigned");
        report.finish(&Outcome { state: LoadBalancerState::Provisioning { look_again: WRITTEN }, addresses });
        self.say(unit, report);
        Ok(Some(Passed::Waiting(WRITTEN)))
    }

    fn refuse_address(&self, unit: &UnitId, report: &mut Report, error: ProviderError) -> Result<Option<Passed>, PassError> {
        report.fail(&error);
        self.say(unit, report);
        Err(error.into())
    }
}
