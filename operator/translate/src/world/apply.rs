//! The event layer: what an event changes, and whom that concerns.
//!
//! Every change is looked at twice, through the indexes as they were before and as they are after it; the impact is both together. So what an
//! object referred to hears of it as well as what it refers to now.

use super::object::{self, Stored};
use super::reference::Holder;
use super::{
    Event, Impact, UnitState, World, definition, fleet, kind_of_holder, kind_of_route, one, policy, reference, route_kind, secret,
};
use portico_crds::normal::{FromNamespaces, Grant};
use portico_crds::{GATEWAY_GROUP, Kind, NamespacedName};
use portico_providers::{CaBundleSource, ListenerParent, RouteId, UnitId};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl World {
    /// Takes an event in and says whom it concerns. What means nothing to anybody (labels of a route, managedFields, an object of a kind that is
    /// not read) has an empty impact; a status of ours that somebody wrote, us included, is only named.
    pub fn apply(&mut self, event: Event) -> Impact {
        let (kind, key, object) = match event {
            Event::Upsert { kind, object } => (kind, object::Meta::of(&object).key, Some(object)),
            Event::Delete { kind, key } => (kind, key, None),
            Event::Now(now) => return self.apply_time(now),
        };
        if let Some(kind) = route_kind(kind) {
            return self.apply_route(RouteId { kind, key }, object);
        }
        match kind {
            Kind::GatewayClass => self.apply_class(key.name, object),
            Kind::Gateway => self.apply_gateway(key, object),
            Kind::ListenerSet => self.apply_listener_set(key, object),
            Kind::LoadBalancerProfile => self.apply_profile(key, object),
            Kind::ReferenceGrant => self.apply_grant(key, object.as_deref().and_then(object::grant)),
            Kind::Namespace => self.apply_namespace(key.name, object.as_deref().map(object::labels)),
            Kind::Service => {
                let new = object.as_deref().map(object::service);
                if !replace(&mut self.services, &key, new) {
                    return Impact::default();
                }
                let mut impact = self.units_of_routes(self.services_of.sources(&key));
                impact.units.extend(self.units_of_holders(self.services_of_holder.sources(&key)));
                impact
            }
            Kind::BackendTlsPolicy => self.apply_policy(key, object),
            Kind::EndpointSlice => self.apply_slice(&key, object.as_deref().and_then(object::slice)),
            Kind::Secret => self.apply_secret(&key, object.as_deref().map(secret::secret)),
            Kind::ConfigMap | Kind::ClusterTrustBundle => {
                let source = match kind {
                    Kind::ConfigMap => CaBundleSource::ConfigMap(key),
                    _ => CaBundleSource::ClusterTrustBundle(key.name),
                };
                self.apply_ca_bundle(&source, object.as_deref().map(|raw| secret::ca_bundle(kind, raw)))
            }
            Kind::CustomResourceDefinition => self.apply_crd(&key.name, object.as_deref()),
            _ => Impact::default(),
        }
    }

    fn apply_route(&mut self, id: RouteId, new: Option<Arc<Value>>) -> Impact {
        match news(self.routes.get_mut(&id).map(|route| &mut route.stored), new.as_ref()) {
            News::Nothing => return Impact::default(),
            News::Status if self.served_parents(&id).next().is_some() => return Impact::of_status(kind_of_route(id.kind), id.key),
            News::Status => return Impact::default(),
            News::Meaning => {}
        }
        let mut impact = self.units_of_routes(std::iter::once(&id));
        impact.policies = self.policies_of_route(&id).cloned().collect();
        let before: BTreeSet<_> = self.served_parents(&id).cloned().collect();
        let route = new.map(|raw| object::route(id.kind, raw));
        let parents = |kind| route.as_ref().map(|it| reference::parents(&id, it, kind)).unwrap_or_default();
        self.gateways_of.set(&id, parents(Kind::Gateway));
        self.sets_of.set(&id, parents(Kind::ListenerSet));
        self.services_of.set(&id, route.as_ref().map(|it| reference::services(&id, it)).unwrap_or_default());
        self.route_crossings.set(&id, route.as_ref().map(|it| reference::route_crossings(&id, it)).unwrap_or_default());
        self.namespace_of.set(&id, one(route.as_ref().map(|_| id.key.namespace.clone())));
        replace_raw(&mut self.routes, &id, route);
        let after: BTreeSet<_> = self.served_parents(&id).cloned().collect();
        if self.routes.contains_key(&id) && !before.is_subset(&after) {
            impact.routes.insert(id.clone());
        }
        impact.merge(self.units_of_routes(std::iter::once(&id)));
        impact
    }

    fn apply_gateway(&mut self, key: NamespacedName, new: Option<Arc<Value>>) -> Impact {
        let addressed = self.apply_addresses(&key, new.as_deref());
        match news(self.gateways.get_mut(&key), new.as_ref()) {
            News::Nothing => return Impact::default(),
            News::Status if self.reports_on_object(Kind::Gateway, &key) => {
                return Impact { units: self.live(addressed.iter()), ..Impact::of_status(Kind::Gateway, key) };
            }
            News::Status => return Impact { units: self.live(addressed.iter()), ..Impact::default() },
            News::Meaning => {}
        }
        let unit = UnitId::Gateway(key.clone());
        let before = (self.unit_state(&unit), self.our_class(&key));
        let holder = (ListenerParent::Gateway, key.clone());
        let policies = self.policies_of_holder(&holder).cloned().collect();
        let gateway = new.map(object::gateway);
        self.class_of.set(&key, one(gateway.as_ref().map(|it| it.class().to_owned())));
        let secrets = gateway.as_ref().map(reference::secrets_of_gateway).unwrap_or_default();
        let bundles = gateway.as_ref().map(reference::ca_bundles).unwrap_or_default();
        let services = gateway.as_ref().map(reference::services_of_gateway).unwrap_or_default();
        self.set_references(holder, secrets, services, &bundles);
        self.ca_bundles_of.set(&key, bundles);
        let parameters = gateway.as_ref().and_then(|it| it.spec.as_ref()).and_then(|spec| spec.parameters_ref.as_ref());
        self.profile_of_gateway.set(&key, one(parameters.and_then(|it| reference::profile_of(it, &key.namespace))));
        replace_raw(&mut self.gateways, &key, gateway);
        let after = (self.unit_state(&unit), self.our_class(&key));

        let mut impact = Impact { units: self.live(addressed.iter()), policies, ..Impact::default() };
        if before.0 != UnitState::Absent || after.0 != UnitState::Absent {
            impact.units.insert(unit);
        }
        if before.1 != after.1 {
            impact.classes.extend(before.1.into_iter().chain(after.1));
        }
        self.orphan(&mut impact, &key, before.0, after.0);
        impact
    }

    /// Takes up which addresses a Gateway has. Returns whom that may concern: itself, and whoever else claims one of them.
    fn apply_addresses(&mut self, key: &NamespacedName, new: Option<&Value>) -> BTreeSet<NamespacedName> {
        let addresses = new.map(object::addresses).unwrap_or_default();
        let before: BTreeSet<_> = self.addresses_of.targets(key).copied().collect();
        if before == addresses && new.is_some() {
            return BTreeSet::new();
        }
        let touched: BTreeSet<_> = before.union(&addresses).copied().collect();
        self.addresses_of.set(key, addresses);
        let others = touched.iter().flat_map(|address| self.addresses_of.sources(address));
        others.chain(std::iter::once(key)).cloned().collect()
    }

    fn apply_listener_set(&mut self, key: NamespacedName, new: Option<Arc<Value>>) -> Impact {
        match news(self.listener_sets.get_mut(&key), new.as_ref()) {
            News::Nothing => return Impact::default(),
            News::Status if self.reports_on_object(Kind::ListenerSet, &key) => return Impact::of_status(Kind::ListenerSet, key),
            News::Status => return Impact::default(),
            News::Meaning => {}
        }
        let mut units = self.live(self.gateway_of_set.targets(&key));
        let holder = (ListenerParent::ListenerSet, key.clone());
        let mut policies: BTreeSet<_> = self.policies_of_holder(&holder).cloned().collect();
        let was_served = self.reports_on_object(Kind::ListenerSet, &key);
        let set = new.map(object::listener_set);
        let secrets = set.as_ref().map(reference::secrets_of_set).unwrap_or_default();
        let services = set.as_ref().map(reference::services_of_set).unwrap_or_default();
        self.set_references(holder, secrets, services, &BTreeSet::new());
        self.gateway_of_set.set(&key, one(set.as_ref().and_then(object::parent_of_set)));
        self.namespace_of_set.set(&key, one(set.as_ref().map(|_| key.namespace.clone())));
        replace_raw(&mut self.listener_sets, &key, set);
        units.extend(self.live(self.gateway_of_set.targets(&key)));
        let orphaned = was_served && !self.reports_on_object(Kind::ListenerSet, &key);
        let routes = if orphaned { self.sets_of.sources(&key).cloned().collect() } else { BTreeSet::new() };
        policies.extend(self.sets_of.sources(&key).flat_map(|route| self.policies_of_route(route)).cloned());
        Impact { units, routes, policies, ..Impact::default() }
    }

    /// What an object that holds listeners refers to.
    fn set_references(
        &mut self,
        holder: Holder,
        secrets: BTreeSet<NamespacedName>,
        services: BTreeSet<NamespacedName>,
        bundles: &BTreeSet<CaBundleSource>,
    ) {
        let bundles = bundles.iter().filter_map(|it| if let CaBundleSource::ConfigMap(key) = it { Some(key) } else { None });
        let targets = secrets.iter().chain(&services).chain(bundles);
        self.holder_crossings.set(&holder, reference::crossings(&holder.1.namespace, targets));
        self.secrets_of.set(&holder, secrets);
        self.services_of_holder.set(&holder, services);
    }

    fn apply_ca_bundle(&mut self, source: &CaBundleSource, new: Option<secret::CaBundle>) -> Impact {
        if !replace(&mut self.ca_bundles, source, new) {
            return Impact::default();
        }
        let policies = self.ca_bundles_of_policy.sources(source);
        let services: BTreeSet<_> = policies.flat_map(|policy| self.services_of_policy.targets(policy)).collect();
        let by_policies = services.into_iter().flat_map(|service| self.gateways_of_service(service));
        Impact { units: self.live(self.ca_bundles_of.sources(source).chain(by_policies)), ..Impact::default() }
    }

    fn apply_policy(&mut self, key: NamespacedName, new: Option<Arc<Value>>) -> Impact {
        match news(self.policies.get_mut(&key), new.as_ref()) {
            News::Nothing => return Impact::default(),
            News::Status if !self.served_ancestors(&key).is_empty() => return Impact::of_status(Kind::BackendTlsPolicy, key),
            News::Status => return Impact::default(),
            News::Meaning => {}
        }
        let units = |world: &Self| {
            let gateways = world.services_of_policy.targets(&key).flat_map(|service| world.gateways_of_service(service));
            Impact { units: world.live(gateways), ..Impact::default() }
        };
        let mut impact = units(self);
        let policy = new.map(policy::policy);
        self.ca_bundles_of_policy.set(&key, policy.as_ref().map(reference::ca_bundles_of_policy).unwrap_or_default());
        let services = policy.iter().flat_map(Stored::targets).map(|target| target.service.clone()).collect();
        self.services_of_policy.set(&key, services);
        replace_raw(&mut self.policies, &key, policy);
        impact.merge(units(self));
        impact.policies.insert(key);
        impact
    }

    fn apply_class(&mut self, name: String, new: Option<Arc<Value>>) -> Impact {
        match news(self.classes.get_mut(&name), new.as_ref()) {
            News::Nothing => return Impact::default(),
            News::Status if self.is_ours(&name) => return Impact::of_status(Kind::GatewayClass, NamespacedName::new("", name)),
            News::Status => return Impact::default(),
            News::Meaning => {}
        }
        let gateways: Vec<NamespacedName> = self.class_of.sources(&name).cloned().collect();
        let states = |world: &Self| -> Vec<_> { gateways.iter().map(|key| world.unit_state(&UnitId::Gateway(key.clone()))).collect() };
        let (before, was_ours) = (states(self), self.is_ours(&name));
        let class = new.map(object::class);
        let parameters = class.as_ref().and_then(|it| it.spec.as_ref()).and_then(|spec| spec.parameters.as_ref());
        let profile = parameters.and_then(|it| reference::profile_of(it, ""));
        let profiles = self.profile_of_class.targets(&name).chain(&profile);
        let holders = self.holders_of_fleets(profiles.flat_map(|it| self.fleet_of_profile.targets(it)));
        self.profile_of_class.set(&name, one(profile));
        replace_raw(&mut self.classes, &name, class);
        let (after, is_ours) = (states(self), self.is_ours(&name));

        let mut impact = self.passed_on(holders);
        for (key, (before, after)) in gateways.iter().zip(before.into_iter().zip(after)) {
            if before != UnitState::Absent || after != UnitState::Absent {
                impact.units.insert(UnitId::Gateway(key.clone()));
            }
            self.orphan(&mut impact, key, before, after);
        }
        if was_ours || is_ours {
            impact.classes.insert(name);
        }
        impact
    }

    fn apply_profile(&mut self, key: NamespacedName, new: Option<Arc<Value>>) -> Impact {
        let unchanged = match (self.profiles.get_mut(&key), &new) {
            (None, None) => true,
            // When it was created decides who holds a fleet.
            (Some(old), Some(raw)) if old.raw.get("spec") == raw.get("spec") && old.meta.created == object::Meta::of(raw).created => {
                old.meta = object::Meta::of(raw);
                old.raw = raw.clone();
                true
            }
            _ => false,
        };
        if unchanged {
            return Impact::default();
        }
        let new = new.map(object::profile);
        let fleet = new.as_ref().and_then(fleet::named_by);
        let holders = self.holders_of_fleets(self.fleet_of_profile.targets(&key).chain(&fleet));
        self.fleet_of_profile.set(&key, one(fleet));
        replace_raw(&mut self.profiles, &key, new);
        let mut impact = self.passed_on(holders);
        impact.units.extend(self.live(self.profile_of_gateway.sources(&key)));
        impact.merge(self.users_of_profile(&key));
        impact
    }

    fn apply_grant(&mut self, key: NamespacedName, new: Option<Grant>) -> Impact {
        let old = self.grants.get(&key).cloned();
        if !replace(&mut self.grants, &key, new.clone()) {
            return Impact::default();
        }
        let lets = |kind: Kind, namespace: &str| {
            let mut from = old.iter().chain(&new).flat_map(|grant| &grant.from);
            from.any(|from| from.group == GATEWAY_GROUP && from.kind == kind.name() && from.namespace == namespace)
        };
        let routes = self.route_crossings.sources(&key.namespace).filter(|id| lets(kind_of_route(id.kind), &id.key.namespace));
        let mut impact = self.units_of_routes(routes);
        let holders = self.holder_crossings.sources(&key.namespace);
        impact.units.extend(self.units_of_holders(holders.filter(|(parent, holder)| lets(kind_of_holder(*parent), &holder.namespace))));
        impact
    }

    fn apply_namespace(&mut self, name: String, new: Option<BTreeMap<String, String>>) -> Impact {
        let old = self.labels(&name).clone();
        match new {
            Some(labels) => drop(self.namespaces.insert(name.clone(), labels)),
            None => drop(self.namespaces.remove(&name)),
        }
        let new = self.labels(&name);
        if old == *new {
            return Impact::default();
        }
        let differs = |from: &FromNamespaces| match from {
            FromNamespaces::Selector(selector) => selector.matches(&old) != selector.matches(new),
            FromNamespaces::All | FromNamespaces::Same | FromNamespaces::None => false,
        };
        let of_routes: BTreeSet<_> = self.namespace_of.sources(&name).flat_map(|route| self.gateways_of_route(route)).collect();
        let selects_routes = |gateway: &&NamespacedName| self.listeners_of(gateway).any(|listener| differs(&listener.allowed_routes.from));
        let of_sets = self.namespace_of_set.sources(&name).flat_map(|set| self.gateway_of_set.targets(set));
        let selects_sets = |gateway: &&NamespacedName| {
            let spec = self.gateways.get(*gateway).and_then(|it| it.spec.as_ref());
            spec.is_some_and(|spec| differs(&spec.allowed_listeners.from))
        };
        let gateways = of_routes.into_iter().filter(selects_routes).chain(of_sets.filter(selects_sets));
        Impact { units: self.live(gateways), ..Impact::default() }
    }

    fn apply_secret(&mut self, key: &NamespacedName, new: Option<secret::Secret>) -> Impact {
        let turns = |secret: Option<&secret::Secret>| -> Vec<_> {
            let leaf = secret.and_then(|it| it.certificate.as_ref().ok());
            leaf.into_iter().flat_map(|leaf| [&leaf.not_before, &leaf.not_after]).map(|time| (time.clone(), key.clone())).collect()
        };
        for turn in turns(self.secrets.get(key)) {
            self.turns.remove(&turn);
        }
        self.turns.extend(turns(new.as_ref()));
        let changed = replace(&mut self.secrets, key, new);
        let units = if changed { self.units_of_holders(self.secrets_of.sources(key)) } else { BTreeSet::new() };
        Impact { units, ..Impact::default() }
    }

    /// Concerns the units of the certificates that begin or end to be valid between the time before and now.
    fn apply_time(&mut self, now: String) -> Impact {
        let end = |time: &str| (time.to_owned(), NamespacedName::default());
        let before = self.now.replace(now.clone()).unwrap_or_default();
        let (from, to) = if before <= now { (before, now) } else { (now, before) };
        let turned = self.turns.range(end(&from)..).take_while(|(time, _)| *time <= to);
        let holders: Vec<_> = turned.flat_map(|(_, secret)| self.secrets_of.sources(secret)).collect();
        Impact { units: self.units_of_holders(holders.into_iter()), ..Impact::default() }
    }

    fn apply_slice(&mut self, key: &NamespacedName, new: Option<object::Slice>) -> Impact {
        let before = self.service_of_slice.targets(key).cloned().collect::<Vec<_>>();
        let service = new.as_ref().map(|slice| slice.service.clone());
        if !replace(&mut self.slices, key, new) {
            return Impact::default();
        }
        self.service_of_slice.set(key, one(service.clone()));
        Impact { services: before.into_iter().chain(service).collect(), ..Impact::default() }
    }

    fn apply_crd(&mut self, name: &str, new: Option<&Value>) -> Impact {
        let Some(kind) = definition::kind(name) else { return Impact::default() };
        let changed = replace(&mut self.definitions, &kind, new.map(|crd| definition::definition(kind, crd)));
        Impact { classes: if changed { self.classes().map(str::to_owned).collect() } else { BTreeSet::new() }, ..Impact::default() }
    }

    pub(super) fn is_ours(&self, class: &str) -> bool {
        self.reports_on_object(Kind::GatewayClass, &NamespacedName::new("", class))
    }

    /// The class of a Gateway, if it is ours.
    fn our_class(&self, gateway: &NamespacedName) -> Option<String> {
        self.class_of.targets(gateway).find(|class| self.is_ours(class)).cloned()
    }

    /// The classes of ours that refer to a profile, with their units.
    pub(super) fn users_of_profile(&self, profile: &NamespacedName) -> Impact {
        let mut impact = Impact::default();
        for class in self.profile_of_class.sources(profile).filter(|class| self.is_ours(class)) {
            impact.classes.insert(class.clone());
            impact.units.extend(self.live(self.class_of.sources(class)));
        }
        impact
    }

    /// Those of the Gateways that are units.
    fn live<'a>(&self, gateways: impl Iterator<Item = &'a NamespacedName>) -> BTreeSet<UnitId> {
        gateways.cloned().map(UnitId::Gateway).filter(|unit| self.unit_state(unit) != UnitState::Absent).collect()
    }

    /// The units of objects that hold listeners.
    fn units_of_holders<'a>(&self, holders: impl Iterator<Item = &'a Holder>) -> BTreeSet<UnitId> {
        let gateways: BTreeSet<_> = holders.filter_map(|holder| self.gateway_of_holder(holder)).collect();
        self.live(gateways.into_iter())
    }

    /// The Gateways that a route names as parents, directly or through a ListenerSet.
    pub(super) fn gateways_of_route(&self, route: &RouteId) -> impl Iterator<Item = &NamespacedName> {
        let through_sets = self.sets_of.targets(route).flat_map(|set| self.gateway_of_set.targets(set));
        self.gateways_of.targets(route).chain(through_sets)
    }

    /// The units of routes.
    fn units_of_routes<'a>(&self, routes: impl Iterator<Item = &'a RouteId>) -> Impact {
        let gateways: BTreeSet<_> = routes.flat_map(|route| self.gateways_of_route(route)).collect();
        Impact { units: self.live(gateways.into_iter()), ..Impact::default() }
    }

    /// Adds the routes and policies of a Gateway whose entries nobody owns any more, after it stopped being served.
    fn orphan(&self, impact: &mut Impact, gateway: &NamespacedName, before: UnitState, after: UnitState) {
        let served = |state| matches!(state, UnitState::Live | UnitState::Held);
        if served(before) && !served(after) {
            for route in self.routes_of(gateway).into_keys() {
                impact.routes.insert(route.clone());
                impact.policies.extend(self.policies_of_route(route).cloned());
            }
            for holder in self.holders_of(gateway) {
                impact.policies.extend(self.policies_of_holder(&holder).cloned());
            }
        }
    }
}

