//! Delivery of load balancers' logs to their buckets.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Control, lock};
use crate::clock;
use crate::dataplane::log::LogFile;
use crate::elb::log_bucket::Delivery;

/// Intervals are not shorter than this: each delivery is a change of the state.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// The end of the interval that a moment lies in: intervals of five minutes end at full five minutes.
fn end_of_interval(at: Timestamp, interval: Duration) -> Timestamp {
    let interval = i64::try_from(interval.max(SHORTEST_INTERVAL).as_millis()).unwrap_or(i64::MAX);
    let since = at.as_millisecond().rem_euclid(interval);
    clock::after(at, Duration::from_millis(u64::try_from(interval - since).unwrap_or_default()))
}

/// The entries of a log as they are stored.
fn compress(entries: &str) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(entries.as_bytes())?;
    encoder.finish().map(Bytes::from)
}

impl Control {
    /// Delivers logs at the end of each interval in which there were entries, until the token is cancelled. What is left then is delivered by
    /// [`Control::deliver_logs`].
    pub async fn deliver(self: Arc<Self>, stop: CancellationToken) {
        let logs = self.plane.logs();
        loop {
            tokio::select! {
                () = logs.written() => {}
                () = stop.cancelled() => return,
            }
            let now = self.clock.now();
            let pause = end_of_interval(now, self.times().log_interval).duration_since(now);
            tokio::select! {
                () = tokio::time::sleep(Duration::try_from(pause).unwrap_or_default()) => {}
                () = logs.due() => {}
                () = stop.cancelled() => return,
            }
            self.deliver_logs().await;
        }
    }

    /// Delivers all entries of logs that wait, and answers with the buckets and keys of the objects.
    pub async fn deliver_logs(&self) -> Vec<(String, String)> {
        let files = self.plane.logs().take();
        if files.is_empty() {
            return Vec::new();
        }
        // At the end of an interval, a moment after it: the entries are those of the interval that has just ended.
        let now = self.clock.now();
        let begun = now.checked_sub(jiff::SignedDuration::from_millis(50)).unwrap_or(now);
        let end = end_of_interval(begun, self.times().log_interval);
        let prepared =
            tokio::task::spawn_blocking(move || files.into_iter().filter_map(|file| prepare(file, end)).collect::<Vec<_>>()).await;
        let deliveries = prepared.unwrap_or_else(|error| {
            tracing::error!(target: "portico_cloud", "logs were not compressed: {error}");
            Vec::new()
        });
        let mut state = lock(&self.state);
        state.advance(self.clock.now());
        let mut delivered = Vec::new();
        for delivery in deliveries {
            match state.deliver_log(delivery) {
                Ok(object) => delivered.push(object),
                Err(error) => tracing::warn!(target: "portico_cloud", "a load balancer's log was not delivered: {error}"),
            }
        }
        state.revision += 1;
        self.wanted.send_replace(state.revision);
        delivered
    }
}

fn prepare(file: LogFile, end: Timestamp) -> Option<Delivery> {
    let LogFile { stream, node, entries } = file;
    let content =
        compress(&entries).inspect_err(|error| tracing::error!(target: "portico_cloud", "a log was not compressed: {error}")).ok()?;
    Some(Delivery { stream, node, end, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_end_at_full_intervals() {
        let end = |at: &str, seconds| end_of_interval(at.parse().unwrap(), Duration::from_secs(seconds)).to_string();
        assert_eq!(end("2026-01-01T23:35:00Z", 300), "2026-01-01T23:40:00Z");
        assert_eq!(end("2026-01-01T23:39:59.999Z", 300), "2026-01-01T23:40:00Z");
        assert_eq!(end("2026-01-01T23:59:59Z", 3), "2026-01-02T00:00:00Z");
        let soon = end_of_interval("2026-01-01T00:00:00Z".parse().unwrap(), Duration::ZERO);
        assert_eq!(soon.to_string(), "2026-01-01T00:00:00.1Z");
    }
}
