//! `lab cloud-compare`: the embedded cloud beside moto, in one run: what each answers to the rows of the boto3 tests, and how many calls per second it
//! carries out. The work is done by `localstack/tests/boto3/compare.py`, in a Python environment of its own.

use std::path::Path;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::{assets, exec};

/// Arguments of `lab cloud-compare`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only the rows (against a debug build), or only the calls per second.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Compare with an emulator that runs already at this URL, instead of moto: LocalStack, say (localstack/compose.yaml).
    #[arg(long, value_name = "URL")]
    beside: Option<String>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The rows of the boto3 tests.
    Rows,
    /// Calls per second.
    Churn,
}

/// Compares; the exit code is 1 if this cloud gets a row wrong or is not ten times as fast.
pub async fn run(options: &Options) -> Result<u8> {
    let mut command = match options.only {
        None => command(&assets::measured_cloud()?)?,
        Some(Part::Rows) => rows()?,
        Some(Part::Churn) => churn()?,
    };
    if let Some(url) = &options.beside {
        command.args(["--beside", url]);
    }
    exec::run(command).await
}

/// The comparison of the rows, as a command.
pub fn rows() -> Result<Command> {
    let mut command = command(&assets::portico()?)?;
    command.args(["--only", "rows"]);
    Ok(command)
}

/// The comparison of calls per second, as a command. The cloud is built as a release is.
pub fn churn() -> Result<Command> {
    let mut command = command(&assets::measured_cloud()?)?;
    command.args(["--only", "churn"]);
    Ok(command)
}

fn command(cloud: &Path) -> Result<Command> {
    let folder = assets::workspace_dir()?.join("localstack/tests/boto3");
    let python = assets::python(&folder.join("moto-requirements.txt")).context("the environment with moto")?;
    let mut command = Command::new(python);
    command.arg(folder.join("compare.py")).arg("--cloud").arg(cloud).env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}
