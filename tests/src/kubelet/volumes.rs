//! Volumes: what files they hold, and their folders on this machine.
//!
//! Secret, ConfigMap, projected and downwardAPI volumes are laid out as a kubelet does it: real files in a dated folder, one
//! `..data` link that is swapped in a single step when the content changes, and a link per name. Also emptyDir and, for
//! what exists already, hostPath. Other kinds are refused with an event.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, DownwardAPIVolumeFile, KeyToPath, Pod, Volume, VolumeProjection};

use super::environment::{self, PodFacts, Unresolved};
use super::protocol::Mount;
use super::references::{Data, Lookup};

/// Mode of a file for which nobody chose one (Kubernetes: `defaultMode` is 0644).
const DEFAULT_MODE: i32 = 0o644;

/// One file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its content.
    pub data: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

/// What a volume is, once everything it refers to is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Files that the kubelet writes and renews, by path.
    Files(BTreeMap<String, File>),
    /// An empty folder that lives as long as the pod.
    Scratch,
    /// A path of this machine.
    Host(PathBuf),
}

/// A ServiceAccount token that a projected volume wants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenWish {
    /// The volume's name.
    pub volume: String,
    /// The file's path in it.
    pub path: String,
    /// Whom the token is for; the API server, if none.
    pub audience: Option<String>,
    /// Wished validity in seconds.
    pub expiration_seconds: i64,
}

/// Tokens by wish.
pub type Tokens = BTreeMap<TokenWish, String>;

/// The tokens that a pod's volumes want.
pub fn token_wishes(pod: &Pod) -> Vec<TokenWish> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.flat_map(|volume| sources(volume).iter().filter_map(|source| wish(volume, source))).collect()
}

fn sources(volume: &Volume) -> &[VolumeProjection] {
    volume.projected.as_ref().and_then(|projected| projected.sources.as_deref()).unwrap_or_default()
}

fn wish(volume: &Volume, source: &VolumeProjection) -> Option<TokenWish> {
    // Kubernetes: a token is valid for an hour if nobody says otherwise.
    let token = source.service_account_token.as_ref()?;
    Some(TokenWish {
        volume: volume.name.clone(),
        path: token.path.clone(),
        audience: token.audience.clone(),
        expiration_seconds: token.expiration_seconds.unwrap_or(3600),
    })
}

/// Works out what a volume holds now.
pub fn content(volume: &Volume, facts: PodFacts<'_>, lookup: &impl Lookup, tokens: &Tokens) -> Result<Content, Unresolved> {
    let namespace = facts.pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut files = BTreeMap::new();
    if volume.empty_dir.is_some() {
        return Ok(Content::Scratch);
    } else if let Some(host) = &volume.host_path {
        let path = PathBuf::from(&host.path);
        return if path.exists() { Ok(Content::Host(path)) } else { Err(Unresolved(format!("hostPath {} does not exist", host.path))) };
    } else if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let data = found(lookup.secret(namespace, name), secret.optional, "secret", namespace, name)?;
        add_keys(&mut files, &data, secret.items.as_deref(), secret.default_mode, secret.optional, name)?;
    } else if let Some(map) = &volume.config_map {
        let data = found(lookup.config_map(namespace, &map.name), map.optional, "configmap", namespace, &map.name)?;
        add_keys(&mut files, &data, map.items.as_deref(), map.default_mode, map.optional, &map.name)?;
    } else if let Some(downward) = &volume.downward_api {
        add_fields(&mut files, downward.items.as_deref(), downward.default_mode, facts)?;
    } else if let Some(projected) = &volume.projected {
        let mode = projected.default_mode;
        for source in sources(volume) {
            if let Some(secret) = &source.secret {
                let data = found(lookup.secret(namespace, &secret.name), secret.optional, "secret", namespace, &secret.name)?;
                add_keys(&mut files, &data, secret.items.as_deref(), mode, secret.optional, &secret.name)?;
            } else if let Some(map) = &source.config_map {
                let data = found(lookup.config_map(namespace, &map.name), map.optional, "configmap", namespace, &map.name)?;
                add_keys(&mut files, &data, map.items.as_deref(), mode, map.optional, &map.name)?;
            } else if let Some(downward) = &source.downward_api {
                add_fields(&mut files, downward.items.as_deref(), mode, facts)?;
            } else if let Some(wish) = wish(volume, source) {
                let token = tokens.get(&wish).ok_or_else(|| Unresolved("the ServiceAccount's token is not there yet".to_owned()))?;
                // Root runs every container here, so the owner's right to read is enough.
                add(&mut files, &wish.path, token.as_bytes().to_vec(), Some(0o600))?;
            } else {
                return Err(Unresolved(format!("volume \"{}\": the lab's kubelet does not support this projected source", volume.name)));
            }
        }
    } else {
        let kinds = "secret, configMap, projected, downwardAPI, emptyDir, hostPath";
        return Err(Unresolved(format!("volume \"{}\": the lab's kubelet supports {kinds} only", volume.name)));
    }
    Ok(Content::Files(files))
}

