//! Routes: `envoy.config.route.v3`.

use super::core::{ConfigSource, Duration, HeaderValueOption, RuntimeFractionalPercent};
use super::matcher::{RegexMatchAndSubstitute, RegexMatcher, StringMatcher};
use super::message::{enumeration, message};
use super::typed::TypedConfig;
use crate::observed::Version;
use prost::Message;

message! {
    /// `envoy.config.route.v3.RouteConfiguration`.
    RouteConfiguration {
        name: string = "1",
        virtual_hosts: messages VirtualHost = "2",
        vhds: message Vhds = "9",
        ignore_port_in_host_matching: bool = "14",
    }
}

impl RouteConfiguration {
    /// All but the virtual hosts.
    pub fn frame(&self) -> Self {
        let Self { name, virtual_hosts: _, vhds, ignore_port_in_host_matching } = self;
        Self {
            name: name.clone(),
            virtual_hosts: Vec::new(),
            vhds: vhds.clone(),
            ignore_port_in_host_matching: *ignore_port_in_host_matching,
        }
    }

    /// The version of its frame. Virtual hosts have their own.
    pub fn version(&self) -> Version {
        Version::of(&self.frame().encode_to_vec())
    }
}

message! {
    /// `envoy.config.route.v3.Vhds`: where virtual hosts come from that are told by themselves.
    Vhds {
        config_source: message ConfigSource = "1",
    }
}

message! {
    /// `envoy.config.route.v3.VirtualHost`.
    VirtualHost {
        name: string = "1",
        domains: strings = "2",
        routes: messages Route = "3",
        typed_per_filter_config: map TypedConfig = "15",
    }
}

message! {
    /// `envoy.config.route.v3.Route`.
    Route {
        name: string = "14",
        r#match: message RouteMatch = "1",
        route: message RouteAction = "2",
        redirect: message RedirectAction = "3",
        direct_response: message DirectResponseAction = "7",
        typed_per_filter_config: map TypedConfig = "13",
        request_headers_to_add: messages HeaderValueOption = "9",
        request_headers_to_remove: strings = "12",
        response_headers_to_add: messages HeaderValueOption = "10",
        response_headers_to_remove: strings = "11",
    }
}

message! {
    /// `envoy.config.route.v3.RouteMatch`.
    RouteMatch {
        prefix: optional_string = "1",
        path: optional_string = "2",
        safe_regex: message RegexMatcher = "10",
        path_separated_prefix: optional_string = "14",
        headers: messages HeaderMatcher = "6",
        query_parameters: messages QueryParameterMatcher = "7",
        grpc: message GrpcRouteMatchOptions = "8",
        runtime_fraction: message RuntimeFractionalPercent = "9",
    }
}

message! {
    /// `envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions`.
    GrpcRouteMatchOptions {}
}

message! {
    /// `envoy.config.route.v3.HeaderMatcher`.
    HeaderMatcher {
        name: string = "1",
        present_match: optional_bool = "7",
        string_match: message StringMatcher = "13",
    }
}

message! {
    /// `envoy.config.route.v3.QueryParameterMatcher`.
    QueryParameterMatcher {
        name: string = "1",
        string_match: message StringMatcher = "5",
    }
}

message! {
    /// `envoy.config.route.v3.RouteAction`.
    RouteAction {
        cluster: optional_string = "1",
        weighted_clusters: message WeightedCluster = "3",
        cluster_not_found_response_code: enumeration ClusterNotFoundResponseCode "ClusterNotFoundResponseCode" = "20",
        prefix_rewrite: string = "5",
        host_rewrite_literal: optional_string = "6",
        regex_rewrite: message RegexMatchAndSubstitute = "32",
        timeout: message Duration = "8",
        retry_policy: message RetryPolicy = "9",
        request_mirror_policies: messages RequestMirrorPolicy = "30",
    }
}

enumeration! {
    /// `envoy.config.route.v3.RouteAction.ClusterNotFoundResponseCode`.
    ClusterNotFoundResponseCode {
        /// 503.
        ServiceUnavailable = 0 "SERVICE_UNAVAILABLE",
        /// 404.
        NotFound = 1 "NOT_FOUND",
        /// 500.
        InternalServerError = 2 "INTERNAL_SERVER_ERROR",
    }
}

message! {
    /// `envoy.config.route.v3.WeightedCluster`.
    WeightedCluster {
        clusters: messages ClusterWeight = "1",
    }
}

message! {
    /// `envoy.config.route.v3.WeightedCluster.ClusterWeight`.
    ClusterWeight {
        name: string = "1",
        weight: uint32_value = "2",
        request_headers_to_add: messages HeaderValueOption = "4",
        request_headers_to_remove: strings = "9",
        response_headers_to_add: messages HeaderValueOption = "5",
        response_headers_to_remove: strings = "6",
    }
}

message! {
    /// `envoy.config.route.v3.RouteAction.RequestMirrorPolicy`.
    RequestMirrorPolicy {
        cluster: string = "1",
        runtime_fraction: message RuntimeFractionalPercent = "3",
        disable_shadow_host_suffix_append: bool = "6",
    }
}

message! {
    /// `envoy.config.route.v3.RetryPolicy`.
    RetryPolicy {
        retry_on: string = "1",
        num_retries: uint32_value = "2",
        per_try_timeout: message Duration = "3",
        retry_host_predicate: messages RetryHostPredicate = "5",
        host_selection_retry_max_attempts: int64 = "6",
        retriable_status_codes: uint32s = "7",
        retry_back_off: message RetryBackOff = "8",
    }
}

message! {
    /// `envoy.config.route.v3.RetryPolicy.RetryBackOff`.
    RetryBackOff {
        base_interval: message Duration = "1",
        max_interval: message Duration = "2",
    }
}

message! {
    /// `envoy.config.route.v3.RetryPolicy.RetryHostPredicate`.
    RetryHostPredicate {
        name: string = "1",
        typed_config: message TypedConfig = "3",
    }
}

message! {
    /// `envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate`.
    PreviousHostsPredicate {}
}

message! {
    /// `envoy.config.route.v3.RedirectAction`.
    RedirectAction {
        host_redirect: string = "1",
        path_redirect: optional_string = "2",
        response_code: enumeration RedirectResponseCode "RedirectResponseCode" = "3",
        prefix_rewrite: optional_string = "5",
        scheme_redirect: optional_string = "7",
        port_redirect: uint32 = "8",
        regex_rewrite: message RegexMatchAndSubstitute = "9",
    }
}

enumeration! {
    /// `envoy.config.route.v3.RedirectAction.RedirectResponseCode`.
    RedirectResponseCode {
        /// 301.
        MovedPermanently = 0 "MOVED_PERMANENTLY",
        /// 302.
        Found = 1 "FOUND",
        /// 303.
        SeeOther = 2 "SEE_OTHER",
        /// 307.
        TemporaryRedirect = 3 "TEMPORARY_REDIRECT",
        /// 308.
        PermanentRedirect = 4 "PERMANENT_REDIRECT",
    }
}

message! {
    /// `envoy.config.route.v3.DirectResponseAction`.
    DirectResponseAction {
        status: uint32 = "1",
    }
}
