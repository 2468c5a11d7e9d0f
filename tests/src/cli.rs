//! The lab's command line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::lab::{Lab, Options};
use crate::netns::Privilege;
use crate::{
    assets, cloud, conformance, doctor, e2e, exec, fleet, init, judge, kubelet, peer, program, progress, scale, session, supervisor, test,
};

/// A real Kubernetes control plane, pods as processes and the embedded cloud, in one network namespace without a way out.
///
/// No root and no containers needed. Nothing is left behind. What is built once is cached under ~/.cache/portico
/// (PORTICO_CACHE); KUBEBUILDER_ASSETS may name a folder with control-plane programs instead.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what this machine lacks, with the command that mends it.
    Doctor,
    /// Run a lab until Ctrl-C, and print how to reach it.
    Up(Up),
    /// Run a command inside a running lab: its network, DNS, KUBECONFIG, AWS_ENDPOINT_URL, and kubectl on PATH.
    Exec(Exec),
    /// Start a lab, run a command inside, stop the lab; the exit code is the command's.
    Run(Run),
    /// Run every test of the project; closes with the line `N passed, N failed`.
    Test(test::Options),
    /// Run the end-to-end tests inside the lab that this command runs in (`cargo lab run -- cargo lab e2e`).
    E2e(e2e::Options),
    /// Send random requests to random routes, and compare each answer with what the Gateway API means.
    ///
    /// Runs in a lab of its own, or in the lab that it is started in.
    Judge(judge::Options),
    /// Measure what starts and single changes cost with many Gateways, and that a change costs the same however many there are.
    ///
    /// Runs in a lab of its own. Takes minutes; not part of the tests.
    Scale(scale::Options),
    /// Run AWS Load Balancer Controller, unmodified, against the embedded cloud: it must converge, go quiet and clean up.
    ///
    /// Runs in a lab of its own.
    Peer,
    /// Compare the embedded cloud with moto: what each answers, and how many calls per second it carries out.
    CloudCompare(cloud::moto::Options),
    /// Measure the requests per CPU-second of the embedded cloud beside Envoy's; builds a release of the cloud. Not part of the tests.
    CloudBench(cloud::envoy::Options),
    /// Run the official Gateway API conformance suite against a class, in a lab of its own.
    Conformance(conformance::Options),
    /// Run the conformance suite inside the lab that this command runs in.
    #[command(hide = true)]
    ConformanceInside(conformance::Request),
    /// Run a command beside a fresh embedded cloud, inside a lab.
    #[command(hide = true)]
    BesideCloud {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        argv: Vec<String>,
    },
    /// The first process of a lab.
    #[command(hide = true)]
    Init { name: String },
    /// The process that runs a lab from the inside.
    #[command(hide = true)]
    Supervise { name: String },
    /// The first process of a pod.
    #[command(hide = true, name = kubelet::INIT_COMMAND)]
    PodInit,
    /// The first moments of a container's process.
    #[command(hide = true, name = kubelet::CONTAINER_COMMAND)]
    PodContainer,
}

/// What a lab holds besides the control plane.
#[derive(Debug, Clone, Args)]
struct Up {
    /// The operator that runs in it.
    #[arg(long, value_enum, default_value_t = Choice::Portico)]
    operator: Choice,
    /// The embedded cloud.
    #[arg(long, value_enum, default_value_t = Choice::Portico)]
    cloud: Choice,
    /// Let things take their time in the embedded cloud: a factor on AWS's own times (1: as on AWS, 0.1: a tenth) [default: next to nothing].
    #[arg(long, value_name = "FACTOR")]
    cloud_times: Option<f64>,
    /// A fleet of Envoy proxies, for the class portico-envoy.
    #[arg(long)]
    fleet: bool,
    /// The Gateway API's CRDs of the experimental channel instead of the standard one.
    #[arg(long)]
    experimental: bool,
    /// The lab's name, where several run at once.
    #[arg(long, default_value = "lab")]
    name: String,
}

