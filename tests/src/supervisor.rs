//! The process that runs a lab from the inside: starts everything, and stops it in order when the
//! lifeline (its standard input) closes, which it also does when whoever held it was killed.

use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::assets::Assets;
use crate::controlplane::{ControlPlane, Kubectl};
use crate::daemon::{Daemon, End, Ends};
use crate::fleet::{self, Fleet};
use crate::node::Node;
use crate::progress::Step;
use crate::session::Session;
use crate::{cloud, controlplane, logs, operator};

/// How long the operator and the cloud may take to stop.
const GRACE: Duration = Duration::from_secs(5);

/// What to run, as told on the first line of the lifeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// Programs and manifests.
    pub assets: Assets,
    /// The `portico` program, if anything of it is to run.
    pub portico: Option<std::path::PathBuf>,
    /// Whether the embedded cloud runs.
    pub cloud: bool,
    /// How long things take in the cloud, as a factor on AWS's own times; next to nothing if nothing is said.
    pub cloud_times: Option<f64>,
    /// Whether our operator runs.
    pub operator: bool,
    /// Whether the Gateway API's CRDs are those of the experimental channel.
    pub experimental: bool,
    /// What the fleet of Envoy proxies is started with, if it runs.
    pub fleet: Option<fleet::Programs>,
    /// Where everything logs.
    pub logs: std::path::PathBuf,
}

/// What the supervisor tells whoever started it, one JSON document per line.
#[derive(Debug, Serialize, Deserialize)]
pub enum Event {
    /// Everything runs.
    Ready(Box<Session>),
    /// The lab did not start, or one of its processes ended on its own; it is being stopped.
    Failed(String),
}

/// Runs the lab of that name until its lifeline closes.
pub fn run(name: &str) -> Result<u8> {
    let mut lifeline = std::io::stdin().lock();
    let mut line = String::new();
    lifeline.read_line(&mut line).context("cannot read the lifeline")?;
    drop(lifeline);
    let setup: Setup = serde_json::from_str(&line).context("cannot understand what to run")?;
    log_to(&setup.logs.join("lab.log"))?;

    let stop = CancellationToken::new();
    let closed = stop.clone();
    std::thread::spawn(move || {
        // Nothing more is sent: an end or an error both mean that the other side is gone.
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        closed.cancel();
    });
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(name, &setup, &stop));
    // What still blocks is ended by the kernel with the namespace.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => Ok(0),
        Err(error) => {
            tell(&Event::Failed(format!("{error:#}")));
            Ok(1)
        }
    }
}

/// Everything that runs in a lab.
struct Lab {
    plane: ControlPlane,
    node: Node,
    cloud: Option<Daemon>,
    operator: Option<Daemon>,
    fleet: Option<Fleet>,
}

impl Lab {
    async fn stop(self) {
        if let Some(fleet) = self.fleet {
            fleet.stop().await;
        }
        if let Some(operator) = self.operator {
            operator.stop(GRACE).await;
        }
        self.node.shutdown().await;
        self.plane.stop().await;
        if let Some(cloud) = self.cloud {
            cloud.stop(GRACE).await;
        }
    }
}

async fn serve(name: &str, setup: &Setup, stop: &CancellationToken) -> Result<()> {
    let (ends, mut ended) = mpsc::unbounded_channel();
    let lab = tokio::select! {
        lab = start(name, setup, &ends) => lab?,
        () = stop.cancelled() => return Ok(()),
    };
    let end = tokio::select! {
        end = ended.recv() => end,
        () = stop.cancelled() => None,
    };
    let step = Instant::now();
    lab.stop().await;
    tracing::info!(took = ?step.elapsed(), "stopped");
    match end {
        None => Ok(()),
        Some(End { name, reason, log: Some(log) }) => {
            bail!("{name} ended on its own ({reason}); the end of {}:\n{}", log.display(), logs::tail(&log, 15))
        }
        Some(End { name, reason, log: None }) => bail!("{name} ended on its own: {reason}"),
    }
}

