//! Rules that go on doing the same for other requests: a match that joins others, or leaves them, costs one call.
//!
//! Only a rule that keeps its place among the others may change what it matches. One that takes some requests anew and leaves others, in one step, may do so only where
//! no rule behind it, at whatever time, lets another one have the requests that it leaves or takes; else one more rule is made, and the old one goes.

use super::order::Turn;
use super::{same_outcome, sorted};
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

/// Finds for wanted rules without an existing one those that do the same for some of the same requests. `matched` holds the priorities of existing rules that others
/// have taken already; rules that stand `apart` get none.
pub(super) fn pair(wanted: &[Rule], existing: &BTreeMap<u32, observed::Rule>, apart: &BTreeSet<usize>, matched: &mut [Option<u32>]) {
    let mut free: BTreeSet<u32> = existing.keys().copied().collect();
    for priority in matched.iter().flatten() {
        free.remove(priority);
    }
    let mut pairs: Vec<Pair> = Vec::new();
    let mut places = matched.to_vec();
    let alone = |index: &usize| !apart.contains(index) && matched.get(*index).is_some_and(Option::is_none);
    for (index, rule) in wanted.iter().enumerate().filter(|(index, _)| alone(index)) {
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
    let mut others = Others::of(wanted, existing, &free, &places);
    // Lowest precedence first: what a rule may do depends on those behind it.
    for pair in pairs.into_iter().rev() {
        let turn = Turn::of(&pair.before, &pair.after);
        if (turn != Turn::Exchange || !others.disturb(&pair))
            && let Some(slot) = matched.get_mut(pair.wanted)
        {
            *slot = Some(pair.existing);
        }
        if matches!(turn, Turn::Take | Turn::Exchange) {
            others.taking.push((pair.wanted, pair.after));
        }
        if matches!(turn, Turn::Leave | Turn::Exchange) {
            others.leaving.push((pair.existing, pair.before));
        }
    }
}

/// What else changes.
struct Others {
    /// By index of the wanted rule.
    taking: Vec<(usize, Matcher)>,
    /// By index of the wanted rule.
    changing: Vec<(usize, Matcher)>,
    /// By priority.
    leaving: Vec<(u32, Matcher)>,
}

impl Others {
    /// `places` are the priorities of the existing rules that become the wanted ones, `free` those of rules that go.
    fn of(wanted: &[Rule], existing: &BTreeMap<u32, observed::Rule>, free: &BTreeSet<u32>, places: &[Option<u32>]) -> Self {
        let mut others = Self { taking: Vec::new(), changing: Vec::new(), leaving: Vec::new() };
        for (index, (rule, place)) in wanted.iter().zip(places).enumerate() {
            match place.and_then(|place| existing.get(&place)) {
                None => others.taking.push((index, Matcher::read(&rule.conditions))),
                Some(there) if !same_outcome(rule, there) => others.changing.push((index, Matcher::read(&rule.conditions))),
                Some(_) => {}
            }
        }
        let going = free.iter().filter_map(|priority| Some((*priority, existing.get(priority)?)));
        others.leaving.extend(going.map(|(priority, there)| (priority, Matcher::read(&there.conditions))));
        others
    }

    /// Whether a request may get to a wrong rule behind this one, before or after it exchanges its requests. Rules behind it that take requests have done so by then,
    /// and none has left any.
    fn disturb(&self, pair: &Pair) -> bool {
        self.taking.iter().any(|(index, taker)| *index > pair.wanted && taker.meets(&pair.after))
            || self.leaving.iter().any(|(priority, leaver)| *priority > pair.existing && leaver.meets(&pair.before))
            || self
                .changing
                .iter()
                .any(|(index, changer)| *index > pair.wanted && (changer.meets(&pair.before) || changer.meets(&pair.after)))
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
