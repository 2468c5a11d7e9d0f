//! Which endpoints fill which target set.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use portico_crds::NamespacedName;
use portico_providers::{Binding, RejectedTarget, TargetSetId, UnitId};

/// Which endpoints fill which target set, from the last compile of each unit.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    pub by_unit: BTreeMap<UnitId, BTreeSet<TargetSetId>>,
    pub by_service: BTreeMap<NamespacedName, BTreeSet<TargetSetId>>,
    pub by_sink: BTreeMap<TargetSetId, (UnitId, Binding)>,
    pub absent: BTreeSet<TargetSetId>,
    /// Endpoints in use when a target set was last brought up to date.
    pub used: BTreeMap<TargetSetId, BTreeSet<(IpAddr, u16)>>,
    /// Addresses that the cloud did not take.
    rejected: BTreeMap<TargetSetId, Vec<RejectedTarget>>,
    /// Counts what a unit's pass made, so that a look that began before it does not count as one after it.
    pub made: BTreeMap<UnitId, u64>,
}

impl Bindings {
    /// Replaces a unit's bindings; returns the target sets whose binding is new or changed.
    pub fn replace(&mut self, unit: &UnitId, bindings: Vec<Binding>) -> Vec<TargetSetId> {
        let sinks: BTreeSet<TargetSetId> = bindings.iter().map(|binding| binding.sink.clone()).collect();
        for gone in self.by_unit.insert(unit.clone(), sinks.clone()).unwrap_or_default().difference(&sinks) {
            self.forget(gone);
        }
        let mut changed = Vec::new();
        for binding in bindings {
            let sink = binding.sink.clone();
            if self.by_sink.get(&sink).is_some_and(|(_, old)| *old == binding) {
                continue;
            }
            self.forget(&sink);
            self.by_service.entry(binding.source.service.clone()).or_default().insert(sink.clone());
            self.by_sink.insert(sink.clone(), (unit.clone(), binding));
            changed.push(sink);
        }
        if sinks.is_empty() {
            self.by_unit.remove(unit);
            self.made.remove(unit);
        }
        changed
    }

    fn forget(&mut self, sink: &TargetSetId) {
        self.absent.remove(sink);
        self.used.remove(sink);
        self.rejected.remove(sink);
        let Some((_, binding)) = self.by_sink.remove(sink) else { return };
        if let Some(sinks) = self.by_service.get_mut(&binding.source.service) {
            sinks.remove(sink);
            if sinks.is_empty() {
                self.by_service.remove(&binding.source.service);
            }
        }
    }

    /// Something of a unit was made: its target sets that were absent may be there now.
    pub fn made(&mut self, unit: &UnitId) -> Vec<TargetSetId> {
        let Some(sinks) = self.by_unit.get(unit) else { return Vec::new() };
        let found: Vec<_> = sinks.intersection(&self.absent).cloned().collect();
        *self.made.entry(unit.clone()).or_default() += 1;
        found
    }

    /// The Service whose endpoints fill a target set.
    pub fn service_of(&self, sink: &TargetSetId) -> Option<NamespacedName> {
        self.by_sink.get(sink).map(|(_, binding)| binding.source.service.clone())
    }

    /// Takes up which addresses of a target set the cloud does not take; returns those of before.
    pub fn reject(&mut self, sink: &TargetSetId, rejected: &[RejectedTarget]) -> Vec<RejectedTarget> {
        let before = if rejected.is_empty() { self.rejected.remove(sink) } else { self.rejected.insert(sink.clone(), rejected.to_vec()) };
        before.unwrap_or_default()
    }

    /// How many addresses the cloud does not take.
    pub fn rejected(&self) -> i64 {
        i64::try_from(self.rejected.values().map(Vec::len).sum::<usize>()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portico_providers::{AddressFamily, AppProtocol, ServiceBackend};

    fn binding(service: &str, sink: &str) -> Binding {
        Binding {
            source: ServiceBackend {
                tls_policy: None,
                service: NamespacedName::new("a", service),
                port: 80,
                port_name: String::new(),
                protocol: AppProtocol::Http,
                families: vec![AddressFamily::V4],
            },
            family: AddressFamily::V4,
            sink: TargetSetId(sink.into()),
        }
    }

    #[test]
    fn bindings_follow_the_last_compile() {
        let unit = UnitId::Gateway(NamespacedName::new("a", "g"));
        let mut bindings = Bindings::default();
        let names = |sinks: Vec<TargetSetId>| sinks.into_iter().map(|sink| sink.0).collect::<Vec<_>>();
        assert_eq!(names(bindings.replace(&unit, vec![binding("web", "1"), binding("api", "2")])), ["1", "2"]);
        assert!(bindings.replace(&unit, vec![binding("web", "1"), binding("api", "2")]).is_empty());
        bindings.absent.insert(TargetSetId("1".into()));
        assert_eq!(names(bindings.made(&unit)), ["1"]);
        assert_eq!(names(bindings.replace(&unit, vec![binding("api", "1")])), ["1"]);
        assert_eq!(bindings.by_service.len(), 1);
        assert!(bindings.absent.is_empty());
        assert!(bindings.replace(&unit, vec![]).is_empty());
        assert!(bindings.by_sink.is_empty() && bindings.by_service.is_empty() && bindings.by_unit.is_empty() && bindings.made.is_empty());
    }
}
