//! Priorities: from ranks, with gaps, so that a rule put between two others costs one call and no other rule moves.

use crate::limit::HIGHEST_PRIORITY;
use std::collections::BTreeSet;

/// Distance between rules that are appended: room for 500 appended rules, and for eight insertions at the same place before others must move.
const STEP: u32 = 500;

/// Priorities for rules in their order. `current` are the priorities that they have, if they exist; `taken` are those of rules that are still there and not in
/// the list. As many rules as possible keep theirs (a longest increasing subsequence); the others get free ones between their neighbours. Where there is no
/// room between two neighbours, all are spread anew.
///
/// Nothing if there are more rules than priorities.
pub(super) fn assign(current: &[Option<u32>], taken: &BTreeSet<u32>) -> Option<Vec<u32>> {
    let kept = longest_increasing(current);
    let fixed: Vec<_> = current.iter().zip(&kept).map(|(priority, keep)| priority.filter(|_| *keep)).collect();
    place(&fixed, taken).or_else(|| place(&vec![None; current.len()], taken))
}

/// Fills the gaps between fixed priorities.
fn place(fixed: &[Option<u32>], taken: &BTreeSet<u32>) -> Option<Vec<u32>> {
    let mut placed = Vec::with_capacity(fixed.len());
    let mut low = 0;
    let mut waiting: u32 = 0;
    for entry in fixed {
        match entry {
            None => waiting += 1,
            Some(priority) => {
                placed.extend(spread(low, *priority, waiting, false, taken)?);
                placed.push(*priority);
                low = *priority;
                waiting = 0;
            }
        }
    }
    placed.extend(spread(low, HIGHEST_PRIORITY + 1, waiting, true, taken)?);
    Some(placed)
}

/// `count` free priorities between two, evenly; at the open end by [`STEP`] at most.
fn spread(low: u32, high: u32, count: u32, open: bool, taken: &BTreeSet<u32>) -> Option<Vec<u32>> {
    if count == 0 {
        return Some(Vec::new());
    }
    let blocked = taken.range(low + 1..high).count();
    let free = (high - low - 1) as usize - blocked.min((high - low - 1) as usize);
    if free < count as usize {
        return None;
    }
    let even = (high - low) / (count + 1);
    let step = if open { even.min(STEP) } else { even }.max(1);
    let mut found = Vec::with_capacity(count as usize);
    let mut last = low;
    for index in 1..=count {
        // Rules that still have to be placed need room behind this one.
        let mut candidate = (low + step * index).max(last + 1);
        while taken.contains(&candidate) {
            candidate += 1;
        }
        if candidate >= high {
            return packed(low, high, count, taken);
        }
        found.push(candidate);
        last = candidate;
    }
    Some(found)
}

/// The first free priorities in a gap that is too crowded to be spread evenly.
fn packed(low: u32, high: u32, count: u32, taken: &BTreeSet<u32>) -> Option<Vec<u32>> {
    let free: Vec<_> = (low + 1..high).filter(|priority| !taken.contains(priority)).take(count as usize).collect();
    (free.len() == count as usize).then_some(free)
}

/// Which entries belong to a longest increasing subsequence; absent ones never do.
fn longest_increasing(values: &[Option<u32>]) -> Vec<bool> {
    // Patience sorting: `tails[n]` is the index of the smallest value that ends an increasing sequence of n + 1.
    let mut tails: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = vec![None; values.len()];
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else { continue };
        let at = tails.partition_point(|tail| values.get(*tail).copied().flatten().is_some_and(|other| other < *value));
        if let (Some(slot), Some(before)) = (previous.get_mut(index), at.checked_sub(1).and_then(|n| tails.get(n))) {
            *slot = Some(*before);
        }
        match tails.get_mut(at) {
            Some(tail) => *tail = index,
            None => tails.push(index),
        }
    }
    let mut kept = vec![false; values.len()];
    let mut next = tails.last().copied();
    while let Some(index) = next {
        if let Some(flag) = kept.get_mut(index) {
            *flag = true;
        }
        next = previous.get(index).copied().flatten();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn given(current: &[Option<u32>], taken: &[u32]) -> Vec<u32> {
        assign(current, &taken.iter().copied().collect()).unwrap()
    }

    #[test]
    fn new_rules_get_gaps() {
        assert_eq!(given(&[None, None, None], &[]), [500, 1000, 1500]);
        assert_eq!(given(&[Some(500), Some(1000), None], &[]), [500, 1000, 1500]);
        assert_eq!(given(&[Some(500), None, Some(1000)], &[]), [500, 750, 1000]);
        assert_eq!(given(&[None, Some(500)], &[]), [250, 500]);
        assert_eq!(given(&vec![None; 200], &[]).last(), Some(&49600));
    }

    #[test]
    fn one_rule_above_eighty_moves_none_of_them() {
        let eighty: Vec<_> = (1..=80).map(|n| Some(n * 500)).collect();
        let with_one: Vec<_> = std::iter::once(None).chain(eighty.iter().copied()).collect();
        let priorities = given(&with_one, &[]);
        assert_eq!(priorities[1..], eighty.iter().map(|p| p.unwrap()).collect::<Vec<_>>());
    }

    #[test]
    fn a_moved_rule_moves_alone() {
        assert_eq!(given(&[Some(30), Some(10), Some(20)], &[]), [5, 10, 20]);
        assert_eq!(given(&[Some(20), Some(30), Some(10)], &[]), [20, 30, 530]);
    }

    #[test]
    fn no_room_spreads_all_anew_around_rules_that_go() {
        assert_eq!(given(&[Some(1), None, Some(2)], &[500]), [501, 1000, 1500]);
        assert_eq!(given(&[Some(10), None, Some(12)], &[11]), [500, 1000, 1500]);
    }

    proptest! {
        #[test]
        fn priorities_increase_and_avoid_what_is_taken(
            entries in prop::collection::vec(prop::option::of(1..=HIGHEST_PRIORITY), 0..60),
            taken in prop::collection::btree_set(1..=200u32, 0..30),
        ) {
            let mut seen = taken.clone();
            let current: Vec<_> = entries.into_iter().map(|p| p.filter(|p| seen.insert(*p))).collect();
            let priorities = assign(&current, &taken).unwrap();
            prop_assert_eq!(priorities.len(), current.len());
            prop_assert!(priorities.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", priorities);
            prop_assert!(priorities.iter().all(|p| (1..=HIGHEST_PRIORITY).contains(p) && !taken.contains(p)));
            if current.iter().all(Option::is_some) && current.windows(2).all(|pair| pair[0] < pair[1]) {
                prop_assert_eq!(priorities, current.into_iter().flatten().collect::<Vec<_>>());
            }
        }
    }
}
