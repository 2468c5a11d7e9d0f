//! Times as Kubernetes writes them.

/// RFC 3339: UTC, in whole seconds.
pub fn rfc3339(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
