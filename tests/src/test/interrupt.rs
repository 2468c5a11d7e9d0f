//! A lab that is interrupted leaves nothing behind: no process, no namespace, no file. Looked at from outside, however it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::summary::Count;
use crate::progress::{Step, bad};
use crate::{exec, program, session};

/// How long a lab may take to start, and to be gone.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a lab is ended.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-C before it is ready.
    InterruptEarly,
    /// Ctrl-C of `lab test` in the middle of a test.
    InterruptTest,
    /// `kill -9` of `lab up`, which can then stop nothing.
    KillOutside,
    /// `kill -9` of the lab's first process.
    KillInside,
}

/// Runs every case and counts.
pub async fn run(logs: &Path) -> Result<Count> {
    let mut count = Count::default();
    for (name, blow) in [
        ("an interrupted lab leaves nothing", Blow::Interrupt),
        ("a lab interrupted while it starts leaves nothing", Blow::InterruptEarly),
        ("an interrupted test leaves nothing", Blow::InterruptTest),
        ("a lab whose command was killed leaves nothing", Blow::KillOutside),
        ("a lab that was killed leaves nothing", Blow::KillInside),
    ] {
        let step = Step::start(name, "");
        let temporary = tempfile::Builder::new().prefix("interrupt-").tempdir_in(logs).context("cannot make a folder")?;
        match one(blow, temporary.path()).await {
            Ok(()) => {
                step.done();
                count += Count::passed();
            }
            Err(error) => {
                drop(step);
                bad(&format!("{error:#}"));
                count += Count::failed();
            }
        }
    }
    Ok(count)
}

async fn one(blow: Blow, temporary: &Path) -> Result<()> {
    let mounts = namespace_mounts()?;
    let own = program::path()?;
    let mut command = Command::new(&own);
    let mut name = format!("{blow:?}-{}", std::process::id()).to_lowercase();
    match blow {
        Blow::InterruptTest => command.args(["test", "--only", "e2e"]),
        _ => command.args(["up", "--operator", "none", "--cloud", "none", "--name", &name]),
    };
    command.env("TMPDIR", temporary).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut up = command.spawn().context("cannot start a lab")?;
    let outside = i32::try_from(up.id().context("the lab ended by itself")?).context("its process id")?;
    if matches!(blow, Blow::InterruptTest) {
        name = super::lab_name_of(outside);
    }
    let init = until("the lab's first process runs", async || session::find(Some(&name)).ok().map(|lab| lab.pid)).await?;
    if !matches!(blow, Blow::InterruptEarly) {
        until("the lab is ready", async || session::find(Some(&name)).ok()?.session().ok()).await?;
        // With a pod, so that a pod's own namespaces must go as well.
        in_lab(&own, &name, &["kubectl", "run", "echo", "--image=gateway-api/conformance/echo-basic:v0.1.0"]).await?;
        in_lab(&own, &name, &["kubectl", "wait", "--for=condition=Ready", "pod/echo", "--timeout=60s"]).await?;
    }
    let before = Footprint::of(init)?;
    let expected = if matches!(blow, Blow::InterruptEarly) { 1 } else { 6 };
    ensure!(before.processes.len() >= expected, "only {} processes were seen", before.processes.len());
    match blow {
        Blow::Interrupt | Blow::InterruptEarly | Blow::InterruptTest => kill(Pid::from_raw(outside), Signal::SIGINT),
        Blow::KillOutside => kill(Pid::from_raw(outside), Signal::SIGKILL),
        Blow::KillInside => kill(Pid::from_raw(init), Signal::SIGKILL),
    }
    .context("cannot send the signal")?;
    ended(&mut up).await?;
    until("every process and namespace is gone", async || before.is_gone().ok()?.then_some(())).await.with_context(|| before.left())?;
    ensure!(namespace_mounts()? == mounts, "a namespace is still mounted");
    let files: Vec<_> = fs::read_dir(temporary).context("the temporary folder")?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    ensure!(files.is_empty(), "temporary files are left: {files:?}");
    Ok(())
}

