//! What refusals and outcomes do to a report.

use crate::world::{class, gateway, route, service, upsert};
use portico_crds::{Kind, NamespacedName};
use portico_providers::{
    AddressKind, ListenerOwner, ListenerParent, LoadBalancerAddress, LoadBalancerState, Outcome, ProviderError, Refusal, RefusalCause,
    Residue, RouteId, RouteKind, RuleId, Subject, UnitId,
};
use portico_translate::{Report, World, status, translate};
use serde_json::{Value, json};
use std::time::Duration;

/// One Gateway with a route of two rules; the second has two matches.
fn report() -> (World, Report) {
    let mut world = World::new();
    upsert(&mut world, Kind::GatewayClass, class("alb", "portico.dev/gateway-controller"));
    let mut open = gateway("one", "alb");
    open["spec"]["listeners"][0]["allowedRoutes"] = json!({"namespaces": {"from": "All"}});
    upsert(&mut world, Kind::Gateway, open);
    let mut object = route("web", &["one"], "web");
    let rule = object["spec"]["rules"][0].clone();
    object["spec"]["rules"].as_array_mut().unwrap().push(rule);
    object["spec"]["rules"][1]["matches"] = json!([{"method": "GET"}, {"method": "PUT"}]);
    upsert(&mut world, Kind::HttpRoute, object);
    upsert(&mut world, Kind::Service, service(80));
    let report = translate(&world, &UnitId::Gateway(NamespacedName::new("infra", "one"))).unwrap().report;
    (world, report)
}

fn refusal(subject: Subject, field: &str, cause: RefusalCause, residue: Residue) -> Refusal {
    Refusal { subject, field: field.to_owned(), cause, residue, remedy: "Use something else".to_owned() }
}

fn rule(rule: u32, match_index: u32) -> Refusal {
    let route = RouteId { kind: RouteKind::Http, key: NamespacedName::new("apps", "web") };
    let subject = Subject::Rule(RuleId { route, rule, match_index });
    let cause = RefusalCause::Unsupported { detail: "cannot be done".to_owned() };
    refusal(subject, &format!("spec.rules[{rule}].matches[{match_index}]"), cause, Residue::Answer500)
}

fn active() -> Outcome {
    let address = LoadBalancerAddress { kind: AddressKind::Hostname, value: "lb.example.com".to_owned() };
    Outcome { state: LoadBalancerState::Active, addresses: vec![address] }
}

/// Status of the Gateway or route as it would be written.
fn written(world: &World, report: &Report, kind: Kind) -> Value {
    let ((kind, key), desired) = report.statuses(world).into_iter().find(|((it, _), _)| *it == kind).unwrap();
    status::merge(world.raw(kind, &key).unwrap(), &desired, "2026-01-01T00:00:00Z").unwrap()
}

/// `Type=Status/Reason` of all conditions in a list.
fn words(conditions: &Value) -> Vec<String> {
    let text = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
    conditions.as_array().unwrap().iter().map(|it| format!("{}={}/{}", text(it, "type"), text(it, "status"), text(it, "reason"))).collect()
}

#[test]
fn some_rules_refused_is_partially_invalid_and_all_is_not_accepted() {
    let (world, mut report) = report();
    report.refuse(&[rule(1, 0)]);
    let status = written(&world, &report, Kind::HttpRoute);
    let conditions = &status["parents"][0]["conditions"];
    assert_eq!(words(conditions), ["Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs", "PartiallyInvalid=True/UnsupportedValue"]);
    let message = conditions[2]["message"].as_str().unwrap();
    assert!(
        message.starts_with("Dropped Rule") && message.contains("spec.rules[1].matches[0]") && message.contains("Use something else"),
        "{message}"
    );

    report.refuse(&[rule(0, 0), rule(1, 1)]);
    let status = written(&world, &report, Kind::HttpRoute);
    assert_eq!(words(&status["parents"][0]["conditions"]), ["Accepted=False/UnsupportedValue", "ResolvedRefs=True/ResolvedRefs"]);
    let gateway = written(&world, &report, Kind::Gateway);
    assert_eq!(gateway["listeners"][0]["attachedRoutes"], 0, "a route that is not accepted is not attached");
    assert_eq!(words(&gateway["conditions"])[0], "Accepted=True/Accepted", "the Gateway is not harmed");
}

