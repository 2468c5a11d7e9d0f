//! What other replicas' proxies answered, so that the leader's statuses speak for all of them.

use crate::store::Progress;
use portico_providers::UnitId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far the proxies of one replica are with one unit: what replicas tell one another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acknowledgement {
    /// The fleet.
    pub fleet: String,
    /// The unit.
    pub unit: UnitId,
    /// How far they are.
    pub progress: Progress,
}

/// What other replicas said last.
#[derive(Debug, Default)]
pub(crate) struct Peers(BTreeMap<String, BTreeMap<(String, UnitId), Progress>>);

impl Peers {
    /// Takes what a replica says now in the place of all that it said before. Returns the units about which it says something else.
    pub fn set(&mut self, replica: &str, said: Vec<Acknowledgement>) -> Vec<UnitId> {
        let said: BTreeMap<_, _> = said.into_iter().map(|it| ((it.fleet, it.unit), it.progress)).collect();
        let before = if said.is_empty() { self.0.remove(replica) } else { self.0.insert(replica.to_owned(), said.clone()) };
        let before = before.unwrap_or_default();
        let mut units: Vec<UnitId> =
            said.iter().filter(|(key, now)| before.get(key) != Some(now)).map(|((_, unit), _)| unit.clone()).collect();
        units.extend(before.into_keys().filter(|key| !said.contains_key(key)).map(|(_, unit)| unit));
        units.sort();
        units.dedup();
        units
    }

    /// Adds what the others say of a unit to what this replica knows. A replica that is at another version has not got there yet.
    pub fn merge(&self, fleet: &str, unit: &UnitId, mut own: Progress) -> Progress {
        let key = (fleet.to_owned(), unit.clone());
        for theirs in self.0.values().filter_map(|said| said.get(&key)) {
            own.proxies += theirs.proxies;
            own.turned_away = own.turned_away.or_else(|| theirs.turned_away.clone());
            if theirs.version == own.version {
                own.acknowledged += theirs.acknowledged;
                own.waiting += theirs.waiting;
                own.refusals.extend(theirs.refusals.iter().filter(|it| !own.refusals.contains(it)).cloned().collect::<Vec<_>>());
            } else {
                own.waiting += theirs.proxies;
            }
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portico_crds::NamespacedName;
    use portico_envoy::observed::Version;

    #[test]
    fn a_status_speaks_for_the_proxies_of_all_replicas() {
        let unit = UnitId::Gateway(NamespacedName::new("infra", "web"));
        let at =
            |version: &str| Progress { version: Some(Version(version.to_owned())), proxies: 1, acknowledged: 1, ..Progress::default() };
        let said = |progress: Progress| vec![Acknowledgement { fleet: "portico".into(), unit: unit.clone(), progress }];
        let mut peers = Peers::default();
        assert_eq!(peers.set("b", said(at("new"))), vec![unit.clone()]);
        assert_eq!(peers.set("b", said(at("new"))), vec![]);
        let merged = peers.merge("portico", &unit, at("new"));
        assert_eq!((merged.proxies, merged.acknowledged, merged.waiting), (2, 2, 0));
        // A replica that is behind is waited for.
        assert_eq!(peers.merge("portico", &unit, at("newer")).waiting, 1);
        // What one proxy refuses anywhere is a refusal.
        let refused = Progress { acknowledged: 0, refusals: vec!["listener: no".into()], ..at("newer") };
        assert_eq!(peers.set("b", said(refused)), vec![unit.clone()]);
        assert_eq!(peers.merge("portico", &unit, at("newer")).refusals, ["listener: no"]);
        // A proxy that was turned away anywhere is spoken of.
        let stranger = Progress { proxies: 0, acknowledged: 0, turned_away: Some("no certificate".into()), ..at("newer") };
        assert_eq!(peers.set("b", said(stranger)), vec![unit.clone()]);
        assert_eq!(peers.merge("portico", &unit, at("newer")).turned_away.as_deref(), Some("no certificate"));
        // Of a replica that is gone nothing counts.
        assert_eq!(peers.set("b", Vec::new()), vec![unit.clone()]);
        assert_eq!(peers.merge("portico", &unit, at("newer")), at("newer"));
    }
}