async fn ended(up: &mut Child) -> Result<()> {
    tokio::time::timeout(PATIENCE, up.wait()).await.context("lab up does not end")?.context("lab up")?;
    Ok(())
}

async fn in_lab(own: &Path, name: &str, argv: &[&str]) -> Result<()> {
    let mut command = Command::new(own);
    command.args(["exec", "--name", name, "--"]).args(argv).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // No pod can be made before its namespace has a ServiceAccount, so this may take more than one try.
    let tries = async || {
        let mut again = Command::new(own);
        again.args(command.as_std().get_args()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        (exec::run(again).await.ok()? == 0).then_some(())
    };
    until(&argv.join(" "), tries).await
}

async fn until<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> Result<T> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < deadline {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("not within {PATIENCE:?}: {what}")
}

/// What a lab occupies: its processes by number and start time, and its namespaces by kind and inode.
struct Footprint {
    processes: BTreeMap<i32, String>,
    namespaces: BTreeSet<String>,
}

impl Footprint {
    /// Of the lab with that first process: itself, its parent (`unshare`) and all that descends from it.
    fn of(init: i32) -> Result<Self> {
        let parents = parents()?;
        let mut members = BTreeSet::from([init]);
        members.extend(parents.get(&init).copied());
        loop {
            let more: Vec<i32> =
                parents.iter().filter(|(pid, parent)| members.contains(parent) && !members.contains(pid)).map(|(pid, _)| *pid).collect();
            // `unshare`'s only child is the first process, so nothing else of ours comes in.
            if more.is_empty() {
                break;
            }
            members.extend(more);
        }
        let outside = namespaces(std::process::id().try_into().unwrap_or(0));
        let inside = members.iter().flat_map(|pid| namespaces(*pid)).filter(|namespace| !outside.contains(namespace)).collect();
        let processes = members.into_iter().filter_map(|pid| Some((pid, start_time(pid)?))).collect();
        Ok(Self { processes, namespaces: inside })
    }

    fn is_gone(&self) -> Result<bool> {
        let living = self.processes.iter().any(|(pid, started)| start_time(*pid).as_ref() == Some(started));
        let used = parents()?.keys().any(|pid| namespaces(*pid).iter().any(|namespace| self.namespaces.contains(namespace)));
        Ok(!living && !used)
    }

    /// What is still there, for a message.
    fn left(&self) -> String {
        let living = self.processes.iter().filter(|(pid, started)| start_time(**pid).as_ref() == Some(*started));
        let names: Vec<String> = living
            .map(|(pid, _)| format!("{pid} {}", fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim()))
            .collect();
        format!("still there: {names:?}, or a process in one of {:?}", self.namespaces)
    }
}

/// Every process with its parent.
fn parents() -> Result<BTreeMap<i32, i32>> {
    let entries = fs::read_dir("/proc").context("/proc")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    Ok(pids.filter_map(|pid| Some((pid, field(pid, 1)?.parse().ok()?))).collect())
}

/// When a process started, which with its number makes it unique; none if there is no such process, or only its corpse.
fn start_time(pid: i32) -> Option<String> {
    (field(pid, 0)? != "Z").then(|| field(pid, 19)).flatten()
}

/// A field of /proc/PID/stat behind the name in parentheses: 0 is the state, 1 the parent, 19 the start time.
fn field(pid: i32, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(index).map(str::to_owned)
}

/// The namespaces of a process.
fn namespaces(pid: i32) -> BTreeSet<String> {
    let kinds = ["net", "mnt", "pid", "ipc", "uts"];
    kinds.iter().filter_map(|kind| Some(fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?.to_string_lossy().into_owned())).collect()
}

/// The namespaces that are kept alive by a mount in our own mount namespace.
fn namespace_mounts() -> Result<BTreeSet<String>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    Ok(mounts.lines().filter(|line| line.contains(" - nsfs ")).map(str::to_owned).collect())
}
