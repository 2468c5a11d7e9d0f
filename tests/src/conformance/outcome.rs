//! How a test went, as the suite tells it, with what its log says of a failure.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The word that a line about an outcome begins with.
const MARK: &str = "lab:outcome ";
/// The suite's only test; what it judges are its subtests.
const ROOT: &str = "TestConformance/";

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It was skipped by name.
    Skipped,
    /// It needs a feature that is not claimed.
    Unclaimed,
}

/// At which level a test counts for a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every implementation must pass it.
    Core,
    /// It belongs to a feature that one may claim.
    Extended,
}

/// The outcome of a test.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Outcome {
    /// The test's name.
    pub test: String,
    /// How it ended.
    #[serde(rename = "outcome")]
    pub verdict: Verdict,
    /// The profiles that it counts for.
    pub profiles: BTreeMap<String, Level>,
    /// How long it took, with its objects' deletion; 0 if it did not begin.
    pub seconds: f64,
    /// Why it failed, as far as the log says.
    #[serde(skip)]
    pub reason: String,
}

/// Reads the suite's output line by line.
#[derive(Debug, Default)]
pub struct Reader {
    /// The test that the lines belong to that follow, without its subtests.
    current: String,
    /// Whether the line before belongs to an assertion's message.
    within: bool,
    /// What was logged last, by test.
    logged: BTreeMap<String, String>,
    /// What was logged last before the first assertion failed, by test.
    before: BTreeMap<String, String>,
    /// What the failed assertions said, by test.
    failed: BTreeMap<String, Vec<String>>,
}

impl Reader {
    /// Takes the next line; an outcome if it tells one.
    pub fn read(&mut self, line: &str) -> Option<Outcome> {
        if let Some(text) = line.strip_prefix(MARK) {
            let mut outcome: Outcome = serde_json::from_str(text).ok()?;
            if outcome.verdict == Verdict::Failed {
                outcome.reason = self.reason(&outcome.test);
            }
            return Some(outcome);
        }
        if let Some(header) = line.strip_prefix("=== ") {
            let name = header.split_whitespace().nth(1).unwrap_or_default();
            self.current = name.strip_prefix(ROOT).unwrap_or_default().split('/').next().unwrap_or_default().to_owned();
            self.within = false;
            return None;
        }
        let text = line.trim();
        if let Some(said) = ["Error:", "Messages:"].iter().find_map(|label| text.strip_prefix(label)) {
            self.within = text.starts_with("Error:");
            self.failed.entry(self.current.clone()).or_default().push(said.trim().to_owned());
        } else if text.starts_with("Error Trace:") {
            self.within = false;
            // What follows is logged by the cleaning up.
            let last = self.logged.get(&self.current).cloned().unwrap_or_default();
            self.before.entry(self.current.clone()).or_insert(last);
        } else if text.starts_with("Test:") {
            self.within = false;
        } else if self.within {
            self.failed.entry(self.current.clone()).or_default().push(text.to_owned());
        } else if let Some(said) = logged(text) {
            self.logged.insert(self.current.clone(), said.to_owned());
        }
        None
    }

    /// The words of the first assertions that failed, and what was logged before.
    fn reason(&self, test: &str) -> String {
        const CHARACTERS: usize = 400;
        const PARTS: usize = 3;
        let worth = |text: &&str| !text.is_empty() && *text != "Received unexpected error:";
        let parts: Vec<&str> = self.failed.get(test).into_iter().flatten().map(String::as_str).filter(worth).take(PARTS).collect();
        let cut = |text: &str| text.chars().take(CHARACTERS).collect::<String>();
        let last = self.before.get(test).filter(|text| !text.is_empty()).map(|text| format!(" (the log before: {})", cut(text)));
        format!("{}{}", cut(&parts.join("; ")), last.unwrap_or_default())
    }
}

/// What a line `helpers.go:12: 2026-11-21T07:39:35Z: TEXT` says.
fn logged(line: &str) -> Option<&str> {
    let (place, rest) = line.split_once(": ")?;
    let (file, number) = place.rsplit_once(':')?;
    if !file.ends_with(".go") || number.parse::<u32>().is_err() {
        return None;
    }
    let (time, text) = rest.split_once(": ")?;
    time.ends_with('Z').then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"=== RUN   TestConformance/One
    helpers.go:10: 2026-11-21T07:39:35.294961969Z: Applying tests/one.yaml
=== RUN   TestConformance/Two/a_subtest
    helpers.go:11: 2026-11-21T07:39:35.294961969Z: ResolvedRefs condition set to Status True, expected False
=== NAME  TestConformance/One
    one.go:83: 
        	Error Trace:	one.go:83
        	Error:      	Received unexpected error:
        	            	context deadline exceeded
        	Test:       	TestConformance/One
        	Messages:   	error waiting
    apply.go:295: 2026-11-21T07:39:35Z: Deleting one Gateway
lab:outcome {"test":"One","outcome":"failed","profiles":{"GATEWAY-HTTP":"core"},"provisional":false,"seconds":1.5}
lab:outcome {"test":"Two","outcome":"passed","profiles":{"GATEWAY-HTTP":"extended"},"provisional":false,"seconds":0}"#;

    #[test]
    fn a_failure_says_what_its_own_log_says() {
        let mut reader = Reader::default();
        let outcomes: Vec<Outcome> = LOG.lines().filter_map(|line| reader.read(line)).collect();
        let [one, two] = outcomes.as_slice() else { panic!("{outcomes:?}") };
        assert_eq!((one.verdict, one.profiles.get("GATEWAY-HTTP")), (Verdict::Failed, Some(&Level::Core)));
        assert_eq!(one.reason, "context deadline exceeded; error waiting (the log before: Applying tests/one.yaml)");
        assert_eq!((two.verdict, two.reason.as_str()), (Verdict::Passed, ""));
    }
}
