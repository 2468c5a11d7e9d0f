//! The HTTP connection manager and its filters.

use super::core::{
    ConfigSource, Duration, GrpcService, Http2ProtocolOptions, HttpProtocolOptions, HttpUri, RuntimeFractionalPercent, TypedExtensionConfig,
};
use super::listener::AccessLog;
use super::matcher::{ListStringMatcher, RegexMatcher, StringMatcher};
use super::message::{enumeration, message};
use super::typed::TypedConfig;

message! {
    /// `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`.
    HttpConnectionManager {
        stat_prefix: string = "2",
        rds: message Rds = "3",
        http_filters: messages HttpFilter = "5",
        http2_protocol_options: message Http2ProtocolOptions = "9",
        drain_timeout: message Duration = "12",
        access_log: messages AccessLog = "13",
        use_remote_address: bool_value = "14",
        xff_num_trusted_hops: uint32 = "19",
        upgrade_configs: messages UpgradeConfig = "23",
        internal_address_config: message InternalAddressConfig = "25",
        normalize_path: bool_value = "30",
        preserve_external_request_id: bool = "32",
        server_header_transformation: enumeration ServerHeaderTransformation "ServerHeaderTransformation" = "34",
        common_http_protocol_options: message HttpProtocolOptions = "35",
        request_headers_timeout: message Duration = "41",
    }
}

message! {
    /// `envoy.extensions.filters.network.http_connection_manager.v3.Rds`.
    Rds {
        config_source: message ConfigSource = "1",
        route_config_name: string = "2",
    }
}

message! {
    /// `envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter`.
    HttpFilter {
        name: string = "1",
        typed_config: message TypedConfig = "4",
        disabled: bool = "7",
    }
}

message! {
    /// `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig`.
    UpgradeConfig {
        upgrade_type: string = "1",
    }
}

message! {
    /// `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.InternalAddressConfig`.
    InternalAddressConfig {
        cidr_ranges: messages CidrRange = "2",
    }
}

message! {
    /// `envoy.config.core.v3.CidrRange`.
    CidrRange {
        address_prefix: string = "1",
        prefix_len: uint32_value = "2",
    }
}

enumeration! {
    /// `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.ServerHeaderTransformation`.
    ServerHeaderTransformation {
        /// `server: envoy`.
        Overwrite = 0 "OVERWRITE",
        /// The backend's own.
        PassThrough = 2 "PASS_THROUGH",
    }
}

message! {
    /// `envoy.extensions.filters.http.router.v3.Router`.
    Router {
        suppress_envoy_headers: bool = "4",
    }
}

message! {
    /// `envoy.extensions.filters.http.cors.v3.Cors`.
    Cors {}
}

message! {
    /// `envoy.extensions.filters.http.cors.v3.CorsPolicy`.
    CorsPolicy {
        allow_origin_string_match: messages StringMatcher = "1",
        allow_methods: string = "2",
        allow_headers: string = "3",
        expose_headers: string = "4",
        max_age: string = "5",
        allow_credentials: bool_value = "6",
        filter_enabled: message RuntimeFractionalPercent = "7",
        forward_not_matching_preflights: bool_value = "10",
    }
}

message! {
    /// `envoy.extensions.filters.http.stateful_session.v3.StatefulSession`.
    StatefulSession {
        session_state: message TypedExtensionConfig = "1",
    }
}

message! {
    /// `envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute`.
    StatefulSessionPerRoute {
        stateful_session: message StatefulSession = "2",
    }
}

message! {
    /// `envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState`.
    CookieBasedSessionState {
        cookie: message SessionCookie = "1",
    }
}

message! {
    /// `envoy.type.http.v3.Cookie`.
    SessionCookie {
        name: string = "1",
        ttl: message Duration = "2",
        path: string = "3",
    }
}

message! {
    /// `envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState`.
    HeaderBasedSessionState {
        name: string = "1",
    }
}

message! {
    /// `envoy.extensions.filters.http.ext_authz.v3.ExtAuthz`.
    ExtAuthz {
        grpc_service: message GrpcService = "1",
        http_service: message HttpService = "3",
        with_request_body: message BufferSettings = "5",
        clear_route_cache: bool = "6",
        transport_api_version: enumeration TransportApiVersion "TransportApiVersion" = "12",
        allowed_headers: message ListStringMatcher = "17",
        decoder_header_mutation_rules: message HeaderMutationRules = "26",
    }
}

message! {
    /// `envoy.config.common.mutation_rules.v3.HeaderMutationRules`: which headers may be changed. Never the host, the method and the scheme, unless more is said.
    HeaderMutationRules {
        disallow_expression: message RegexMatcher = "6",
    }
}

enumeration! {
    /// `envoy.config.core.v3.ApiVersion`, of ext_authz.
    TransportApiVersion {
        /// Not said.
        Auto = 0 "AUTO",
        /// The one that there is.
        V3 = 2 "V3",
    }
}

message! {
    /// `envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute`.
    ExtAuthzPerRoute {
        disabled: bool = "1",
        check_settings: message CheckSettings = "2",
    }
}

message! {
    /// `envoy.extensions.filters.http.ext_authz.v3.CheckSettings`.
    CheckSettings {
        disable_request_body_buffering: bool = "2",
        with_request_body: message BufferSettings = "3",
        grpc_service: message GrpcService = "4",
        http_service: message HttpService = "5",
    }
}

message! {
    /// `envoy.extensions.filters.http.ext_authz.v3.BufferSettings`.
    BufferSettings {
        max_request_bytes: uint32 = "1",
        allow_partial_message: bool = "2",
    }
}

message! {
    /// `envoy.extensions.filters.http.ext_authz.v3.HttpService`.
    HttpService {
        server_uri: message HttpUri = "1",
        path_prefix: string = "2",
        authorization_request: message AuthorizationRequest = "7",
        authorization_response: message AuthorizationResponse = "8",
    }
}

message! {
    /// `envoy.extensions.filters.http.ext_authz.v3.AuthorizationRequest`.
    AuthorizationRequest {
        allowed_headers: message ListStringMatcher = "1",
    }
}

message! {
    /// `envoy.extensions.filters.http.ext_authz.v3.AuthorizationResponse`.
    AuthorizationResponse {
        allowed_upstream_headers: message ListStringMatcher = "1",
    }
}
