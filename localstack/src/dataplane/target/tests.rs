use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::dataplane::{
    DataPlane,
    config::{DataPlaneOptions, FlowOptions, HealthCheck, ProtocolVersion, TargetProtocol, WeightedTargetGroup},
};

fn group(targets: &[&str]) -> TargetGroup {
    TargetGroup {
        id: TargetGroupId::from("group"),
        protocol: TargetProtocol::Http,
        version: ProtocolVersion::Http1,
        health_check: HealthCheck::default(),
        algorithm: Algorithm::RoundRobin,
        stickiness: None,
        cross_zone: true,
        minimum_healthy_count: 1,
        minimum_healthy_percentage: None,
        flows: FlowOptions::default(),
        slow_start: Duration::ZERO,
        targets: targets
            .iter()
            .map(|id| Target {
                id: TargetId::from(*id),
                address: [127, 0, 0, 1].into(),
                port: 1,
                zone: None,
                reachability: Reachability::Blocked,
                flow_reach: Arc::default(),
                check_reachability: Reachability::Blocked,
                draining: false,
            })
            .collect(),
    }
}

/// A group in force, its targets' health set by hand.
fn state(config: TargetGroup, healthy: &[&str]) -> TargetGroupState {
    let shared = DataPlane::new(DataPlaneOptions::default()).shared;
    let state = TargetGroupState::new(&Arc::new(config), Usage::Zones(&[]), None, &shared);
    shared.hard_stop.cancel();
    for target in &state.targets {
        if healthy.contains(&target.state.id.as_str()) {
            target.state.publish(&TargetHealth::healthy());
        }
    }
    state
}

fn picks(state: &TargetGroupState, headers: &HeaderMap, count: usize) -> BTreeMap<String, usize> {
    let random = Random::new(Some(7));
    let mut picks = BTreeMap::new();
    for _ in 0..count {
        if let Some(target) = state.pick(headers, Timestamp::now(), &random) {
            *picks.entry(target.state.id.to_string()).or_default() += 1;
        }
    }
    picks
}

fn counts(rows: &[(&str, usize)]) -> BTreeMap<String, usize> {
    rows.iter().map(|(id, count)| ((*id).to_owned(), *count)).collect()
}

#[tokio::test]
async fn round_robin_takes_turns_among_the_healthy() {
    let state = state(group(&["a", "b", "c"]), &["a", "c"]);
    assert_eq!(picks(&state, &HeaderMap::new(), 10), counts(&[("a", 5), ("c", 5)]));
    assert_eq!(state.requests(), 10);
}

#[tokio::test]
async fn without_enough_healthy_targets_all_get_requests() {
    assert_eq!(picks(&state(group(&["a", "b"]), &[]), &HeaderMap::new(), 10), counts(&[("a", 5), ("b", 5)]));
    let mut two_needed = group(&["a", "b", "c"]);
    two_needed.minimum_healthy_count = 2;
    assert_eq!(picks(&state(two_needed, &["a"]), &HeaderMap::new(), 9), counts(&[("a", 3), ("b", 3), ("c", 3)]));
    let mut half_needed = group(&["a", "b", "c"]);
    half_needed.minimum_healthy_percentage = Some(50);
    assert_eq!(picks(&state(half_needed.clone(), &["a"]), &HeaderMap::new(), 9).len(), 3);
    assert_eq!(picks(&state(half_needed, &["a", "b"]), &HeaderMap::new(), 9).len(), 2);
}

#[tokio::test]
async fn draining_targets_and_foreign_zones_get_nothing_even_when_open() {
    let mut config = group(&["a", "b", "c"]);
    config.targets[0].draining = true;
    config.targets[1].zone = Some("zone-that-is-not-enabled".into());
    assert_eq!(picks(&state(config.clone(), &[]), &HeaderMap::new(), 4), counts(&[("c", 4)]));
    config.targets.pop();
    assert_eq!(picks(&state(config, &[]), &HeaderMap::new(), 4), counts(&[]));
}

#[tokio::test]
async fn least_outstanding_requests_prefers_the_idle() {
    let mut config = group(&["a", "b", "c"]);
    config.algorithm = Algorithm::LeastOutstandingRequests;
    let state = state(config, &["a", "b", "c"]);
    state.targets[0].state.outstanding.store(3, Ordering::Relaxed);
    state.targets[1].state.outstanding.store(1, Ordering::Relaxed);
    state.targets[2].state.outstanding.store(2, Ordering::Relaxed);
    assert_eq!(picks(&state, &HeaderMap::new(), 5), counts(&[("b", 5)]));
    // Of equals, each in turn.
    state.targets[2].state.outstanding.store(1, Ordering::Relaxed);
    let picked = picks(&state, &HeaderMap::new(), 30);
    assert!(picked["b"] >= 10 && picked["c"] >= 10, "{picked:?}");
}

