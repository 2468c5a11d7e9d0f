//! How far proxies are with what they were told.

use portico_envoy::observed::Version;
use serde::{Deserialize, Serialize};

/// Names a stream within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// Where the proxies of this process are with a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Version of everything that is published for the unit; absent if nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Proxies that are connected.
    pub proxies: u32,
    /// Proxies that acknowledged all of it.
    pub acknowledged: u32,
    /// Proxies that had all of it once, or are new and have not had it yet, and still owe an answer. A new proxy is not counted while others serve.
    pub waiting: u32,
    /// What proxies refused, in Envoy's words, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<String>,
    /// Where no proxy is connected: why the last one that tried was turned away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turned_away: Option<String>,
}
