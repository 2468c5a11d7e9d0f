//! Addresses of Gateways that get them from Portico, out of their profile's pool, and not from a cloud.
//!
//! What a Gateway was given stands in its status and nowhere else: every replica reads it there, none computes it afresh.

use crate::World;
use crate::report::Fault;
use crate::world::object::StoredGateway;
use portico_crds::condition::GatewayReason;
use portico_crds::v1alpha1::{AddressRange, EffectiveProfile};
use portico_crds::{Kind, NamespacedName};
use portico_providers::{AddressKind, AddressRequest, Plan, ProviderError, UnitId};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The addresses that a Gateway has, as far as they are in its pool and nobody else's; what it asks for and cannot be given is said. While what it asks for is not
/// given, or cannot be, it keeps what it has.
pub(super) fn assigned(
    world: &World,
    gateway: &StoredGateway,
    profile: &EffectiveProfile,
    requests: &[AddressRequest],
    refused: &mut Vec<Fault<GatewayReason>>,
) -> Vec<IpAddr> {
    let Some(pool) = profile.address_pool() else { return Vec::new() };
    let key = &gateway.meta.key;
    let valid = |address: &IpAddr| contains(pool, *address) && world.holder_of(*address) == Some(key);
    let held: Vec<IpAddr> = world.addresses_of(key).filter(valid).collect();
    match wanted(requests) {
        Err(faults) => refused.extend(faults),
        Ok(wanted) if wanted.is_empty() => return held.into_iter().take(1).collect(),
        Ok(wanted) => {
            if wanted.iter().all(|(_, address)| held.contains(address)) {
                return wanted.into_iter().map(|(_, address)| address).collect();
            }
            refused.extend(wanted.iter().filter_map(|(index, address)| unusable(world, pool, key, *index, *address)));
        }
    }
    held
}

/// The addresses that a plan's Gateway should have: those that it asks for, or else what it has, or else the first of its pool that is free. `reserved` are those that
/// were chosen for others, and that no status shows yet; `last` is the one that was chosen last: the search goes on after it, so that an address rests for as long as can be
/// before it is another's. Empty where what it asks for cannot be given, as its report says.
///
/// # Errors
/// [`ProviderError::Settings`] if the profile has no addresses, [`ProviderError::Limit`] if none is free.
pub fn choose_addresses(
    world: &World,
    plan: &Plan,
    reserved: &BTreeMap<IpAddr, UnitId>,
    last: Option<IpAddr>,
) -> Result<Vec<IpAddr>, ProviderError> {
    let (Some(pool), Some(gateway)) = (plan.profile.address_pool(), plan.gateways.first()) else { return Ok(Vec::new()) };
    let free = |address: &IpAddr| {
        reserved.get(address).is_none_or(|unit| *unit == plan.unit) && world.holder_of(*address).is_none_or(|holder| *holder == gateway.key)
    };
    // What was chosen for it before, and its status does not show yet.
    let own = reserved.iter().find(|(address, unit)| **unit == plan.unit && contains(pool, **address)).map(|(address, _)| *address);
    if pool.is_empty() {
        let message = "the LoadBalancerProfile has no spec.envoy.addresses: list there the addresses that the fleet owns".to_owned();
        return Err(ProviderError::Settings { message });
    }
    match wanted(&gateway.addresses) {
        Ok(wanted) if wanted.is_empty() && !gateway.assigned.is_empty() => Ok(gateway.assigned.clone()),
        Ok(wanted) if wanted.is_empty() => match own.into_iter().chain(round(pool, last)).find(free) {
            Some(address) => Ok(vec![address]),
            None => Err(ProviderError::Limit {
                operation: "assigning an address".to_owned(),
                message: "every address in spec.envoy.addresses of the LoadBalancerProfile is taken; add some, or delete a Gateway"
                    .to_owned(),
            }),
        },
        Ok(wanted) if wanted.iter().all(|(_, address)| contains(pool, *address) && free(address)) => {
            Ok(wanted.into_iter().map(|(_, address)| address).collect())
        }
        Ok(_) | Err(_) => Ok(Vec::new()),
    }
}

/// The addresses of a pool in turn, beginning after the last.
fn round(pool: &[AddressRange], last: Option<IpAddr>) -> impl Iterator<Item = IpAddr> {
    let all = || pool.iter().flat_map(AddressRange::iter);
    let last = last.filter(|address| contains(pool, *address));
    let skipped = last.and_then(|last| all().position(|address| address == last)).map_or(0, |position| position + 1);
    all().skip(skipped).chain(all().take(skipped))
}

/// The addresses asked for by value, with their index in `spec.addresses`; none where any will do.
fn wanted(requests: &[AddressRequest]) -> Result<Vec<(usize, IpAddr)>, Vec<Fault<GatewayReason>>> {
    let (mut wanted, mut faults) = (Vec::new(), Vec::new());
    let mut fault = |index: usize, message: &str| {
        faults.push(Fault::new(GatewayReason::AddressNotUsable, format!("spec.addresses[{index}]: {message}")));
    };
    for (index, request) in requests.iter().enumerate() {
        match (&request.kind, &request.value) {
            (AddressKind::IpAddress, None) => {}
            (AddressKind::IpAddress, Some(value)) => match value.parse() {
                Ok(address) => wanted.push((index, address)),
                Err(_) => fault(index, &format!("{value} is no IP address; correct it, or leave value out to have one assigned")),
            },
            (AddressKind::Hostname | AddressKind::Other(_), _) => {
                fault(index, "only addresses of type IPAddress can be assigned here; ask for one, or remove the entry");
            }
        }
    }
    if faults.is_empty() { Ok(wanted) } else { Err(faults) }
}

fn unusable(world: &World, pool: &[AddressRange], key: &NamespacedName, index: usize, address: IpAddr) -> Option<Fault<GatewayReason>> {
    let fault =
        |message: String| Some(Fault::new(GatewayReason::AddressNotUsable, format!("spec.addresses[{index}]: {address} {message}")));
    if !contains(pool, address) {
        return fault("is not among the addresses of the class's LoadBalancerProfile; ask for one that is, or remove the entry".to_owned());
    }
    match world.holder_of(address) {
        Some(holder) if holder.namespace == key.namespace && holder != key => {
            fault(format!("belongs to {} {holder}; ask for another, or remove the entry", Kind::Gateway))
        }
        // Who has Gateways in other namespaces is nobody's business.
        Some(holder) if holder != key => fault("belongs to another Gateway; ask for another, or remove the entry".to_owned()),
        _ => None,
    }
}

fn contains(pool: &[AddressRange], address: IpAddr) -> bool {
    pool.iter().any(|range| range.contains(address))
}
