//! What the data plane serves: a plain, immutable description with no AWS call, ARN syntax or XML in it.
//!
//! The control plane turns its state into a [`DataPlaneConfig`] after every mutation and hands it to
//! [`DataPlane::apply`](super::DataPlane::apply), or what is new of it to [`DataPlane::change`](super::DataPlane::change). Load balancers with their listeners and rules, and target groups,
//! sit behind [`Arc`]: handing over the same `Arc` (or an equal value) costs nothing for what did not change.

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc, time::Duration};

use ipnet::IpNet;

mod authentication;
mod log;
mod network;
mod options;
mod target_group;
mod tls;

pub use authentication::{Authenticate, Claim, ClaimFormat, Demand, SignIn, Token, Unauthenticated};
pub use log::{HealthCheckLog, LogKind, LogOptions, LogStream};
pub use network::{
    FlowOptions, FlowReach, IpVersion, NetworkIngress, NetworkListener, NetworkLoadBalancer, NetworkNode, NetworkProtocol, NetworkRule,
    Reach, Transport,
};
pub use options::{DataPlaneOptions, PortFallback, Timing};
pub use target_group::{
    Algorithm, HealthCheck, Matcher, ProtocolVersion, Reachability, Target, TargetGroup, TargetProtocol, TargetStickiness,
};

pub use tls::{ClientAuthentication, ClientCertificateHeaders, ClientCertificates, ServerCertificate, Tls};

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<T: Into<Arc<str>>> From<T> for $name {
            fn from(text: T) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

identifier!(
    /// Names a load balancer. Opaque to the data plane (the control plane uses the ARN).
    LoadBalancerId
);
identifier!(
    /// Names a listener. Opaque to the data plane.
    ListenerId
);
impl ListenerId {
    /// Its name in logs: what follows the last slash.
    pub fn log_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

identifier!(
    /// Names a rule, also a listener's default rule. Opaque to the data plane; request counters carry it.
    RuleId
);
identifier!(
    /// Names a target group. Opaque to the data plane.
    TargetGroupId
);
identifier!(
    /// Names one registration in a target group, unique in that group (an address may be registered with several ports).
    TargetId
);

identifier!(
    /// Names a certificate. Opaque to the data plane.
    CertificateId
);

/// Everything the data plane serves at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataPlaneConfig {
    /// Grows with every change. A configuration that is older than the one in force is ignored, so that two callers of
    /// [`apply`](super::DataPlane::apply) cannot overtake one another.
    pub revision: u64,
    /// The application load balancers. Each has an address of its own.
    pub load_balancers: Vec<Arc<LoadBalancer>>,
    /// The network load balancers. Each of their nodes has an address of its own.
    pub network_load_balancers: Vec<Arc<NetworkLoadBalancer>>,
    /// The target groups, also those that no rule refers to (their targets are `unused`).
    pub target_groups: BTreeMap<TargetGroupId, Arc<TargetGroup>>,
}

/// What is to be served otherwise than before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// As [`DataPlaneConfig::revision`].
    pub revision: u64,
    /// What is not named goes. Else it stays as it is.
    pub whole: bool,
    /// Application load balancers that come or change, and (None) that go.
    pub load_balancers: Vec<(LoadBalancerId, Option<Arc<LoadBalancer>>)>,
    /// Network load balancers that come or change, and (None) that go.
    pub network_load_balancers: Vec<(LoadBalancerId, Option<Arc<NetworkLoadBalancer>>)>,
    /// Target groups that come or change, and (None) that go.
    pub target_groups: Vec<(TargetGroupId, Option<Arc<TargetGroup>>)>,
}

impl From<DataPlaneConfig> for Changes {
    fn from(config: DataPlaneConfig) -> Self {
        Self {
            revision: config.revision,
            whole: true,
            load_balancers: config.load_balancers.into_iter().map(|balancer| (balancer.id.clone(), Some(balancer))).collect(),
            network_load_balancers: config
                .network_load_balancers
                .into_iter()
                .map(|balancer| (balancer.id.clone(), Some(balancer)))
                .collect(),
            target_groups: config.target_groups.into_iter().map(|(id, group)| (id, Some(group))).collect(),
        }
    }
}

/// An application load balancer.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadBalancer {
    /// Its id.
    pub id: LoadBalancerId,
    /// The address on which all of its listeners listen.
    pub address: IpAddr,
    /// Names of the enabled availability zones. Targets in other zones are `unused` and get no requests.
    pub zones: Vec<String>,
    /// Attributes that change how it serves.
    pub attributes: LoadBalancerAttributes,
    /// Who may reach it, from its security groups' ingress rules. Empty: nobody.
    pub ingress: Vec<IngressRule>,
    /// Its listeners, one per port.
    pub listeners: Vec<Arc<Listener>>,
}

