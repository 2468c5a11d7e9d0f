//! The addresses behind a binding.

use crate::World;
use portico_providers::{Binding, Endpoint, ServiceTargets};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The endpoints of a binding's Service, port and family, from all of its EndpointSlices: those of selectors, of headless Services and those made
/// by hand. Ports are found by name, since their numbers may differ from slice to slice.
pub fn endpoints(world: &World, binding: &Binding) -> ServiceTargets {
    let mut found: BTreeMap<(IpAddr, u16), Endpoint> = BTreeMap::new();
    for slice in world.slices_of(&binding.source.service).filter(|slice| slice.family == binding.family) {
        let Some(port) = slice.ports.get(&binding.source.port_name) else { continue };
        for it in &slice.endpoints {
            let endpoint = Endpoint {
                address: it.address,
                port: *port,
                ready: it.ready,
                serving: it.serving,
                terminating: it.terminating,
                node: it.node.clone(),
                zone: it.zone.clone(),
                target_ref: it.target_ref.clone(),
            };
            // An address may stand in two slices for a while (Kubernetes): the one that says most for it counts.
            let rank = |it: &Endpoint| (it.ready, it.serving, !it.terminating);
            let better = found.get(&(it.address, *port)).is_none_or(|other| (rank(other), other) < (rank(&endpoint), &endpoint));
            if better {
                found.insert((it.address, *port), endpoint);
            }
        }
    }
    ServiceTargets { binding: binding.clone(), endpoints: found.into_values().collect::<BTreeSet<_>>() }
}
