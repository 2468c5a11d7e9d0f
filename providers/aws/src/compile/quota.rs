//! Quotas: what is served where an ALB has no room for everything, counted after compaction.
//!
//! The rules that keep listeners apart come first, since without them requests would reach other people's routes. Then routes take their room by age: the older one
//! first, of equals the first by namespace and name, within a route in the order of its rules and matches. So a route that is added never takes anything from
//! those that are there. A rule whose target groups do not fit is answered 500; one for which not even a rule is left falls through, and says so.

use super::Compiler;
use super::compaction::{Compacted, compact};
use super::issue::{Issue, Quota};
use super::listener::field;
use crate::stack::{Listener, Rule, RuleAction};
use portico_providers::{ListenerOwner, Refusal, Residue, RuleId, Source, Subject, TargetSetId};
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

/// The rules of all listeners, compacted.
type Rules = Vec<Vec<Compacted>>;

impl Compiler<'_> {
    /// The listeners with their rules compacted, without what does not fit, which is refused.
    pub(super) fn fit(&mut self, mut listeners: Vec<Listener>) -> Vec<Listener> {
        let all: Vec<Vec<Rule>> = listeners.iter_mut().map(|listener| std::mem::take(&mut listener.rules)).collect();
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.port).collect();
        let without = |left: &BTreeSet<Place>| -> Rules {
            let staying = |listener: usize, rules: &Vec<Rule>| {
                rules.iter().cloned().enumerate().filter(|(index, _)| !left.contains(&(listener, *index))).collect::<Vec<_>>()
            };
            all.iter().enumerate().map(|(listener, rules)| compact(staying(listener, rules))).collect()
        };
        let mut left: BTreeSet<Place> = BTreeSet::new();
        let mut rules = without(&left);
        let need = Need::of(&rules);
        // What is left out no longer hides what it covered: that takes its turn, too. Each round leaves something out.
        for _ in 0..=all.iter().map(Vec::len).sum() {
            let (verdicts, refusals) = self.verdicts(&ports, &rules, &need);
            let gone: Vec<Place> =
                verdicts.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Leave)).map(|(place, _)| *place).collect();
            if gone.is_empty() {
                self.refusals.extend(refusals);
                for ((listener, index), _) in verdicts {
                    if let Some(refused) = rules.get_mut(listener).and_then(|rules| rules.get_mut(index)) {
                        refused.rule.action = RuleAction::status(500);
                        refused.rule.transforms.clear();
                    }
                }
                break;
            }
            self.refusals.extend(refusals.into_iter().filter(|refusal| refusal.residue == Residue::FallsThrough));
            for (listener, index) in gone {
                let members = rules.get(listener).and_then(|rules| rules.get(index)).map(|rule| rule.members.as_slice());
                left.extend(members.unwrap_or_default().iter().map(|member| (listener, *member)));
            }
            rules = without(&left);
        }
        for (listener, rules) in listeners.iter_mut().zip(rules) {
            listener.rules = (0..).zip(rules).map(|(rank, compacted)| Rule { rank, ..compacted.rule }).collect();
        }
        listeners
    }

    /// What becomes of the rules that do not fit, and the refusals that say so.
    fn verdicts(&self, ports: &[u16], rules: &Rules, need: &Need) -> (BTreeMap<Place, Verdict>, Vec<Refusal>) {
        let (have_rules, have_groups) =
            (self.limits.rules_per_load_balancer as usize, self.limits.target_groups_per_load_balancer as usize);
        let mut verdicts = BTreeMap::new();
        let mut refusals = Vec::new();
        let now = Need::of(rules);
        if now.rules <= have_rules && now.groups <= have_groups {
            return (verdicts, refusals);
        }
        let rule_quota = || Quota { limit: "rules", holder: "the ALB".into(), need: need.rules, have: have_rules };
        let group_quota = || Quota { limit: "target groups", holder: "the ALB".into(), need: need.groups, have: have_groups };
        let mut room = have_rules;
        let mut taken: BTreeSet<&TargetSetId> = BTreeSet::new();
        for places in self.turns(ports, rules).values() {
            let members: Vec<&Rule> =
                places.iter().filter_map(|(listener, index)| Some(&rules.get(*listener)?.get(*index)?.rule)).collect();
            let Some(first) = members.first() else { continue };
            if members.len() > room {
                verdicts.extend(places.iter().map(|place| (*place, Verdict::Leave)));
                refusals.extend(self.refuse_for_room(first, rule_quota, MORE_RULES, Residue::FallsThrough));
                continue;
            }
            room -= members.len();
            let new: BTreeSet<_> =
                members.iter().flat_map(|rule| rule.action.target_groups()).filter(|group| !taken.contains(group)).collect();
            if taken.len() + new.len() > have_groups {
                verdicts.extend(places.iter().map(|place| (*place, Verdict::Answer500)));
                refusals.extend(self.refuse_for_room(first, group_quota, FEWER_GROUPS, Residue::Answer500));
            } else {
                taken.extend(new);
            }
        }
        (verdicts, refusals)
    }

    /// The places of all rules in the order in which they take room. A plan rule that became two rules takes its turn with both.
    fn turns<'a>(&'a self, ports: &[u16], rules: &'a Rules) -> BTreeMap<(Turn<'a>, Option<Place>), Vec<Place>> {
        let created: BTreeMap<&RuleId, Option<&str>> = self.plan.rules().map(|(_, _, rule)| (&rule.id, rule.created.as_deref())).collect();
        let mut turns: BTreeMap<_, Vec<Place>> = BTreeMap::new();
        for (listener, (port, rules)) in ports.iter().zip(rules).enumerate() {
            for (index, Compacted { rule, .. }) in rules.iter().enumerate() {
                let turn = match rule.sources.first() {
                    Some(Source::Rule(id)) => {
                        let created = created.get(id).copied().flatten();
                        let hostname = rule.id.0.split_once('@').map_or("", |(_, name)| name);
                        (Some((created.is_none(), created, id.route.key.to_string(), id, *port, hostname)), None)
                    }
                    _ => (None, Some((listener, index))),
                };
                turns.entry(turn).or_default().push((listener, index));
            }
        }
        turns
    }

    /// A refusal for each match that a rule serves, or for the listener that it keeps apart.
    fn refuse_for_room(&self, rule: &Rule, quota: impl Fn() -> Quota, remedy: &str, residue: Residue) -> Vec<Refusal> {
        let of_matches = rule.sources.iter().filter_map(|source| if let Source::Rule(id) = source { Some(id) } else { None });
        let refuse = |id: &RuleId| {
            let at = format!("spec.rules[{}].matches[{}]", id.rule, id.match_index);
            Issue::quota(at, quota(), remedy).refuse(Subject::Rule(id.clone()), residue)
        };
        let listener = self
            .isolated(rule)
            .map(|owner| Issue::quota(field(owner, "hostname"), quota(), remedy).refuse(Subject::Listener(owner.clone()), residue));
        of_matches.map(refuse).chain(listener).collect()
    }

    /// The listener that a rule keeps apart from others.
    fn isolated(&self, rule: &Rule) -> Option<&ListenerOwner> {
        if rule.sources.iter().any(|source| matches!(source, Source::Rule(_))) {
            return None;
        }
        let mut parts = rule.id.0.splitn(4, '/').skip(1);
        let port: u16 = parts.next()?.parse().ok()?;
        let name = parts.nth(1)?;
        let listeners = &self.plan.ports.iter().find(|found| found.port == port)?.listeners;
        let named = listeners.iter().find(|listener| listener.hostname.as_ref().map_or("*", |hostname| hostname.as_str()) == name)?;
        Some(&named.owner)
    }
}

/// What all rules together need.
struct Need {
    rules: usize,
    groups: usize,
}

impl Need {
    fn of(rules: &Rules) -> Self {
        let groups: BTreeSet<&TargetSetId> = rules.iter().flatten().flat_map(|compacted| compacted.rule.action.target_groups()).collect();
        Self { rules: rules.iter().map(Vec::len).sum(), groups: groups.len() }
    }
}

const MORE_RULES: &str = "Older routes are served first. Ask AWS for a higher quota of rules per Application Load Balancer, match with fewer hostnames and matches, or \
                          move routes to another Gateway.";
const FEWER_GROUPS: &str =
    "Older routes are served first. AWS does not raise this quota: forward to fewer Services, or move routes to another Gateway.";
