//! Logs of load balancers: which are kept, and where each goes.

use std::{net::IpAddr, sync::Arc};

/// The logs that a load balancer keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// The load balancer's name in entries, its resource id: `app/NAME/ID`.
    pub load_balancer: String,
    /// Its DNS name, which entries of requests without a host show.
    pub dns_name: String,
    /// `access_logs.s3.*`: one entry for each request; of a network load balancer, for each connection with TLS. None: disabled.
    pub access: Option<Arc<LogStream>>,
    /// `connection_logs.s3.*`: one entry for each connection. None: disabled.
    pub connections: Option<Arc<LogStream>>,
}

/// One log of one load balancer, with the place to which its entries go. Entries go where the configuration said when they were made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogStream {
    /// Its kind.
    pub kind: LogKind,
    /// The load balancer's name in entries.
    pub load_balancer: String,
    /// The bucket. Opaque to the data plane.
    pub bucket: String,
    /// The prefix of keys. Opaque to the data plane.
    pub prefix: String,
}

/// The kinds of logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogKind {
    /// Requests; of network load balancers, connections with TLS.
    Access,
    /// Connections.
    Connections,
    /// Health checks.
    HealthChecks,
}

/// The log of a target group's health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheckLog {
    /// Where entries go.
    pub stream: Arc<LogStream>,
    /// The target group's name in entries.
    pub target_group: String,
    /// The address of the node that checks.
    pub node: IpAddr,
}
