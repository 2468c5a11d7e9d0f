//! Settings of a data plane that do not change while it runs.

use std::time::Duration;

/// Settings of a data plane that do not change while it runs.
#[derive(Clone, Debug, Default)]
pub struct DataPlaneOptions {
    /// What to do when a listener's port cannot be bound.
    pub port_fallback: PortFallback,
    /// Times that AWS fixes, and their compression.
    pub timing: Timing,
    /// Seed of every random choice (weights, weighted_random). None: from the operating system.
    pub seed: Option<u64>,
}

/// What to do when a listener's port cannot be bound (not permitted, or taken).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortFallback {
    /// Report the error; the listener does not serve.
    Refuse,
    /// Listen on the first free port from `port + offset` on, and report which.
    StandIn {
        /// Distance of the first candidate: 8000 makes 80 into 8080 and 443 into 8443.
        offset: u16,
    },
}

impl Default for PortFallback {
    fn default() -> Self {
        Self::StandIn { offset: 8000 }
    }
}

/// Times that AWS fixes, and their compression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Factor on health check intervals and timeouts; 0.01 makes an interval of 30 s into 300 ms. 0: as fast as is useful.
    pub health_check_scale: f64,
    /// How long connecting to a target may take. AWS: 10 s.
    pub connect_timeout: Duration,
    /// Factor on idle timeout and client keep-alive. Default 1.
    pub idle_scale: f64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { health_check_scale: 0.01, connect_timeout: Duration::from_secs(10), idle_scale: 1.0 }
    }
}
