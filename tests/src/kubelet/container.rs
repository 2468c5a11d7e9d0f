//! The life of one container through all its runs: preparation, start, hooks, probes, end, restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStateTerminated, LifecycleHandler, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nix::sys::signal::Signal;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Context;
use super::backoff::Backoff;
use super::environment::{self, PodFacts};
use super::health::Health;
use super::logs::Log;
use super::pod::PodFolder;
use super::protocol::{ContainerSpec, Exit, Mount};
use super::sandbox::{Process, Sandbox};
use super::status::{self, Board, Role};
use super::stop::Stop;
use super::volumes;

/// How long the log of an ended run is still read while some process holds its pipes open.
const LOG_PATIENCE: Duration = Duration::from_millis(200);
/// Longest termination message in bytes (Kubernetes: 4096).
const TERMINATION_MESSAGE_LIMIT: usize = 4096;

/// One container of one pod.
pub struct ContainerTask {
    /// The kubelet.
    pub context: Arc<Context>,
    /// The pod, as it changes.
    pub pod: watch::Receiver<Arc<Pod>>,
    /// Where the container's state is noted.
    pub board: Arc<Board>,
    /// The pod's namespaces.
    pub sandbox: Arc<Sandbox>,
    /// The pod's folder and prepared volumes.
    pub folder: Arc<PodFolder>,
    /// The order to stop.
    pub stop: Stop,
    /// Which list it stands in.
    pub role: Role,
    /// Its name.
    pub name: String,
}

/// Why a container cannot be started now.
struct Blocked {
    reason: &'static str,
    message: String,
}

/// What one run needs.
struct Prepared {
    container: Container,
    spec: ContainerSpec,
    image_id: String,
    termination_log: PathBuf,
}

/// A run that has begun.
struct Run {
    id: String,
    container: Container,
    process: Process,
    env: Vec<(String, String)>,
    folder: PathBuf,
}

