//! What something cost: calls to the cloud or messages to proxies, requests to the API server, allocations, time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::Method;
use serde::Serialize;
use serde_json::Value;

use super::process::{Counters, Operator};
use crate::client;
use crate::objects::Objects;

/// Pause between two looks at the operator.
const PAUSE: Duration = Duration::from_millis(100);
/// How long nothing may change before something counts as done.
const QUIET: Duration = Duration::from_millis(1500);
/// The same for a start, in which a busy machine may let nothing be finished for a while.
const QUIET_AFTER_START: Duration = Duration::from_secs(30);

/// The cost of something.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Calls that changed something in the cloud.
    pub mutations: u64,
    /// Calls that only looked.
    pub reads: u64,
    /// Calls by operation.
    pub operations: BTreeMap<String, u64>,
    /// What proxies were told, by kind of resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<String, Told>,
    /// Writes of statuses to the API server.
    pub status_writes: u64,
    /// Requests to the API server for objects that the operator works with, those of the benchmark itself left out.
    pub api_requests: u64,
    /// Allocations of the operator, less what it allocates in as much time while idle; none if it was not built to count them.
    pub allocations: Option<u64>,
    /// Time until the last effect.
    #[serde(serialize_with = "seconds")]
    pub time: Duration,
}

/// What proxies were told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Responses.
    pub responses: u64,
    /// Resources in them.
    pub resources: u64,
    /// Bytes of these resources.
    pub bytes: u64,
}

