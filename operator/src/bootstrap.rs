//! `portico envoy bootstrap`: what a proxy of an Envoy fleet is started with. All else comes from the operator, by xDS.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use clap::{Args, ValueEnum};
use portico_crds::manifest;
use serde_json::{Map, Value, json};

/// Name of the cluster that is the operator.
const OPERATOR: &str = "portico";
/// Name of the cluster that is the proxy's own admin interface.
const ADMIN: &str = "admin";
/// Seconds between two pings of an idle connection to the operator, and how long an answer may take. A network that drops packets is found out after both.
const KEEPALIVE: (u32, u32) = (10, 5);
/// Seconds between attempts to open the stream: the first pause, and the longest. (Envoy: 0.5 and 30, which would leave a proxy on old configuration for
/// half a minute after the operator is back.)
const BACKOFF: (&str, &str) = ("0.25s", "5s");
/// The longest program of a regular expression that is accepted. (Envoy: 100, which is less than many paths need; RE2's time does not grow with it.)
const REGEX_PROGRAM: u32 = 10_000;
/// Shares of the heap's limit at which idle memory is given back, timeouts of idle connections shrink, and new requests are refused.
const HEAP: (f64, f64, f64) = (0.9, 0.92, 0.98);

/// Arguments of `portico envoy bootstrap`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "Examples:
  portico envoy bootstrap --server 10.0.0.5:18000 > envoy.yaml && envoy -c envoy.yaml --service-node $(hostname)
  portico envoy bootstrap --fleet edge --server portico.example.net:18000 --ca ca.pem --certificate edge.pem --key edge.key
  portico envoy bootstrap --server portico.portico-system.svc:18000 --ca /ca/ca.crt --token-file /var/run/secrets/tokens/portico

docs/envoy.md says how to run a fleet on virtual machines, in instance groups and in Deployments.")]
pub struct BootstrapArguments {
    /// The fleet that the proxy belongs to, as the LoadBalancerProfile names it (Envoy: node.cluster).
    #[arg(long, value_name = "NAME", default_value = "portico")]
    pub fleet: String,
    /// The proxy's own name, different from all others of its fleet (Envoy: node.id) [default: given to Envoy by --service-node].
    #[arg(long, value_name = "ID")]
    pub node_id: Option<String>,
    /// Region that the proxy runs in, for routing that prefers near endpoints.
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// Zone that the proxy runs in, as the label topology.kubernetes.io/zone of nodes has it.
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,
    /// Where the operator serves xDS; may be given several times, one for each replica, where no name leads to all of them.
    #[arg(long = "server", value_name = "HOST:PORT", required = true)]
    pub servers: Vec<Server>,
    /// Ask for whole lists of resources instead of their changes. Only for proxies behind something that does not understand the delta protocol.
    #[arg(long)]
    pub state_of_the_world: bool,
    /// Certificate authorities that the operator's certificate must come from, PEM. Without it the connection is not encrypted.
    #[arg(long, value_name = "FILE", help_heading = "Identity")]
    pub ca: Option<PathBuf>,
    /// Name that the operator's certificate must hold [default: the host of --server].
    #[arg(long, value_name = "NAME", requires = "ca", help_heading = "Identity")]
    pub server_name: Option<String>,
    /// The proxy's certificate, PEM: it must hold the fleet's name as a DNS name, where the profile says `identification: certificate`.
    #[arg(long, value_name = "FILE", requires_all = ["ca", "key"], help_heading = "Identity")]
    pub certificate: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "certificate", help_heading = "Identity")]
    pub key: Option<PathBuf>,
    /// File with a ServiceAccount's token, where the profile says `identification: serviceAccountToken`; read anew for each stream.
    #[arg(long, value_name = "FILE", requires = "ca", help_heading = "Identity")]
    pub token_file: Option<PathBuf>,
    /// Where Envoy's admin interface listens. It can stop the proxy and shows its keys' names: keep it on loopback.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901", help_heading = "Operation")]
    pub admin: SocketAddr,
    /// Where /ready and /stats/prometheus are served, and nothing else of the admin interface [default: nowhere].
    #[arg(long, value_name = "ADDRESS", help_heading = "Operation")]
    pub metrics: Option<SocketAddr>,
    /// How many connections of clients are open at once at most; more are refused, so that those that are open go on being served.
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Operation")]
    pub max_connections: u32,
    /// The memory that Envoy's heap may take, in MiB: near it, new requests get 503 [default: no limit].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(64..), help_heading = "Operation")]
    pub max_heap: Option<u32>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = BootstrapFormat::Yaml)]
    pub output: BootstrapFormat,
}