/// What a new form of an object brings.
enum News {
    /// Nothing that anybody reads.
    Nothing,
    /// Another status.
    Status,
    /// It means something else than before.
    Meaning,
}

/// Compares an object with what is known of it. If it means the same, its raw form is kept up to date, for its status is merged into it.
fn news<S>(old: Option<&mut object::Stored<S>>, new: Option<&Arc<Value>>) -> News {
    match (old, new) {
        (None, None) => News::Nothing,
        (Some(old), Some(raw)) if old.means_the_same(raw) => {
            let same = old.raw.get("status") == raw.get("status");
            old.raw = raw.clone();
            if same { News::Nothing } else { News::Status }
        }
        _ => News::Meaning,
    }
}

/// Puts a value in or takes it out; says whether anything changed.
fn replace<K: Ord + Clone, V: PartialEq>(store: &mut BTreeMap<K, V>, key: &K, new: Option<V>) -> bool {
    if store.get(key) == new.as_ref() {
        return false;
    }
    replace_raw(store, key, new);
    true
}

/// The same without looking whether anything changes.
fn replace_raw<K: Ord + Clone, V>(store: &mut BTreeMap<K, V>, key: &K, new: Option<V>) {
    match new {
        Some(value) => drop(store.insert(key.clone(), value)),
        None => drop(store.remove(key)),
    }
}
