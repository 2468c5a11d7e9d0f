//! HTTPS listeners: certificates go from Secrets to the cloud, are renewed there in place, and go when nothing needs them. Those that the cloud holds for others are
//! found, and left as they are.

mod unread;

use std::time::Duration;

use portico_crds::Kind;
use portico_providers::{ClusterId, Provider};
use serde_json::{Value, json};

use crate::harness::process::CLUSTER;
use crate::harness::secure::{self, new_secret as secret};
use crate::harness::{Bench, Cost, calls, parse, scenario, wire};

/// A Gateway with an HTTPS listener on port 443 for each hostname, with the Secret that is named like its first label.
fn gateway(hostnames: &[&str]) -> String {
    listeners(hostnames.iter().map(|hostname| (443, *hostname)))
}

/// The same on ports of their own.
fn listeners<'a>(ports: impl IntoIterator<Item = (u16, &'a str)>) -> String {
    let listeners: Vec<_> = ports
        .into_iter()
        .map(|(port, hostname)| {
            let secret = hostname.split('.').next().unwrap();
            json!({ "name": secret, "port": port, "protocol": "HTTPS", "hostname": hostname, "tls": { "certificateRefs": [{ "name": secret }] } })
        })
        .collect();
    let spec = json!({ "gatewayClassName": "alb", "listeners": listeners });
    format!(
        "{}\n---\n",
        json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": { "name": "edge", "namespace": "shop" }, "spec": spec })
    )
}

/// ARNs of the certificates that the cloud holds.
async fn certificates(bench: &Bench) -> Vec<Value> {
    let state = wire::state(&bench.cloud).await;
    let all = state["certificates"].as_array().cloned().unwrap_or_default();
    all.into_iter().map(|certificate| certificate["arn"].clone()).collect()
}

fn programmed(bench: &Bench) -> String {
    bench.condition(Kind::Gateway, "shop/edge", "/status/conditions", "Programmed")
}

#[tokio::test]
async fn certificates_follow_their_secrets() {
    let bench = Bench::start().await;
    bench.apply(&[scenario::class(), secret("a", "a.example.com"), secret("b", "b.example.com")].concat()).await;
    let cost = bench.apply(&gateway(&["a.example.com", "b.example.com"])).await;
    assert_eq!((cost.mutations.get("ImportCertificate"), cost.mutations.get("AddListenerCertificates")), (Some(&2), Some(&1)));
    assert!(programmed(&bench).starts_with("True"), "{}", programmed(&bench));
    let before = certificates(&bench).await;
    assert_eq!(before.len(), 2, "{before:?}");

    // The renewed certificate takes the place of the old one: nothing else changes.
    let cost = bench.apply(&secret("a", "a.example.com")).await;
    let renewal = [("AddTagsToCertificate".to_owned(), 1), ("ImportCertificate".to_owned(), 1)];
    assert_eq!(cost.mutations.into_iter().collect::<Vec<_>>(), renewal);
    assert_eq!(certificates(&bench).await, before);
    let cost = bench.look("shop/edge").await;
    assert!(cost.mutations.is_empty(), "{:?}", cost.mutations);

    let cost = bench.apply(&gateway(&["b.example.com"])).await;
    assert_eq!(
        (
            cost.mutations.get("RemoveListenerCertificates").or(cost.mutations.get("ModifyListener")),
            cost.mutations.get("DeleteCertificate")
        ),
        (Some(&1), Some(&1))
    );
    assert_eq!(certificates(&bench).await.len(), 1);

    bench.delete(&[(Kind::Gateway, "shop/edge")]).await;
    assert_eq!(certificates(&bench).await, Vec::<Value>::new());
    bench.end().await;
}

