//! The lab's node: the kubelet and the name server, with the lab's addresses, as tasks of the supervisor.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube_client::Api;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::assets::Assets;
use crate::controlplane::ControlPlane;
use crate::daemon::{End, Ends};
use crate::dns::{self, DnsConfig};
use crate::kubelet::{self, Image, KubeletConfig, Network};
use crate::netns::{API_SERVER_ADDRESS, BRIDGE, DNS_ADDRESS, NODE_ADDRESS, POD_CIDR, STATE_DIR};
use crate::{cloud, netns};

/// The node's name.
pub const NAME: &str = "lab";
/// The zone that the node says it is in; the embedded cloud has a subnet there.
const ZONE: &str = "us-east-1a";
/// An image that is a shell with this machine's programs, for pods that call something.
pub const SHELL_IMAGE: &str = "portico.dev/lab/shell";
/// The kubelet's usual port.
const KUBELET_PORT: u16 = 10250;
/// How long the node may take until it is Ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long pods may take to end when the lab stops; the kernel ends what is left.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// The running node.
pub struct Node {
    stop: CancellationToken,
    kubelet: JoinHandle<()>,
    dns: JoinHandle<()>,
}

impl Node {
    /// Starts the name server and the kubelet, and waits until the node is Ready.
    pub async fn start(plane: &ControlPlane, assets: &Assets, cloud: bool, ends: &Ends) -> Result<Self> {
        let stop = CancellationToken::new();
        let dns = tell_end("the name server", ends, &stop, dns::serve(dns_config(plane, cloud), stop.clone()));
        let provider_id = if cloud { Some(cloud::provider_id().await?) } else { None };
        let kubelet = tell_end("the kubelet", ends, &stop, kubelet::run(kubelet_config(plane, assets, provider_id)?, stop.clone()));
        let node = Self { stop, kubelet, dns };
        node.wait_ready(plane).await?;
        Ok(node)
    }

    /// Ends every pod, then the node.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if tokio::time::timeout(STOP_WITHIN, self.kubelet).await.is_err() {
            tracing::warn!("the kubelet did not end its pods in time");
        }
        self.dns.abort();
    }

    async fn wait_ready(&self, plane: &ControlPlane) -> Result<()> {
        let nodes: Api<NodeObject> = Api::all(plane.client.clone());
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        while tokio::time::Instant::now() < deadline {
            if self.kubelet.is_finished() {
                bail!("the kubelet ended; see lab.log");
            }
            let node = nodes.get_opt(NAME).await.context("cannot read the node")?;
            let conditions = node.and_then(|node| node.status).and_then(|status| status.conditions).unwrap_or_default();
            if conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True") {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        bail!("the node is not Ready after {READY_WITHIN:?}")
    }
}

/// Runs a server as a task; if it ends before it was asked to, the supervisor hears of it.
fn tell_end<E: std::fmt::Display + Send + 'static>(
    name: &'static str,
    ends: &Ends,
    stop: &CancellationToken,
    server: impl Future<Output = Result<(), E>> + Send + 'static,
) -> JoinHandle<()> {
    let (ends, stop) = (ends.clone(), stop.clone());
    tokio::spawn(async move {
        let reason = match server.await {
            Ok(()) => "it returned".to_owned(),
            Err(error) => error.to_string(),
        };
        if !stop.is_cancelled() {
            tracing::error!(name, reason, "ended on its own");
            // Nobody listens any more once the lab is being stopped.
            let _ = ends.send(End { name: name.to_owned(), reason, log: None });
        }
    })
}

fn dns_config(plane: &ControlPlane, cloud: bool) -> DnsConfig {
    let api_server = vec![IpAddr::V4(API_SERVER_ADDRESS)];
    let names = ["kubernetes.default.svc.cluster.local", "kubernetes.default.svc", "kubernetes.default"];
    DnsConfig {
        listen: SocketAddr::from((DNS_ADDRESS, 53)),
        records: names.map(|name| (name.to_owned(), api_server.clone())).into(),
        cloud: cloud.then(cloud::url),
        cloud_suffixes: vec![".amazonaws.com".to_owned()],
        services: Some(plane.client.clone()),
        // A load balancer that is made again under its old name has a new address.
        ttl: 0,
    }
}

fn kubelet_config(plane: &ControlPlane, assets: &Assets, provider_id: Option<String>) -> Result<KubeletConfig> {
    let labels = [
        ("kubernetes.io/hostname", NAME),
        ("kubernetes.io/os", "linux"),
        ("topology.kubernetes.io/region", cloud::REGION),
        ("topology.kubernetes.io/zone", ZONE),
    ];
    let (address, prefix) = POD_CIDR.split_once('/').context("the pods' network")?;
    let address: Ipv4Addr = address.parse().context("the pods' network")?;
    let echo = Image { program: assets.echo_basic.clone(), ..Image::default() };
    let shell = Image { program: "/bin/sh".into(), ..Image::default() };
    Ok(KubeletConfig {
        client: plane.client.clone(),
        node_name: NAME.to_owned(),
        node_address: IpAddr::V4(NODE_ADDRESS),
        port: KUBELET_PORT,
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        provider_id,
        bridge: BRIDGE.to_owned(),
        pod_network: Network { address, prefix: prefix.parse().context("the pods' network")? },
        images: BTreeMap::from([("gateway-api/conformance/echo-basic".to_owned(), echo), (SHELL_IMAGE.to_owned(), shell)]),
        work_dir: Path::new(STATE_DIR).join("kubelet"),
        dns: IpAddr::V4(netns::DNS_ADDRESS),
        api_server: (API_SERVER_ADDRESS.to_string(), 443),
        serving_certificate: Some((plane.pki.kubelet.certificate.clone(), plane.pki.kubelet.key.clone())),
    })
}
