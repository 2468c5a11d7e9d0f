//! ACM cannot be asked: only listeners that need an answer wait for it, and whatever is served stays.

use super::{certificates, discovering, gateway, listener_condition, naming, programmed, request, round, served};
use crate::harness::process::CLUSTER;
use crate::harness::secure::{self, new_secret as secret};
use crate::harness::{Bench, calls, parse, scenario, wire};
use portico_providers::{ClusterId, Provider};
use serde_json::{Value, json};

const HTTP: &str = "{name: http, port: 80, protocol: HTTP}";
const MORE: &str = "{name: more, port: 8080, protocol: HTTP}";

async fn denies(bench: &Bench, operation: &str) {
    let error = json!({ "error": { "code": "AccessDeniedException", "status": 400, "message": "no identity-based policy allows it" } });
    wire::set_faults(&bench.cloud, &json!([{ "operation": operation, "kind": error }])).await;
}

async fn permits(bench: &Bench) {
    wire::set_faults(&bench.cloud, &json!([])).await;
}

/// Ports on which the only load balancer listens.
async fn ports(bench: &Bench) -> Vec<u64> {
    let state = wire::state(&bench.cloud).await;
    let listeners = state["load_balancers"][0]["listeners"].as_object().cloned().unwrap_or_default();
    let mut ports: Vec<u64> = listeners.values().filter_map(|listener| listener["port"].as_u64()).collect();
    ports.sort_unstable();
    ports
}

async fn put(bench: &Bench, manifests: &str) {
    bench.put(parse(manifests));
    bench.settle().await;
}

