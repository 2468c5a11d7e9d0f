//! What is told of which news.

use super::*;
use crate::cluster::{ClusterError, EventSink};
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::watch::{Seen, Sighting};
use async_trait::async_trait;
use portico_providers::{AddressKind, LoadBalancerAddress, Outcome, Residue, RouteId, RouteKind};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Notebook(Mutex<Vec<String>>);

#[async_trait]
impl EventSink for Notebook {
    async fn create_event(&self, event: Value) -> Result<(), ClusterError> {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let line = format!("{} {} on {}: {}", text("/type"), text("/reason"), text("/regarding/kind"), text("/note"));
        self.0.lock().unwrap().push(line);
        Ok(())
    }

    async fn patch_event(&self, _: &str, _: &str, _: Value) -> Result<(), ClusterError> {
        Ok(())
    }
}

fn unit() -> UnitId {
    UnitId::Gateway(NamespacedName::new("a", "g"))
}

fn refusal(rule: u32) -> Refusal {
    let route = RouteId { kind: RouteKind::Http, key: NamespacedName::new("a", "r") };
    Refusal {
        subject: Subject::Rule(RuleId { route, rule, match_index: 0 }),
        field: format!("spec.rules[{rule}]"),
        cause: RefusalCause::Unsupported { detail: "An ALB cannot".into() },
        residue: Residue::Answer500,
        remedy: "Do it elsewhere.".into(),
    }
}

/// What is written of what `tell` tells, where the Gateway's Programmed has this status and the route's message this text.
async fn told(programmed: &str, message: &str, tell: impl FnOnce(&EventWitness)) -> Vec<String> {
    let world = SharedWorld::default();
    let condition = |name: &str, status: &str| json!([{"type": name, "status": status, "message": message}]);
    let gateway = json!({"metadata": {"name": "g", "namespace": "a"}, "spec": {"gatewayClassName": "c", "listeners": []},
        "status": {"conditions": condition("Programmed", programmed)}});
    let route = json!({"metadata": {"name": "r", "namespace": "a"}, "spec": {"rules": [{"backendRefs": [{"name": "web", "port": 80}]}]},
        "status": {"parents": [{"conditions": condition("Accepted", "False")}]}});
    let mut keeper = Keeper::new(world.clone(), BTreeSet::new());
    keeper.take([(Kind::Gateway, gateway), (Kind::HttpRoute, route)].map(|(kind, object)| Sighting { kind, seen: Seen::Applied(object) }));
    let (notebook, stop) = (Arc::new(Notebook::default()), CancellationToken::new());
    let (recorder, writing) = Recorder::new(notebook.clone(), "test".into(), Arc::new(Metrics::default()), stop.clone());
    tell(&EventWitness::new(world, recorder, Duration::from_secs(300)));
    stop.cancel();
    writing.await;
    notebook.0.lock().unwrap().clone()
}

fn step(action: Action) -> Step {
    Step { unit: unit(), action, resource: "x".into(), operation: "do".into(), reason: String::new() }
}

fn active() -> Outcome {
    let address = LoadBalancerAddress { kind: AddressKind::Hostname, value: "x.example".into() };
    Outcome { state: LoadBalancerState::Active, addresses: vec![address] }
}

#[tokio::test]
async fn a_load_balancer_that_serves_is_told_once() {
    let create = |witness: &EventWitness| {
        witness.changed(&step(Action::Create), None);
        witness.told(&unit(), &News::Passed(&active()));
    };
    assert_eq!(
        told("False", "", create).await,
        ["Normal Programmed on Gateway: The load balancer serves at x.example (1 created, 0 changed, 0 deleted)"]
    );
    // After a restart nothing is news.
    assert_eq!(told("True", "", |witness| witness.told(&unit(), &News::Passed(&active()))).await, Vec::<String>::new());
    assert_eq!(
        told("True", "", create).await,
        ["Normal Updated on Gateway: The load balancer was brought up to date (1 created, 0 changed, 0 deleted)"]
    );
    let drift = |witness: &EventWitness| {
        witness.told(&unit(), &News::Drifted);
        create(witness);
    };
    assert!(told("True", "", drift).await.first().is_some_and(|line| line.starts_with("Warning DriftRepaired on Gateway")));
    let delete = |witness: &EventWitness| {
        witness.changed(&step(Action::Delete), None);
        witness.told(&unit(), &News::Removed);
    };
    assert!(told("True", "", delete).await.first().is_some_and(|line| line.starts_with("Normal Deleted on Gateway")));
}

#[tokio::test]
async fn refusals_are_told_on_their_route_when_they_are_new() {
    let two = [refusal(0), refusal(1)];
    let refuse = |witness: &EventWitness| {
        witness.told(&unit(), &News::Refused(&two));
        witness.told(&unit(), &News::Refused(&two));
    };
    let expected = "Warning Refused on HTTPRoute: rules[0].matches[0], rules[1].matches[0]: An ALB cannot; its requests are answered 500. Do it elsewhere.";
    assert_eq!(told("True", "", refuse).await, [expected]);
    // What the status says already is no news after a restart.
    let said = format!("{}; {}", refusal(0), refusal(1));
    assert_eq!(told("True", &said, refuse).await, Vec::<String>::new());
}

#[tokio::test]
async fn failures_are_told_with_what_comes_next_but_not_what_passes_by_itself() {
    let fail = |class: &'static str, again: bool| {
        move |witness: &EventWitness| witness.told(&unit(), &News::Failed { error: "no subnet fits.", class, again })
    };
    assert_eq!(told("True", "", fail("throttled", true)).await, Vec::<String>::new());
    assert_eq!(
        told("True", "", fail("settings", false)).await,
        [
            "Warning InvalidSettings on Gateway: no subnet fits. Trying again alone does not help: it is tried when an object changes, and by the sweep every 300s"
        ]
    );
    assert!(told("True", "", fail("denied", true)).await.first().is_some_and(|line| line.ends_with("growing pauses of at most 2 min")));
}

#[tokio::test]
async fn targets_are_told_on_the_gateway_that_waited_and_on_the_routes_that_miss_them() {
    let service = NamespacedName::new("a", "web");
    let unready = |witness: &EventWitness| witness.told(&unit(), &News::Unready { service: &service, seconds: 120 });
    let line = told("True", "", unready).await.remove(0);
    assert!(line.starts_with("Warning TargetsNotReady on Gateway: No target of Service a/web became healthy within 120 s"), "{line}");
    let address = RejectedTarget { address: [192, 0, 2, 1].into(), port: 80, reason: "InvalidTarget: not in the VPC".into() };
    let rejected = |witness: &EventWitness| {
        witness.told(&unit(), &News::Rejected { service: &service, target: Some("Pod/a/web-1"), rejected: &address });
    };
    let line = told("True", "", rejected).await.remove(0);
    let expected = "Warning TargetRejected on HTTPRoute: Address 192.0.2.1, port 80 (Pod/a/web-1) of Service a/web gets no requests, the others do. \
         The cloud does not take it: InvalidTarget: not in the VPC.";
    assert!(line.starts_with(expected), "{line}");
}
