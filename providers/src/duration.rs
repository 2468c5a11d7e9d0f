//! Durations as the Gateway API writes them (GEP-2257): `10s`, `1h30m`, in plans that people read.

use portico_crds::normal::parse_duration;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};
use std::time::Duration;

/// Writes the largest units first: `1h30m`, `10s`, `1s500ms`; milliseconds are the finest unit of GEP-2257.
pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(duration) = duration else { return serializer.serialize_none() };
    let (seconds, millis) = (duration.as_secs(), u64::from(duration.subsec_millis()));
    let groups = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (millis, "ms")];
    let text: String = groups.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    serializer.serialize_str(if text.is_empty() { "0s" } else { &text })
}

/// Reads what [`serialize`] writes, or any other duration of the Gateway API.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Option::<String>::deserialize(deserializer)?.map(|text| parse_duration(&text).map_err(Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use crate::Timeouts;
    use std::time::Duration;

    #[test]
    fn plans_show_durations_as_the_gateway_api_does() {
        let timeouts = Timeouts { request: Some(Duration::from_millis(1500)), backend_request: Some(Duration::ZERO) };
        let text = serde_json::to_string(&timeouts).unwrap();
        assert_eq!(text, r#"{"request":"1s500ms","backendRequest":"0s"}"#);
        assert_eq!(serde_json::from_str::<Timeouts>(&text).unwrap(), timeouts);
        assert_eq!(serde_json::from_str::<Timeouts>("{}").unwrap(), Timeouts::default());
    }
}
