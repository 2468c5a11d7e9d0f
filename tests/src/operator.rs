//! Our operator, as the process `portico run`, with the rights of its ServiceAccount and no others.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::controlplane::{ControlPlane, Kubeconfig, Kubectl};
use crate::daemon::{Daemon, Ends};
use crate::{cloud, fleet};

use crate::netns::STATE_DIR;

/// Where the operator's ServiceAccount and Lease live.
pub const NAMESPACE: &str = "portico-system";
/// The operator's ServiceAccount.
pub const SERVICE_ACCOUNT: &str = "portico";
/// Where its metrics and health are.
pub const HEALTH_ADDRESS: &str = "127.0.0.1:9402";
/// By which `portico run` is told where to serve xDS.
pub const XDS_FLAG: &str = "--xds-listen";
/// How long the operator may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Grants the operator what it says it needs, and no more.
pub async fn grant(portico: &Path, kubectl: &Kubectl) -> Result<()> {
    let manifests = print(portico, &["manifests", "--only", "rbac", "--namespace", NAMESPACE]).await?;
    kubectl.run_with(&["apply", "--server-side", "-f", "-"], &manifests).await.context("cannot grant the operator its rights")?;
    Ok(())
}

/// What `portico` prints on those arguments.
pub async fn print(portico: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(portico).args(arguments).output().await.with_context(|| format!("cannot run {}", portico.display()))?;
    if !output.status.success() {
        bail!("portico {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("portico printed no text")
}

/// Starts the operator, which with `fleet` serves proxies, too, and waits until it is ready.
pub async fn start(portico: &Path, fleet: bool, plane: &ControlPlane, kubectl: &Kubectl, logs: &Path, ends: &Ends) -> Result<Daemon> {
    let token = kubectl.run(&["create", "token", SERVICE_ACCOUNT, "--namespace", NAMESPACE, "--duration=24h"]).await?;
    let kubeconfig = Path::new(STATE_DIR).join("portico.kubeconfig");
    Kubeconfig { server: &plane.url, ca: &plane.pki.ca_pem, user: "portico", token: token.trim() }.write(&kubeconfig)?;

    let mut command = Command::new(portico);
    command
        .args(["run", "--listen", HEALTH_ADDRESS, "--lease-namespace", NAMESPACE])
        .env("KUBECONFIG", &kubeconfig)
        .envs(cloud::environment(&cloud::url()));
    if fleet {
        command.args([XDS_FLAG, &fleet::OPERATOR.to_string()]);
    }
    let daemon = Daemon::spawn("operator", command, logs, ends)?;
    let ready = format!("http://{HEALTH_ADDRESS}/readyz");
    let deadline = tokio::time::Instant::now() + READY_WITHIN;
    while tokio::time::Instant::now() < deadline {
        daemon.alive().context("the operator did not start")?;
        if crate::client::get(&ready).await.is_ok_and(|answer| answer.status.is_success()) {
            return Ok(daemon);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let tail = daemon.tail();
    daemon.stop(Duration::from_secs(1)).await;
    bail!("the operator is not ready at {ready} after {READY_WITHIN:?}; its log ends with\n{tail}")
}
