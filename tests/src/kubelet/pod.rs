//! The life of one pod, from its binding to its removal: sandbox, volumes, containers, status.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube_client::Api;
use kube_client::api::{DeleteParams, Patch, PatchParams, Preconditions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::container::ContainerTask;
use super::hostfiles;
use super::logs::Log;
use super::protocol::{Exit, Mount};
use super::sandbox::{Sandbox, SandboxError};
use super::status::{self, Board, Role, Verdict};
use super::stop::Stop;
use super::volumekeeper::VolumeKeeper;

/// Pause before something that failed for no lasting reason (an API call, a namespace) is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Where a pod's files are, and what its containers share.
#[derive(Debug)]
pub struct PodFolder {
    /// The pod's UID.
    pub uid: String,
    /// `namespace/name`.
    pub pod_key: String,
    /// The pod's host name.
    pub hostname: String,
    /// The pod's address.
    pub pod_ip: Ipv4Addr,
    namespace: String,
    name: String,
    root: PathBuf,
    logs: PathBuf,
    volumes: Mutex<BTreeMap<String, (PathBuf, bool)>>,
}

impl PodFolder {
    fn new(context: &Context, pod: &Pod, pod_ip: Ipv4Addr) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (namespace, name, uid) = (text(&pod.metadata.namespace), text(&pod.metadata.name), text(&pod.metadata.uid));
        let hostname = pod.spec.as_ref().and_then(|spec| spec.hostname.clone()).unwrap_or_else(|| name.clone());
        Self {
            pod_key: format!("{namespace}/{name}"),
            root: context.config.work_dir.join("pods").join(&uid),
            logs: context.config.work_dir.join("logs").join(format!("{namespace}_{name}_{uid}")),
            // Linux: a host name has at most 64 bytes; Kubernetes cuts at 63.
            hostname: hostname.chars().take(63).collect(),
            volumes: Mutex::default(),
            namespace,
            name,
            uid,
            pod_ip,
        }
    }

    /// The folder of one run of a container.
    pub fn run_folder(&self, container: &str, run: i32) -> PathBuf {
        self.root.join("containers").join(container).join(run.to_string())
    }

    /// The folder of a volume.
    pub fn volume_folder(&self, volume: &str) -> PathBuf {
        self.root.join("volumes").join(volume)
    }

    /// The prepared volumes: path to mount, and whether containers may write to it.
    pub fn volumes(&self) -> BTreeMap<String, (PathBuf, bool)> {
        self.volumes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a prepared volume.
    pub fn add_volume(&self, name: &str, prepared: (PathBuf, bool)) {
        self.volumes.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), prepared);
    }

    /// The files that every container of the pod gets.
    pub fn common_mounts(&self) -> impl Iterator<Item = Mount> {
        hostfiles::NAMES.iter().map(|name| Mount {
            source: self.root.join("etc").join(name),
            target: PathBuf::from("/etc").join(name),
            read_only: false,
        })
    }

    /// Makes the log of a new run of a container, where `kubectl logs` finds it.
    pub async fn new_log(&self, context: &Context, container: &str, run: i32) -> std::io::Result<Arc<Log>> {
        let log = Arc::new(Log::create(self.logs.join(container).join(format!("{run}.log"))).await?);
        context.logs.add(&self.namespace, &self.name, container, Arc::clone(&log));
        Ok(log)
    }

    fn write_host_files(&self, context: &Context, pod: &Pod) -> std::io::Result<()> {
        let folder = self.root.join("etc");
        std::fs::create_dir_all(&folder)?;
        for (name, text) in hostfiles::texts(pod, self.pod_ip, &self.hostname, context.config.dns) {
            std::fs::write(folder.join(name), text)?;
        }
        Ok(())
    }
}

/// What lives as long as a pod.
pub struct PodTask {
    /// The kubelet.
    pub context: Arc<Context>,
    /// The pod, as it changes.
    pub pod: watch::Receiver<Arc<Pod>>,
    /// The order to stop, given when the pod is deleted.
    pub stop: Stop,
    /// Cancelled when the pod's object is gone.
    pub gone: CancellationToken,
}

