//! Which listener a request belongs to, and which routes are attached there.

use std::collections::BTreeMap;

use super::api::{Cluster, GROUP, Gateway, Listener, ListenerSet, Metadata, ParentRef, Route, RouteNamespaces, Selector};

/// Whether a hostname of a listener or a route covers a host. Gateway API: `*.example.com` covers `a.example.com` and `a.b.example.com`, not `example.com`.
pub fn covers(hostname: &str, host: &str) -> bool {
    match hostname.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).and_then(|rest| rest.strip_suffix('.')).is_some_and(|labels| !labels.is_empty()),
        None => hostname == host,
    }
}

/// Whether some host is covered by both hostnames.
pub fn intersect(one: &str, other: &str) -> bool {
    match (one.strip_prefix("*."), other.strip_prefix("*.")) {
        (Some(a), Some(b)) => a == b || covers(one, b) || covers(other, a),
        (Some(_), None) => covers(one, other),
        (None, Some(_)) => covers(other, one),
        (None, None) => one == other,
    }
}

/// How specific a listener's hostname is. Gateway API: exact, then wildcards with more dots, then none.
fn specificity(hostname: Option<&str>) -> (u8, usize) {
    match hostname {
        None => (0, 0),
        Some(name) if name.starts_with("*.") => (1, name.matches('.').count()),
        Some(_) => (2, 0),
    }
}

/// A listener of a Gateway: its own, or of one of its ListenerSets.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The listener.
    pub listener: &'a Listener,
    /// Name and namespace of what it stands in.
    pub owner: &'a Metadata,
    /// The kind of that.
    pub kind: &'static str,
}

/// The listeners of a Gateway: its own, then those of the ListenerSets that it lets in, by their age and names. One that is like an earlier one is none.
pub fn listeners<'a>(cluster: &'a Cluster, gateway: &'a Gateway) -> Vec<Place<'a>> {
    let own = gateway.spec.listeners.iter().map(|listener| Place { listener, owner: &gateway.metadata, kind: "Gateway" });
    let mut sets: Vec<&ListenerSet> = cluster.sets.iter().filter(|set| lets_in(cluster, gateway, set)).collect();
    sets.sort_by_key(|set| (set.metadata.creation_timestamp.clone(), set.metadata.key()));
    let further = sets
        .into_iter()
        .flat_map(|set| set.spec.listeners.iter().map(|listener| Place { listener, owner: &set.metadata, kind: "ListenerSet" }));
    let mut found: Vec<Place<'_>> = Vec::new();
    for place in own.chain(further) {
        let alike = |it: &Place<'_>| (it.listener.port, &it.listener.hostname) == (place.listener.port, &place.listener.hostname);
        if place.listener.protocol == "HTTP" && !found.iter().any(alike) {
            found.push(place);
        }
    }
    found
}

/// Whether a ListenerSet is one of a Gateway's.
fn lets_in(cluster: &Cluster, gateway: &Gateway, set: &ListenerSet) -> bool {
    let parent = &set.spec.parent_ref;
    let namespaces = &gateway.spec.allowed_listeners.namespaces;
    parent.name == gateway.metadata.name
        && *parent.namespace.as_ref().unwrap_or(&set.metadata.namespace) == gateway.metadata.namespace
        && allows(namespaces, "None", cluster, &gateway.metadata.namespace, &set.metadata.namespace)
}

/// The one listener of a Gateway that a request for that host on that port belongs to.
pub fn listener<'a>(cluster: &'a Cluster, gateway: &'a Gateway, port: u16, host: &str) -> Option<Place<'a>> {
    let all = listeners(cluster, gateway).into_iter().filter(|it| it.listener.port == port);
    all.filter(|it| it.listener.hostname.as_deref().is_none_or(|name| covers(name, host)))
        .max_by_key(|it| specificity(it.listener.hostname.as_deref()))
}

/// Whether a route is attached to a listener.
pub fn attached(cluster: &Cluster, place: &Place<'_>, route: &Route) -> bool {
    let listener = place.listener;
    let meant = route.spec.parent_refs.iter().any(|parent| means(parent, route, place));
    let kinds = &listener.allowed_routes.kinds;
    let kind =
        kinds.is_empty() || kinds.iter().any(|it| it.kind == route.kind.name() && it.group.as_deref().is_none_or(|group| group == GROUP));
    let names = &route.spec.hostnames;
    let common = names.is_empty()
        || listener.hostname.as_deref().is_none_or(|wanted| names.iter().any(|name| intersect(&name.to_ascii_lowercase(), wanted)));
    let namespaces = &listener.allowed_routes.namespaces;
    meant && kind && common && allows(namespaces, "Same", cluster, &place.owner.namespace, &route.metadata.namespace)
}

/// Whether a parent reference means that listener.
fn means(parent: &ParentRef, route: &Route, place: &Place<'_>) -> bool {
    parent.group.as_deref().is_none_or(|group| group == GROUP)
        && parent.kind.as_deref().unwrap_or("Gateway") == place.kind
        && parent.name == place.owner.name
        && *parent.namespace.as_ref().unwrap_or(&route.metadata.namespace) == place.owner.namespace
        && parent.section_name.as_ref().is_none_or(|section| *section == place.listener.name)
        && parent.port.is_none_or(|port| port == place.listener.port)
}

/// Whether what is in the namespace `other` may attach to what is in `own`.
fn allows(namespaces: &RouteNamespaces, otherwise: &str, cluster: &Cluster, own: &str, other: &str) -> bool {
    match namespaces.from.as_deref().unwrap_or(otherwise) {
        "All" => true,
        "Same" => own == other,
        "Selector" => cluster.labels(other).is_some_and(|labels| selects(&namespaces.selector, labels)),
        _ => false,
    }
}

fn selects(selector: &Selector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().all(|it| {
            let value = labels.get(&it.key);
            match it.operator.as_str() {
                "In" => value.is_some_and(|value| it.values.contains(value)),
                "NotIn" => value.is_none_or(|value| !it.values.contains(value)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gateway API v1.7.0, HTTPRouteSpec.Hostnames and GatewaySpec.Listeners.
    #[test]
    fn wildcards_cover_any_number_of_labels_but_not_none() {
        for (hostname, host, expected) in [
            ("*.example.com", "test.example.com", true),
            ("*.example.com", "foo.test.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "testexample.com", false),
            ("test.example.com", "test.example.com", true),
            ("test.example.com", "foo.test.example.com", false),
        ] {
            assert_eq!(covers(hostname, host), expected, "{hostname} {host}");
        }
    }

    #[test]
    fn hostnames_intersect_as_the_gateway_api_tells() {
        for (one, other, expected) in [
            ("test.example.com", "test.example.com", true),
            ("test.example.com", "*.example.com", true),
            ("*.example.com", "*.example.com", true),
            ("*.example.com", "foo.test.example.com", true),
            ("*.example.com", "*.test.example.com", true),
            ("*.example.com", "*.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "test.example.net", false),
            ("*.example.com", "*.ample.com", false),
        ] {
            assert_eq!(intersect(one, other), expected, "{one} {other}");
            assert_eq!(intersect(other, one), expected, "{other} {one}");
        }
    }
}
