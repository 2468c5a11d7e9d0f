//! What a class of load balancers takes: what must be known before anything is compiled, to say which routes may attach to which listeners.

use crate::{PortProtocol, RouteKind, TlsMode};
use portico_crds::v1alpha1::EffectiveProfile;

/// The protocols and kinds of routes that a class of load balancers takes. Everything else that it cannot do is its compile step's to refuse; this alone shapes a plan,
/// since `supportedKinds` and the attachment of routes follow from it.
#[derive(Debug, PartialEq, Eq)]
pub struct Capabilities {
    listeners: &'static [ListenerKind],
    /// Whether listeners of one port may end TLS and pass it through (feature `TLSRouteModeMixed`).
    pub mixed_tls_modes: bool,
    /// Whether certificates may be named by ids of the cloud's, or looked for there, with `tls.options` of a listener.
    pub cloud_certificates: bool,
}

/// One kind of listener.
#[derive(Debug, PartialEq, Eq)]
struct ListenerKind {
    protocol: PortProtocol,
    /// Of TLS only.
    mode: Option<TlsMode>,
    /// The kinds of routes that may attach, in the order in which statuses name them.
    routes: &'static [RouteKind],
}

const fn kind(protocol: PortProtocol, mode: Option<TlsMode>, routes: &'static [RouteKind]) -> ListenerKind {
    ListenerKind { protocol, mode, routes }
}

impl Capabilities {
    /// An application load balancer of AWS.
    pub const APPLICATION_LOAD_BALANCER: Self = Self {
        listeners: &[kind(PortProtocol::Http, None, &[RouteKind::Http]), kind(PortProtocol::Https, None, &[RouteKind::Http])],
        mixed_tls_modes: false,
        cloud_certificates: true,
    };

    /// Every combination that Gateway API v1.7.0 knows. A TCPRoute takes what a TLS listener has decrypted, whatever the server name (TLSRoute's documentation names that use).
    pub const EVERYTHING: Self = Self {
        listeners: &[
            kind(PortProtocol::Http, None, &[RouteKind::Http, RouteKind::Grpc]),
            kind(PortProtocol::Https, None, &[RouteKind::Http, RouteKind::Grpc]),
            kind(PortProtocol::Tls, Some(TlsMode::Passthrough), &[RouteKind::Tls]),
            kind(PortProtocol::Tls, Some(TlsMode::Terminate), &[RouteKind::Tls, RouteKind::Tcp]),
            kind(PortProtocol::Tcp, None, &[RouteKind::Tcp]),
            kind(PortProtocol::Udp, None, &[RouteKind::Udp]),
        ],
        mixed_tls_modes: true,
        cloud_certificates: false,
    };

    /// What load balancers with these settings take.
    pub fn of(profile: &EffectiveProfile) -> &'static Self {
        match profile {
            EffectiveProfile::Aws(_) => &Self::APPLICATION_LOAD_BALANCER,
            EffectiveProfile::Envoy(_) => &Self::EVERYTHING,
        }
    }

    /// The protocols of listeners, each once.
    pub fn protocols(&self) -> impl Iterator<Item = PortProtocol> + use<> {
        let mut found: Vec<_> = self.listeners.iter().map(|it| it.protocol).collect();
        found.dedup();
        found.into_iter()
    }

    /// The kinds of routes that may attach to a listener; `None` where there can be no such listener. `mode` counts for TLS only.
    pub fn routes(&self, protocol: PortProtocol, mode: TlsMode) -> Option<&'static [RouteKind]> {
        self.listeners.iter().find(|it| it.protocol == protocol && it.mode.is_none_or(|its| its == mode)).map(|it| it.routes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_and_mode_stands_once() {
        for table in [Capabilities::APPLICATION_LOAD_BALANCER, Capabilities::EVERYTHING] {
            for (index, kind) in table.listeners.iter().enumerate() {
                assert_eq!(kind.mode.is_some(), kind.protocol == PortProtocol::Tls);
                assert!(!table.listeners[..index].iter().any(|it| (it.protocol, it.mode) == (kind.protocol, kind.mode)));
            }
            assert_eq!(table.protocols().count(), table.protocols().collect::<std::collections::BTreeSet<_>>().len());
        }
        assert_eq!(Capabilities::EVERYTHING.routes(PortProtocol::Tls, TlsMode::Passthrough), Some(&[RouteKind::Tls][..]));
        assert_eq!(Capabilities::APPLICATION_LOAD_BALANCER.routes(PortProtocol::Tcp, TlsMode::Terminate), None);
    }
}