fn found(data: Option<Data>, optional: Option<bool>, kind: &str, namespace: &str, name: &str) -> Result<Data, Unresolved> {
    match data {
        Some(data) => Ok(data),
        None if optional == Some(true) => Ok(Data::new()),
        None => Err(Unresolved(format!("{kind} \"{name}\" not found in namespace \"{namespace}\""))),
    }
}

fn add_keys(
    files: &mut BTreeMap<String, File>,
    data: &Data,
    items: Option<&[KeyToPath]>,
    mode: Option<i32>,
    optional: Option<bool>,
    name: &str,
) -> Result<(), Unresolved> {
    match items {
        None | Some([]) => {
            for (key, value) in data {
                add(files, key, value.clone(), mode)?;
            }
        }
        Some(items) => {
            for item in items {
                match data.get(&item.key) {
                    Some(value) => add(files, &item.path, value.clone(), item.mode.or(mode))?,
                    None if optional == Some(true) => {}
                    None => return Err(Unresolved(format!("references non-existent key {} in {name}", item.key))),
                }
            }
        }
    }
    Ok(())
}

fn add_fields(
    files: &mut BTreeMap<String, File>,
    items: Option<&[DownwardAPIVolumeFile]>,
    mode: Option<i32>,
    facts: PodFacts<'_>,
) -> Result<(), Unresolved> {
    for item in items.unwrap_or_default() {
        let value = if let Some(field) = &item.field_ref {
            environment::field(facts, &field.field_path)?
        } else if let Some(resource) = &item.resource_field_ref {
            let name = resource.container_name.as_deref().unwrap_or_default();
            let spec = facts.pod.spec.as_ref();
            let container = spec.and_then(|spec| spec.containers.iter().find(|container| container.name == name));
            environment::resource(container.ok_or_else(|| Unresolved(format!("no container \"{name}\"")))?, resource)?
        } else {
            continue;
        };
        add(files, &item.path, value.into_bytes(), item.mode.or(mode))?;
    }
    Ok(())
}

fn add(files: &mut BTreeMap<String, File>, path: &str, data: Vec<u8>, mode: Option<i32>) -> Result<(), Unresolved> {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || !plain || path.starts_with("..") {
        return Err(Unresolved(format!("invalid path in a volume: {path:?}")));
    }
    let mode = u32::try_from(mode.unwrap_or(DEFAULT_MODE)).unwrap_or(0o644) & 0o777;
    files.insert(path.to_owned(), File { data, mode });
    Ok(())
}

/// Brings a volume's folder to hold exactly these files, in one step as seen by a reader.
pub fn write(folder: &Path, files: &BTreeMap<String, File>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let data_link = folder.join("..data");
    let former = fs::read_link(&data_link).ok();
    let dated = format!("..{}", jiff::Timestamp::now().as_nanosecond());
    for (path, file) in files {
        let target = folder.join(&dated).join(path);
        fs::create_dir_all(target.parent().unwrap_or(folder))?;
        fs::write(&target, &file.data)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(file.mode))?;
    }
    fs::create_dir_all(folder.join(&dated))?;
    let new_link = folder.join("..data_tmp");
    let _ = fs::remove_file(&new_link);
    symlink(&dated, &new_link)?;
    fs::rename(&new_link, &data_link)?;
    let names: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &names {
        let link = folder.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), &link)?;
        }
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !names.contains(name.as_ref()) {
            fs::remove_file(entry.path())?;
        }
    }
    match former {
        Some(former) => fs::remove_dir_all(folder.join(former)),
        None => Ok(()),
    }
}