async fn start(name: &str, setup: &Setup, ends: &Ends) -> Result<Lab> {
    let assets = &setup.assets;
    let step = Step::start(if setup.cloud { "control plane and cloud" } else { "control plane" }, "");
    let (plane, cloud) = tokio::try_join!(ControlPlane::start(assets, &setup.logs, ends), async {
        match &setup.portico {
            Some(portico) if setup.cloud => Ok(Some(cloud::start(portico, setup.cloud_times, &setup.logs, ends).await?)),
            _ => Ok(None),
        }
    })?;
    step.done();

    let step = Step::start("node and CRDs", "");
    let kubectl = Kubectl { program: assets.kubectl.clone(), kubeconfig: plane.admin.clone() };
    let (node, ()) = tokio::try_join!(Node::start(&plane, assets, setup.cloud, ends), install(setup, &kubectl))?;
    step.done();

    let operator = match &setup.portico {
        Some(portico) if setup.operator => {
            let step = Step::start("operator", "");
            let operator = operator::start(portico, setup.fleet.is_some(), &plane, &kubectl, &setup.logs, ends).await?;
            step.done();
            Some(operator)
        }
        _ => None,
    };

    let fleet = match &setup.fleet {
        Some(programs) => {
            let step = Step::start("fleet", "");
            let fleet = Fleet::start(programs, &setup.logs, ends).await?;
            step.done();
            Some(fleet)
        }
        None => None,
    };

    let session = session(name, setup, &plane);
    session.publish()?;
    tell(&Event::Ready(Box::new(session)));
    Ok(Lab { plane, node, cloud, operator, fleet })
}

/// Installs the CRDs, and what the operator needs of a platform team: its rights, a class and the class's profile.
async fn install(setup: &Setup, kubectl: &Kubectl) -> Result<()> {
    let crds = files_of_crds(&setup.assets.gateway_crds)?;
    let mut arguments = vec!["apply", "--server-side"];
    arguments.extend(crds.iter().flat_map(|file| ["-f", file]));
    kubectl.run(&arguments).await.context("cannot install the Gateway API's CRDs")?;
    if let Some(portico) = &setup.portico {
        let crds = operator::print(portico, &["manifests", "--only", "crds"]).await?;
        kubectl.run_with(&["apply", "--server-side", "-f", "-"], &crds).await.context("cannot install our CRDs")?;
    }
    kubectl.run(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]).await?;
    if let Some(portico) = &setup.portico {
        let manifests = setup.assets.manifests.display().to_string();
        kubectl.run(&["apply", "--server-side", "-f", &manifests]).await.context("cannot install the lab's manifests")?;
        operator::grant(portico, kubectl).await?;
    }
    Ok(())
}

/// The files of a channel: each is named after its API group, and beside them may stand a kustomization, which is no object.
fn files_of_crds(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        if entry.file_name().to_string_lossy().starts_with("gateway.networking.") {
            files.push(entry.path().display().to_string());
        }
    }
    files.sort();
    Ok(files)
}

fn session(name: &str, setup: &Setup, plane: &ControlPlane) -> Session {
    let cloud = setup.cloud.then(cloud::url);
    let mut env = BTreeMap::from([
        ("KUBECONFIG".to_owned(), plane.admin.display().to_string()),
        (controlplane::kubectl::CACHE_VARIABLE.to_owned(), controlplane::kubectl::cache_dir()),
        ("PORTICO_LAB".to_owned(), name.to_owned()),
    ]);
    if let Some(url) = &cloud {
        env.extend(cloud::environment(url));
    }
    Session {
        name: name.to_owned(),
        env,
        programs: setup.assets.kubectl.parent().unwrap_or(Path::new("/")).to_path_buf(),
        logs: setup.logs.clone(),
        api_server: plane.url.clone(),
        cloud,
        operator: setup.operator,
        experimental: setup.experimental,
        fleet: setup.fleet.clone(),
    }
}

/// Tells whoever started us; if they are gone, the lifeline says so too.
pub fn tell(event: &Event) {
    if let Ok(line) = serde_json::to_string(event) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

/// Lets the supervisor's own parts (kubelet, DNS) log to a file.
fn log_to(path: &Path) -> Result<()> {
    use tracing_subscriber::EnvFilter;
    let file = std::fs::File::options().create(true).append(true).open(path).with_context(|| format!("cannot make {}", path.display()))?;
    let filter =
        EnvFilter::try_from_env("LAB_LOG").unwrap_or_else(|_| EnvFilter::new("info,hyper=warn,rustls=warn,tower=warn,kube_client=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::sync::Mutex::new(file)).init();
    Ok(())
}