#[tokio::test]
async fn weighted_random_spreads() {
    let mut config = group(&["a", "b"]);
    config.algorithm = Algorithm::WeightedRandom;
    let picked = picks(&state(config, &["a", "b"]), &HeaderMap::new(), 1000);
    assert!((450..=550).contains(&picked["a"]), "{picked:?}");
}

#[tokio::test]
async fn slow_start_gives_a_new_target_less() {
    let mut config = group(&["new", "old"]);
    config.slow_start = Duration::from_secs(30);
    let state = state(config, &["new", "old"]);
    let half_way = u64::try_from(Timestamp::now().as_millisecond()).unwrap() - 10_000;
    state.targets[0].state.healthy_since.store(half_way, Ordering::Relaxed);
    state.targets[1].state.healthy_since.store(0, Ordering::Relaxed);
    // A third of the duration: shares 1 to 3.
    let picked = picks(&state, &HeaderMap::new(), 1000);
    assert!((200..=300).contains(&picked["new"]), "{picked:?}");
}

#[tokio::test]
async fn cookies_pin_targets_that_get_requests() {
    let mut config = group(&["a", "b"]);
    config.stickiness = Some(TargetStickiness::LoadBalancerCookie { duration: Duration::from_secs(60) });
    let now = Timestamp::now();
    let mut headers = HeaderMap::new();
    headers.insert("cookie", format!("AWSALB={}", stickiness::value("b", 60, now)).parse().unwrap());
    assert_eq!(picks(&state(config.clone(), &["a", "b"]), &headers, 6), counts(&[("b", 6)]));
    // Not while the pinned target is unhealthy.
    assert_eq!(picks(&state(config.clone(), &["a"]), &headers, 6), counts(&[("a", 6)]));
    // The application's cookie must be there too.
    config.stickiness = Some(TargetStickiness::ApplicationCookie { name: "SESSION".into(), duration: Duration::from_secs(60) });
    headers.insert("cookie", format!("AWSALBAPP-0={}", stickiness::value("b", 60, now)).parse().unwrap());
    assert_eq!(picks(&state(config.clone(), &["a", "b"]), &headers, 6).len(), 2);
    headers.append("cookie", "SESSION=1".parse().unwrap());
    assert_eq!(picks(&state(config, &["a", "b"]), &headers, 6), counts(&[("b", 6)]));
}

#[test]
fn groups_get_their_weight() {
    let forward = |weights: &[u32], sticky: bool| Forward {
        target_groups: weights
            .iter()
            .enumerate()
            .map(|(index, weight)| WeightedTargetGroup { target_group: TargetGroupId::from(format!("g{index}")), weight: *weight })
            .collect(),
        stickiness: sticky.then_some(Duration::from_secs(60)),
    };
    let random = Random::new(Some(11));
    let now = Timestamp::now();
    let pick = |forward: &Forward, headers: &HeaderMap| pick_group(forward, headers, now, &random).map(ToString::to_string);
    let none = HeaderMap::new();
    let mut picked = BTreeMap::<String, usize>::new();
    for _ in 0..2000 {
        *picked.entry(pick(&forward(&[90, 10, 0], false), &none).unwrap()).or_default() += 1;
    }
    assert!((1740..=1860).contains(&picked["g0"]) && !picked.contains_key("g2"), "{picked:?}");
    assert_eq!(pick(&forward(&[5], false), &none).as_deref(), Some("g0"));
    assert_eq!(pick(&forward(&[0], false), &none), None);
    assert_eq!(pick(&forward(&[0, 0], false), &none), None);

    let mut pinned = HeaderMap::new();
    pinned.insert("cookie", format!("AWSALBTG={}", stickiness::value("g1", 60, now)).parse().unwrap());
    assert!((0..50).all(|_| pick(&forward(&[999, 1], true), &pinned).as_deref() == Some("g1")));
    // A group without weight is none of the rule's, and a rule without stickiness reads no cookie.
    assert_eq!(pick(&forward(&[1, 0], true), &pinned).as_deref(), Some("g0"));
    assert!((0..50).any(|_| pick(&forward(&[999, 1], false), &pinned).as_deref() == Some("g0")));
}