#[derive(Debug, Args)]
struct Exec {
    /// The lab's name, where several run at once.
    #[arg(long)]
    name: Option<String>,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    argv: Vec<String>,
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    up: Up,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    argv: Vec<String>,
}

/// The exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// Ours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// The project's own.
    Portico,
    /// None: bring another, or do without.
    None,
}

impl Up {
    fn options(&self) -> Options {
        Options {
            name: self.name.clone(),
            cloud: self.cloud == Choice::Portico,
            cloud_times: self.cloud_times,
            operator: self.operator == Choice::Portico,
            fleet: self.fleet,
            experimental: self.experimental,
            logs: None,
        }
    }
}

/// Parses the command line, does what it says and returns the exit code.
pub fn run() -> Result<ExitCode> {
    let code = match Cli::parse().command {
        Command::Doctor => doctor::run(),
        Command::Up(arguments) => outside(up(&arguments.options())),
        Command::Exec(arguments) => outside(exec(&arguments)),
        Command::Run(arguments) => outside(run_in_new(&arguments)),
        Command::Test(options) => outside(run_tests(&options)),
        Command::E2e(options) => e2e::run(&options),
        Command::Judge(options) => {
            let held: &[&str] = if options.class == judge::Class::PorticoEnvoy { &["--fleet"] } else { &[] };
            inside("judge", "portico", held, || told(assets::portico()?), || judge::run(&options))
        }
        Command::Scale(options) => {
            let prepare = || {
                let mut prepared = told(assets::portico_that_counts()?)?;
                if options.class == judge::Class::PorticoEnvoy {
                    prepared.push((scale::ENVOY_VARIABLE, assets::envoy()?));
                }
                Ok(prepared)
            };
            inside("scale", "none", &[], prepare, || scale::run(&options))
        }
        Command::Peer => inside("peer", "none", &[], || Ok(peer::environment(assets::peer()?)), peer::run),
        Command::CloudCompare(options) => outside(cloud::moto::run(&options)),
        Command::CloudBench(options) => cloud::envoy::run(&options),
        Command::Conformance(options) => outside(conform(&options)),
        Command::ConformanceInside(request) => outside(conformance::run_inside(&request)),
        Command::BesideCloud { argv } => outside(test::beside_cloud(&argv)),
        Command::Init { name } => init::run(&name),
        Command::Supervise { name } => supervisor::run(&name),
        Command::PodInit => return Ok(kubelet::run_pod_init()),
        Command::PodContainer => return Ok(kubelet::run_pod_container()),
    };
    code.map(ExitCode::from)
}

/// Runs outside the lab: on one thread, since a child's death signal comes when the thread that made it ends.
fn outside(work: impl Future<Output = Result<u8>>) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(work)
}

/// Runs the tests. An interruption ends them and what they started: what runs in the lab goes with it.
async fn run_tests(options: &test::Options) -> Result<u8> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    tokio::select! {
        code = test::run(options) => return code,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    progress::note("interrupted");
    abandoned(&test::lab_name()).await
}

async fn up(options: &Options) -> Result<u8> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
    let mut interrupted = async || {
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} _ = hangup.recv() => {} }
    };
    let mut lab = tokio::select! { lab = Lab::up(options) => lab?, () = interrupted() => return abandoned(&options.name).await };
    describe(&lab);
    let failure = tokio::select! { reason = lab.failure() => Some(reason), () = interrupted() => None };
    progress::note("stopping");
    let stopped = tokio::select! { stopped = lab.down() => stopped, () = interrupted() => return Ok(INTERRUPTED) };
    stopped?;
    match failure {
        Some(reason) => Err(anyhow::anyhow!(reason)),
        None => Ok(0),
    }
}

