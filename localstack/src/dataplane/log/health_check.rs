//! Entries of health check logs. Source: AWS, "Health check logs" of application load balancers.

use std::{
    fmt::{self, Display},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use jiff::Timestamp;

use super::{Or, moment};

/// A health check of a target.
#[derive(Clone, Debug)]
pub(in super::super) struct HealthCheckEntry<'a> {
    /// `http`, `https`, `h2` or `grpc`.
    pub(in super::super) kind: &'static str,
    /// When it began.
    pub(in super::super) time: Timestamp,
    pub(in super::super) latency: Duration,
    pub(in super::super) target: SocketAddr,
    pub(in super::super) target_group: &'a str,
    /// The code of the target's answer, if there was one.
    pub(in super::super) code: Option<u32>,
    pub(in super::super) outcome: Outcome,
    pub(in super::super) load_balancer: &'a str,
    pub(in super::super) node: IpAddr,
}

/// How a health check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Outcome {
    Pass,
    /// With the reason's code.
    Fail(&'static str),
}

impl Display for HealthCheckEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (status, reason) = match self.outcome {
            Outcome::Pass => ("PASS", None),
            Outcome::Fail(reason) => ("FAIL", Some(reason)),
        };
        write!(f, "{} {} {:.9}", self.kind, moment(self.time), self.latency.as_secs_f64())?;
        write!(f, " {} {} {status} {} {}", self.target, self.target_group, Or(self.code), Or(reason))?;
        write!(f, " {} {}", self.load_balancer, self.node)
    }
}

/// The lines of "Example log entries", behind which the fields 9 and 10 follow that were added since.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_those_of_the_user_guide() {
        let passed = HealthCheckEntry {
            kind: "http",
            time: "2025-10-31T12:44:59.875678Z".parse().unwrap(),
            latency: Duration::from_nanos(19_584_011),
            target: "172.31.20.97:80".parse().unwrap(),
            target_group: "HCLogsTestIPs",
            code: Some(200),
            outcome: Outcome::Pass,
            load_balancer: "app/my-loadbalancer/1234567890abcdef",
            node: "172.31.1.1".parse().unwrap(),
        };
        assert_eq!(
            passed.to_string(),
            "http 2025-10-31T12:44:59.875678Z 0.019584011 172.31.20.97:80 HCLogsTestIPs PASS 200 - app/my-loadbalancer/1234567890abcdef 172.31.1.1"
        );
        let failed = HealthCheckEntry {
            time: "2025-10-31T12:44:58.901409Z".parse().unwrap(),
            latency: Duration::from_nanos(1_121_980_746),
            target: "172.31.31.9:80".parse().unwrap(),
            code: Some(502),
            outcome: Outcome::Fail("TargetError"),
            ..passed
        };
        assert_eq!(
            failed.to_string(),
            "http 2025-10-31T12:44:58.901409Z 1.121980746 172.31.31.9:80 HCLogsTestIPs FAIL 502 TargetError app/my-loadbalancer/1234567890abcdef 172.31.1.1"
        );
    }
}
