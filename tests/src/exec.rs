//! Commands inside a running lab.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::netns::Privilege;
use crate::session::{Running, Session};

/// What the caller may have set and what means nothing in the lab: proxies, to which there is no way, and AWS credentials.
const FOREIGN: [&str; 10] = [
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// A command that runs in the lab's namespaces, in the caller's folder, and that dies with the caller.
pub fn command(privilege: Privilege, lab: &Running, session: &Session, argv: &[String]) -> Result<Command> {
    let folder = std::env::current_dir().context("the current folder is gone")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(session.programs.clone()).chain(std::env::split_paths(&path));
    let nsenter = privilege.nsenter(lab.pid);
    let mut command = Command::new("setpriv");
    // Entering a mount namespace leads to its root; and a process that entered a process namespace is a child of nsenter.
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(nsenter.get_program())
        .args(nsenter.get_args())
        .args(["setpriv", "--pdeathsig", "KILL", "--", "env", "-C"])
        .arg(&folder)
        .args(argv)
        .envs(&session.env)
        .env("PATH", std::env::join_paths(paths).context("PATH")?);
    for name in FOREIGN {
        command.env_remove(name);
    }
    Ok(command)
}

/// Runs a command of [`command`] to its end and returns its exit code (128 + signal where a signal ended it).
/// A Ctrl-C in the terminal reaches the command by itself, a second one kills it; SIGTERM to us is passed on.
pub async fn run(mut command: Command) -> Result<u8> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut child = command.spawn().context("cannot run nsenter")?;
    let mut asked = false;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(code(status.context("nsenter")?)),
            // The second time, it does not want to hear.
            _ = interrupt.recv() => if std::mem::replace(&mut asked, true) { pass_on(&child, Signal::SIGKILL) },
            _ = terminate.recv() => pass_on(&child, Signal::SIGTERM),
        }
    }
}

/// Sends a signal to the command itself, which is nsenter's child.
fn pass_on(child: &Child, signal: Signal) {
    let Some(pid) = child.id() else { return };
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        // It may just have ended.
        let _ = kill(Pid::from_raw(child), signal);
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// Whether a program of that name is on the caller's `PATH`.
pub fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| is_program(&dir.join(name)))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
