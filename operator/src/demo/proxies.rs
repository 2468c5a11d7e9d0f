//! Real Envoy proxies of the demo: child processes that take their configuration from this process, by xDS.

use std::collections::BTreeSet;
use std::fs::File;
use std::future::pending;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, anyhow};
use portico_cloud::AddressPool;
use portico_envoy_xds::Envoy;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::block::Block;
use super::program::Program;
use super::stage::{Staged, stage};
use super::tied;
use crate::bootstrap::{BootstrapArguments, BootstrapFormat, bootstrap};
use crate::manifests::Manifests;
use crate::output::{DIM, HEADING, line, styled};

/// Where the operator serves xDS, if that port is free.
const XDS: u16 = 18000;
/// Where the first proxy's administration listens, if that port is free.
const ADMIN: u16 = 9901;
/// How many lines of a log are shown when its proxy ends by itself.
const TAIL: usize = 12;

/// Everything that proxies need, and the proxies.
#[derive(Debug)]
pub struct Proxies {
    program: Program,
    block: Block,
    staged: Staged,
    server: SocketAddr,
    listener: Option<TcpListener>,
    folder: Option<TempDir>,
    running: Vec<Proxy>,
}

/// A proxy that was started.
#[derive(Debug)]
struct Proxy {
    fleet: String,
    admin: SocketAddr,
    log: PathBuf,
    child: Child,
}

impl Proxies {
    /// Finds an Envoy and addresses for it, and changes the manifests so that it can serve them here. Starts nothing.
    ///
    /// # Errors
    /// If there is no Envoy, or nothing can listen here.
    pub async fn prepare(envoy: Option<&Path>, pool: AddressPool, manifests: &mut Manifests) -> anyhow::Result<Self> {
        let program = Program::find(envoy).await?;
        let block = Block::claim(pool)?;
        let staged = stage(manifests, &block)?;
        let server = block.free_port(XDS)?;
        let listener = TcpListener::bind(server).await.with_context(|| format!("the operator cannot listen on {server}"))?;
        let folder = tempfile::Builder::new().prefix("portico-demo-").tempdir().context("there is no room for logs")?;
        Ok(Self { program, block, staged, server, listener: Some(listener), folder: Some(folder), running: Vec::new() })
    }

    /// Says what serves, and what is different here.
    pub fn introduce(&self) -> anyhow::Result<()> {
        let Program { path, version } = &self.program;
        line(format_args!("Envoy {version} ({}) serves it; nothing leaves this machine.", path.display()))?;
        line(format_args!("{}", styled(DIM, format_args!("Here {}.", self.staged.notes.join("; ")))))
    }

    /// For which port this one stands in.
    pub fn wanted_port(&self, bound: u16) -> u16 {
        self.staged.stand_ins.get(&bound).copied().unwrap_or(bound)
    }

    /// Starts a proxy for each fleet, and to serve them. They are answered once everything is published.
    pub fn start(
        &mut self,
        fleets: BTreeSet<String>,
        envoy: &Envoy,
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        if let Some(listener) = self.listener.take() {
            tracker.spawn(envoy.serve(listener, None, stop.clone()));
        }
        for fleet in fleets {
            let proxy = self.proxy(fleet)?;
            self.running.push(proxy);
        }
        Ok(())
    }

    /// Starts a proxy, with what `portico envoy bootstrap` prints.
    fn proxy(&self, fleet: String) -> anyhow::Result<Proxy> {
        let folder = self.folder.as_ref().context("the proxies were stopped")?.path();
        let number = self.running.len();
        let name = format!("envoy-{number}");
        let admin = self.block.free_port(u16::try_from(number).ok().and_then(|number| ADMIN.checked_add(number)).unwrap_or(0))?;
        let server = self.server.to_string().parse().map_err(|error: String| anyhow!(error))?;
        let arguments = BootstrapArguments {
            fleet: fleet.clone(),
            node_id: Some(name.clone()),
            region: None,
            zone: None,
            servers: vec![server],
            state_of_the_world: false,
            ca: None,
            server_name: None,
            certificate: None,
            key: None,
            token_file: None,
            admin,
            metrics: None,
            max_connections: 10_000,
            max_heap: None,
            output: BootstrapFormat::Json,
        };
        let (config, log) = (folder.join(format!("{name}.json")), folder.join(format!("{name}.log")));
        std::fs::write(&config, bootstrap(&arguments)?.to_string()).with_context(|| format!("cannot write {}", config.display()))?;
        let out = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = tied::command(&self.program.path);
        command.arg("-c").arg(&config).args(["--disable-hot-restart", "--concurrency", "1", "--drain-time-s", "1", "--log-level", "info"]);
        // Ctrl-C in a terminal is for the demo alone.
        command.process_group(0).kill_on_drop(true).stdin(Stdio::null());
        command.stdout(out.try_clone().context("cannot share the log")?).stderr(out);
        let child = command.spawn().with_context(|| format!("cannot run {}", self.program.path.display()))?;
        Ok(Proxy { fleet, admin, log, child })
    }

    /// Says which proxies run.
    pub fn show(&self) -> anyhow::Result<()> {
        line(styled(HEADING, "Proxies"))?;
        for Proxy { fleet, admin, log, child } in &self.running {
            let process = child.id().map(|id| format!("process {id}, ")).unwrap_or_default();
            line(format_args!("  Envoy {} of the fleet {fleet}  {process}log {}", self.program.version, log.display()))?;
            line(format_args!("    what it has: curl -s http://{admin}/config_dump"))?;
        }
        Ok(())
    }

    /// Comes back when a proxy ends by itself, with its last words.
    pub async fn ended(&mut self) -> anyhow::Error {
        if self.running.is_empty() {
            return pending().await;
        }
        let waits = self.running.iter_mut().map(|Proxy { child, log, .. }| {
            Box::pin(async move {
                let status = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
                let words = std::fs::read(&*log).unwrap_or_default();
                let words = String::from_utf8_lossy(&words);
                let lines: Vec<&str> = words.lines().collect();
                let tail = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default().join("\n");
                anyhow!("Envoy ended ({status}); its log ends with\n{tail}")
            })
        });
        futures::future::select_all(waits).await.0
    }

    /// Ends all proxies. With `keep`, returns where their logs stay; without, nothing stays.
    pub async fn stop(mut self, keep: bool) -> Option<PathBuf> {
        for proxy in &mut self.running {
            // One that has ended already cannot be killed.
            let _ = proxy.child.kill().await;
        }
        let folder = self.folder.take()?;
        keep.then(|| folder.keep())
    }
}
