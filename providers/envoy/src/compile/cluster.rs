//! Clusters: a Service's port, and how it is spoken to.

use super::Compiler;
use super::listener::BUFFER;
use crate::name;
use crate::stack::Cluster;
use crate::stack::cluster::{
    CircuitBreakers, CommonLbConfig, DiscoveryType, EdsClusterConfig, ExplicitHttpConfig, LbPolicy, Thresholds, UpstreamProtocolOptions,
};
use crate::stack::core::{
    ConfigSource, DataSource, Duration, Http1ProtocolOptions, Http2ProtocolOptions, Percent, TransportSocket, UpstreamHttpProtocolOptions,
};
use crate::stack::matcher::StringMatcher;
use crate::stack::tls::{
    CertificateValidationContext, CombinedCertificateValidationContext, CommonTlsContext, SanType, SubjectAltNameMatcher,
    UpstreamTlsContext,
};
use portico_providers::{AddressFamily, AppProtocol, Authorities, BackendTlsPolicy, Binding, ServiceBackend, SubjectAltName, TargetSetId};

/// How long a connection to an endpoint may take.
const CONNECT_TIMEOUT: Duration = Duration::seconds(5);
/// The authorities that a proxy's host trusts. Envoy 1.40 does not look for them by itself; Debian, its relatives and Envoy's own images have them here.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Envoy sheds load beyond 1,024 connections, waiting requests and requests of a cluster, and beyond 3 retries, unless it is told otherwise. How much a Service takes is for the
/// Service to say: these limits only keep a proxy from drowning.
const CIRCUIT_BREAKER: u32 = 1_000_000;

impl Compiler<'_> {
    /// The name of the cluster that is a Service's port, which is made where it is not known yet.
    pub(super) fn cluster(&mut self, service: &ServiceBackend) -> String {
        let name = name::cluster(&self.plan.unit, service);
        if !self.clusters.contains_key(&name) {
            let cluster = self.new_cluster(&name, service);
            self.clusters.insert(name.clone(), cluster);
            let sink = TargetSetId(name.clone());
            let family = service.families.first().copied().unwrap_or(AddressFamily::V4);
            self.bindings.insert(sink.clone(), Binding { source: service.clone(), family, sink });
        }
        name
    }

    fn new_cluster(&mut self, name: &str, service: &ServiceBackend) -> Cluster {
        let limit = Some(CIRCUIT_BREAKER);
        let thresholds = Thresholds { max_connections: limit, max_pending_requests: limit, max_requests: limit, max_retries: limit };
        Cluster {
            name: name.to_owned(),
            r#type: DiscoveryType::Eds.into(),
            eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(ConfigSource::aggregated()), service_name: String::new() }),
            connect_timeout: Some(CONNECT_TIMEOUT),
            per_connection_buffer_limit_bytes: Some(BUFFER),
            lb_policy: LbPolicy::LeastRequest.into(),
            circuit_breakers: Some(CircuitBreakers { thresholds: vec![thresholds] }),
            transport_socket: self.upstream_tls(service),
            // An endpoint that is not ready gets no requests, however many are not.
            common_lb_config: Some(CommonLbConfig { healthy_panic_threshold: Some(Percent {}) }),
            ignore_health_on_host_removal: true,
            typed_extension_protocol_options: protocol(service)
                .map(|options| ("envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(), options.into()))
                .into_iter()
                .collect(),
        }
    }

    /// TLS towards the endpoints: as the Service's policy says, or without a check where only its appProtocol asks for TLS.
    fn upstream_tls(&mut self, service: &ServiceBackend) -> Option<TransportSocket> {
        let policy = service.tls_policy.as_ref().and_then(|key| self.policies.get(key).copied());
        if policy.is_none() && !is_tls(&service.protocol) {
            return None;
        }
        let mut common = CommonTlsContext { alpn_protocols: alpn(service), ..CommonTlsContext::default() };
        if let Some(policy) = policy {
            self.check(policy, &mut common);
        }
        let plan = self.plan;
        for gateway in &plan.gateways {
            let certificate = gateway.client_certificate.as_ref().and_then(|certificate| self.certificate(certificate));
            common.tls_certificate_sds_secret_configs.extend(certificate);
        }
        let sni = policy.map(|policy| policy.hostname.as_str().to_owned()).unwrap_or_default();
        let context = UpstreamTlsContext { common_tls_context: Some(common), sni };
        Some(TransportSocket { name: "envoy.transport_sockets.tls".into(), typed_config: Some(context.into()) })
    }

    /// How a policy wants the endpoints' certificates checked.
    fn check(&mut self, policy: &BackendTlsPolicy, common: &mut CommonTlsContext) {
        let name = |san_type: SanType, text: &str| SubjectAltNameMatcher {
            san_type: san_type.into(),
            matcher: Some(StringMatcher { ignore_case: san_type == SanType::Dns, ..StringMatcher::text(text) }),
        };
        let mut names: Vec<_> = policy
            .subject_alt_names
            .iter()
            .map(|san| match san {
                SubjectAltName::Hostname(hostname) => name(SanType::Dns, hostname.as_str()),
                SubjectAltName::Uri(uri) => name(SanType::Uri, uri),
            })
            .collect();
        if names.is_empty() {
            names.push(name(SanType::Dns, policy.hostname.as_str()));
        }
        let context = CertificateValidationContext { match_typed_subject_alt_names: names, ..CertificateValidationContext::default() };
        match &policy.authorities {
            Authorities::System => {
                let file = DataSource { filename: Some(SYSTEM_AUTHORITIES.into()), ..DataSource::default() };
                common.validation_context = Some(CertificateValidationContext { trusted_ca: Some(file), ..context });
            }
            Authorities::Bundles(bundles) => {
                common.combined_validation_context = Some(CombinedCertificateValidationContext {
                    default_validation_context: Some(context),
                    validation_context_sds_secret_config: Some(self.authorities(bundles)),
                });
            }
        }
    }
}

