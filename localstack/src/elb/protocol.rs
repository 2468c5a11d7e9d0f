//! Protocols of listeners and target groups, and which go together (network user guide, "Routing configuration").

use super::kind::LoadBalancerKind;
use crate::error::{Answer, ApiError};

/// Protocols of application load balancers, in the order in which AWS's messages name them.
const APPLICATION: &[&str] = &["HTTPS", "HTTP"];
/// Protocols of network load balancers.
const NETWORK: &[&str] = &["TLS", "TCP", "TCP_UDP", "UDP", "QUIC", "TCP_QUIC"];

/// Whether it is a protocol of network load balancers.
pub fn is_network(protocol: &str) -> bool {
    NETWORK.contains(&protocol)
}

/// Whether it carries UDP or QUIC, so that the client's address is always preserved.
pub fn has_datagrams(protocol: &str) -> bool {
    ["UDP", "TCP_UDP", "QUIC", "TCP_QUIC"].contains(&protocol)
}

/// Whether it carries QUIC.
pub fn is_quic(protocol: &str) -> bool {
    ["QUIC", "TCP_QUIC"].contains(&protocol)
}

/// Whether a listener of this protocol has certificates.
pub fn has_certificates(protocol: &str) -> bool {
    ["HTTPS", "TLS"].contains(&protocol)
}

/// An error unless listeners of a load balancer of this type can have this protocol.
pub fn check_listener(kind: LoadBalancerKind, protocol: &str) -> Answer<()> {
    let allowed = match kind {
        LoadBalancerKind::Application => APPLICATION,
        LoadBalancerKind::Network => NETWORK,
    };
    if allowed.contains(&protocol) {
        return Ok(());
    }
    Err(ApiError::validation(format!("Listener protocol '{protocol}' must be one of '{}'", allowed.join(", "))))
}

/// Whether a listener of this protocol can forward to target groups of that protocol and target type.
pub fn can_forward(listener: &str, group: &str, target_type: &str) -> bool {
    let groups: &[&str] = match listener {
        "HTTP" | "HTTPS" => &["HTTP", "HTTPS"],
        "TCP" if target_type == "alb" => &["TCP"],
        _ if target_type == "alb" => &[],
        "TCP" => &["TCP", "TCP_UDP"],
        "TLS" => &["TCP", "TLS"],
        "UDP" => &["UDP", "TCP_UDP"],
        "TCP_UDP" => &["TCP_UDP"],
        "QUIC" => &["QUIC", "TCP_QUIC"],
        "TCP_QUIC" => &["TCP_QUIC"],
        _ => &[],
    };
    groups.contains(&group)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of "Routing configuration": listener, target group, target type, whether it is in the table.
    #[test]
    fn listeners_forward_as_the_guide_says() {
        let rows = [
            ("TCP", "TCP", "ip", true),
            ("TCP", "TCP_UDP", "instance", true),
            ("TCP", "TCP", "alb", true),
            ("TCP", "TLS", "ip", false),
            ("TCP", "UDP", "ip", false),
            ("TLS", "TCP", "instance", true),
            ("TLS", "TLS", "ip", true),
            ("TLS", "TCP", "alb", false),
            ("UDP", "UDP", "ip", true),
            ("UDP", "TCP_UDP", "ip", true),
            ("UDP", "TCP", "ip", false),
            ("TCP_UDP", "TCP_UDP", "ip", true),
            ("TCP_UDP", "TCP", "ip", false),
            ("TCP_QUIC", "TCP_QUIC", "ip", true),
            ("TCP_QUIC", "QUIC", "ip", false),
            ("QUIC", "TCP_QUIC", "ip", true),
            ("HTTP", "HTTPS", "ip", true),
            ("HTTPS", "TCP", "ip", false),
            ("TCP", "HTTP", "ip", false),
        ];
        for (listener, group, target_type, fits) in rows {
            assert_eq!(can_forward(listener, group, target_type), fits, "{listener} to {group} of type {target_type}");
        }
    }
}
