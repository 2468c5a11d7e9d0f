//! Which listeners a route attaches to. A reference to a Gateway never reaches the listeners of its ListenerSets, nor the other way round.

use super::listener::Listener;
use crate::World;
use crate::report::Fault;
use crate::world::kind_of_holder;
use portico_crds::condition::RouteReason as Reason;
use portico_crds::normal::ParentRef;
use portico_providers::{Hostname, ListenerParent, RouteId};

/// The names that a route has on a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// As the route's author wrote it: precedence goes by this (Gateway API v1.7.0).
    pub written: Option<Hostname>,
    /// What it has in common with the listener's.
    pub common: Option<Hostname>,
}

/// A listener that a route attached to, by its position, with the names that it has there.
pub(super) type Attachment = (usize, Vec<Name>);

/// Attaches a route by one of its parent references, that at `path`. The order in which reasons are found is that of Gateway API: no listener meant, none that
/// allows the route, none with a name in common.
pub(super) fn attach(
    world: &World,
    listeners: &[Listener<'_>],
    id: &RouteId,
    path: &str,
    parent: &ParentRef,
    hostnames: &RouteNames,
) -> Result<Vec<Attachment>, Fault<Reason>> {
    let (kind, key) = (parent.known_kind(), parent.resolve(&id.key.namespace));
    let holder = format_args!("{} {key}", parent.kind);
    let of_parent = |listener: &Listener<'_>| {
        let owner = &listener.report.owner;
        Some(kind_of_holder(owner.parent)) == kind && owner.key == key
    };
    let own: Vec<_> = listeners.iter().enumerate().filter(|(_, listener)| of_parent(listener)).collect();
    if own.is_empty() {
        let message = format!("{path}: {holder} has no listener that is attached to a load balancer; its own conditions say why");
        return Err(Fault::new(Reason::NoMatchingParent, message));
    }
    let is_meant = |listener: &Listener<'_>| {
        let section = parent.section_name.as_ref().is_none_or(|section| *section == listener.report.owner.section);
        let port = parent.port.is_none_or(|port| listener.spec.is_some_and(|spec| spec.port == port));
        section && port
    };
    let meant: Vec<_> = own.iter().copied().filter(|(_, listener)| is_meant(listener)).collect();
    if meant.is_empty() {
        let names: Vec<_> =
            own.iter().map(|(_, it)| format!("{} (port {})", it.report.owner.section, it.spec.map_or(0, |spec| spec.port))).collect();
        let (field, wanted) = match (&parent.section_name, parent.port) {
            (Some(section), Some(port)) => ("", format!("name {section} and port {port}")),
            (Some(section), None) => (".sectionName", format!("name {section}")),
            (None, Some(port)) => (".port", format!("port {port}")),
            (None, None) => ("", "any name".to_owned()),
        };
        let names = names.join(", ");
        let message = match set_of_section(listeners, id, parent) {
            Some(set) => {
                format!(
                    "{path}{field}: {holder} has no listener with {wanted}, but {set} has: refer to that with kind ListenerSet, or name one of {names}"
                )
            }
            None => format!("{path}{field}: {holder} has no listener with {wanted}; name one of {names}"),
        };
        return Err(Fault::new(Reason::NoMatchingParent, message));
    }
    let (mut allowed, mut refusals) = (Vec::new(), Vec::new());
    for (at, listener) in meant {
        match refusal(world, listener, id) {
            None => allowed.push((at, listener)),
            Some(why) => refusals.push(format!("listener {} {why}", listener.report.owner.section)),
        }
    }
    if allowed.is_empty() {
        let message = format!("{path}: {holder}: {}", refusals.join("; "));
        return Err(Fault::new(Reason::NotAllowedByListeners, message));
    }
    let attached: Vec<Attachment> = allowed
        .iter()
        .filter_map(|(at, listener)| {
            let names = hostnames.on(listener.hostname.as_ref());
            (!names.is_empty()).then_some((*at, names))
        })
        .collect();
    if attached.is_empty() {
        let names: Vec<_> = allowed
            .iter()
            .map(|(_, listener)| {
                format!("{} has {}", listener.report.owner.section, listener.hostname.as_ref().map_or("none", Hostname::as_str))
            })
            .collect();
        let message = format!(
            "spec.hostnames has no name in common with the listeners of {holder} that {path} means: {}; use one of theirs, or another listener",
            names.join(", ")
        );
        return Err(Fault::new(Reason::NoMatchingListenerHostname, message));
    }
    Ok(attached)
}

/// Why a listener does not let a route in.
fn refusal(world: &World, listener: &Listener<'_>, id: &RouteId) -> Option<String> {
    if !listener.report.supported_kinds.contains(&id.kind) {
        let taken: Vec<_> = listener.report.supported_kinds.iter().map(|kind| kind.as_str()).collect();
        let taken = if taken.is_empty() { "none that is served".to_owned() } else { taken.join(", ") };
        return Some(format!("does not take routes of kind {}; it takes {taken}: use another listener, or another kind", id.kind.as_str()));
    }
    let namespace = &id.key.namespace;
    let from = &listener.spec?.allowed_routes.from;
    let allows = from.allows(&listener.report.owner.key.namespace, namespace, world.labels(namespace));
    (!allows).then(|| {
        format!("does not take routes from namespace {namespace}; use another one, or ask its owner to let the namespace in (allowedRoutes.namespaces)")
    })
}

/// The ListenerSet in the route's own namespace that has the section which the route looks for in the Gateway.
fn set_of_section(listeners: &[Listener<'_>], id: &RouteId, parent: &ParentRef) -> Option<String> {
    let owners = listeners.iter().map(|listener| &listener.report.owner).filter(|owner| owner.parent == ListenerParent::ListenerSet);
    let mut found = owners.filter(|owner| owner.key.namespace == id.key.namespace && Some(&owner.section) == parent.section_name.as_ref());
    found.next().map(|owner| format!("ListenerSet {}", owner.key))
}

/// The hostnames of a route.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteNames {
    /// Those that are hostnames.
    names: Vec<Hostname>,
    /// Whether its author wrote none, so that it takes the listeners'.
    any: bool,
    /// What is wrong with the others.
    pub faults: Vec<String>,
}

impl RouteNames {
    pub fn of(hostnames: &[String]) -> Self {
        let mut found = Self { any: hostnames.is_empty(), ..Self::default() };
        for (index, text) in hostnames.iter().enumerate() {
            match Hostname::new(text) {
                Ok(name) if found.names.contains(&name) => {}
                Ok(name) => found.names.push(name),
                Err(error) => found.faults.push(format!("spec.hostnames[{index}]: {error}")),
            }
        }
        found.names.sort_by(|a, b| Hostname::by_specificity(&Some(a.clone()), &Some(b.clone())));
        found
    }

    /// The names on a listener, the most specific first and none twice; none where nothing is in common.
    fn on(&self, listener: Option<&Hostname>) -> Vec<Name> {
        if self.any {
            return vec![Name { written: None, common: listener.cloned() }];
        }
        let mut found: Vec<Name> = Vec::new();
        for name in &self.names {
            let common = listener.map_or(Some(name.clone()), |listener| listener.intersect(name));
            // Of two names with the same part in common the more specific one decides the precedence.
            if common.is_some() && !found.iter().any(|other| other.common == common) {
                found.push(Name { written: Some(name.clone()), common });
            }
        }
        found
    }
}
