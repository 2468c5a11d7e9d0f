//! The data plane: sockets, routing, proxying and health checks of the embedded load balancers.
//!
//! It is a function of a [`config::DataPlaneConfig`], swapped as a whole between two requests. It knows nothing of AWS calls.

use std::net::{IpAddr, SocketAddr};

pub mod config;
pub mod health;

use config::{DataPlaneConfig, DataPlaneOptions, ListenerId, LoadBalancerId, RuleId, TargetGroupId};
use health::HealthBoard;

/// The running data plane. Clones share it.
#[derive(Clone, Debug)]
pub struct DataPlane {}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundListener {
    /// Its load balancer.
    pub load_balancer: LoadBalancerId,
    /// The listener.
    pub listener: ListenerId,
    /// The load balancer's address.
    pub address: IpAddr,
    /// The port that the configuration asks for.
    pub port: u16,
    /// Where it really listens (a stand-in port differs from `port`), or why it does not.
    pub bound: Result<SocketAddr, String>,
}

/// Requests served since the start, in the order of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Per rule (default rules too): requests that it decided.
    pub rules: Vec<(RuleId, u64)>,
    /// Per target group: requests sent to one of its targets.
    pub target_groups: Vec<(TargetGroupId, u64)>,
}

impl DataPlane {
    /// A data plane that serves nothing yet. Needs no runtime; [`apply`](Self::apply) does.
    pub fn new(_options: DataPlaneOptions) -> Self {
        Self {}
    }

    /// Puts a configuration in force: when it returns, sockets follow it and the next request on every connection, new or kept alive, is
    /// served by it. An older revision than the one in force is ignored. Never fails: what cannot be bound is reported by [`bound`](Self::bound).
    pub async fn apply(&self, _config: DataPlaneConfig) {}

    /// The health of all targets, as DescribeTargetHealth shows it; a shared board that follows the probes.
    pub fn health(&self) -> HealthBoard {
        HealthBoard::default()
    }

    /// Where the listeners of the configuration in force listen, by load balancer and port.
    pub fn bound(&self) -> Vec<BoundListener> {
        Vec::new()
    }

    /// Request counters of rules and target groups in the configuration in force.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }

    /// Closes sockets, lets requests in flight finish for a short while, ends all tasks.
    pub async fn shutdown(&self) {}
}
