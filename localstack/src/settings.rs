//! Settings that can be changed while a cloud runs, as one JSON document: limits, times, rates.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::{CertificateCheck, CloudConfig, Rates, Reregistration, Times};

/// Changes of settings. What is not named stays as it is.
///
/// ```
/// # use portico_cloud::{CloudConfig, Settings};
/// let settings: Settings = serde_json::from_str(r#"{"quotas": {"application-load-balancers": 1000}, "times": {"provisioning": 15}}"#)?;
/// let mut config = CloudConfig::default();
/// assert_eq!(settings.apply(&mut config), Ok(()));
/// assert_eq!(config.quotas.load_balancers, 1000);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Limits by name: those of ELBv2 as DescribeAccountLimits calls them.
    pub quotas: BTreeMap<String, usize>,
    /// How long things take, by the names of [`Times`]: seconds, and for `…_scale` a factor.
    pub times: BTreeMap<String, f64>,
    /// Token buckets of ELBv2 calls: `"none"`, `"aws"`, or the buckets.
    pub rates: Option<RateSetting>,
    /// What happens if an address is registered again while its deregistration runs.
    pub reregistration: Option<Reregistration>,
    /// How strict ACM and ELBv2 are with certificates.
    pub certificates: Option<CertificateCheck>,
}

/// Token buckets of ELBv2 calls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateSetting {
    /// Any number of calls per second.
    None,
    /// As on AWS.
    Aws,
    /// These.
    #[serde(untagged)]
    Buckets(Rates),
}

type Time = (&'static str, fn(&mut Times) -> &mut Duration);
type Scale = (&'static str, fn(&mut Times) -> &mut f64);

const TIMES: &[Time] = &[
    ("latency", |times| &mut times.latency),
    ("provisioning", |times| &mut times.provisioning),
    ("propagation", |times| &mut times.propagation),
    ("target_group_delete_lag", |times| &mut times.target_group_delete_lag),
    ("network_interface_lag", |times| &mut times.network_interface_lag),
    ("instance_lag", |times| &mut times.instance_lag),
    ("certificate_delete_lag", |times| &mut times.certificate_delete_lag),
    ("certificate_lag", |times| &mut times.certificate_lag),
    ("listener_lag", |times| &mut times.listener_lag),
    ("trust_store_creation", |times| &mut times.trust_store_creation),
    ("log_interval", |times| &mut times.log_interval),
];
const SCALES: &[Scale] =
    &[("health_check_scale", |times| &mut times.health_check_scale), ("deregistration_scale", |times| &mut times.deregistration_scale)];

impl Settings {
    /// Changes a configuration.
    ///
    /// # Errors
    /// A sentence that names the setting that does not exist or cannot be so; then the configuration may be half changed.
    pub fn apply(&self, config: &mut CloudConfig) -> Result<(), String> {
        for (name, value) in &self.quotas {
            if !config.quotas.set(name, *value) {
                let known: Vec<&str> = config.quotas.entries().map(|(name, _)| name).collect();
                return Err(format!("there is no quota '{name}'; there are {}", known.join(", ")));
            }
        }
        for (name, value) in &self.times {
            if let Some((_, at)) = SCALES.iter().find(|(known, _)| known == name) {
                if !value.is_finite() || *value < 0.0 {
                    return Err(format!("times.{name} must be a factor from 0 on"));
                }
                *at(&mut config.times) = *value;
            } else if let Some((_, at)) = TIMES.iter().find(|(known, _)| known == name) {
                let time = Duration::try_from_secs_f64(*value).map_err(|error| format!("times.{name} must be seconds: {error}"))?;
                *at(&mut config.times) = time;
            } else {
                let known: Vec<&str> = TIMES.iter().map(|(name, _)| *name).chain(SCALES.iter().map(|(name, _)| *name)).collect();
                return Err(format!("there is no time '{name}'; there are {}", known.join(", ")));
            }
        }
        match self.rates {
            None => {}
            Some(RateSetting::None) => config.rates = None,
            Some(RateSetting::Aws) => config.rates = Some(Rates::default()),
            Some(RateSetting::Buckets(rates)) => config.rates = Some(rates),
        }
        config.reregistration = self.reregistration.unwrap_or(config.reregistration);
        config.certificates = self.certificates.unwrap_or(config.certificates);
        Ok(())
    }

    /// The settings in force, in the form in which they can be changed.
    pub fn of(config: &CloudConfig) -> Value {
        let mut times = config.times;
        let seconds = TIMES.iter().map(|(name, at)| (*name, at(&mut times).as_secs_f64())).collect::<Vec<_>>();
        let scales = SCALES.iter().map(|(name, at)| (*name, *at(&mut times))).collect::<Vec<_>>();
        let settings = Self {
            quotas: config.quotas.entries().map(|(name, value)| (name.to_string(), value)).collect(),
            times: seconds.into_iter().chain(scales).map(|(name, value)| (name.to_string(), value)).collect(),
            rates: Some(config.rates.map_or(RateSetting::None, RateSetting::Buckets)),
            reregistration: Some(config.reregistration),
            certificates: Some(config.certificates),
        };
        json!(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(text: &str) -> Result<CloudConfig, String> {
        let settings: Settings = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut config = CloudConfig::default();
        settings.apply(&mut config).map(|()| config)
    }

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let config = apply(
            r#"{"quotas": {"rules-per-application-load-balancer": 7}, "times": {"provisioning": 1.5, "deregistration_scale": 0},
                "rates": {"reads": {"burst": 1, "refill": 2}}, "reregistration": "accept"}"#,
        )
        .unwrap();
        assert_eq!((config.quotas.rules_per_load_balancer, config.quotas.load_balancers), (7, 50));
        assert_eq!((config.times.provisioning, config.times.deregistration_scale), (Duration::from_millis(1500), 0.0));
        assert_eq!(config.rates.unwrap().reads.burst, 1.0);
        assert_eq!(config.rates.unwrap().mutations, Rates::default().mutations);
        assert_eq!(config.reregistration, Reregistration::Accept);
        assert_eq!(apply(r#"{"rates": "aws"}"#).unwrap().rates, Some(Rates::default()));
    }

    #[test]
    fn what_is_shown_can_be_set() {
        let shown = Settings::of(&CloudConfig { rates: Some(Rates::default()), ..CloudConfig::default() });
        let read: Settings = serde_json::from_value(shown.clone()).unwrap();
        let mut config = CloudConfig::default();
        read.apply(&mut config).unwrap();
        assert_eq!(Settings::of(&config), shown);
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        for text in [
            r#"{"quotas": {"rules": 7}}"#,
            r#"{"quotas": {"target-groups": -1}}"#,
            r#"{"times": {"provisioning": -1}}"#,
            r#"{"times": {"deregistration_scale": -1}}"#,
            r#"{"times": {"sleep": 1}}"#,
            r#"{"rates": "fast"}"#,
            r#"{"colour": 1}"#,
        ] {
            assert!(apply(text).is_err(), "{text}");
        }
    }
}
