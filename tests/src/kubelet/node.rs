//! The Node object: made once, its status kept, its heartbeat renewed by a Lease.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference, Time};
use kube_client::Api;
use kube_client::api::{Patch, PatchParams, PostParams};

use super::Context;

/// CPUs that the node claims to have. Nothing is accounted for: pods share the machine.
pub const CAPACITY_CPUS: i64 = 64;
/// Memory that the node claims to have, in MiB.
pub const CAPACITY_MEMORY_MIB: i64 = 256 * 1024;
/// Pods that the node claims to hold.
const CAPACITY_PODS: i64 = 10_000;

/// How often the Lease is renewed, and how long it holds (Kubernetes: 10 s and 40 s).
const RENEW: Duration = Duration::from_secs(10);
const LEASE_SECONDS: i32 = 40;
/// How often the status is written though nothing changed (Kubernetes: 5 min).
const RENEWALS_PER_STATUS: u32 = 30;
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// Makes the Node, or takes over one that exists.
pub async fn register(context: &Context, port: u16) -> Result<Node, kube_client::Error> {
    let nodes: Api<Node> = Api::all(context.client.clone());
    let name = &context.config.node_name;
    let mut labels = BTreeMap::from([
        ("kubernetes.io/hostname".to_owned(), name.clone()),
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), architecture().to_owned()),
    ]);
    labels.extend(context.config.labels.clone());
    let node = Node {
        metadata: ObjectMeta { name: Some(name.clone()), labels: Some(labels.clone()), ..ObjectMeta::default() },
        spec: Some(NodeSpec {
            pod_cidr: Some(context.config.pod_network.to_string()),
            pod_cidrs: Some(vec![context.config.pod_network.to_string()]),
            provider_id: context.config.provider_id.clone(),
            ..NodeSpec::default()
        }),
        status: None,
    };
    match nodes.create(&PostParams::default(), &node).await {
        Ok(_) => {}
        Err(kube_client::Error::Api(error)) if error.code == 409 => {
            let patch = serde_json::json!({"metadata": {"labels": labels}});
            nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        }
        Err(error) => return Err(error),
    }
    write_status(context, port).await
}

async fn write_status(context: &Context, port: u16) -> Result<Node, kube_client::Error> {
    let nodes: Api<Node> = Api::all(context.client.clone());
    let status = status(context, port);
    let patch = Patch::Strategic(serde_json::json!({"status": status}));
    nodes.patch_status(&context.config.node_name, &PatchParams::default(), &patch).await
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn status(context: &Context, port: u16) -> NodeStatus {
    let now = Time(Timestamp::now());
    let condition = |type_: &str, status: &str, reason: &str, message: &str| NodeCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(now.clone()),
        last_transition_time: Some(Time(context.started)),
    };
    let capacity = BTreeMap::from([
        ("cpu".to_owned(), Quantity(CAPACITY_CPUS.to_string())),
        ("memory".to_owned(), Quantity(format!("{CAPACITY_MEMORY_MIB}Mi"))),
        ("pods".to_owned(), Quantity(CAPACITY_PODS.to_string())),
        ("ephemeral-storage".to_owned(), Quantity("100Gi".to_owned())),
    ]);
    let version = "v1.36.3".to_owned();
    NodeStatus {
        capacity: Some(capacity.clone()),
        allocatable: Some(capacity),
        conditions: Some(vec![
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "True", "KubeletReady", "the lab's kubelet runs pods as processes"),
        ]),
        // No Hostname address: the API server would prefer it, and its own resolver is not the lab's.
        addresses: Some(vec![NodeAddress { type_: "InternalIP".to_owned(), address: context.config.node_address.to_string() }]),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(port) }) }),
        images: Some(
            context
                .images
                .patterns()
                .into_iter()
                .map(|name| ContainerImage { names: Some(vec![name.to_owned()]), size_bytes: None })
                .collect(),
        ),
        node_info: Some(NodeSystemInfo {
            architecture: architecture().to_owned(),
            operating_system: "linux".to_owned(),
            os_image: "Portico lab".to_owned(),
            container_runtime_version: "portico-lab://1".to_owned(),
            kubelet_version: version.clone(),
            kube_proxy_version: version,
            kernel_version: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            machine_id: context.config.node_name.clone(),
            system_uuid: context.config.node_name.clone(),
            boot_id: context.started.to_string(),
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    }
}

/// Renews the node's Lease, and from time to time its status, until shutdown.
pub async fn keep(context: &Context, node: &Node, port: u16) {
    let leases: Api<Lease> = Api::namespaced(context.client.clone(), LEASE_NAMESPACE);
    let mut renewals = 0u32;
    loop {
        if let Err(error) = renew(context, &leases, node).await {
            tracing::debug!(%error, "renewing the node's lease");
        }
        renewals = renewals.wrapping_add(1);
        if renewals.is_multiple_of(RENEWALS_PER_STATUS)
            && let Err(error) = write_status(context, port).await
        {
            tracing::debug!(%error, "writing the node's status");
        }
        tokio::select! {
            () = tokio::time::sleep(RENEW) => {}
            () = context.shutdown.cancelled() => return,
        }
    }
}

async fn renew(context: &Context, leases: &Api<Lease>, node: &Node) -> Result<(), kube_client::Error> {
    let name = &context.config.node_name;
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: name.clone(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        ..OwnerReference::default()
    };
    let lease = Lease {
        metadata: ObjectMeta { name: Some(name.clone()), owner_references: Some(vec![owner]), ..ObjectMeta::default() },
        spec: Some(LeaseSpec {
            holder_identity: Some(name.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }),
    };
    match leases.patch(name, &PatchParams::default(), &Patch::Merge(&lease)).await {
        Err(kube_client::Error::Api(error)) if error.code == 404 => leases.create(&PostParams::default(), &lease).await.map(drop),
        other => other.map(drop),
    }
}
