//! `lab conformance`: the official conformance suite of the Gateway API against a class, inside a lab.
//!
//! Features are what the class claims in `status.supportedFeatures`, nothing by hand. What is expected of a class is committed
//! in `tests/conformance/CLASS` ([`expectation`]).

mod census;
mod expectation;
mod outcome;
mod suite;
mod summary;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::Method;
use serde_json::Value;
use tokio::process::Command;

use crate::controlplane::Kubectl;
use crate::lab::{self, Lab};
use crate::progress::{human, note, verdict};
use crate::session::Session;
use crate::test::summary::Count;
use crate::{assets, client, cloud, e2e, exec, fleet, objects, program};
use census::Census;
use expectation::Expectation;
use suite::Patience;
use summary::Summary;

/// The class of application load balancers, of the lab's manifests.
pub const ALB: &str = "portico-alb";
/// All profiles of gateways; the others are of meshes.
const GATEWAY_PROFILES: [&str; 5] = ["GATEWAY-HTTP", "GATEWAY-GRPC", "GATEWAY-TLS", "GATEWAY-TCP", "GATEWAY-UDP"];

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub struct Request {
    /// The GatewayClass that is judged.
    #[arg(long, default_value = ALB)]
    class: String,
    /// The profiles that it is judged by; their core features count as claimed [default: all of gateways for portico-envoy, GATEWAY-HTTP otherwise].
    #[arg(long, value_name = "PROFILE", value_delimiter = ',')]
    profile: Vec<String>,
    /// Only this test, whether its features are claimed or not.
    #[arg(long, value_name = "TEST")]
    run: Option<String>,
    /// Where to write the ConformanceReport.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How often to run, on one control plane.
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// Let things take their time in the embedded cloud: a factor on AWS's own times (1: as on AWS, 0.1: a tenth) [default: next to nothing].
    #[arg(long, value_name = "FACTOR")]
    cloud_times: Option<f64>,
    /// The share of all calls to the embedded cloud that are throttled.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=90))]
    throttle: Option<u8>,
    /// One test after the other, also those that could run at the same time.
    #[arg(long)]
    sequential: bool,
    /// Leave out what is known to fail, and hold the rest to the committed list of what must pass.
    #[arg(long)]
    floor: bool,
}

/// Arguments of `lab conformance`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    request: Request,
    /// Install the Gateway API's CRDs of the experimental channel.
    #[arg(long)]
    experimental: bool,
    /// The lab's name, where several run at once.
    #[arg(long, default_value = "conformance")]
    name: String,
}

impl Options {
    /// The lab that the suite runs in.
    pub fn lab(&self) -> lab::Options {
        self.request.lab(&self.name, self.experimental, None)
    }
}

impl Request {
    /// What `lab test` asks: the floor of a class, or one of its tests.
    pub fn floor(class: &str, test: Option<&str>) -> Self {
        Self {
            class: class.to_owned(),
            profile: Vec::new(),
            run: test.map(str::to_owned),
            report: None,
            times: 1,
            cloud_times: None,
            throttle: None,
            sequential: false,
            floor: test.is_none(),
        }
    }

    /// What `lab test --full` asks besides: the same where things take a tenth of the time that they take on AWS, and a tenth of all calls is throttled.
    pub fn slow() -> Self {
        Self { cloud_times: Some(0.1), throttle: Some(10), ..Self::floor(ALB, None) }
    }

    /// A lab for this.
    pub fn lab(&self, name: &str, experimental: bool, logs: Option<PathBuf>) -> lab::Options {
        let (name, cloud_times, fleet) = (name.to_owned(), self.cloud_times, self.is_of_the_fleet());
        lab::Options { name, cloud: true, cloud_times, operator: true, fleet, experimental, logs }
    }

    /// Whether Envoy proxies serve the class, and not load balancers of the embedded cloud.
    fn is_of_the_fleet(&self) -> bool {
        self.class == fleet::CLASS
    }

    /// The profiles that the class is judged by.
    fn profiles(&self) -> Vec<String> {
        let all: &[&str] = if self.is_of_the_fleet() { &GATEWAY_PROFILES } else { &["GATEWAY-HTTP"] };
        if self.profile.is_empty() { all.iter().map(|&name| name.to_owned()).collect() } else { self.profile.clone() }
    }

    /// How long things may take.
    fn patience(&self) -> Patience {
        if self.cloud_times.is_some() || self.throttle.is_some() { Patience::SLOW } else { Patience::FAST }
    }

