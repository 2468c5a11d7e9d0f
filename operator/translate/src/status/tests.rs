use super::*;
use crate::report::ConditionType;
use portico_crds::condition::{GatewayCondition, GatewayReason, RouteCondition, RouteReason};

const NOW: &str = "2026-03-01T00:00:00Z";
const BEFORE: &str = "2026-01-01T00:00:00Z";

fn accepted(message: &str) -> Condition {
    Condition::yes(RouteCondition::Accepted, RouteReason::Accepted, message)
}

fn parent(name: &str, section: Option<&str>) -> ParentRef {
    ParentRef {
        group: "gateway.networking.k8s.io".to_owned(),
        kind: "Gateway".to_owned(),
        namespace: Some("infra".to_owned()),
        name: name.to_owned(),
        section_name: section.map(str::to_owned),
        port: None,
    }
}

fn desired(parents: &[&str], kept: &[&str]) -> Desired {
    Desired::Route(EntriesStatus {
        generation: 2,
        namespace: "apps".to_owned(),
        owned: RouteCondition::TYPES,
        parents: parents.iter().map(|name| ParentStatus { parent: parent(name, None), conditions: vec![accepted("ok")] }).collect(),
        kept: kept.iter().map(|name| parent(name, None)).collect(),
    })
}

fn condition(kind: &str, status: &str, generation: i64) -> Value {
    json!({"type": kind, "status": status, "reason": "Accepted", "message": "ok", "observedGeneration": generation, "lastTransitionTime": BEFORE})
}

