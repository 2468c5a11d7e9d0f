//! Quotas: what is served where an ALB has no room for everything.
//!
//! The rules that keep listeners apart come first, since without them requests would reach other people's routes. Then routes take their room by age: the older one
//! first, of equals the first by namespace and name, within a route in the order of its rules and matches. So a route that is added never takes anything from
//! those that are there. A rule whose target groups do not fit is answered 500; one for which not even a rule is left falls through, and says so.

use super::Compiler;
use super::issue::{Issue, Quota};
use super::listener::{field, rank};
use crate::stack::{Listener, Rule, RuleAction};
use portico_providers::{ListenerOwner, Residue, RuleId, Source, Subject, TargetSetId};
use std::collections::{BTreeMap, BTreeSet};

/// A rule's place: index of its listener, and its index there.
type Place = (usize, usize);

/// Order in which rules take room. Nothing comes before the rules that keep listeners apart.
type Turn<'a> = Option<(bool, Option<&'a str>, String, &'a RuleId, u16, &'a str)>;

/// What becomes of a rule that does not fit.
enum Verdict {
    Leave,
    Answer500,
}

impl Compiler<'_> {
    /// Leaves out of the listeners what does not fit, and refuses it.
    pub(super) fn fit(&mut self, listeners: &mut [Listener]) {
        let (rules, groups) = (self.limits.rules_per_load_balancer as usize, self.limits.target_groups_per_load_balancer as usize);
        let needed_rules = listeners.iter().map(|listener| listener.rules.len()).sum();
        let used = |listeners: &[Listener]| -> BTreeSet<TargetSetId> {
            listeners.iter().flat_map(|listener| &listener.rules).flat_map(|rule| rule.action.target_groups().cloned()).collect()
        };
        let needed_groups = used(listeners).len();
        if needed_rules <= rules && needed_groups <= groups {
            return;
        }
        let rule_quota = || Quota { limit: "rules", holder: "the ALB", need: needed_rules, have: rules };
        let group_quota = || Quota { limit: "target groups", holder: "the ALB", need: needed_groups, have: groups };
        let mut verdicts: BTreeMap<Place, Verdict> = BTreeMap::new();
        let mut refusals = Vec::new();
        let mut room = rules;
        let mut taken: BTreeSet<&TargetSetId> = BTreeSet::new();
        for places in self.turns(listeners).values() {
            let members: Vec<&Rule> = places.iter().filter_map(|(listener, rule)| listeners.get(*listener)?.rules.get(*rule)).collect();
            let Some(first) = members.first() else { continue };
            if members.len() > room {
                verdicts.extend(places.iter().map(|place| (*place, Verdict::Leave)));
                refusals.extend(self.refusal(first, rule_quota(), MORE_RULES, Residue::FallsThrough));
                continue;
            }
            room -= members.len();
            let new: BTreeSet<_> =
                members.iter().flat_map(|rule| rule.action.target_groups()).filter(|group| !taken.contains(group)).collect();
            if taken.len() + new.len() > groups {
                verdicts.extend(places.iter().map(|place| (*place, Verdict::Answer500)));
                refusals.extend(self.refusal(first, group_quota(), FEWER_GROUPS, Residue::Answer500));
            } else {
                taken.extend(new);
            }
        }
        self.refusals.extend(refusals);
        for (index, listener) in listeners.iter_mut().enumerate() {
            let mut place = 0;
            listener.rules.retain_mut(|rule| {
                let verdict = verdicts.get(&(index, place));
                place += 1;
                if matches!(verdict, Some(Verdict::Answer500)) {
                    rule.action = RuleAction::status(500);
                    rule.transforms.clear();
                }
                !matches!(verdict, Some(Verdict::Leave))
            });
            rank(&mut listener.rules);
        }
    }

    /// The places of all rules in the order in which they take room. A plan rule that became two rules takes its turn with both.
    fn turns<'a>(&'a self, listeners: &'a [Listener]) -> BTreeMap<(Turn<'a>, Option<Place>), Vec<Place>> {
        let created: BTreeMap<&RuleId, Option<&str>> = self.plan.rules().map(|(_, _, rule)| (&rule.id, rule.created.as_deref())).collect();
        let mut turns: BTreeMap<_, Vec<Place>> = BTreeMap::new();
        for (index, listener) in listeners.iter().enumerate() {
            for (place, rule) in listener.rules.iter().enumerate() {
                let turn = match rule.sources.first() {
                    Some(Source::Rule(id)) => {
                        let created = created.get(id).copied().flatten();
                        let hostname = rule.id.0.split_once('@').map_or("", |(_, name)| name);
                        (Some((created.is_none(), created, id.route.key.to_string(), id, listener.port, hostname)), None)
                    }
                    _ => (None, Some((index, place))),
                };
                turns.entry(turn).or_default().push((index, place));
            }
        }
        turns
    }

    fn refusal(&self, rule: &Rule, quota: Quota, remedy: &str, residue: Residue) -> Option<portico_providers::Refusal> {
        if let Some(Source::Rule(id)) = rule.sources.first() {
            let at = format!("spec.rules[{}].matches[{}]", id.rule, id.match_index);
            return Some(Issue::quota(at, quota, remedy).refuse(Subject::Rule(id.clone()), residue));
        }
        let owner = self.isolated(rule)?;
        Some(Issue::quota(field(owner, "hostname"), quota, remedy).refuse(Subject::Listener(owner.clone()), residue))
    }

    /// The listener that a rule keeps apart from others.
    fn isolated(&self, rule: &Rule) -> Option<&ListenerOwner> {
        let mut parts = rule.id.0.splitn(4, '/').skip(1);
        let port: u16 = parts.next()?.parse().ok()?;
        let name = parts.nth(1)?;
        let listeners = &self.plan.ports.iter().find(|found| found.port == port)?.listeners;
        let named = listeners.iter().find(|listener| listener.hostname.as_ref().map_or("*", |hostname| hostname.as_str()) == name)?;
        Some(&named.owner)
    }
}

const MORE_RULES: &str = "Older routes are served first. Ask AWS for a higher quota of rules per Application Load Balancer, match with fewer hostnames and matches, or \
                          move routes to another Gateway.";
const FEWER_GROUPS: &str =
    "Older routes are served first. AWS does not raise this quota: forward to fewer Services, or move routes to another Gateway.";