    /// The command that does this in a lab.
    pub fn command(&self, lab: &Lab) -> Result<Command> {
        let mut argv = vec![program::path_inside().display().to_string(), "conformance-inside".to_owned()];
        argv.extend(["--class".to_owned(), self.class.clone(), "--profile".to_owned(), self.profiles().join(",")]);
        argv.extend(["--times".to_owned(), self.times.to_string()]);
        if let Some(test) = &self.run {
            argv.extend(["--run".to_owned(), test.clone()]);
        }
        if let Some(report) = &self.report {
            argv.extend(["--report".to_owned(), std::path::absolute(report)?.display().to_string()]);
        }
        if let Some(factor) = self.cloud_times {
            argv.extend(["--cloud-times".to_owned(), factor.to_string()]);
        }
        if let Some(percent) = self.throttle {
            argv.extend(["--throttle".to_owned(), percent.to_string()]);
        }
        for (flag, given) in [("--floor", self.floor), ("--sequential", self.sequential)] {
            argv.extend(given.then(|| flag.to_owned()));
        }
        lab.command(&argv)
    }
}

/// Runs the suite in a lab that is up; the exit code is 1 if anything claimed failed.
pub async fn run(options: &Options, lab: &Lab) -> Result<u8> {
    let code = exec::run(options.request.command(lab)?).await?;
    if code != 0 {
        anstream::println!("details: {}", lab.session.logs.display());
    }
    Ok(code)
}

/// Builds the suite, before any lab waits for it.
pub fn prepare() -> Result<()> {
    assets::conformance().map(drop)
}

/// The part that runs in the lab that this process is in.
pub async fn run_inside(request: &Request) -> Result<u8> {
    let session = Session::current()?;
    let logs = std::env::var_os(e2e::DETAILS_VARIABLE).map_or_else(|| session.logs.clone(), PathBuf::from);
    let program = assets::conformance()?;
    let expectation = Expectation::of(&request.class, session.experimental)?;
    let expectation = if request.floor { expectation.floor() } else { expectation };
    take_any_certificate(&session).await?;
    let mut totals = Count::default();
    totals += claims(&session, request, &expectation).await?;
    let patience = request.patience();
    throttle(&session, request.throttle).await?;
    let profiles = request.profiles();
    let addresses = if request.is_of_the_fleet() { Some((fleet::usable_address()?, fleet::UNUSABLE_ADDRESS)) } else { None };
    for round in 1..=request.times {
        let class = request.class.trim_start_matches("portico-");
        let suffix = if round == 1 { format!("-{class}") } else { format!("-{class}-{round}") };
        let report = match &request.report {
            Some(report) if round == request.times => report.clone(),
            _ => logs.join(format!("conformance{suffix}.yaml")),
        };
        let before = holdings(&session).await?;
        let refused = refused(&session).await?;
        let census = Census::begin(objects::connect(&session).await?, &request.class);
        calls(&session, true).await?;
        let began = Instant::now();
        let run = suite::Run {
            program: &program,
            class: &request.class,
            profiles: &profiles,
            test: request.run.as_deref(),
            addresses,
            sequential: request.sequential,
            expectation: &expectation,
            patience: &patience,
            report: &report,
            log: &logs.join(format!("conformance{suffix}.log")),
        };
        let outcomes = run.go(|outcome| {
            if let Some(well) = summary::line(outcome) {
                verdict(well, &summary::describe(outcome));
            }
        });
        let summary = Summary::of(outcomes.await?, &profiles);
        anstream::println!("{}", summary.text(&expectation));
        totals += if request.floor { summary.against(&expectation) } else { summary.counts() };
        totals += emptied(&session, before, patience.emptied).await?;
        totals +=
            if request.is_of_the_fleet() { served(&session, &census.end(), refused).await? } else { counted(&session, census).await? };
        note(&format!("the suite took {}; its report is {}", human(began.elapsed()), report.display()));
    }
    anstream::println!("{} passed, {} failed", totals.passed, totals.failed);
    Ok(u8::from(totals.failed > 0))
}

/// Compares what the class claims with what is committed.
async fn claims(session: &Session, request: &Request, expectation: &Expectation) -> Result<Count> {
    let kubeconfig = session.env.get("KUBECONFIG").map(PathBuf::from).context("the lab has no kubeconfig")?;
    let kubectl = Kubectl { program: session.programs.join("kubectl"), kubeconfig };
    let class = format!("gatewayclass/{}", request.class);
    kubectl.run(&["wait", "--for=condition=Accepted", &class, "--timeout=60s"]).await.context("the class is not accepted")?;
    let class: Value = serde_json::from_str(&kubectl.run(&["get", &class, "-o", "json"]).await?).context("kubectl printed no JSON")?;
    let features = class.pointer("/status/supportedFeatures").and_then(Value::as_array).cloned().unwrap_or_default();
    let names = features.iter().filter_map(|feature| feature.get("name").and_then(Value::as_str).map(str::to_owned));
    let (missing, more) = expectation.compare(names);
    let well = missing.is_empty() && more.is_empty();
    let mut text = vec![if well { "the class claims what it should".to_owned() } else { "the class claims something else".to_owned() }];
    text.extend((!missing.is_empty()).then(|| format!("no longer claimed: {}", missing.join(", "))));
    text.extend((!more.is_empty()).then(|| format!("not listed in {}: {}", expectation.folder.display(), more.join(", "))));
    verdict(well, &text.join("; "));
    Ok(Count::one(well))
}

