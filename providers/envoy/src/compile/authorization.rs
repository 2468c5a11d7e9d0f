//! External authorization.

use super::Compiler;
use super::route::Place;
use crate::stack::TypedConfig;
use crate::stack::core::{Duration, EnvoyGrpc, GrpcService, HttpUri};
use crate::stack::http::{
    AuthorizationRequest, AuthorizationResponse, BufferSettings, CheckSettings, ExtAuthz, ExtAuthzPerRoute, HttpService,
    TransportApiVersion,
};
use crate::stack::matcher::{ListStringMatcher, StringMatcher};
use portico_providers::{AppProtocol, Backend, ExternalAuth, ExternalAuthProtocol, ServiceBackend, stable_hash};

/// Name of the HTTP filter; the name of one in a connection manager says besides for whom it works and how it is set.
const FILTER: &str = "envoy.filters.http.ext_authz";
/// Whoever is asked must answer within this time; otherwise the request is refused.
const PATIENCE: Duration = Duration::seconds(5);

/// Who asks. The listener does so before any route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Listener,
    Route,
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
            ..ExtAuthz::default()
        };
        match &filter.protocol {
            ExternalAuthProtocol::Grpc { .. } => {
                let envoy_grpc = EnvoyGrpc { cluster_name: cluster, ..EnvoyGrpc::default() };
                asking.grpc_service = Some(GrpcService { envoy_grpc: Some(envoy_grpc), timeout: Some(PATIENCE) });
            }
            ExternalAuthProtocol::Http { path, allowed_response_headers, .. } => {
                asking.http_service = Some(HttpService {
                    server_uri: Some(HttpUri {
                        uri: format!("http://{}.{}:{}", service.service.name, service.service.namespace, service.port),
                        cluster: Some(cluster),
                        timeout: Some(PATIENCE),
                    }),
                    path_prefix: path.clone().unwrap_or_default(),
                    authorization_request: None::<AuthorizationRequest>,
                    authorization_response: list(allowed_response_headers)
                        .map(|list| AuthorizationResponse { allowed_upstream_headers: Some(list) }),
                });
            }
        }
        let text = serde_json::to_string(&asking).unwrap_or_default();
        let first = if scope == Scope::Listener { "listener" } else { "route" };
        let name = format!("{FILTER}/{first}/{}", stable_hash(&[&text], 10));
        place.authorizations.borrow_mut().insert(name.clone(), asking);
        let settings = CheckSettings { with_request_body: body(filter), ..CheckSettings::default() };
        Some((name, ExtAuthzPerRoute { check_settings: Some(settings) }.into()))
    }
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

/// Names of headers, in any case.
fn list(names: &[String]) -> Option<ListStringMatcher> {
    let matcher = |name: &String| StringMatcher { ignore_case: true, ..StringMatcher::text(name.clone()) };
    (!names.is_empty()).then(|| ListStringMatcher { patterns: names.iter().map(matcher).collect() })
}
