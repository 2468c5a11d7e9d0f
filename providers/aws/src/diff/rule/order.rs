//! The order of a listener's changes: each request goes from the rule that served it to the one that shall serve it, and to no other on the way.
//!
//! Rules take requests anew first (those that are made, and those that match more than before), the highest precedence first, so that none takes what is meant for one
//! before it. Then those change that do something else, or match something else in its place. Rules leave requests last (those that match less, and those that go),
//! the lowest precedence first, so that none falls to another rule that leaves it, too. Each change comes after those whose requests it meets, so that this holds
//! where one of them waits, or fails.

use crate::diff::changes::Changes;
use crate::diff::traffic::Traffic;
use crate::matcher::Matcher;
use crate::stack::RuleAction;
use portico_providers::ChangeId;

/// When a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The rule takes requests that it did not take.
    Take,
    /// The rule does something else with its requests.
    Change,
    /// The rule takes requests that it did not take, and leaves others.
    Exchange,
    /// The rule takes fewer requests.
    Leave,
}

impl Turn {
    /// That of a rule which matched `before` and will match `after`.
    pub fn of(before: &Matcher, after: &Matcher) -> Self {
        match (before.covers(after), after.covers(before)) {
            (true, true) => Self::Change,
            (false, true) => Self::Take,
            (true, false) => Self::Leave,
            (false, false) => Self::Exchange,
        }
    }
}

/// A change that stands in the list.
struct Put {
    id: ChangeId,
    turn: Turn,
    priority: u32,
    /// What the rule matches afterwards, or what it matched if it only leaves requests.
    matcher: Matcher,
    action: Option<RuleAction>,
    /// Whether it waits itself until its targets take requests.
    waits: bool,
}

/// The changes so far.
#[derive(Default)]
pub(super) struct Order(Vec<Put>);

impl Order {
    /// Lets the last change, that of a rule at this priority which matches `before` and then `after`, come after those that it could lead requests astray without.
    /// `action` is what the rule does afterwards.
    pub fn put(
        &mut self,
        turn: Turn,
        priority: u32,
        [before, after]: [&Matcher; 2],
        action: Option<RuleAction>,
        traffic: &Traffic,
        changes: &mut Changes,
    ) {
        let Some(id) = changes.last() else { return };
        let first = |put: &&Put| match (put.turn, turn) {
            (Turn::Take, Turn::Change) => put.priority < priority && put.matcher.meets(after),
            (Turn::Take, Turn::Exchange) => put.matcher.meets(if put.priority < priority { after } else { before }),
            (Turn::Take, _) => put.matcher.meets(if turn == Turn::Take { after } else { before }),
            // One that stays before this one keeps its requests from it.
            (Turn::Change, Turn::Leave) => put.priority > priority && put.matcher.meets(before),
            (Turn::Exchange | Turn::Leave, Turn::Leave) => put.matcher.meets(before),
            _ => false,
        };
        changes.after(self.0.iter().filter(first).map(|put| put.id));
        if matches!(turn, Turn::Leave | Turn::Exchange) {
            // Requests are left only to what takes them.
            let heirs = self.0.iter().filter(|put| put.priority > priority && !put.waits && put.matcher.meets(before));
            changes.gate(traffic.gate_release(heirs.filter_map(|put| put.action.as_ref().filter(|_| put.turn != Turn::Leave))));
        }
        let waits = changes.gated();
        let matcher = if turn == Turn::Leave { before } else { after }.clone();
        self.0.push(Put { id, turn, priority, matcher, action, waits });
    }
}
