//! What came of a run: by profile and level, and against what is committed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::expectation::Expectation;
use super::outcome::{Level, Outcome, Verdict};
use crate::progress::{human, note, verdict};
use crate::test::summary::Count;

/// How to show an outcome at once: whether it is good; none if it is not worth a line.
pub fn line(outcome: &Outcome) -> Option<bool> {
    match outcome.verdict {
        Verdict::Passed => Some(true),
        Verdict::Failed => Some(false),
        Verdict::Skipped | Verdict::Unclaimed => None,
    }
}

/// An outcome in a line.
pub fn describe(outcome: &Outcome) -> String {
    let took = human(Duration::try_from_secs_f64(outcome.seconds).unwrap_or_default());
    let reason = if outcome.reason.is_empty() { String::new() } else { format!(": {}", outcome.reason) };
    format!("{} ({took}){reason}", outcome.test)
}

/// The outcomes of one run.
#[derive(Debug, Clone)]
pub struct Summary {
    outcomes: Vec<Outcome>,
    profiles: Vec<String>,
}

impl Summary {
    /// Sums up a run that was judged by those profiles.
    pub fn of(mut outcomes: Vec<Outcome>, profiles: &[String]) -> Self {
        outcomes.sort_by(|a, b| a.test.cmp(&b.test));
        Self { outcomes, profiles: profiles.to_vec() }
    }

    /// The names of the tests with that verdict.
    fn names(&self, wanted: Verdict, belongs: impl Fn(&Outcome) -> bool) -> Vec<&str> {
        let chosen = self.outcomes.iter().filter(|outcome| outcome.verdict == wanted && belongs(outcome));
        chosen.map(|outcome| outcome.test.as_str()).collect()
    }

    /// By profile, core and extended: how many passed, failed and were skipped, with names.
    pub fn text(&self, expectation: &Expectation) -> String {
        let mut text = String::new();
        for profile in &self.profiles {
            for level in [Level::Core, Level::Extended] {
                let title = format!("{profile} {}", if level == Level::Core { "core" } else { "extended" });
                text.push_str(&self.part(&title, |outcome| outcome.profiles.get(profile) == Some(&level), expectation));
            }
        }
        let elsewhere = |outcome: &Outcome| !self.profiles.iter().any(|profile| outcome.profiles.contains_key(profile));
        if self.outcomes.iter().any(|outcome| elsewhere(outcome) && outcome.verdict != Verdict::Unclaimed) {
            text.push_str(&self.part("in none of these profiles", elsewhere, expectation));
        }
        for (name, reason) in &expectation.not_awaited {
            text.push_str(&format!("not awaited: the base Gateway {name}: {reason}\n"));
        }
        text.trim_end().to_owned()
    }

    fn part(&self, title: &str, belongs: impl Fn(&Outcome) -> bool, expectation: &Expectation) -> String {
        let parts = [("passed", Verdict::Passed), ("failed", Verdict::Failed), ("skipped", Verdict::Skipped)];
        let named = parts.map(|(word, verdict)| (word, self.names(verdict, &belongs)));
        let counts = named.iter().map(|(word, names)| format!("{} {word}", names.len())).collect::<Vec<_>>().join(", ");
        let unclaimed = self.names(Verdict::Unclaimed, &belongs).len();
        let mut text = format!("{title}: {counts}");
        if unclaimed > 0 {
            text.push_str(&format!(", {unclaimed} of features that are not claimed"));
        }
        text.push('\n');
        for (word, names) in named.iter().filter(|(_, names)| !names.is_empty()) {
            let names: Vec<String> = names
                .iter()
                .map(|name| match expectation.skipped.get(*name).filter(|_| *word == "skipped") {
                    Some(reason) => format!("{name} ({reason})"),
                    None => (*name).to_owned(),
                })
                .collect();
            text.push_str(&format!("  {word}: {}\n", names.join(", ")));
        }
        text
    }

    /// What was claimed: how much passed and failed.
    pub fn counts(&self) -> Count {
        Count { passed: self.names(Verdict::Passed, |_| true).len(), failed: self.names(Verdict::Failed, |_| true).len() }
    }

    /// Against the committed floor: what is on the list must have run and passed, too; what passes besides is told.
    pub fn against(&self, expectation: &Expectation) -> Count {
        let passed: BTreeSet<&str> = self.names(Verdict::Passed, |_| true).into_iter().collect();
        let floor: BTreeSet<&str> = expectation.passing.iter().map(String::as_str).collect();
        let mut count = self.counts();
        let failed = self.names(Verdict::Failed, |_| true);
        for test in floor.difference(&passed).filter(|test| !failed.contains(test)) {
            verdict(false, &format!("{test} must pass, but did not run"));
            count += Count::failed();
        }
        let more: Vec<&str> = passed.difference(&floor).copied().collect();
        if !more.is_empty() {
            note(&format!("passes, and is not yet on the list in {}: {}", expectation.folder.display(), more.join(", ")));
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn outcome(test: &str, verdict: Verdict, level: Level) -> Outcome {
        let profiles = BTreeMap::from([("GATEWAY-HTTP".to_owned(), level)]);
        Outcome { test: test.to_owned(), verdict, profiles, seconds: 0.0, reason: String::new() }
    }

    fn summary() -> Summary {
        let outcomes = vec![
            outcome("Simple", Verdict::Passed, Level::Core),
            outcome("Modifier", Verdict::Skipped, Level::Core),
            outcome("Port", Verdict::Failed, Level::Extended),
            outcome("Method", Verdict::Passed, Level::Extended),
            outcome("Mirror", Verdict::Unclaimed, Level::Extended),
        ];
        Summary::of(outcomes, &["GATEWAY-HTTP".to_owned()])
    }

    #[test]
    fn tells_levels_apart_and_names_what_was_skipped_with_the_reason() {
        let skipped = BTreeMap::from([("Modifier".to_owned(), "it cannot".to_owned())]);
        let text = summary().text(&Expectation { skipped, ..Expectation::default() });
        let wanted = "GATEWAY-HTTP core: 1 passed, 0 failed, 1 skipped\n  passed: Simple\n  skipped: Modifier (it cannot)\n\
                      GATEWAY-HTTP extended: 1 passed, 1 failed, 0 skipped, 1 of features that are not claimed\n  passed: Method\n  failed: Port";
        assert_eq!(text, wanted);
        assert_eq!(summary().counts(), Count { passed: 2, failed: 1 });
    }

    #[test]
    fn the_floor_also_fails_for_what_did_not_run() {
        let floor = |names: &[&str]| Expectation { passing: names.iter().map(|&name| name.to_owned()).collect(), ..Expectation::default() };
        assert_eq!(summary().against(&floor(&["Simple", "Port"])), Count { passed: 2, failed: 1 });
        assert_eq!(summary().against(&floor(&["Simple", "Mirror", "Gone"])), Count { passed: 2, failed: 3 });
    }
}
