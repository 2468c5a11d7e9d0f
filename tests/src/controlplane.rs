//! The control plane: etcd, kube-apiserver with RBAC on, kube-controller-manager; all inside the lab's namespaces.

mod kubeconfig;
pub mod kubectl;
mod pki;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube_client::Client;
use tokio::process::Command;

pub use kubeconfig::Kubeconfig;
pub use kubectl::Kubectl;
pub use pki::Pki;

use crate::assets::Assets;
use crate::daemon::{Daemon, Ends};
use crate::netns::{API_SERVER_ADDRESS, NODE_ADDRESS, SERVICE_CIDR, STATE_DIR};

/// How long the control plane may take until it is ready; it takes 4 to 5 s on an idle machine.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long each process may take to stop before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// Where etcd listens: inside the lab nobody else uses loopback.
const ETCD_URL: &str = "http://127.0.0.1:2379";

/// The running control plane.
pub struct ControlPlane {
    /// The certificates and keys that everything in the lab trusts.
    pub pki: Pki,
    /// Where the API server answers.
    pub url: String,
    /// The administrator's kubeconfig.
    pub admin: PathBuf,
    /// A client of the administrator.
    pub client: Client,
    /// In the order of their start.
    daemons: Vec<Daemon>,
}

/// The control plane's own users, with a token each.
struct Tokens {
    admin: String,
    controller_manager: String,
}

impl ControlPlane {
    /// Starts the control plane and waits until it is ready.
    pub async fn start(assets: &Assets, logs: &Path, ends: &Ends) -> Result<Self> {
        let state = Path::new(STATE_DIR);
        let url = format!("https://{API_SERVER_ADDRESS}:443");
        let server_names =
            ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"];
        let addresses = [API_SERVER_ADDRESS.to_string(), NODE_ADDRESS.to_string(), "127.0.0.1".to_owned()];
        let names = server_names.iter().map(|name| (*name).to_owned()).chain(addresses).collect();
        let pki = Pki::create(&state.join("pki"), names)?;
        let tokens = Tokens { admin: uuid::Uuid::new_v4().to_string(), controller_manager: uuid::Uuid::new_v4().to_string() };
        let token_file = state.join("tokens.csv");
        fs::write(
            &token_file,
            format!("{},admin,admin,\"system:masters\"\n{},system:kube-controller-manager,kcm\n", tokens.admin, tokens.controller_manager),
        )
        .context("cannot write the token file")?;

        let kubeconfig = |user: &str, token: &str| -> Result<PathBuf> {
            let path = state.join(format!("{user}.kubeconfig"));
            Kubeconfig { server: &url, ca: &pki.ca_pem, user, token }.write(&path)?;
            Ok(path)
        };
        let admin = kubeconfig("admin", &tokens.admin)?;
        let controller_manager = kubeconfig("controller-manager", &tokens.controller_manager)?;

        let etcd = Daemon::spawn("etcd", etcd(assets, state), logs, ends)?;
        let apiserver = Daemon::spawn("kube-apiserver", apiserver(assets, &pki, &token_file), logs, ends)?;
        let client = client(&url, &pki, &tokens.admin)?;
        let mut plane = Self { pki, url, admin, client, daemons: vec![etcd, apiserver] };
        plane.wait_ready().await?;
        let command = controllers(assets, &plane.pki, &controller_manager);
        plane.daemons.push(Daemon::spawn("kube-controller-manager", command, logs, ends)?);
        plane.wait_default_account().await?;
        Ok(plane)
    }

    /// Stops it: controller manager, API server, etcd, in this order, because an API server that lost its etcd lingers.
    pub async fn stop(self) {
        for daemon in self.daemons.into_iter().rev() {
            daemon.stop(GRACE).await;
        }
    }

    async fn wait_ready(&self) -> Result<()> {
        self.poll("the API server is not ready", async |client| {
            let request = http::Request::get("/readyz").body(Vec::new()).context("request")?;
            Ok(client.request_text(request).await.is_ok())
        })
        .await
    }

    /// Until the namespace `default` has its ServiceAccount, no pod can be made: the sign that the controllers run.
    async fn wait_default_account(&self) -> Result<()> {
        self.poll("the controller manager makes no ServiceAccounts", async |client| {
            let path = "/api/v1/namespaces/default/serviceaccounts/default";
            let request = http::Request::get(path).body(Vec::new()).context("request")?;
            Ok(client.request_text(request).await.is_ok())
        })
        .await
    }

