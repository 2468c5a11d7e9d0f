//! The commands, as processes.

mod envoy;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use expect_test::{expect, expect_file};

use crate::harness::PORTICO;

fn portico(arguments: &[&str]) -> Output {
    // Nothing of the caller's environment may matter.
    Command::new(PORTICO).args(arguments).env_clear().output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests/two-teams");

#[test]
fn plan_of_a_folder() {
    let output = portico(&["plan", "-f", MANIFESTS]);
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)));
    expect_file!["manifests/two-teams.plan.txt"].assert_eq(&text(&output.stdout));
}

#[test]
fn plan_as_json_counts_the_same() {
    let output = portico(&["plan", "-f", MANIFESTS, "--output", "json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document.get("formatVersion"), Some(&serde_json::json!("1.1")));
    let plain = text(&portico(&["plan", "-f", MANIFESTS]).stdout);
    let created = document.pointer("/summary/create").and_then(serde_json::Value::as_u64).unwrap();
    assert!(created > 0 && plain.contains(&format!("Plan: {created} to create")), "{plain}");
}

#[test]
fn exit_codes_tell_changes_from_mistakes() {
    let code = |arguments: &[&str]| portico(arguments).status.code();
    assert_eq!(code(&["plan", "-f", MANIFESTS, "--detailed-exitcode"]), Some(2));
    assert_eq!(code(&["plan", "-f", MANIFESTS, "--strict"]), Some(1));
    assert_eq!(code(&["plan", "-f", MANIFESTS, "--detailed-exitcode", "--wrong"]), Some(1));
    assert_eq!(code(&["plan", "--overlay"]), Some(2));
    assert_eq!(code(&["plan", "-f", MANIFESTS, "--gateway", "platform/edge", "--strict"]), Some(1));
    assert_eq!(code(&["plan", "--help"]), Some(0));
}

#[test]
fn a_plan_of_one_gateway_of_standard_input() {
    let mut command = Command::new(PORTICO);
    command.args(["plan", "-f", "-", "-f", MANIFESTS, "--gateway", "platform/second"]);
    let mut child = command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let second = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: second, namespace: platform}, \
                  spec: {gatewayClassName: alb, listeners: [{name: http, port: 8080, protocol: HTTP}]}}";
    child.stdin.take().unwrap().write_all(second.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(out.contains("Gateway platform/second") && !out.contains("platform/edge"), "{out}{err}");
}

#[test]
fn errors_are_one_line_and_name_the_remedy() {
    let missing = portico(&["plan", "-f", "/nowhere"]);
    assert_eq!(text(&missing.stderr), "error: cannot read /nowhere: No such file or directory (os error 2)\n");
    assert_eq!(missing.status.code(), Some(1));
    let nobody = text(&portico(&["plan", "-f", MANIFESTS, "--observed", "cloud"]).stderr);
    assert!(nobody.contains("--cluster-id") && nobody.lines().count() == 1, "{nobody}");
    let cluster = text(&portico(&["plan"]).stderr);
    assert!(cluster.starts_with("error: no cluster is known: name one with --kubeconfig"), "{cluster}");
    let image = text(&portico(&["manifests"]).stderr);
    assert!(image.contains("--image"), "{image}");
}

#[test]
fn manifests_are_yaml_and_grant_no_more_than_needed() {
    let read = |arguments: &[&str]| portico_crds::manifest::read("manifests", &text(&portico(arguments).stdout)).unwrap();
    let kinds = |objects: &[serde_json::Value]| -> Vec<String> {
        objects.iter().filter_map(|object| object["kind"].as_str()).map(str::to_owned).collect()
    };
    assert!(kinds(&read(&["manifests", "--only", "crds"])).iter().all(|kind| kind == "CustomResourceDefinition"));
    let rights = read(&["manifests", "--only", "rbac", "--namespace", "ops"]);
    assert_eq!(kinds(&rights), ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]);
    let rules = rights[2]["rules"].as_array().unwrap();
    // What is made outside of its own namespace: Events, the ServiceAccounts of Gateways on fleets, reviews of their tokens.
    let made = ["events", "serviceaccounts", "tokenreviews"].map(|resource| serde_json::json!([resource]));
    for rule in rules.iter().filter(|rule| !made.contains(&rule["resources"])) {
        let rule = rule.to_string();
        for forbidden in ["*", "\"create\"", "\"delete\"", "\"update\""] {
            assert!(!rule.contains(forbidden), "the ClusterRole grants {forbidden}");
        }
    }
    let all = read(&["manifests", "--image", "registry.example/portico:1", "--namespace", "ops", "--aws-role", "arn:aws:iam::1:role/p"]);
    let deployment = all.iter().find(|object| object["kind"] == "Deployment").unwrap();
    assert_eq!(deployment.pointer("/spec/replicas"), Some(&serde_json::json!(2)));
    assert_eq!(deployment.pointer("/spec/template/spec/containers/0/image"), Some(&serde_json::json!("registry.example/portico:1")));
    assert_eq!(deployment.pointer("/metadata/namespace"), Some(&serde_json::json!("ops")));
    assert!(!kinds(&all).contains(&"Service".to_owned()), "proxies are served though nobody asked for it");
}

