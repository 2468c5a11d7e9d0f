//! How attributes of a target group must fit together.

use std::collections::BTreeMap;

use super::attribute::{TARGET_GROUP, value};
use crate::error::{Answer, ApiError};

/// Checks what no attribute can tell alone.
pub fn check(set: &BTreeMap<String, String>) -> Answer<()> {
    let is = |key: &str| value(TARGET_GROUP, set, key);
    let fault = |message: &str| Err(ApiError::new("InvalidConfigurationRequest", message));
    let algorithm = is("load_balancing.algorithm.type");
    let slow = is("slow_start.duration_seconds") != "0";
    if slow && algorithm != "round_robin" {
        return fault("Slow start mode is supported only with the algorithm 'round_robin'");
    }
    if is("load_balancing.algorithm.anomaly_mitigation") == "on" && algorithm != "weighted_random" {
        return fault("Anomaly mitigation is supported only with the algorithm 'weighted_random'");
    }
    let sticky = is("stickiness.enabled") == "true";
    if sticky && is("load_balancing.cross_zone.enabled") == "false" {
        return fault("Stickiness is not supported while cross-zone load balancing is off");
    }
    let cookie = is("stickiness.app_cookie.cookie_name");
    if sticky && is("stickiness.type") == "app_cookie" && cookie.is_empty() {
        return fault("'stickiness.app_cookie.cookie_name' must be specified for stickiness of type 'app_cookie'");
    }
    if ["AWSALB", "AWSALBAPP", "AWSALBTG"].iter().any(|reserved| cookie.starts_with(reserved)) {
        return fault("The cookie name cannot begin with the reserved names 'AWSALB', 'AWSALBAPP' or 'AWSALBTG'");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_must_fit_together() {
        let rows: [(&[(&str, &str)], bool); 8] = [
            (&[], true),
            (&[("slow_start.duration_seconds", "30")], true),
            (&[("slow_start.duration_seconds", "30"), ("load_balancing.algorithm.type", "least_outstanding_requests")], false),
            (&[("load_balancing.algorithm.anomaly_mitigation", "on")], false),
            (&[("load_balancing.algorithm.anomaly_mitigation", "on"), ("load_balancing.algorithm.type", "weighted_random")], true),
            (&[("stickiness.enabled", "true"), ("load_balancing.cross_zone.enabled", "false")], false),
            (&[("stickiness.enabled", "true"), ("stickiness.type", "app_cookie")], false),
            (&[("stickiness.app_cookie.cookie_name", "AWSALBX")], false),
        ];
        for (set, fine) in rows {
            let set = set.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect();
            assert_eq!(check(&set).is_ok(), fine, "{set:?}");
        }
    }
}
