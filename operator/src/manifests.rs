//! Manifests of a folder, as the API server would have them: with defaults, namespaces and generations filled in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use portico_crds::{Kind, NamespacedName, defaulting, manifest};
use serde_json::{Value, json};

use crate::cluster::key_of;

/// The path that stands for standard input.
const STANDARD_INPUT: &str = "-";

/// The objects of some files.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// Objects of kinds that Portico reads, in the order of the files.
    pub objects: Vec<(Kind, Value)>,
    /// All objects as written, of whatever kind.
    pub all: Vec<Value>,
    /// Namespaces that objects are in but no file makes: `objects` has a plain one of each.
    pub assumed: BTreeSet<String>,
    /// How many files were read.
    pub files: usize,
}

impl Manifests {
    /// Reads files and folders; `-` is standard input. Every file must be readable and every document an object: what is half read is not a plan.
    pub fn load(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut files = BTreeSet::new();
        let mut texts = Vec::new();
        for path in paths {
            if path.as_os_str() != STANDARD_INPUT {
                collect(path, true, &mut files)?;
            } else if texts.is_empty() {
                texts.push(("standard input".to_owned(), std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?));
            } else {
                bail!("standard input (-) can be read once");
            }
        }
        if files.is_empty() && texts.is_empty() {
            let list: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            bail!("there are no .yaml, .yml or .json files in {}", list.join(", "));
        }
        for file in files {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            texts.push((file.display().to_string(), text));
        }
        Self::parse(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())))
    }

    /// Reads texts with the names of their files.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> anyhow::Result<Self> {
        let mut manifests = Self::default();
        let mut places: BTreeMap<(Kind, NamespacedName), String> = BTreeMap::new();
        for (file, text) in files {
            manifests.files += 1;
            for mut object in manifest::read(file, text)? {
                let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
                let kind = Kind::of_api_version(text("apiVersion"), text("kind"));
                let namespaced = kind.is_none_or(Kind::namespaced);
                if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut).filter(|_| namespaced) {
                    metadata.entry("namespace").or_insert_with(|| json!("default"));
                }
                manifests.all.push(object.clone());
                let Some(kind) = kind else { continue };
                let key = key_of(&object);
                if let Some(first) = places.insert((kind, key.clone()), file.to_owned()) {
                    bail!("{kind} {key} stands twice: in {first} and in {file}");
                }
                defaulting::fill(&mut object);
                if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.entry("generation").or_insert_with(|| json!(1));
                }
                manifests.objects.push((kind, object));
            }
        }
        manifests.add_namespaces();
        Ok(manifests)
    }

    /// Namespaces that objects are in but no file makes: in a cluster they would have to be there.
    fn add_namespaces(&mut self) {
        let known: BTreeSet<String> = self.keys(Kind::Namespace).map(|key| key.name).collect();
        let used: BTreeSet<String> =
            self.objects.iter().map(|(_, object)| key_of(object).namespace).filter(|name| !name.is_empty()).collect();
        for name in used.difference(&known) {
            let mut namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "generation": 1}});
            defaulting::fill(&mut namespace);
            self.objects.push((Kind::Namespace, namespace));
            self.assumed.insert(name.clone());
        }
    }

    /// Keys of the objects of a kind.
    pub fn keys(&self, kind: Kind) -> impl Iterator<Item = NamespacedName> {
        self.objects.iter().filter(move |(k, _)| *k == kind).map(|(_, object)| key_of(object))
    }
}

fn collect(path: &Path, named: bool, files: &mut BTreeSet<PathBuf>) -> anyhow::Result<()> {
    let metadata = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).with_context(|| format!("cannot read the folder {}", path.display()))? {
            let entry = entry.with_context(|| format!("cannot read the folder {}", path.display()))?;
            if !entry.file_name().to_string_lossy().starts_with('.') {
                collect(&entry.path(), false, files)?;
            }
        }
    } else if named || matches!(path.extension().and_then(|e| e.to_str()), Some("yaml" | "yml" | "json")) {
        files.insert(path.to_path_buf());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: &str =
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: web}\nspec: {parentRefs: [{name: g}]}\n";

    #[test]
    fn objects_get_what_an_api_server_would_fill_in() {
        let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: a}\n";
        let manifests = Manifests::parse([("a.yaml", ROUTE), ("b.yaml", deployment)]).unwrap();
        assert_eq!(manifests.all.len(), 2);
        let (kind, route) = manifests.objects.first().unwrap();
        assert_eq!((*kind, key_of(route)), (Kind::HttpRoute, NamespacedName::new("default", "web")));
        assert_eq!(route.pointer("/spec/parentRefs/0/kind"), Some(&json!("Gateway")));
        assert_eq!(route.pointer("/metadata/generation"), Some(&json!(1)));
        assert_eq!(manifests.keys(Kind::Namespace).collect::<Vec<_>>(), [NamespacedName::new("", "default")]);
    }

    #[test]
    fn an_object_that_stands_twice_is_an_error_with_both_places() {
        let error = Manifests::parse([("a.yaml", ROUTE), ("b.yaml", ROUTE)]).unwrap_err();
        assert_eq!(error.to_string(), "HTTPRoute default/web stands twice: in a.yaml and in b.yaml");
    }

    #[test]
    fn folders_are_read_with_their_sub_folders() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        std::fs::write(folder.path().join("sub/route.yml"), ROUTE).unwrap();
        std::fs::write(folder.path().join("README.md"), "no manifest").unwrap();
        let manifests = Manifests::load(&[folder.path().to_path_buf()]).unwrap();
        assert_eq!((manifests.files, manifests.all.len()), (1, 1));
        std::fs::remove_file(folder.path().join("sub/route.yml")).unwrap();
        let error = Manifests::load(&[folder.path().to_path_buf()]).unwrap_err();
        assert!(error.to_string().starts_with("there are no .yaml, .yml or .json files in "), "{error}");
        assert!(Manifests::load(&[folder.path().join("nothing")]).is_err());
    }
}
