//! Everything that is watched, with indexes, so that a change costs what it touches and not what there is.

mod apply;
pub(crate) mod definition;
mod event;
mod fleet;
pub(crate) mod object;
pub(crate) mod policy;
pub(crate) mod reference;
mod relation;
pub(crate) mod secret;

use crate::FINALIZER;
use definition::Definition;
use object::{ClassSpec, Service, Slice, Stored, StoredGateway, StoredRoute};
use policy::PolicySpec;
use portico_crds::normal::{Grant, GrantFrom, Listener, ListenerSetSpec, ParentRef};
use portico_crds::v1alpha1::LoadBalancerProfileSpec;
use portico_crds::{CONTROLLER_NAME, Kind, NamespacedName};
use portico_providers::{CaBundleSource, ListenerParent, RouteId, RouteKind, UnitId};
use reference::Holder;
use relation::Relation;
use secret::{CaBundle, Secret};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

pub use definition::strip_schemas;
pub use event::{Event, Impact, UnitState};
pub use secret::{ca_certificates, key_material, strip_private_key};

/// Stores of every kind that matters, and who refers to whom.
///
/// The world is a value: two worlds that saw the same objects are equal, whatever the order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    pub(crate) classes: BTreeMap<String, Stored<ClassSpec>>,
    pub(crate) gateways: BTreeMap<NamespacedName, StoredGateway>,
    pub(crate) listener_sets: BTreeMap<NamespacedName, Stored<ListenerSetSpec>>,
    pub(crate) routes: BTreeMap<RouteId, StoredRoute>,
    pub(crate) profiles: BTreeMap<NamespacedName, Stored<LoadBalancerProfileSpec>>,
    pub(crate) services: BTreeMap<NamespacedName, Service>,
    pub(crate) policies: BTreeMap<NamespacedName, Stored<PolicySpec>>,
    pub(crate) slices: BTreeMap<NamespacedName, Slice>,
    pub(crate) secrets: BTreeMap<NamespacedName, Secret>,
    pub(crate) ca_bundles: BTreeMap<CaBundleSource, CaBundle>,
    /// When certificates begin and end to be valid.
    turns: BTreeSet<(String, NamespacedName)>,
    /// The time, as far as anybody told: RFC 3339, UTC, whole seconds, so that the order of texts is that of time.
    pub(crate) now: Option<String>,
    grants: BTreeMap<NamespacedName, Grant>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// The installed CRDs of Gateway API, by kind.
    pub(crate) definitions: BTreeMap<Kind, Definition>,

    /// The IP addresses that Gateways have, as their statuses say.
    addresses_of: Relation<NamespacedName, IpAddr>,
    class_of: Relation<NamespacedName, String>,
    gateway_of_set: Relation<NamespacedName, NamespacedName>,
    namespace_of_set: Relation<NamespacedName, String>,
    gateways_of: Relation<RouteId, NamespacedName>,
    sets_of: Relation<RouteId, NamespacedName>,
    services_of: Relation<RouteId, NamespacedName>,
    services_of_holder: Relation<Holder, NamespacedName>,
    namespace_of: Relation<RouteId, String>,
    route_crossings: Relation<RouteId, String>,
    holder_crossings: Relation<Holder, String>,
    secrets_of: Relation<Holder, NamespacedName>,
    ca_bundles_of: Relation<NamespacedName, CaBundleSource>,
    ca_bundles_of_policy: Relation<NamespacedName, CaBundleSource>,
    profile_of_class: Relation<String, NamespacedName>,
    profile_of_gateway: Relation<NamespacedName, NamespacedName>,
    /// The fleets of Envoy proxies that profiles name.
    fleet_of_profile: Relation<NamespacedName, String>,
    service_of_slice: Relation<NamespacedName, NamespacedName>,
    services_of_policy: Relation<NamespacedName, NamespacedName>,
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

    /// The Gateways of a namespace with their classes' names, in order.
    pub fn gateways_in(&self, namespace: &str) -> impl Iterator<Item = (&NamespacedName, &str)> {
        let first = NamespacedName::new(namespace, "");
        let inside = self.gateways.range(first..).take_while(move |(key, _)| key.namespace == namespace);
        inside.map(|(key, gateway)| (key, gateway.class()))
    }

    /// Whether a unit is to be served.
    pub fn is_live(&self, unit: &UnitId) -> bool {
        self.unit_state(unit) == UnitState::Live
    }

    /// Whether the status of a unit's Gateway says that it has an address.
    pub fn has_address(&self, unit: &UnitId, address: IpAddr) -> bool {
        unit.gateway().is_some_and(|key| self.addresses_of(key).any(|it| it == address))
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
            Kind::ListenerSet => self.listener_sets.get(key).map(|it| &it.raw),
            Kind::LoadBalancerProfile => self.profiles.get(key).map(|it| &it.raw),
            Kind::BackendTlsPolicy => self.policies.get(key).map(|it| &it.raw),
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

    /// The routes that name a Gateway or one of its ListenerSets as a parent, in order.
    pub(crate) fn routes_of(&self, gateway: &NamespacedName) -> BTreeMap<&RouteId, &StoredRoute> {
        let through_sets = self.gateway_of_set.sources(gateway).flat_map(|set| self.sets_of.sources(set));
        self.gateways_of.sources(gateway).chain(through_sets).filter_map(|id| self.routes.get_key_value(id)).collect()
    }

    /// The ListenerSets that name a Gateway as their parent, in the order of their precedence: the older first, then by `namespace/name` (Gateway API).
    pub(crate) fn sets_of_gateway(&self, gateway: &NamespacedName) -> Vec<&Stored<ListenerSetSpec>> {
        let mut sets: Vec<_> = self.gateway_of_set.sources(gateway).filter_map(|key| self.listener_sets.get(key)).collect();
        sets.sort_by_cached_key(|set| (set.meta.created.is_none(), set.meta.created.clone(), set.meta.key.to_string()));
        sets
    }

    /// The listeners of a Gateway and of its ListenerSets.
    fn listeners_of<'a>(&'a self, gateway: &NamespacedName) -> impl Iterator<Item = &'a Listener> + use<'a> {
        let own = self.gateways.get(gateway).and_then(|it| it.spec.as_ref()).map(|spec| &spec.listeners);
        let sets = self.gateway_of_set.sources(gateway).filter_map(|key| self.listener_sets.get(key)?.spec.as_ref());
        own.into_iter().chain(sets.map(|spec| &spec.listeners)).flatten()
    }

    /// The Gateway that a parent reference of a route in `namespace` leads to, directly or through a ListenerSet.
    pub(crate) fn gateway_of_parent(&self, parent: &ParentRef, namespace: &str) -> Option<NamespacedName> {
        match parent.known_kind()? {
            Kind::Gateway => Some(parent.resolve(namespace)),
            Kind::ListenerSet => self.gateway_of_set.targets(&parent.resolve(namespace)).next().cloned(),
            _ => None,
        }
    }

    /// The IP addresses that a Gateway's status says are its own, in order.
    pub(crate) fn addresses_of(&self, gateway: &NamespacedName) -> impl Iterator<Item = IpAddr> {
        self.addresses_of.targets(gateway).copied()
    }

    /// Whose an address is: the oldest Gateway's that has it in its status, of whatever controller.
    pub(crate) fn holder_of(&self, address: IpAddr) -> Option<&NamespacedName> {
        let gateways = self.addresses_of.sources(&address).filter_map(|key| self.gateways.get(key));
        let oldest = gateways.min_by_key(|it| (it.meta.created.is_none(), it.meta.created.clone(), it.meta.key.clone()));
        oldest.map(|gateway| &gateway.meta.key)
    }

    /// The EndpointSlices of a Service, in order.
    pub(crate) fn slices_of<'a>(&'a self, service: &'a NamespacedName) -> impl Iterator<Item = &'a Slice> {
        self.service_of_slice.sources(service).filter_map(|key| self.slices.get(key))
    }

    /// The parents of a route that are units of ours, or ListenerSets of them, and whose status entries are therefore ours to write.
    pub(crate) fn served_parents(&self, id: &RouteId) -> impl Iterator<Item = &ParentRef> {
        let parents = self.routes.get(id).into_iter().flat_map(|route| &route.parents);
        parents.filter(|parent| self.gateway_of_parent(parent, &id.key.namespace).is_some_and(|gateway| self.reports_on(gateway)))
    }

    /// The routes that refer to a Service, in order.
    pub fn routes_of_service<'a>(&'a self, service: &'a NamespacedName) -> impl Iterator<Item = &'a RouteId> {
        self.services_of.sources(service)
    }

    /// The BackendTLSPolicies for Services that a route refers to, in order. Datagrams know no TLS.
    pub(crate) fn policies_of_route<'a>(&'a self, route: &RouteId) -> impl Iterator<Item = &'a NamespacedName> + use<'a> {
        let services = self.services_of.targets(route).filter(|_| route.kind != RouteKind::Udp).collect::<Vec<_>>();
        services.into_iter().flat_map(|service| self.services_of_policy.sources(service))
    }

    /// The BackendTLSPolicies for Services that filters of listeners refer to, in order.
    pub(crate) fn policies_of_holder<'a>(&'a self, holder: &Holder) -> impl Iterator<Item = &'a NamespacedName> + use<'a> {
        self.services_of_holder.targets(holder).flat_map(|service| self.services_of_policy.sources(service))
    }

    /// The objects that hold listeners of a Gateway: itself and its ListenerSets.
    pub(crate) fn holders_of<'a>(&'a self, gateway: &NamespacedName) -> impl Iterator<Item = Holder> + use<'a> {
        let sets = self.gateway_of_set.sources(gateway).map(|set| (ListenerParent::ListenerSet, set.clone()));
        std::iter::once((ListenerParent::Gateway, gateway.clone())).chain(sets)
    }

    /// The BackendTLSPolicy for a port of a Service: that for the port before that for the whole Service.
    pub(crate) fn policy_of(&self, service: &NamespacedName, port: &str) -> Option<&NamespacedName> {
        self.policy_of_target(service, Some(port)).or_else(|| self.policy_of_target(service, None))
    }

    /// Of the BackendTLSPolicies for just this port of a Service, or for the whole of it, the one that takes precedence: the older, then by `namespace/name` (Gateway API).
    pub(crate) fn policy_of_target(&self, service: &NamespacedName, port: Option<&str>) -> Option<&NamespacedName> {
        let policies = self.services_of_policy.sources(service).filter_map(|key| self.policies.get(key));
        let meant = policies.filter(|policy| policy.targets().any(|target| target.service == *service && target.port.as_deref() == port));
        let rank = |policy: &Stored<PolicySpec>| {
            let created = &policy.meta.created;
            (created.is_none(), created.clone(), policy.meta.key.to_string())
        };
        meant.min_by_key(|policy| rank(policy)).map(|policy| &policy.meta.key)
    }

    /// The Gateways of ours whose routes or listeners refer to a Service that a BackendTLSPolicy is for. Its status entries for them are ours to write.
    pub(crate) fn served_ancestors(&self, policy: &NamespacedName) -> BTreeSet<ParentRef> {
        let gateways: BTreeSet<&NamespacedName> =
            self.services_of_policy.targets(policy).flat_map(|service| self.gateways_of_service(service)).collect();
        gateways.into_iter().filter(|gateway| self.reports_on((*gateway).clone())).map(ancestor).collect()
    }

    /// The Gateways that have routes which refer to a Service by connections, or listeners whose filters do.
    fn gateways_of_service<'a>(&'a self, service: &'a NamespacedName) -> impl Iterator<Item = &'a NamespacedName> {
        let routes = self.services_of.sources(service).filter(|route| route.kind != RouteKind::Udp);
        let holders = self.services_of_holder.sources(service);
        routes.flat_map(|route| self.gateways_of_route(route)).chain(holders.filter_map(|holder| self.gateway_of_holder(holder)))
    }

    /// The Gateway whose listeners an object holds.
    fn gateway_of_holder<'a>(&'a self, (parent, key): &'a Holder) -> Option<&'a NamespacedName> {
        match parent {
            ListenerParent::Gateway => Some(key),
            ListenerParent::ListenerSet => self.gateway_of_set.targets(key).next(),
        }
    }

    /// Whether the status of an object with one controller is ours to write.
    pub(crate) fn reports_on_object(&self, kind: Kind, key: &NamespacedName) -> bool {
        match kind {
            Kind::GatewayClass => self.classes.get(&key.name).is_some_and(|class| class.controller() == CONTROLLER_NAME),
            Kind::Gateway => self.reports_on(key.clone()),
            Kind::ListenerSet => self.gateway_of_set.targets(key).any(|gateway| self.reports_on(gateway.clone())),
            _ => false,
        }
    }

    /// Whether the statuses of a Gateway, of its ListenerSets and of its routes are ours to write.
    fn reports_on(&self, gateway: NamespacedName) -> bool {
        matches!(self.unit_state(&UnitId::Gateway(gateway)), UnitState::Live | UnitState::Held)
    }
}

/// A Gateway as a policy's ancestor.
pub(crate) fn ancestor(gateway: &NamespacedName) -> ParentRef {
    let NamespacedName { namespace, name } = gateway.clone();
    let (group, kind) = (Kind::Gateway.group().to_owned(), Kind::Gateway.name().to_owned());
    ParentRef { group, kind, namespace: Some(namespace), name, section_name: None, port: None }
}

/// The kind of route that a kind is.
pub(crate) fn route_kind(kind: Kind) -> Option<RouteKind> {
    match kind {
        Kind::HttpRoute => Some(RouteKind::Http),
        Kind::GrpcRoute => Some(RouteKind::Grpc),
        Kind::TlsRoute => Some(RouteKind::Tls),
        Kind::TcpRoute => Some(RouteKind::Tcp),
        Kind::UdpRoute => Some(RouteKind::Udp),
        _ => None,
    }
}

/// The kind of what holds listeners.
pub(crate) fn kind_of_holder(parent: ListenerParent) -> Kind {
    match parent {
        ListenerParent::Gateway => Kind::Gateway,
        ListenerParent::ListenerSet => Kind::ListenerSet,
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
