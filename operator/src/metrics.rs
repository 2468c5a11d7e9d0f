//! What the operator counts; `/metrics` shows it in the OpenMetrics text format.

mod standing;

use std::sync::Mutex;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

pub use standing::Standing;

/// One label: how something ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// `ok` or the class of an error.
    pub result: String,
}

/// One label: the kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// `Gateway`, `HTTPRoute`, ….
    pub kind: String,
}

/// Labels of a status write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WriteLabels {
    /// Kind of the object.
    pub kind: String,
    /// `written`, `conflict`, `gone` or `failed`.
    pub result: String,
}

/// Labels of a change made in a cloud.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ChangeLabels {
    /// The provider.
    pub provider: String,
    /// `create`, `update` or `delete`.
    pub action: String,
    /// `ok` or the class of an error.
    pub result: String,
}

/// One label: what became of an Event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EventLabels {
    /// `written`, `counted`, `dropped` or `failed`.
    pub result: &'static str,
}

/// One label: which queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct QueueLabel {
    /// `units`, `classes`, `targets` or `statuses`.
    pub queue: String,
}

/// Every metric, with the registry that prints them.
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Watch events by kind.
    pub watch_events: Family<KindLabel, Counter>,
    /// Watch failures by kind.
    pub watch_failures: Family<KindLabel, Counter>,
    /// Passes over units by result.
    pub passes: Family<ResultLabel, Counter>,
    /// Seconds of one pass.
    pub pass_seconds: Histogram,
    /// Keys that wait, by queue.
    pub queue_depth: Family<QueueLabel, Gauge>,
    /// Changes made in a cloud.
    pub changes: Family<ChangeLabels, Counter>,
    /// Writes of statuses.
    pub status_writes: Family<WriteLabels, Counter>,
    /// Synchronisations of target sets by result.
    pub target_syncs: Family<ResultLabel, Counter>,
    /// Addresses registered with target sets.
    pub targets_registered: Counter,
    /// Addresses taken out of target sets.
    pub targets_deregistered: Counter,
    /// Addresses that clouds do not take as targets now.
    pub targets_rejected: Gauge,
    /// Units whose cloud had drifted when the sweep looked.
    pub drift: Counter,
    /// Units that Kubernetes does not know any more but a cloud still did.
    pub orphans: Counter,
    /// 1 while this replica leads.
    pub leader: Gauge,
    /// Load balancers that the world asks for.
    pub units: Gauge,
    /// Kubernetes Events.
    pub events: Family<EventLabels, Counter>,
    /// Where load balancers stand, and what of them is refused.
    pub standing: Standing,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("portico")),
            watch_events: Family::default(),
            watch_failures: Family::default(),
            passes: Family::default(),
            pass_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 20)),
            queue_depth: Family::default(),
            changes: Family::default(),
            status_writes: Family::default(),
            target_syncs: Family::default(),
            targets_registered: Counter::default(),
            targets_deregistered: Counter::default(),
            targets_rejected: Gauge::default(),
            drift: Counter::default(),
            orphans: Counter::default(),
            leader: Gauge::default(),
            units: Gauge::default(),
            events: Family::default(),
            standing: Standing::default(),
        };
        if let Ok(mut r) = metrics.registry.lock() {
            r.register("watch_events", "Objects seen by watches", metrics.watch_events.clone());
            r.register("watch_failures", "Failures of watches; each is retried", metrics.watch_failures.clone());
            r.register("passes", "Passes over load balancers", metrics.passes.clone());
            r.register("pass_seconds", "Seconds of one pass over a load balancer", metrics.pass_seconds.clone());
            r.register("queue_depth", "Keys that wait", metrics.queue_depth.clone());
            r.register("changes", "Changes made in a cloud", metrics.changes.clone());
            r.register("status_writes", "Writes of Kubernetes statuses", metrics.status_writes.clone());
            r.register("target_syncs", "Synchronisations of target sets", metrics.target_syncs.clone());
            r.register("targets_registered", "Addresses registered with target sets", metrics.targets_registered.clone());
            r.register("targets_deregistered", "Addresses taken out of target sets", metrics.targets_deregistered.clone());
            r.register("targets_rejected", "Addresses that the cloud does not take now", metrics.targets_rejected.clone());
            r.register("drift", "Load balancers found changed from outside", metrics.drift.clone());
            r.register("orphans", "Load balancers left behind by Gateways that are gone", metrics.orphans.clone());
            r.register("leader", "1 while this replica leads", metrics.leader.clone());
            r.register("units", "Load balancers asked for", metrics.units.clone());
            r.register("events", "Kubernetes Events", metrics.events.clone());
            r.register("load_balancers", "Load balancers by where they stand", metrics.standing.states.clone());
            r.register("refusals", "What is refused now, by cause", metrics.standing.refusals.clone());
        }
        metrics
    }
}

impl Metrics {
    /// Lets a part of the program that Portico only knows by its trait add metrics of its own.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        if let Ok(mut registry) = self.registry.lock() {
            add(&mut registry);
        }
    }

    /// The gauge of a queue's depth.
    pub fn depth(&self, queue: &str) -> Gauge {
        self.queue_depth.get_or_create(&QueueLabel { queue: queue.to_owned() }).clone()
    }

    /// Everything, in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut out = String::new();
        if let Ok(registry) = self.registry.lock() {
            // Writing to a String cannot fail.
            let _ = text::encode(&mut out, &registry);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_printed_with_prefix_and_labels() {
        let metrics = Metrics::default();
        metrics.passes.get_or_create(&ResultLabel { result: "ok".into() }).inc();
        metrics.leader.set(1);
        let text = metrics.render();
        assert!(text.contains("portico_passes_total{result=\"ok\"} 1"), "{text}");
        assert!(text.contains("portico_leader 1"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