/// Lets sources connect to a range of ports of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressRule {
    /// First port of the range.
    pub from_port: u16,
    /// Last port of the range, inclusive.
    pub to_port: u16,
    /// Allowed peer addresses.
    pub source: IpNet,
}

/// Load balancer attributes that the data plane honours; defaults are AWS's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancerAttributes {
    /// `idle_timeout.timeout_seconds`: closes a connection, to client or target, on which nothing moved for so long. AWS: 1–4000 s.
    pub idle_timeout: Duration,
    /// `client_keep_alive.seconds`: greatest age of a client connection. AWS: 60–604800 s.
    pub client_keep_alive: Duration,
    /// `routing.http.preserve_host_header.enabled`: send the client's Host header to targets unchanged.
    pub preserve_host_header: bool,
    /// `routing.http.xff_header_processing.mode`.
    pub forwarded_for: ForwardedFor,
    /// `routing.http.xff_client_port.enabled`: X-Forwarded-For entries carry the client's port.
    pub forwarded_for_client_port: bool,
    /// `routing.http.drop_invalid_header_fields.enabled`: drop request headers whose names are not `[-A-Za-z0-9]+`.
    pub drop_invalid_header_fields: bool,
    /// `routing.http.desync_mitigation_mode`.
    pub desync_mitigation: DesyncMitigation,
    /// `routing.http2.enabled`: offer HTTP/2 on HTTPS listeners. An HTTP listener never speaks HTTP/2.
    pub http2: bool,
    /// It has a web ACL.
    pub web_acl: bool,
    /// Its web ACL blocks every request.
    pub blocked: bool,
    /// `access_logs.s3.*`, `connection_logs.s3.*`.
    pub logs: LogOptions,
}

impl Default for LoadBalancerAttributes {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(60),
            client_keep_alive: Duration::from_secs(3600),
            preserve_host_header: false,
            forwarded_for: ForwardedFor::Append,
            forwarded_for_client_port: false,
            drop_invalid_header_fields: false,
            desync_mitigation: DesyncMitigation::Defensive,
            http2: true,
            web_acl: false,
            blocked: false,
            logs: LogOptions::default(),
        }
    }
}

/// What to do with the X-Forwarded-For header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedFor {
    /// Append the client's address to what the client sent.
    #[default]
    Append,
    /// Pass on what the client sent, if anything.
    Preserve,
    /// Remove the header.
    Remove,
}

/// How strict to be with requests that two HTTP parsers could read differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DesyncMitigation {
    /// Let them pass (those that the HTTP parser itself cannot read still get 400).
    Monitor,
    /// Refuse the severe ones with 400; after an ambiguous one close both connections.
    #[default]
    Defensive,
    /// Refuse every request that is not compliant with 400.
    Strictest,
}

/// A listener of a load balancer.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Its id.
    pub id: ListenerId,
    /// The port, unique in its load balancer.
    pub port: u16,
    /// Protocol towards clients.
    pub protocol: ListenerProtocol,
    /// Certificates, versions and ciphers of an HTTPS listener.
    pub tls: Option<Tls>,
    /// Attributes that change its responses.
    pub attributes: ListenerAttributes,
    /// The rules, in any order; the data plane evaluates them by ascending priority.
    pub rules: Vec<Arc<Rule>>,
    /// What happens to requests that no rule matches.
    pub default_rule: DefaultRule,
}

/// Protocol of a listener towards clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenerProtocol {
    /// HTTP/1.0 and HTTP/1.1 without TLS.
    Http,
    /// HTTP/1.0, HTTP/1.1 and HTTP/2 over TLS.
    Https,
}

