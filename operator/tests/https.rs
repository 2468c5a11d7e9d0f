//! HTTPS listeners: certificates go from Secrets to the cloud, are renewed there in place, and go when nothing needs them.

use std::time::Duration;

use portico_crds::Kind;
use serde_json::{Value, json};

use crate::harness::{Bench, parse, scenario, wire};

/// A new certificate with its key, as manifests of a Secret.
fn secret(name: &str, hostname: &str) -> String {
    let made = rcgen::generate_simple_self_signed([hostname.to_owned()]).unwrap();
    let data = json!({ "tls.crt": made.cert.pem(), "tls.key": made.signing_key.serialize_pem() });
    format!(
        "{}\n---\n",
        json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": { "name": name, "namespace": "shop" }, "stringData": data })
    )
}

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
