//! `lab test`: every test of the project, one step after the other; the last line sums them up.

mod interrupt;
pub mod summary;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::assets::{self, workspace_dir};
use crate::lab::{self, Lab};
use crate::progress::{self, bad, verdict, verdict_of};
use crate::{cloud, conformance, e2e, exec, fleet, logs, peer, program};
use summary::Count;

/// Arguments of `lab test`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Also what takes longer than CI may: clippy, licences and sources of the dependencies, all cases of tests that otherwise take a sample, the embedded
    /// cloud beside moto, the conformance suite in a slow cloud that throttles, the class of the Envoy fleet with the CRDs of the experimental channel, and AWS
    /// Load Balancer Controller against the embedded cloud.
    #[arg(long)]
    full: bool,
    /// Only this step; may be given several times.
    #[arg(long, value_enum, value_name = "STEP")]
    only: Vec<Step>,
    /// Only tests whose name contains this; steps without named tests are left out.
    filter: Option<String>,
}

/// The steps, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Step {
    /// cargo fmt --check.
    Format,
    /// cargo clippy (with --full).
    Clippy,
    /// cargo deny (with --full).
    Deny,
    /// cargo test: unit tests, goldens, properties, the crate graph.
    Unit,
    /// cargo test: the tests that need an Envoy, with one.
    Envoy,
    /// That an interrupted lab leaves nothing behind.
    Interrupt,
    /// boto3 against a cloud of its own.
    Boto3,
    /// The embedded cloud beside moto: the rows of the boto3 tests (with --full).
    Moto,
    /// The same: calls per second (with --full). Builds the cloud as a release is built.
    Churn,
    /// The end-to-end tests.
    E2e,
    /// The official conformance suite: what must pass is committed.
    Conformance,
    /// The suite, all profiles of gateways, against the class of the Envoy fleet: what must pass is committed.
    EnvoyConformance,
    /// The suite against application load balancers in a slow cloud that throttles (with --full).
    SlowConformance,
    /// The suite and the end-to-end tests against the class of the Envoy fleet with the CRDs of the experimental channel (with --full).
    Experimental,
    /// AWS Load Balancer Controller against the embedded cloud (with --full).
    Peer,
}

impl Options {
    fn wants(&self, step: Step) -> bool {
        let named = matches!(step, Step::Unit | Step::Boto3 | Step::E2e);
        let long =
            matches!(step, Step::Clippy | Step::Deny | Step::Moto | Step::Churn | Step::SlowConformance | Step::Experimental | Step::Peer);
        if self.only.is_empty() { (named || self.filter.is_none()) && (!long || self.full) } else { self.only.contains(&step) }
    }
}