#[test]
fn an_active_load_balancer_with_an_address_is_programmed() {
    let (world, mut report) = report();
    report.finish(&Outcome {
        state: LoadBalancerState::Provisioning { look_again: Duration::from_secs(1), message: "It is being built".into() },
        addresses: Vec::new(),
    });
    assert_eq!(words(&written(&world, &report, Kind::Gateway)["conditions"])[1], "Programmed=False/Pending");
    report.finish(&active());
    let status = written(&world, &report, Kind::Gateway);
    assert_eq!(words(&status["conditions"]), ["Accepted=True/Accepted", "Programmed=True/Programmed", "ResolvedRefs=True/ResolvedRefs"]);
    assert_eq!(words(&status["listeners"][0]["conditions"])[1], "Programmed=True/Programmed");
    assert_eq!(status["addresses"], json!([{"type": "Hostname", "value": "lb.example.com"}]));
}

#[test]
fn refusals_of_listeners_and_gateways_show_there() {
    let (world, mut report) = report();
    let owner = ListenerOwner { parent: ListenerParent::Gateway, key: NamespacedName::new("infra", "one"), section: "http".to_owned() };
    let unsupported = || RefusalCause::Unsupported { detail: "no".to_owned() };
    report.refuse(&[
        refusal(Subject::Listener(owner), "spec.listeners[0].port", unsupported(), Residue::NoTraffic),
        refusal(Subject::Gateway(NamespacedName::new("infra", "one")), "spec.addresses[0]", unsupported(), Residue::NoTraffic),
    ]);
    report.finish(&active());
    let status = written(&world, &report, Kind::Gateway);
    assert_eq!(words(&status["conditions"])[..2], ["Accepted=False/ListenersNotValid", "Programmed=False/Invalid"]);
    assert_eq!(words(&status["listeners"][0]["conditions"])[..2], ["Accepted=False/PortUnavailable", "Programmed=False/Invalid"]);

    let (world, mut report) = self::report();
    report.refuse(&[refusal(
        Subject::Gateway(NamespacedName::new("infra", "one")),
        "spec.addresses[0]",
        unsupported(),
        Residue::NoTraffic,
    )]);
    report.finish(&active());
    let status = written(&world, &report, Kind::Gateway);
    assert_eq!(words(&status["conditions"])[..2], ["Accepted=True/Accepted", "Programmed=False/AddressNotUsable"]);
}

#[test]
fn an_address_that_is_refused_was_asked_for_by_value_or_by_type() {
    for (address, reason) in [
        (json!({"type": "IPAddress", "value": "192.0.2.1"}), "Programmed=False/AddressNotUsable"),
        (json!({"type": "IPAddress"}), "Programmed=False/AddressNotAssigned"),
    ] {
        let mut world = World::new();
        upsert(&mut world, Kind::GatewayClass, class("alb", "portico.dev/gateway-controller"));
        let mut object = gateway("one", "alb");
        object["spec"]["addresses"] = json!([address]);
        upsert(&mut world, Kind::Gateway, object);
        let key = NamespacedName::new("infra", "one");
        let mut report = translate(&world, &UnitId::Gateway(key.clone())).unwrap().report;
        let cause = RefusalCause::Unsupported { detail: "no".to_owned() };
        report.refuse(&[refusal(Subject::Gateway(key), "spec.addresses[0]", cause, Residue::NoTraffic)]);
        report.finish(&active());
        assert_eq!(words(&written(&world, &report, Kind::Gateway)["conditions"])[1], reason);
    }
}

#[test]
fn an_error_that_passes_does_not_take_programmed_away() {
    let (world, mut report) = report();
    report.finish(&active());
    let ((kind, key), desired) = report.statuses(&world).into_iter().find(|((kind, _), _)| *kind == Kind::Gateway).unwrap();
    let mut raw = (**world.raw(kind, &key).unwrap()).clone();
    raw["status"] = status::merge(&raw, &desired, "2026-01-01T00:00:00Z").unwrap();
    let words_after = |error: ProviderError| {
        let mut report = report.clone();
        report.fail(&error);
        let (_, desired) = report.statuses(&world).into_iter().find(|((kind, _), _)| *kind == Kind::Gateway).unwrap();
        status::merge(&raw, &desired, "2026-01-02T00:00:00Z")
            .map(|status| (words(&status["conditions"])[1].clone(), status["addresses"].clone()))
    };
    let throttled = ProviderError::Throttled { operation: "CreateRule".to_owned(), message: "slow down".to_owned() };
    assert_eq!(words_after(throttled), None);
    let limit = ProviderError::Limit { operation: "CreateRule".to_owned(), message: "100 rules".to_owned() };
    assert_eq!(
        words_after(limit),
        Some(("Programmed=False/NoResources".to_owned(), json!([{"type": "Hostname", "value": "lb.example.com"}])))
    );
}
