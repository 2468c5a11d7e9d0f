//! What a route or a Gateway refers to.

use super::object::{Stored, StoredGateway, StoredRoute};
use super::policy::PolicySpec;
use portico_crds::normal::{BackendRef, Listener, ListenerSetSpec, RouteFilter, RouteRule, SecretRef};
use portico_crds::{Kind, NamespacedName, ObjectRef};
use portico_providers::{CaBundleSource, ListenerParent, RouteId};
use std::collections::BTreeSet;

/// The backend that a filter refers to.
fn of_filter(filter: &RouteFilter) -> Option<&BackendRef> {
    match filter {
        RouteFilter::RequestMirror(mirror) => Some(&mirror.backend),
        RouteFilter::ExternalAuth(auth) => Some(&auth.backend),
        _ => None,
    }
}

/// The backends of a rule, those of its filters and of its backends' filters included.
fn backends<'a>(rule: &'a RouteRule) -> impl Iterator<Item = &'a BackendRef> {
    let of_backend = |backend: &'a BackendRef| std::iter::once(backend).chain(backend.filters.iter().filter_map(of_filter));
    rule.filters.iter().filter_map(of_filter).chain(rule.backend_refs.iter().flat_map(of_backend))
}

/// An object that holds listeners: a Gateway or a ListenerSet.
pub(crate) type Holder = (ListenerParent, NamespacedName);

/// The parents of a kind that a route names.
pub(super) fn parents(id: &RouteId, route: &StoredRoute, kind: Kind) -> BTreeSet<NamespacedName> {
    let parents = route.parents.iter().filter(|parent| parent.known_kind() == Some(kind));
    parents.map(|parent| parent.resolve(&id.key.namespace)).collect()
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

/// The Secrets that a Gateway names, for its listeners and for backends.
pub(super) fn secrets_of_gateway(gateway: &StoredGateway) -> BTreeSet<NamespacedName> {
    let Some(spec) = &gateway.spec else { return BTreeSet::new() };
    secrets(&gateway.meta.key.namespace, &spec.listeners, spec.backend_client_certificate.as_ref())
}

/// The Secrets that a ListenerSet names.
pub(super) fn secrets_of_set(set: &Stored<ListenerSetSpec>) -> BTreeSet<NamespacedName> {
    set.spec.as_ref().map(|spec| secrets(&set.meta.key.namespace, &spec.listeners, None)).unwrap_or_default()
}

/// The Services that filters of a Gateway's listeners name.
pub(super) fn services_of_gateway(gateway: &StoredGateway) -> BTreeSet<NamespacedName> {
    gateway.spec.as_ref().map(|spec| services_of_listeners(&gateway.meta.key.namespace, &spec.listeners)).unwrap_or_default()
}

/// The Services that filters of a ListenerSet's listeners name.
pub(super) fn services_of_set(set: &Stored<ListenerSetSpec>) -> BTreeSet<NamespacedName> {
    set.spec.as_ref().map(|spec| services_of_listeners(&set.meta.key.namespace, &spec.listeners)).unwrap_or_default()
}

fn services_of_listeners(namespace: &str, listeners: &[Listener]) -> BTreeSet<NamespacedName> {
    let backends = listeners.iter().flat_map(|it| it.filters.iter().flatten()).filter_map(of_filter);
    backends.filter(|backend| backend.known_kind() == Some(Kind::Service)).map(|backend| backend.resolve(namespace)).collect()
}

/// The bundles of certificate authorities that a Gateway names for its clients' certificates.
pub(super) fn ca_bundles(gateway: &StoredGateway) -> BTreeSet<CaBundleSource> {
    let Some(spec) = &gateway.spec else { return BTreeSet::new() };
    let validations = spec.client_validation.iter().chain(spec.client_validation_by_port.values().flatten());
    validations.flat_map(|it| &it.ca_certificates).filter_map(|it| ca_bundle(it, &gateway.meta.key.namespace)).collect()
}

/// The bundles of certificate authorities that a policy names for the certificates of backends.
pub(super) fn ca_bundles_of_policy(policy: &Stored<PolicySpec>) -> BTreeSet<CaBundleSource> {
    let references = policy.spec.iter().flat_map(|spec| &spec.authorities);
    references.filter_map(|it| ca_bundle(it, &policy.meta.key.namespace)).collect()
}

/// The bundle that an object in `namespace` refers to; `None` for kinds that hold none.
pub(crate) fn ca_bundle(reference: &ObjectRef, namespace: &str) -> Option<CaBundleSource> {
    match reference.known_kind()? {
        Kind::ConfigMap => Some(CaBundleSource::ConfigMap(reference.resolve(namespace))),
        Kind::ClusterTrustBundle => Some(CaBundleSource::ClusterTrustBundle(reference.name.clone())),
        _ => None,
    }
}

fn secrets(namespace: &str, listeners: &[Listener], further: Option<&SecretRef>) -> BTreeSet<NamespacedName> {
    let of_listeners = listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| &tls.certificate_refs);
    of_listeners.chain(further).filter(|it| it.is_secret()).map(|it| it.resolve(namespace)).collect()
}

/// The other namespaces of what an object in `own` refers to.
pub(super) fn crossings<'a>(own: &str, targets: impl IntoIterator<Item = &'a NamespacedName>) -> BTreeSet<String> {
    targets.into_iter().map(|target| &target.namespace).filter(|namespace| *namespace != own).cloned().collect()
}

/// The profile that a reference means; `namespace` stands in where it names none.
pub(crate) fn profile_of(reference: &ObjectRef, namespace: &str) -> Option<NamespacedName> {
    (reference.known_kind() == Some(Kind::LoadBalancerProfile)).then(|| reference.resolve(namespace))
}
