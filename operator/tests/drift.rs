//! What somebody does to the cloud by hand is found by the sweep and undone, at the price that the plan names and within the sweep's budget of reads.

use std::collections::BTreeMap;
use std::time::Duration;

use portico_crds::Kind;
use portico_providers::{ClusterId, Provider};
use serde_json::{Value, json};

use crate::harness::{Bench, Cost, calls, is_full, parse, process, scenario, wire};
use crate::weather;

/// What is in the cloud, by what the drifts below need.
struct Handles {
    balancer: String,
    listener: String,
    /// By priority.
    rules: Vec<String>,
    priorities: BTreeMap<String, String>,
    target_group: String,
    target: (String, String),
    /// The load balancer's security group, and one that lets it in.
    groups: (String, String),
}

async fn handles(bench: &Bench) -> Handles {
    let state = wire::state(&bench.cloud).await;
    let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
    let balancer = &state["load_balancers"][0];
    let listener = balancer["listeners"].as_object().unwrap().values().next().unwrap();
    let mut rules: Vec<_> = listener["rules"].as_object().unwrap().values().collect();
    rules.sort_by_key(|rule| rule["priority"].as_u64());
    let group = &state["target_groups"][0];
    let target = group["targets"].as_object().unwrap().keys().next().unwrap();
    let (address, port) = target.rsplit_once(':').unwrap();
    let own = text(balancer, "/security_groups/0");
    let backend = state["security_groups"]
        .as_array()
        .unwrap()
        .iter()
        .find(|group| group["id"] != json!(own) && group["rules"].to_string().contains(&own));
    Handles {
        balancer: text(balancer, "/arn"),
        listener: text(listener, "/arn"),
        priorities: rules.iter().map(|rule| (text(rule, "/arn"), rule["priority"].to_string())).collect(),
        rules: rules.into_iter().map(|rule| text(rule, "/arn")).collect(),
        target_group: text(group, "/arn"),
        target: (address.to_owned(), port.to_owned()),
        groups: (own, text(backend.unwrap(), "/id")),
    }
}

const FIXED: [(&str, &str); 2] = [("Actions.member.1.Type", "fixed-response"), ("Actions.member.1.FixedResponseConfig.StatusCode", "418")];

/// What somebody does, and the call that it takes.
const DRIFTS: [(&str, &str); 13] = [
    ("a rule altered", "ModifyRule"),
    ("a rule deleted", "DeleteRule"),
    ("a rule of somebody else's on our listener", "CreateRule"),
    ("two rules exchanged", "SetRulePriorities"),
    ("the listener's default action altered", "ModifyListener"),
    ("the listener deleted", "DeleteListener"),
    ("a target deregistered", "DeregisterTargets"),
    ("a stranger registered as a target", "RegisterTargets"),
    ("a tag of the load balancer removed", "RemoveTags"),
    ("an attribute of the load balancer altered", "ModifyLoadBalancerAttributes"),
    ("an attribute of a target group altered", "ModifyTargetGroupAttributes"),
    ("the health check of a target group altered", "ModifyTargetGroup"),
    ("the way to the pods closed", "RevokeSecurityGroupIngress"),
];