/// Runs every test; the exit code is 1 if any failed.
pub async fn run(options: &Options) -> Result<u8> {
    let logs = logs::create("test")?;
    // cargo may replace this program's file while its tests run.
    let _kept = program::keep(&logs)?;
    let workspace = workspace_dir()?;
    let mut total = Count::default();

    if options.wants(Step::Format) {
        let mut fmt = cargo(&workspace);
        fmt.args(["fmt", "--all", "--check"]);
        total += whole("formatting", fmt, &logs).await?;
    }
    if options.wants(Step::Clippy) {
        let mut clippy = cargo(&workspace);
        clippy.args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
        total += whole("clippy", clippy, &logs).await?;
    }
    if options.wants(Step::Deny) {
        let mut deny = cargo(&workspace);
        deny.args(["deny", "check", "bans", "licenses", "sources"]);
        total += if exec::on_path("cargo-deny") {
            whole("licences and sources", deny, &logs).await?
        } else {
            progress::note("licences and sources: left out, cargo-deny is not installed (cargo install --locked cargo-deny)");
            Count::default()
        };
    }
    if options.wants(Step::Unit) {
        let mut unit = cargo(&workspace);
        unit.args(["test", "--workspace", "--no-fail-fast"]).args(&options.filter);
        if options.full {
            // Tests that take a sample of their cases take all of them.
            unit.env("PORTICO_TEST_FULL", "1");
        }
        total += counted("unit tests and goldens", unit, &logs, summary::cargo).await?;
    }
    if options.wants(Step::Envoy) {
        let mut envoy = cargo(&workspace);
        envoy.args(["test", "--workspace", "--test", "main", "--no-fail-fast", "--", "--ignored", "--test-threads", "1"]);
        envoy.env("PORTICO_ENVOY", assets::envoy()?);
        total += counted("tests with an Envoy", envoy, &logs, summary::cargo).await?;
    }
    let in_labs = [Step::Interrupt, Step::Boto3, Step::E2e, Step::Conformance, Step::EnvoyConformance, Step::SlowConformance];
    if in_labs.into_iter().chain([Step::Experimental, Step::Peer]).any(|step| options.wants(step)) {
        // A first build of the control plane takes minutes, which no step below waits for.
        assets::prepare()?;
    }
    if [Step::Conformance, Step::EnvoyConformance, Step::SlowConformance, Step::Experimental].into_iter().any(|step| options.wants(step)) {
        conformance::prepare()?;
    }
    if options.wants(Step::Interrupt) {
        total += interrupt::run(&logs).await?;
    }
    if [Step::Boto3, Step::E2e, Step::Conformance, Step::EnvoyConformance].into_iter().any(|step| options.wants(step)) {
        total += in_a_lab(options, &workspace, &logs).await?;
    }
    if options.wants(Step::Moto) {
        total += whole("the embedded cloud beside moto", cloud::moto::rows()?, &logs).await?;
    }
    if options.wants(Step::Churn) {
        total += whole("calls per second beside moto", cloud::moto::churn()?, &logs).await?;
    }
    if options.wants(Step::SlowConformance) {
        total += slow_conformance(&logs).await?;
    }
    if options.wants(Step::Experimental) {
        total += experimental(&logs).await?;
    }
    if options.wants(Step::Peer) {
        total += peer_in_a_lab(&logs).await?;
    }

    if total.failed > 0 {
        anstream::println!("details: {}", logs.display());
    }
    anstream::println!("{} passed, {} failed", total.passed, total.failed);
    Ok(u8::from(total.failed > 0))
}

/// Name of the lab that this process tests in.
pub fn lab_name() -> String {
    lab_name_of(std::process::id())
}

/// Name of the lab that a `lab test` with this process id tests in.
fn lab_name_of(pid: impl std::fmt::Display) -> String {
    format!("test-{pid}")
}

/// The tests that need a lab: boto3 against a cloud of its own, and the end-to-end tests.
async fn in_a_lab(options: &Options, workspace: &Path, logs: &Path) -> Result<Count> {
    let boto3 = workspace.join("localstack/tests/boto3");
    let requirements = boto3.join("requirements.txt");
    let filter = options.filter.as_deref();
    let operator = [Step::E2e, Step::Conformance, Step::EnvoyConformance].into_iter().any(|step| options.wants(step));
    // A lab for one step holds no more than that step needs.
    let fleet = options.wants(Step::E2e) || options.wants(Step::EnvoyConformance);
    let own = logs.join("lab");
    let setup =
        lab::Options { name: lab_name(), cloud: true, cloud_times: None, operator, fleet, experimental: false, logs: Some(own.clone()) };
    let Some(lab) = up(&setup, &own).await? else { return Ok(Count::failed()) };
    let mut total = Count::default();
    match assets::python(&requirements) {
        _ if !options.wants(Step::Boto3) => {}
        Ok(python) => total += boto3_tests(&lab, &python, &boto3, filter, logs).await?,
        Err(error) => {
            bad(&format!("boto3 tests: {error:#}"));
            total += Count::failed();
        }
    }
    if options.wants(Step::E2e) {
        let mut argv = vec![program::path_inside().display().to_string(), "e2e".to_owned()];
        argv.extend(options.full.then(|| "--full".to_owned()));
        argv.extend(filter.map(str::to_owned));
        let mut command = lab.command(&argv)?;
        command.env(e2e::DETAILS_VARIABLE, logs).env(assets::PROGRAM_VARIABLE, assets::portico()?);
        total += shown("end-to-end tests", command, &logs.join("e2e.log")).await?;
    }
    for (step, class) in [(Step::Conformance, conformance::ALB), (Step::EnvoyConformance, fleet::CLASS)] {
        if options.wants(step) {
            let mut command = conformance::Request::floor(class, filter).command(&lab)?;
            command.env(e2e::DETAILS_VARIABLE, logs);
            let log = logs.join(format!("conformance-{class}-summary.log"));
            total += shown(&format!("conformance suite against {class}"), command, &log).await?;
        }
    }
    lab.down().await?;
    Ok(total)
}

