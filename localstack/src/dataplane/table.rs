//! From one routing table to the next: what did not change is taken over.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Shared,
    config::{Changes, LoadBalancer, LoadBalancerId, TargetGroupId},
    network::{NetworkKey, NetworkTable},
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
    /// The same of network load balancers.
    pub(super) network_sockets: HashSet<NetworkKey>,
    /// Target groups that may have another state.
    pub(super) target_groups: HashSet<TargetGroupId>,
}

impl Touched {
    /// Notes which target groups a load balancer has used and uses now. With the zones that it serves, the state of all of them may change.
    fn uses(&mut self, users: &mut Users, id: &LoadBalancerId, (before, after): (&Uses<'_>, &Uses<'_>)) {
        for group in before.groups.difference(&after.groups) {
            if let Some(of) = users.get_mut(*group) {
                of.retain(|user| user != id);
                if of.is_empty() {
                    users.remove(*group);
                }
            }
            self.target_groups.insert((*group).clone());
        }
        for group in &after.groups {
            let known = before.groups.contains(group);
            if !known {
                users.entry((*group).clone()).or_default().push(id.clone());
            }
            if !known || before.zones != after.zones {
                self.target_groups.insert((*group).clone());
            }
        }
    }
}

/// What a load balancer uses.
#[derive(Default)]
struct Uses<'a> {
    groups: HashSet<&'a TargetGroupId>,
    zones: &'a [String],
}

fn uses(table: Option<&Arc<LoadBalancerTable>>) -> Uses<'_> {
    table.map(|table| Uses { groups: table.referenced.iter().collect(), zones: &table.config.zones }).unwrap_or_default()
}

fn network_uses(table: Option<&Arc<NetworkTable>>) -> Uses<'_> {
    table.map(|table| Uses { groups: table.referenced_groups(), zones: &table.config.zones }).unwrap_or_default()
}

/// Puts network load balancers in force. Everything that goes, goes first: an address may pass from one to another.
fn network(changes: &Changes, previous: &RoutingTable, table: &mut RoutingTable, users: &mut Users, touched: &mut Touched) {
    let mut balancers: HashMap<&LoadBalancerId, Option<_>> =
        changes.network_load_balancers.iter().map(|(id, made)| (id, made.as_ref())).collect();
    if changes.whole {
        for (id, _) in previous.network.iter() {
            balancers.entry(id).or_insert(None);
        }
    }
    let mut made = Vec::new();
    for (id, config) in balancers {
        let known = previous.network.get(id);
        if known.zip(config).is_some_and(|(known, config)| Arc::ptr_eq(&known.config, config) || known.config == *config) {
            continue;
        }
        if let Some(known) = known {
            for key in known.listeners.iter().flat_map(|listener| listener.keys()) {
                table.network_listeners.remove(&key);
            }
            table.network.remove(id);
        }
        let ready = config.map(|config| Arc::new(NetworkTable::new(config, known.map(Arc::as_ref))));
        touched.uses(users, id, (&network_uses(known), &network_uses(ready.as_ref())));
        let before = known.map(|known| known.shape()).unwrap_or_default();
        let after = ready.as_ref().map(|ready| ready.shape()).unwrap_or_default();
        touched.network_sockets.extend(before.symmetric_difference(&after).map(|(key, _, _)| *key));
        made.extend(ready.map(|ready| (id, ready)));
    }
    for (id, ready) in made {
        for listener in &ready.listeners {
            for key in listener.keys() {
                table.network_listeners.insert(key, Arc::clone(listener));
            }
        }
        table.network.insert(id.clone(), ready);
    }
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
            table.load_balancers.remove(id);
        }
        touched.uses(users, id, (&uses(known), &uses(table_of.as_ref())));
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
        table.load_balancers.insert(id.clone(), made);
    }
    network(changes, previous, &mut table, users, &mut touched);
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
        let zones = users.get(id).and_then(|of| table.zones(of.last()?));
        let usage = zones.map_or(Usage::Unreferenced, Usage::Zones);
        let state = match known {
            Some(known) if known.is_current(config, usage) => Arc::clone(known),
            known => Arc::new(TargetGroupState::new(config, usage, known.map(Arc::as_ref), shared)),
        };
        table.target_groups.insert(id.clone(), state);
    }
    (table, touched)
}
