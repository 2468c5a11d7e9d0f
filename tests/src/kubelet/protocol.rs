//! What the kubelet and a pod's init process say to each other: one JSON document per line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the kubelet asks of a pod's init process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// Start a container. Answered by [`Report::Started`] or [`Report::Refused`], and later by [`Report::Exited`].
    Start {
        /// Name of this run of the container, unique in the pod.
        id: String,
        /// What to run, and in which file system.
        container: Box<ContainerSpec>,
        /// Named pipe that takes the standard output.
        stdout: PathBuf,
        /// Named pipe that takes the standard error.
        stderr: PathBuf,
    },
    /// Run a command inside a running container (probes, lifecycle hooks). Answered like `Start`.
    Exec {
        /// Name of this run of the command, unique in the pod.
        id: String,
        /// The container's process, by its number in the kubelet's process namespace.
        target: i32,
        /// The command and its arguments.
        argv: Vec<String>,
        /// The container's environment.
        env: Vec<(String, String)>,
        /// File that takes the command's output.
        output: PathBuf,
    },
    /// Send a signal to a started process. A process that is gone is no error.
    Signal {
        /// The name under which it was started.
        id: String,
        /// Signal number.
        signal: i32,
    },
}

/// What a pod's init process reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Report {
    /// The init process runs, so its namespaces exist.
    Ready,
    /// The program of `Start` or `Exec` runs.
    Started {
        /// The name given in the request.
        id: String,
        /// Process number in the kubelet's process namespace; 0 for `Exec`.
        pid: i32,
    },
    /// The program could not be started.
    Refused {
        /// The name given in the request.
        id: String,
        /// Why.
        message: String,
    },
    /// A started process has ended.
    Exited {
        /// The name given in the request.
        id: String,
        /// How it ended.
        exit: Exit,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + signal where a signal ended it, as container runtimes report it.
    pub code: i32,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
}

impl Exit {
    /// The exit of a process that was killed together with its pod.
    pub const KILLED: Self = Self { code: 137, signal: Some(9) };
}

/// A container as its own first process builds it before it becomes the program.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Host name, which is the pod's name.
    pub hostname: String,
    /// An empty folder, over which the container's root file system is mounted.
    pub root: PathBuf,
    /// Whether the root file system refuses writes (`securityContext.readOnlyRootFilesystem`).
    pub read_only_root: bool,
    /// Program and arguments. The program is looked up in the container's `PATH`.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working directory inside the container.
    pub working_dir: PathBuf,
    /// Volumes, and the files that every container gets (`/etc/hosts`, `/etc/resolv.conf`, termination log).
    pub mounts: Vec<Mount>,
}

/// One path of the host that appears in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// File or folder on the host.
    pub source: PathBuf,
    /// Where it appears.
    pub target: PathBuf,
    /// Whether writes through it are refused.
    pub read_only: bool,
}

/// What a container's first process tells the init process before it becomes the program.
/// The connection closes when the program runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Birth {
    /// Its number in the kubelet's process namespace.
    Pid(i32),
    /// Why the program cannot run.
    Failed(String),
}
