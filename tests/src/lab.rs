//! A lab as whoever started it holds it: up, ready, commands in it, down.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::fleet::Programs;
use crate::netns::Privilege;
use crate::session::{self, Session};
use crate::supervisor::{Event, Setup};
use crate::{assets, logs, program, progress};

/// How long an orderly stop may take in all before everything is killed.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// What a lab is to hold.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name, by which `lab exec` finds it.
    pub name: String,
    /// Whether the embedded cloud runs.
    pub cloud: bool,
    /// How long things take in the cloud, as a factor on AWS's own times; next to nothing if nothing is said.
    pub cloud_times: Option<f64>,
    /// Whether our operator runs.
    pub operator: bool,
    /// Whether a fleet of Envoy proxies runs.
    pub fleet: bool,
    /// Whether the Gateway API's CRDs are those of the experimental channel.
    pub experimental: bool,
    /// Where it logs; a new folder of the cache if nothing else is said.
    pub logs: Option<PathBuf>,
}

/// A running lab. It stops when this value is gone, also when this process is killed: the lifeline closes.
pub struct Lab {
    /// What it says of itself.
    pub session: Session,
    privilege: Privilege,
    unshare: Child,
    /// Closing it is what stops the lab.
    lifeline: Option<ChildStdin>,
    events: Lines<BufReader<ChildStdout>>,
}

impl Lab {
    /// Prepares what a lab needs, starts one and waits until it is ready.
    pub async fn up(options: &Options) -> Result<Self> {
        let privilege = Privilege::detect()?;
        if session::running().iter().any(|lab| lab.name == options.name) {
            bail!("a lab named {} is running already: stop it, or choose another name by --name", options.name);
        }
        let mut assets = assets::prepare()?;
        if options.experimental {
            assets.gateway_crds.set_file_name("experimental");
        }
        let portico = if options.cloud || options.operator || options.fleet { Some(assets::portico()?) } else { None };
        let fleet = match &portico {
            Some(portico) if options.fleet => Some(Programs { envoy: assets::envoy()?, portico: portico.clone() }),
            _ => None,
        };
        let logs = match &options.logs {
            Some(logs) => logs.clone(),
            None => logs::create("lab")?,
        };
        let Options { cloud, cloud_times, operator, experimental, .. } = *options;
        let setup = Setup { assets, portico, cloud, cloud_times, operator, experimental, fleet, logs };
        Self::start(options, privilege, &setup).await
    }

    async fn start(options: &Options, privilege: Privilege, setup: &Setup) -> Result<Self> {
        let own = program::path()?;
        let mut command = Command::from(privilege.unshare());
        let mut unshare = command
            .arg(own)
            .args(["init", &options.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A Ctrl-C in the terminal is for us alone; what runs inside is stopped in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot run unshare")?;
        let mut lifeline = unshare.stdin.take().context("the lab has no lifeline")?;
        let mut line = serde_json::to_string(setup)?;
        line.push('\n');
        lifeline.write_all(line.as_bytes()).await.context("cannot tell the lab what to run")?;
        let stdout = unshare.stdout.take().context("the lab cannot tell us anything")?;
        let mut lab =
            Self { session: Session::default(), privilege, unshare, lifeline: Some(lifeline), events: BufReader::new(stdout).lines() };
        match lab.event().await {
            Some(Event::Ready(session)) => {
                lab.session = *session;
                Ok(lab)
            }
            failed => {
                lab.down().await?;
                let reason = match failed {
                    Some(Event::Failed(reason)) => reason,
                    _ => "it ended without saying why".to_owned(),
                };
                bail!("the lab did not start: {reason}\nIts logs are in {}", setup.logs.display())
            }
        }
    }

    async fn event(&mut self) -> Option<Event> {
        let line = self.events.next_line().await.ok()??;
        serde_json::from_str(&line).ok()
    }

    /// Waits until one of the lab's processes fails, and says why. Never ends while all is well.
    pub async fn failure(&mut self) -> String {
        match self.event().await {
            Some(Event::Failed(reason)) => reason,
            _ => "the lab ended".to_owned(),
        }
    }

    /// A command that runs inside.
    pub fn command(&self, argv: &[String]) -> Result<Command> {
        let running = session::find(Some(&self.session.name))?;
        crate::exec::command(self.privilege, &running, &self.session, argv)
    }

    /// Stops everything inside, in order, and waits until it is gone.
    pub async fn down(mut self) -> Result<()> {
        drop(self.lifeline.take());
        let ended: Option<ExitStatus> = tokio::time::timeout(STOP_WITHIN, self.unshare.wait()).await.ok().transpose().context("unshare")?;
        if ended.is_none() {
            progress::note(&format!("the lab did not stop within {STOP_WITHIN:?}: killing it"));
            self.unshare.kill().await.context("cannot kill the lab")?;
        }
        Ok(())
    }
}