/// A certificate that the cloud does not take costs its own listener, and nothing else.
#[tokio::test]
async fn one_bad_certificate_harms_only_itself() {
    let bench = Bench::start().await;
    // ELB: the name of a certificate must be fully qualified.
    let bad = listeners([(443, "a.example.com"), (8443, "b.example.com")]);
    bench.put(parse(&[scenario::class(), secret("a", "a.example.com"), secret("b", "b"), bad].concat()));
    let made = async || wire::state(&bench.cloud).await["load_balancers"][0]["listeners"].as_object().map_or(0, |all| all.len());
    bench.settle().await;
    assert_eq!(made().await, 1);
    assert!(programmed(&bench).starts_with("False"), "{}", programmed(&bench));
    bench.put(parse(&secret("b", "b.example.com")));
    for _ in 0..200 {
        bench.settle().await;
        if programmed(&bench).starts_with("True") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((made().await, programmed(&bench).as_str()), (2, "True Programmed"));
    bench.end().await;
}

#[tokio::test]
async fn an_import_whose_answer_is_lost_is_found_again() {
    let bench = Bench::start().await;
    bench.apply(&[scenario::class(), secret("a", "a.example.com")].concat()).await;
    wire::set_faults(&bench.cloud, &json!([{ "operation": "ImportCertificate", "kind": "lost_response", "remaining": 1 }])).await;
    bench.put(parse(&gateway(&["a.example.com"])));
    bench.settle().await;
    assert_eq!(certificates(&bench).await.len(), 1);
    assert_eq!(programmed(&bench), "True Programmed");
    bench.end().await;
}

/// A listener that serves what ACM has for its hostname.
fn discovering(name: &str, port: u16, hostname: &str) -> String {
    format!(
        "{{name: {name}, port: {port}, protocol: HTTPS, hostname: '{hostname}', tls: {{options: {{portico.dev/certificate-discovery: 'true'}}}}}}"
    )
}

/// A listener that serves certificates of ACM by ARN.
fn naming(name: &str, port: u16, hostname: &str, arns: &str) -> String {
    format!(
        "{{name: {name}, port: {port}, protocol: HTTPS, hostname: '{hostname}', tls: {{options: {{portico.dev/certificate-arn: '{arns}'}}}}}}"
    )
}

async fn request(bench: &Bench, hostname: &str) -> String {
    let parameters = json!({ "DomainName": hostname, "ValidationMethod": "DNS", "Tags": [{ "Key": "team", "Value": "security" }] });
    wire::call_acm(&bench.cloud, "RequestCertificate", &parameters).await["CertificateArn"].as_str().unwrap().to_owned()
}

/// ARNs of what the listener on a port serves, the default one first.
async fn served(bench: &Bench, port: u16) -> Vec<String> {
    let state = wire::state(&bench.cloud).await;
    let listeners = state["load_balancers"][0]["listeners"].as_object().cloned().unwrap_or_default();
    let listener = listeners.values().find(|listener| listener["port"] == json!(port)).cloned().unwrap_or_default();
    let tls = &listener["tls"];
    let others = tls["certificates"].as_array().cloned().unwrap_or_default();
    let all = [tls["default_certificate"].clone()].into_iter().chain(others);
    all.filter_map(|arn| arn.as_str().map(str::to_owned)).collect()
}

fn listener_condition(bench: &Bench, index: usize, name: &str) -> (String, String) {
    let found = bench.condition_of(Kind::Gateway, "shop/edge", &format!("/status/listeners/{index}/conditions"), name);
    let text = |field: &str| found[field].as_str().unwrap_or("-").to_owned();
    (format!("{} {}", text("status"), text("reason")), text("message"))
}

/// What a new round of the sweep does for this Gateway.
async fn round(bench: &Bench) -> Cost {
    bench.process().operator.engine().provider().owned_units(&ClusterId(CLUSTER.into()), &[]).await.unwrap();
    bench.look("shop/edge").await
}

#[tokio::test]
async fn certificates_of_acm_are_found_by_hostname() {
    let bench = Bench::start().await;
    let wide = request(&bench, "*.example.com").await;
    let secure = discovering("shop", 443, "shop.example.com");
    bench.apply(&[scenario::class(), secure::gateway(&["{name: http, port: 80, protocol: HTTP}", &secure])].concat()).await;
    // It costs its own listener only, and says what to do.
    assert_eq!(served(&bench, 443).await, Vec::<String>::new());
    assert_eq!(programmed(&bench), "True Programmed");
    let (state, message) = listener_condition(&bench, 1, "ResolvedRefs");
    assert_eq!(state, "False InvalidCertificateRef");
    assert!(message.contains("hostname shop.example.com") && message.contains(&format!("{wide} is PENDING_VALIDATION")), "{message}");
    assert_eq!(listener_condition(&bench, 1, "Programmed").0, "False Invalid");

    wire::issue(&bench.cloud, &wide).await;
    let cost = bench.look("shop/edge").await;
    assert_eq!(cost.mutations, calls([("AuthorizeSecurityGroupIngress", 1), ("CreateListener", 1)]));
    assert_eq!(served(&bench, 443).await, std::slice::from_ref(&wide));
    assert_eq!(listener_condition(&bench, 1, "ResolvedRefs").0, "True ResolvedRefs");
    // Another look lists the certificates no more.
    let cost = bench.look("shop/edge").await;
    assert_eq!((cost.mutations.len(), cost.reads.get("ListCertificates")), (0, None));

    // One with the very name is better, and found in the next round.
    let exact = request(&bench, "shop.example.com").await;
    wire::issue(&bench.cloud, &exact).await;
    assert_eq!(round(&bench).await.mutations, calls([("ModifyListener", 1)]));
    assert_eq!(served(&bench, 443).await, std::slice::from_ref(&exact));
    // Renewed, it stays what it is.
    wire::issue(&bench.cloud, &exact).await;
    assert_eq!(round(&bench).await.mutations, calls([]));

    bench.delete(&[(Kind::Gateway, "shop/edge")]).await;
    let left = wire::state(&bench.cloud).await["certificates"].clone();
    let tags: Vec<_> = left.as_array().unwrap().iter().map(|it| it["tags"].clone()).collect();
    assert_eq!(tags.len(), 2, "certificates of others were deleted: {left}");
    assert!(tags.iter().all(|tags| !tags.to_string().contains("portico.dev")), "{tags:?}");
    bench.end().await;
}

#[tokio::test]
async fn certificates_of_acm_are_served_by_arn() {
    let bench = Bench::start().await;
    let (one, two) = (request(&bench, "one.example.com").await, request(&bench, "two.example.com").await);
    wire::issue(&bench.cloud, &one).await;
    wire::issue(&bench.cloud, &two).await;
    let gone = "arn:aws:acm:us-east-1:000000000000:certificate/00000000-0000-4000-8000-000000000000";
    let listeners = [naming("both", 443, "one.example.com", &format!("{one}, {two}")), naming("gone", 8443, "gone.example.com", gone)];
    let listeners = listeners.each_ref().map(String::as_str);
    let cost = bench.apply(&[scenario::class(), secure::gateway(&listeners)].concat()).await;
    assert_eq!(cost.mutations.get("ImportCertificate"), None);
    assert_eq!(served(&bench, 443).await, [one.clone(), two.clone()]);
    assert_eq!(served(&bench, 8443).await, Vec::<String>::new());
    let (state, message) = listener_condition(&bench, 1, "ResolvedRefs");
    assert!(state == "False InvalidCertificateRef" && message.contains(gone), "{state}: {message}");
    assert_eq!(listener_condition(&bench, 0, "ResolvedRefs").0, "True ResolvedRefs");

    // What nothing refers to any more is taken off the listener, and stays in ACM, where its owner deletes it.
    bench.apply(&secure::gateway(&[&naming("both", 443, "one.example.com", &one)])).await;
    assert_eq!(served(&bench, 443).await, std::slice::from_ref(&one));
    wire::call_acm(&bench.cloud, "DeleteCertificate", &json!({ "CertificateArn": two })).await;
    assert_eq!(round(&bench).await.mutations, calls([]));

    // A certificate that is gone before its listener is there.
    bench.apply(&secure::gateway(&[&naming("both", 443, "one.example.com", &one), &naming("two", 8443, "two.example.com", &two)])).await;
    assert_eq!(listener_condition(&bench, 1, "Programmed").0, "False Invalid");
    assert_eq!(programmed(&bench), "True Programmed");
    bench.end().await;
}

/// What Portico imports for one Gateway goes with it: no other may come to depend on it.
#[tokio::test]
async fn imports_of_portico_are_not_found_for_others() {
    let bench = Bench::start().await;
    bench.apply(&[scenario::class(), secret("a", "a.example.com"), gateway(&["a.example.com"])].concat()).await;
    let imported = certificates(&bench).await[0].as_str().unwrap().to_owned();
    let other = secure::gateway(&[&discovering("a", 443, "a.example.com"), &naming("b", 8443, "a.example.com", &imported)]);
    bench.apply(&other.replace("name: edge", "name: other")).await;
    let condition = |index: usize| {
        let found = bench.condition_of(Kind::Gateway, "shop/other", &format!("/status/listeners/{index}/conditions"), "ResolvedRefs");
        found["message"].as_str().unwrap_or_default().to_owned()
    };
    assert!(condition(0).contains("no issued certificate for hostname a.example.com"), "{}", condition(0));
    assert!(condition(1).contains("was imported by Portico"), "{}", condition(1));
    bench.delete(&[(Kind::Gateway, "shop/edge"), (Kind::Gateway, "shop/other")]).await;
    assert_eq!(certificates(&bench).await, Vec::<Value>::new());
    bench.end().await;
}

/// A policy that only AWS knows is asked for there; one that nobody knows costs nothing but itself.
#[tokio::test]
async fn security_policies_are_checked_before_a_listener_is_made() {
    let bench = Bench::start().await;
    let listener = |policy: &str| {
        format!(
            "{{name: a, port: 443, protocol: HTTPS, hostname: a.example.com, tls: {{certificateRefs: [{{name: a}}], options: {{portico.dev/ssl-policy: {policy}}}}}}}"
        )
    };
    let unknown = secure::gateway(&[&listener("ELBSecurityPolicy-TLS99")]);
    bench.apply(&[scenario::class(), secret("a", "a.example.com"), unknown].concat()).await;
    assert_eq!(served(&bench, 443).await.len(), 1);
    let (_, message) = listener_condition(&bench, 0, "ResolvedRefs");
    assert!(message.contains("portico.dev/ssl-policy") && message.contains("ELBSecurityPolicy-TLS99"), "{message}");
    let cost = bench.apply(&secure::gateway(&[&listener("ELBSecurityPolicy-TLS13-1-3-2021-06")])).await;
    assert_eq!(cost.mutations, calls([("ModifyListener", 1)]));
    bench.end().await;
}
