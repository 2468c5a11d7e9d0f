//! What is to be said about every object that a translation touched.
//!
//! A report holds facts; the conditions are derived from them when they are asked for. So refusals and the outcome can come later and everything
//! still agrees: a listener's `attachedRoutes` with the routes' Accepted, a Gateway's Programmed with its listeners'.

mod class;
mod condition;
mod gateway;
mod listener;
mod listener_set;
mod policy;
mod refuse;
mod renew;
mod route;

use crate::status::Desired;
use crate::world::{World, kind_of_route};
use portico_crds::{Kind, NamespacedName};
use portico_providers::{ListenerOwner, Outcome, ProviderError, RouteId};
use std::collections::BTreeMap;

pub use class::ClassReport;
pub use condition::{Condition, Truth};
pub(crate) use condition::{ConditionType, join};
pub use gateway::GatewayReport;
pub(crate) use gateway::{Fault, Progress};
pub use listener::ListenerReport;
pub use listener_set::ListenerSetReport;
pub use policy::{PolicyReport, policy_cleanup};
pub use renew::renew;
pub(crate) use route::{Drop, Verdict};
pub use route::{ParentReport, RouteReport, route_cleanup};

/// The report on one unit: built by translation, completed by compile's refusals and by the outcome, written by the status writer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The unit's Gateways with their listeners and ListenerSets.
    pub gateways: BTreeMap<NamespacedName, GatewayReport>,
    /// The routes that name one of the Gateways or ListenerSets as a parent, with the entries for these parents only.
    pub routes: BTreeMap<RouteId, RouteReport>,
    /// The BackendTLSPolicies for Services that these routes refer to.
    pub policies: BTreeMap<NamespacedName, PolicyReport>,
}

impl Report {
    /// Takes up where the load balancer stands: addresses, and Programmed of Gateways and listeners.
    pub fn finish(&mut self, outcome: &Outcome) {
        for gateway in self.gateways.values_mut() {
            gateway.progress = Progress::Outcome(outcome.clone());
        }
    }

    /// Takes up that a pass failed. What passes by itself only shows while nothing better is known about the generation; everything else turns
    /// Programmed to False with the provider's words. Addresses are left as they are.
    pub fn fail(&mut self, error: &ProviderError) {
        for gateway in self.gateways.values_mut() {
            gateway.progress = Progress::Failed(error.clone());
        }
    }

    /// What every object's status should hold, to be given to [`crate::status::merge`]. The world says which other parents of a route are ours.
    pub fn statuses(&self, world: &World) -> BTreeMap<(Kind, NamespacedName), Desired> {
        let attached = self.attached();
        let gateways = self.gateways.iter().map(|(key, gateway)| ((Kind::Gateway, key.clone()), gateway.desired(&attached)));
        let routes = self.routes.iter().map(|(id, route)| ((kind_of_route(id.kind), id.key.clone()), route.desired(world, id)));
        let sets = self.gateways.values().flat_map(|gateway| gateway.listener_sets.iter().map(move |(key, set)| (gateway, key, set)));
        let sets = sets.map(|(gateway, key, set)| ((Kind::ListenerSet, key.clone()), set.desired(gateway, &attached)));
        let policies = self.policies.iter().map(|(key, policy)| ((Kind::BackendTlsPolicy, key.clone()), policy.desired(world, key)));
        gateways.chain(sets).chain(routes).chain(policies).collect()
    }

    /// How many accepted routes each listener has.
    fn attached(&self) -> BTreeMap<&ListenerOwner, usize> {
        let mut counts = BTreeMap::new();
        for route in self.routes.values() {
            for owner in route.attached() {
                *counts.entry(owner).or_default() += 1;
            }
        }
        counts
    }
}
