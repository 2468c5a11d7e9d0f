//! A pod's sandbox: its namespaces, its init process and its link to the lab's bridge, as the kubelet holds them.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::init::INIT_COMMAND;
use super::network::{self, Network, NetworkError, PodAddress};
use super::protocol::{ContainerSpec, Exit, Report, Request};
use super::rootfs::find_program;

/// Why a sandbox could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The namespaces or the init process.
    #[error("starting the pod's namespaces: {0}")]
    Start(String),
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

#[derive(Default)]
struct Waiters {
    started: HashMap<String, oneshot::Sender<Result<i32, String>>>,
    exited: HashMap<String, oneshot::Sender<Exit>>,
}

type SharedWaiters = Arc<Mutex<Waiters>>;

/// A pod's namespaces and their init process. Dropping it ends every process of the pod.
pub struct Sandbox {
    child: tokio::sync::Mutex<Child>,
    requests: mpsc::UnboundedSender<Vec<u8>>,
    waiters: SharedWaiters,
    address: Option<PodAddress>,
    execs: AtomicU64,
    lost: CancellationToken,
}

/// A process that runs in a sandbox.
#[derive(Debug)]
pub struct Process {
    /// Its number in the kubelet's process namespace.
    pub pid: i32,
    exit: oneshot::Receiver<Exit>,
}

impl Process {
    /// Waits for its end. A process whose sandbox is gone was killed with it.
    pub async fn ended(&mut self) -> Exit {
        (&mut self.exit).await.unwrap_or(Exit::KILLED)
    }
}

impl Sandbox {
    /// Makes the namespaces; with an address, also the link, the interface and the routes. Without one the pod shares the
    /// lab's network (`hostNetwork`).
    pub async fn create(address: Option<PodAddress>, bridge: &str, network: Network) -> Result<Self, SandboxError> {
        let failed = |error: std::io::Error| SandboxError::Start(error.to_string());
        let mut command = Command::new(find_program("unshare"));
        if address.is_some() {
            command.arg("--net");
        }
        command
            .args(["--pid", "--mount", "--uts", "--ipc", "--fork", "--kill-child=SIGKILL", "--"])
            .arg(own_program().map_err(failed)?)
            .arg(INIT_COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Not the terminal's group: an interrupt there is for the kubelet, which ends its pods itself.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (requests, reports) = pipes.ok_or_else(|| SandboxError::Start("no pipes".to_owned()))?;
        let mut reports = BufReader::new(reports).lines();
        // The first report says that the namespaces exist.
        if reports.next_line().await.map_err(failed)?.is_none() {
            let status = child.wait().await.map_err(failed)?;
            return Err(SandboxError::Start(format!("unshare ended with {status}")));
        }
        if let (Some(address), Some(pid)) = (&address, child.id()) {
            network::connect(pid, address.address, bridge, network).await?;
        }
        let waiters = SharedWaiters::default();
        let lost = CancellationToken::new();
        tokio::spawn(listen(reports, Arc::clone(&waiters), lost.clone()));
        let (sender, queue) = mpsc::unbounded_channel();
        tokio::spawn(speak(requests, queue));
        Ok(Self { child: tokio::sync::Mutex::new(child), requests: sender, waiters, address, execs: AtomicU64::new(0), lost })
    }

    /// The pod's own address, if it has one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.address.as_ref().map(|address| address.address)
    }

    /// Waits until the init process is gone, and with it every process of the pod.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Starts a container. The error is what a user reads on the pod.
    pub async fn start(&self, id: &str, container: ContainerSpec, stdout: PathBuf, stderr: PathBuf) -> Result<Process, String> {
        self.launch(id.to_owned(), Request::Start { id: id.to_owned(), container: Box::new(container), stdout, stderr }).await
    }

