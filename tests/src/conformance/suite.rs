//! The suite as a process.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::expectation::Expectation;
use super::outcome::{Outcome, Reader};
use crate::logs;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// What must come about, in seconds.
    waits: u32,
    /// The deletion of an object, in seconds.
    deletion: u32,
    /// The pods and Gateways that all tests share, in seconds.
    start: u32,
    /// All of the suite, in Go's words.
    suite: &'static str,
    /// Until nothing of the run is left.
    pub emptied: Duration,
}

impl Patience {
    /// Far above what it takes where the cloud is quick; what is known to fail should not take the suite's own minutes.
    pub const FAST: Self = Self { waits: 30, deletion: 30, start: 60, suite: "60m", emptied: Duration::from_secs(60) };
    /// For a cloud that takes its time or throttles. AWS's own controller is given eight minutes.
    pub const SLOW: Self = Self { waits: 480, deletion: 240, start: 480, suite: "180m", emptied: Duration::from_secs(240) };
}

/// For how long a request may be answered wrongly, in seconds: the only wait that has a limit for whoever claims conformance (30 s).
const CONSISTENCY: u32 = 30;
/// How many of the tests that may run at the same time do so: they mostly wait.
const PARALLEL: &str = "4";

/// The suite's waits, all of which an implementation may choose.
const WAITS: [&str; 14] = [
    "GatewayMustHaveAddress",
    "GatewayMustHaveCondition",
    "GatewayStatusMustHaveListeners",
    "GatewayListenersMustHaveConditions",
    "ListenerSetMustHaveCondition",
    "ListenerSetListenersMustHaveConditions",
    "HTTPRouteMustNotHaveParents",
    "HTTPRouteMustHaveCondition",
    "TLSRouteMustHaveCondition",
    "TCPRouteMustHaveCondition",
    "UDPRouteMustHaveCondition",
    "RouteMustHaveParents",
    "LatestObservedGenerationSet",
    "DefaultTestTimeout",
];

/// One run of the suite.
pub struct Run<'a> {
    /// The suite's program.
    pub program: &'a Path,
    /// The GatewayClass that it judges.
    pub class: &'a str,
    /// The profiles that it judges by.
    pub profiles: &'a [String],
    /// The only test to run.
    pub test: Option<&'a str>,
    /// An address that a Gateway may ask for, and one that it may not, if its class has a choice.
    pub addresses: Option<(Ipv4Addr, Ipv4Addr)>,
    /// Whether tests that could run at the same time run one after the other.
    pub sequential: bool,
    /// What is skipped, and what is not waited for.
    pub expectation: &'a Expectation,
    /// How long things may take.
    pub patience: &'a Patience,
    /// Where the report goes.
    pub report: &'a Path,
    /// Where the suite's output goes.
    pub log: &'a Path,
}

impl Run<'_> {
    /// Runs the suite to its end; `each` sees every outcome as it comes.
    pub async fn go(&self, mut each: impl FnMut(&Outcome)) -> Result<Vec<Outcome>> {
        let mut log = tokio::fs::File::create(self.log).await.with_context(|| format!("cannot make {}", self.log.display()))?;
        let errors = log.try_clone().await.context("cannot share the log")?.into_std().await;
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("the suite has no output")?).split(b'\n');
        let (mut reader, mut outcomes) = (Reader::default(), Vec::new());
        while let Some(line) = lines.next_segment().await.context("cannot read the suite's output")? {
            log.write_all(&line).await.context("cannot write the log")?;
            log.write_all(b"\n").await.context("cannot write the log")?;
            if let Some(outcome) = reader.read(&String::from_utf8_lossy(&line)) {
                each(&outcome);
                outcomes.push(outcome);
            }
        }
        log.flush().await.context("cannot write the log")?;
        let status = child.wait().await.context("the suite did not end")?;
        let failed = outcomes.iter().any(|outcome| outcome.verdict == super::outcome::Verdict::Failed);
        if outcomes.is_empty() || (!status.success() && !failed) {
            bail!("the suite itself failed ({status}); the end of {}:\n{}", self.log.display(), logs::tail(self.log, 40));
        }
        self.annotate()?;
        Ok(outcomes)
    }

    fn command(&self) -> Command {
        let patience = self.patience;
        let mut waits: Vec<String> = WAITS.iter().map(|name| format!("{name}:{}", patience.waits)).collect();
        waits.extend([
            format!("DeleteTimeout:{}", patience.deletion),
            format!("NamespacesMustBeReady:{}", patience.start),
            format!("MaxTimeToConsistency:{CONSISTENCY}"),
        ]);
        let names = |list: &std::collections::BTreeMap<String, String>| list.keys().cloned().collect::<Vec<_>>().join(",");
        let mut command = Command::new(self.program);
        command.args(["-test.v", "-test.run=^TestConformance$", &format!("-test.timeout={}", patience.suite)]);
        command.arg(format!("-test.parallel={PARALLEL}"));
        command.arg(format!("-disable-parallel-tests={}", self.sequential));
        command.arg(format!("-gateway-class={}", self.class));
        command.arg(format!("-conformance-profiles={}", self.profiles.join(",")));
        command.arg(format!("-timeout-config-overrides={}", waits.join(";")));
        command.arg(format!("-report-output={}", self.report.display()));
        command.args(["-organization=portico", "-project=portico", "-url=https://portico.dev", "-contact=portico.dev"]);
        command.arg(format!("-version=v{}", env!("CARGO_PKG_VERSION")));
        if let Some((usable, unusable)) = self.addresses {
            command.args([format!("-usable-address={usable}"), format!("-unusable-address={unusable}")]);
        }
        if !self.expectation.not_awaited.is_empty() {
            command.arg(format!("-lab-not-awaited={}", names(&self.expectation.not_awaited)));
        }
        match self.test {
            Some(test) => command.arg(format!("-run-test={test}")),
            None => command.arg(format!("-skip-tests={}", names(&self.expectation.skipped))),
        };
        command
    }

    /// Says in the report, which has no field for it, why a test was skipped.
    fn annotate(&self) -> Result<()> {
        let report = std::fs::read_to_string(self.report).with_context(|| format!("no report at {}", self.report.display()))?;
        let list = |word: &str, list: &std::collections::BTreeMap<String, String>| {
            list.iter().map(|(name, reason)| format!("# {word} {name}: {reason}\n")).collect::<String>()
        };
        let skipped = if self.test.is_none() { list("Skipped", &self.expectation.skipped) } else { String::new() };
        let text = format!("{skipped}{}{report}", list("Not awaited: the base Gateway", &self.expectation.not_awaited));
        std::fs::write(self.report, text).with_context(|| format!("cannot write {}", self.report.display()))
    }
}
