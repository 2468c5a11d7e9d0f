//! Listeners of the load balancer.

use super::certificate::Serving;
use super::changes::Changes;
use super::traffic::{Traffic, named_groups};
use super::{all_tags, certificate, describe, missing, rule, unknown};
use crate::observed::{self, Observed};
use crate::operation::Operation;
use crate::stack::{LoadBalancer, Stack};
use portico_providers::{Action, ChangeId, Presence, ProviderError, ResourceId};
use std::collections::BTreeMap;

/// Brings listeners and their rules to where they should be: those of the stack first, then those that go.
pub(super) fn ensure(
    stack: &Stack,
    wanted: &LoadBalancer,
    existing: Option<&observed::LoadBalancer>,
    observed: &Observed,
    changes: &mut Changes,
) -> Result<(), ProviderError> {
    let none = BTreeMap::new();
    let there = match existing.map(|balancer| &balancer.listeners) {
        None | Some(Presence::Absent) => &none,
        Some(Presence::Present(listeners)) => listeners,
        Some(Presence::Unknown) => return Err(unknown("the load balancer's listeners")),
    };
    let mut rules = 0;
    for listener in there.values() {
        match &listener.rules {
            Presence::Present(found) => rules += found.len(),
            Presence::Absent => {}
            Presence::Unknown => return Err(unknown("a listener's rules")),
        }
    }
    let mut room = i64::from(observed.limits.rules_per_load_balancer) - i64::try_from(rules).unwrap_or(i64::MAX);
    let gone: Vec<_> = there.keys().copied().filter(|port| !stack.listeners.iter().any(|listener| listener.port == *port)).collect();
    // AWS: a limited number of listeners; where there is no room for a new one, an old one goes first.
    let new = stack.listeners.iter().filter(|listener| !there.contains_key(&listener.port)).count();
    let crowd = (there.len() + new).saturating_sub(observed.limits.listeners_per_load_balancer as usize);
    // And of rules: those of listeners that go take room, too.
    let (early, late) = gone.split_at(crowd.min(gone.len()));
    let late = if room < needed(stack, there) { delete(wanted, late, there, &mut room, changes) } else { late };
    delete(wanted, early, there, &mut room, changes);
    let no_rules = BTreeMap::new();
    let mut traffic = Traffic::of(stack, existing);
    for listener in &stack.listeners {
        let found = there.get(&listener.port);
        let served = found.and_then(|found| found.tls.as_ref());
        let serving = Serving { stack, observed, load_balancer: &wanted.name, listener, there: served };
        if served.is_some() && listener.tls.is_some() {
            // What was the default certificate and stays goes on being served while the default changes.
            serving.add(changes);
        }
        let mut needs = certificate::needs(listener);
        match found {
            None => {
                let operation = Operation::CreateListener {
                    load_balancer: wanted.name.clone(),
                    port: listener.port,
                    protocol: listener.protocol.clone(),
                    tls: listener.tls.clone(),
                    default_action: listener.default_action.clone(),
                    tags: all_tags(stack.marks(&listener.id), &wanted.tags),
                };
                needs.push(&wanted.id);
                changes.push(Action::Create, &listener.id, &needs, operation, "not there yet", &listener.sources);
            }
            Some(there)
                if there.protocol.as_ref() != Some(&listener.protocol)
                    || there.default_action != listener.default_action
                    || serving.differs() =>
            {
                let operation = Operation::ModifyListener {
                    load_balancer: wanted.name.clone(),
                    port: listener.port,
                    protocol: listener.protocol.clone(),
                    tls: listener.tls.clone(),
                    default_action: listener.default_action.clone(),
                };
                let reason = if there.default_action == listener.default_action {
                    "another protocol, policy or default certificate".to_owned()
                } else {
                    format!("{} → {}", there.default_action, listener.default_action)
                };
                changes.push(Action::Update, &listener.id, &needs, operation, reason, &listener.sources);
            }
            Some(_) => {}
        }
        if served.is_none() {
            serving.add(changes);
        }
        serving.remove(changes);
        let existing = found.and_then(|there| there.rules.present()).unwrap_or(&no_rules);
        let compared = rule::compare(listener, existing, room)?;
        rule::append(&wanted.name, listener, compared, existing, &mut traffic, &mut room, changes);
    }
    delete(wanted, late, there, &mut room, changes);
    Ok(())
}

/// Gives listeners the users' tags that the load balancer is about to get: it gets them last, so that they are missing there until all listeners have them, and no
/// listener's tags need to be read. Gives back the changes.
pub(super) fn tag(stack: &Stack, balancer: &observed::LoadBalancer, changes: &mut Changes) -> Vec<ChangeId> {
    let Some(wanted) = &stack.load_balancer else { return Vec::new() };
    let tags = missing(&wanted.tags, &balancer.tags);
    let Some(there) = balancer.listeners.present().filter(|_| !tags.is_empty()) else { return Vec::new() };
    let reason = describe(&tags, &balancer.tags);
    let staying = stack.listeners.iter().filter(|listener| there.contains_key(&listener.port));
    let tagged = staying.filter_map(|listener| {
        let operation = Operation::TagListener { load_balancer: wanted.name.clone(), port: listener.port, tags: tags.clone() };
        changes.push(Action::Update, &listener.id, &[], operation, reason.as_str(), &listener.sources);
        changes.last()
    });
    tagged.collect()
}

/// Rules that are wanted beyond those that are there, at most.
fn needed(stack: &Stack, there: &BTreeMap<u16, observed::Listener>) -> i64 {
    let on = |port: &u16| there.get(port).and_then(|listener| listener.rules.present()).map_or(0, BTreeMap::len);
    let more: usize = stack.listeners.iter().map(|listener| listener.rules.len().saturating_sub(on(&listener.port))).sum();
    i64::try_from(more).unwrap_or(i64::MAX)
}

/// Deletes listeners; gives back that nothing of them is left to do.
fn delete<'a>(
    wanted: &LoadBalancer,
    ports: &'a [u16],
    there: &BTreeMap<u16, observed::Listener>,
    room: &mut i64,
    changes: &mut Changes,
) -> &'a [u16] {
    for port in ports {
        let rules = there.get(port).and_then(|listener| listener.rules.present()).map_or(0, BTreeMap::len);
        *room += i64::try_from(rules).unwrap_or(0);
        let operation = Operation::DeleteListener { load_balancer: wanted.name.clone(), port: *port };
        changes.delete(&ResourceId(format!("listener/{port}")), operation, "no Gateway listens on this port any more");
        changes.releases(named_groups(there.get(port).into_iter()));
    }
    &[]
}
