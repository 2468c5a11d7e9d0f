//! The cloud's clock: never goes back, whatever happens to the machine's.

use std::time::{Duration, Instant};

use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};

/// A clock that starts at the machine's time and then only moves forward.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Timestamp,
    started: Instant,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        Self { start: Timestamp::now(), started: Instant::now() }
    }

    /// The moment.
    pub fn now(&self) -> Timestamp {
        after(self.start, self.started.elapsed())
    }
}

/// The moment that lies so much later.
pub fn after(at: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration).ok().and_then(|duration| at.checked_add(duration).ok()).unwrap_or(Timestamp::MAX)
}

/// The time as HTTP dates are written.
pub fn http_date(time: Timestamp) -> String {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
}
