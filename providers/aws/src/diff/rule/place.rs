//! Rules that cannot move to another place in one step.

use super::order::Turn;
use super::same_outcome;
use crate::matcher::Matcher;
use crate::observed;
use crate::stack::Rule;
use std::collections::{BTreeMap, BTreeSet};

/// An existing rule.
struct Standing<'a> {
    /// The wanted rule that it becomes.
    wanted: Option<usize>,
    from: u32,
    to: u32,
    matcher: Matcher,
    there: &'a observed::Rule,
    /// Whether it will serve what it matches now as it does now.
    stays: bool,
}

/// Wanted rules, by index, that must be made anew at their place, since the move of an existing one leads requests astray: AWS moves rules at once, before others come
/// and go, and so a request may get to a rule which it should not get to. `matched` has the priorities of the existing rules that become the wanted ones, `priorities`
/// those that they get.
pub(super) fn stuck(
    wanted: &[Rule],
    existing: &BTreeMap<u32, observed::Rule>,
    matched: &[Option<u32>],
    priorities: &[u32],
) -> BTreeSet<usize> {
    let mut stuck = BTreeSet::new();
    if matched.iter().zip(priorities).all(|(current, priority)| current.is_none_or(|current| current == *priority)) {
        return stuck;
    }
    let becomes: BTreeMap<u32, usize> = matched.iter().enumerate().filter_map(|(index, current)| Some(((*current)?, index))).collect();
    // Rules that take requests anew, with their place.
    let mut taking: Vec<(u32, Matcher)> = Vec::new();
    for ((rule, current), priority) in wanted.iter().zip(matched).zip(priorities) {
        let after = Matcher::read(&rule.conditions);
        let there = current.and_then(|current| existing.get(&current));
        if there.is_none_or(|there| !Matcher::read(&there.conditions).covers(&after)) {
            taking.push((*priority, after));
        }
    }
    let standing: Vec<_> = existing
        .iter()
        .map(|(from, there)| {
            let matcher = Matcher::read(&there.conditions);
            let index = becomes.get(from).copied();
            let next = index.and_then(|index| Some((wanted.get(index)?, *priorities.get(index)?)));
            let keeps = |rule: &Rule| matches!(Turn::of(&matcher, &Matcher::read(&rule.conditions)), Turn::Take | Turn::Change);
            let stays = next.is_some_and(|(rule, _)| same_outcome(rule, there) && keeps(rule));
            Standing { wanted: index, from: *from, to: next.map_or(*from, |(_, to)| to), matcher, there, stays }
        })
        .collect();
    for (index, ahead) in standing.iter().enumerate() {
        for behind in standing.iter().skip(index + 1).filter(|behind| behind.to < ahead.to && behind.matcher.meets(&ahead.matcher)) {
            // Requests of both get to the second now.
            let alike = ahead.there.action == behind.there.action && ahead.there.transforms == behind.there.transforms;
            let overtaken =
                || taking.iter().any(|(at, taker)| *at < behind.to && taker.meets(&behind.matcher) && taker.meets(&ahead.matcher));
            if !alike && (!behind.stays || overtaken()) {
                let moves = |rule: &&Standing<'_>| rule.from != rule.to;
                stuck.extend([behind, ahead].into_iter().find(moves).and_then(|rule| rule.wanted));
            }
        }
    }
    stuck
}