fn is_tls(protocol: &AppProtocol) -> bool {
    matches!(protocol, AppProtocol::Https | AppProtocol::H2 | AppProtocol::WebSocketSecure)
}

fn is_http2(protocol: &AppProtocol) -> bool {
    matches!(protocol, AppProtocol::H2c | AppProtocol::H2)
}

fn alpn(service: &ServiceBackend) -> Vec<String> {
    match &service.protocol {
        AppProtocol::Tcp | AppProtocol::Udp => Vec::new(),
        protocol if is_http2(protocol) => vec!["h2".into()],
        _ => vec!["http/1.1".into()],
    }
}

/// How HTTP is spoken; nothing for bytes and datagrams.
fn protocol(service: &ServiceBackend) -> Option<UpstreamProtocolOptions> {
    if matches!(service.protocol, AppProtocol::Tcp | AppProtocol::Udp) {
        return None;
    }
    let explicit = if is_http2(&service.protocol) {
        // As much in flight on one connection as Envoy's advice for upstreams says.
        let options = Http2ProtocolOptions {
            initial_stream_window_size: Some(64 * 1024),
            initial_connection_window_size: Some(1024 * 1024),
            ..Http2ProtocolOptions::default()
        };
        ExplicitHttpConfig { http2_protocol_options: Some(options), ..ExplicitHttpConfig::default() }
    } else {
        ExplicitHttpConfig { http_protocol_options: Some(Http1ProtocolOptions {}), ..ExplicitHttpConfig::default() }
    };
    // Without a policy the server name is the request's host.
    let auto_sni = service.tls_policy.is_none() && is_tls(&service.protocol);
    Some(UpstreamProtocolOptions {
        upstream_http_protocol_options: auto_sni.then_some(UpstreamHttpProtocolOptions { auto_sni }),
        explicit_http_config: Some(explicit),
    })
}
