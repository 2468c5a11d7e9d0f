//! HTTP connection managers: how requests are read, before any route is looked at.

use super::authorization::Authorizations;
use super::{Compiler, cors, session};
use crate::stack::TypedConfig;
use crate::stack::core::{ConfigSource, Duration, Http2ProtocolOptions, HttpProtocolOptions};
use crate::stack::http::{
    CidrRange, Cors, ExtAuthz, HttpConnectionManager, HttpFilter, InternalAddressConfig, Rds, Router, ServerHeaderTransformation,
    StatefulSession, UpgradeConfig,
};
use crate::stack::listener::Filter;
use portico_providers::{Ingress, PlanPort};

impl Compiler<'_> {
    /// The network filter that reads HTTP and routes it by a route configuration.
    ///
    /// Filters are always the same, whatever the routes need, except for authorization: a connection manager that changes closes its clients' connections, if gently.
    pub(super) fn connection_manager(&self, port: &PlanPort, routes: &str, authorizations: Authorizations) -> Filter {
        let by_routes = !authorizations.change_routes();
        let asked = |(name, asking): (String, ExtAuthz), disabled: bool| HttpFilter { disabled, ..filter(&name, asking.into()) };
        // What a listener asks comes before everything that depends on routes.
        let mut http_filters: Vec<HttpFilter> = authorizations.listeners.into_iter().map(|it| asked(it, true)).collect();
        http_filters.push(filter(cors::FILTER, Cors {}.into()));
        http_filters.extend(authorizations.routes.into_iter().map(|it| asked(it, by_routes)));
        http_filters.push(filter(session::FILTER, StatefulSession::default().into()));
        // Requests and answers pass as they are, without `x-envoy-…` headers.
        http_filters.push(filter("envoy.filters.http.router", Router { suppress_envoy_headers: true }.into()));
        let manager = HttpConnectionManager {
            stat_prefix: routes.to_owned(),
            rds: Some(Rds { config_source: Some(ConfigSource::aggregated()), route_config_name: routes.to_owned() }),
            http_filters,
            drain_timeout: Some(Duration::seconds(self.settings.drain_seconds)),
            access_log: self.access_log(),
            // The client is who connects, or who the trusted proxies in front say; nobody outside is trusted with `x-envoy-…` headers.
            use_remote_address: Some(true),
            xff_num_trusted_hops: trusted_hops(port),
            internal_address_config: Some(nobody()),
            preserve_external_request_id: true,
            server_header_transformation: ServerHeaderTransformation::PassThrough.into(),
            // Rules and backends must see the same path: dot segments are resolved before any rule is tried (RFC 3986). Slashes are left as they are, `//` and
            // `%2F` alike, since they may mean something.
            normalize_path: Some(true),
            upgrade_configs: vec![UpgradeConfig { upgrade_type: "websocket".into() }],
            // Envoy's own advice for proxies at the edge (configuring Envoy as an edge proxy); `allow_connect` lets WebSockets through HTTP/2 (RFC 8441).
            http2_protocol_options: Some(Http2ProtocolOptions {
                max_concurrent_streams: Some(100),
                initial_stream_window_size: Some(64 * 1024),
                initial_connection_window_size: Some(1024 * 1024),
                allow_connect: true,
            }),
            common_http_protocol_options: Some(HttpProtocolOptions { idle_timeout: Some(Duration::seconds(3600)) }),
            request_headers_timeout: Some(Duration::seconds(60)),
        };
        Filter { name: "envoy.filters.network.http_connection_manager".into(), typed_config: Some(manager.into()) }
    }
}

fn filter(name: &str, config: TypedConfig) -> HttpFilter {
    HttpFilter { name: name.to_owned(), typed_config: Some(config), disabled: false }
}

/// No client is trusted with `x-envoy-…` headers. Envoy takes an empty list for one that holds everybody, so that it names what nobody sends from.
fn nobody() -> InternalAddressConfig {
    let broadcast = CidrRange { address_prefix: "255.255.255.255".into(), prefix_len: Some(32) };
    InternalAddressConfig { cidr_ranges: vec![broadcast] }
}

/// How many addresses at the end of X-Forwarded-For proxies in front have written, at the listener of the port that has most of them in front.
fn trusted_hops(port: &PlanPort) -> u32 {
    let hops = port.listeners.iter().map(|listener| match listener.ingress {
        Ingress::Direct => 0,
        Ingress::Behind { trusted_hops, .. } => trusted_hops,
    });
    hops.max().unwrap_or_default()
}
