//! Network load balancers: where they listen, what they forward, and how their target groups want it.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use serde::Serialize;

use super::{Forward, IngressRule, ListenerId, LoadBalancerId, LogOptions, RuleId, Tls};

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// As security group rules spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A network load balancer.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkLoadBalancer {
    /// Its id.
    pub id: LoadBalancerId,
    /// Names of the enabled availability zones. Targets in other zones are `unused` and get no flows.
    pub zones: Vec<String>,
    /// Its nodes, one per zone; every one has all listeners.
    pub nodes: Vec<NetworkNode>,
    /// Who may reach it. None: it has no security groups, and everybody may.
    pub ingress: Option<NetworkIngress>,
    /// Its listeners, one per port.
    pub listeners: Vec<NetworkListener>,
    /// `access_logs.s3.*`: connections of its TLS listeners.
    pub logs: LogOptions,
}

/// A node of a network load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkNode {
    /// Its zone's name. While cross-zone load balancing is off it sends to targets of this zone only.
    pub zone: String,
    /// The address at which it listens.
    pub address: IpAddr,
}

/// Whom the security groups of a network load balancer let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkIngress {
    /// With TCP.
    pub tcp: Vec<IngressRule>,
    /// With UDP.
    pub udp: Vec<IngressRule>,
}

/// A listener of a network load balancer. Its rules forward.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkListener {
    /// Its id.
    pub id: ListenerId,
    /// The port, unique in its load balancer.
    pub port: u16,
    /// Protocol towards clients.
    pub protocol: NetworkProtocol,
    /// Certificates, versions and ciphers of a TLS listener.
    pub tls: Option<Tls>,
    /// What a TLS listener negotiates by ALPN, the preferred protocol first. Clients that offer none of it go on without. Empty: nothing.
    pub alpn: Vec<&'static str>,
    /// `tcp.idle_timeout.seconds`: a connection on which nothing moved for so long is reset. AWS: 60–6000 s, default 350 s; 350 s for TLS.
    pub idle_timeout: Duration,
    /// The rules; the data plane evaluates them by ascending priority.
    pub rules: Vec<NetworkRule>,
    /// Names the default rule in counters.
    pub rule: RuleId,
    /// Where flows go that no rule matches.
    pub forward: Forward,
}

/// A rule of a network load balancer's listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRule {
    /// Its id.
    pub id: RuleId,
    /// Lower is evaluated first. AWS: 1–50000, unique in its listener.
    pub priority: u32,
    /// `source-ip` with `IpAddressType`: which clients it matches.
    pub source: IpVersion,
    /// Where their flows go.
    pub forward: Forward,
}

/// A version of the internet protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpVersion {
    /// Whether it is the version of an address.
    pub fn is_of(self, address: IpAddr) -> bool {
        address.is_ipv6() == (self == Self::V6)
    }
}

/// Protocol of a network load balancer's listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NetworkProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// TLS, which ends at the load balancer.
    Tls,
    /// TCP and UDP at one port.
    TcpUdp,
    /// QUIC, which this data plane does not serve: the listener's socket is reported as refused.
    Quic,
    /// TCP, and QUIC, which this data plane does not serve.
    TcpQuic,
}

impl NetworkProtocol {
    /// The transports whose ports the listener takes.
    pub fn transports(self) -> &'static [Transport] {
        match self {
            Self::Tcp | Self::Tls => &[Transport::Tcp],
            Self::Udp | Self::Quic => &[Transport::Udp],
            Self::TcpUdp | Self::TcpQuic => &[Transport::Tcp, Transport::Udp],
        }
    }

    /// Whether what comes over UDP is QUIC.
    pub fn is_quic(self) -> bool {
        matches!(self, Self::Quic | Self::TcpQuic)
    }
}

/// How a target group wants the flows of a network load balancer. The default is AWS's for `ip` targets and TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowOptions {
    /// `preserve_client_ip.enabled`: targets see the client's address, as far as this machine has it.
    pub preserve_client_ip: bool,
    /// `proxy_protocol_v2.enabled`: connections begin with a header of the proxy protocol; so does every datagram.
    pub proxy_protocol: bool,
    /// `stickiness.enabled` with type `source_ip`: all flows of a client's address go to one target.
    pub source_ip_stickiness: bool,
    /// `deregistration_delay.connection_termination.enabled`: flows end when the deregistration does, and not when they want.
    pub terminate_deregistered: bool,
    /// `target_health_state.unhealthy.connection_termination.enabled`: connections to a target that becomes unhealthy are reset.
    pub terminate_unhealthy: bool,
    /// `target_health_state.unhealthy.draining_interval_seconds`: how long such a target keeps its connections, and is `unhealthy.draining`.
    pub unhealthy_draining: Duration,
}

impl Default for FlowOptions {
    fn default() -> Self {
        Self {
            preserve_client_ip: false,
            proxy_protocol: false,
            source_ip_stickiness: false,
            terminate_deregistered: false,
            terminate_unhealthy: true,
            unhealthy_draining: Duration::ZERO,
        }
    }
}

/// Whose packets arrive at a target of a network load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowReach {
    /// With TCP.
    pub tcp: Reach,
    /// With UDP.
    pub udp: Reach,
}

impl FlowReach {
    /// Whether a client's packets arrive.
    pub fn admits(&self, transport: Transport, client: IpAddr) -> bool {
        let reach = match transport {
            Transport::Tcp => &self.tcp,
            Transport::Udp => &self.udp,
        };
        match reach {
            Reach::Everybody => true,
            Reach::Nobody => false,
            Reach::From(sources) => sources.iter().any(|source| source.contains(&client)),
        }
    }
}

/// Whose packets arrive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// All clients'.
    #[default]
    Everybody,
    /// No client's: connecting waits out the connect timeout, datagrams are lost.
    Nobody,
    /// With client addresses preserved, the security groups of the target judge them.
    From(Vec<IpNet>),
}
