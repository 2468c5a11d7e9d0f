//! Clusters and endpoints: `envoy.config.cluster.v3`, `envoy.config.endpoint.v3`.

use super::core::{
    Address, ConfigSource, Duration, Http1ProtocolOptions, Http2ProtocolOptions, Percent, TransportSocket, UpstreamHttpProtocolOptions,
};
use super::message::{enumeration, message};
use super::typed::TypedConfig;

message! {
    /// `envoy.config.cluster.v3.Cluster`.
    Cluster {
        name: string = "1",
        r#type: enumeration DiscoveryType "DiscoveryType" = "2",
        eds_cluster_config: message EdsClusterConfig = "3",
        connect_timeout: message Duration = "4",
        per_connection_buffer_limit_bytes: uint32_value = "5",
        lb_policy: enumeration LbPolicy "LbPolicy" = "6",
        circuit_breakers: message CircuitBreakers = "10",
        transport_socket: message TransportSocket = "24",
        common_lb_config: message CommonLbConfig = "27",
        ignore_health_on_host_removal: bool = "32",
        typed_extension_protocol_options: map TypedConfig = "36",
    }
}

enumeration! {
    /// `envoy.config.cluster.v3.Cluster.DiscoveryType`.
    DiscoveryType {
        /// Endpoints stand in the cluster.
        Static = 0 "STATIC",
        /// Endpoints come by EDS.
        Eds = 3 "EDS",
    }
}

enumeration! {
    /// `envoy.config.cluster.v3.Cluster.LbPolicy`.
    LbPolicy {
        /// In turns.
        RoundRobin = 0 "ROUND_ROBIN",
        /// Of two by chance the one with fewer requests.
        LeastRequest = 1 "LEAST_REQUEST",
    }
}

message! {
    /// `envoy.config.cluster.v3.Cluster.EdsClusterConfig`.
    EdsClusterConfig {
        eds_config: message ConfigSource = "1",
        service_name: string = "2",
    }
}

message! {
    /// `envoy.config.cluster.v3.CircuitBreakers`.
    CircuitBreakers {
        thresholds: messages Thresholds = "1",
    }
}

message! {
    /// `envoy.config.cluster.v3.CircuitBreakers.Thresholds`.
    Thresholds {
        max_connections: uint32_value = "2",
        max_pending_requests: uint32_value = "3",
        max_requests: uint32_value = "4",
        max_retries: uint32_value = "5",
    }
}

message! {
    /// `envoy.config.cluster.v3.Cluster.CommonLbConfig`.
    CommonLbConfig {
        healthy_panic_threshold: message Percent = "1",
    }
}

message! {
    /// `envoy.extensions.upstreams.http.v3.HttpProtocolOptions`.
    UpstreamProtocolOptions {
        upstream_http_protocol_options: message UpstreamHttpProtocolOptions = "2",
        explicit_http_config: message ExplicitHttpConfig = "3",
    }
}

message! {
    /// `envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig`.
    ExplicitHttpConfig {
        http_protocol_options: message Http1ProtocolOptions = "1",
        http2_protocol_options: message Http2ProtocolOptions = "2",
    }
}

message! {
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`.
    ClusterLoadAssignment {
        cluster_name: string = "1",
        endpoints: messages LocalityLbEndpoints = "2",
    }
}

message! {
    /// `envoy.config.endpoint.v3.LocalityLbEndpoints`.
    LocalityLbEndpoints {
        lb_endpoints: messages LbEndpoint = "2",
    }
}

message! {
    /// `envoy.config.endpoint.v3.LbEndpoint`.
    LbEndpoint {
        endpoint: message UpstreamEndpoint = "1",
    }
}

message! {
    /// `envoy.config.endpoint.v3.Endpoint`.
    UpstreamEndpoint {
        address: message Address = "1",
    }
}
