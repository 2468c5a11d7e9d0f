//! Programs and folders out of Go modules, pinned by a `go.mod` and `go.sum` of this crate.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{cache, progress};

/// A Go module of this crate that pins what the lab takes from others.
pub struct Module {
    dir: PathBuf,
}

impl Module {
    /// Opens the module in that folder.
    pub fn open(dir: PathBuf) -> Result<Self> {
        if !dir.join("go.mod").is_file() {
            bail!("{} holds no Go module", dir.display());
        }
        Ok(Self { dir })
    }

    /// The version that the module requires of another one, from its `go.mod`.
    pub fn version_of(&self, module: &str) -> Result<String> {
        let path = self.dir.join("go.mod");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        required(&text, module).with_context(|| format!("{} requires no {module}", path.display()))
    }

    /// The cache's folder for the programs of this module, which are also made of those `sources` of its own.
    pub fn store(&self, kind: &str, version: &str, sources: &[&str]) -> Result<PathBuf> {
        let recipe: Vec<PathBuf> = ["go.mod", "go.sum"].iter().chain(sources).map(|name| self.dir.join(name)).collect();
        super::store(kind, version, &cache::fingerprint(recipe.iter().map(PathBuf::as_path))?)
    }

    /// Builds a program into the store, unless it is there.
    pub fn build(&self, store: &Path, name: &str, package: &str, ldflags: &str, hint: &str) -> Result<PathBuf> {
        self.install(store, name, &["build", "-trimpath", "-ldflags", ldflags], package, hint)
    }

    /// Builds the tests of a package as a program into the store, unless it is there.
    pub fn build_tests(&self, store: &Path, name: &str, package: &str, hint: &str) -> Result<PathBuf> {
        self.install(store, name, &["test", "-c", "-trimpath", "-ldflags", "-s -w"], package, hint)
    }

    /// Has go make a program of a package. Installed by rename, so that an interrupted build leaves no half program behind,
    /// and under a lock, so that two runs build it once.
    fn install(&self, store: &Path, name: &str, arguments: &[&str], package: &str, hint: &str) -> Result<PathBuf> {
        let program = store.join(name);
        if program.is_file() {
            return Ok(program);
        }
        let _lock = cache::lock("go-build")?;
        if program.is_file() {
            return Ok(program);
        }
        let step = progress::Step::start(format!("building {name}"), hint);
        let staging = tempfile::Builder::new().prefix(".building-").tempdir_in(store).context("cannot make a folder to build in")?;
        let built = staging.path().join(name);
        let output = self
            .command()
            .args(arguments)
            .arg("-o")
            .arg(&built)
            .arg(package)
            .output()
            .context("cannot run go; `cargo lab doctor` says what is missing")?;
        if !output.status.success() {
            bail!("go could not build {name}:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        fs::rename(&built, &program).with_context(|| format!("cannot install {}", program.display()))?;
        step.done();
        Ok(program)
    }

    /// The folder of a required module in Go's module cache, downloaded if it is not there.
    pub fn folder_of(&self, module: &str) -> Result<PathBuf> {
        let find = || self.query(&["list", "-m", "-f", "{{.Dir}}", module]);
        let mut folder = find()?;
        if folder.is_empty() {
            let step = progress::Step::start(format!("downloading {module}"), "");
            self.query(&["mod", "download", module])?;
            step.done();
            folder = find()?;
        }
        if folder.is_empty() {
            bail!("go does not say where {module} is");
        }
        Ok(PathBuf::from(folder))
    }

    fn query(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command().args(arguments).output().context("cannot run go; `cargo lab doctor` says what is missing")?;
        if !output.status.success() {
            bail!("go {} failed:\n{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The go command, with the toolchain that the module asks for and no workspace file of somebody else's.
    fn command(&self) -> Command {
        let mut command = Command::new("go");
        command.current_dir(&self.dir).env("GOTOOLCHAIN", "auto").env("GOWORK", "off").stdin(Stdio::null());
        command
    }
}

/// The version that the text of a `go.mod` requires of a module.
fn required(go_mod: &str, module: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let line = line.trim().trim_start_matches("require ");
        let mut words = line.split_whitespace();
        (words.next() == Some(module)).then(|| words.next()).flatten().filter(|version| version.starts_with('v')).map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::required;

    #[test]
    fn finds_a_required_version_and_not_a_replacement() {
        let text = "module m\nrequire (\n\ta.io/b v1.2.3\n\ta.io/bc v0.1.0 // indirect\n)\nrequire d.io/e v4.5.6\nreplace f.io/g => f.io/g v7.0.0\n";
        assert_eq!(required(text, "a.io/b").as_deref(), Some("v1.2.3"));
        assert_eq!(required(text, "d.io/e").as_deref(), Some("v4.5.6"));
        assert_eq!(required(text, "f.io/g"), None);
    }
}
