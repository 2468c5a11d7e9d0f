//! What the listeners of a Gateway and of its ListenerSets do to one another: they must be distinct.
//!
//! Among the listeners of one object none of those that are not distinct wins. Across objects the Gateway comes first, then its ListenerSets by age
//! and by `namespace/name` (Gateway API): whoever comes later loses, and a loser stands in nobody else's way.

use super::listener::Listener;
use crate::report::{Fault, join};
use portico_crds::condition::ListenerReason as Reason;
use portico_providers::{Capabilities, Hostname, ListenerParent, PortProtocol};

/// Protocols that share a port by hostname or server name.
#[derive(PartialEq, Eq)]
enum Family {
    Http,
    Tls,
    Tcp,
}

/// `None` for datagrams, which have ports of their own.
fn family(protocol: PortProtocol) -> Option<Family> {
    match protocol {
        PortProtocol::Http => Some(Family::Http),
        PortProtocol::Https | PortProtocol::Tls => Some(Family::Tls),
        PortProtocol::Tcp => Some(Family::Tcp),
        PortProtocol::Udp => None,
    }
}

/// How a listener stands in another's way.
fn conflict(a: &Listener<'_>, b: &Listener<'_>, capabilities: &Capabilities) -> Option<Reason> {
    let (protocol_a, protocol_b) = (a.protocol?, b.protocol?);
    if a.spec?.port != b.spec?.port {
        return None;
    }
    match (family(protocol_a), family(protocol_b)) {
        (None, None) => Some(Reason::HostnameConflict),
        (None, _) | (_, None) => None,
        (Some(a), Some(b)) if a != b => Some(Reason::ProtocolConflict),
        (Some(Family::Tcp), _) => Some(Reason::HostnameConflict),
        _ if a.passes_through() != b.passes_through() && !capabilities.mixed_tls_modes => Some(Reason::ProtocolConflict),
        _ => (a.hostname == b.hostname).then_some(Reason::HostnameConflict),
    }
}

/// Marks conflicts, and overlapping hostnames and certificates of TLS. Listeners come in the order of their objects' precedence.
pub(super) fn mark(listeners: &mut [Listener<'_>], capabilities: &Capabilities) {
    let mut conflicts: Vec<Option<Fault<Reason>>> = vec![None; listeners.len()];
    let mut at = 0;
    for holder in listeners.chunk_by(|a, b| same_holder(a, b)) {
        let (earlier, end) = (at, at + holder.len());
        let lost = |listener: &Listener<'_>| {
            let standing = listeners.iter().zip(&conflicts).take(earlier).filter(|(_, conflict)| conflict.is_none());
            let (winner, reason) =
                standing.map(|(other, _)| other).find_map(|other| Some((other, conflict(listener, other, capabilities)?)))?;
            Some(fault(listener, reason, &named(listener, winner), "it comes first"))
        };
        let to_earlier: Vec<_> = holder.iter().map(lost).collect();
        let among_themselves: Vec<_> = holder
            .iter()
            .map(|listener| {
                let others = holder
                    .iter()
                    .zip(&to_earlier)
                    .filter(|(other, lost)| lost.is_none() && other.report.owner.section != listener.report.owner.section);
                let found: Vec<_> = others.filter_map(|(other, _)| Some((conflict(listener, other, capabilities)?, other))).collect();
                let reason = found.iter().map(|(reason, _)| *reason).max_by_key(|reason| *reason == Reason::ProtocolConflict)?;
                let names: Vec<_> =
                    found.iter().filter(|(it, _)| *it == reason).map(|(_, other)| other.report.owner.section.as_str()).collect();
                Some(fault(listener, reason, &names.join(", "), "none of them is served"))
            })
            .collect();
        let settled = to_earlier.into_iter().zip(among_themselves).map(|(earlier, own)| earlier.or(own));
        for (conflict, settled) in conflicts.iter_mut().skip(earlier).zip(settled) {
            *conflict = settled;
        }
        at = end;
    }
    let overlaps: Vec<_> = listeners.iter().map(|listener| overlapping(listener, listeners)).collect();
    for (listener, (conflict, overlap)) in listeners.iter_mut().zip(conflicts.into_iter().zip(overlaps)) {
        if let Some(fault) = conflict {
            listener.report.rejected = Some(fault);
            listener.report.conflicted = true;
        } else {
            listener.report.overlapping = overlap;
        }
    }
}

