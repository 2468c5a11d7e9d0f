//! Time limits, as far as an answer tells without a clock: who is asked to wait for much longer misses one, who is asked for nothing keeps a long one.

use super::api::Timeouts;
use super::request::Request;

/// Below this, a busy machine may miss a limit.
const LONG_MILLISECONDS: u64 = 5_000;
/// The query parameter by which the echo server is asked to wait.
pub const DELAY: &str = "delay";

/// Whether a limit is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// There is none, or it is long enough.
    Kept,
    /// Nobody can say.
    Doubtful,
    /// The backend takes longer.
    Missed,
}

impl Limit {
    /// Whether those of a rule are kept by a request.
    pub fn of(limits: &Timeouts, request: &Request) -> Self {
        let wait = request.parameter(DELAY).and_then(milliseconds).unwrap_or(0);
        match limits.shortest() {
            None => Self::Kept,
            Some(limit) if wait >= 10 * limit => Self::Missed,
            Some(limit) if limit >= LONG_MILLISECONDS && wait < limit / 2 => Self::Kept,
            Some(_) => Self::Doubtful,
        }
    }
}

impl Timeouts {
    /// Whether there is a limit.
    pub fn limits(&self) -> bool {
        self.shortest().is_some()
    }

    /// Whether there is a limit that a busy machine may miss.
    pub fn are_short(&self) -> bool {
        self.shortest().is_some_and(|limit| limit < LONG_MILLISECONDS)
    }

    /// The shorter of the two, in milliseconds. With retries an attempt that takes too long is repeated, and takes too long again.
    fn shortest(&self) -> Option<u64> {
        let limits = [&self.request, &self.backend_request].into_iter().flatten();
        limits.filter_map(|limit| milliseconds(limit)).filter(|limit| *limit > 0).min()
    }
}

/// A duration of one unit.
fn milliseconds(text: &str) -> Option<u64> {
    let (number, factor) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1_000),
        (None, None) => (text.strip_suffix('m')?, 60_000),
    };
    number.parse().ok().map(|number: u64| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_far_from_a_limit_is_decided() {
        let limits = |request: &str| Timeouts { request: Some(request.into()), backend_request: None };
        let delay = |delay: &str| Request { query: Some(format!("x=1&delay={delay}")), ..Request::get("/") };
        for (limit, wait, expected) in [
            ("0s", "3s", Limit::Kept),
            ("10s", "100ms", Limit::Kept),
            ("10s", "9s", Limit::Doubtful),
            ("100ms", "2s", Limit::Missed),
            ("100ms", "200ms", Limit::Doubtful),
            ("100ms", "", Limit::Doubtful),
            ("1m", "0", Limit::Kept),
        ] {
            assert_eq!(Limit::of(&limits(limit), &delay(wait)), expected, "{limit} {wait}");
        }
        assert_eq!(Limit::of(&Timeouts::default(), &delay("3s")), Limit::Kept);
    }
}
