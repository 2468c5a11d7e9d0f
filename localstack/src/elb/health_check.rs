//! Health checks of target groups: settings, defaults and ranges.

use serde::{Deserialize, Serialize};

use super::validation;
use crate::error::{Answer, ApiError};
use crate::wire::{Input, Record};

/// How the targets of a group are checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// `HTTP` or `HTTPS`; behind network load balancers also `TCP`.
    pub protocol: String,
    /// `traffic-port` or a number.
    pub port: String,
    /// Always true: AWS does not let it be false for instance, ip and alb targets.
    pub enabled: bool,
    /// The path; no meaning for `TCP`.
    pub path: String,
    /// Seconds (AWS: 5–300, default 30).
    pub interval: u32,
    /// Seconds (AWS: 2–120, default 5).
    pub timeout: u32,
    /// AWS: 2–10, default 5.
    pub healthy_threshold: u32,
    /// AWS: 2–10, default 2.
    pub unhealthy_threshold: u32,
    /// Accepted codes, such as `200,202` or `200-299`; no meaning for `TCP`.
    pub matcher: String,
    /// Whether the codes are gRPC's.
    pub grpc: bool,
    /// Whether it is that of a target group behind a network load balancer.
    pub network: bool,
}

impl HealthCheck {
    /// AWS's defaults for a protocol version.
    pub fn default_for(version: &str) -> Self {
        let grpc = version == "GRPC";
        Self {
            protocol: "HTTP".into(),
            port: "traffic-port".into(),
            enabled: true,
            path: if grpc { "/AWS.ALB/healthcheck".into() } else { "/".into() },
            interval: 30,
            timeout: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: if grpc { "12".into() } else { "200".into() },
            grpc,
            network: false,
        }
    }

    /// AWS's defaults behind a network load balancer, for a protocol of the health check; `None`: the target type's default protocol.
    pub fn network_default_for(protocol: Option<&str>, target_type: &str) -> Self {
        let protocol = protocol.unwrap_or(if target_type == "alb" { "HTTP" } else { "TCP" });
        Self {
            protocol: protocol.into(),
            timeout: if protocol == "HTTP" { 6 } else { 10 },
            matcher: "200-399".into(),
            network: true,
            ..Self::default_for("HTTP1")
        }
    }

