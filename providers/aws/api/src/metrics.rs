//! What is counted of calls to AWS.

use crate::budget::Kind;
use crate::error::{Class, Failure};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

const PROVIDER: &str = "aws";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    provider: &'static str,
    operation: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    provider: &'static str,
    kind: &'static str,
}

/// Counters of all regions together.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: Family<CallLabels, Counter>,
    waits: Family<KindLabels, Counter>,
    waited: Family<KindLabels, Counter<f64, AtomicU64>>,
    rate: Family<KindLabels, Gauge<f64, AtomicU64>>,
}

impl Counters {
    /// Shows the counters in a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "cloud_calls",
            "Calls to the cloud's API, by operation and result; throttled ones among them",
            self.calls.clone(),
        );
        registry.register("cloud_budget_waits", "Calls that waited for the budget", self.waits.clone());
        let what = "Time that calls waited for the budget";
        registry.register_with_unit("cloud_budget_wait", what, Unit::Seconds, self.waited.clone());
        registry.register("cloud_budget_rate", "Calls per second that the budget allows, as last used", self.rate.clone());
    }

    /// A call was made.
    pub fn made(&self, operation: &'static str, failure: Option<&Failure>) {
        let result = match failure.map(Failure::class) {
            None => "ok",
            Some(Class::Throttled) => "throttled",
            Some(Class::Unclear) => "unclear",
            Some(Class::Soon) => "busy",
            Some(Class::NotFound) => "not-found",
            Some(Class::Duplicate) => "duplicate",
            Some(Class::Denied) => "denied",
            Some(Class::Limit) => "limit",
            Some(Class::Invalid) => "invalid",
            Some(Class::Fenced) => "fenced",
        };
        self.calls.get_or_create(&CallLabels { provider: PROVIDER, operation, result }).inc();
    }

    /// A call waited for the budget, or did not.
    pub fn waited(&self, kind: Kind, time: Duration) {
        if !time.is_zero() {
            let labels = KindLabels { provider: PROVIDER, kind: kind.as_str() };
            self.waits.get_or_create(&labels).inc();
            self.waited.get_or_create(&labels).inc_by(time.as_secs_f64());
        }
    }

    /// What the budget allows now.
    pub fn rate(&self, kind: Kind, per_second: f64) {
        self.rate.get_or_create(&KindLabels { provider: PROVIDER, kind: kind.as_str() }).set(per_second);
    }
}
