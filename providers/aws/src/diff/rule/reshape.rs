//! Rules that go on doing the same for other requests: a match that joins others, or leaves them, costs one call.
//!
//! Only a rule that keeps its place among the others may change what it matches, and only where no request is without a rule on the way: a rule takes requests anew
//! before others leave them, and one that does both at once leaves nothing to another that changes so.

use super::sorted;
use crate::matcher::Matcher;
use crate::observed;
use crate::stack::{Condition, Rule};
use std::collections::{BTreeMap, BTreeSet};

/// A wanted rule by its index, and the existing rule that becomes it by its priority.
struct Pair {
    wanted: usize,
    existing: u32,
    before: Matcher,
    after: Matcher,
}

impl Pair {
    /// Whether the rule takes some requests anew and leaves others.
    fn exchanges(&self) -> bool {
        !self.before.covers(&self.after) && !self.after.covers(&self.before)
    }
}

/// Finds for wanted rules without an existing one those that do the same for some of the same requests. `matched` holds the priorities of existing rules that others
/// have taken already.
pub(super) fn pair(wanted: &[Rule], existing: &BTreeMap<u32, observed::Rule>, matched: &mut [Option<u32>]) {
    let mut free: BTreeSet<u32> = existing.keys().copied().collect();
    for priority in matched.iter().flatten() {
        free.remove(priority);
    }
    let mut pairs: Vec<Pair> = Vec::new();
    let mut places = matched.to_vec();
    for (index, rule) in wanted.iter().enumerate().filter(|(index, _)| matched.get(*index).is_some_and(Option::is_none)) {
        let (before, after) = places.split_at(index);
        let low = before.iter().flatten().max().map_or(0, |priority| priority + 1);
        let high = after.iter().flatten().min().copied().unwrap_or(u32::MAX);
        if low >= high {
            continue;
        }
        let Some(found) = best(rule, free.range(low..high).filter_map(|priority| Some((*priority, existing.get(priority)?)))) else {
            continue;
        };
        free.remove(&found.0);
        if let Some(place) = places.get_mut(index) {
            *place = Some(found.0);
        }
        pairs.push(Pair { wanted: index, existing: found.0, before: found.1, after: Matcher::read(&rule.conditions) });
    }
    let leaves_to_another = |pair: &Pair| pairs.iter().any(|other| other.wanted != pair.wanted && other.after.meets(&pair.before));
    for pair in pairs.iter().filter(|pair| !pair.exchanges() || !leaves_to_another(pair)) {
        if let Some(slot) = matched.get_mut(pair.wanted) {
            *slot = Some(pair.existing);
        }
    }
}

/// Of those that do the same for some of the same requests the one with most conditions in common, of equals the first.
fn best<'a>(rule: &Rule, candidates: impl Iterator<Item = (u32, &'a observed::Rule)>) -> Option<(u32, Matcher)> {
    let (transforms, matcher) = (sorted(rule), Matcher::read(&rule.conditions));
    let alike = candidates.filter(|(_, there)| {
        let foreign = there.conditions.iter().any(|condition| matches!(condition, Condition::Foreign(_)));
        there.action == rule.action && there.transforms == transforms && !foreign
    });
    let related = alike.map(|(priority, there)| {
        let common = there.conditions.iter().filter(|condition| rule.conditions.contains(condition)).count();
        (common, std::cmp::Reverse(priority), Matcher::read(&there.conditions))
    });
    let (_, priority, before) = related.filter(|(_, _, before)| before.meets(&matcher)).max_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)))?;
    Some((priority.0, before))
}
