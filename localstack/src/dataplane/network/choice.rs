//! Which target a flow gets.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    net::IpAddr,
    sync::Arc,
};

use super::super::{
    Shared,
    config::Forward,
    target::{GroupTarget, TargetGroupState},
};

/// Where a flow goes.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) group: Arc<TargetGroupState>,
    pub(super) target: GroupTarget,
    /// The zone of the node that took the flow.
    pub(super) zone: String,
}

fn hash(value: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

/// Chooses the target of a new flow; None if there is none. AWS hashes protocol, addresses, ports and TCP's sequence number, which is random
/// itself; so is the choice here, unless it must stay with the client's address.
pub(super) fn choose(shared: &Shared, forward: &Forward, zone: &str, client: IpAddr) -> Option<Choice> {
    let random = || u64::try_from(shared.random.bits() & u128::from(u64::MAX)).unwrap_or_default();
    let key = if forward.stickiness.is_some() { hash(client) } else { random() };
    let total: u64 = forward.target_groups.iter().map(|group| u64::from(group.weight)).sum();
    let mut rest = key.checked_rem(total)?;
    let chosen = forward.target_groups.iter().find(|group| {
        let weight = u64::from(group.weight);
        let hit = rest < weight;
        rest = rest.saturating_sub(weight);
        hit
    })?;
    let group = shared.table().target_groups.get(&chosen.target_group).map(Arc::clone)?;
    let key = if group.config.flows.source_ip_stickiness { hash(client) } else { random() };
    let target = pick(&group, zone, key)?;
    Some(Choice { group, target, zone: zone.to_owned() })
}

/// The target with the greatest hash of key and name, so that a key keeps its target whatever happens to others.
fn pick(group: &TargetGroupState, zone: &str, key: u64) -> Option<GroupTarget> {
    let fail_open = fails_open(group, zone);
    let usable = in_reach(group, zone).filter(|target| fail_open || target.state.serves());
    let picked = usable.max_by_key(|target| hash((key, target.state.id.as_str())));
    // A probe may have changed a state since the count.
    let picked = picked.or_else(|| in_reach(group, zone).next())?.clone();
    group.count();
    Some(picked)
}

/// The registered targets to which a node in this zone may send.
fn in_reach<'a>(group: &'a TargetGroupState, zone: &'a str) -> impl Iterator<Item = &'a GroupTarget> {
    let everywhere = group.config.cross_zone;
    group.registered().filter(move |target| everywhere || target.zone.as_deref().is_none_or(|its| its == zone))
}

/// Whether so few targets are healthy that all of them get flows.
pub(super) fn fails_open(group: &TargetGroupState, zone: &str) -> bool {
    let healthy = in_reach(group, zone).filter(|target| target.state.serves()).count();
    healthy < group.minimum_healthy(in_reach(group, zone).count())
}