#[test]
fn proxies_are_served_over_tls_or_in_clear_text_if_one_says_so() {
    let deployment = |arguments: &[&str]| {
        let output = portico(&[&["manifests", "--only", "deployment", "--image", "i"], arguments].concat());
        let objects = portico_crds::manifest::read("manifests", &text(&output.stdout)).unwrap();
        assert_eq!(objects.iter().filter(|object| object["kind"] == "Service").count(), 1);
        let pod = &objects[0]["spec"]["template"]["spec"];
        let mounts = &pod["containers"][0]["volumeMounts"];
        (pod["containers"][0]["args"].to_string(), mounts.to_string(), pod["volumes"].to_string())
    };
    let (flags, mounts, volumes) = deployment(&["--xds-tls-secret", "xds", "--xds-client-ca-secret", "fleets"]);
    expect![[r#"["run","--xds-listen=0.0.0.0:18000","--xds-certificate=/var/run/portico/xds-tls/tls.crt","--xds-key=/var/run/portico/xds-tls/tls.key","--xds-client-ca=/var/run/portico/xds-client-ca/ca.crt"]"#]]
        .assert_eq(&flags);
    expect![[r#"[{"mountPath":"/var/run/portico/xds-tls","name":"xds-tls","readOnly":true},{"mountPath":"/var/run/portico/xds-client-ca","name":"xds-client-ca","readOnly":true}]"#]]
        .assert_eq(&mounts);
    expect![[r#"[{"name":"xds-tls","secret":{"items":[{"key":"tls.crt","path":"tls.crt"},{"key":"tls.key","path":"tls.key"}],"secretName":"xds"}},{"name":"xds-client-ca","secret":{"items":[{"key":"ca.crt","path":"ca.crt"}],"secretName":"fleets"}}]"#]]
        .assert_eq(&volumes);
    let (flags, mounts, volumes) = deployment(&["--xds-clear-text"]);
    assert_eq!((flags.as_str(), mounts.as_str(), volumes.as_str()), (r#"["run","--xds-listen=0.0.0.0:18000"]"#, "[]", "[]"));
    for wrong in [["--xds-clear-text", "--xds-tls-secret=x"], ["--xds-client-ca-secret=x", "--only=rbac"]] {
        assert_eq!(portico(&[&["manifests"], &wrong[..]].concat()).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn the_demo_serves_its_example() {
    let output = portico(&["demo", "--once"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
    let curls = out.lines().filter(|line| line.starts_with("curl -s http://127.1.")).count();
    assert_eq!(curls, 4, "{out}");
    assert!(out.contains("which saw /backend/hello"), "{out}");
    assert!(!out.contains('\u{1b}'), "colours in a pipe");
}