/// After a lab was given up: it was killed as its handle was dropped; waits until it is gone.
async fn abandoned(lab: &str) -> Result<u8> {
    for _ in 0..100 {
        if session::find(Some(lab)).is_err() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(INTERRUPTED)
}

/// Prints how to reach a lab that is up.
fn describe(lab: &Lab) {
    let session = &lab.session;
    let name = if session.name == "lab" { String::new() } else { format!(" --name {}", session.name) };
    anstream::println!("The lab is ready.");
    anstream::println!("  API server   {}", session.api_server);
    if let Some(cloud) = &session.cloud {
        anstream::println!("  cloud        {cloud}");
    }
    anstream::println!("  operator     {}", if session.operator { "portico" } else { "none" });
    if session.fleet.is_some() {
        let admin: Vec<String> = fleet::proxies().iter().map(|proxy| format!("http://{}", proxy.admin.address())).collect();
        anstream::println!("  fleet        Envoy, with admin interfaces at {}", admin.join(" and "));
    }
    anstream::println!("  logs         {}", session.logs.display());
    anstream::println!("It has a network of its own. In another terminal, for example:");
    anstream::println!("  cargo lab exec{name} -- kubectl get nodes,gatewayclasses");
    anstream::println!("  cargo lab exec{name} -- bash");
    anstream::println!("Ctrl-C stops it and leaves nothing behind.");
}

async fn exec(arguments: &Exec) -> Result<u8> {
    let privilege = Privilege::detect()?;
    let running = session::find(arguments.name.as_deref())?;
    let session = running.session()?;
    exec::run(exec::command(privilege, &running, &session, &arguments.argv)?).await
}

/// What a command in a lab of its own is told of what was prepared outside: inside, there is no way to what cargo or go may ask for.
type Prepared = Vec<(&'static str, PathBuf)>;

fn told(portico: PathBuf) -> Result<Prepared> {
    Ok(vec![(assets::PROGRAM_VARIABLE, portico)])
}

/// Does the work if this process runs in a lab already, else runs the same command line in a lab of its own, which holds that besides.
fn inside(
    name: &str,
    operator: &str,
    held: &[&str],
    prepare: impl FnOnce() -> Result<Prepared>,
    work: impl FnOnce() -> Result<u8>,
) -> Result<u8> {
    if session::Session::current().is_ok() {
        return work();
    }
    let mut command = tokio::process::Command::new(program::path()?);
    command.args(["run", "--operator", operator, "--name", &format!("{name}-{}", std::process::id())]);
    command.args(held).arg("--");
    command.arg(program::path_inside()).args(std::env::args_os().skip(1)).envs(prepare()?);
    outside(exec::run(command))
}

async fn run_in_new(arguments: &Run) -> Result<u8> {
    in_new(&arguments.up.options(), async |lab| exec::run(lab.command(&arguments.argv)?).await).await
}

async fn conform(options: &conformance::Options) -> Result<u8> {
    // A first build of the suite takes minutes, which no lab waits for.
    conformance::prepare()?;
    in_new(&options.lab(), async |lab| conformance::run(options, lab).await).await
}

/// Starts a lab, works in it and stops it.
async fn in_new(options: &Options, work: impl AsyncFnOnce(&Lab) -> Result<u8>) -> Result<u8> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let lab = tokio::select! {
        lab = Lab::up(options) => lab?,
        _ = interrupt.recv() => return abandoned(&options.name).await,
        _ = terminate.recv() => return abandoned(&options.name).await,
    };
    let code = work(&lab).await;
    lab.down().await?;
    code
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_keeps_its_own_flags() {
        let cli = Cli::try_parse_from(["lab", "run", "--operator", "none", "--", "kubectl", "get", "-A", "--", "x"]).unwrap();
        let Command::Run(run) = cli.command else { panic!("not run") };
        assert_eq!(run.argv, ["kubectl", "get", "-A", "--", "x"]);
        assert_eq!((run.up.operator, run.up.cloud), (Choice::None, Choice::Portico));
    }
}