fn entry(controller: &str, name: &str, conditions: Value) -> Value {
    json!({"controllerName": controller, "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "infra", "name": name}, "conditions": conditions})
}

fn ours(name: &str, conditions: Value) -> Value {
    entry(CONTROLLER_NAME, name, conditions)
}

fn foreign() -> Value {
    let mut entry = entry("example.com/other", "web", json!([{"type": "Odd", "status": "Maybe", "extra": [1, 2]}]));
    entry["unknown"] = json!({"field": true});
    entry
}

fn parents(status: Option<Value>) -> Vec<Value> {
    status.unwrap()["parents"].as_array().unwrap().clone()
}

#[test]
fn foreign_entries_stay_verbatim_and_in_place() {
    let raw = json!({"status": {"other": 1, "parents": [foreign(), ours("web", json!([condition("Accepted", "True", 1)])), foreign(), ours("gone", json!([]))]}});
    let status = merge(&raw, &desired(&["web", "new"], &[]), NOW).unwrap();
    assert_eq!(status["other"], 1);
    let parents = parents(Some(status));
    assert_eq!(parents.len(), 4, "{parents:#?}");
    assert_eq!([&parents[0], &parents[2]], [&foreign(), &foreign()]);
    assert_eq!(parents[1], ours("web", json!([condition("Accepted", "True", 2)])));
    assert_eq!(parents[3]["parentRef"]["name"], "new");
    assert_eq!(parents[3]["conditions"][0]["lastTransitionTime"], NOW);
}

#[test]
fn foreign_conditions_in_our_entries_stay() {
    let stale = json!({"type": "conformance.gateway.networking.k8s.io/StaleCondition", "status": "True", "observedGeneration": 1, "lastTransitionTime": BEFORE, "x": null});
    let raw = json!({"status": {"parents": [ours("web", json!([stale, condition("PartiallyInvalid", "True", 1), condition("Accepted", "False", 1)]))]}});
    let parents = parents(merge(&raw, &desired(&["web"], &[]), NOW));
    let conditions = parents[0]["conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 2, "a negative condition that no longer holds goes");
    assert_eq!(conditions[0], stale);
    assert_eq!((&conditions[1]["status"], &conditions[1]["lastTransitionTime"]), (&json!("True"), &json!(NOW)), "the status flipped");
}

#[test]
fn nothing_to_change_is_nothing_to_write() {
    let raw = json!({"status": {"parents": [ours("web", json!([condition("Accepted", "True", 2)])), foreign()]}});
    assert_eq!(merge(&raw, &desired(&["web"], &[]), NOW), None);
    assert_eq!(merge(&json!({}), &desired(&[], &[]), NOW), None);
}

#[test]
fn entries_of_other_units_stay_and_orphans_go() {
    let raw = json!({"status": {"parents": [ours("web", json!([condition("Accepted", "True", 2)])), ours("inner", json!([])), ours("gone", json!([]))]}});
    let parents = parents(merge(&raw, &desired(&["web"], &["web", "inner"]), NOW));
    let names: Vec<_> = parents.iter().map(|it| it["parentRef"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["web", "inner"]);
}

#[test]
fn a_newer_generation_is_never_written_over() {
    let raw = json!({"status": {"parents": [ours("web", json!([condition("Accepted", "False", 3)]))]}});
    assert_eq!(merge(&raw, &desired(&["web"], &[]), NOW), None);
    let gateway =
        json!({"status": {"addresses": [{"type": "IPAddress", "value": "192.0.2.1"}], "conditions": [condition("Accepted", "False", 3)]}});
    assert_eq!(merge(&gateway, &object(vec![Condition::yes(GatewayCondition::Accepted, GatewayReason::Accepted, "ok")]), NOW), None);
}

#[test]
fn parents_are_the_same_with_and_without_the_route_s_own_namespace() {
    let raw = json!({"status": {"parents": [{"controllerName": CONTROLLER_NAME, "parentRef": {"name": "web", "namespace": "apps"}, "conditions": []}]}});
    let mut reference = parent("web", None);
    reference.namespace = None;
    let desired = Desired::Route(EntriesStatus {
        generation: 1,
        namespace: "apps".to_owned(),
        owned: RouteCondition::TYPES,
        parents: vec![ParentStatus { parent: reference, conditions: vec![accepted("ok")] }],
        kept: BTreeSet::new(),
    });
    let parents = parents(merge(&raw, &desired, NOW));
    assert_eq!(parents.len(), 1);
    assert_eq!(parents[0]["parentRef"], json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "web"}));
}

fn object(conditions: Vec<Condition>) -> Desired {
    Desired::Object(ObjectStatus {
        generation: 2,
        owned: GatewayCondition::TYPES,
        conditions,
        listeners: Some(vec![ListenerStatus { name: "http".to_owned(), conditions: vec![], fields: vec![("attachedRoutes", json!(1))] }]),
        fields: vec![("addresses", json!([]))],
    })
}

#[test]
fn defaults_of_the_api_server_are_written_over() {
    let pending = |kind: &str| json!({"type": kind, "status": "Unknown", "reason": "Pending", "message": "Waiting for controller", "lastTransitionTime": "1970-01-01T00:00:00Z"});
    let raw = json!({"status": {"conditions": [pending("Accepted"), pending("Programmed")]}});
    let status = merge(
        &raw,
        &object(vec![
            Condition::yes(GatewayCondition::Accepted, GatewayReason::Accepted, "ok"),
            Condition::pending(GatewayCondition::Programmed, GatewayReason::Pending, "under way"),
        ]),
        NOW,
    )
    .unwrap();
    for condition in status["conditions"].as_array().unwrap() {
        assert_eq!(condition["observedGeneration"], 2, "{condition}");
    }
}

#[test]
fn what_is_under_way_gives_way_to_what_was_found_out() {
    let pending = || vec![Condition::pending(GatewayCondition::Programmed, GatewayReason::Pending, "under way")];
    let raw = |generation| json!({"status": {"conditions": [condition("Programmed", "True", generation)]}});
    let same = merge(&raw(2), &object(pending()), NOW).unwrap();
    assert_eq!(same["conditions"][0]["status"], "True");
    let newer = merge(&raw(1), &object(pending()), NOW).unwrap();
    assert_eq!(newer["conditions"][0]["status"], "Unknown");
}

#[test]
fn listeners_that_are_gone_go_and_unknown_fields_stay() {
    let raw = json!({"status": {"extra": 1, "listeners": [{"name": "old"}, {"name": "http", "extra": 2, "conditions": [{"type": "example.com/Odd", "status": "True"}]}]}});
    let status = merge(&raw, &object(vec![]), NOW).unwrap();
    assert_eq!(status["extra"], 1);
    assert_eq!(
        status["listeners"],
        json!([{"name": "http", "extra": 2, "attachedRoutes": 1, "conditions": [{"type": "example.com/Odd", "status": "True"}]}])
    );
}

#[test]
fn there_are_never_more_than_eight_conditions() {
    let foreign: Vec<_> = (0..7).map(|n| json!({"type": format!("example.com/{n}"), "status": "True"})).collect();
    let raw = json!({"status": {"conditions": foreign}});
    let status = merge(
        &raw,
        &object(vec![
            Condition::yes(GatewayCondition::Accepted, GatewayReason::Accepted, "ok"),
            Condition::yes(GatewayCondition::Programmed, GatewayReason::Programmed, "ok"),
        ]),
        NOW,
    )
    .unwrap();
    let conditions = status["conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 8);
    assert_eq!(conditions[7]["type"], "Accepted");
}

mod foreign_words {
    use super::*;
    use proptest::prelude::*;

    /// Any JSON, as odd as another controller (or a newer API) may write it.
    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter_map("finite", |it| serde_json::Number::from_f64(it).map(Value::Number)),
            "\\PC{0,6}".prop_map(Value::from),
            Just(json!("18446744073709551616")),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z]{1,5}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// An entry of another controller: its name, none at all, or no text.
    fn foreign_entry() -> impl Strategy<Value = Value> {
        let name = prop_oneof![
            Just(json!("example.com/other")),
            Just(json!("gateway.networking.k8s.io/stale-controller")),
            Just(Value::Null),
            Just(json!(7))
        ];
        (name, json_value(), json_value(), json_value(), any::<bool>()).prop_map(|(name, parent, conditions, odd, named)| {
            let mut entry = json!({"parentRef": parent, "conditions": conditions, "odd": odd});
            if named {
                entry["controllerName"] = name;
            }
            entry
        })
    }

    fn foreign_condition() -> impl Strategy<Value = Value> {
        (json_value(), "[a-z]{1,4}\\.com/[A-Z][a-z]{0,3}")
            .prop_map(|(odd, name)| json!({"type": name, "status": odd, "observedGeneration": 99, "odd": odd}))
    }

    fn is_ours(entry: &Value) -> bool {
        entry.get("controllerName").and_then(Value::as_str) == Some(CONTROLLER_NAME)
    }

    /// The bytes of everything foreign in a list, in its order.
    fn foreign(list: &Value) -> Vec<String> {
        list.as_array().into_iter().flatten().filter(|entry| !is_ours(entry)).map(Value::to_string).collect()
    }

    fn foreign_conditions(holder: &Value) -> Vec<String> {
        let list = holder["conditions"].as_array().into_iter().flatten();
        let odd = |it: &&Value| it["type"].as_str().is_none_or(|name| name.contains('/'));
        list.filter(odd).map(Value::to_string).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        /// Entries, conditions and fields of others stay byte for byte and in their order; a second merge finds nothing to write.
        #[test]
        fn stay_in_routes(
            entries in prop::collection::vec(prop_oneof![
                3 => foreign_entry(),
                1 => prop::sample::select(vec!["web", "old", "inner"]).prop_map(|name| ours(name, json!([condition("Accepted", "False", 1)]))),
            ], 0..8),
            conditions in prop::collection::vec(foreign_condition(), 0..4),
            field in json_value(),
        ) {
            let mut entries = entries;
            let mut own = ours("web", Value::Array(conditions));
            own["odd"] = field.clone();
            let at = entries.len() / 2;
            entries.retain(|entry| !(is_ours(entry) && entry["parentRef"]["name"] == "web"));
            entries.insert(at.min(entries.len()), own.clone());
            let raw = json!({"metadata": {"generation": 2}, "status": {"parents": entries, "odd": field}});
            let status = merge(&raw, &desired(&["web"], &["inner"]), NOW).unwrap();
            prop_assert_eq!(foreign(&status["parents"]), foreign(&raw["status"]["parents"]));
            prop_assert_eq!(status["odd"].to_string(), field.to_string());
            let mine = status["parents"].as_array().unwrap().iter().find(|it| is_ours(it) && it["parentRef"]["name"] == "web").unwrap();
            prop_assert_eq!(mine["odd"].to_string(), field.to_string());
            prop_assert_eq!(foreign_conditions(mine), foreign_conditions(&own));
            prop_assert!(!status["parents"].as_array().unwrap().iter().any(|it| it["parentRef"]["name"] == "old" && is_ours(it)));
            let again = json!({"metadata": {"generation": 2}, "status": status});
            prop_assert_eq!(merge(&again, &desired(&["web"], &["inner"]), "2030-01-01T00:00:00Z"), None);
        }

        /// The same for Gateways and their listeners.
        #[test]
        fn stay_in_objects(
            conditions in prop::collection::vec(foreign_condition(), 0..6),
            of_listener in prop::collection::vec(foreign_condition(), 0..6),
            field in json_value(),
        ) {
            let listener = json!({"name": "http", "conditions": of_listener, "odd": field});
            let raw = json!({"status": {"conditions": conditions, "listeners": [listener], "odd": field, "addresses": [{"type": "odd", "value": "x"}]}});
            let wanted = || object(vec![Condition::yes(GatewayCondition::Accepted, GatewayReason::Accepted, "ok")]);
            let status = merge(&raw, &wanted(), NOW).unwrap();
            prop_assert_eq!(foreign_conditions(&status), foreign_conditions(&raw["status"]));
            prop_assert_eq!(foreign_conditions(&status["listeners"][0]), foreign_conditions(&listener));
            prop_assert_eq!((status["odd"].to_string(), status["listeners"][0]["odd"].to_string()), (field.to_string(), field.to_string()));
            prop_assert_eq!(merge(&json!({"status": status}), &wanted(), "2030-01-01T00:00:00Z"), None);
        }
    }
}
