//! A process of the lab that is meant to run until it is stopped: its log, its end, its orderly stop.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use crate::logs;
use crate::netns::STATE_DIR;

/// How often a process that is to stay down looks whether it may start again.
const PAUSE: Duration = Duration::from_millis(20);

/// Where a daemon's process id stands, for whoever is in the lab.
pub fn pid_file(name: &str) -> PathBuf {
    Path::new(STATE_DIR).join(format!("{name}.pid"))
}

/// While this file is there, a daemon that ends is started again, as a kubelet would.
pub fn kept_file(name: &str) -> PathBuf {
    Path::new(STATE_DIR).join(format!("{name}.kept"))
}

/// While this file is there, too, it waits with that.
pub fn down_file(name: &str) -> PathBuf {
    Path::new(STATE_DIR).join(format!("{name}.down"))
}

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
    pid: Arc<AtomicI32>,
    log: PathBuf,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Daemon {
    /// Starts a program whose output goes to `LOGS/NAME.log`; its end is told to `ends`.
    pub fn spawn(name: &str, mut command: Command, logs: &Path, ends: &Ends) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).with_context(|| format!("cannot make {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone().context("cannot share the log")?).stderr(file).kill_on_drop(true);
        let pid = Arc::new(AtomicI32::new(0));
        let mut child = start(name, &mut command, &pid)?;
        let (sender, ended) = watch::channel(None);
        let (ends, told, told_log, running) = (ends.clone(), name.to_owned(), log.clone(), pid.clone());
        tokio::spawn(async move {
            while let Ok(status) = child.wait().await {
                let mut again = kept_file(&told).exists();
                while again && down_file(&told).exists() {
                    tokio::time::sleep(PAUSE).await;
                    again = kept_file(&told).exists();
                }
                if again && let Ok(restarted) = start(&told, &mut command, &running) {
                    child = restarted;
                    continue;
                }
                sender.send_replace(Some(status));
                // Nobody listens any more once the lab is being stopped.
                let _ = ends.send(End { name: told, reason: status.to_string(), log: Some(told_log) });
                return;
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
        self.pid.load(Ordering::SeqCst)
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
        // Its end is meant.
        let _ = fs::remove_file(kept_file(&self.name));
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            if self.ended.borrow().is_some() {
                return;
            }
            // The process is not reaped yet, so its number is still its own; it may just have ended.
            let _ = kill(Pid::from_raw(self.pid.load(Ordering::SeqCst)), signal);
            let ended = async { self.ended.wait_for(Option::is_some).await.is_ok() };
            if tokio::time::timeout(grace, ended).await.is_ok() {
                return;
            }
            tracing::warn!(process = self.name, %signal, "did not end in time");
        }
    }
}

/// Starts a process and leaves its number where others find it.
fn start(name: &str, command: &mut Command, pid: &AtomicI32) -> Result<Child> {
    let child = command.spawn().with_context(|| format!("cannot start {name} ({})", command.as_std().get_program().display()))?;
    let number = child.id().and_then(|pid| i32::try_from(pid).ok()).with_context(|| format!("{name} has no pid"))?;
    pid.store(number, Ordering::SeqCst);
    fs::write(pid_file(name), number.to_string()).with_context(|| format!("cannot write the process id of {name}"))?;
    Ok(child)
}
