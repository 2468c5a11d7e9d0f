//! Errors, throttles and lost answers: an operator comes to the same end as in fair weather, and soon after the last of them.

use std::time::Duration;

use portico::operator::Limits;
use portico_crds::Kind;
use serde_json::{Value, json};

use crate::harness::wire::set_faults;
use crate::harness::{Bench, LIMIT, calls, cloud, is_full, parse, process::Manner, scenario};
use crate::kill::{PARTS, PLAIN, undisturbed};
use portico_cloud::{CloudConfig, Times};

/// Every fifth call fails, every twentieth takes effect and is not answered.
fn storm() -> Value {
    json!([error("*", 0.2), {"operation": "*", "kind": "lost_response", "rate": 0.05}])
}

pub fn error(operation: &str, rate: f64) -> Value {
    json!({"operation": operation, "kind": {"error": {"code": "InternalFailure", "status": 500}}, "rate": rate})
}

fn throttle(rate: f64) -> Value {
    json!([{"operation": "*", "kind": "throttle", "rate": rate}])
}

/// A life in that weather, from the first call to the last.
async fn life(name: &str, faults: Value, seed: u64, ends: &[Value]) {
    let config = CloudConfig { seed: Some(seed), ..cloud() };
    let bench = Bench::with(config, Manner::default()).await;
    set_faults(&bench.cloud, &faults).await;
    for (part, end) in PARTS.into_iter().zip(ends) {
        PLAIN.begin(part, &bench);
        bench.reaches(end, &format!("{part:?} in {name}, seed {seed}")).await;
    }
    // Nothing that a look could find is left to do.
    set_faults(&bench.cloud, &json!([])).await;
    assert_eq!(bench.plan(&[], &[]).await, calls([]));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_throttles_and_lost_answers_change_nothing_in_the_end() {
    let ends = undisturbed(PLAIN).await;
    let mut weathers = vec![("20 % errors and 5 % lost answers", storm()), ("20 % throttles", throttle(0.2))];
    let mut seeds = 1..=1;
    if is_full() {
        weathers.extend([
            ("10 % throttles", throttle(0.1)),
            ("50 % throttles", throttle(0.5)),
            ("30 % errors of reads", json!([error("reads", 0.3)])),
        ]);
        seeds = 1..=6;
    }
    for seed in seeds {
        let lives = weathers.iter().map(|(name, faults)| life(name, faults.clone(), seed, &ends));
        futures::future::join_all(lives).await;
    }
}

/// Each operation in turn fails more often than a pass tries it; then the weather clears. Whatever the pass left behind, at most two more make it good.
#[tokio::test(flavor = "multi_thread")]
async fn two_passes_after_the_last_fault_all_is_well() {
    let ends = undisturbed(PLAIN).await;
    let operations =
        ["CreateTargetGroup", "CreateRule", "CreateLoadBalancer", "CreateListener", "AuthorizeSecurityGroupIngress", "CreateSecurityGroup"];
    let kinds = [json!("lost_response"), json!({"error": {"code": "InternalFailure", "status": 500}})];
    let sample = operations.iter().enumerate().flat_map(|(index, operation)| {
        let kinds = kinds.iter().enumerate().filter(move |(kind, _)| is_full() || (index + kind).is_multiple_of(2));
        kinds.map(move |(_, kind)| (*operation, kind.clone()))
    });
    let lives = sample.map(|(operation, kind)| {
        let end = &ends[0];
        async move {
            let bench = Bench::start().await;
            // More than the tries of one call; those that are left hit the next pass.
            set_faults(&bench.cloud, &json!([{"operation": operation, "kind": kind, "remaining": 12}])).await;
            PLAIN.begin(PARTS[0], &bench);
            bench.reaches(end, &format!("{operation} fails by {kind}")).await;
            // Two load balancers: each may fail twice, and has two passes then.
            let passes = bench.process().passes();
            assert!(passes <= 8, "{operation} fails by {kind}: {passes} passes");
            bench.end().await;
        }
    });
    futures::future::join_all(lives).await;
}

/// What was just made is not found everywhere at once: the same calls, some of them twice, and the same end.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_late_is_waited_for() {
    let end = &undisturbed(PLAIN).await[0];
    let times = Times { listener_lag: Duration::from_millis(300), ..Times::default() };
    let bench = Bench::with(CloudConfig { times, ..cloud() }, Manner::default()).await;
    PLAIN.begin(PARTS[0], &bench);
    bench.reaches(end, "listeners are found late").await;
    assert!(!bench.cloud.calls().errors.is_empty(), "nothing was late");
    bench.end().await;
}

/// AWS takes up to minutes to let go of what a load balancer used. Whoever waits for that holds no worker meanwhile, and what serves traffic is well.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_in_use_holds_up_nobody() {
    let limits = Limits { units: 1, ..Limits::default() };
    let bench = Bench::with(cloud(), Manner { limits, ..Manner::default() }).await;
    bench.apply(&scenario::created()).await;
    let fault = |operation: &str, code: &str| json!({"operation": operation, "kind": {"error": {"code": code, "status": 400}}});
    let in_use = json!([fault("DeleteSecurityGroup", "DependencyViolation"), fault("DeleteTargetGroup", "ResourceInUse")]);
    set_faults(&bench.cloud, &in_use).await;
    let passes = bench.process().passes();
    let before = bench.cloud.calls().operations;
    // A load balancer that goes, and one that stays and needs a target group no more.
    bench.remove(&[(Kind::Gateway, "shop/inner")]);
    bench.put(parse(&scenario::route("admin", "{name: edge}", "  rules: [{backendRefs: [{name: api, port: 80}]}]")));
    bench.waits_for("a third try", |bench| bench.process().passes() >= passes + 6).await;
    let programmed = || bench.condition(Kind::Gateway, "shop/edge", "/status/conditions", "Programmed");
    assert_eq!(programmed(), "True Programmed");
    // The one worker is free for what is new.
    bench.put(parse(&scenario::prefix("more", "edge", "/more", "web")));
    bench.waits_for("a new rule", |bench| bench.calls_since(&before).mutations.contains_key("CreateRule")).await;
    let tries = bench.calls_since(&before).mutations;
    // Once, and three times more in a pass; of target groups that go there are at most four.
    let passes = bench.process().passes() - passes + 1;
    assert!(tries["DeleteSecurityGroup"] > 1 && tries["DeleteSecurityGroup"] <= 4 * passes, "{tries:?} in {passes} passes");
    assert!(tries["DeleteTargetGroup"] > 1 && tries["DeleteTargetGroup"] <= 16 * passes, "{tries:?} in {passes} passes");
    assert_eq!(programmed(), "True Programmed");

    set_faults(&bench.cloud, &json!([])).await;
    let gone = |bench: &Bench| bench.cluster.read(Kind::Gateway, &"shop/inner".parse().unwrap()).is_none();
    bench.waits_for("the end of the deletion", gone).await;
    let clean = async {
        while bench.plan(&[], &[]).await != calls([]) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, clean).await.expect("something is left");
    bench.end().await;
}