impl PodTask {
    /// Lives the pod's life.
    pub async fn run(self) {
        let pod = self.pod.borrow().clone();
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        if phase != "Succeeded" && phase != "Failed" {
            let board = Arc::new(Board::new(&pod, Timestamp::now()));
            tokio::select! {
                () = self.live(&board) => {}
                never = self.publish_for_ever(&board) => match never {},
            }
            if !self.context.shutdown.is_cancelled() && !self.gone.is_cancelled() {
                let last = self.pod.borrow().clone();
                self.publish(&board.status(&last, self.context.config.node_address, Timestamp::now())).await;
            }
        }
        tokio::select! {
            () = self.remove_when_deleted() => {}
            () = self.gone.cancelled() => {}
            () = self.context.shutdown.cancelled() => {}
        }
        let folder = PodFolder::new(&self.context, &pod, Ipv4Addr::UNSPECIFIED);
        self.context.logs.forget(&folder.namespace, &folder.name, &folder.logs);
        if let Err(error) = tokio::fs::remove_dir_all(&folder.root).await {
            tracing::debug!(%error, pod = folder.pod_key, "nothing to remove");
        }
    }

    /// Runs the pod's containers until none is left, in a new sandbox if the first one is lost.
    async fn live(&self, board: &Arc<Board>) {
        loop {
            let sandbox = tokio::select! {
                sandbox = self.make_sandbox() => Arc::new(sandbox),
                _ = self.stop.ordered() => return,
            };
            let is_lost = tokio::select! {
                () = self.live_in(&sandbox, board) => false,
                () = sandbox.lost() => true,
            };
            sandbox.destroy().await;
            if !is_lost || self.stop.standing().is_some() {
                return;
            }
            let message = "Pod sandbox changed, it will be killed and re-created.";
            self.context.warn(&self.pod.borrow().clone(), "SandboxChanged", "Starting", message);
            board.update(|facts| facts.lose_sandbox(Timestamp::now()));
        }
    }

