//! The crate graph is the architecture (DESIGN §4): this holds the workspace to it.
//!
//! What each crate may depend on stands in the tables below and nowhere else; a further edge is a decision, so it fails here
//! first. Read from `cargo metadata`, which needs no network.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Our crates, and which of ours each may depend on.
const EDGES: &[(&str, &[&str])] = &[
    ("portico-crds", &[]),
    ("portico-providers", &["portico-crds"]),
    ("portico-aws", &["portico-providers", "portico-crds"]),
    ("portico-aws-api", &["portico-aws", "portico-providers", "portico-crds"]),
    ("portico-envoy", &["portico-providers", "portico-crds"]),
    ("portico-envoy-xds", &["portico-envoy", "portico-providers", "portico-crds"]),
    ("portico-translate", &["portico-crds", "portico-providers"]),
    (
        "portico",
        &[
            "portico-crds",
            "portico-providers",
            "portico-aws",
            "portico-aws-api",
            "portico-envoy",
            "portico-envoy-xds",
            "portico-translate",
            "portico-cloud",
        ],
    ),
    ("portico-cloud", &[]),
    ("portico-tests", &[]),
];

/// External crates (a trailing `*` stands for any rest) that only these of our crates may name.
const KEEPERS: &[(&str, &[&str])] = &[
    ("gateway-api", &["portico-crds"]),
    ("aws-*", &["portico-aws-api"]),
    ("tonic*", &["portico-envoy-xds"]),
    // portico: its benchmark plays a proxy.
    ("prost*", &["portico-envoy", "portico-envoy-xds", "portico"]),
    ("kube-client", &["portico", "portico-tests"]),
    ("kube-runtime", &["portico", "portico-tests"]),
];

/// Crates that can do I/O; pure crates of ours must not be able to reach them, by however many steps.
const IMPURE: &[&str] = &["tokio", "kube-client", "kube-runtime", "hyper", "reqwest", "mio", "socket2"];

/// Our crates that compute and do nothing else.
const PURE: &[&str] = &["portico-crds", "portico-providers", "portico-aws", "portico-envoy", "portico-translate"];

/// The feature of `portico` that brings the embedded cloud in.
const EMBEDDED_CLOUD: &str = "embedded-cloud";

/// The workspace as Cargo sees it.
struct Workspace {
    metadata: Value,
}

/// A dependency as a manifest declares it.
struct Declared {
    name: String,
    kind: Option<String>,
    optional: bool,
}

impl Workspace {
    fn read() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", &host()])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        Self { metadata: serde_json::from_slice(&output.stdout).expect("cargo prints JSON") }
    }

    fn packages(&self) -> impl Iterator<Item = &Value> {
        self.metadata["packages"].as_array().expect("packages").iter()
    }

    /// The packages of this workspace by name.
    fn members(&self) -> BTreeMap<&str, &Value> {
        let ids: BTreeSet<&str> =
            self.metadata["workspace_members"].as_array().expect("members").iter().filter_map(Value::as_str).collect();
        let ours = self.packages().filter(|package| package["id"].as_str().is_some_and(|id| ids.contains(id)));
        ours.map(|package| (package["name"].as_str().expect("a name"), package)).collect()
    }

    fn declared(package: &Value) -> Vec<Declared> {
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        let declared = dependencies.iter().map(|dependency| Declared {
            name: dependency["name"].as_str().expect("a name").to_owned(),
            kind: dependency["kind"].as_str().map(str::to_owned),
            optional: dependency["optional"].as_bool().unwrap_or(false),
        });
        declared.collect()
    }

    /// Everything that a member links in a normal build, by name, with one way there. Cargo resolves the features of all
    /// members together, so this may find more than a build of the member alone would link, and never less.
    fn reached(&self, member: &str) -> BTreeMap<String, String> {
        let names: BTreeMap<&str, &str> =
            self.packages().filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?))).collect();
        let nodes: BTreeMap<&str, &Value> = self.metadata["resolve"]["nodes"]
            .as_array()
            .expect("nodes")
            .iter()
            .filter_map(|node| Some((node["id"].as_str()?, node)))
            .collect();
        let start = self.members()[member]["id"].as_str().expect("an id");
        let mut reached = BTreeMap::new();
        let mut open = vec![(start, member.to_owned())];
        while let Some((id, way)) = open.pop() {
            for dependency in nodes[id]["deps"].as_array().expect("deps") {
                let normal = dependency["dep_kinds"].as_array().expect("kinds").iter().any(|kind| kind["kind"].is_null());
                let package = dependency["pkg"].as_str().expect("a package");
                let name = names[package];
                if normal && !reached.contains_key(name) {
                    let way = format!("{way} → {name}");
                    reached.insert(name.to_owned(), way.clone());
                    open.push((package, way));
                }
            }
        }
        reached
    }
}

