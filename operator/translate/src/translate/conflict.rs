//! What listeners of one Gateway do to one another: they must be distinct, and none of those that are not wins.

use super::listener::Listener;
use crate::report::Fault;
use portico_crds::condition::ListenerReason as Reason;
use portico_providers::PortProtocol;

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
fn conflict(a: &Listener<'_>, b: &Listener<'_>) -> Option<Reason> {
    let (protocol_a, protocol_b) = (a.protocol?, b.protocol?);
    if a.spec?.port != b.spec?.port {
        return None;
    }
    match (family(protocol_a), family(protocol_b)) {
        (None, None) => Some(Reason::HostnameConflict),
        (None, _) | (_, None) => None,
        (Some(a), Some(b)) if a != b => Some(Reason::ProtocolConflict),
        (Some(Family::Tcp), _) => Some(Reason::HostnameConflict),
        _ => (a.hostname == b.hostname).then_some(Reason::HostnameConflict),
    }
}

/// Marks conflicts and overlapping hostnames of TLS.
pub(super) fn mark(listeners: &mut [Listener<'_>]) {
    let conflicts: Vec<_> = listeners
        .iter()
        .map(|listener| {
            let others = listeners.iter().filter(|other| other.report.owner != listener.report.owner);
            let found: Vec<_> =
                others.filter_map(|other| Some((conflict(listener, other)?, other.report.owner.section.as_str()))).collect();
            let reason = found.iter().map(|(reason, _)| *reason).max_by_key(|reason| *reason == Reason::ProtocolConflict)?;
            let names: Vec<_> = found.iter().filter(|(other, _)| *other == reason).map(|(_, name)| *name).collect();
            let spec = listener.spec?;
            let (what, remedy) = if reason == Reason::ProtocolConflict {
                ("the port, with a protocol that cannot share it", "give it another port")
            } else {
                ("the port and hostname", "give it another port or hostname")
            };
            let message = format!("spec.listeners[{}]: {} also has {what}; none of them is served; {remedy}", spec.index, names.join(", "));
            Some(Fault::new(reason, message))
        })
        .collect();
    let overlaps: Vec<_> = listeners
        .iter()
        .map(|listener| {
            let others = listeners.iter().filter(|other| other.report.owner != listener.report.owner && overlap(listener, other));
            let names: Vec<_> = others.map(|other| other.report.owner.section.as_str()).collect();
            (!names.is_empty()).then(|| {
                format!(
                    "Its hostname overlaps with those of {}: a client that reuses a connection may reach the wrong one",
                    names.join(", ")
                )
            })
        })
        .collect();
    for (listener, (conflict, overlap)) in listeners.iter_mut().zip(conflicts.into_iter().zip(overlaps)) {
        if let Some(fault) = conflict {
            listener.report.rejected = Some(fault);
            listener.report.conflicted = true;
        } else {
            listener.report.overlapping = overlap;
        }
    }
}

fn overlap(a: &Listener<'_>, b: &Listener<'_>) -> bool {
    let https = |listener: &Listener<'_>| listener.protocol == Some(PortProtocol::Https);
    let hostnames = match (&a.hostname, &b.hostname) {
        (Some(a), Some(b)) => a.intersect(b).is_some(),
        _ => true,
    };
    https(a) && https(b) && a.spec.map(|it| it.port) == b.spec.map(|it| it.port) && hostnames
}