/// How a bootstrap is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BootstrapFormat {
    /// For people and `envoy -c FILE.yaml`.
    Yaml,
    /// For programs and `envoy -c FILE.json`.
    Json,
}

/// Where something listens: a name or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    host: String,
    port: u16,
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not HOST:PORT, such as portico.example.net:18000 or [2001:db8::1]:18000");
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { host: address.ip().to_string(), port: address.port() });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        if host.is_empty() || !host.chars().all(is_name) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| wrong())? })
    }
}

impl Server {
    fn is_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }

    fn address(&self) -> Value {
        address(&self.host, self.port)
    }
}

/// Runs the command.
pub fn run(arguments: &BootstrapArguments) -> anyhow::Result<()> {
    let bootstrap = bootstrap(arguments)?;
    crate::output::print(&match arguments.output {
        BootstrapFormat::Yaml => manifest::write(&[bootstrap]).context("the bootstrap cannot be printed")?,
        BootstrapFormat::Json => format!("{bootstrap:#}\n"),
    })
}

/// The bootstrap, as Envoy's `envoy.config.bootstrap.v3.Bootstrap`.
pub fn bootstrap(arguments: &BootstrapArguments) -> anyhow::Result<Value> {
    let first = arguments.servers.first().context("where is the operator? Say so with --server")?;
    let mut clusters = Vec::new();
    let service = match &arguments.token_file {
        Some(token) => {
            anyhow::ensure!(
                arguments.servers.len() == 1,
                "with --token-file there can be one --server only: a name that leads to all replicas, or the address of a load balancer before them"
            );
            google_grpc(arguments, first, token)
        }
        None => {
            clusters.push(operator_cluster(arguments, first));
            json!({ "envoy_grpc": {
                "cluster_name": OPERATOR,
                "retry_policy": { "retry_back_off": { "base_interval": BACKOFF.0, "max_interval": BACKOFF.1 } },
            } })
        }
    };
    let api_type = if arguments.state_of_the_world { "GRPC" } else { "DELTA_GRPC" };
    let from_ads = json!({ "ads": {}, "resource_api_version": "V3" });
    let mut resources = Map::new();
    if let Some(metrics) = arguments.metrics {
        clusters.push(admin_cluster(arguments));
        resources.insert("listeners".to_owned(), json!([metrics_listener(metrics)]));
    }
    resources.insert("clusters".to_owned(), json!(clusters));
    Ok(json!({
        "node": node(arguments),
        "admin": { "address": address(&arguments.admin.ip().to_string(), arguments.admin.port()) },
        "dynamic_resources": {
            "ads_config": {
                "api_type": api_type,
                "transport_api_version": "V3",
                // The node is said once per stream, and not with each of its messages.
                "set_node_on_first_message_only": true,
                "grpc_services": [service],
            },
            "cds_config": from_ads,
            "lds_config": from_ads,
        },
        "static_resources": resources,
        "layered_runtime": { "layers": [
            { "name": "portico", "static_layer": { "re2": { "max_program_size": { "error_level": REGEX_PROGRAM } } } },
            // What the admin interface sets for a while.
            { "name": "admin", "admin_layer": {} },
        ] },
        "overload_manager": overload_manager(arguments),
    }))
}

fn node(arguments: &BootstrapArguments) -> Value {
    let mut node = Map::from_iter([("cluster".to_owned(), json!(arguments.fleet))]);
    if let Some(id) = &arguments.node_id {
        node.insert("id".to_owned(), json!(id));
    }
    let place = [("region", &arguments.region), ("zone", &arguments.zone)];
    let place: Map<String, Value> = place.into_iter().filter_map(|(key, name)| Some((key.to_owned(), json!(name.as_ref()?)))).collect();
    if !place.is_empty() {
        node.insert("locality".to_owned(), Value::Object(place));
    }
    Value::Object(node)
}

