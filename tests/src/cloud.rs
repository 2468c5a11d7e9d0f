//! The embedded cloud, as the process `portico cloud`; beside moto, and beside Envoy.

pub mod envoy;
pub mod moto;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::Command;

use crate::daemon::{Daemon, Ends};
use crate::netns::{CLOUD_ADDRESS, LOAD_BALANCER_CIDR};

/// The port of the cloud's API, as LocalStack has it.
pub const PORT: u16 = 4566;
/// The region that the lab's clients use.
pub const REGION: &str = "us-east-1";
/// How long the cloud may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The URL of the lab's cloud.
pub fn url() -> String {
    format!("http://{CLOUD_ADDRESS}:{PORT}")
}

/// What an AWS client needs in its environment to talk to a cloud at that URL, and to nothing else.
pub fn environment(url: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "lab"),
        ("AWS_SECRET_ACCESS_KEY", "lab"),
        // There is no metadata service: an SDK must not wait for one.
        ("AWS_EC2_METADATA_DISABLED", "true"),
        // Whatever the caller has configured is meant for the real AWS.
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// All that can be made, as the cloud's state holds it: load balancers with their network interfaces, target groups, security groups
/// with their rules, certificates.
pub fn holdings(state: &Value) -> Vec<Value> {
    let kinds = ["load_balancers", "target_groups", "security_groups", "network_interfaces", "certificates"];
    kinds.iter().filter_map(|kind| state.get(kind)?.as_array()).flatten().cloned().collect()
}

/// What one list of [`holdings`] has and the other has not.
pub fn difference(before: &[Value], after: &[Value]) -> String {
    let more: Vec<String> = after.iter().filter(|value| !before.contains(value)).map(Value::to_string).collect();
    let less: Vec<String> = before.iter().filter(|value| !after.contains(value)).map(Value::to_string).collect();
    format!("surplus {more:?}, missing {less:?}")
}

/// Starts the cloud and waits until it answers. `times` is a factor on how long things take on AWS; without it they take next to no time.
pub async fn start(portico: &Path, times: Option<f64>, logs: &Path, ends: &Ends) -> Result<Daemon> {
    let listen = format!("{CLOUD_ADDRESS}:{PORT}");
    let times = times.map(|factor| format!("--realistic-times={factor}"));
    let mut arguments = vec!["--listen", listen.as_str(), "--addresses", LOAD_BALANCER_CIDR];
    arguments.extend(times.as_deref());
    start_with("cloud", portico, &arguments, &listen, logs, ends).await
}

/// The `spec.providerID` of the lab's node: the cloud's instance, whose network interface has the pods' addresses.
pub async fn provider_id() -> Result<String> {
    let state = crate::client::get(&format!("{}/_cloud/state", url())).await?.json()?;
    let instance = |pointer: &str| state.pointer(pointer).and_then(Value::as_str).context("the cloud has no instance for the node");
    Ok(format!("aws:///{}/{}", instance("/instances/0/zone")?, instance("/instances/0/id")?))
}

/// Where a cloud beside the lab's own listens.
pub const BESIDE: &str = "198.18.255.11:4566";
/// Load balancers of the cloud beside the lab's own.
pub const BESIDE_CIDR: &str = "198.18.128.0/18";

/// Starts a cloud beside the lab's own, with further arguments, and waits until it answers.
pub async fn start_beside(name: &str, portico: &Path, arguments: &[&str], logs: &Path, ends: &Ends) -> Result<Daemon> {
    let all = [&["--listen", BESIDE, "--addresses", BESIDE_CIDR], arguments].concat();
    start_with(name, portico, &all, BESIDE, logs, ends).await
}

async fn start_with(name: &str, portico: &Path, arguments: &[&str], listen: &str, logs: &Path, ends: &Ends) -> Result<Daemon> {
    let mut command = Command::new(portico);
    command.arg("cloud").args(arguments);
    let daemon = Daemon::spawn(name, command, logs, ends)?;
    let health = format!("http://{listen}/_cloud/health");
    let deadline = tokio::time::Instant::now() + READY_WITHIN;
    while tokio::time::Instant::now() < deadline {
        daemon.alive()?;
        if crate::client::get(&health).await.is_ok_and(|answer| answer.status.is_success()) {
            return Ok(daemon);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let tail = daemon.tail();
    daemon.stop(Duration::from_secs(1)).await;
    bail!("the embedded cloud does not answer at {health} after {READY_WITHIN:?}; its log ends with\n{tail}")
}
