//! The commands, as processes.

use std::process::{Command, Output};

use expect_test::expect_file;

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
    let plain = text(&portico(&["plan", "-f", MANIFESTS]).stdout);
    let created = document.pointer("/summary/create").and_then(serde_json::Value::as_u64).unwrap();
    assert!(created > 0 && plain.contains(&format!("Plan: {created} to create")), "{plain}");
}

#[test]
fn errors_are_one_line_and_codes_are_as_documented() {
    let missing = portico(&["plan", "-f", "/nowhere"]);
    assert_eq!(text(&missing.stderr), "error: cannot read /nowhere: No such file or directory (os error 2)\n");
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(portico(&["plan"]).status.code(), Some(2));
}

#[test]
fn crds_and_rights_are_yaml() {
    let crds = portico_crds::manifest::read("crds", &text(&portico(&["crds"]).stdout)).unwrap();
    assert!(crds.iter().all(|object| object["kind"] == "CustomResourceDefinition"));
    let rights = portico_crds::manifest::read("rbac", &text(&portico(&["crds", "--rbac", "--namespace", "ops"]).stdout)).unwrap();
    let kinds: Vec<_> = rights.iter().filter_map(|object| object["kind"].as_str()).collect();
    assert_eq!(kinds, ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]);
    let cluster_role = serde_json::to_string(&rights[2]).unwrap();
    for forbidden in ["*", "\"create\"", "\"delete\"", "\"update\""] {
        assert!(!cluster_role.contains(forbidden), "the ClusterRole grants {forbidden}");
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
