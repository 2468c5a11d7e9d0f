//! What is counted: streams, responses, answers, bytes.

use portico_envoy::observed::ResourceKind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FleetLabels {
    fleet: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    fleet: String,
    kind: &'static str,
}

/// Counters, shared by all streams.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    streams: Family<FleetLabels, Gauge>,
    responses: Family<KindLabels, Counter>,
    resources: Family<KindLabels, Counter>,
    bytes: Family<KindLabels, Counter>,
    acknowledged: Family<KindLabels, Counter>,
    refused: Family<KindLabels, Counter>,
}

/// What became of something on a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// A response with so many resources and bytes.
    Response { resources: usize, bytes: usize },
    /// A response was acknowledged.
    Acknowledged,
    /// A response was refused.
    Refused,
}

impl Counters {
    pub fn register(&self, registry: &mut Registry) {
        registry.register("xds_streams", "Streams of proxies, by fleet", self.streams.clone());
        registry.register("xds_responses", "Responses sent to proxies", self.responses.clone());
        registry.register("xds_resources", "Resources sent to proxies", self.resources.clone());
        registry.register("xds_bytes", "Bytes of resources sent to proxies", self.bytes.clone());
        registry.register("xds_acknowledged", "Responses that proxies acknowledged", self.acknowledged.clone());
        registry.register("xds_refused", "Responses that proxies refused", self.refused.clone());
    }

    pub fn connected(&self, fleet: &str) {
        self.streams.get_or_create(&FleetLabels { fleet: fleet.to_owned() }).inc();
    }

    pub fn disconnected(&self, fleet: &str) {
        self.streams.get_or_create(&FleetLabels { fleet: fleet.to_owned() }).dec();
    }

    pub fn count(&self, fleet: &str, kind: ResourceKind, event: Event) {
        let labels = KindLabels { fleet: fleet.to_owned(), kind: kind.word() };
        match event {
            Event::Response { resources, bytes } => {
                self.responses.get_or_create(&labels).inc();
                self.resources.get_or_create(&labels).inc_by(resources as u64);
                self.bytes.get_or_create(&labels).inc_by(bytes as u64);
            }
            Event::Acknowledged => drop(self.acknowledged.get_or_create(&labels).inc()),
            Event::Refused => drop(self.refused.get_or_create(&labels).inc()),
        }
    }
}