/// Makes a volume's folder. Returns the path to mount, and whether containers may write to it.
pub fn prepare(folder: &Path, content: &Content) -> io::Result<(PathBuf, bool)> {
    match content {
        Content::Files(files) => write(folder, files).map(|()| (folder.to_owned(), false)),
        Content::Scratch => {
            fs::create_dir_all(folder)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o777))?;
            Ok((folder.to_owned(), true))
        }
        Content::Host(path) => Ok((path.clone(), true)),
    }
}

/// The mounts of a container: `volumes` has, by volume name, what [`prepare`] returned.
pub fn mounts(
    container: &Container,
    volumes: &BTreeMap<String, (PathBuf, bool)>,
    env: &[(String, String)],
) -> Result<Vec<Mount>, Unresolved> {
    let mut mounts = Vec::new();
    for wanted in container.volume_mounts.iter().flatten() {
        let (folder, writable) =
            volumes.get(&wanted.name).ok_or_else(|| Unresolved(format!("volume \"{}\" is not defined", wanted.name)))?;
        let sub_path = match (&wanted.sub_path, &wanted.sub_path_expr) {
            (Some(path), _) => path.clone(),
            (None, Some(expression)) => environment::expand(expression, env),
            (None, None) => String::new(),
        };
        let mut source = folder.clone();
        if !sub_path.is_empty() {
            if Path::new(&sub_path).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
                return Err(Unresolved(format!("subPath {sub_path:?} must stay inside the volume")));
            }
            source = folder.join(&sub_path);
            if *writable && !source.exists() {
                fs::create_dir_all(&source).map_err(|error| Unresolved(format!("subPath {sub_path:?}: {error}")))?;
            }
            // The file behind the links: a mounted subPath is not renewed, as in Kubernetes.
            source = source.canonicalize().map_err(|error| Unresolved(format!("subPath {sub_path:?}: {error}")))?;
        }
        let read_only = !writable || wanted.read_only == Some(true);
        mounts.push(Mount { source, target: PathBuf::from(&wanted.mount_path), read_only });
    }
    Ok(mounts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::references::tests::Fixed;
    use super::*;

    fn pod(volumes: serde_json::Value) -> Pod {
        let metadata = json!({"name": "web-1", "namespace": "shop", "labels": {"app": "web", "tier": "\"x\""}});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"containers": [], "volumes": volumes}})).unwrap()
    }

    fn resolve(volume: serde_json::Value, lookup: &Fixed, tokens: &Tokens) -> Result<Content, Unresolved> {
        let pod = pod(json!([volume]));
        let facts = PodFacts { pod: &pod, pod_ip: "198.19.0.2", host_ip: "198.19.0.1" };
        content(&pod.spec.as_ref().unwrap().volumes.as_ref().unwrap()[0], facts, lookup, tokens)
    }

    fn listing(content: Content) -> Vec<(String, String, u32)> {
        let Content::Files(files) = content else { panic!("not files: {content:?}") };
        files.into_iter().map(|(path, file)| (path, String::from_utf8(file.data).unwrap(), file.mode)).collect()
    }

    #[test]
    fn a_secret_s_items_and_modes() {
        let lookup = Fixed::default().secret("shop", "tls", &[("tls.crt", "C"), ("tls.key", "K")]);
        let all = resolve(json!({"name": "v", "secret": {"secretName": "tls", "defaultMode": 0o400}}), &lookup, &Tokens::new());
        assert_eq!(listing(all.unwrap()), [("tls.crt".into(), "C".into(), 0o400), ("tls.key".into(), "K".into(), 0o400)]);
        let items = json!([{"key": "tls.crt", "path": "crt"}, {"key": "tls.key", "path": "private/key", "mode": 0o600}]);
        let some = resolve(json!({"name": "v", "secret": {"secretName": "tls", "items": items}}), &lookup, &Tokens::new());
        assert_eq!(listing(some.unwrap()), [("crt".into(), "C".into(), 0o644), ("private/key".into(), "K".into(), 0o600)]);
    }

    #[test]
    fn what_is_missing_is_waited_for_unless_optional() {
        let lookup = Fixed::default().config_map("shop", "settings", &[("a", "1")]);
        let error = |volume| resolve(volume, &lookup, &Tokens::new()).unwrap_err().0;
        assert_eq!(error(json!({"name": "v", "secret": {"secretName": "tls"}})), "secret \"tls\" not found in namespace \"shop\"");
        let items = json!([{"key": "b", "path": "b"}]);
        assert_eq!(
            error(json!({"name": "v", "configMap": {"name": "settings", "items": items}})),
            "references non-existent key b in settings"
        );
        assert!(error(json!({"name": "v", "nfs": {"server": "s", "path": "/"}})).contains("supports secret, configMap"));
        assert!(
            error(json!({"name": "v", "downwardAPI": {"items": [{"path": "../x", "fieldRef": {"fieldPath": "metadata.name"}}]}}))
                .contains("invalid path")
        );
        let optional = resolve(json!({"name": "v", "secret": {"secretName": "tls", "optional": true}}), &lookup, &Tokens::new());
        assert_eq!(optional, Ok(Content::Files(BTreeMap::new())));
    }

    #[test]
    fn the_service_account_volume_is_whole() {
        let volume = json!({"name": "api", "projected": {"defaultMode": 0o644, "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}
        ]}});
        let wishes = token_wishes(&pod(json!([volume.clone()])));
        let expected = TokenWish { volume: "api".into(), path: "token".into(), audience: None, expiration_seconds: 3607 };
        assert_eq!(wishes, std::slice::from_ref(&expected));
        let lookup = Fixed::default().config_map("shop", "kube-root-ca.crt", &[("ca.crt", "CA")]);
        assert!(resolve(volume.clone(), &lookup, &Tokens::new()).is_err(), "no token yet");
        let files = resolve(volume, &lookup, &Tokens::from([(expected, "T".to_owned())])).unwrap();
        let expected = [("ca.crt", "CA", 0o644), ("namespace", "shop", 0o644), ("token", "T", 0o600)];
        assert_eq!(listing(files), expected.map(|(path, data, mode)| (path.into(), data.into(), mode)));
    }

    #[test]
    fn labels_are_written_as_quoted_lines() {
        let volume = json!({"name": "v", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}});
        let files = listing(resolve(volume, &Fixed::default(), &Tokens::new()).unwrap());
        assert_eq!(files[0].1, "app=\"web\"\ntier=\"\\\"x\\\"\"");
    }

    #[test]
    fn a_volume_s_folder_follows_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = |data: &str| File { data: data.as_bytes().to_vec(), mode: 0o640 };
        write(folder.path(), &BTreeMap::from([("a".into(), file("1")), ("sub/b".into(), file("2"))])).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), "1");
        assert_eq!(fs::read_to_string(folder.path().join("sub/b")).unwrap(), "2");
        assert_eq!(fs::metadata(folder.path().join("a")).unwrap().permissions().mode() & 0o777, 0o640);
        write(folder.path(), &BTreeMap::from([("a".into(), file("3"))])).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), "3");
        let mut left: Vec<String> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left.len(), 3, "{left:?}: the dated folder, its link and the one file");
    }

    #[test]
    fn a_sub_path_stays_inside_its_volume() {
        let folder = tempfile::tempdir().unwrap();
        let volumes = BTreeMap::from([("data".to_owned(), (folder.path().to_owned(), true))]);
        let container =
            |mount: serde_json::Value| -> Container { serde_json::from_value(json!({"name": "c", "volumeMounts": [mount]})).unwrap() };
        let env = [("POD".to_owned(), "web-1".to_owned())];
        let made = mounts(&container(json!({"name": "data", "mountPath": "/d", "subPathExpr": "of/$(POD)"})), &volumes, &env).unwrap();
        assert!(made[0].source.ends_with("of/web-1") && made[0].source.is_dir() && !made[0].read_only);
        assert!(mounts(&container(json!({"name": "data", "mountPath": "/d", "subPath": "../x"})), &volumes, &env).is_err());
        assert!(mounts(&container(json!({"name": "none", "mountPath": "/d"})), &volumes, &env).is_err());
    }
}
