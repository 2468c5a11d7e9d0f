//! What is expected of a class, as committed: one name a line, what follows a colon is the reason, `#` begins a comment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::assets;

/// The features that the class claims; the provider's own test writes the file.
const CLAIMED: &str = "claimed.txt";
/// The features that it claims besides where the installed CRDs are those of the experimental channel.
const CLAIMED_EXPERIMENTAL: &str = "claimed-experimental.txt";
/// The tests that must pass.
const PASSING: &str = "passing.txt";
/// The tests that no implementation on this backend can pass, with the reason.
const SKIPPED: &str = "skipped.txt";
/// The tests that fail today, with the reason: not run where only the floor is asked for, since they take their time to fail
/// and disturb their neighbours.
const FAILING: &str = "failing.txt";
/// The suite's own Gateways that it must not wait for, with the reason.
const NOT_AWAITED: &str = "not-awaited.txt";

/// What is expected of a class. Of a class that nothing is committed of, nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Where it stands.
    pub folder: PathBuf,
    /// The features that it claims.
    pub claimed: BTreeSet<String>,
    /// The tests that must pass.
    pub passing: BTreeSet<String>,
    /// The tests that are skipped, with the reason.
    pub skipped: BTreeMap<String, String>,
    /// The tests that fail today, with the reason.
    pub failing: BTreeMap<String, String>,
    /// The base Gateways that are not waited for, with the reason.
    pub not_awaited: BTreeMap<String, String>,
}

impl Expectation {
    /// Reads what is committed of a class, with the CRDs of the experimental or the standard channel.
    pub fn of(class: &str, experimental: bool) -> Result<Self> {
        let folder = assets::crate_dir().join("conformance").join(class);
        let names = |file| anyhow::Ok(read(&folder.join(file))?.into_keys().collect());
        let mut claimed: BTreeSet<String> = names(CLAIMED)?;
        if experimental {
            claimed.append(&mut names(CLAIMED_EXPERIMENTAL)?);
        }
        Ok(Self {
            claimed,
            passing: names(PASSING)?,
            skipped: read(&folder.join(SKIPPED))?,
            failing: read(&folder.join(FAILING))?,
            not_awaited: read(&folder.join(NOT_AWAITED))?,
            folder,
        })
    }

    /// Expects no more than the floor: what fails today is skipped as well.
    pub fn floor(mut self) -> Self {
        self.skipped.append(&mut self.failing);
        self
    }

    /// The features that should be claimed and are not, and those that are claimed besides.
    pub fn compare(&self, claimed: impl Iterator<Item = String>) -> (Vec<String>, Vec<String>) {
        let claimed: BTreeSet<String> = claimed.collect();
        let missing = self.claimed.difference(&claimed).cloned().collect();
        let more = claimed.difference(&self.claimed).cloned().collect();
        (missing, more)
    }
}

/// Reads a list; a file that is not there lists nothing.
fn read(path: &Path) -> Result<BTreeMap<String, String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn parse(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, reason) = line.split_once(':').unwrap_or((line, ""));
            (name.trim().to_owned(), reason.trim().to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_names_reasons_and_comments() {
        let list = parse("# why\nOne: because: so\n\n  Two\n");
        assert_eq!(list, BTreeMap::from([("One".to_owned(), "because: so".to_owned()), ("Two".to_owned(), String::new())]));
    }

    #[test]
    fn fewer_claims_and_more_claims_are_told_apart() {
        let expectation = Expectation { claimed: BTreeSet::from(["A".to_owned(), "B".to_owned()]), ..Expectation::default() };
        let (missing, more) = expectation.compare(["B".to_owned(), "C".to_owned()].into_iter());
        assert_eq!((missing, more), (vec!["A".to_owned()], vec!["C".to_owned()]));
    }

    #[test]
    fn what_is_committed_of_our_class_holds_together() {
        let expectation = Expectation::of("portico-alb", false).unwrap();
        assert!(expectation.claimed.contains("HTTPRoute"));
        assert!(expectation.passing.contains("HTTPRouteSimpleSameNamespace"));
        let excused = || expectation.skipped.iter().chain(&expectation.failing);
        assert!(excused().all(|(test, _)| !expectation.passing.contains(test)));
        assert!(excused().chain(&expectation.not_awaited).all(|(_, reason)| !reason.is_empty()));
        let [standard, experimental] = [false, true].map(|channel| Expectation::of("portico-envoy", channel).unwrap());
        assert!(experimental.claimed.is_superset(&standard.claimed) && experimental.claimed.contains("GatewayListenerFilters"));
    }
}
