//! The operator under measurement, as a process of the benchmark, and what is read of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::daemon::{Daemon, Ends};
use crate::session::Session;
use crate::{client, cloud, fleet, operator};

/// How long the operator may take until it is ready: with 20,000 routes its stores take a while to sync.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// How long it may take to stop.
const GRACE: Duration = Duration::from_secs(30);

/// The operator.
pub struct Operator {
    daemon: Daemon,
    _ends: mpsc::UnboundedReceiver<crate::daemon::End>,
}

/// What the operator has counted so far.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Every sample of `/metrics`, by name and labels.
    samples: BTreeMap<String, f64>,
}

impl Operator {
    /// Starts it, without the sweep, whose calls would be counted as those of whatever is measured. Without a cloud it serves proxies.
    pub async fn start(portico: &Path, session: &Session, cloud: Option<&str>) -> Result<Self> {
        let (ends, received): (Ends, _) = mpsc::unbounded_channel();
        let mut command = Command::new(portico);
        command
            .args(["run", "--listen", operator::HEALTH_ADDRESS, "--lease-namespace", operator::NAMESPACE, "--sweep-interval", "0"])
            // It is alone, and is to be measured however busy the machine is with the API server.
            .arg("--no-leader-election")
            .envs(&session.env);
        match cloud {
            Some(cloud) => command.envs(cloud::environment(cloud)),
            None => command.args([operator::XDS_FLAG, &fleet::OPERATOR.to_string()]),
        };
        // A line for each of 20,000 rules would be measured, too.
        command.args(["--log", "warn"]);
        let daemon = Daemon::spawn("operator", command, &session.logs, &ends)?;
        let operator = Self { daemon, _ends: received };
        let ready = format!("http://{}/readyz", operator::HEALTH_ADDRESS);
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        while tokio::time::Instant::now() < deadline {
            operator.daemon.alive()?;
            if client::get(&ready).await.is_ok_and(|answer| answer.status.is_success()) {
                return Ok(operator);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        bail!("the operator is not ready after {READY_WITHIN:?}; its log ends with\n{}", operator.daemon.tail())
    }

    /// Stops it in order.
    pub async fn stop(self) {
        self.daemon.stop(GRACE).await;
    }

    /// What it has counted.
    pub async fn counters(&self) -> Result<Counters> {
        self.daemon.alive()?;
        Ok(Counters::parse(&client::get(&format!("http://{}/metrics", operator::HEALTH_ADDRESS)).await?.text()))
    }

    /// Its peak of resident memory in KiB: `VmHWM`.
    pub fn peak_memory(&self) -> Result<u64> {
        peak_memory(&self.daemon)
    }
}

/// A process's peak of resident memory in KiB: `VmHWM`.
pub fn peak_memory(daemon: &Daemon) -> Result<u64> {
    let path = format!("/proc/{}/status", daemon.pid());
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    line.trim().trim_end_matches(" kB").parse().with_context(|| format!("VmHWM: {line}"))
}

impl Counters {
    /// Reads the text format of Prometheus.
    pub fn parse(text: &str) -> Self {
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self { samples: text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect() }
    }

    /// The sum of all samples of a counter whose labels satisfy a condition.
    pub fn sum(&self, name: &str, labels: impl Fn(&str) -> bool) -> u64 {
        let of_name = self.samples.range(name.to_owned()..).take_while(|(key, _)| key.starts_with(name));
        let samples = of_name.filter(|(key, _)| {
            let rest = key.get(name.len()..).unwrap_or_default();
            (rest.is_empty() || rest.starts_with('{')) && labels(rest)
        });
        samples.map(|(_, value)| *value).sum::<f64>() as u64
    }

    /// The sums of all samples of a counter by one of its labels.
    pub fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        let of_name = self.samples.range(format!("{name}{{")..).take_while(|(key, _)| key.starts_with(name));
        for (key, value) in of_name {
            let Some((_, rest)) = key.split_once(&format!("{label}=\"")) else { continue };
            let Some((word, _)) = rest.split_once('"') else { continue };
            *sums.entry(word.to_owned()).or_default() += *value as u64;
        }
        sums
    }

    /// What changes while the operator works.
    pub fn work(&self) -> Vec<u64> {
        let names = ["portico_passes_total", "portico_changes_total", "portico_status_writes_total", "portico_watch_events_total"];
        let targets = ["portico_targets_registered_total", "portico_targets_deregistered_total"];
        let proxies = ["portico_xds_responses_total", "portico_xds_acknowledged_total"];
        names.into_iter().chain(targets).chain(proxies).map(|name| self.sum(name, |_| true)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_name_and_label() {
        let counters = Counters::parse("# HELP x y\nx_total{a=\"1\",b=\"2\"} 3\nx_total{a=\"2\"} 4\nx_total_more 9\ny 1\n");
        assert_eq!(counters.sum("x_total", |_| true), 7);
        assert_eq!(counters.sum("x_total", |labels| labels.contains("a=\"1\"")), 3);
        assert_eq!(counters.sum("y", |_| true), 1);
        assert_eq!(counters.sum("z", |_| true), 0);
        assert_eq!(counters.by_label("x_total", "b"), BTreeMap::from([("2".to_owned(), 3)]));
        assert_eq!(counters.by_label("x_total", "a"), BTreeMap::from([("1".to_owned(), 3), ("2".to_owned(), 4)]));
    }
}
