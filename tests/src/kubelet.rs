//! The lab's kubelet: a real Node whose pods are processes of this machine.
//!
//! Each pod has its own network, process, host-name and mount namespaces, its own address on the lab's bridge, and for each
//! container a root file system of its own (see [`rootfs`]). What a container's image is, a table says ([`images`]); nothing is
//! pulled. Works as root, and as an ordinary user inside a user namespace.
//!
//! ```text
//!  binder ─ pods/binding ─▶ pods ─ one task per pod ─▶ pod ─▶ sandbox ── unshare ── pod-init (PID 1 of the pod)
//!                                                      │ ▲        requests and reports ┊   └── pod-container ─▶ program
//!                             status, events ◀─────────┘ └─ containers: hooks, probes, logs, restarts
//! ```
//!
//! What of a pod's spec it does not honour: resource limits, `securityContext` but for `readOnlyRootFilesystem`
//! (every container runs as root of the lab's user namespace), mount propagation, volume kinds other than those named in
//! [`volumes`], ephemeral containers, gRPC probes (a probe of that kind fails and says so), changes of a running container's
//! image. `kubectl exec`, `attach` and `port-forward` are refused; `kubectl logs` works.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube_client::Client;
use kube_runtime::events::{Event, EventType, Recorder, Reporter};
use tokio_util::sync::CancellationToken;

mod backoff;
mod binder;
mod container;
mod environment;
mod health;
mod hostfiles;
mod images;
mod init;
mod logs;
mod network;
mod node;
mod pod;
mod pods;
mod probes;
mod protocol;
mod references;
mod rootfs;
mod sandbox;
mod server;
mod status;
mod stop;
mod volumekeeper;
mod volumes;

pub use images::Image;
pub use init::{CONTAINER_COMMAND, INIT_COMMAND, run as run_pod_init, run_container as run_pod_container};
pub use network::Network;

/// What a kubelet is told at its start.
#[derive(Clone)]
pub struct KubeletConfig {
    /// Client of the API server, with an administrator's rights.
    pub client: Client,
    /// The node's name.
    pub node_name: String,
    /// The node's address, at which the kubelet's endpoint listens: one of the lab's own, usually the bridge's.
    pub node_address: IpAddr,
    /// Port of the kubelet's HTTPS endpoint; 0 takes a free one.
    pub port: u16,
    /// Labels of the node, such as its zone.
    pub labels: BTreeMap<String, String>,
    /// The node's `spec.providerID`, such as `aws:///us-east-1a/i-0123456789abcdef0`.
    pub provider_id: Option<String>,
    /// The bridge that pods are linked to; made if it is missing.
    pub bridge: String,
    /// The pods' network; its first address is the bridge's.
    pub pod_network: Network,
    /// The programs that stand for images, by image pattern.
    pub images: BTreeMap<String, Image>,
    /// Folder for pods, volumes and logs.
    pub work_dir: PathBuf,
    /// The name server of the pods.
    pub dns: IpAddr,
    /// Where pods reach the API server (`KUBERNETES_SERVICE_HOST` and `_PORT`).
    pub api_server: (String, u16),
    /// Certificate chain and key (PEM files) of the kubelet's endpoint; none makes it sign one itself.
    pub serving_certificate: Option<(PathBuf, PathBuf)>,
}

/// Why a kubelet could not start.
#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    /// The bridge.
    #[error("the pods' bridge: {0}")]
    Bridge(#[from] network::NetworkError),
    /// The HTTPS endpoint.
    #[error("the kubelet's endpoint: {0}")]
    Endpoint(String),
    /// The work folder.
    #[error("the kubelet's folder {path}: {cause}", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The Node object.
    #[error("registering the node: {0}")]
    Register(#[from] Box<kube_client::Error>),
}

/// What the kubelet's parts share.
struct Context {
    client: Client,
    config: KubeletConfig,
    references: references::References,
    recorder: Recorder,
    addresses: network::Addresses,
    images: images::Images,
    logs: logs::Logs,
    started: Timestamp,
    shutdown: CancellationToken,
}

impl Context {
    fn root_folder(&self) -> PathBuf {
        self.config.work_dir.join("root")
    }

    /// The environment that every container starts with, before the image's and its own.
    fn base_environment(&self, hostname: &str) -> Vec<(String, String)> {
        let (host, port) = &self.config.api_server;
        let pairs = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOSTNAME", hostname),
            ("HOME", "/root"),
            ("KUBERNETES_SERVICE_HOST", host),
            ("KUBERNETES_SERVICE_PORT", &port.to_string()),
            ("KUBERNETES_SERVICE_PORT_HTTPS", &port.to_string()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    fn note(&self, pod: &Pod, reason: &str, action: &str, message: &str) {
        self.publish(EventType::Normal, pod, reason, action, message);
    }

    fn warn(&self, pod: &Pod, reason: &str, action: &str, message: &str) {
        self.publish(EventType::Warning, pod, reason, action, message);
    }

    /// Publishes an event on a pod, without waiting for it.
    fn publish(&self, type_: EventType, pod: &Pod, reason: &str, action: &str, message: &str) {
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        };
        // Kubernetes: a note has at most 1 kB.
        let note: String = message.chars().take(1000).collect();
        tracing::debug!(pod = regarding.name, namespace = regarding.namespace, reason, note, "event");
        let event = Event { type_, reason: reason.to_owned(), note: Some(note), action: action.to_owned(), secondary: None };
        let recorder = self.recorder.clone();
        tokio::spawn(async move {
            if let Err(error) = recorder.publish(&event, &regarding).await {
                tracing::debug!(%error, reason = event.reason, "publishing an event");
            }
        });
    }
}

/// Runs the node until shutdown; then ends every pod's processes and namespaces before it returns.
pub async fn run(config: KubeletConfig, shutdown: CancellationToken) -> Result<(), KubeletError> {
    for folder in ["pods", "logs", "root"] {
        let path = config.work_dir.join(folder);
        tokio::fs::create_dir_all(&path).await.map_err(|cause| KubeletError::Folder { path, cause })?;
    }
    network::ensure_bridge(&config.bridge, config.pod_network).await?;
    let endpoint = server::Endpoint::open(&config).await?;
    let port = endpoint.address.port();
    let reporter = Reporter { controller: "portico-lab-kubelet".to_owned(), instance: Some(config.node_name.clone()) };
    let context = Arc::new(Context {
        client: config.client.clone(),
        references: references::References::start(&config.client, &shutdown),
        recorder: Recorder::new(config.client.clone(), reporter),
        addresses: network::Addresses::new(config.pod_network),
        images: images::Images::new(config.images.clone()),
        logs: logs::Logs::default(),
        started: Timestamp::now(),
        shutdown,
        config,
    });
    let node = node::register(&context, port).await.map_err(Box::new)?;
    tokio::join!(
        endpoint.serve(Arc::clone(&context)),
        node::keep(&context, &node, port),
        binder::bind_pods(Arc::clone(&context)),
        pods::follow(Arc::clone(&context)),
    );
    Ok(())
}
