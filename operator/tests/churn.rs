//! Two operators on one route: neither loses a word of the other's, and neither answers the other's writes with writes of its own.

use std::time::{Duration, Instant};

use portico::cluster::{Cluster, ClusterError};
use portico_crds::{Kind, NamespacedName};
use serde_json::{Value, json};

use crate::harness::scenario::{class, gateway, pods, route, service};
use crate::harness::{Bench, is_full, parse};

/// The other operator: it reads, replaces its own entry and its own condition of ours, and writes with the version that it read.
struct Other {
    key: NamespacedName,
    round: u64,
    entry: Value,
    writes: u64,
    conflicts: u64,
}

const OTHER: &str = "example.com/other";

impl Other {
    /// One change of its entry; returns the status that it found before.
    async fn write(&mut self, bench: &Bench) -> Value {
        self.round += 1;
        let next = json!({"controllerName": OTHER, "parentRef": {"name": "theirs", "group": "example.com", "kind": "Mesh"}, "odd": [self.round, {"x": null}],
            "conditions": [{"type": "Accepted", "status": "True", "reason": "Theirs", "message": format!("round {}", self.round),
                "observedGeneration": 1, "lastTransitionTime": "2020-01-01T00:00:00Z"}]});
        for _ in 0..100 {
            let object = bench.cluster.read(Kind::HttpRoute, &self.key).unwrap();
            let mut status = object.get("status").cloned().unwrap_or_else(|| json!({"parents": []}));
            let found = status.clone();
            let parents = status["parents"].as_array_mut().unwrap();
            match parents.iter_mut().find(|entry| entry["controllerName"] == OTHER) {
                Some(entry) => *entry = next.clone(),
                None => parents.insert(0, next.clone()),
            }
            // Between its read and its write there is time for ours.
            tokio::task::yield_now().await;
            match bench.cluster.write_status(Kind::HttpRoute, &object, status).await {
                Ok(_) => {
                    self.writes += 1;
                    if self.round > 1 {
                        let theirs: Vec<_> =
                            found["parents"].as_array().unwrap().iter().filter(|entry| entry["controllerName"] == OTHER).collect();
                        assert_eq!(theirs, [&self.entry], "somebody touched the other operator's entry");
                    }
                    self.entry = next;
                    return found;
                }
                Err(ClusterError::Conflict) => self.conflicts += 1,
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the other operator never gets to write");
    }
}

fn ours(status: &Value) -> Vec<&Value> {
    status["parents"].as_array().unwrap().iter().filter(|entry| entry["controllerName"] != OTHER).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_on_one_route_lose_nothing_and_leave_each_other_in_peace() {
    let bench = Bench::start().await;
    let two = |backend: &str| {
        route("web", "{name: edge}, {name: inner}", &format!("  rules: [{{backendRefs: [{{name: {backend}, port: 80}}]}}]"))
    };
    bench.apply(&[class(), gateway("edge"), gateway("inner"), service("web", 80), pods("web", &[1]), two("web")].concat()).await;
    let mut other = Other { key: "shop/web".parse().unwrap(), round: 0, entry: Value::Null, writes: 0, conflicts: 0 };

    // Only the other one has something to say.
    let before = bench.cluster.status_writes();
    for _ in 0..50 {
        let found = other.write(&bench).await;
        assert_eq!(ours(&found).len(), 2);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bench.settle().await;
    assert_eq!(bench.cluster.status_writes() - before, other.writes, "it was answered");

    // Both have, again and again: a missing backend comes and goes.
    let (time, begun) = (if is_full() { Duration::from_secs(60) } else { Duration::from_secs(6) }, Instant::now());
    let (before, theirs, mut changes) = (bench.cluster.status_writes(), other.writes, 0);
    while begun.elapsed() < time {
        changes += 1;
        bench.put(parse(&two(if changes % 2 == 0 { "web" } else { "gone" })));
        for _ in 0..7 {
            let found = other.write(&bench).await;
            assert_eq!(ours(&found).len(), 2, "an entry of ours is lost: {found}");
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
    bench.settle().await;
    // Each change may be news for the route in two passes, one per Gateway, each of which says it before and after its calls; the Gateways may change too.
    let written = bench.cluster.status_writes() - before - (other.writes - theirs);
    assert!(written <= changes * 6, "{written} writes of ours for {changes} changes");
    let status = bench.cluster.read(Kind::HttpRoute, &other.key).unwrap()["status"].clone();
    assert!(status["parents"].as_array().unwrap().contains(&other.entry), "{status}");
    let generation = bench.cluster.read(Kind::HttpRoute, &other.key).unwrap()["metadata"]["generation"].clone();
    for entry in ours(&status) {
        for condition in entry["conditions"].as_array().unwrap() {
            assert_eq!(condition["observedGeneration"], generation, "{status}");
        }
    }
    eprintln!("{changes} changes, {written} writes of ours, {} of the other's, {} conflicts of the other's", other.writes, other.conflicts);
    bench.end().await;
}
