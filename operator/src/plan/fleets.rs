//! What Envoy fleets are told now, as far as a plan can know it. The leader writes down one version for everything that a Gateway comes to, and replicas say how far their
//! proxies are with theirs: where that is the version of what the cluster's objects compile to, the fleet was told exactly this, resource by resource.

use std::collections::{BTreeMap, BTreeSet};

use portico_crds::v1alpha1::EffectiveProfile;
use portico_crds::v1alpha1::envoy::Identification;
use portico_envoy::observed::Version;
use portico_envoy::source::Compilation;
use portico_envoy::{Observed, Stack};
use portico_envoy_xds::Acknowledgement;
use portico_providers::{ClusterId, Plan, UnitId};
use portico_translate::{settings, translate};

use crate::keeper::SharedWorld;

/// What fleets are told.
#[derive(Debug, Default)]
pub struct Fleets {
    told: BTreeMap<UnitId, Told>,
    identifications: BTreeMap<String, Identification>,
    notes: BTreeMap<UnitId, String>,
}

/// What a fleet is told for one Gateway.
#[derive(Debug)]
struct Told {
    plan: Plan,
    stack: Stack,
}

impl Fleets {
    /// What fleets are told, by the objects that the operator works with and by what its replicas say; or why nobody can say it.
    pub fn of(world: &SharedWorld, cluster: &ClusterId, said: Result<&[Vec<Acknowledgement>], &str>) -> Self {
        let mut fleets = Self::default();
        let mut heard: BTreeMap<(&str, &UnitId), BTreeSet<Option<&Version>>> = BTreeMap::new();
        for it in said.iter().copied().flatten().flatten() {
            heard.entry((&it.fleet, &it.unit)).or_default().insert(it.progress.version.as_ref());
        }
        let units: Vec<UnitId> = world.read().units().collect();
        for unit in units {
            let plan = match settings(&world.read(), &unit) {
                Some(EffectiveProfile::Envoy(_)) => translate(&world.read(), &unit).and_then(|translation| translation.plan),
                Some(_) => continue,
                None => None,
            };
            let Some(plan) = plan else {
                // What it was told before its Gateway could not be looked into any more goes on.
                let mut told = heard.iter().filter(|((_, of), versions)| **of == unit && versions.iter().any(Option::is_some));
                if let Some(((fleet, _), _)) = told.next_back() {
                    let doubt = format!("What the fleet {fleet} was told last cannot be known: the Gateway's settings cannot be read");
                    fleets.doubt(unit, &doubt);
                }
                continue;
            };
            let stack = portico_envoy::compile(cluster, &plan).stack;
            let versions = stack.versions();
            let fleet = stack.fleet.as_str();
            let same = heard.get(&(fleet, &unit)).map(|heard| *heard == BTreeSet::from([Some(&Version::of_all(&versions))]));
            let doubt = match (said, same) {
                (Ok(_), Some(true)) => None,
                (Ok(_), None) if versions.is_empty() => None,
                (Ok(_), None) => {
                    Some(format!("Nobody says what the fleet {fleet} is told: no operator has led since its Gateways are there"))
                }
                (Ok(_), Some(false)) => Some(format!(
                    "What the fleet {fleet} was told last is not what the cluster's objects come to: the operator is at work on them, or of another version"
                )),
                (Err(why), _) => Some(why.to_owned()),
            };
            match doubt {
                None => {
                    if !versions.is_empty() {
                        fleets.identifications.insert(stack.fleet.clone(), stack.identification);
                    }
                    fleets.told.insert(unit, Told { plan, stack });
                }
                Some(doubt) => fleets.doubt(unit, &doubt),
            }
        }
        fleets
    }

    fn doubt(&mut self, unit: UnitId, doubt: &str) {
        self.notes.insert(unit, format!("{doubt}. Compared with proxies that know nothing of it."));
    }

    /// What is to be said of the comparison of a unit; nothing where it is exact.
    pub fn note(&self, unit: &UnitId) -> Option<&str> {
        self.notes.get(unit).map(String::as_str)
    }

    /// What the fleet of a stack is told for its unit; nothing where nobody knows.
    pub fn observed(&self, stack: &Stack) -> Option<Observed> {
        let told = self.told.get(&stack.unit).filter(|told| told.stack.fleet == stack.fleet);
        let identification = self.identifications.get(&stack.fleet).copied();
        match told {
            Some(told) => Some(Observed { identification, resources: told.stack.versions() }),
            None => identification.map(|_| Observed { identification, ..Observed::default() }),
        }
    }

    /// The plan and the stack behind what a fleet is told for a unit.
    pub fn compilation(&self, unit: &UnitId, fleet: &str) -> Option<Compilation<'_>> {
        let told = self.told.get(unit).filter(|told| told.stack.fleet == fleet)?;
        Some(Compilation { plan: &told.plan, stack: &told.stack })
    }

    /// The fleet that is told of a unit now.
    pub fn fleet_of(&self, unit: &UnitId) -> Option<&str> {
        self.told.get(unit).filter(|told| !told.stack.versions().is_empty()).map(|told| told.stack.fleet.as_str())
    }
}