fn same_holder(a: &Listener<'_>, b: &Listener<'_>) -> bool {
    (a.report.owner.parent, &a.report.owner.key) == (b.report.owner.parent, &b.report.owner.key)
}

/// How the author of a listener may know another one: what lies in ListenerSets of other namespaces is not theirs to see (Gateway API).
fn named(listener: &Listener<'_>, other: &Listener<'_>) -> String {
    let (own, owner) = (&listener.report.owner, &other.report.owner);
    if same_holder(listener, other) {
        return owner.section.clone();
    }
    match owner.parent {
        ListenerParent::ListenerSet if own.key.namespace != owner.key.namespace => "a listener of a ListenerSet elsewhere".to_owned(),
        _ => owner.to_string(),
    }
}

fn fault(listener: &Listener<'_>, reason: Reason, others: &str, outcome: &str) -> Fault<Reason> {
    let (what, remedy) = match (reason, listener.protocol) {
        (Reason::ProtocolConflict, _) => ("the port, with a protocol that cannot share it", "give it another port"),
        (_, Some(PortProtocol::Tcp | PortProtocol::Udp)) => ("the port", "give it another port"),
        _ => ("the port and hostname", "give it another port or hostname"),
    };
    let path = path(listener);
    Fault::new(reason, format!("{path}: {others} also has {what}; {outcome}; {remedy}"))
}

fn path(listener: &Listener<'_>) -> String {
    format!("spec.listeners[{}]", listener.spec.map_or(0, |spec| spec.index))
}

/// What of a listener's TLS overlaps with that of others on its port: such that a client may send requests for one of them on a connection to the other.
/// Where hostnames and certificates both do, the reason is the certificates (Gateway API).
fn overlapping(listener: &Listener<'_>, all: &[Listener<'_>]) -> Option<Fault<Reason>> {
    let https = |listener: &Listener<'_>| listener.protocol == Some(PortProtocol::Https);
    let port = |listener: &Listener<'_>| listener.spec.map(|spec| spec.port);
    let among = |overlap: fn(&Listener<'_>, &Listener<'_>) -> bool| {
        let others = all.iter().filter(|other| {
            other.report.owner != listener.report.owner && https(other) && port(other) == port(listener) && overlap(listener, other)
        });
        others.map(|other| named(listener, other)).collect::<Vec<_>>().join(", ")
    };
    if !https(listener) {
        return None;
    }
    let (hostnames, certificates) = (among(hostnames_overlap), among(certificates_overlap));
    let reason = if certificates.is_empty() { Reason::OverlappingHostnames } else { Reason::OverlappingCertificates };
    let path = path(listener);
    let mut parts = Vec::new();
    if !hostnames.is_empty() {
        parts.push(format!(
            "{path}.hostname overlaps with those of {hostnames}: a client that reuses a connection may reach the wrong one; give them hostnames that do not overlap, or \
             other ports"
        ));
    }
    if !certificates.is_empty() {
        parts.push(format!(
            "{path}.tls: a certificate of this listener or of {certificates} is for the other's hostname, too: a client may send requests for both on one connection; \
             use certificates of their own, or other ports"
        ));
    }
    (!parts.is_empty()).then(|| Fault::new(reason, join(parts)))
}

fn hostnames_overlap(a: &Listener<'_>, b: &Listener<'_>) -> bool {
    match (&a.hostname, &b.hostname) {
        (Some(a), Some(b)) => a.intersect(b).is_some(),
        _ => true,
    }
}

/// Whether a certificate of either is for a hostname of the other.
fn certificates_overlap(a: &Listener<'_>, b: &Listener<'_>) -> bool {
    let serves = |one: &Listener<'_>, other: &Listener<'_>| {
        let Some(hostname) = &other.hostname else { return false };
        let within = |name: &str| Hostname::new(name).is_ok_and(|name| hostname.covers(&name));
        one.certificates.iter().flat_map(|certificate| &certificate.names).any(|name| hostname.is_named_by(name) || within(name))
    };
    serves(a, b) || serves(b, a)
}