impl ContainerTask {
    /// Runs the container until it has ended for good. Returns its last exit; none if it never ran.
    pub async fn supervise(self) -> Option<Exit> {
        let mut backoff = Backoff::default();
        let (mut restarts, mut last) = (0, None);
        // It ran before in a sandbox that was lost.
        if let Some(status) = self.board.container(self.role, &self.name).filter(|status| status.container_id.is_some()) {
            last = status.state.and_then(|state| state.terminated).map(|end| Exit { code: end.exit_code, signal: end.signal });
            if last.is_some_and(|exit| !self.restarts_after(exit)) {
                return last;
            }
            restarts = status.restart_count + 1;
        }
        loop {
            let prepared = tokio::select! {
                prepared = self.prepare_patiently(restarts) => prepared,
                _ = self.stop.ordered() => return last,
            };
            let began = Instant::now();
            let exit = self.run(prepared, restarts).await;
            last = Some(exit);
            if self.stop.standing().is_some() || !self.restarts_after(exit) {
                return last;
            }
            let pause = backoff.next(began.elapsed());
            if !pause.is_zero() {
                self.note_backoff(pause);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = self.stop.ordered() => return last,
                }
            }
            restarts += 1;
        }
    }

    fn restarts_after(&self, exit: Exit) -> bool {
        let pod = self.pod.borrow().clone();
        let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.clone()).unwrap_or_else(|| "Always".to_owned());
        match (self.role, self.container().is_some_and(|container| status::is_sidecar(&container))) {
            (Role::Init, true) => true,
            (Role::Init, false) => exit.code != 0 && policy != "Never",
            (Role::Main, _) => policy == "Always" || (policy == "OnFailure" && exit.code != 0),
        }
    }

    fn note_backoff(&self, pause: Duration) {
        let message = format!("back-off {pause:?} restarting failed container={} pod={}", self.name, self.folder.pod_key);
        self.context.warn(&self.pod.borrow(), "BackOff", "Restarting", &message);
        self.board.update_container(self.role, &self.name, |status| {
            status.last_state = status.state.replace(status::waiting("CrashLoopBackOff", Some(message)));
        });
    }

    fn container(&self) -> Option<Container> {
        let pod = self.pod.borrow();
        let spec = pod.spec.as_ref()?;
        let list = match self.role {
            Role::Init => spec.init_containers.as_deref().unwrap_or_default(),
            Role::Main => &spec.containers,
        };
        list.iter().find(|container| container.name == self.name).cloned()
    }

    /// Prepares a run, waiting for what it lacks: a Secret to be made, an image to be corrected.
    async fn prepare_patiently(&self, run: i32) -> Prepared {
        let mut references = self.context.references.changes();
        let mut pod = self.pod.clone();
        let mut said = String::new();
        loop {
            references.mark_unchanged();
            pod.mark_unchanged();
            let blocked = match self.prepare(run) {
                Ok(prepared) => return prepared,
                Err(blocked) => blocked,
            };
            if blocked.message != said {
                let event = if blocked.reason == "ErrImagePull" { "ErrImagePull" } else { "Failed" };
                self.context.warn(&self.pod.borrow(), event, "Starting", &blocked.message);
                said.clone_from(&blocked.message);
            }
            self.board.update_container(self.role, &self.name, |status| {
                status.state = Some(status::waiting(blocked.reason, Some(blocked.message.clone())));
            });
            let mut settled = blocked.reason;
            if settled == "ErrImagePull" {
                // Nothing is pulled, so a retry waits for a change of the pod only; the state says so as a kubelet does.
                settled = "ImagePullBackOff";
                self.board.update_container(self.role, &self.name, |status| {
                    status.state = Some(status::waiting(settled, Some(blocked.message)));
                });
            }
            tokio::select! {
                _ = references.changed(), if settled != "ImagePullBackOff" => {}
                _ = pod.changed() => {}
            }
        }
    }

    fn prepare(&self, run: i32) -> Result<Prepared, Blocked> {
        let invalid = |message: String| Blocked { reason: "CreateContainerConfigError", message };
        let pod = self.pod.borrow().clone();
        let container = self.container().ok_or_else(|| invalid("the container is no longer in the pod".to_owned()))?;
        let reference = container.image.clone().unwrap_or_default();
        let image = self.context.images.find(&reference).ok_or_else(|| Blocked {
            reason: "ErrImagePull",
            message: format!(
                "Failed to pull image \"{reference}\": the lab pulls no images; it has programs for: {}",
                self.context.images.patterns().join(", ")
            ),
        })?;
        let pod_ip = self.folder.pod_ip.to_string();
        let host_ip = self.context.config.node_address.to_string();
        let facts = PodFacts { pod: &pod, pod_ip: &pod_ip, host_ip: &host_ip };
        let mut base = self.context.base_environment(&self.folder.hostname);
        base.extend(image.env.iter().map(|(name, value)| (name.clone(), value.clone())));
        let env = environment::resolve(&container, facts, &self.context.references, &base).map_err(|error| invalid(error.0))?;
        let expand = |list: &[String]| list.iter().map(|text| environment::expand(text, &env)).collect::<Vec<_>>();
        let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
        let (mut argv, arguments) = match (given(&container.command), given(&container.args)) {
            (None, None) => (vec![image.entry_point().display().to_string()], image.args.clone()),
            (None, Some(args)) => (vec![image.entry_point().display().to_string()], expand(&args)),
            (Some(command), args) => (expand(&command), expand(&args.unwrap_or_default())),
        };
        argv.extend(arguments);
        let folder = self.folder.run_folder(&self.name, run);
        let termination_log = folder.join("termination-log");
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&termination_log, b""))
            .map_err(|error| invalid(format!("{}: {error}", folder.display())))?;
        let mut mounts = image.mounts();
        mounts.extend(self.folder.common_mounts());
        let path = container.termination_message_path.clone().unwrap_or_else(|| "/dev/termination-log".to_owned());
        mounts.push(Mount { source: termination_log.clone(), target: PathBuf::from(path), read_only: false });
        mounts.extend(volumes::mounts(&container, &self.folder.volumes(), &env).map_err(|error| invalid(error.0))?);
        let read_only_root = container.security_context.as_ref().and_then(|security| security.read_only_root_filesystem);
        let spec = ContainerSpec {
            hostname: self.folder.hostname.clone(),
            root: self.context.root_folder(),
            read_only_root: read_only_root == Some(true),
            argv,
            env,
            working_dir: PathBuf::from(container.working_dir.clone().filter(|dir| !dir.is_empty()).unwrap_or_else(|| "/".to_owned())),
            mounts,
        };
        Ok(Prepared { container, spec, image_id: format!("portico-lab://{}", image.program.display()), termination_log })
    }

    /// One run, from start to end.
    async fn run(&self, prepared: Prepared, restarts: i32) -> Exit {
        let pod = self.pod.borrow().clone();
        let id = format!("{}-{restarts}", self.name);
        let container_id = format!("portico-lab://{}/{id}", self.folder.uid);
        let Prepared { container, spec, image_id, termination_log } = prepared;
        let env = spec.env.clone();
        let log = match self.folder.new_log(&self.context, &self.name, restarts).await {
            Ok(log) => log,
            Err(error) => return self.note_start_error(&container_id, &format!("log: {error}")),
        };
        let folder = self.folder.run_folder(&self.name, restarts);
        let (process, pipes) = match self.launch(&id, spec, &folder).await {
            Ok(launched) => launched,
            Err(message) => {
                log.close();
                self.context.warn(&pod, "Failed", "Starting", &format!("Error: {message}"));
                return self.note_start_error(&container_id, &message);
            }
        };
        let writer = tokio::spawn({
            let log = Arc::clone(&log);
            async move { log.write(pipes.0, pipes.1).await }
        });
        let started_at = Timestamp::now();
        // A program has passed its startup if nobody asks for a probe; with a probe, the probe says so.
        let (has_startup, has_readiness) = (container.startup_probe.is_some(), container.readiness_probe.is_some());
        self.board.update_container(self.role, &self.name, |status| {
            if status.state.as_ref().is_some_and(|state| state.terminated.is_some()) {
                status.last_state = status.state.take();
            }
            status.state = Some(status::running(started_at));
            status.started = Some(!has_startup);
            status.ready = !has_startup && !has_readiness && self.is_long_lived(&container);
            status.restart_count = restarts;
            status.container_id = Some(container_id.clone());
            status.image_id.clone_from(&image_id);
        });
        self.context.note(&pod, "Started", "Starting", &format!("Started container {}", self.name));
        let mut run = Run { id, container, process, env, folder };
        let exit = self.live(&mut run).await;
        if tokio::time::timeout(LOG_PATIENCE, writer).await.is_err() {
            tracing::debug!(container = self.name, "some process still holds the container's output");
        }
        log.close();
        let message = self.termination_message(&run.container, exit, &termination_log, &log).await;
        self.note_end(exit, if exit.code == 0 { "Completed" } else { "Error" }, message, Some(started_at), &container_id);
        exit
    }

    /// Whether the container is meant to run on, so that its readiness counts.
    pub fn is_long_lived(&self, container: &Container) -> bool {
        self.role == Role::Main || status::is_sidecar(container)
    }

    async fn launch(
        &self,
        id: &str,
        spec: ContainerSpec,
        folder: &std::path::Path,
    ) -> Result<(Process, (pipe::Receiver, pipe::Receiver)), String> {
        let open = |name: &str| -> Result<(PathBuf, pipe::Receiver), String> {
            let path = folder.join(name);
            let mode = nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR;
            nix::unistd::mkfifo(&path, mode).map_err(|error| format!("{}: {error}", path.display()))?;
            let receiver = pipe::OpenOptions::new().open_receiver(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok((path, receiver))
        };
        let ((stdout, out), (stderr, err)) = (open("stdout")?, open("stderr")?);
        // Only when the container holds the other ends are these read: before, they would seem to have ended.
        let process = self.sandbox.start(id, spec, stdout, stderr).await?;
        Ok((process, (out, err)))
    }

    /// Hooks and probes of a running container, until it has ended.
    async fn live(&self, run: &mut Run) -> Exit {
        let Run { id, container, process, env, folder } = run;
        let pid = process.pid;
        let health = Health { task: self, container, pid, env, folder };
        let lifecycle = container.lifecycle.clone().unwrap_or_default();
        let pre_stop = lifecycle.pre_stop.as_ref();
        // While it is asked to end, readiness is still looked at: an endpoint that drains keeps its `serving` condition.
        let readiness = health.watch_readiness();
        let ended = async {
            let why = tokio::select! {
                exit = process.ended() => return exit,
                _ = self.stop.ordered() => None,
                why = health.watch_for_restart(lifecycle.post_start.as_ref()) => Some(why),
            };
            let Some((message, grace)) = why else {
                return self.end(id, process, pre_stop, &health, &self.stop).await;
            };
            self.context.note(&self.pod.borrow(), "Killing", "Killing", &message);
            let own = Stop::default();
            own.order(grace);
            tokio::select! {
                exit = self.end(id, process, pre_stop, &health, &own) => exit,
                () = self.stop.forward(&own) => Exit::KILLED,
            }
        };
        tokio::select! {
            exit = ended => exit,
            never = readiness => match never {},
        }
    }

    /// preStop, SIGTERM, grace, SIGKILL.
    async fn end(&self, id: &str, process: &mut Process, pre_stop: Option<&LifecycleHandler>, health: &Health<'_>, stop: &Stop) -> Exit {
        let at_once = stop.standing().is_some_and(|order| order.at_once);
        if let Some(handler) = pre_stop.filter(|_| !at_once) {
            tokio::select! {
                result = health.hook(handler) => if let Err(message) = result {
                    let message = format!("PreStopHook failed: {message}");
                    self.context.warn(&self.pod.borrow(), "FailedPreStopHook", "Killing", &message);
                },
                exit = process.ended() => return exit,
                () = stop.expired() => {}
            }
        }
        if !stop.standing().is_some_and(|order| order.at_once) {
            self.sandbox.signal(id, Signal::SIGTERM);
            tokio::select! {
                exit = process.ended() => return exit,
                () = stop.expired_after_hook() => {}
            }
        }
        self.sandbox.signal(id, Signal::SIGKILL);
        process.ended().await
    }

    async fn termination_message(&self, container: &Container, exit: Exit, file: &std::path::Path, log: &Log) -> Option<String> {
        let mut message = tokio::fs::read(file).await.unwrap_or_default();
        message.truncate(TERMINATION_MESSAGE_LIMIT);
        let mut message = String::from_utf8_lossy(&message).into_owned();
        if message.is_empty() && exit.code != 0 && container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError") {
            // Kubernetes: 80 lines or 2048 bytes, whichever is less.
            message = log.tail(80, 2048).await;
        }
        (!message.is_empty()).then_some(message)
    }

    fn note_start_error(&self, container_id: &str, message: &str) -> Exit {
        let exit = Exit { code: 128, signal: None };
        self.note_end(exit, "StartError", Some(message.to_owned()), None, container_id);
        exit
    }

    fn note_end(&self, exit: Exit, reason: &str, message: Option<String>, started_at: Option<Timestamp>, container_id: &str) {
        let end = ContainerStateTerminated {
            exit_code: exit.code,
            signal: exit.signal,
            reason: Some(reason.to_owned()),
            message,
            started_at: started_at.map(Time),
            finished_at: Some(Time(Timestamp::now())),
            container_id: Some(container_id.to_owned()),
        };
        self.board.update_container(self.role, &self.name, |status| {
            if status.state.as_ref().is_some_and(|state| state.terminated.is_some()) {
                status.last_state = status.state.take();
            }
            status.state = Some(status::terminated(end));
            // A finished init container counts as ready, as in Kubernetes.
            status.ready = self.role == Role::Init && exit.code == 0;
            status.started = Some(false);
        });
    }
}
