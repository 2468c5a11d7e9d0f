//! A pod's init process: PID 1 of the pod's process namespace, owner of its network namespace.
//!
//! It starts the pod's containers on the kubelet's request, reaps them and reports their exit. It ends when its standard
//! input ends, and the kernel then ends every process of the pod: a kubelet that was killed leaves nothing behind.
//! It does no asynchronous work and has no state but the table of its children.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::protocol::{Birth, ContainerSpec, Exit, Report, Request};
use super::rootfs;

/// Name of the hidden sub-command that runs [`run`].
pub const INIT_COMMAND: &str = "pod-init";
/// Name of the hidden sub-command that runs [`run_container`].
pub const CONTAINER_COMMAND: &str = "pod-container";

/// Where this program's own file is to be found, inside every namespace that still shows the host's files.
const OWN_PROGRAM: &str = "/proc/self/exe";

#[derive(Default)]
struct Children {
    by_pid: HashMap<i32, String>,
}

#[derive(Default)]
struct Table {
    children: Mutex<Children>,
    born: Condvar,
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The `pod-init` sub-command: serves requests from standard input until it ends.
pub fn run() -> ExitCode {
    let table = Arc::new(Table::default());
    let reaper = Arc::clone(&table);
    std::thread::spawn(move || reap(&reaper));
    report(&Report::Ready);
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(request) => serve(&table, request),
            Err(error) => eprintln!("pod-init: undecodable request: {error}"),
        }
    }
    ExitCode::SUCCESS
}

fn report(report: &Report) {
    // Nobody listens any more when this fails; the end of standard input is what ends the process.
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(&line).and_then(|()| out.flush());
    }
}

fn serve(table: &Table, request: Request) {
    match request {
        Request::Start { id, container, stdout, stderr } => {
            // The lock is held until `Started` is out, so that the reaper's `Exited` cannot overtake it.
            let mut children = table.lock();
            match start(&container, &stdout, &stderr) {
                Ok((pid, outer)) => {
                    children.by_pid.insert(pid, id.clone());
                    report(&Report::Started { id, pid: outer });
                }
                Err(message) => report(&Report::Refused { id, message }),
            }
            table.born.notify_all();
        }
        Request::Exec { id, target, argv, env, output } => {
            let mut children = table.lock();
            match exec(target, &argv, env, &output) {
                Ok(pid) => {
                    children.by_pid.insert(pid, id.clone());
                    report(&Report::Started { id, pid: 0 });
                }
                Err(error) => report(&Report::Refused { id, message: error.to_string() }),
            }
            table.born.notify_all();
        }
        Request::Signal { id, signal } => {
            let children = table.lock();
            let pid = children.by_pid.iter().find(|(_, known)| **known == id).map(|(pid, _)| *pid);
            if let (Some(pid), Ok(signal)) = (pid, Signal::try_from(signal)) {
                let _ = kill(Pid::from_raw(pid), signal);
                if signal == Signal::SIGKILL {
                    let _ = kill(Pid::from_raw(-pid), signal);
                }
            }
        }
    }
}

/// Starts a container and waits until its program runs. Returns its number here and in the kubelet's namespace.
fn start(container: &ContainerSpec, stdout: &Path, stderr: &Path) -> Result<(i32, i32), String> {
    let open = |path: &Path| OpenOptions::new().write(true).open(path).map_err(|e| format!("{}: {e}", path.display()));
    let (ours, theirs) = UnixStream::pair().map_err(|e| format!("socket pair: {e}"))?;
    let mut command = Command::new(OWN_PROGRAM);
    command.arg(CONTAINER_COMMAND).stdin(Stdio::from(OwnedFd::from(theirs))).stdout(open(stdout)?).stderr(open(stderr)?);
    let child = command.spawn().map_err(|e| format!("starting the container's process: {e}"))?;
    // The command holds the other ends; the end of the conversation would never be seen.
    drop(command);
    let pid = i32::try_from(child.id()).map_err(|e| e.to_string())?;
    match converse(&ours, container) {
        Ok(outer) => Ok((pid, outer)),
        Err(message) => {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            Err(message)
        }
    }
}

