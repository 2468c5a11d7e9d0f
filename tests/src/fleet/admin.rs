//! A proxy's admin interface: what it holds, what it refused, and how to make it do things.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use http::Method;
use serde_json::Value;

use crate::client;

/// The lists of `/config_dump` that come from the operator, and where their members have their names.
const RESOURCES: [(&str, &str, &str); 4] = [
    ("dynamic_listeners", "listener", "/name"),
    ("dynamic_active_clusters", "cluster", "/cluster/name"),
    ("dynamic_warming_clusters", "cluster", "/cluster/name"),
    ("dynamic_route_configs", "routes", "/route_config/name"),
];

/// The admin interface of a proxy.
#[derive(Debug, Clone)]
pub struct Admin(SocketAddr);

impl Admin {
    /// At that address.
    pub fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0)
    }

    /// Whether it answers at all.
    pub async fn answers(&self) -> bool {
        client::get(&self.url("/server_info")).await.is_ok_and(|answer| answer.status.is_success())
    }

    /// Whether the proxy has had its first configuration and serves.
    pub async fn is_live(&self) -> bool {
        client::get(&self.url("/ready")).await.is_ok_and(|answer| answer.status.is_success())
    }

    /// Asks for a change: `/drain_listeners?graceful`, `/runtime_modify?KEY=VALUE`, ….
    pub async fn post(&self, path: &str) -> Result<()> {
        let answer = client::send(Method::POST, &self.url(path), &[], "").await?;
        ensure!(answer.status.is_success(), "{path}: {}", answer.text());
        Ok(())
    }

    /// The counters and gauges whose names hold that regular expression.
    pub async fn stats(&self, filter: &str) -> Result<BTreeMap<String, u64>> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("filter", filter).finish();
        Ok(counters(&client::get(&self.url(&format!("/stats?{query}"))).await?.text()))
    }

    /// The sum of those.
    pub async fn total(&self, filter: &str) -> Result<u64> {
        Ok(self.stats(filter).await?.values().sum())
    }

    /// How many updates it refused, of any kind.
    pub async fn refused(&self) -> Result<u64> {
        self.total(r"\.update_rejected$").await
    }

    /// The addresses of the endpoints that clusters have whose names hold that text, sorted.
    pub async fn endpoints(&self, cluster: &str) -> Result<Vec<String>> {
        Ok(endpoints(&client::get(&self.url("/clusters?format=json")).await?.json()?, cluster))
    }

    /// All that it has, and what it counts, in its own words.
    pub async fn dump(&self) -> Result<String> {
        let mut text = String::new();
        for path in ["/config_dump?include_eds", "/clusters", "/stats?usedonly"] {
            text.push_str(&format!("{path}\n{}\n", client::get(&self.url(path)).await?.text()));
        }
        Ok(text)
    }

    /// All that it has from the operator: `listener NAME`, `cluster NAME`, `routes NAME`.
    pub async fn resources(&self) -> Result<BTreeSet<String>> {
        Ok(resources(&client::get(&self.url("/config_dump")).await?.json()?))
    }
}

fn counters(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter_map(|line| line.rsplit_once(": "));
    lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

fn endpoints(clusters: &Value, wanted: &str) -> Vec<String> {
    let all = clusters.get("cluster_statuses").and_then(Value::as_array).into_iter().flatten();
    let chosen = all.filter(|cluster| cluster.get("name").and_then(Value::as_str).is_some_and(|name| name.contains(wanted)));
    let hosts = chosen.filter_map(|cluster| cluster.get("host_statuses")?.as_array()).flatten();
    let addresses = hosts.filter_map(|host| host.pointer("/address/socket_address/address")?.as_str());
    addresses.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

fn resources(dump: &Value) -> BTreeSet<String> {
    let parts = dump.get("configs").and_then(Value::as_array).into_iter().flatten();
    let mut found = BTreeSet::new();
    for part in parts {
        for (list, kind, name) in RESOURCES {
            let members = part.get(list).and_then(Value::as_array).into_iter().flatten();
            let names = members.filter_map(|member| member.pointer(name)?.as_str());
            found.extend(names.map(|name| format!("{kind} {name}")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counters_are_read_and_histograms_are_not() {
        let text = "a.update_rejected: 1\nb: 20\nc: P0(nan,0) P25(nan,0)\nd: No recorded values\n";
        assert_eq!(counters(text), BTreeMap::from([("a.update_rejected".to_owned(), 1), ("b".to_owned(), 20)]));
    }

    #[test]
    fn endpoints_are_those_of_the_clusters_that_are_asked_for() {
        let host = |address: &str| json!({"address": {"socket_address": {"address": address, "port_value": 3000}}});
        let clusters = json!({"cluster_statuses": [
            {"name": "service/shop/one", "host_statuses": [host("198.19.0.3"), host("198.19.0.2")]},
            {"name": "service/other/one", "host_statuses": [host("198.19.0.9")]},
            {"name": "service/shop/two"},
        ]});
        assert_eq!(endpoints(&clusters, "/shop/"), ["198.19.0.2", "198.19.0.3"]);
    }

    #[test]
    fn what_came_from_the_operator_is_told_from_what_the_bootstrap_has() {
        let dump = json!({"configs": [
            {"static_listeners": [{"listener": {"name": "metrics"}}], "dynamic_listeners": [{"name": "l", "active_state": {}}]},
            {"static_clusters": [{"cluster": {"name": "portico"}}], "dynamic_active_clusters": [{"cluster": {"name": "c"}}]},
            {"dynamic_route_configs": [{"route_config": {"name": "r"}}]},
        ]});
        let expected = ["cluster c", "listener l", "routes r"].map(str::to_owned);
        assert_eq!(resources(&dump), BTreeSet::from(expected));
    }
}