    /// Runs a command in the container whose process is `target`, to its end. Returns its output too.
    pub async fn exec(&self, target: i32, argv: &[String], env: &[(String, String)], folder: &Path) -> Result<(Exit, String), String> {
        let id = format!("exec-{}", self.execs.fetch_add(1, Ordering::Relaxed));
        let output = folder.join(format!("{id}.out"));
        let request = Request::Exec { id: id.clone(), target, argv: argv.to_vec(), env: env.to_vec(), output: output.clone() };
        let mut process = self.launch(id.clone(), request).await?;
        let mut guard = KillOnDrop { sandbox: self, id: Some(id) };
        let exit = process.ended().await;
        guard.id = None;
        let said = tokio::fs::read(&output).await.unwrap_or_default();
        let _ = tokio::fs::remove_file(&output).await;
        Ok((exit, String::from_utf8_lossy(said.get(..said.len().min(4096)).unwrap_or_default()).into_owned()))
    }

    async fn launch(&self, id: String, request: Request) -> Result<Process, String> {
        let (started_sender, started) = oneshot::channel();
        let (exited_sender, exit) = oneshot::channel();
        {
            let mut waiters = lock(&self.waiters);
            waiters.started.insert(id.clone(), started_sender);
            waiters.exited.insert(id, exited_sender);
        }
        self.send(&request)?;
        let pid = started.await.map_err(|_| "the pod's init process is gone".to_owned())??;
        Ok(Process { pid, exit })
    }

    /// Sends a signal to a process by the name under which it was started.
    pub fn signal(&self, id: &str, signal: nix::sys::signal::Signal) {
        if let Err(error) = self.send(&Request::Signal { id: id.to_owned(), signal: signal as i32 }) {
            tracing::debug!(id, %error, "signal");
        }
    }

    fn send(&self, request: &Request) -> Result<(), String> {
        let mut line = serde_json::to_vec(request).map_err(|error| error.to_string())?;
        line.push(b'\n');
        self.requests.send(line).map_err(|_| "the pod's init process is gone".to_owned())
    }

    /// Ends every process of the pod and removes its link.
    pub async fn destroy(&self) {
        {
            let mut child = self.child.lock().await;
            // `unshare` takes its child with it, which is PID 1 of the pod, and with that the kernel ends all of it.
            if let Err(error) = child.kill().await {
                tracing::debug!(%error, "the pod's init process had ended already");
            }
        }
        if let Some(address) = &self.address {
            network::disconnect(address.address).await;
        }
    }
}

/// Ends a command whose waiter has given up (a probe's timeout).
struct KillOnDrop<'a> {
    sandbox: &'a Sandbox,
    id: Option<String>,
}

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.sandbox.signal(&id, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

fn lock(waiters: &SharedWaiters) -> std::sync::MutexGuard<'_, Waiters> {
    waiters.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands requests over in order. It ends with the sandbox, closes the init process's input, and the pod ends.
async fn speak(mut pipe: ChildStdin, mut queue: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(line) = queue.recv().await {
        if pipe.write_all(&line).await.is_err() {
            return;
        }
    }
}

async fn listen(mut reports: tokio::io::Lines<BufReader<ChildStdout>>, waiters: SharedWaiters, lost: CancellationToken) {
    while let Ok(Some(line)) = reports.next_line().await {
        let mut waiters = lock(&waiters);
        match serde_json::from_str(&line) {
            Ok(Report::Ready) => {}
            Ok(Report::Started { id, pid }) => {
                if let Some(started) = waiters.started.remove(&id) {
                    let _ = started.send(Ok(pid));
                }
            }
            Ok(Report::Refused { id, message }) => {
                waiters.exited.remove(&id);
                if let Some(started) = waiters.started.remove(&id) {
                    let _ = started.send(Err(message));
                }
            }
            Ok(Report::Exited { id, exit }) => {
                if let Some(exited) = waiters.exited.remove(&id) {
                    let _ = exited.send(exit);
                }
            }
            Err(error) => tracing::warn!(%error, line, "undecodable report of a pod's init process"),
        }
    }
    lost.cancel();
    // Whoever still waits learns that the pod is gone.
    let mut waiters = lock(&waiters);
    waiters.started.clear();
    waiters.exited.clear();
}

/// This program's file, also when it was replaced on disk since (by a build): the running one is then reached by `/proc`.
fn own_program() -> std::io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    if path.is_file() {
        return Ok(path);
    }
    Ok(Path::new("/proc").join(std::fs::read_link("/proc/self")?).join("exe"))
}
