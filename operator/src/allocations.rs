//! How often memory was allocated, for benchmarks: counts do not depend on the machine's mood. Only with the feature `count-allocations`.

use std::alloc::System;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations and reallocations so far.
pub fn count() -> u64 {
    let stats = ALLOCATOR.stats();
    u64::try_from(stats.allocations + stats.reallocations).unwrap_or(u64::MAX)
}

/// The metrics `allocations` and `allocated_bytes`.
#[derive(Debug)]
pub struct Allocations;

impl Collector for Allocations {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bytes = u64::try_from(ALLOCATOR.stats().bytes_allocated).unwrap_or(u64::MAX);
        for (name, help, count) in [
            ("allocations", "Allocations and reallocations of memory", count()),
            ("allocated_bytes", "Bytes of memory allocated in all", bytes),
        ] {
            let counter = ConstCounter::new(count);
            let encoder = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(encoder)?;
        }
        Ok(())
    }
}