/// Starts a lab that logs there; none if it does not start, which is told.
async fn up(setup: &lab::Options, logs: &Path) -> Result<Option<Lab>> {
    std::fs::create_dir_all(logs).with_context(|| format!("cannot make {}", logs.display()))?;
    Ok(Lab::up(setup).await.inspect_err(|error| bad(&format!("{error:#}"))).ok())
}

/// The conformance suite in a lab of its own, whose cloud is slow and throttles.
async fn slow_conformance(logs: &Path) -> Result<Count> {
    let request = conformance::Request::slow();
    let own = logs.join("slow");
    let setup = request.lab(&lab_name(), false, Some(own.clone()));
    let Some(lab) = up(&setup, &own).await? else { return Ok(Count::failed()) };
    let mut command = request.command(&lab)?;
    command.env(e2e::DETAILS_VARIABLE, &own);
    let count = shown("conformance suite in a slow cloud", command, &own.join("conformance-summary.log")).await?;
    lab.down().await?;
    Ok(count)
}

/// What the CRDs of the experimental channel add, in a lab of its own, and that the suite passes with them as well.
async fn experimental(logs: &Path) -> Result<Count> {
    let own = logs.join("experimental");
    let request = conformance::Request::floor(fleet::CLASS, None);
    let Some(lab) = up(&request.lab(&lab_name(), true, Some(own.clone())), &own).await? else { return Ok(Count::failed()) };
    let argv = [program::path_inside().display().to_string(), "e2e".to_owned(), "experimental::".to_owned()];
    let mut command = lab.command(&argv)?;
    command.env(e2e::DETAILS_VARIABLE, &own);
    let mut count = shown("end-to-end tests of the experimental channel", command, &own.join("e2e.log")).await?;
    let mut command = request.command(&lab)?;
    command.env(e2e::DETAILS_VARIABLE, &own);
    count += shown("conformance suite with the experimental channel", command, &own.join("conformance-summary.log")).await?;
    lab.down().await?;
    Ok(count)
}

/// AWS Load Balancer Controller in a lab of its own.
async fn peer_in_a_lab(logs: &Path) -> Result<Count> {
    let prepared = peer::environment(assets::peer()?);
    let own = logs.join("peer");
    let setup = lab::Options {
        name: lab_name(),
        cloud: true,
        cloud_times: None,
        operator: false,
        fleet: false,
        experimental: false,
        logs: Some(own.clone()),
    };
    let Some(lab) = up(&setup, &own).await? else { return Ok(Count::failed()) };
    let mut command = lab.command(&[program::path_inside().display().to_string(), "peer".to_owned()])?;
    command.envs(prepared);
    let count = shown("AWS Load Balancer Controller", command, &own.join("peer-summary.log")).await?;
    lab.down().await?;
    Ok(count)
}

/// boto3 against a fresh cloud beside the lab's own.
async fn boto3_tests(lab: &Lab, python: &Path, folder: &Path, filter: Option<&str>, logs: &Path) -> Result<Count> {
    let mut argv = vec![program::path_inside().display().to_string(), "beside-cloud".to_owned(), "--".to_owned()];
    argv.extend([python.display().to_string(), "-m".to_owned(), "pytest".to_owned(), "-q".to_owned(), "-p".to_owned()]);
    argv.extend(["no:cacheprovider".to_owned(), folder.display().to_string()]);
    if let Some(filter) = filter {
        argv.extend(["-k".to_owned(), filter.to_owned()]);
    }
    let mut command = lab.command(&argv)?;
    command.env(assets::PROGRAM_VARIABLE, assets::portico()?).env("PYTHONDONTWRITEBYTECODE", "1").env("LAB_LOGS", logs);
    counted("boto3 tests", command, logs, summary::pytest).await
}

