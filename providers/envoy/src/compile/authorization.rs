//! External authorization.

use super::Compiler;
use super::route::Place;
use crate::stack::TypedConfig;
use crate::stack::core::{Duration, EnvoyGrpc, GrpcService, HttpUri};
use crate::stack::http::{
    AuthorizationRequest, AuthorizationResponse, BufferSettings, CheckSettings, ExtAuthz, ExtAuthzPerRoute, HeaderMutationRules,
    HttpService, TransportApiVersion,
};
use crate::stack::matcher::{ListStringMatcher, RegexMatcher, StringMatcher};
use portico_providers::{AppProtocol, Backend, ExternalAuth, ExternalAuthProtocol, ServiceBackend, stable_hash};
use std::collections::BTreeMap;

/// Name of the HTTP filter; the name of one in a connection manager says besides for whom it works and how it is set.
const FILTER: &str = "envoy.filters.http.ext_authz";
/// Whoever is asked must answer within this time; otherwise the request is refused.
const PATIENCE: Duration = Duration::seconds(5);

/// What no answer may change of a request: its body is not the service's, and neither is the connection. (RFC 9110, sections 6.4 and 7.6.1.) Envoy itself keeps the host, the
/// method and the scheme.
const FRAMING: &str = "connection|content-length|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade";

/// Who asks. A listener does so before any route is chosen, by its filters in their order: this is the index of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Listener(usize),
    Route,
}

/// The authorization filters that a connection manager needs, by name and in order.
#[derive(Debug, Default)]
pub(super) struct Authorizations {
    /// Those of listeners. Answers count for the choice of the route.
    pub listeners: BTreeMap<String, ExtAuthz>,
    /// Those of routes.
    pub routes: BTreeMap<String, ExtAuthz>,
}

impl Authorizations {
    /// Whether a request may get another route than the one that was looked up first. Envoy leaves out the filters that the first one has no use for; then those of routes must all
    /// be there.
    pub fn change_routes(&self) -> bool {
        !self.listeners.is_empty() && !self.routes.is_empty()
    }

    /// What keeps the filters of routes from asking where no route wants it.
    pub fn off(&self) -> impl Iterator<Item = (String, TypedConfig)> {
        self.routes.keys().map(|name| (name.clone(), ExtAuthzPerRoute { disabled: true, ..ExtAuthzPerRoute::default() }.into()))
    }
}

impl Compiler<'_> {
    /// The name of the filter that asks, which the connection manager is given at the place, and what switches it on for a route; nothing if there is nobody to ask.
    ///
    /// A connection manager has one filter for each way to ask, and all are off where no route wants them: Envoy has no way to choose the headers that are sent by route.
    pub(super) fn authorization(&mut self, filter: &ExternalAuth, scope: Scope, place: &Place<'_>) -> Option<(String, TypedConfig)> {
        let Backend::Service(service) = &filter.backend else { return None };
        let (protocol, allowed) = match &filter.protocol {
            // Envoy's protocol is gRPC, which needs HTTP/2 whatever the Service says.
            ExternalAuthProtocol::Grpc { allowed_headers } => (grpc(service.protocol.clone()), allowed_headers),
            ExternalAuthProtocol::Http { allowed_headers, .. } => (service.protocol.clone(), allowed_headers),
        };
        let cluster = self.cluster(&ServiceBackend { protocol, ..service.clone() });
        let mut asking = ExtAuthz {
            transport_api_version: TransportApiVersion::V3.into(),
            allowed_headers: list(allowed),
            with_request_body: body(filter),
            clear_route_cache: scope != Scope::Route,
            decoder_header_mutation_rules: Some(HeaderMutationRules { disallow_expression: Some(RegexMatcher { regex: FRAMING.into() }) }),
            ..ExtAuthz::default()
        };
        match &filter.protocol {
            ExternalAuthProtocol::Grpc { .. } => {
                // Otherwise it would be the cluster's name, which is no authority: many servers refuse it.
                let envoy_grpc = EnvoyGrpc { cluster_name: cluster, authority: authority(service) };
                asking.grpc_service = Some(GrpcService { envoy_grpc: Some(envoy_grpc), timeout: Some(PATIENCE) });
            }
            ExternalAuthProtocol::Http { path, allowed_response_headers, .. } => {
                asking.http_service = Some(HttpService {
                    server_uri: Some(HttpUri {
                        uri: format!("http://{}", authority(service)),
                        cluster: Some(cluster),
                        timeout: Some(PATIENCE),
                    }),
                    path_prefix: path.clone().unwrap_or_default(),
                    authorization_request: None::<AuthorizationRequest>,
                    authorization_response: Some(AuthorizationResponse {
                        allowed_upstream_headers: Some(list(allowed_response_headers).unwrap_or_else(every_header)),
                    }),
                });
            }
        }
        let text = serde_json::to_string(&asking).unwrap_or_default();
        let hash = stable_hash(&[&text], 10);
        let mut all = place.authorizations.borrow_mut();
        let (name, filters) = match scope {
            // (Gateway API: 16 filters of a listener.)
            Scope::Listener(index) => (format!("{FILTER}/listener/{index:02}/{hash}"), &mut all.listeners),
            Scope::Route => (format!("{FILTER}/route/{hash}"), &mut all.routes),
        };
        filters.insert(name.clone(), asking);
        let settings = CheckSettings { with_request_body: body(filter), ..CheckSettings::default() };
        Some((name, ExtAuthzPerRoute { check_settings: Some(settings), ..ExtAuthzPerRoute::default() }.into()))
    }
}

/// The Service as whoever asks it calls it.
fn authority(service: &ServiceBackend) -> String {
    format!("{}.{}:{}", service.service.name, service.service.namespace, service.port)
}

fn grpc(protocol: AppProtocol) -> AppProtocol {
    match protocol {
        AppProtocol::Https | AppProtocol::H2 | AppProtocol::WebSocketSecure => AppProtocol::H2,
        _ => AppProtocol::H2c,
    }
}

fn body(filter: &ExternalAuth) -> Option<BufferSettings> {
    let settings = BufferSettings { max_request_bytes: filter.forward_body_bytes, allow_partial_message: true };
    (filter.forward_body_bytes > 0).then_some(settings)
}

/// All headers of an answer, but for what stands in its first line.
fn every_header() -> ListStringMatcher {
    let regex = RegexMatcher { regex: "[^:].*".into() };
    ListStringMatcher { patterns: vec![StringMatcher { safe_regex: Some(regex), ..StringMatcher::default() }] }
}

/// Names of headers, in any case.
fn list(names: &[String]) -> Option<ListStringMatcher> {
    let matcher = |name: &String| StringMatcher { ignore_case: true, ..StringMatcher::text(name.clone()) };
    (!names.is_empty()).then(|| ListStringMatcher { patterns: names.iter().map(matcher).collect() })
}
