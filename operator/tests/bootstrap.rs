//! `portico envoy bootstrap`, by goldens. The lab starts real proxies with what it prints.

use std::process::Command;

use expect_test::{ExpectFile, expect_file};

use crate::harness::PORTICO;

fn bootstrap(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(PORTICO).args(["envoy", "bootstrap"]).args(arguments).env_clear().output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn prints(arguments: &[&str], golden: ExpectFile) {
    let (code, printed, error) = bootstrap(arguments);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    golden.assert_eq(&printed);
}

#[test]
fn of_a_proxy_in_a_trusted_network() {
    prints(&["--server", "10.0.0.5:18000", "--server", "10.0.0.6:18000"], expect_file!["bootstrap/plain.yaml"]);
}

#[test]
fn of_a_proxy_with_a_certificate_limits_and_metrics() {
    let identity = ["--ca", "/etc/portico/ca.pem", "--certificate", "/etc/portico/edge.pem", "--key", "/etc/portico/edge.key"];
    let node = ["--fleet", "edge", "--node-id", "edge-1", "--region", "eu-central-1", "--zone", "eu-central-1a"];
    let operation = ["--metrics", "0.0.0.0:9902", "--max-connections", "10000", "--max-heap", "1024", "--state-of-the-world"];
    let server = ["--server", "portico.example.net:18000"];
    prints(&[&server[..], &node, &identity, &operation].concat(), expect_file!["bootstrap/certificate.yaml"]);
}

#[test]
fn of_a_proxy_with_a_token() {
    let arguments =
        ["--server", "portico.portico-system.svc:18000", "--ca", "/ca/ca.crt", "--token-file", "/var/run/secrets/tokens/portico"];
    prints(&[&arguments[..], &["--output", "json"]].concat(), expect_file!["bootstrap/token.json"]);
}

#[test]
fn mistakes_are_told_before_a_proxy_starts() {
    let code = |arguments: &[&str]| bootstrap(arguments).0;
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["--server", "portico"]), Some(2));
    // Neither a token nor a key goes over a connection that is not encrypted.
    assert_eq!(code(&["--server", "a:1", "--token-file", "/token"]), Some(2));
    assert_eq!(code(&["--server", "a:1", "--ca", "/ca", "--certificate", "/certificate"]), Some(2));
    let (code, _, error) = bootstrap(&["--server", "a:1", "--server", "b:1", "--ca", "/ca", "--token-file", "/token"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("one --server only"), "{error}");
}
