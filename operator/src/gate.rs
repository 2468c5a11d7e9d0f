//! Gates: which changes of a pass are made now, and which wait until what they move traffic to takes it (make before break).

use std::collections::{BTreeMap, BTreeSet};

use portico_providers::{Change, Gate, TargetSetId};

/// What is needed of a target set before traffic moves to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needed {
    /// Its targets are registered.
    Registered,
    /// They have been checked, and at least one is healthy.
    Healthy,
}

/// What a list of changes needs of target sets. Gates that a provider's own calls see to (operations, propagation) are not among it.
pub fn needed<O>(changes: &[Change<O>]) -> BTreeMap<TargetSetId, Needed> {
    let mut all: BTreeMap<TargetSetId, Needed> = BTreeMap::new();
    for change in changes {
        let (sets, needed) = match &change.gate {
            Gate::TargetsHealthy(sets) => (sets, Needed::Healthy),
            Gate::TargetsRegistered(sets) => (sets, Needed::Registered),
            Gate::None | Gate::OperationDone(_) | Gate::Propagated(_) => continue,
        };
        for set in sets {
            let entry = all.entry(set.clone()).or_insert(needed);
            *entry = needed.max(*entry);
        }
    }
    all
}

fn is_closed(gate: &Gate, closed: &BTreeSet<TargetSetId>, unregistered: &BTreeSet<TargetSetId>) -> bool {
    match gate {
        Gate::TargetsHealthy(sets) => sets.iter().any(|set| closed.contains(set)),
        Gate::TargetsRegistered(sets) => sets.iter().any(|set| unregistered.contains(set)),
        Gate::None | Gate::OperationDone(_) | Gate::Propagated(_) => false,
    }
}

/// Whether there are changes, and all of them wait: each that comes after none has a closed gate.
pub fn all_wait<O>(changes: &[Change<O>], closed: &BTreeSet<TargetSetId>, unregistered: &BTreeSet<TargetSetId>) -> bool {
    let mut first = changes.iter().filter(|change| change.after.is_empty());
    !changes.is_empty() && first.all(|change| is_closed(&change.gate, closed, unregistered))
}

/// Changes that are made now, in order, and how many wait: those whose gate is closed, and whatever comes after one of them. `closed` are the sets that are not ready
/// for all that is needed of them, `unregistered` those among them whose targets are not even registered.
pub fn split<O>(changes: Vec<Change<O>>, closed: &BTreeSet<TargetSetId>, unregistered: &BTreeSet<TargetSetId>) -> (Vec<Change<O>>, usize) {
    let mut now: Vec<Change<O>> = Vec::with_capacity(changes.len());
    // New positions by old ones; none for what waits.
    let mut positions: Vec<Option<usize>> = Vec::with_capacity(changes.len());
    for mut change in changes {
        let waits = is_closed(&change.gate, closed, unregistered);
        let after: Option<Vec<usize>> = change.after.iter().map(|id| positions.get(*id).copied().flatten()).collect();
        match after.filter(|_| !waits) {
            Some(after) => {
                change.after = after;
                positions.push(Some(now.len()));
                now.push(change);
            }
            None => positions.push(None),
        }
    }
    let waiting = positions.iter().filter(|position| position.is_none()).count();
    (now, waiting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portico_providers::{Action, ResourceId};

    fn change(name: &str, after: &[usize], gate: Gate) -> Change<&'static str> {
        Change {
            action: Action::Update,
            resource: ResourceId(name.into()),
            operation: "call",
            after: after.to_vec(),
            gate,
            reason: String::new(),
            sources: Vec::new(),
        }
    }

    #[test]
    fn what_comes_after_a_closed_gate_waits_and_the_rest_goes_on() {
        let set = |name: &str| TargetSetId(name.into());
        let changes = || {
            vec![
                change("make the new group", &[], Gate::None),
                change("move to it", &[0], Gate::TargetsHealthy(vec![set("new")])),
                change("delete the old group", &[1], Gate::None),
                change("another rule", &[0], Gate::TargetsRegistered(vec![set("other"), set("new")])),
                change("something else", &[], Gate::None),
                change("after something else", &[4], Gate::None),
            ]
        };
        let all = BTreeMap::from([(set("new"), Needed::Healthy), (set("other"), Needed::Registered)]);
        assert_eq!(needed(&changes()), all);
        let made = |closed: &[&str]| {
            let closed = closed.iter().map(|name| set(name)).collect();
            let (now, waiting) = split(changes(), &closed, &closed);
            assert!(now.iter().enumerate().all(|(place, change)| change.after.iter().all(|id| *id < place)));
            let after = now.last().map(|last| now[last.after[0]].resource.0.clone());
            assert_eq!(after.as_deref(), Some("something else"));
            (now.iter().map(|change| change.resource.0.clone()).collect::<Vec<_>>(), waiting)
        };
        assert_eq!(made(&["new"]), (vec!["make the new group".into(), "something else".into(), "after something else".into()], 3));
        assert_eq!(made(&["other"]).1, 1);
        assert_eq!(made(&[]).1, 0);
        let new = BTreeSet::from([set("new")]);
        assert!(!all_wait(&changes(), &new, &new));
        let stuck = vec![change("move to it", &[], Gate::TargetsHealthy(vec![set("new")])), change("put it to use", &[0], Gate::None)];
        assert!(all_wait(&stuck, &new, &BTreeSet::new()) && !all_wait(&stuck, &BTreeSet::new(), &new));
        // Registered is enough for what puts a set to use, or it would never be checked.
        assert_eq!(split(changes(), &BTreeSet::from([set("new")]), &BTreeSet::new()).1, 2);
    }
}