    /// Asks again and again, for a bounded time, and gives up at once where one of the processes ended.
    async fn poll(&self, complaint: &str, ask: impl AsyncFn(&Client) -> Result<bool>) -> Result<()> {
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        while tokio::time::Instant::now() < deadline {
            for daemon in &self.daemons {
                daemon.alive()?;
            }
            // The server may accept a connection that it cannot serve yet.
            if let Ok(true) = tokio::time::timeout(Duration::from_secs(2), ask(&self.client)).await.unwrap_or(Ok(false)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let tails: Vec<String> = self.daemons.iter().map(|daemon| format!("{}:\n{}", daemon.name(), daemon.tail())).collect();
        bail!("{complaint} after {READY_WITHIN:?}; the logs end with\n{}", tails.join("\n"))
    }
}

fn client(url: &str, pki: &Pki, token: &str) -> Result<Client> {
    let kubeconfig = Kubeconfig { server: url, ca: &pki.ca_pem, user: "admin", token };
    let mut config = kubeconfig.client_config()?;
    // The tests and the kubelet hold many watches on one client.
    config.read_timeout = None;
    Client::try_from(config).context("cannot make a Kubernetes client")
}

fn etcd(assets: &Assets, state: &Path) -> Command {
    let mut command = Command::new(&assets.etcd);
    command
        .arg(format!("--data-dir={}", state.join("etcd").display()))
        .arg(format!("--listen-client-urls={ETCD_URL}"))
        .arg(format!("--advertise-client-urls={ETCD_URL}"))
        .args(["--listen-peer-urls=http://127.0.0.1:2380", "--unsafe-no-fsync", "--log-level=warn"]);
    command
}

fn apiserver(assets: &Assets, pki: &Pki, token_file: &Path) -> Command {
    let mut command = Command::new(&assets.kube_apiserver);
    let path = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
    command
        .arg(format!("--etcd-servers={ETCD_URL}"))
        .arg(format!("--bind-address={API_SERVER_ADDRESS}"))
        .arg(format!("--advertise-address={API_SERVER_ADDRESS}"))
        .arg("--secure-port=443")
        .arg(format!("--service-cluster-ip-range={SERVICE_CIDR}"))
        .arg(path("cert-dir", &pki.dir))
        .arg(path("tls-cert-file", &pki.apiserver.certificate))
        .arg(path("tls-private-key-file", &pki.apiserver.key))
        .arg(path("client-ca-file", &pki.ca))
        .arg(path("kubelet-certificate-authority", &pki.ca))
        .arg(path("kubelet-client-certificate", &pki.kubelet_client.certificate))
        .arg(path("kubelet-client-key", &pki.kubelet_client.key))
        .arg("--kubelet-preferred-address-types=InternalIP")
        .arg(path("service-account-key-file", &pki.service_account_public_key))
        .arg(path("service-account-signing-key-file", &pki.service_account_key))
        .arg("--service-account-issuer=https://kubernetes.default.svc.cluster.local")
        .arg(path("token-auth-file", token_file))
        .args(["--authorization-mode=Node,RBAC", "--anonymous-auth=false", "--allow-privileged=true"])
        // Beta, and off unless it is asked for.
        .args(["--feature-gates=ClusterTrustBundle=true", "--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true"])
        // One user: nothing to be fair about. Profiling is off as the benchmarks for hardening ask.
        .args(["--enable-priority-and-fairness=false", "--profiling=false"]);
    command
}

fn controllers(assets: &Assets, pki: &Pki, kubeconfig: &Path) -> Command {
    let mut command = Command::new(&assets.kube_controller_manager);
    let path = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
    command
        .arg(path("kubeconfig", kubeconfig))
        .arg(path("service-account-private-key-file", &pki.service_account_key))
        .arg(path("root-ca-file", &pki.ca))
        // Without it the Deployment controller is forbidden everything.
        .arg("--use-service-account-credentials=true")
        .args(["--leader-elect=false", "--secure-port=0"])
        // With the defaults its caches take 8 s to sync, and the first pods are late.
        .args(["--kube-api-qps=1000", "--kube-api-burst=2000"])
        // A busy test machine must not get the lab's only node tainted.
        .arg("--node-monitor-grace-period=5m");
    command
}