fn converse(stream: &UnixStream, container: &ContainerSpec) -> Result<i32, String> {
    let mut line = serde_json::to_vec(container).map_err(|e| e.to_string())?;
    line.push(b'\n');
    let mut writer = stream;
    writer.write_all(&line).map_err(|e| format!("handing over the container: {e}"))?;
    let _ = stream.shutdown(Shutdown::Write);
    let mut outer = None;
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(|e| format!("hearing from the container: {e}"))?;
        match serde_json::from_str(&line).map_err(|e| e.to_string())? {
            Birth::Pid(pid) => outer = Some(pid),
            Birth::Failed(message) => return Err(message),
        }
    }
    outer.ok_or_else(|| "the container's process ended before its program ran".to_owned())
}

/// Runs a command in the container's mount namespace. Network and process namespace are the pod's, hence ours already.
fn exec(target: i32, argv: &[String], env: Vec<(String, String)>, output: &Path) -> std::io::Result<i32> {
    let out = OpenOptions::new().create(true).append(true).open(output)?;
    let mut command = Command::new(rootfs::find_program("nsenter"));
    command
        .args(["--target", &target.to_string(), "--mount", "--root", "--wd", "--"])
        .args(argv)
        .env_clear()
        .envs(env)
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .process_group(0);
    let child = command.spawn()?;
    i32::try_from(child.id()).map_err(std::io::Error::other)
}

/// Waits for every child, also for orphans that the containers left to PID 1.
fn reap(table: &Table) {
    loop {
        let ended = match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, Exit { code, signal: None }),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit { code: 128 + signal as i32, signal: Some(signal as i32) }),
            Ok(_) => continue,
            Err(_) => {
                // No children: sleep until one is born. The timeout closes the gap between the two looks.
                let children = table.lock();
                drop(table.born.wait_timeout(children, std::time::Duration::from_millis(50)));
                continue;
            }
        };
        let (pid, exit) = ended;
        let mut children = table.lock();
        if let Some(id) = children.by_pid.remove(&pid.as_raw()) {
            // What the container started in its own group ends with it.
            let _ = kill(Pid::from_raw(-pid.as_raw()), Signal::SIGKILL);
            report(&Report::Exited { id, exit });
        }
    }
}

/// The `pod-container` sub-command: reads its [`ContainerSpec`] from standard input, builds the container's file system
/// around itself and becomes the container's program. Returns only where that failed.
pub fn run_container() -> ExitCode {
    // As a container runtime reports a container that could not be created.
    const START_ERROR: u8 = 128;
    let stream = match nix::unistd::dup(std::io::stdin()).map(UnixStream::from) {
        Ok(stream) => stream,
        Err(error) => {
            eprintln!("pod-container: {error}");
            return ExitCode::from(START_ERROR);
        }
    };
    if let Err(message) = become_program(&stream) {
        tell(&stream, &Birth::Failed(message));
    }
    ExitCode::from(START_ERROR)
}

fn tell(mut stream: &UnixStream, birth: &Birth) {
    if let Ok(mut line) = serde_json::to_vec(birth) {
        line.push(b'\n');
        let _ = stream.write_all(&line);
    }
}

fn become_program(stream: &UnixStream) -> Result<(), String> {
    // The copy must not outlive the start of the program: its closing is the sign that the program runs.
    nix::fcntl::fcntl(stream, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).map_err(|e| e.to_string())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(|e| format!("reading the container's description: {e}"))?;
    let spec: ContainerSpec = serde_json::from_str(&line).map_err(|e| format!("reading the container's description: {e}"))?;
    let outer = std::fs::read_link("/proc/self").ok().and_then(|link| link.to_str()?.parse().ok()).ok_or("/proc/self is unreadable")?;
    tell(stream, &Birth::Pid(outer));
    rootfs::enter(&spec).map_err(|e| e.to_string())?;
    let null = OpenOptions::new().read(true).open("/dev/null").map_err(|e| format!("/dev/null: {e}"))?;
    nix::unistd::dup2_stdin(&null).map_err(|e| e.to_string())?;
    drop(null);
    nix::unistd::setsid().map_err(|e| format!("setsid: {e}"))?;
    let (program, arguments) = spec.argv.split_first().ok_or("the container has no command")?;
    let error = Command::new(program).args(arguments).env_clear().envs(spec.env.iter().cloned()).exec();
    Err(format!("exec: {program:?}: {error}"))
}