/// Runs a command beside a fresh cloud that ends with it (`lab beside-cloud -- CMD`, inside a lab).
pub async fn beside_cloud(argv: &[String]) -> Result<u8> {
    let logs = std::env::var_os("LAB_LOGS").map_or_else(std::env::temp_dir, PathBuf::from);
    let (ends, _ended) = tokio::sync::mpsc::unbounded_channel();
    let daemon = cloud::start_beside("fresh-cloud", &assets::portico()?, &[], &logs, &ends).await?;
    let (program, arguments) = argv.split_first().context("no command")?;
    let mut command = Command::new(program);
    command.args(arguments).envs(cloud::environment(&format!("http://{}", cloud::BESIDE)));
    let code = exec::run(command).await;
    daemon.stop(std::time::Duration::from_secs(5)).await;
    code
}

fn cargo(workspace: &Path) -> Command {
    let mut command = Command::new(assets::cargo());
    command.current_dir(workspace);
    command
}

/// Runs a command that is one test by itself.
async fn whole(name: &str, command: Command, logs: &Path) -> Result<Count> {
    let step = progress::Step::start(name, "");
    let (well, log) = logged(name, command, logs).await?;
    if well {
        step.done();
        Ok(Count::passed())
    } else {
        drop(step);
        anstream::eprint!("{}", logs::tail(&log, 20));
        Ok(Count::failed())
    }
}

/// Runs a command that counts its own tests, and reads its summary.
async fn counted(name: &str, command: Command, logs: &Path, read: fn(&str) -> Count) -> Result<Count> {
    let step = progress::Step::start(name, "");
    let (well, log) = logged(name, command, logs).await?;
    let text = std::fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let mut count = read(&text);
    if !well && count.failed == 0 {
        // It did not come to its tests (it did not compile, say): that is a failure too.
        count.failed = 1;
    }
    if count.failed == 0 {
        step.done_with(&format!("{} passed", count.passed));
    } else {
        drop(step);
        for line in summary::failures(&text).iter().take(30) {
            anstream::eprintln!("    {line}");
        }
        if summary::failures(&text).is_empty() {
            anstream::eprint!("{}", logs::tail(&log, 20));
        }
    }
    Ok(count)
}

/// Runs a command whose own lines are worth seeing, and reads its last one.
async fn shown(name: &str, mut command: Command, log: &Path) -> Result<Count> {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let mut child =
        command.stdout(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true).spawn().with_context(|| format!("cannot run the {name}"))?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let mut file = tokio::fs::File::create(log).await.with_context(|| format!("cannot make {}", log.display()))?;
    let mut last = String::new();
    while let Some(line) = lines.next_line().await.context("cannot read the tests' output")? {
        file.write_all(format!("{line}\n").as_bytes()).await.context("cannot write the log")?;
        match (summary::own(&line), verdict_of(&line)) {
            (Some(_), _) => last = line,
            (None, Some((well, text))) => verdict(well, text),
            (None, None) => anstream::println!("{line}"),
        }
    }
    file.flush().await.context("cannot write the log")?;
    let status = child.wait().await.context("the tests did not end")?;
    let mut count = summary::own(&last).unwrap_or_default();
    if !status.success() && count.failed == 0 {
        count.failed = 1;
    }
    Ok(count)
}

/// Runs a command with its output in a log; whether it ended well, and the log.
async fn logged(name: &str, mut command: Command, logs: &Path) -> Result<(bool, PathBuf)> {
    let log = logs.join(format!("{}.log", name.replace(' ', "-")));
    let file = std::fs::File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
    let errors = file.try_clone().context("cannot share the log")?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .kill_on_drop(true)
        .status()
        .await
        .with_context(|| format!("cannot run the {name}"))?;
    Ok((status.success(), log))
}
