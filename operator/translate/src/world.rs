//! Everything that is watched, with indexes, so that a change costs what it touches and not what there is.

mod apply;
mod event;
pub(crate) mod object;
pub(crate) mod reference;
mod relation;

use crate::FINALIZER;
use object::{ClassSpec, Secret, Service, Slice, Stored, StoredGateway, StoredRoute};
use portico_crds::normal::{Grant, GrantFrom, ParentRef};
use portico_crds::v1alpha1::LoadBalancerProfileSpec;
use portico_crds::{CONTROLLER_NAME, Kind, NamespacedName};
use portico_providers::{RouteId, RouteKind, UnitId};
use relation::Relation;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use event::{Event, Impact, UnitState};

/// Stores of every kind that matters, and who refers to whom.
///
/// The world is a value: two worlds that saw the same objects are equal, whatever the order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    pub(crate) classes: BTreeMap<String, Stored<ClassSpec>>,
    pub(crate) gateways: BTreeMap<NamespacedName, StoredGateway>,
    pub(crate) routes: BTreeMap<RouteId, StoredRoute>,
    pub(crate) profiles: BTreeMap<NamespacedName, Stored<LoadBalancerProfileSpec>>,
    pub(crate) services: BTreeMap<NamespacedName, Service>,
    pub(crate) slices: BTreeMap<NamespacedName, Slice>,
    pub(crate) secrets: BTreeMap<NamespacedName, Secret>,
    grants: BTreeMap<NamespacedName, Grant>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// `gateway.networking.k8s.io/bundle-version` of the GatewayClass CRD, empty where it has none; `None` where the CRD was never seen.
    pub(crate) bundle_version: Option<String>,

    class_of: Relation<NamespacedName, String>,
    gateways_of: Relation<RouteId, NamespacedName>,
    services_of: Relation<RouteId, NamespacedName>,
    namespace_of: Relation<RouteId, String>,
    route_crossings: Relation<RouteId, String>,
    gateway_crossings: Relation<NamespacedName, String>,
    secrets_of: Relation<NamespacedName, NamespacedName>,
    profile_of_class: Relation<String, NamespacedName>,
    profile_of_gateway: Relation<NamespacedName, NamespacedName>,
    service_of_slice: Relation<NamespacedName, NamespacedName>,
}

impl World {
    /// An empty world.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every unit that is not [`UnitState::Absent`], in order. For the start and for the sweep: the cost is that of the world.
    pub fn units(&self) -> impl Iterator<Item = UnitId> + '_ {
        self.gateways.keys().cloned().map(UnitId::Gateway).filter(|unit| self.unit_state(unit) != UnitState::Absent)
    }

    /// Where a unit stands.
    pub fn unit_state(&self, unit: &UnitId) -> UnitState {
        let Some(gateway) = unit.gateway().and_then(|key| self.gateways.get(key)) else { return UnitState::Absent };
        let marked = gateway.meta.finalizers.contains(FINALIZER);
        match (self.classes.get(gateway.class()).map(Stored::controller), marked, gateway.meta.deleting) {
            (Some(CONTROLLER_NAME), _, false) => UnitState::Live,
            (Some(_), true, _) | (None, true, true) => UnitState::Deleting,
            (None, true, false) => UnitState::Held,
            (_, false, _) => UnitState::Absent,
        }
    }

    /// The classes that Portico serves, in order.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().filter(|(_, class)| class.controller() == CONTROLLER_NAME).map(|(name, _)| name.as_str())
    }

    /// The Gateways of a class, in order; while there are any the class carries [`crate::CLASS_FINALIZER`].
    pub fn gateways_of_class<'a>(&'a self, class: &'a str) -> impl Iterator<Item = &'a NamespacedName> {
        self.class_of.sources(class)
    }

    /// The last seen raw form of an object of a kind that has a status of ours.
    pub fn raw(&self, kind: Kind, key: &NamespacedName) -> Option<&Arc<Value>> {
        match kind {
            Kind::GatewayClass => self.classes.get(&key.name).map(|it| &it.raw),
            Kind::Gateway => self.gateways.get(key).map(|it| &it.raw),
            Kind::LoadBalancerProfile => self.profiles.get(key).map(|it| &it.raw),
            kind => self.routes.get(&RouteId { kind: route_kind(kind)?, key: key.clone() }).map(|it| &it.stored.raw),
        }
    }

    /// Labels of a namespace; none where it is not known.
    pub(crate) fn labels(&self, namespace: &str) -> &BTreeMap<String, String> {
        const NONE: &BTreeMap<String, String> = &BTreeMap::new();
        self.namespaces.get(namespace).unwrap_or(NONE)
    }

    /// Whether a ReferenceGrant in the target's namespace permits a reference. Within one namespace nothing has to.
    pub(crate) fn permits(&self, from: &GrantFrom, kind: Kind, target: &NamespacedName) -> bool {
        from.namespace == target.namespace
            || self
                .grants_in(&target.namespace)
                .any(|grant| grant.permits(from, kind.group(), kind.name(), &target.namespace, &target.name))
    }

    fn grants_in<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Grant> {
        let first = NamespacedName::new(namespace, "");
        self.grants.range(first..).take_while(move |(key, _)| key.namespace == namespace).map(|(_, grant)| grant)
    }

    /// The routes that name a Gateway as a parent, in order.
    pub(crate) fn routes_of<'a>(&'a self, gateway: &'a NamespacedName) -> impl Iterator<Item = (&'a RouteId, &'a StoredRoute)> {
        self.gateways_of.sources(gateway).filter_map(|id| self.routes.get_key_value(id))
    }

    /// The EndpointSlices of a Service, in order.
    pub(crate) fn slices_of<'a>(&'a self, service: &'a NamespacedName) -> impl Iterator<Item = &'a Slice> {
        self.service_of_slice.sources(service).filter_map(|key| self.slices.get(key))
    }

    /// The parents of a route that are units of ours, and whose status entries are therefore ours to write.
    pub(crate) fn served_parents(&self, id: &RouteId) -> impl Iterator<Item = &ParentRef> {
        let parents = self.routes.get(id).into_iter().flat_map(|route| &route.parents);
        parents.filter(|parent| {
            reference::gateway_of(parent, &id.key.namespace)
                .is_some_and(|gateway| matches!(self.unit_state(&UnitId::Gateway(gateway)), UnitState::Live | UnitState::Held))
        })
    }
}

/// The kind of route that a kind is.
fn route_kind(kind: Kind) -> Option<RouteKind> {
    match kind {
        Kind::HttpRoute => Some(RouteKind::Http),
        Kind::GrpcRoute => Some(RouteKind::Grpc),
        Kind::TlsRoute => Some(RouteKind::Tls),
        Kind::TcpRoute => Some(RouteKind::Tcp),
        Kind::UdpRoute => Some(RouteKind::Udp),
        _ => None,
    }
}

/// The kind of a kind of route.
pub(crate) fn kind_of_route(kind: RouteKind) -> Kind {
    match kind {
        RouteKind::Http => Kind::HttpRoute,
        RouteKind::Grpc => Kind::GrpcRoute,
        RouteKind::Tls => Kind::TlsRoute,
        RouteKind::Tcp => Kind::TcpRoute,
        RouteKind::Udp => Kind::UdpRoute,
    }
}

/// A set of one, or of none.
fn one<T: Ord>(value: Option<T>) -> BTreeSet<T> {
    value.into_iter().collect()
}
