//! A process of the lab that is meant to run until it is stopped: its log, its end, its orderly stop.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::sync::{mpsc, watch};

use crate::logs;

/// That something ended which was meant to run on.
#[derive(Debug)]
pub struct End {
    /// What ended.
    pub name: String,
    /// How.
    pub reason: String,
    /// What it had to say.
    pub log: Option<PathBuf>,
}

/// Tells the supervisor of each end.
pub type Ends = mpsc::UnboundedSender<End>;

/// A running process.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    pid: Pid,
    log: PathBuf,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Daemon {
    /// Starts a program whose output goes to `LOGS/NAME.log`; its end is told to `ends`.
    pub fn spawn(name: &str, mut command: Command, logs: &Path, ends: &Ends) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("cannot share the log")?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name} ({})", command.as_std().get_program().display()))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw).with_context(|| format!("{name} has no pid"))?;
        let (sender, ended) = watch::channel(None);
        let (ends, told, told_log) = (ends.clone(), name.to_owned(), log.clone());
        tokio::spawn(async move {
            if let Ok(status) = child.wait().await {
                sender.send_replace(Some(status));
                // Nobody listens any more once the lab is being stopped.
                let _ = ends.send(End { name: told, reason: status.to_string(), log: Some(told_log) });
            }
        });
        Ok(Self { name: name.to_owned(), pid, log, ended })
    }

    /// The process's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process's number.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// An error that says that the process ended, if it did, with the end of its log.
    pub fn alive(&self) -> Result<()> {
        match *self.ended.borrow() {
            None => Ok(()),
            Some(status) => anyhow::bail!("{} ended ({status}); the end of {}:\n{}", self.name, self.log.display(), self.tail()),
        }
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        logs::tail(&self.log, 15)
    }

    /// Asks the process to stop, waits that long, and then kills it.
    pub async fn stop(mut self, grace: Duration) {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            if self.ended.borrow().is_some() {
                return;
            }
            // The process is not reaped yet, so its number is still its own; it may just have ended.
            let _ = kill(self.pid, signal);
            let ended = async { self.ended.wait_for(Option::is_some).await.is_ok() };
            if tokio::time::timeout(grace, ended).await.is_ok() {
                return;
            }
            tracing::warn!(process = self.name, %signal, "did not end in time");
        }
    }
}
