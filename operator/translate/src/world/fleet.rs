//! Fleets of Envoy proxies that LoadBalancerProfiles name. How its proxies prove who they are is a fleet's, not a class's: of the profiles that classes of ours refer to, the
//! oldest holds the fleet, and the others say what it says or are not accepted.

use super::object::Stored;
use super::{Impact, World};
use portico_crds::NamespacedName;
use portico_crds::v1alpha1::LoadBalancerProfileSpec;
use portico_crds::v1alpha1::envoy::Identification;
use std::collections::BTreeMap;

/// Who holds a fleet, and how its proxies prove who they are.
type Holding = (NamespacedName, Identification);

/// The fleet that a profile names, if it can be read as a whole.
pub(super) fn named_by(profile: &Stored<LoadBalancerProfileSpec>) -> Option<String> {
    let envoy = profile.spec.as_ref().filter(|_| profile.defects.is_empty())?.envoy.as_ref()?;
    Some(envoy.fleet_name().to_owned())
}

impl World {
    /// Who holds a fleet: the oldest profile that names it, then by `namespace/name`, among those that classes of ours refer to. Also one whose class is not accepted for
    /// what else it says: nobody takes a fleet over by somebody's mistake.
    fn holder_of_fleet(&self, fleet: &str) -> Option<Holding> {
        let used =
            |profile: &&Stored<LoadBalancerProfileSpec>| self.profile_of_class.sources(&profile.meta.key).any(|class| self.is_ours(class));
        let profiles = self.fleet_of_profile.sources(fleet).filter_map(|key| self.profiles.get(key)).filter(used);
        let rank = |profile: &Stored<LoadBalancerProfileSpec>| {
            let created = &profile.meta.created;
            (created.is_none(), created.clone(), profile.meta.key.to_string())
        };
        let oldest = profiles.min_by_key(|profile| rank(profile))?;
        let identification = oldest.spec.as_ref()?.envoy.as_ref()?.identification.unwrap_or_default();
        Some((oldest.meta.key.clone(), identification))
    }

    /// What keeps a profile from having its fleet: another holds it, and says something else of it. For the status of its classes.
    pub(crate) fn fleet_is_held(&self, key: &NamespacedName, profile: &LoadBalancerProfileSpec) -> Option<String> {
        let envoy = profile.envoy.as_ref()?;
        let (fleet, own) = (envoy.fleet_name(), envoy.identification.unwrap_or_default());
        let (holder, identification) = self.holder_of_fleet(fleet).filter(|(holder, there)| holder != key && *there != own)?;
        Some(format!(
            "spec.envoy.identification is {own}, and the older LoadBalancerProfile {holder}, which holds the fleet {fleet}, says {identification}: proxies of one fleet have \
             one way to prove who they are; let both say the same, or name another fleet in spec.envoy.fleet"
        ))
    }

    /// Who holds each of some fleets.
    pub(super) fn holders_of_fleets<'a>(&self, fleets: impl Iterator<Item = &'a String>) -> BTreeMap<String, Option<Holding>> {
        fleets.map(|fleet| (fleet.clone(), self.holder_of_fleet(fleet))).collect()
    }

    /// Whom it concerns that fleets were held by these before: where that is another, or says something else now, all who name the fleet.
    pub(super) fn passed_on(&self, before: BTreeMap<String, Option<Holding>>) -> Impact {
        let mut impact = Impact::default();
        for (fleet, _) in before.into_iter().filter(|(fleet, held)| self.holder_of_fleet(fleet) != *held) {
            for profile in self.fleet_of_profile.sources(&fleet) {
                impact.merge(self.users_of_profile(profile));
            }
        }
        impact
    }
}
