//! What happens to the world, and whom it concerns.

use portico_crds::{Kind, NamespacedName};
use portico_providers::{RouteId, UnitId};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Something was seen. The old value is what the world holds.
#[derive(Clone, Debug)]
pub enum Event {
    /// An object is there, new or changed or the same as before.
    Upsert {
        /// Its kind.
        kind: Kind,
        /// The object as the API server gave it.
        object: Arc<Value>,
    },
    /// An object is gone.
    Delete {
        /// Its kind.
        kind: Kind,
        /// Its namespace (empty for cluster-scoped kinds) and name.
        key: NamespacedName,
    },
    /// The time: RFC 3339 in UTC with whole seconds, as Kubernetes writes it. Certificates begin and end to be valid by it; the crate has no clock.
    Now(String),
}

/// What an event can affect; nothing outside of it can come out differently than before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impact {
    /// Units to pass again.
    pub units: BTreeSet<UnitId>,
    /// GatewayClasses to report on again.
    pub classes: BTreeSet<String>,
    /// Services whose endpoints changed.
    pub services: BTreeSet<NamespacedName>,
    /// Routes that have, or may have, status entries of ours for parents that are none any more: see [`crate::route_cleanup`].
    pub routes: BTreeSet<RouteId>,
    /// BackendTLSPolicies that have, or may have, status entries of ours for Gateways that are no ancestors any more: see [`crate::policy_cleanup`].
    pub policies: BTreeSet<NamespacedName>,
    /// Objects whose status, in which we have a say, somebody wrote, and nothing else: nothing comes out differently, but what we said may be
    /// gone from them. Our own writes are among them.
    pub statuses: BTreeSet<(Kind, NamespacedName)>,
}

impl Impact {
    /// The impact of a status that somebody wrote.
    pub(super) fn of_status(kind: Kind, key: NamespacedName) -> Self {
        Self { statuses: BTreeSet::from([(kind, key)]), ..Self::default() }
    }

    /// Whether nothing is affected.
    pub fn is_empty(&self) -> bool {
        let Self { units, classes, services, routes, policies, statuses } = self;
        let routes_and_policies = routes.is_empty() && policies.is_empty();
        units.is_empty() && classes.is_empty() && services.is_empty() && routes_and_policies && statuses.is_empty()
    }

    /// Adds another impact to this one.
    pub fn merge(&mut self, other: Self) {
        self.units.extend(other.units);
        self.classes.extend(other.classes);
        self.services.extend(other.services);
        self.routes.extend(other.routes);
        self.policies.extend(other.policies);
        self.statuses.extend(other.statuses);
    }
}

/// Where a unit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnitState {
    /// There is no such Gateway, or it is none of ours and nothing of ours hangs on it.
    Absent,
    /// To be served.
    Live,
    /// It carries our finalizer, and its GatewayClass is not there: what exists in the cloud stays as it is until somebody decides.
    Held,
    /// Its load balancer is to go, then our finalizer: it is being deleted, or its class now belongs to another controller.
    Deleting,
}