/// Lets the cloud take whatever certificate can be served. Those of the suite have names like `default` or none at all, and what ELB refuses of such is not documented.
async fn take_any_certificate(session: &Session) -> Result<()> {
    let Some(url) = &session.cloud else { return Ok(()) };
    let answer = client::send(Method::PUT, &format!("{url}/_cloud/settings"), &[], r#"{"certificates":"lenient"}"#).await?;
    anyhow::ensure!(answer.status.is_success(), "the cloud's settings cannot be changed: {}", answer.text());
    note("assumed: ACM and ELB take the suite's certificates, whatever their names");
    Ok(())
}

/// Throttles so many per cent of all calls to the cloud, or none.
async fn throttle(session: &Session, percent: Option<u8>) -> Result<()> {
    let (Some(url), Some(percent)) = (&session.cloud, percent) else { return Ok(()) };
    let fault = serde_json::json!([{"operation": "*", "kind": "throttle", "rate": f64::from(percent) / 100.0}]);
    let answer = client::send(Method::POST, &format!("{url}/_cloud/faults"), &[], &fault.to_string()).await?;
    anyhow::ensure!(answer.status.is_success(), "the cloud cannot throttle: {}", answer.text());
    note(&format!("{percent} % of all calls to the cloud are throttled"));
    Ok(())
}

/// The cloud's counts of calls; with `reset`, they begin anew.
async fn calls(session: &Session, reset: bool) -> Result<Option<Value>> {
    let Some(url) = &session.cloud else { return Ok(None) };
    let answer = client::get(&format!("{url}/_cloud/calls{}", if reset { "?reset=1" } else { "" })).await?;
    answer.json().map(Some)
}

/// Whether the Gateways of the run were load balancers, one each; how many calls it took.
async fn counted(session: &Session, census: Census) -> Result<Count> {
    let Some(calls) = calls(session, false).await? else { return Ok(Count::default()) };
    let (well, text) = census.end().verdict(census::made(&calls)?);
    verdict(well, &text);
    let number = |name: &str| calls.get(name).and_then(Value::as_u64).unwrap_or_default();
    let errors: u64 = calls.get("errors").and_then(Value::as_object).into_iter().flat_map(|it| it.values()).filter_map(Value::as_u64).sum();
    note(&format!(
        "calls to the cloud: {} that change something, {} that read; {errors} of them met an error",
        number("mutations"),
        number("reads")
    ));
    Ok(Count::one(well))
}

/// Whether the Gateways of the run had addresses of their own, and no proxy refused anything that it was told.
async fn served(session: &Session, seen: &census::Seen, refused_before: u64) -> Result<Count> {
    let (well, text) = seen.addresses();
    verdict(well, &text);
    let refused = refused(session).await? - refused_before;
    let no_refusal = refused == 0;
    let text =
        if no_refusal { "the proxies took all that they were told".to_owned() } else { format!("the proxies refused {refused} updates") };
    verdict(no_refusal, &text);
    let mut count = Count::one(well);
    count += Count::one(no_refusal);
    Ok(count)
}

/// How many updates the proxies of the fleet have refused.
async fn refused(session: &Session) -> Result<u64> {
    let mut refused = 0;
    for proxy in session.proxies() {
        refused += proxy.admin.refused().await?;
    }
    Ok(refused)
}

/// What the cloud holds, less what is always there; and what the proxies of the fleet hold.
async fn holdings(session: &Session) -> Result<Vec<Value>> {
    let mut holdings = match &session.cloud {
        Some(url) => cloud::holdings(&client::get(&format!("{url}/_cloud/state")).await?.json()?),
        None => Vec::new(),
    };
    for proxy in session.proxies() {
        let resources = proxy.admin.resources().await?;
        holdings.extend(resources.into_iter().map(|resource| Value::String(format!("{}: {resource}", proxy.name))));
    }
    Ok(holdings)
}

/// Whether the cloud and the fleet come to hold no more than they held before the run: every load balancer and listener of the suite is gone. What was there before may
/// go meanwhile, since tests that ran earlier do not wait for their namespaces.
async fn emptied(session: &Session, before: Vec<Value>, patience: Duration) -> Result<Count> {
    let deadline = tokio::time::Instant::now() + patience;
    let mut after = holdings(session).await?;
    let surplus = |after: &[Value]| after.iter().any(|it| !before.contains(it));
    while surplus(&after) && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
        after = holdings(session).await?;
    }
    let well = !surplus(&after);
    let left = if well { String::new() } else { format!(": {}", cloud::difference(&before, &after)) };
    verdict(well, &format!("{}{left}", if well { "nothing is left behind" } else { "something is left behind" }));
    Ok(Count::one(well))
}
