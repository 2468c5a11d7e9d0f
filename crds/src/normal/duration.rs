//! Durations as Gateway API writes them.

use std::{str::FromStr, time::Duration};

/// Reads a duration of GEP-2257: one to four groups of one to five digits with a unit of `h`, `m`, `s` or `ms`, such as `1h30m` or `500ms`.
///
/// # Errors
/// A sentence for the author, if the text is anything else.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    gateway_api::Duration::from_str(text)
        .ok()
        // Milliseconds are the finest unit of GEP-2257: nothing is lost.
        .and_then(|duration| u64::try_from(duration.as_millis()).ok())
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is not a duration such as 500ms, 10s or 1h30m (digits with h, m, s or ms, at most four groups)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gep_2257() {
        for (text, millis) in [("0s", 0), ("500ms", 500), ("10s", 10_000), ("1h30m", 5_400_000), ("1m1s1ms", 61_001)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "-1s", "1.5s", "100000s", "1d", "1us", "1s1s1s1s1s", "ten seconds"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
