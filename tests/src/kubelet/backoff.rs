//! How long a container that ended waits for its restart.

use std::time::Duration;

/// Kubernetes starts at 10 s and ends at 5 min; a lab is there for minutes, so all of it is shorter. The first restart is
/// at once, as in Kubernetes.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(20);
/// A run that lasted this long clears the record (Kubernetes: 10 min).
const FORGIVING: Duration = Duration::from_secs(60);

/// The pauses between a container's runs.
#[derive(Debug, Default)]
pub struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// The pause before the next run, after one that lasted `lasted`.
    pub fn next(&mut self, lasted: Duration) -> Duration {
        let pause = match self.last {
            Some(last) if lasted < FORGIVING => (last * 2).clamp(FIRST, LONGEST),
            _ => Duration::ZERO,
        };
        self.last = Some(pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_bound_and_a_long_run_clears_them() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u64> = (0..8).map(|_| backoff.next(Duration::from_millis(5)).as_secs()).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 20, 20]);
        assert_eq!(backoff.next(FORGIVING), Duration::ZERO);
        assert_eq!(backoff.next(Duration::ZERO), FIRST);
    }
}
