//! The lab's own processes under test: killed, stopped for a while, started again; and further replicas of the operator.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::bench::Case;
use crate::client;
use crate::daemon::{down_file, kept_file, pid_file};
use crate::fleet;
use crate::operator::{HEALTH_ADDRESS, NAMESPACE, XDS_FLAG};

/// A daemon of the lab that may end: it is started again. As before when this value is gone.
pub struct Kept(&'static str);

impl Kept {
    /// From now on the daemon is started again when it ends.
    pub fn new(name: &'static str) -> Result<Self> {
        fs::write(kept_file(name), "").with_context(|| format!("cannot keep {name}"))?;
        Ok(Self(name))
    }

    /// Its process.
    pub fn pid(&self) -> Result<Pid> {
        let text = fs::read_to_string(pid_file(self.0)).with_context(|| format!("{} has left no process id", self.0))?;
        Ok(Pid::from_raw(text.parse().with_context(|| format!("not a process id: {text}"))?))
    }

    /// Ends it; it starts again at once.
    pub fn kill(&self) -> Result<()> {
        signal::kill(self.pid()?, Signal::SIGKILL).with_context(|| format!("cannot kill {}", self.0))
    }

    /// Ends it; it stays down until [`Kept::start`].
    pub fn stop(&self, signal: Signal) -> Result<()> {
        fs::write(down_file(self.0), "").with_context(|| format!("cannot keep {} down", self.0))?;
        signal::kill(self.pid()?, signal).with_context(|| format!("cannot stop {}", self.0))
    }

    /// Lets it start again.
    pub fn start(&self) -> Result<()> {
        fs::remove_file(down_file(self.0)).with_context(|| format!("cannot start {}", self.0))
    }

    /// The program that it runs, and its environment.
    pub fn program(&self) -> Result<(PathBuf, BTreeMap<String, String>)> {
        let folder = PathBuf::from(format!("/proc/{}", self.pid()?));
        let program = fs::read_link(folder.join("exe")).context("its program")?;
        let environment = fs::read(folder.join("environ")).context("its environment")?;
        let text = String::from_utf8_lossy(&environment);
        let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
        Ok((program, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = fs::remove_file(down_file(self.0));
        // While it waits to be started it must not take its end for one that nobody meant.
        for _ in 0..100 {
            if self.pid().is_ok_and(|pid| signal::kill(pid, None).is_ok()) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = fs::remove_file(kept_file(self.0));
    }
}

/// Ends the lease of an operator that was killed, which would be over in a quarter of a minute: the next one leads at once.
pub async fn end_lease(case: &Case<'_>) -> Result<()> {
    case.kubectl(&["delete", "lease", "portico", "--namespace", NAMESPACE]).await.map(drop)
}

/// Waits until the lab's operator is ready and leads.
pub async fn operator_leads(case: &Case<'_>) -> Result<()> {
    leads(case, HEALTH_ADDRESS).await
}

/// Waits until the replica that answers there is ready and leads.
async fn leads(case: &Case<'_>, address: &str) -> Result<()> {
    case.until(&format!("the operator at {address} leads"), async || {
        let ready = client::get(&format!("http://{address}/readyz")).await?;
        ensure!(ready.status.is_success(), "not ready");
        Ok((metric(address, "portico_leader").await? == 1).then_some(()))
    })
    .await
}

/// The sum of a metric over its labels.
pub async fn metric(address: &str, name: &str) -> Result<u64> {
    let text = client::get(&format!("http://{address}/metrics")).await?.text();
    let of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let values = text.lines().filter(of).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    Ok(values.sum::<f64>() as u64)
}

/// A replica of the operator beside the lab's own.
pub struct Replica {
    child: Child,
    /// Where its health and metrics are.
    pub address: String,
}

/// Where the first replica beside the lab's own has its health and metrics; the fleet's proxies know where it serves xDS.
pub const FIRST_REPLICA: u16 = 9411;

/// Where a replica serves xDS.
fn xds_of(port: u16) -> SocketAddr {
    let mut address = fleet::REPLICA;
    address.set_port(address.port() + port.saturating_sub(FIRST_REPLICA));
    address
}

impl Replica {
    /// Starts one and waits until it has seen the cluster.
    pub async fn start(case: &Case<'_>, program: &(PathBuf, BTreeMap<String, String>), port: u16) -> Result<Self> {
        Self::start_with(case, program, port, &[]).await
    }

    /// The same with further arguments.
    pub async fn start_with(
        case: &Case<'_>,
        (program, environment): &(PathBuf, BTreeMap<String, String>),
        port: u16,
        more: &[&str],
    ) -> Result<Self> {
        let address = format!("127.0.0.1:{port}");
        let log = case.logs().join(format!("replica-{port}.log"));
        let log = fs::File::options().create(true).append(true).open(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let mut command = Command::new(program);
        command.args(["run", "--listen", &address, "--lease-namespace", NAMESPACE]);
        if case.bench.session.fleet.is_some() {
            command.args([XDS_FLAG, &xds_of(port).to_string()]);
        }
        let child = command
            .args(more)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the log")?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a replica")?;
        let replica = Self { child, address };
        case.until(&format!("the replica at {} is ready", replica.address), async || {
            let ready = client::get(&format!("http://{}/readyz", replica.address)).await?;
            Ok(ready.status.is_success().then_some(()))
        })
        .await?;
        Ok(replica)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).context("the replica has ended")?;
        signal::kill(Pid::from_raw(pid), signal).context("cannot signal the replica")
    }

    /// Waits until it leads and has looked at everything once.
    pub async fn leads(&self, case: &Case<'_>) -> Result<()> {
        leads(case, &self.address).await?;
        case.until("its first passes", async || {
            let (passes, targets) =
                (metric(&self.address, "portico_passes_total").await?, metric(&self.address, "portico_target_syncs_total").await?);
            Ok((passes > 0 && targets > 0).then_some(()))
        })
        .await
    }

    /// Waits for its end; whether it ended well.
    pub async fn ended(&mut self) -> Result<bool> {
        let status = tokio::time::timeout(super::bench::PATIENCE, self.child.wait()).await.context("the replica does not end")?;
        Ok(status.context("the replica's end")?.success())
    }
}
