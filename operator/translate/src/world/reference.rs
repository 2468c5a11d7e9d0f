//! What a route or a Gateway refers to.

use super::object::{StoredGateway, StoredRoute};
use portico_crds::normal::{BackendRef, ParentRef, RouteFilter, RouteRule};
use portico_crds::{Kind, NamespacedName, ObjectRef};
use portico_providers::RouteId;
use std::collections::BTreeSet;

/// The backends of a rule, those of its filters and of its backends' filters included.
fn backends<'a>(rule: &'a RouteRule) -> impl Iterator<Item = &'a BackendRef> {
    fn of_filter(filter: &RouteFilter) -> Option<&BackendRef> {
        match filter {
            RouteFilter::RequestMirror(mirror) => Some(&mirror.backend),
            RouteFilter::ExternalAuth(auth) => Some(&auth.backend),
            _ => None,
        }
    }
    let of_backend = |backend: &'a BackendRef| std::iter::once(backend).chain(backend.filters.iter().filter_map(of_filter));
    rule.filters.iter().filter_map(of_filter).chain(rule.backend_refs.iter().flat_map(of_backend))
}

/// The Gateway that a parent reference means, if it means one.
pub(crate) fn gateway_of(parent: &ParentRef, namespace: &str) -> Option<NamespacedName> {
    (parent.known_kind() == Some(Kind::Gateway)).then(|| parent.resolve(namespace))
}

pub(super) fn gateways(id: &RouteId, route: &StoredRoute) -> BTreeSet<NamespacedName> {
    route.parents.iter().filter_map(|parent| gateway_of(parent, &id.key.namespace)).collect()
}

pub(super) fn services(id: &RouteId, route: &StoredRoute) -> BTreeSet<NamespacedName> {
    let rules = route.stored.spec.iter().flat_map(|spec| &spec.rules);
    let services = rules.flat_map(backends).filter(|backend| backend.known_kind() == Some(Kind::Service));
    services.map(|backend| backend.resolve(&id.key.namespace)).collect()
}

/// The other namespaces into which a route refers.
pub(super) fn route_crossings(id: &RouteId, route: &StoredRoute) -> BTreeSet<String> {
    let rules = route.stored.spec.iter().flat_map(|spec| &spec.rules);
    rules.flat_map(backends).filter_map(|backend| backend.namespace.clone()).filter(|namespace| *namespace != id.key.namespace).collect()
}

pub(super) fn secrets(gateway: &StoredGateway) -> BTreeSet<NamespacedName> {
    let namespace = &gateway.meta.key.namespace;
    let Some(spec) = &gateway.spec else { return BTreeSet::new() };
    let of_listeners = spec.listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| &tls.certificate_refs);
    of_listeners.chain(&spec.backend_client_certificate).filter(|it| it.is_secret()).map(|it| it.resolve(namespace)).collect()
}

/// The other namespaces into which a Gateway refers.
pub(super) fn gateway_crossings(gateway: &StoredGateway) -> BTreeSet<String> {
    secrets(gateway).into_iter().map(|secret| secret.namespace).filter(|namespace| *namespace != gateway.meta.key.namespace).collect()
}

/// The profile that a reference means; `namespace` stands in where it names none.
pub(crate) fn profile_of(reference: &ObjectRef, namespace: &str) -> Option<NamespacedName> {
    (reference.known_kind() == Some(Kind::LoadBalancerProfile)).then(|| reference.resolve(namespace))
}
