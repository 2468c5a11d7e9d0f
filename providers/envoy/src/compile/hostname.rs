//! The rules of a listener by hostname, so that a virtual host finds its own without a look at everybody else's.

use super::virtual_host::covers;
use portico_providers::{Hostname, PlanListener, PlanRule};
use std::collections::BTreeMap;

/// Rules with the same hostname, each with its place in the order.
type Rules<'a> = Vec<(usize, &'a PlanRule)>;

/// The rules of one listener.
pub(super) struct ByHostname<'a> {
    exact: BTreeMap<&'a Hostname, Rules<'a>>,
    /// Those that count for several names: by wildcard, and without hostname.
    wide: BTreeMap<Option<&'a Hostname>, Rules<'a>>,
}

impl<'a> ByHostname<'a> {
    /// Sorts the rules of a listener.
    pub fn of(listener: &'a PlanListener) -> Self {
        let mut sorted = Self { exact: BTreeMap::new(), wide: BTreeMap::new() };
        for (at, rule) in listener.rules.iter().enumerate() {
            let rules = match &rule.hostname {
                Some(hostname) if !hostname.is_wildcard() => sorted.exact.entry(hostname).or_default(),
                hostname => sorted.wide.entry(hostname.as_ref()).or_default(),
            };
            rules.push((at, rule));
        }
        sorted
    }

    /// The rules that count for a name, in order.
    pub fn covering(&self, hostname: Option<&Hostname>) -> Vec<&'a PlanRule> {
        let own = hostname.and_then(|hostname| self.exact.get(hostname));
        let wide = self.wide.iter().filter(|(wide, _)| covers(**wide, hostname)).map(|(_, rules)| rules);
        let mut found: Rules<'a> = own.into_iter().chain(wide).flatten().copied().collect();
        found.sort_unstable_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, rule)| rule).collect()
    }
}
