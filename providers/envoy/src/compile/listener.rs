//! Listeners: one per port of a Gateway, with a filter chain for each way to read its connections.

use super::issue::Issue;
use super::virtual_host::covers;
use super::{Compiler, listener_field};
use crate::name;
use crate::stack::Listener;
use crate::stack::core::{Address, Duration, Protocol, SocketAddress, TransportSocket};
use crate::stack::listener::{
    AdditionalAddress, Filter, FilterChain, FilterChainMatch, ListenerFilter, ProxyProtocol, TlsInspector, TrafficDirection,
};
use portico_crds::v1alpha1::envoy::Bind;
use portico_providers::{Hostname, Ingress, PlanListener, PlanPort, PortProtocol, Residue, TlsMode};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What one connection may hold in memory on its way, in each direction. Envoy's default is 1 MiB; its advice for the edge is 32 KiB, which would bound the bodies of requests
/// that are tried again or asked permission for, too.
pub(super) const BUFFER: u32 = 256 * 1024;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::seconds(15);

/// Filter chains of one port, by what they match: Envoy refuses two that match the same.
#[derive(Default)]
struct Chains(BTreeMap<(&'static str, Option<Hostname>), FilterChain>);

const CLEAR: &str = "raw_buffer";
const TLS: &str = "tls";

impl Compiler<'_> {
    /// What the fleet listens on for this Gateway.
    pub(super) fn listeners(&mut self) -> Vec<Listener> {
        let plan = self.plan;
        let mut streams: BTreeMap<u16, Vec<&PlanPort>> = BTreeMap::new();
        let mut listeners = Vec::new();
        for port in &plan.ports {
            if port.protocol == PortProtocol::Udp {
                listeners.push(self.datagrams(port));
            } else {
                streams.entry(port.port).or_default().push(port);
            }
        }
        for (number, ports) in streams {
            listeners.extend(self.stream_listener(number, &ports));
        }
        listeners.sort_by(|a, b| a.name.cmp(&b.name));
        listeners
    }

    fn stream_listener(&mut self, number: u16, ports: &[&PlanPort]) -> Option<Listener> {
        let mut chains = Chains::default();
        for port in ports {
            match port.protocol {
                PortProtocol::Http => self.http(port, &mut chains),
                PortProtocol::Https => self.https(port, ports, &mut chains),
                PortProtocol::Tls => self.tls(port, ports, &mut chains),
                PortProtocol::Tcp => {
                    let filter = self.tcp_proxy(port.listeners.iter().flat_map(|listener| &listener.rules).next());
                    self.add(&mut chains, &port.listeners, CLEAR, None, filter, None);
                }
                PortProtocol::Udp => {}
            }
        }
        let secure = chains.0.keys().any(|(transport, _)| *transport == TLS);
        let several = chains.0.len() > 1;
        let filter_chains: Vec<FilterChain> = chains
            .0
            .into_iter()
            .map(|((transport, hostname), chain)| FilterChain {
                filter_chain_match: (secure || several).then(|| FilterChainMatch {
                    transport_protocol: transport.to_owned(),
                    server_names: hostname.iter().map(|hostname| hostname.as_str().to_owned()).collect(),
                }),
                ..chain
            })
            .collect();
        if filter_chains.is_empty() {
            return None;
        }
        let mut listener_filters = Vec::new();
        if ports.iter().any(|port| port.listeners.iter().any(|it| matches!(it.ingress, Ingress::Behind { proxy_protocol: true, .. }))) {
            listener_filters.push(listener_filter("envoy.filters.listener.proxy_protocol", ProxyProtocol {}.into()));
        }
        if secure {
            listener_filters.push(listener_filter("envoy.filters.listener.tls_inspector", TlsInspector {}.into()));
        }
        Some(Listener {
            name: name::listener(&self.plan.unit, number, PortProtocol::Tcp),
            filter_chains,
            listener_filters,
            per_connection_buffer_limit_bytes: Some(BUFFER),
            ..self.bound(number, Protocol::Tcp)
        })
    }

    /// A listener that only has its addresses.
    pub(super) fn bound(&self, port: u16, protocol: Protocol) -> Listener {
        let mut addresses: Vec<SocketAddress> = match self.settings.bind {
            Bind::GatewayAddress => self.addresses.iter().map(|address| socket_address(*address, port, protocol)).collect(),
            Bind::AnyAddress if self.addresses.iter().any(IpAddr::is_ipv6) => {
                vec![SocketAddress { ipv4_compat: true, ..socket_address(Ipv6Addr::UNSPECIFIED.into(), port, protocol) }]
            }
            Bind::AnyAddress => vec![socket_address(Ipv4Addr::UNSPECIFIED.into(), port, protocol)],
        };
        let additional = if addresses.is_empty() { Vec::new() } else { addresses.split_off(1) };
        let address = |address: SocketAddress| Address { socket_address: Some(address) };
        Listener {
            address: addresses.pop().map(address),
            additional_addresses: additional.into_iter().map(|it| AdditionalAddress { address: Some(address(it)) }).collect(),
            traffic_direction: TrafficDirection::Inbound.into(),
            ..Listener::default()
        }
    }

    /// All HTTP listeners of a port share a connection manager; the Host header tells them apart.
    fn http(&mut self, port: &PlanPort, chains: &mut Chains) {
        let (routes, authorizations) = self.routes(port, false, None);
        let filter = self.connection_manager(port, &routes, authorizations);
        self.add(chains, &port.listeners, CLEAR, None, filter, None);
    }

    /// Each HTTPS listener has a chain of its own, chosen by the server name, so that its certificates, its routes and no others' count.
    fn https(&mut self, port: &PlanPort, all: &[&PlanPort], chains: &mut Chains) {
        for listener in &port.listeners {
            if self.is_taken(chains, all, listener) {
                continue;
            }
            let Some(socket) = self.downstream_tls(port, listener, &["h2", "http/1.1"]) else { continue };
            let (routes, authorizations) = self.routes(port, true, Some(listener));
            let filter = self.connection_manager(port, &routes, authorizations);
            self.add(chains, std::slice::from_ref(listener), TLS, listener.hostname.clone(), filter, Some(socket));
        }
    }

    /// A chain for each server name of a TLS listener's rules: the first rule for it takes the connection.
    fn tls(&mut self, port: &PlanPort, all: &[&PlanPort], chains: &mut Chains) {
        for listener in &port.listeners {
            if self.is_taken(chains, all, listener) {
                continue;
            }
            let terminate = listener.tls.as_ref().is_some_and(|tls| tls.mode == TlsMode::Terminate);
            let socket = if terminate {
                let Some(socket) = self.downstream_tls(port, listener, &[]) else { continue };
                Some(socket)
            } else {
                None
            };
            let mut names: Vec<Option<Hostname>> =
                listener.rules.iter().map(|rule| rule.hostname.clone().or_else(|| listener.hostname.clone())).collect();
            names.sort();
            names.dedup();
            for hostname in &names {
                if !belongs(hostname.as_ref(), listener, all) {
                    continue;
                }
                let rule = listener.rules.iter().find(|rule| covers(rule.hostname.as_ref(), hostname.as_ref()));
                let filter = self.tcp_proxy(rule);
                self.add(chains, std::slice::from_ref(listener), TLS, hostname.clone(), filter, socket.clone());
            }
            // Names of this listener that none of its rules takes must not reach a wider listener's.
            if listener.hostname.is_some() && !names.contains(&listener.hostname) {
                let filter = self.tcp_proxy(None);
                self.add(chains, std::slice::from_ref(listener), TLS, listener.hostname.clone(), filter, None);
            }
        }
    }

    /// Whether an HTTPS and a TLS listener of one port have the same hostname: the server name cannot tell them apart, so that the first has it.
    fn is_taken(&mut self, chains: &Chains, all: &[&PlanPort], listener: &PlanListener) -> bool {
        let taken = all.len() > 1 && chains.0.contains_key(&(TLS, listener.hostname.clone()));
        if taken {
            let detail = "an HTTPS listener of the same port has the same hostname, and the server name is all that tells them apart";
            let issue = Issue::unsupported(listener_field(&listener.owner, "hostname"), detail, "Use another hostname, or another port.");
            self.refuse_listener(listener, issue, Residue::NoTraffic);
        }
        taken
    }

    fn add(
        &mut self,
        chains: &mut Chains,
        listeners: &[PlanListener],
        transport: &'static str,
        hostname: Option<Hostname>,
        filter: Filter,
        socket: Option<TransportSocket>,
    ) {
        if chains.0.contains_key(&(transport, hostname.clone())) {
            for listener in listeners {
                let detail = "another protocol has the port already";
                let issue = Issue::unsupported(listener_field(&listener.owner, "protocol"), detail, "Use another port.");
                self.refuse_listener(listener, issue, Residue::NoTraffic);
            }
            return;
        }
        let name = match transport {
            TLS => format!("tls/{}", name::domain(hostname.as_ref())),
            _ => "clear".to_owned(),
        };
        let chain = FilterChain {
            name,
            filters: vec![filter],
            transport_socket_connect_timeout: socket.is_some().then_some(HANDSHAKE),
            transport_socket: socket,
            ..FilterChain::default()
        };
        chains.0.insert((transport, hostname), chain);
    }
}

/// Whether connections for a server name belong to a listener: it is the one with the most specific hostname that covers the name, of all that end or pass TLS on the port.
fn belongs(hostname: Option<&Hostname>, listener: &PlanListener, all: &[&PlanPort]) -> bool {
    let mut covering: Vec<&Option<Hostname>> = all
        .iter()
        .filter(|port| matches!(port.protocol, PortProtocol::Https | PortProtocol::Tls))
        .flat_map(|port| &port.listeners)
        .map(|other| &other.hostname)
        .filter(|other| covers(other.as_ref(), hostname))
        .collect();
    covering.sort_by(|a, b| Hostname::by_specificity(a, b));
    covering.first().is_none_or(|first| **first == listener.hostname)
}

fn listener_filter(name: &str, config: crate::stack::TypedConfig) -> ListenerFilter {
    ListenerFilter { name: name.to_owned(), typed_config: Some(config) }
}

pub(crate) fn socket_address(address: IpAddr, port: u16, protocol: Protocol) -> SocketAddress {
    SocketAddress { protocol: protocol.into(), address: address.to_string(), port_value: Some(u32::from(port)), ipv4_compat: false }
}
