//! kubectl, as people use it: what the lab installs and what the tests apply goes through the real program.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::netns::STATE_DIR;

/// The variable that tells kubectl where to keep what it learned of the server; else it would leave it in the home folder.
pub const CACHE_VARIABLE: &str = "KUBECACHEDIR";

/// The place for [`CACHE_VARIABLE`].
pub fn cache_dir() -> String {
    format!("{STATE_DIR}/kubectl")
}

/// The kubectl program with the credentials that it uses.
#[derive(Debug, Clone)]
pub struct Kubectl {
    /// The program.
    pub program: PathBuf,
    /// The kubeconfig's file.
    pub kubeconfig: PathBuf,
}

impl Kubectl {
    /// Runs kubectl with those arguments and returns what it printed.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        self.run_with(arguments, "").await
    }

    /// Runs kubectl with that standard input.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env(CACHE_VARIABLE, cache_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let mut stdin = child.stdin.take().context("kubectl has no standard input")?;
        let write = async move {
            // kubectl may end without reading; its exit code then says why.
            let _ = stdin.write_all(input.as_bytes()).await;
        };
        let ((), output) = tokio::join!(write, child.wait_with_output());
        let output = output.context("kubectl did not end")?;
        if !output.status.success() {
            bail!("kubectl {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
