//! Targets in bad weather: addresses that the cloud does not take, that still drain, and limits at the call.

use std::time::Duration;

use portico_cloud::{CloudConfig, Quotas};
use portico_crds::Kind;
use portico_providers::{Provider, TargetState};
use serde_json::json;

use crate::harness::process::Manner;
use crate::harness::scenario::{class, gateway, pods, prefix, service, slice};
use crate::harness::{Bench, LIMIT, calls, cloud, parse, wire};

/// Addresses of the only target group that are registered, those that drain left out; sorted.
async fn registered(bench: &Bench) -> Vec<String> {
    let operator = &bench.process().operator;
    let sinks = operator.targets().sinks();
    assert_eq!(sinks.len(), 1);
    let found = operator.engine().provider().target_health(&sinks[0]).await.unwrap();
    let mut addresses: Vec<_> =
        found.into_iter().filter(|target| target.state != TargetState::Draining).map(|target| target.address.to_string()).collect();
    addresses.sort();
    addresses
}

fn shop(addresses: &[&str]) -> String {
    let slice = slice("web", 3000, addresses.iter().map(|address| (*address).to_owned()));
    [class(), gateway("edge"), service("web", 80), slice, prefix("web", "edge", "/", "web")].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_cloud_refuses_costs_no_other() {
    let bench = Bench::start().await;
    // AWS takes no public addresses.
    let good: Vec<String> = (1..=30).map(|n| format!("198.19.0.{n}")).collect();
    let mut all: Vec<&str> = good.iter().map(String::as_str).collect();
    all.extend(["8.8.8.8", "9.9.9.9"]);
    let cost = bench.apply(&shop(&all)).await;
    let mut expected = good.clone();
    expected.sort();
    assert_eq!(registered(&bench).await, expected);
    assert!(cost.mutations["RegisterTargets"] <= 4, "{cost:?}");
    // They are not offered again with each change of the others.
    let cost = bench.cost(async |bench| bench.put(parse(&shop(&all[1..])))).await;
    assert_eq!(cost.mutations, calls([("DeregisterTargets", 1)]));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_comes_back_while_it_drains_is_registered_as_soon_as_it_may_be() {
    let bench = Bench::start().await;
    let (one, two) = ("198.19.0.1", "198.19.0.2");
    bench.apply(&shop(&[one, two])).await;
    bench.apply(&shop(&[one])).await;
    assert_eq!(registered(&bench).await, [one]);
    let cost = bench.apply(&shop(&[one, two])).await;
    assert_eq!(cost.mutations, calls([]), "registering it is refused while it drains");
    let again = async {
        while registered(&bench).await != [one, two] {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(LIMIT, again).await.expect("it is never registered again");
    bench.end().await;
}

fn aged(name: &str, year: u32) -> String {
    prefix(name, "edge", &format!("/{name}"), "web")
        .replace("namespace: shop}", &format!("namespace: shop, creationTimestamp: '{year}-01-01T00:00:00Z'}}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_beyond_the_quota_says_so_and_the_others_are_served() {
    let quotas = Quotas { rules_per_load_balancer: 2, ..Quotas::default() };
    let bench = Bench::with(CloudConfig { quotas, ..cloud() }, Manner::default()).await;
    let base = [class(), gateway("edge"), service("web", 80), pods("web", &[1])].concat();
    let put = async |manifests: &str| bench.cost(async |bench| bench.put(parse(manifests))).await;
    put(&[base, aged("new", 2025), aged("old", 2023)].concat()).await;
    // A newer one comes: nothing is called for it, and it says why it is not served.
    let cost = put(&aged("newest", 2026)).await;
    assert_eq!(cost.mutations, calls([]));
    let accepted = |name: &str| bench.condition_of(Kind::HttpRoute, &format!("shop/{name}"), "/status/parents/0/conditions", "Accepted");
    let message = accepted("newest").to_string();
    assert!(message.contains("needs 3 rules, the ALB allows 2"), "{message}");
    for (path, status) in [("/new", 200), ("/old", 200), ("/newest", 404)] {
        assert_eq!(bench.request("a.example.com", path).await.0, status, "{path}");
    }
    // An older one comes: the newest of those that were served goes.
    put(&aged("oldest", 2020)).await;
    for (path, status) in [("/oldest", 200), ("/old", 200), ("/new", 404)] {
        assert_eq!(bench.request("a.example.com", path).await.0, status, "{path}");
    }
    // Room comes back, and with it the next one.
    bench.cost(async |bench| bench.remove(&[(Kind::HttpRoute, "shop/old")])).await;
    assert_eq!(bench.request("a.example.com", "/new").await.0, 200);
    assert_eq!(accepted("new")["status"], json!("True"));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_at_the_call_costs_only_what_needs_it() {
    let bench = Bench::start().await;
    let base = [class(), gateway("edge"), service("web", 80), service("other", 80), pods("web", &[1]), pods("other", &[2])].concat();
    bench.apply(&[base, prefix("web", "edge", "/web", "web")].concat()).await;
    // The region is full of target groups, which no limit of the load balancer tells.
    let full = json!([{"operation": "CreateTargetGroup", "kind": {"error": {"code": "TooManyTargetGroups", "status": 400}}}]);
    wire::set_faults(&bench.cloud, &full).await;
    bench.put(parse(&[prefix("other", "edge", "/other", "other"), prefix("more", "edge", "/web/more", "web")].concat()));
    let served = async {
        while bench.request("a.example.com", "/web/more").await.1["path"] != json!("/web/more")
            || bench.cloud.calls().operations.get("elasticloadbalancing.CreateRule") != Some(&2)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, served).await.expect("the rule that needs no new target group is not made");
    assert_eq!(bench.request("a.example.com", "/other").await.0, 404);
    wire::set_faults(&bench.cloud, &json!([])).await;
    bench.look_afresh("shop/edge");
    bench.settle().await;
    assert_eq!(bench.request("a.example.com", "/other").await.0, 200);
    bench.end().await;
}