impl ListenerProtocol {
    /// The scheme as X-Forwarded-Proto and `#{protocol}` show it.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL of this scheme may leave out.
    pub fn default_port(&self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Listener attributes that the data plane honours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerAttributes {
    /// `routing.http.response.server.enabled`: keep the `Server` header of responses.
    pub server_header: bool,
    /// `routing.http.response.*.header_value`: headers (name, value) set on every response of the listener, replacing what a target sent.
    pub response_headers: Vec<(String, String)>,
}

impl Default for ListenerAttributes {
    fn default() -> Self {
        Self { server_header: true, response_headers: Vec::new() }
    }
}

/// A listener rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its id.
    pub id: RuleId,
    /// Lower is evaluated first. AWS: 1–50000, unique in its listener.
    pub priority: u32,
    /// All must hold. A rule without conditions matches every request.
    pub conditions: Vec<Condition>,
    /// Rewrites applied after the rule matched. AWS: at most one of each kind.
    pub transforms: Vec<Transform>,
    /// What to do with the request.
    pub action: Action,
}

/// The rule of a listener that matches when no other does.
#[derive(Clone, Debug, PartialEq)]
pub struct DefaultRule {
    /// Its id.
    pub id: RuleId,
    /// What to do with the request.
    pub action: Action,
}

/// A condition of a rule. Its values are alternatives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `host-header`: values are globs that ignore case and cover the whole host.
    HostHeader(Patterns),
    /// `path-pattern`: values are globs, sensitive to case, that cover the whole path without the query.
    PathPattern(Patterns),
    /// `http-header`: values are globs that ignore case and cover the whole header value. Each line of a repeated header is tried.
    HttpHeader {
        /// Name of the header, any case, no wildcards.
        name: String,
        /// What its value must match.
        values: Patterns,
    },
    /// `http-request-method`: exact and sensitive to case.
    HttpRequestMethod(Vec<String>),
    /// `query-string`: holds if any pair of the query satisfies any of these.
    QueryString(Vec<QueryPattern>),
    /// `source-ip`: the peer address of the connection, never X-Forwarded-For.
    SourceIp(Vec<IpNet>),
}

/// The values of a condition: AWS allows either globs or regular expressions in one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patterns {
    /// `Values`: `*` is any run of characters, `?` exactly one. In http-header `\*`, `\?` and `\\` stand for themselves.
    Globs(Vec<String>),
    /// `RegexValues`: searched anywhere in the text unless they anchor themselves, sensitive to case (hosts are put in lower case first), Unicode off.
    Regexes(Vec<String>),
}

/// One value of a query-string condition; globs that ignore case, `\*` and `\?` stand for themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryPattern {
    /// Pattern of the key. None: any key.
    pub key: Option<String>,
    /// Pattern of the value.
    pub value: String,
}

/// A rewrite of the request before it is forwarded or redirected: the first match of `regex` is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transform {
    /// `host-header-rewrite`: of the Host header's value.
    HostHeaderRewrite(Rewrite),
    /// `url-rewrite`: of the path with `?query`.
    UrlRewrite(Rewrite),
}

/// A regular expression and what its first match becomes. No match: the text stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Regular expression, Unicode off. AWS: at most 1024 characters.
    pub regex: String,
    /// Replacement; `$1`… are groups. AWS: at most 1024 characters.
    pub replace: String,
}

/// What a rule does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send it to a target.
    Forward(Forward),
    /// Answer with a redirect.
    Redirect(Redirect),
    /// Answer with a fixed response.
    FixedResponse(FixedResponse),
    /// Ask who the client is, and then do something else.
    Authenticate(Authenticate),
}

/// Forwards to one of several target groups, chosen at random by weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The groups. AWS: 1–5.
    pub target_groups: Vec<WeightedTargetGroup>,
    /// `TargetGroupStickinessConfig`: how long a client stays with the group that it got (cookie AWSALBTG). None: disabled.
    pub stickiness: Option<Duration>,
}

/// A target group and its share of the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedTargetGroup {
    /// The group.
    pub target_group: TargetGroupId,
    /// Share, in proportion to the sum of weights. AWS: 0–999; 0 gets nothing; all 0: 503.
    pub weight: u32,
}

/// A redirect. Parts may hold `#{protocol}`, `#{host}`, `#{port}`, `#{path}` (without leading slash) and `#{query}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 301 or 302.
    pub status: u16,
    /// `HTTP`, `HTTPS` or `#{protocol}`.
    pub protocol: String,
    /// Host, default `#{host}`.
    pub host: String,
    /// Port, default `#{port}` (the listener's port).
    pub port: String,
    /// Path with leading slash, default `/#{path}`.
    pub path: String,
    /// Query without `?`, default `#{query}`. Empty: none.
    pub query: String,
}

/// A response that the load balancer makes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedResponse {
    /// 2xx, 4xx or 5xx.
    pub status: u16,
    /// Content-Type. AWS: text/plain, text/css, text/html, application/javascript or application/json.
    pub content_type: String,
    /// Body. AWS: at most 1024 characters.
    pub body: String,
}