    async fn live_in(&self, sandbox: &Arc<Sandbox>, board: &Arc<Board>) {
        let pod = self.pod.borrow().clone();
        let pod_ip = sandbox.address().or(match self.context.config.node_address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        let folder = Arc::new(PodFolder::new(&self.context, &pod, pod_ip.unwrap_or(Ipv4Addr::LOCALHOST)));
        board.update(|facts| facts.pod_ip = pod_ip);
        if let Err(error) = folder.write_host_files(&self.context, &pod) {
            let message = format!("writing {}: {error}", folder.root.join("etc").display());
            self.context.warn(&pod, "FailedCreatePodSandBox", "Starting", &message);
        }
        let mut keeper = VolumeKeeper::new(Arc::clone(&self.context), self.pod.clone(), Arc::clone(&folder));
        tokio::select! {
            () = keeper.prepare() => {}
            _ = self.stop.ordered() => return,
        }
        tokio::select! {
            () = self.run_containers(board, sandbox, &folder) => {}
            never = keeper.renew() => match never {},
            () = self.watch_deadline(board) => {}
        }
    }

    async fn make_sandbox(&self) -> Sandbox {
        let config = &self.context.config;
        loop {
            let pod = self.pod.borrow().clone();
            let shares_host = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
            let made = async {
                let address = if shares_host { None } else { Some(self.context.addresses.take()?) };
                Sandbox::create(address, &config.bridge, config.pod_network).await
            };
            match made.await {
                Ok(sandbox) => return sandbox,
                Err(error @ (SandboxError::Start(_) | SandboxError::Network(_))) => {
                    self.context.warn(&pod, "FailedCreatePodSandBox", "Starting", &error.to_string());
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn container(&self, parts: (&Arc<Board>, &Arc<Sandbox>, &Arc<PodFolder>), stop: &Stop, role: Role, name: &str) -> ContainerTask {
        ContainerTask {
            context: Arc::clone(&self.context),
            pod: self.pod.clone(),
            board: Arc::clone(parts.0),
            sandbox: Arc::clone(parts.1),
            folder: Arc::clone(parts.2),
            stop: stop.clone(),
            role,
            name: name.to_owned(),
        }
    }

    async fn run_containers(&self, board: &Arc<Board>, sandbox: &Arc<Sandbox>, folder: &Arc<PodFolder>) {
        let pod = self.pod.borrow().clone();
        let Some(spec) = pod.spec.as_ref() else { return };
        let parts = (board, sandbox, folder);
        let sidecar_stop = Stop::default();
        // Aborted when dropped, which is how a pod that ran out of time ends below.
        let mut sidecars: JoinSet<Option<Exit>> = JoinSet::new();
        for container in spec.init_containers.iter().flatten() {
            if status::is_sidecar(container) {
                sidecars.spawn(self.container(parts, &sidecar_stop, Role::Init, &container.name).supervise());
                tokio::select! {
                    () = has_started(board, &container.name) => {}
                    _ = self.stop.ordered() => break,
                }
            } else {
                let exit = self.container(parts, &self.stop, Role::Init, &container.name).supervise().await;
                if exit.is_none_or(|exit| exit.code != 0) || self.stop.standing().is_some() {
                    self.end_sidecars(&sidecar_stop, &mut sidecars).await;
                    return;
                }
            }
        }
        let mut main: JoinSet<Option<Exit>> = JoinSet::new();
        if self.stop.standing().is_none() {
            for container in &spec.containers {
                main.spawn(self.container(parts, &self.stop, Role::Main, &container.name).supervise());
            }
        }
        while main.join_next().await.is_some() {}
        self.end_sidecars(&sidecar_stop, &mut sidecars).await;
    }

    /// Sidecars end last, as in Kubernetes.
    async fn end_sidecars(&self, stop: &Stop, sidecars: &mut JoinSet<Option<Exit>>) {
        stop.order(self.grace());
        let all = async { while sidecars.join_next().await.is_some() {} };
        tokio::select! {
            () = all => {}
            () = self.stop.forward(stop) => {}
        }
    }

    fn grace(&self) -> Duration {
        let pod = self.pod.borrow();
        let seconds = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(30))
    }

    /// `activeDeadlineSeconds`: completes when the pod has had its time and its containers their grace.
    async fn watch_deadline(&self, board: &Board) {
        let pod = self.pod.borrow().clone();
        let Some(seconds) = pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds) else { return std::future::pending().await };
        tokio::time::sleep(Duration::from_secs(u64::try_from(seconds).unwrap_or_default())).await;
        let message = "Pod was active on the node longer than the specified deadline".to_owned();
        board.update(|facts| facts.verdict = Some(Verdict { phase: "Failed", reason: "DeadlineExceeded".to_owned(), message }));
        self.stop.order(self.grace());
        // The containers heed the order; their end completes the pod's other branch.
        std::future::pending().await
    }

    async fn publish_for_ever(&self, board: &Board) -> std::convert::Infallible {
        let mut changes = board.changes();
        let mut pods = self.pod.clone();
        let mut last = None;
        loop {
            changes.mark_unchanged();
            let pod = pods.borrow_and_update().clone();
            let status = board.status(&pod, self.context.config.node_address, Timestamp::now());
            if last.as_ref() != Some(&status) {
                self.publish(&status).await;
                last = Some(status);
            }
            tokio::select! {
                _ = changes.changed() => {}
                // The sender is gone with the pod's object; the task is then about to end.
                changed = pods.changed() => if changed.is_err() { std::future::pending::<()>().await },
            }
        }
    }

    /// Writes the status; tries again until it is written or the pod is gone.
    async fn publish(&self, status: &PodStatus) {
        let pod = self.pod.borrow().clone();
        let Some(name) = pod.metadata.name.as_deref() else { return };
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
        let patch = match patch_body(pod.metadata.uid.as_deref(), status) {
            Ok(patch) => Patch::Strategic(patch),
            Err(error) => return tracing::error!(%error, "encoding a pod's status"),
        };
        loop {
            match pods.patch_status(name, &PatchParams::default(), &patch).await {
                Ok(_) => return,
                // Gone, or another pod of the same name.
                Err(kube_client::Error::Api(error)) if error.code == 404 || error.code == 409 => return,
                Err(kube_client::Error::Api(error)) if error.code == 422 => {
                    return tracing::error!(pod = name, message = error.message, "the API server refuses the pod's status");
                }
                Err(error) => tracing::debug!(%error, pod = name, "writing the pod's status"),
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = self.context.shutdown.cancelled() => return,
            }
        }
    }

    /// Removes the pod's object once its deletion was asked for; all its processes have ended by now.
    async fn remove_when_deleted(&self) {
        let mut pods = self.pod.clone();
        while pods.borrow_and_update().metadata.deletion_timestamp.is_none() {
            if pods.changed().await.is_err() {
                return;
            }
        }
        let pod = pods.borrow().clone();
        let Some(name) = pod.metadata.name.as_deref() else { return };
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
        let only_this = Preconditions { uid: pod.metadata.uid.clone(), ..Preconditions::default() };
        let now = DeleteParams { grace_period_seconds: Some(0), preconditions: Some(only_this), ..DeleteParams::default() };
        loop {
            match api.delete(name, &now).await {
                // A finalizer of somebody's may keep the object; its processes are gone all the same.
                Ok(_) => return,
                Err(kube_client::Error::Api(error)) if error.code == 404 || error.code == 409 => return,
                Err(error) => tracing::debug!(%error, pod = name, "removing the pod"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn has_started(board: &Board, name: &str) {
    let mut changes = board.changes();
    while board.container(Role::Init, name).is_some_and(|status| status.started != Some(true)) {
        let _ = changes.changed().await;
    }
}

/// The status as a strategic merge: conditions of others stay, since the list merges by type; a reason or message that a
/// condition of ours no longer has must be taken away by name.
fn patch_body(uid: Option<&str>, status: &PodStatus) -> serde_json::Result<serde_json::Value> {
    let mut status = serde_json::to_value(status)?;
    let clear = |object: &mut serde_json::Value| {
        if let Some(fields) = object.as_object_mut() {
            for name in ["reason", "message"] {
                fields.entry(name).or_insert(serde_json::Value::Null);
            }
        }
    };
    clear(&mut status);
    if let Some(conditions) = status.get_mut("conditions").and_then(serde_json::Value::as_array_mut) {
        conditions.iter_mut().for_each(clear);
    }
    // These lists would merge with what an earlier kubelet of this node published.
    for name in ["podIPs", "hostIPs"] {
        let mut list = vec![serde_json::json!({"$patch": "replace"})];
        list.extend(status.get(name).and_then(serde_json::Value::as_array).cloned().unwrap_or_default());
        if let Some(fields) = status.as_object_mut() {
            fields.insert(name.to_owned(), list.into());
        }
    }
    Ok(serde_json::json!({"metadata": {"uid": uid}, "status": status}))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_gone_is_taken_away() {
        let status = serde_json::from_value(json!({"phase": "Running", "podIPs": [{"ip": "198.19.0.2"}], "conditions": [
            {"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "False", "reason": "R"}
        ]}));
        let body = patch_body(Some("u"), &status.unwrap()).unwrap();
        let expected = json!({"metadata": {"uid": "u"}, "status": {"phase": "Running", "reason": null, "message": null,
            "podIPs": [{"$patch": "replace"}, {"ip": "198.19.0.2"}], "hostIPs": [{"$patch": "replace"}], "conditions": [
            {"type": "Ready", "status": "True", "reason": null, "message": null},
            {"type": "Initialized", "status": "False", "reason": "R", "message": null}
        ]}});
        assert_eq!(body, expected);
    }
}
