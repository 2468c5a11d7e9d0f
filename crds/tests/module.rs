//! The Go module of Gateway API, from Go's module cache: its CRDs are never copied into this tree.

use std::{fs, path::PathBuf, process::Command, sync::OnceLock};

use portico_crds::{GATEWAY_GROUP, Kind, manifest};
use serde_json::Value;

/// The version that Portico targets.
const MODULE: &str = "sigs.k8s.io/gateway-api@v1.7.0";

/// The module's folder, fetched by the go command if it is not in the cache.
pub fn dir() -> &'static PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let nowhere = tempfile::tempdir().unwrap();
        let output = Command::new("go")
            .args(["mod", "download", "-json", MODULE])
            .current_dir(nowhere.path())
            // The module asks for a newer Go than many have: `auto` lets the go command fetch that, too.
            .envs([("GOFLAGS", "-mod=mod"), ("GOTOOLCHAIN", "auto"), ("GOWORK", "off")])
            .output()
            .unwrap_or_else(|error| {
                panic!("this test reads the Gateway API CRDs from the Go module {MODULE}, and `go` cannot be run: {error}")
            });
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        match json.get("Dir").and_then(Value::as_str) {
            Some(dir) => PathBuf::from(dir),
            None => panic!(
                "`go mod download {MODULE}` failed: {}\n{}",
                json.get("Error").and_then(Value::as_str).unwrap_or_default(),
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    })
}

/// A standard CRD: its kind and the schema of `v1`.
pub struct Definition {
    pub kind: Kind,
    pub schema: Value,
}

/// The standard CRDs, by kind.
pub fn standard_crds() -> Vec<Definition> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir().join("config/crd/standard")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for object in manifest::read(&path.display().to_string(), &text).unwrap() {
            if object.get("kind").and_then(Value::as_str) != Some("CustomResourceDefinition") {
                continue;
            }
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let kind = Kind::of(text("/spec/group"), text("/spec/names/kind"));
            let kind = kind.unwrap_or_else(|| panic!("Kind does not know {}", text("/metadata/name")));
            assert_eq!(text("/spec/group"), GATEWAY_GROUP);
            assert_eq!(text("/spec/names/plural"), kind.plural());
            assert_eq!(text("/spec/scope") == "Namespaced", kind.namespaced(), "{kind}");
            let versions = object.pointer("/spec/versions").and_then(Value::as_array).unwrap();
            let version = versions.iter().find(|it| it.get("name").and_then(Value::as_str) == Some(kind.version()));
            let version = version.unwrap_or_else(|| panic!("{kind} has no version {}", kind.version()));
            assert_eq!(version.get("served"), Some(&Value::Bool(true)), "{kind}");
            found.push(Definition { kind, schema: version.pointer("/schema/openAPIV3Schema").unwrap().clone() });
        }
    }
    found.sort_by_key(|it| it.kind);
    let kinds: Vec<Kind> = found.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, Kind::ALL.into_iter().filter(|kind| kind.group() == GATEWAY_GROUP).collect::<Vec<_>>());
    found
}