/// This machine's platform, so that Cargo asks for no package of another one.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let text = String::from_utf8(output.stdout).expect("rustc prints text");
    text.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host").to_owned()
}

fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

#[test]
fn our_crates_depend_on_one_another_only_as_the_design_says() {
    let workspace = Workspace::read();
    let members = workspace.members();
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let known: Vec<&str> = allowed.keys().copied().collect();
    assert_eq!(members.keys().copied().collect::<Vec<_>>(), known, "the workspace's crates and the table of edges");
    for (name, package) in &members {
        for dependency in Workspace::declared(package) {
            if members.contains_key(dependency.name.as_str()) {
                assert!(allowed[name].contains(&dependency.name.as_str()), "{name} may not depend on {}", dependency.name);
            }
        }
    }
}

#[test]
fn external_crates_stay_with_their_keepers() {
    let workspace = Workspace::read();
    for (name, package) in workspace.members() {
        for dependency in Workspace::declared(package) {
            for (pattern, keepers) in KEEPERS {
                // Without the AWS SDKs' own cryptography (aws-lc-rs), which is TLS and not AWS.
                if fits(pattern, &dependency.name) && !dependency.name.starts_with("aws-lc") {
                    assert!(keepers.contains(&name), "{name} may not name {}: that is for {keepers:?}", dependency.name);
                }
            }
        }
    }
}

#[test]
fn pure_crates_cannot_do_io() {
    let workspace = Workspace::read();
    for name in PURE {
        let reached = workspace.reached(name);
        for impure in IMPURE {
            assert!(!reached.contains_key(*impure), "{name} reaches {impure}: {}", reached.get(*impure).map_or("", String::as_str));
        }
    }
}

#[test]
fn only_the_operator_links_the_embedded_cloud_and_only_under_its_feature() {
    let workspace = Workspace::read();
    let members = workspace.members();
    let operator = members["portico"];
    let cloud = Workspace::declared(operator)
        .into_iter()
        .find(|dependency| dependency.name == "portico-cloud")
        .expect("portico links portico-cloud");
    assert!(cloud.optional && cloud.kind.is_none(), "portico-cloud is an optional dependency");
    let feature = operator["features"][EMBEDDED_CLOUD].as_array().expect("the feature");
    assert!(feature.iter().any(|item| item == "dep:portico-cloud"), "{EMBEDDED_CLOUD} brings it in: {feature:?}");
    let others = operator["features"].as_object().expect("features").iter().filter(|(name, _)| name.as_str() != EMBEDDED_CLOUD);
    for (name, items) in others {
        let brings =
            items.as_array().is_some_and(|items| items.iter().any(|item| item.as_str().is_some_and(|item| item.contains("portico-cloud"))));
        assert!(!brings, "the feature {name} brings the embedded cloud in as well");
    }
    let default = operator["features"]["default"].as_array().expect("default features");
    assert!(default.iter().any(|item| item == EMBEDDED_CLOUD), "demo and cloud are there by default");
}

#[test]
fn every_version_and_feature_stands_in_the_one_table() {
    let workspace = Workspace::read();
    for (name, package) in workspace.members() {
        let path = package["manifest_path"].as_str().expect("a path");
        let text = std::fs::read_to_string(path).expect("a manifest");
        let mut section = String::new();
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line.to_owned();
            } else if section.contains("dependencies") && !line.is_empty() && !line.starts_with('#') {
                let fine = line.ends_with(".workspace = true") || line.contains("workspace = true, optional = true");
                assert!(fine, "{name}: {line}");
            }
        }
    }
}