    /// These settings with those that the call gives, for targets of this type.
    pub fn updated(&self, input: &Input, target_type: &str) -> Answer<Self> {
        let mut check = self.clone();
        let number = |name: &'static str, member: &str, low: i64, high: i64, field: &mut u32| -> Answer<()> {
            if let Some(value) = input.parse::<i64>(name)? {
                validation::within(value, member, low, high)?;
                *field = u32::try_from(value).unwrap_or_default();
            }
            Ok(())
        };
        number("HealthCheckIntervalSeconds", "healthCheckIntervalSeconds", 5, 300, &mut check.interval)?;
        number("HealthCheckTimeoutSeconds", "healthCheckTimeoutSeconds", 2, 120, &mut check.timeout)?;
        number("HealthyThresholdCount", "healthyThresholdCount", 2, 10, &mut check.healthy_threshold)?;
        number("UnhealthyThresholdCount", "unhealthyThresholdCount", 2, 10, &mut check.unhealthy_threshold)?;
        if let Some(protocol) = input.text("HealthCheckProtocol").filter(|text| !text.is_empty()) {
            let allowed: &[&str] = if check.network && target_type != "alb" { &["HTTP", "HTTPS", "TCP"] } else { &["HTTP", "HTTPS"] };
            if !allowed.contains(&protocol) {
                return Err(ApiError::validation(format!("Health check protocol '{protocol}' must be one of '{}'", allowed.join(", "))));
            }
            check.protocol = protocol.into();
        }
        if let Some(port) = input.text("HealthCheckPort").filter(|text| !text.is_empty()) {
            if port != "traffic-port" && !port.parse::<u16>().is_ok_and(|port| port > 0) {
                return Err(ApiError::validation(format!("Health check port '{port}' must be between '1' and '65535' or 'traffic-port'")));
            }
            check.port = port.into();
        }
        if let Some(path) = input.text("HealthCheckPath").filter(|text| !text.is_empty()) {
            check.refuse_for_tcp("paths")?;
            let visible = path.chars().all(|c| c.is_ascii_graphic());
            if !path.starts_with('/') || !visible || path.len() > 1024 {
                return Err(ApiError::validation(format!(
                    "Health check path '{path}' must begin with a '/' character, and can only contain printable ASCII characters, without spaces"
                )));
            }
            check.path = path.into();
        }
        if input.flag("HealthCheckEnabled")? == Some(false) {
            return Err(ApiError::validation(
                "Health check enabled must be true for target groups with target type 'instance', 'ip' or 'alb'",
            ));
        }
        if let Some(matcher) = input.child("Matcher") {
            check.refuse_for_tcp("matchers")?;
            check.read_matcher(matcher)?;
        }
        // Behind network load balancers both may be the same.
        if check.timeout > check.interval || check.timeout == check.interval && !check.network {
            return Err(ApiError::validation(format!(
                "Health check timeout '{}' must be smaller than the interval '{}'",
                check.timeout, check.interval
            )));
        }
        Ok(check)
    }

    fn refuse_for_tcp(&self, what: &str) -> Answer<()> {
        if self.protocol != "TCP" {
            return Ok(());
        }
        Err(ApiError::new("InvalidConfigurationRequest", format!("Health check {what} are not supported for TCP health checks")))
    }

    fn read_matcher(&mut self, matcher: &Input) -> Answer<()> {
        let (http, grpc) = (matcher.text("HttpCode"), matcher.text("GrpcCode"));
        let (codes, (low, high), wrong) = match (self.grpc, self.network) {
            (true, _) => (grpc, (0, 99), http),
            (false, true) => (http, (200, 599), grpc),
            (false, false) => (http, (200, 499), grpc),
        };
        if wrong.is_some() {
            let word = if self.grpc { "HTTP" } else { "gRPC" };
            return Err(ApiError::validation(format!("Health check matcher {word} codes are not valid for this protocol version")));
        }
        let Some(codes) = codes.filter(|codes| !codes.is_empty()) else { return Ok(()) };
        let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (low..=high).contains(code));
        let fine = codes.split(',').all(|part| match part.split_once('-') {
            Some((from, to)) => code(from).zip(code(to)).is_some_and(|(from, to)| from <= to),
            None => code(part).is_some(),
        });
        if !fine {
            return Err(ApiError::validation(format!("Health check matcher codes '{codes}' must be within '{low}-{high}'")));
        }
        self.matcher = codes.into();
        Ok(())
    }

    /// Adds the settings to a target group's record.
    pub fn add_to(&self, record: Record) -> Record {
        let record = record
            .with("HealthCheckProtocol", &self.protocol)
            .with("HealthCheckPort", &self.port)
            .with("HealthCheckEnabled", self.enabled)
            .with("HealthCheckIntervalSeconds", self.interval)
            .with("HealthCheckTimeoutSeconds", self.timeout)
            .with("HealthyThresholdCount", self.healthy_threshold)
            .with("UnhealthyThresholdCount", self.unhealthy_threshold);
        if self.protocol == "TCP" {
            return record;
        }
        record
            .with("HealthCheckPath", &self.path)
            .with("Matcher", Record::new().with(if self.grpc { "GrpcCode" } else { "HttpCode" }, &self.matcher))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::query;

    #[test]
    fn settings_are_checked_as_on_aws() {
        let rows = [
            ("", "HTTP1", true),
            ("HealthCheckIntervalSeconds=5", "HTTP1", false),
            ("HealthCheckIntervalSeconds=5&HealthCheckTimeoutSeconds=2", "HTTP1", true),
            ("HealthCheckIntervalSeconds=4", "HTTP1", false),
            ("HealthCheckTimeoutSeconds=121&HealthCheckIntervalSeconds=300", "HTTP1", false),
            ("HealthyThresholdCount=1", "HTTP1", false),
            ("UnhealthyThresholdCount=11", "HTTP1", false),
            ("HealthCheckPath=x", "HTTP1", false),
            ("HealthCheckPath=/x", "HTTP1", true),
            ("HealthCheckPort=0", "HTTP1", false),
            ("HealthCheckPort=8080", "HTTP1", true),
            ("HealthCheckProtocol=TCP", "HTTP1", false),
            ("HealthCheckEnabled=false", "HTTP1", false),
            ("Matcher.HttpCode=200,202", "HTTP1", true),
            ("Matcher.HttpCode=200-299", "HTTP1", true),
            ("Matcher.HttpCode=299-200", "HTTP1", false),
            ("Matcher.HttpCode=500", "HTTP1", false),
            ("Matcher.GrpcCode=12", "HTTP1", false),
            ("Matcher.GrpcCode=0-99", "GRPC", true),
            ("Matcher.GrpcCode=100", "GRPC", false),
            ("Matcher.HttpCode=200", "GRPC", false),
        ];
        for (text, version, fine) in rows {
            let result = HealthCheck::default_for(version).updated(&query::parse(text), "ip");
            assert_eq!(result.is_ok(), fine, "{text}: {result:?}");
        }
    }

    #[test]
    fn settings_behind_network_load_balancers_are_checked_as_on_aws() {
        let rows = [
            ("", "ip", true),
            ("", "alb", true),
            ("HealthCheckProtocol=TCP", "alb", false),
            ("HealthCheckProtocol=HTTPS", "alb", true),
            ("HealthCheckProtocol=TLS", "ip", false),
            ("HealthCheckProtocol=UDP", "ip", false),
            ("HealthCheckIntervalSeconds=10", "ip", true),
            ("HealthCheckIntervalSeconds=9", "ip", false),
            ("HealthCheckPath=/x", "ip", false),
            ("Matcher.HttpCode=200", "ip", false),
            ("HealthCheckProtocol=HTTP&HealthCheckPath=/x&Matcher.HttpCode=200-599", "ip", true),
            ("HealthCheckProtocol=HTTP&Matcher.HttpCode=600", "ip", false),
            ("HealthCheckProtocol=HTTP&Matcher.GrpcCode=0", "ip", false),
        ];
        for (text, target_type, fine) in rows {
            let input = query::parse(text);
            let result = HealthCheck::network_default_for(input.text("HealthCheckProtocol"), target_type).updated(&input, target_type);
            assert_eq!(result.is_ok(), fine, "{text} for {target_type}: {result:?}");
        }
        let timeout = |protocol: &str| HealthCheck::network_default_for(Some(protocol), "ip").timeout;
        assert_eq!([timeout("TCP"), timeout("HTTP"), timeout("HTTPS")], [10, 6, 10]);
    }
}