impl Cost {
    /// What proxies were told of all kinds.
    pub fn told(&self) -> Told {
        self.told.values().fold(Told::default(), |sum, it| Told {
            responses: sum.responses + it.responses,
            resources: sum.resources + it.resources,
            bytes: sum.bytes + it.bytes,
        })
    }
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((time.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// The places that are measured.
pub struct Meter<'a> {
    /// The API server.
    pub objects: &'a Objects,
    /// The cloud's URL, of a class that is served by one.
    pub cloud: Option<&'a str>,
}

/// A reading of all counters.
struct Reading {
    operator: Counters,
    api: Counters,
    at: Instant,
}

impl Meter<'_> {
    /// Starts the operator, if `start` does that, and waits until it has nothing more to do, at most for `patience`.
    pub async fn start(&self, start: impl Future<Output = Result<Operator>>, patience: Duration) -> Result<(Operator, Cost)> {
        self.forget_calls().await?;
        let (api, began) = (self.api().await?, Instant::now());
        let operator = start.await?;
        let last = self.quiet(&operator, began, patience, QUIET_AFTER_START).await?;
        let mut cost = self.cost(&Reading { operator: Counters::default(), api, at: began }, &operator, 0).await?;
        cost.time = last - began;
        Ok((operator, cost))
    }

    /// Makes a change by `requests` requests of ours, and waits until the operator has dealt with it.
    pub async fn change(&self, operator: &Operator, requests: u64, change: impl Future<Output = Result<()>>) -> Result<Cost> {
        self.change_until(QUIET, operator, requests, change).await
    }

    /// The same for the start of a proxy, which on a busy machine may take a while to take up thousands of resources before it asks for more.
    pub async fn proxy(&self, operator: &Operator, start: impl Future<Output = Result<()>>) -> Result<Cost> {
        self.change_until(QUIET_AFTER_START, operator, 0, start).await
    }

    async fn change_until(
        &self,
        quiet: Duration,
        operator: &Operator,
        requests: u64,
        change: impl Future<Output = Result<()>>,
    ) -> Result<Cost> {
        let idle = self.idle(operator).await?;
        self.forget_calls().await?;
        let before = self.reading(operator).await?;
        change.await?;
        let last = self.quiet(operator, before.at, Duration::from_secs(120), quiet).await?;
        let mut cost = self.cost(&before, operator, requests).await?;
        cost.time = last - before.at;
        let background = idle * before.at.elapsed().as_secs_f64();
        cost.allocations = cost.allocations.map(|count| count.saturating_sub(background as u64));
        Ok(cost)
    }

    /// Allocations per second while nothing happens but that somebody reads the metrics.
    async fn idle(&self, operator: &Operator) -> Result<f64> {
        let before = (allocations(&operator.counters().await?), Instant::now());
        while before.1.elapsed() < Duration::from_secs(2) {
            tokio::time::sleep(PAUSE).await;
            operator.counters().await?;
        }
        let after = allocations(&operator.counters().await?);
        Ok(after.unwrap_or(0).saturating_sub(before.0.unwrap_or(0)) as f64 / before.1.elapsed().as_secs_f64())
    }

    /// Waits until the operator has been quiet for a while after something changed; returns when it was last busy.
    async fn quiet(&self, operator: &Operator, began: Instant, patience: Duration, quiet: Duration) -> Result<Instant> {
        let mut seen = Vec::new();
        let mut last = began;
        while began.elapsed() < patience {
            let work = operator.counters().await?.work();
            if work != seen {
                seen = work;
                last = Instant::now();
            }
            if last.elapsed() >= quiet {
                return Ok(last);
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("the operator is still busy after {patience:?}")
    }

    async fn reading(&self, operator: &Operator) -> Result<Reading> {
        Ok(Reading { operator: operator.counters().await?, api: self.api().await?, at: Instant::now() })
    }

    async fn api(&self) -> Result<Counters> {
        Ok(Counters::parse(&self.objects.text("/metrics").await?))
    }

    async fn forget_calls(&self) -> Result<()> {
        if let Some(cloud) = self.cloud {
            client::send(Method::POST, &format!("{cloud}/_cloud/reset"), &[], "calls").await?;
        }
        Ok(())
    }

    /// What the cloud was asked: calls in all, those of them that changed something, and how often which.
    async fn calls(&self) -> Result<(u64, u64, BTreeMap<String, u64>)> {
        let Some(cloud) = self.cloud else { return Ok(Default::default()) };
        let calls = client::get(&format!("{cloud}/_cloud/calls")).await?.json()?;
        let number = |key: &str| calls.get(key).and_then(Value::as_u64).with_context(|| format!("the cloud counts no {key}: {calls}"));
        let operations = calls.get("operations").and_then(Value::as_object).into_iter().flatten();
        let operations = operations.filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect();
        Ok((number("total")?, number("mutations")?, operations))
    }

    async fn cost(&self, before: &Reading, operator: &Operator, own: u64) -> Result<Cost> {
        let after = self.reading(operator).await?;
        let (total, mutations, operations) = self.calls().await?;
        let written = |counters: &Counters| counters.sum("portico_status_writes_total", |labels| labels.contains("written"));
        let requests = |counters: &Counters| counters.sum("apiserver_request_total", concerns_us);
        let allocated = allocations(&after.operator).map(|now| now.saturating_sub(allocations(&before.operator).unwrap_or(0)));
        Ok(Cost {
            mutations,
            reads: total.saturating_sub(mutations),
            operations,
            told: told(&before.operator, &after.operator),
            status_writes: written(&after.operator).saturating_sub(written(&before.operator)),
            api_requests: requests(&after.api).saturating_sub(requests(&before.api)).saturating_sub(own),
            allocations: allocated,
            time: Duration::ZERO,
        })
    }
}

/// What proxies were told between two readings.
fn told(before: &Counters, after: &Counters) -> BTreeMap<String, Told> {
    let more = |name: &str| {
        let before = before.by_label(name, "kind");
        let after = after.by_label(name, "kind").into_iter();
        after.map(move |(kind, count)| (kind.clone(), count.saturating_sub(before.get(&kind).copied().unwrap_or_default())))
    };
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    for (kind, count) in more("portico_xds_responses_total") {
        told.entry(kind).or_default().responses = count;
    }
    for (kind, count) in more("portico_xds_resources_total") {
        told.entry(kind).or_default().resources = count;
    }
    for (kind, count) in more("portico_xds_bytes_total") {
        told.entry(kind).or_default().bytes = count;
    }
    told.retain(|_, told| *told != Told::default());
    told
}

fn allocations(counters: &Counters) -> Option<u64> {
    Some(counters.sum("portico_allocations_total", |_| true)).filter(|count| *count > 0)
}

/// Whether a count of the API server concerns objects that the operator works with, and requests that end (watches are told apart by their verb).
fn concerns_us(labels: &str) -> bool {
    const RESOURCES: [&str; 7] = ["gateways", "httproutes", "gatewayclasses", "services", "endpointslices", "events", "configmaps"];
    RESOURCES.iter().any(|it| labels.contains(&format!("resource=\"{it}\""))) && !labels.contains("verb=\"WATCH\"")
}
