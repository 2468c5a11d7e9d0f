//! Addresses out of a profile's pool: the leader chooses them, and nothing is served at one before the Gateway's status says whose it is.

use std::net::IpAddr;
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
            reserved.addresses.retain(|address, holder| world.is_live(holder) && !world.has_address(holder, *address));
            let chosen = choose_addresses(&world, plan, &reserved.addresses, reserved.last);
            for address in chosen.iter().flatten().filter(|address| !gateway.assigned.contains(address)) {
                reserved.addresses.insert(*address, unit.clone());
                if gateway.addresses.iter().all(|asked| asked.value.is_none()) {
                    reserved.last = Some(*address);
                }
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
        let addresses = published(&chosen);
        info!(%unit, addresses = ?chosen, "addresses assigned");
        let message = "Its address is assigned; the proxies are told next".to_owned();
        report.finish(&Outcome { state: LoadBalancerState::Provisioning { look_again: WRITTEN, message }, addresses });
        self.say(unit, report);
        Ok(Some(Passed::Waiting(WRITTEN)))
    }

    fn refuse_address(&self, unit: &UnitId, report: &mut Report, error: ProviderError) -> Result<Option<Passed>, PassError> {
        report.fail(&error);
        self.say(unit, report);
        Err(error.into())
    }
}

/// The addresses that a plan's Gateway has, if Portico assigns them: its status shows them wherever its proxies are with it.
pub(super) fn assigned(plan: &Plan) -> Option<Vec<LoadBalancerAddress>> {
    plan.profile.address_pool()?;
    plan.gateways.first().map(|gateway| published(&gateway.assigned))
}

fn published(addresses: &[IpAddr]) -> Vec<LoadBalancerAddress> {
    addresses.iter().map(|it| LoadBalancerAddress { kind: AddressKind::IpAddress, value: it.to_string() }).collect()
}