#[tokio::test]
async fn who_looks_for_a_certificate_waits_and_the_others_go_on() {
    let mut bench = Bench::start().await;
    let exact = request(&bench, "shop.example.com").await;
    let named = request(&bench, "news.example.com").await;
    wire::issue(&bench.cloud, &exact).await;
    wire::issue(&bench.cloud, &named).await;
    let shop = discovering("shop", 443, "shop.example.com");
    let news = naming("news", 8443, "news.example.com", &named);
    denies(&bench, "ListCertificates").await;
    put(&bench, &[scenario::class(), secure::gateway(&[HTTP, &shop, &news])].concat()).await;
    assert_eq!(ports(&bench).await, [80, 8443]);
    assert_eq!(programmed(&bench), "True Programmed");
    let (state, message) = listener_condition(&bench, 1, "ResolvedRefs");
    assert_eq!(state, "False InvalidCertificateRef");
    for part in ["spec.listeners[shop].tls.options[portico.dev/certificate-discovery]", "AccessDenied", "Allow acm:ListCertificates"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(listener_condition(&bench, 1, "Programmed").0, "False Invalid");
    // An ARN needs no listing.
    assert_eq!(listener_condition(&bench, 2, "ResolvedRefs").0, "True ResolvedRefs");
    put(&bench, &secure::gateway(&[HTTP, MORE, &shop, &news])).await;
    assert_eq!(ports(&bench).await, [80, 8080, 8443]);

    permits(&bench).await;
    round(&bench).await;
    assert_eq!(served(&bench, 443).await, std::slice::from_ref(&exact));
    assert_eq!(listener_condition(&bench, 2, "ResolvedRefs").0, "True ResolvedRefs");

    // A successor that may not list finds the listener served, and leaves it as it is.
    denies(&bench, "ListCertificates").await;
    assert_eq!(bench.restart().await.mutations, calls([]));
    assert_eq!(served(&bench, 443).await, std::slice::from_ref(&exact));
    put(&bench, &secure::gateway(&[HTTP, &shop, &news])).await;
    assert_eq!(ports(&bench).await, [80, 443, 8443]);
    bench.end().await;
}

/// A listing that fails for now takes nothing from those who found their certificates before.
#[tokio::test]
async fn what_was_found_before_stays_found() {
    let bench = Bench::start().await;
    let exact = request(&bench, "shop.example.com").await;
    wire::issue(&bench.cloud, &exact).await;
    let shop = discovering("shop", 443, "shop.example.com");
    bench.apply(&[scenario::class(), secure::gateway(&[HTTP, &shop])].concat()).await;
    let down = json!([{ "operation": "ListCertificates", "kind": { "error": { "code": "InternalFailure", "status": 500 } } }]);
    wire::set_faults(&bench.cloud, &down).await;
    // A new round of the sweep doubts what is remembered; with the fault the inventory shows no certificates, and the rest.
    let other = discovering("news", 8443, "news.example.com");
    drop(bench.process().operator.engine().provider().owned_units(&ClusterId(CLUSTER.into()), &[]).await);
    put(&bench, &secure::gateway(&[HTTP, &shop, &other])).await;
    assert_eq!(served(&bench, 443).await, std::slice::from_ref(&exact));
    assert_eq!(listener_condition(&bench, 1, "ResolvedRefs").0, "True ResolvedRefs");
    let (state, message) = listener_condition(&bench, 2, "ResolvedRefs");
    assert!(state.starts_with("False") && message.contains("tried again"), "{state}: {message}");
    bench.end().await;
}

/// Nobody knows whether a certificate was imported for another Gateway: it is not taken, nor is what is served taken away.
#[tokio::test]
async fn a_certificate_of_which_too_little_is_known_costs_its_own_listener() {
    let mut bench = Bench::start().await;
    bench.apply(&[scenario::class(), secret("a", "a.example.com"), gateway(&["a.example.com"])].concat()).await;
    let exact = request(&bench, "shop.example.com").await;
    wire::issue(&bench.cloud, &exact).await;
    let (a, shop) = (discovering("a", 443, "a.example.com"), discovering("shop", 8443, "shop.example.com"));
    bench.kill().await;
    denies(&bench, "ListTagsForCertificate").await;
    bench.launch().await;
    put(&bench, &secure::gateway(&[HTTP, &a, &shop]).replace("name: edge", "name: other")).await;
    let state = wire::state(&bench.cloud).await;
    let balancers = state["load_balancers"].as_array().unwrap();
    let other = balancers.iter().find(|it| it["name"].as_str().unwrap().contains("other")).unwrap_or(&Value::Null);
    let made: Vec<_> = other["listeners"].as_object().unwrap().values().map(|listener| listener["port"].as_u64().unwrap()).collect();
    assert_eq!(made.len(), 2, "{made:?}");
    let found = bench.condition_of(portico_crds::Kind::Gateway, "shop/other", "/status/listeners/1/conditions", "ResolvedRefs");
    let message = found["message"].as_str().unwrap();
    assert!(message.contains("Allow acm:ListTagsForCertificate"), "{message}");
    bench.end().await;
}

/// Where certificates cannot be listed nothing is imported, since it may be there already; what needs no import goes on.
#[tokio::test]
async fn an_import_waits_until_certificates_can_be_listed() {
    let mut bench = Bench::start().await;
    let https = "{name: a, port: 443, protocol: HTTPS, hostname: a.example.com, tls: {certificateRefs: [{name: a}]}}";
    denies(&bench, "ListCertificates").await;
    put(&bench, &[scenario::class(), secret("a", "a.example.com"), secure::gateway(&[HTTP, https])].concat()).await;
    assert_eq!(ports(&bench).await, [80]);
    assert_eq!(certificates(&bench).await, Vec::<Value>::new());
    let message = bench.condition_of(portico_crds::Kind::Gateway, "shop/edge", "/status/conditions", "Programmed")["message"].clone();
    assert!(message.as_str().unwrap().contains("ListCertificates is not permitted"), "{message}");

    permits(&bench).await;
    bench.restart().await;
    assert_eq!(ports(&bench).await, [80, 443]);
    let imported = certificates(&bench).await;
    assert_eq!(imported.len(), 1);
    // A successor that may not list takes nothing away, and imports nothing twice.
    denies(&bench, "ListCertificates").await;
    bench.restart().await;
    put(&bench, &secure::gateway(&[HTTP, MORE, https])).await;
    assert_eq!(ports(&bench).await, [80, 443, 8080]);
    assert_eq!(served(&bench, 443).await, imported.iter().map(|arn| arn.as_str().unwrap().to_owned()).collect::<Vec<_>>());
    assert_eq!(certificates(&bench).await, imported);
    bench.end().await;
}

/// One listing serves the look for leftovers and the look for certificates.
#[tokio::test]
async fn a_start_lists_certificates_once() {
    let mut bench = Bench::start().await;
    let exact = request(&bench, "shop.example.com").await;
    wire::issue(&bench.cloud, &exact).await;
    let listeners = [discovering("shop", 443, "shop.example.com"), discovering("again", 8443, "shop.example.com")];
    bench.apply(&[scenario::class(), secure::gateway(&listeners.each_ref().map(String::as_str))].concat()).await;
    let start = bench.restart().await;
    assert_eq!((start.mutations, start.reads.get("ListCertificates")), (calls([]), Some(&1)));
    bench.end().await;
}
