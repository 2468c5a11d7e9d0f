//! Target groups, their targets and their health checks.

use std::{net::IpAddr, sync::Arc, time::Duration};

#[cfg(doc)]
use super::Timing;
use super::{FlowOptions, FlowReach, HealthCheckLog, TargetGroupId, TargetId};

/// A target group.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetGroup {
    /// Its id.
    pub id: TargetGroupId,
    /// Protocol towards targets.
    pub protocol: TargetProtocol,
    /// HTTP version towards targets.
    pub version: ProtocolVersion,
    /// How its targets are checked.
    pub health_check: HealthCheck,
    /// How a target is picked.
    pub algorithm: Algorithm,
    /// Keeps a client with its target.
    pub stickiness: Option<TargetStickiness>,
    /// Whether nodes send to targets of all zones. Only network load balancers have nodes in zones; an application load balancer has one
    /// node here, which serves them all.
    pub cross_zone: bool,
    /// `target_group_health.unhealthy_state_routing.minimum_healthy_targets.count`: with fewer healthy targets, all of them get requests
    /// (fail-open). Default 1.
    pub minimum_healthy_count: u32,
    /// `…minimum_healthy_targets.percentage`, 1–100. None: off.
    pub minimum_healthy_percentage: Option<u8>,
    /// How flows of a network load balancer are forwarded.
    pub flows: FlowOptions,
    /// `slow_start.duration_seconds`: a target that became healthy gets a share that grows linearly for so long. Zero: off.
    pub slow_start: Duration,
    /// The registered targets, with those that are being deregistered.
    pub targets: Vec<Target>,
}

/// Protocol towards targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetProtocol {
    /// Without TLS.
    Http,
    /// TLS; the target's certificate is not validated.
    Https,
    /// Of network load balancers: the bytes as they come. A health check only connects.
    Tcp,
    /// Of network load balancers: the bytes over TLS; the target's certificate is not validated.
    Tls,
}

/// HTTP version towards targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProtocolVersion {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS with prior knowledge. Clients that speak HTTP/1.1 get 464.
    Http2,
    /// gRPC over HTTP/2. Clients that speak HTTP/1.1 get 464.
    Grpc,
}

/// How a target is picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// In turn.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastOutstandingRequests,
    /// At random.
    WeightedRandom,
}

/// Keeps a client with its target by a cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetStickiness {
    /// `lb_cookie`: cookies AWSALB and AWSALBCORS.
    LoadBalancerCookie {
        /// How long after the latest response the cookie holds. AWS: 1–604800 s.
        duration: Duration,
    },
    /// `app_cookie`: cookie AWSALBAPP-0, set when the target's response sets the named cookie.
    ApplicationCookie {
        /// Name of the application's cookie.
        name: String,
        /// How long after the latest response the cookie holds. AWS: 1–604800 s.
        duration: Duration,
    },
}

/// A registered target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its id.
    pub id: TargetId,
    /// Address that requests go to.
    pub address: IpAddr,
    /// Port that requests go to.
    pub port: u16,
    /// Its availability zone; None: outside of the VPC (`all`).
    pub zone: Option<String>,
    /// Whether packets from the load balancer arrive at its port.
    pub reachability: Reachability,
    /// Whose packets arrive at its port through a network load balancer.
    pub flow_reach: Arc<FlowReach>,
    /// Whether they arrive at the port of its health check.
    pub check_reachability: Reachability,
    /// Being deregistered: gets no new requests.
    pub draining: bool,
}

/// Whether packets from the load balancer arrive at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// They do.
    Allowed,
    /// Security groups drop them: connecting waits out the connect timeout (504); health checks time out.
    Blocked,
}

/// How targets are checked. Times are AWS's; [`Timing::health_check_scale`] compresses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// False: every target is `unavailable` (Target.HealthCheckDisabled) and gets requests.
    pub enabled: bool,
    /// Protocol of the probe.
    pub protocol: TargetProtocol,
    /// Port; None is `traffic-port`.
    pub port: Option<u16>,
    /// Path. Default `/`.
    pub path: String,
    /// Time between probes. AWS: 5–300 s, default 30 s.
    pub interval: Duration,
    /// How long a probe waits for its answer. AWS: 2–120 s, default 5 s.
    pub timeout: Duration,
    /// Successes in a row that make an unhealthy target healthy. AWS: 2–10, default 5. A new target needs one.
    pub healthy_threshold: u32,
    /// Failures in a row that make a target unhealthy. AWS: 2–10, default 2.
    pub unhealthy_threshold: u32,
    /// Codes that mean success.
    pub matcher: Matcher,
    /// The address from which to probe, if that is possible here. None: any.
    pub source: Option<IpAddr>,
    /// The Host header of HTTP probes. None: the target's address and port.
    pub host: Option<String>,
    /// Whether probes begin with a header of the proxy protocol that names no client.
    pub proxy_protocol: bool,
    /// Whether an unhealthy target's reason is always Target.FailedHealthChecks, as behind network load balancers.
    pub coarse: bool,
    /// For how long a target that becomes unhealthy is `unhealthy.draining` first.
    pub unhealthy_draining: Duration,
    /// `health_check_logs.s3.*` of the load balancer. None: disabled.
    pub log: Option<HealthCheckLog>,
}

impl Default for HealthCheck {
    /// AWS's defaults for HTTP.
    fn default() -> Self {
        Self {
            enabled: true,
            protocol: TargetProtocol::Http,
            port: None,
            path: "/".into(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: Matcher::Http("200".into()),
            source: None,
            host: None,
            proxy_protocol: false,
            coarse: false,
            unhealthy_draining: Duration::ZERO,
            log: None,
        }
    }
}

/// Codes that mean success: lists and ranges, such as `200,202` or `200-299`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matcher {
    /// HTTP status codes. AWS: 200–499, default `200`.
    Http(String),
    /// gRPC status codes. AWS: 0–99, default `12`.
    Grpc(String),
}
