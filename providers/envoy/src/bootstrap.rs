//! Bootstrap: what a proxy's host needs to know to join a fleet.

use serde_json::{Value, json};

/// How a proxy finds Portico and says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// The fleet: `node.cluster`.
    pub fleet: String,
    /// The proxy: `node.id`, unique in the fleet.
    pub node: String,
    /// Hosts and ports of Portico's xDS server; each may be one replica, or a name that leads to all of them.
    pub servers: Vec<(String, u16)>,
    /// TLS towards Portico; absent for clear text.
    pub tls: Option<BootstrapTls>,
    /// File with a ServiceAccount's token, sent to Portico.
    pub token_file: Option<String>,
    /// Where Envoy's administration listens; absent for nowhere.
    pub admin: Option<(String, u16)>,
}

/// TLS towards Portico.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapTls {
    /// The name in Portico's certificate.
    pub server_name: String,
    /// File with the authorities that sign Portico's certificate.
    pub authorities_file: String,
    /// Files with the proxy's own certificate and key.
    pub certificate_files: Option<(String, String)>,
}

/// Name of the cluster that is Portico, within the bootstrap.
const CLUSTER: &str = "portico";

/// The bootstrap, in the form that `envoy --config-path` reads.
pub fn bootstrap(settings: &Bootstrap) -> Value {
    let endpoints: Vec<Value> = settings
        .servers
        .iter()
        .map(|(host, port)| json!({ "endpoint": { "address": { "socket_address": { "address": host, "port_value": port } } } }))
        .collect();
    let mut cluster = json!({
        "name": CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": "5s",
        // The stream must not be found dead only when something is to be sent.
        "upstream_connection_options": { "tcp_keepalive": { "keepalive_probes": 3, "keepalive_time": 10, "keepalive_interval": 5 } },
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": { "connection_keepalive": { "interval": "30s", "timeout": "10s" } } },
        } },
        "load_assignment": { "cluster_name": CLUSTER, "endpoints": [{ "lb_endpoints": endpoints }] },
    });
    if let Some(tls) = &settings.tls {
        let certificates: Vec<Value> = tls
            .certificate_files
            .iter()
            .map(|(certificate, key)| json!({ "certificate_chain": { "filename": certificate }, "private_key": { "filename": key } }))
            .collect();
        cluster["transport_socket"] = json!({ "name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": tls.server_name,
            "common_tls_context": {
                "tls_certificates": certificates,
                "alpn_protocols": ["h2"],
                "validation_context": {
                    "trusted_ca": { "filename": tls.authorities_file },
                    "match_typed_subject_alt_names": [{ "san_type": "DNS", "matcher": { "exact": tls.server_name } }],
                },
            },
        } });
    }
    let mut service = json!({ "envoy_grpc": { "cluster_name": CLUSTER } });
    if let Some(file) = &settings.token_file {
        // Read anew whenever the token is renewed.
        service = json!({ "google_grpc": {
            "target_uri": settings.servers.first().map(|(host, port)| format!("{host}:{port}")).unwrap_or_default(),
            "stat_prefix": CLUSTER,
            // All routes of a listener come in one message. gRPC's own limit is 4 MiB.
            "channel_args": { "args": { "grpc.max_receive_message_length": { "int_value": -1 } } },
            "channel_credentials": { "ssl_credentials": {
                "root_certs": settings.tls.as_ref().map(|tls| json!({ "filename": tls.authorities_file })).unwrap_or_else(|| json!({})),
            } },
            "call_credentials": [{ "from_plugin": {
                "name": "envoy.grpc_credentials.file_based_metadata",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.grpc_credential.v3.FileBasedMetadataConfig",
                    "secret_data": { "filename": file },
                    "header_key": "authorization",
                    "header_prefix": "Bearer ",
                },
            } }],
            "credentials_factory_name": "envoy.grpc_credentials.file_based_metadata",
        } });
    }
    let mut document = json!({
        "node": { "id": settings.node, "cluster": settings.fleet },
        "dynamic_resources": {
            "ads_config": { "api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [service] },
            "cds_config": { "ads": {}, "resource_api_version": "V3" },
            "lds_config": { "ads": {}, "resource_api_version": "V3" },
        },
        "static_resources": { "clusters": [cluster] },
        "layered_runtime": { "layers": [
            { "name": "portico", "static_layer": {
                // Portico checks patterns itself; Envoy's default limit of 100 instructions is shorter than many a path.
                "re2.max_program_size.error_level": 1_000_000,
                "re2.max_program_size.warn_level": 1_000_000,
            } },
        ] },
        // Clients that trickle, and floods of connections: Envoy's advice for the edge.
        "overload_manager": { "resource_monitors": [{
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": 100_000,
            },
        }] },
    });
    if let Some((host, port)) = &settings.admin {
        document["admin"] = json!({ "address": { "socket_address": { "address": host, "port_value": port } } });
    }
    document
}
