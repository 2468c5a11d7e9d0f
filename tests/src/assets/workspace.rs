//! The project's own program, built by Cargo as a user builds it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::progress;

/// Names a built `portico` to be taken instead of building one.
pub const PROGRAM_VARIABLE: &str = "PORTICO_BIN";

/// The `portico` program of this clone, brought up to date first.
pub fn portico() -> Result<PathBuf> {
    given_or(&["--bin", "portico"], "portico")
}

/// The same program, built so that it counts its allocations.
pub fn portico_that_counts() -> Result<PathBuf> {
    given_or(&["--bin", "portico", "--features", "portico/count-allocations"], "portico")
}

/// The embedded cloud alone, to measure it: none of what reaches a cloud's SDK is built for it.
pub fn measured_cloud() -> Result<PathBuf> {
    built(&["--profile", "measured", "--package", "portico-cloud", "--example", "cloud"], "the cloud")
}

/// The program that [`PROGRAM_VARIABLE`] names, or else a new build.
fn given_or(arguments: &[&str], what: &str) -> Result<PathBuf> {
    let Some(given) = std::env::var_os(PROGRAM_VARIABLE).map(PathBuf::from) else { return built(arguments, what) };
    if given.is_file() {
        return std::path::absolute(given).context("no absolute path");
    }
    bail!("{PROGRAM_VARIABLE} names no file: {}", given.display());
}

fn built(arguments: &[&str], what: &str) -> Result<PathBuf> {
    let step = progress::Step::start(format!("building {what}"), "a first build takes minutes");
    let output = Command::new(cargo())
        .args(["build", "--quiet", "--message-format", "json-render-diagnostics"])
        .args(arguments)
        .current_dir(super::workspace_dir()?)
        .stdin(Stdio::null())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo could not build {what}:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let program = messages.lines().filter_map(executable).next_back().context("cargo built nothing")?;
    step.done();
    Ok(program)
}

/// The cargo that started us, or the one on the path.
pub fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The program that one of Cargo's messages speaks of.
fn executable(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    message.get("executable")?.as_str().map(PathBuf::from)
}
