//! Time and allocations of something, and a line that shows them.

use std::time::{Duration, Instant};

/// What something cost.
pub struct Cost {
    time: Duration,
    allocations: Option<u64>,
}

/// A measurement that has begun.
pub struct Begun {
    at: Instant,
    allocations: Option<u64>,
}

/// Begins to measure.
pub fn begin() -> Begun {
    Begun { allocations: allocations(), at: Instant::now() }
}

impl Begun {
    /// What was done since.
    pub fn end(&self) -> Cost {
        self.end_at(Instant::now())
    }

    /// What was done since, of which the last took place at that time.
    pub fn end_at(&self, last: Instant) -> Cost {
        let allocations = allocations().zip(self.allocations).map(|(now, before)| now.saturating_sub(before));
        Cost { time: last.saturating_duration_since(self.at), allocations }
    }
}

/// Measures some work.
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let begun = begin();
    let result = work();
    let cost = begun.end();
    (result, cost)
}

/// Shows what something cost, with the bytes that came of it.
pub fn show(what: &str, cost: &Cost, bytes: Option<u64>) {
    let or_dash = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let time = format!("{:.1} ms", cost.time.as_secs_f64() * 1000.0);
    println!("{what:<40}{time:>12}{:>14}{:>14}", or_dash(cost.allocations), or_dash(bytes));
}

#[cfg(feature = "count-allocations")]
fn allocations() -> Option<u64> {
    Some(portico::allocations::count())
}

#[cfg(not(feature = "count-allocations"))]
fn allocations() -> Option<u64> {
    None
}
