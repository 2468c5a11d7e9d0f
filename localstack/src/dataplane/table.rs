//! From one routing table to the next: what did not change is taken over.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Shared,
    config::{Changes, LoadBalancer, LoadBalancerId, TargetGroupId},
    routing::{LoadBalancerTable, RoutingTable, SocketKey},
    target::{TargetGroupState, Usage},
};

/// The load balancers whose rules refer to a target group.
pub(super) type Users = HashMap<TargetGroupId, Vec<LoadBalancerId>>;

/// What a change may have touched.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Sockets that may have to be opened or closed, or whose listener has another id.
    pub(super) sockets: HashSet<SocketKey>,
    /// Target groups that may have another state.
    pub(super) target_groups: HashSet<TargetGroupId>,
}

/// The table after a change.
pub(super) fn change(changes: &Changes, previous: &RoutingTable, users: &mut Users, shared: &Arc<Shared>) -> (RoutingTable, Touched) {
    let mut table = RoutingTable { revision: changes.revision, ..previous.clone() };
    let mut touched = Touched::default();
    let mut groups: HashMap<&TargetGroupId, Option<_>> = changes.target_groups.iter().map(|(id, group)| (id, group.as_ref())).collect();
    let mut balancers: HashMap<&LoadBalancerId, Option<_>> = changes.load_balancers.iter().map(|(id, made)| (id, made.as_ref())).collect();
    if changes.whole {
        for (id, _) in previous.load_balancers.iter() {
            balancers.entry(id).or_insert(None);
        }
        for (id, _) in previous.target_groups.iter() {
            groups.entry(id).or_insert(None);
        }
    }
    // Everything that goes, goes first: an address may pass from one load balancer to another.
    let mut made = Vec::new();
    for (id, config) in balancers {
        let known = previous.load_balancers.get(id);
        let table_of = config.map(|config| match known {
            Some(known) if Arc::ptr_eq(&known.config, config) || known.config == *config => Arc::clone(known),
            known => Arc::new(LoadBalancerTable::new(config, known.map(Arc::as_ref))),
        });
        if let Some(known) = known {
            if table_of.as_ref().is_some_and(|made| Arc::ptr_eq(made, known)) {
                continue;
            }
            for listener in &known.listeners {
                table.listeners.remove(&(listener.load_balancer.address, listener.port));
            }
            for group in known.referenced_groups() {
                if let Some(of) = users.get_mut(group) {
                    of.retain(|user| user != id);
                    if of.is_empty() {
                        users.remove(group);
                    }
                }
                touched.target_groups.insert(group.clone());
            }
            table.load_balancers.remove(id);
        }
        let shape = |config: &LoadBalancer| -> HashSet<_> {
            let listeners = config.listeners.iter();
            listeners.map(|listener| ((config.address, listener.port), listener.id.clone(), listener.protocol.clone())).collect()
        };
        let before = known.map(|known| shape(&known.config)).unwrap_or_default();
        let after = config.map(|config| shape(config)).unwrap_or_default();
        touched.sockets.extend(before.symmetric_difference(&after).map(|(key, _, _)| *key));
        made.extend(table_of.map(|made| (id, made)));
    }
    for (id, made) in made {
        for listener in &made.listeners {
            table.listeners.insert((listener.load_balancer.address, listener.port), Arc::clone(listener));
        }
        for group in made.referenced_groups() {
            users.entry(group.clone()).or_default().push(id.clone());
            touched.target_groups.insert(group.clone());
        }
        table.load_balancers.insert(id.clone(), made);
    }
    touched.target_groups.extend(groups.keys().map(|id| (*id).clone()));
    for id in &touched.target_groups {
        let known = previous.target_groups.get(id);
        let config = match groups.get(id) {
            Some(given) => *given,
            None => known.map(|known| &known.config),
        };
        let Some(config) = config else {
            table.target_groups.remove(id);
            continue;
        };
        let user = users.get(id).and_then(|of| table.load_balancers.get(of.last()?));
        let usage = user.map_or(Usage::Unreferenced, |user| Usage::Zones(&user.config.zones));
        let state = match known {
            Some(known) if known.is_current(config, usage) => Arc::clone(known),
            known => Arc::new(TargetGroupState::new(config, usage, known.map(Arc::as_ref), shared)),
        };
        table.target_groups.insert(id.clone(), state);
    }
    (table, touched)
}
