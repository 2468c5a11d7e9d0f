//! Compaction: the matches of one rule of a route share rules of the ALB where nothing else lies between.
//!
//! AWS allows a load balancer 100 rules and a rule five values. Rules that come from one rule of one route, do the same and differ in one thing only (paths, methods,
//! values of a header, hosts) become one rule with several values. A rule moves to another one's place only past rules that no request of its own meets, or that do
//! the same. Rules of different routes are never joined: so what a route costs depends on that route, and its change is a change of its own rules. What an
//! earlier rule covers entirely is void, whoever it belongs to, and takes no room.

use crate::matcher::{Dimension, Matcher};
use crate::stack::{Rule, RuleAction, Transform};
use portico_providers::{RouteId, RuleId, Source};
use std::collections::BTreeMap;

/// How far apart rules may lie that are compared: bounds the work that a plan of many thousand matches makes. Load balancers have far fewer rules.
const REACH: usize = 500;

/// How many rules of a kind, full or out of reach, a match is tried with.
const TRIES: usize = 16;

/// A rule, and the indexes of those that it came from.
#[derive(Clone, Debug)]
pub(super) struct Compacted {
    pub rule: Rule,
    pub members: Vec<usize>,
}

/// The rules of one listener in fewer rules that answer every request alike. A joined rule has the id of its member with the lowest match; its sources are those of all.
pub(super) fn compact(rules: Vec<(usize, Rule)>) -> Vec<Compacted> {
    let groups = groups(&rules);
    let mut outcomes: BTreeMap<(RuleAction, Vec<Transform>), usize> = BTreeMap::new();
    let mut table = Table(Vec::with_capacity(rules.len()));
    for (index, rule) in rules {
        let fresh = outcomes.len();
        let outcome = *outcomes.entry((rule.action.clone(), rule.transforms.clone())).or_insert(fresh);
        let matcher = Matcher::read(&rule.conditions);
        // Nothing reaches a rule whose requests an earlier one takes.
        let void = table.before(table.0.len()).any(|earlier| earlier.matcher.covers(&matcher));
        table.0.push((!void).then(|| Entry { compacted: Compacted { rule, members: vec![index] }, matcher, outcome }));
    }
    for mut group in groups {
        // One dimension may become equal only by joining another.
        for dimension in Dimension::ALL.into_iter().chain(Dimension::ALL) {
            table.join(&mut group, dimension);
        }
    }
    table.0.into_iter().flatten().map(|entry| entry.compacted).collect()
}

/// Places of rules that come from the same rule of a route, by match. A match that needs several rules is left alone: they go together.
fn groups(rules: &[(usize, Rule)]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<(&RouteId, u32), Vec<(u32, usize)>> = BTreeMap::new();
    for (place, (_, rule)) in rules.iter().enumerate() {
        if let Some(RuleId { route, rule: number, match_index }) = origin(rule).filter(|_| !super::rule::is_part(rule)) {
            groups.entry((route, *number)).or_default().push((*match_index, place));
        }
    }
    let ordered = |mut group: Vec<(u32, usize)>| {
        group.sort_unstable();
        group.into_iter().map(|(_, place)| place).collect()
    };
    groups.into_values().filter(|group| group.len() > 1).map(ordered).collect()
}

fn origin(rule: &Rule) -> Option<&RuleId> {
    match rule.sources.first()? {
        Source::Rule(id) => Some(id),
        _ => None,
    }
}

struct Entry {
    compacted: Compacted,
    matcher: Matcher,
    /// Equal for rules that do the same.
    outcome: usize,
}

/// The listener's rules at their places; those that were joined or void leave a gap.
struct Table(Vec<Option<Entry>>);

impl Table {
    fn at(&self, place: usize) -> Option<&Entry> {
        self.0.get(place)?.as_ref()
    }

    /// Rules within reach before a place.
    fn before(&self, place: usize) -> impl Iterator<Item = &Entry> {
        self.0.get(place.saturating_sub(REACH)..place).unwrap_or_default().iter().flatten()
    }

    /// Joins the rules of a group along a dimension. `group` are their places, by match; afterwards those that are left.
    fn join(&mut self, group: &mut Vec<usize>, dimension: Dimension) {
        let mut left: Vec<usize> = Vec::new();
        // Rules that differ in the dimension only, as indexes of `left`.
        let mut alike: BTreeMap<(usize, Matcher), Vec<usize>> = BTreeMap::new();
        for place in group.iter().copied() {
            let Some(entry) = self.at(place) else { continue };
            let candidates = alike.entry((entry.outcome, entry.matcher.without(dimension))).or_default();
            let joined = candidates.iter().rev().take(TRIES).rev().find_map(|index| {
                let to = *left.get(*index)?;
                Some((*index, self.join_two(to, place, dimension)?))
            });
            match joined {
                Some((index, (to, compacted))) => {
                    let from = left.get(index).copied();
                    for gap in from.into_iter().chain([place]) {
                        if let Some(slot) = self.0.get_mut(gap) {
                            *slot = None;
                        }
                    }
                    if let Some(slot) = self.0.get_mut(to) {
                        *slot = Some(compacted);
                    }
                    if let Some(slot) = left.get_mut(index) {
                        *slot = to;
                    }
                }
                None => {
                    candidates.push(left.len());
                    left.push(place);
                }
            }
        }
        *group = left;
    }

    /// The one rule that does what two do, with its place: that of the first match if the other can move there, else that of the other.
    fn join_two(&self, first: usize, second: usize, dimension: Dimension) -> Option<(usize, Entry)> {
        let (a, b) = (self.at(first)?, self.at(second)?);
        let matcher = a.matcher.joined(&b.matcher, dimension)?;
        let conditions = matcher.write()?;
        let place = if self.may_move(second, first) {
            first
        } else if self.may_move(first, second) {
            second
        } else {
            return None;
        };
        let mut compacted = a.compacted.clone();
        compacted.members.extend(&b.compacted.members);
        compacted.rule.conditions = conditions;
        compacted.rule.sources.extend(b.compacted.rule.sources.iter().cloned());
        compacted.rule.sources.sort();
        compacted.rule.sources.dedup();
        Some((place, Entry { compacted, matcher, outcome: a.outcome }))
    }

    /// Whether a rule answers the same requests at another place: none that it may meet is answered otherwise on the way.
    fn may_move(&self, from: usize, to: usize) -> bool {
        let Some(mover) = self.at(from) else { return false };
        let (low, high) = (from.min(to) + 1, from.max(to));
        high - low <= REACH
            && self
                .0
                .get(low..high)
                .unwrap_or_default()
                .iter()
                .flatten()
                .all(|other| other.outcome == mover.outcome || !other.matcher.meets(&mover.matcher))
    }
}
