//! Listeners: `envoy.config.listener.v3`, and the network filters that end in clusters.

use super::core::{Address, Duration, SubstitutionFormatString, TransportSocket};
use super::matcher::Matcher;
use super::message::{enumeration, message};
use super::typed::TypedConfig;

message! {
    /// `envoy.config.listener.v3.Listener`.
    Listener {
        name: string = "1",
        address: message Address = "2",
        additional_addresses: messages AdditionalAddress = "33",
        filter_chains: messages FilterChain = "3",
        per_connection_buffer_limit_bytes: uint32_value = "5",
        listener_filters: messages ListenerFilter = "9",
        listener_filters_timeout: message Duration = "15",
        traffic_direction: enumeration TrafficDirection "TrafficDirection" = "16",
        udp_listener_config: message UdpListenerConfig = "18",
    }
}

message! {
    /// `envoy.config.listener.v3.AdditionalAddress`.
    AdditionalAddress {
        address: message Address = "1",
    }
}

message! {
    /// `envoy.config.listener.v3.UdpListenerConfig`.
    UdpListenerConfig {}
}

enumeration! {
    /// `envoy.config.core.v3.TrafficDirection`.
    TrafficDirection {
        /// Not said.
        Unspecified = 0 "UNSPECIFIED",
        /// From clients.
        Inbound = 1 "INBOUND",
    }
}

message! {
    /// `envoy.config.listener.v3.FilterChain`.
    FilterChain {
        filter_chain_match: message FilterChainMatch = "1",
        filters: messages Filter = "3",
        transport_socket: message TransportSocket = "6",
        transport_socket_connect_timeout: message Duration = "9",
        name: string = "7",
    }
}

message! {
    /// `envoy.config.listener.v3.FilterChainMatch`.
    FilterChainMatch {
        transport_protocol: string = "9",
        server_names: strings = "11",
    }
}

message! {
    /// `envoy.config.listener.v3.Filter`.
    Filter {
        name: string = "1",
        typed_config: message TypedConfig = "4",
    }
}

message! {
    /// `envoy.config.listener.v3.ListenerFilter`.
    ListenerFilter {
        name: string = "1",
        typed_config: message TypedConfig = "3",
    }
}

message! {
    /// `envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector`.
    TlsInspector {}
}

message! {
    /// `envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol`.
    ProxyProtocol {}
}

message! {
    /// `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`.
    TcpProxy {
        stat_prefix: string = "1",
        cluster: optional_string = "2",
        access_log: messages AccessLog = "5",
        max_connect_attempts: uint32_value = "7",
        weighted_clusters: message TcpWeightedCluster = "10",
    }
}

message! {
    /// `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster`.
    TcpWeightedCluster {
        clusters: messages TcpClusterWeight = "1",
    }
}

message! {
    /// `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight`.
    TcpClusterWeight {
        name: string = "1",
        weight: uint32 = "2",
    }
}

message! {
    /// `envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig`.
    UdpProxyConfig {
        stat_prefix: string = "1",
        access_log: messages AccessLog = "8",
        matcher: message Matcher = "9",
    }
}

message! {
    /// `envoy.extensions.filters.udp.udp_proxy.v3.Route`.
    UdpRoute {
        cluster: string = "1",
    }
}

message! {
    /// `envoy.config.accesslog.v3.AccessLog`.
    AccessLog {
        name: string = "1",
        typed_config: message TypedConfig = "4",
    }
}

message! {
    /// `envoy.extensions.access_loggers.file.v3.FileAccessLog`.
    FileAccessLog {
        path: string = "1",
        log_format: message SubstitutionFormatString = "5",
    }
}