/// Does it.
async fn interfere(bench: &Bench, (drift, action): (&str, &str)) {
    let h = handles(bench).await;
    let (address, port) = (h.target.0.as_str(), h.target.1.as_str());
    let (own, backend) = (h.groups.0.as_str(), h.groups.1.as_str());
    let listener = h.listener.as_str();
    let attribute = |key| [("Attributes.member.1.Key", key), ("Attributes.member.1.Value", "7")];
    let priorities = h.rules[..2].iter().rev().map(|rule| h.priorities[rule].clone()).collect::<Vec<_>>();
    let parameters: Vec<(&str, &str)> = match drift {
        "a rule altered" => [&[("RuleArn", h.rules[0].as_str())][..], &FIXED].concat(),
        "a rule deleted" => vec![("RuleArn", &h.rules[1])],
        "a rule of somebody else's on our listener" => {
            let condition = [("Conditions.member.1.Field", "path-pattern"), ("Conditions.member.1.Values.member.1", "/*")];
            [&[("ListenerArn", listener), ("Priority", "1")][..], &condition, &FIXED].concat()
        }
        "two rules exchanged" => vec![
            ("RulePriorities.member.1.RuleArn", &h.rules[0]),
            ("RulePriorities.member.1.Priority", &priorities[0]),
            ("RulePriorities.member.2.RuleArn", &h.rules[1]),
            ("RulePriorities.member.2.Priority", &priorities[1]),
        ],
        "the listener's default action altered" => vec![
            ("ListenerArn", listener),
            ("DefaultActions.member.1.Type", "fixed-response"),
            ("DefaultActions.member.1.FixedResponseConfig.StatusCode", "418"),
        ],
        "the listener deleted" => vec![("ListenerArn", listener)],
        "a target deregistered" => {
            vec![("TargetGroupArn", &h.target_group), ("Targets.member.1.Id", address), ("Targets.member.1.Port", port)]
        }
        "a stranger registered as a target" => {
            vec![("TargetGroupArn", &h.target_group), ("Targets.member.1.Id", "198.19.9.9"), ("Targets.member.1.Port", "80")]
        }
        "a tag of the load balancer removed" => vec![("ResourceArns.member.1", &h.balancer), ("TagKeys.member.1", "team")],
        "an attribute of the load balancer altered" => {
            [&[("LoadBalancerArn", h.balancer.as_str())][..], &attribute("idle_timeout.timeout_seconds")].concat()
        }
        "an attribute of a target group altered" => {
            [&[("TargetGroupArn", h.target_group.as_str())][..], &attribute("deregistration_delay.timeout_seconds")].concat()
        }
        "the health check of a target group altered" => vec![("TargetGroupArn", &h.target_group), ("HealthCheckPath", "/elsewhere")],
        "the way to the pods closed" => vec![
            ("GroupId", backend),
            ("IpPermissions.1.IpProtocol", "tcp"),
            ("IpPermissions.1.FromPort", "0"),
            ("IpPermissions.1.ToPort", "65535"),
            ("IpPermissions.1.Groups.1.GroupId", own),
        ],
        other => panic!("{other}"),
    };
    if action == "RevokeSecurityGroupIngress" {
        wire::call_ec2(&bench.cloud, action, &parameters).await;
    } else {
        wire::call(&bench.cloud, action, &parameters).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_by_hand_is_found_by_the_sweep_and_undone() {
    let mut bench = Bench::start().await;
    bench.apply(&scenario::created()).await;
    bench.delete(&[(Kind::Gateway, "shop/inner")]).await;
    let end = bench.dump().await;
    let look = bench.look("shop/edge").await;
    assert_eq!(look, Cost { reads: look.reads.clone(), ..Cost::nothing() }, "a look at what is as it should be");

    // One look, told to happen: it undoes what the plan names, and reads no more than any other look.
    let mut prices = Vec::new();
    for drift in DRIFTS {
        interfere(&bench, drift).await;
        let planned = bench.plan(&[], &[]).await;
        // A target that is still draining has to be waited for.
        let mut cost = bench
            .cost(async |bench| {
                bench.look_afresh("shop/edge");
                bench.reaches(&end, drift.0).await;
            })
            .await;
        cost.is_as_planned(&planned);
        assert!(!cost.mutations.is_empty(), "{}: not found", drift.0);
        assert_eq!(cost.status_writes, 0, "{}", drift.0);
        assert!(cost.reads.values().sum::<u64>() <= look.reads.values().sum::<u64>() + 2, "{}: {cost:?}, a look costs {look:?}", drift.0);
        prices.push(std::mem::take(&mut cost.mutations));
    }

    // The same by the sweep itself, every second, at the same prices. It never rests, and neither is it waited for.
    bench.kill().await;
    bench.set_sweep(Duration::from_secs(1));
    bench.launch().await;
    let (before, passes) = (bench.cloud.calls(), bench.process().passes());
    let step = if is_full() { 1 } else { 3 };
    for (drift, price) in DRIFTS.into_iter().zip(&prices).step_by(step) {
        let mutations = bench.cloud.calls().operations;
        interfere(&bench, drift).await;
        bench.becomes(&end, drift.0).await;
        let mut wanted = price.clone();
        *wanted.entry(drift.1.to_owned()).or_default() += 1;
        assert_eq!(bench.calls_since(&mutations).mutations, wanted, "{}: what was done, ourselves and by the sweep", drift.0);
    }
    // The budget of a round: a listing of what is ours, and a look at each load balancer.
    let (reads, looks) = (bench.cloud.calls().reads - before.reads, bench.process().passes() - passes + 1);
    let listing = {
        let (start, lister) = (bench.cloud.calls().reads, process::connect(bench.cloud.endpoint()).await);
        bench.kill().await;
        let start = start.max(bench.cloud.calls().reads);
        lister.owned_units(&ClusterId(process::CLUSTER.into()), &[]).await.unwrap();
        bench.cloud.calls().reads - start
    };
    let budget = looks * (look.reads.values().sum::<u64>() + listing + 2);
    assert!(reads <= budget, "{reads} reads in {looks} rounds, whose budget is {budget}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_by_hand_while_no_operator_runs_is_found_by_the_sweep_of_the_next() {
    let mut bench = Bench::start().await;
    bench.apply(&scenario::created()).await;
    bench.delete(&[(Kind::Gateway, "shop/inner")]).await;
    let end = bench.dump().await;
    bench.kill().await;
    for drift in DRIFTS {
        // Those that do not undo one another.
        if !["the listener deleted", "a rule deleted", "two rules exchanged"].contains(&drift.0) {
            interfere(&bench, drift).await;
        }
    }
    bench.set_sweep(Duration::from_secs(1));
    bench.launch().await;
    bench.becomes(&end, "the sweep").await;
    bench.end().await;
}

/// A call whose outcome nobody learned takes effect when nobody expects it any more: what it made carries our marks, and the sweep finds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_group_that_comes_late_is_an_orphan_and_goes() {
    let bench = Bench::start().await;
    bench.apply(&scenario::shop("x", &["198.19.0.1"])).await;
    let late = [scenario::service("late", 80), scenario::prefix("late", "edge", "/late", "late")].concat();
    bench.apply(&late).await;
    let state = wire::state(&bench.cloud).await;
    let groups = state["target_groups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["name"].as_str().unwrap().contains("late")).expect("the group of the Service").clone();
    let tags = group["tags"].as_object().unwrap().clone();
    bench.delete(&[(Kind::HttpRoute, "shop/late")]).await;

    // Wanted once more, and AWS says neither yes nor no; then wanted no more, and it is not there.
    wire::set_faults(&bench.cloud, &json!([weather::error("CreateTargetGroup", 1.0)])).await;
    let failed = bench.process().passes() + 1;
    bench.put(parse(&late));
    bench.waits_for("a pass that fails", |bench| bench.process().passes() >= failed).await;
    bench.remove(&[(Kind::HttpRoute, "shop/late")]);
    bench.settle().await;
    wire::set_faults(&bench.cloud, &json!([])).await;
    let end = bench.dump().await;

    let come_late = async || {
        let mut parameters = vec![
            ("Name".to_owned(), group["name"].as_str().unwrap().to_owned()),
            ("Protocol".to_owned(), "HTTP".to_owned()),
            ("Port".to_owned(), "80".to_owned()),
            ("TargetType".to_owned(), "ip".to_owned()),
            ("VpcId".to_owned(), group["vpc"].as_str().unwrap().to_owned()),
        ];
        for (index, (key, value)) in tags.iter().enumerate() {
            parameters.push((format!("Tags.member.{}.Key", index + 1), key.clone()));
            parameters.push((format!("Tags.member.{}.Value", index + 1), value.as_str().unwrap().to_owned()));
        }
        let parameters: Vec<_> = parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        wire::call(&bench.cloud, "CreateTargetGroup", &parameters).await;
    };
    come_late().await;
    bench.process().list_orphans().await;
    let look = bench.look("shop/edge").await;
    assert_eq!(look.mutations, calls([("DeleteTargetGroup", 1)]));
    assert_eq!(bench.dump().await["cloud"], end["cloud"]);

    // The same when its whole load balancer is gone.
    bench.delete(&[(Kind::Gateway, "shop/edge")]).await;
    let end = bench.dump().await;
    come_late().await;
    bench.process().list_orphans().await;
    bench.reaches(&end, "an orphan of a Gateway that is gone").await;
    bench.end().await;
}