fn address(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}

fn endpoint(address: &Value) -> Value {
    json!({ "endpoint": { "address": address } })
}

fn file(path: &Path) -> Value {
    json!({ "filename": path })
}

/// The operator as a cluster.
fn operator_cluster(arguments: &BootstrapArguments, first: &Server) -> Value {
    let endpoints: Vec<Value> = arguments.servers.iter().map(|server| endpoint(&server.address())).collect();
    let (interval, timeout) = KEEPALIVE;
    let mut cluster = json!({
        "name": OPERATOR,
        "type": "STRICT_DNS",
        "connect_timeout": "2s",
        "load_assignment": { "cluster_name": OPERATOR, "endpoints": [{ "lb_endpoints": endpoints }] },
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {
                "connection_keepalive": { "interval": format!("{interval}s"), "timeout": format!("{timeout}s") },
            } },
        } },
    });
    if let (Some(ca), Some(cluster)) = (&arguments.ca, cluster.as_object_mut()) {
        cluster.insert("transport_socket".to_owned(), transport_socket(arguments, first, ca));
    }
    cluster
}

/// Which name the operator's certificate must hold.
fn server_name<'a>(arguments: &'a BootstrapArguments, first: &'a Server) -> &'a str {
    arguments.server_name.as_deref().unwrap_or(&first.host)
}

fn transport_socket(arguments: &BootstrapArguments, first: &Server, ca: &Path) -> Value {
    let name = server_name(arguments, first);
    let is_address = arguments.server_name.is_none() && first.is_address();
    let san = json!({ "san_type": if is_address { "IP_ADDRESS" } else { "DNS" }, "matcher": { "exact": name } });
    let mut common = Map::from_iter([
        ("tls_params".to_owned(), json!({ "tls_minimum_protocol_version": "TLSv1_2" })),
        ("validation_context".to_owned(), json!({ "trusted_ca": file(ca), "match_typed_subject_alt_names": [san] })),
    ]);
    if let (Some(certificate), Some(key)) = (&arguments.certificate, &arguments.key) {
        common.insert("tls_certificates".to_owned(), json!([{ "certificate_chain": file(certificate), "private_key": file(key) }]));
    }
    let mut tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": common,
    });
    if let (false, Some(tls)) = (is_address, tls.as_object_mut()) {
        tls.insert("sni".to_owned(), json!(name));
    }
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": tls })
}

/// The operator by way of Google's client, which reads the token for each stream. (Envoy's own would need a second file, a secret by file discovery.)
fn google_grpc(arguments: &BootstrapArguments, server: &Server, token: &Path) -> Value {
    let host = if server.host.contains(':') { format!("[{}]", server.host) } else { server.host.clone() };
    let scheme = match server.host.parse() {
        Ok(IpAddr::V4(_)) => "ipv4:",
        Ok(IpAddr::V6(_)) => "ipv6:",
        Err(_) => "dns:///",
    };
    let mut ssl = Map::new();
    ssl.extend(arguments.ca.as_ref().map(|ca| ("root_certs".to_owned(), file(ca))));
    ssl.extend(arguments.certificate.as_ref().map(|certificate| ("cert_chain".to_owned(), file(certificate))));
    ssl.extend(arguments.key.as_ref().map(|key| ("private_key".to_owned(), file(key))));
    let milliseconds = |seconds: u32| json!({ "int_value": seconds * 1000 });
    json!({ "google_grpc": {
        "target_uri": format!("{scheme}{host}:{}", server.port),
        "stat_prefix": OPERATOR,
        "channel_credentials": { "ssl_credentials": ssl },
        "credentials_factory_name": "envoy.grpc_credentials.file_based_metadata",
        "call_credentials": [{ "from_plugin": {
            "name": "envoy.grpc_credentials.file_based_metadata",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.grpc_credential.v3.FileBasedMetadataConfig",
                "secret_data": file(token),
                "header_key": "authorization",
                "header_prefix": "Bearer ",
            },
        } }],
        "channel_args": { "args": {
            "grpc.ssl_target_name_override": { "string_value": server_name(arguments, server) },
            "grpc.keepalive_time_ms": milliseconds(KEEPALIVE.0),
            "grpc.keepalive_timeout_ms": milliseconds(KEEPALIVE.1),
            // All routes of a listener come in one message; gRPC's own limit is 4 MiB.
            "grpc.max_receive_message_length": { "int_value": -1 },
            // Pings while a stream is open, however little is said on it.
            "grpc.http2.max_pings_without_data": { "int_value": 0 },
            "grpc.max_reconnect_backoff_ms": milliseconds(5),
        } },
    } })
}

/// The proxy's own admin interface, for what may be seen of it elsewhere.
fn admin_cluster(arguments: &BootstrapArguments) -> Value {
    let admin = address(&arguments.admin.ip().to_string(), arguments.admin.port());
    json!({
        "name": ADMIN,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": ADMIN, "endpoints": [{ "lb_endpoints": [endpoint(&admin)] }] },
    })
}

/// Serves readiness and metrics, and nothing else.
fn metrics_listener(at: SocketAddr) -> Value {
    let route = |path: &str| json!({ "match": { "path": path }, "route": { "cluster": ADMIN } });
    let connection_manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "metrics",
        "route_config": { "name": "metrics", "virtual_hosts": [{
            "name": "metrics",
            "domains": ["*"],
            "routes": [route("/ready"), route("/stats/prometheus")],
        }] },
        "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        } }],
    });
    json!({
        "name": "metrics",
        "address": address(&at.ip().to_string(), at.port()),
        // Who looks must also see a proxy that takes no more clients.
        "ignore_global_conn_limit": true,
        "bypass_overload_manager": true,
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": connection_manager,
        }] }],
    })
}

/// Refuses what is too much before what is there suffers.
fn overload_manager(arguments: &BootstrapArguments) -> Value {
    const HEAP_MONITOR: &str = "envoy.resource_monitors.fixed_heap";
    let mut monitors = vec![json!({
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            "max_active_downstream_connections": arguments.max_connections,
        },
    })];
    let mut manager = Map::from_iter([("refresh_interval".to_owned(), json!("0.25s"))]);
    if let Some(mebibytes) = arguments.max_heap {
        monitors.push(json!({
            "name": HEAP_MONITOR,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                "max_heap_size_bytes": u64::from(mebibytes) * 1024 * 1024,
            },
        }));
        let (shrink, hurry, stop) = HEAP;
        let at = |share: f64| json!([{ "name": HEAP_MONITOR, "threshold": { "value": share } }]);
        let between = json!([{ "name": HEAP_MONITOR, "scaled": { "scaling_threshold": hurry, "saturation_threshold": stop } }]);
        manager.insert(
            "actions".to_owned(),
            json!([
                { "name": "envoy.overload_actions.shrink_heap", "triggers": at(shrink) },
                {
                    "name": "envoy.overload_actions.reduce_timeouts",
                    "triggers": between,
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig",
                        "timer_scale_factors": [{ "timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "2s" }],
                    },
                },
                { "name": "envoy.overload_actions.stop_accepting_requests", "triggers": at(stop) },
            ]),
        );
    }
    manager.insert("resource_monitors".to_owned(), json!(monitors));
    Value::Object(manager)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_names_or_addresses_with_a_port() {
        let read = |text: &str| text.parse::<Server>().map(|server| (server.host, server.port));
        assert_eq!(read("portico.example.net:18000"), Ok(("portico.example.net".to_owned(), 18000)));
        assert_eq!(read("10.0.0.5:1"), Ok(("10.0.0.5".to_owned(), 1)));
        assert_eq!(read("[2001:db8::1]:18000"), Ok(("2001:db8::1".to_owned(), 18000)));
        for wrong in ["portico", ":1", "portico:", "portico:70000", "2001:db8::1:18000", "http://portico:1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
