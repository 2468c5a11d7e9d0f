//! The benchmark of scale: what starts and single changes cost, and that a change costs the same however many Gateways there are.
//!
//! It counts calls, requests and allocations, which do not depend on the machine's mood; times are shown and decide nothing. It begins with a tenth of
//! the Gateways, measures changes, adds the others, and measures the same changes again.

mod fleet;
mod measure;
mod process;
mod report;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::objects::Objects;
use crate::session::Session;
use crate::{assets, cloud, progress};
use fleet::Member;
use measure::Meter;
use process::Operator;
use report::{Report, Size};

/// How many objects are written at once.
const AT_ONCE: usize = 32;
/// How long a cold start may take for one Gateway and its routes, far above what it takes.
const PATIENCE_PER_OBJECT: Duration = Duration::from_millis(400);

/// Arguments of `lab scale`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How many Gateways there are at last; the benchmark begins with a tenth of them.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=1000))]
    gateways: u32,
    /// How many HTTPRoutes each of them has.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=90))]
    routes: u32,
    /// Also write the report as JSON into this file.
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
}

/// Runs the benchmark in the lab that we are in, which must have no operator of its own; the exit code is 1 if a single change grew.
pub fn run(options: &Options) -> Result<u8> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let report = runtime.block_on(measure_all(Session::current()?, options))?;
    anstream::println!("{}", report.text());
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let grown = report.grown();
    for change in &grown {
        progress::bad(change);
    }
    progress::verdict(grown.is_empty(), "the cost of one change does not grow with the number of Gateways");
    Ok(u8::from(!grown.is_empty()))
}

async fn measure_all(session: Session, options: &Options) -> Result<Report> {
    ensure!(
        !session.operator,
        "the benchmark starts the operator itself: use `cargo lab run --operator none -- lab scale`, or `cargo lab scale`"
    );
    let portico = assets::portico()?;
    let (ends, _ended) = tokio::sync::mpsc::unbounded_channel();
    let beside = cloud::start_beside("scale-cloud", &portico, &["--settings", &settings(), "--log", "warn"], &session.logs, &ends).await?;
    let cloud = format!("http://{}", cloud::BESIDE);
    let objects = Objects::connect(&session).await?;
    let endpoints = endpoints().await?;
    let (all, routes) = (usize::try_from(options.gateways)?, usize::try_from(options.routes)?);
    let few = all / 10;
    objects.apply_all(&fleet::namespaces(all), 8).await?;
    let meter = Meter { objects: &objects, cloud: &cloud };

    add(&objects, 0..few, routes).await?;
    let mut small = Size { gateways: few, routes, ..Size::default() };
    let operator = starts(&meter, &portico, &session, &mut small).await?;
    changes(&meter, &operator, &objects, &mut small, routes).await?;
    operator.stop().await;

    add(&objects, few..all, routes).await?;
    let mut large = Size { gateways: all, routes, ..Size::default() };
    let operator = starts(&meter, &portico, &session, &mut large).await?;
    changes(&meter, &operator, &objects, &mut large, routes).await?;
    large.peak_kib = operator.peak_memory()?;
    operator.stop().await;
    beside.stop(Duration::from_secs(5)).await;
    endpoints.abort();
    Ok(Report { program: portico.display().to_string(), sizes: vec![small, large] })
}

/// Answers health checks for all endpoints.
async fn endpoints() -> Result<tokio::task::JoinHandle<()>> {
    let route =
        Command::new("ip").args(["route", "add", "local", fleet::ENDPOINTS, "dev", "lo"]).output().await.context("cannot run ip")?;
    ensure!(route.status.success(), "cannot take the endpoints' addresses: {}", String::from_utf8_lossy(&route.stderr).trim());
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", fleet::ENDPOINT_PORT)).await.context("cannot listen for the endpoints")?;
    Ok(tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0_u8; 4096];
                // Whoever asks is a health check, which fits one read; whether it likes the answer is its business.
                if stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
                }
            });
        }
    }))
}

/// Lets the account hold what is needed, as AWS does on request, and keeps the cloud's own work small: thousands of targets share this machine.
fn settings() -> String {
    let settings = json!({
        "quotas": {
            "application-load-balancers": 2000,
            "target-groups": 10_000,
            "security-groups-per-region": 10_000,
            "rules-per-security-group": 2000,
        },
        "times": {"health_check_scale": 20.0},
    });
    settings.to_string()
}

/// Adds Gateways with all that belongs to them.
async fn add(objects: &Objects, members: std::ops::Range<usize>, routes: usize) -> Result<()> {
    let (count, began) = (members.len(), Instant::now());
    let step = progress::Step::start(format!("{count} Gateways with {routes} routes each"), "");
    for member in members.map(Member) {
        let mut all: Vec<Value> = member.services().chain(member.slices()).chain(std::iter::once(member.gateway())).collect();
        all.extend(member.routes(routes));
        objects.apply_all(&all, AT_ONCE).await?;
    }
    let rate = (count * (routes + 5)) as f64 / began.elapsed().as_secs_f64();
    step.done_with(&format!("{rate:.0} objects per second"));
    Ok(())
}

/// A start with everything there, and another one when the cloud has it all already. The second operator runs on.
async fn starts(meter: &Meter<'_>, portico: &Path, session: &Session, size: &mut Size) -> Result<Operator> {
    let patience = PATIENCE_PER_OBJECT * u32::try_from(size.gateways * (size.routes + 5))? + Duration::from_secs(120);
    let step = progress::Step::start(format!("start with {} Gateways", size.gateways), "");
    let (operator, cost) = meter.start(Operator::start(portico, session, meter.cloud), patience).await?;
    size.peak_kib = operator.peak_memory()?;
    size.push(if size.gateways == 0 { "start" } else { "start: new Gateways" }, cost);
    programmed(meter.objects, size.gateways).await?;
    operator.stop().await;
    step.done();
    let step = progress::Step::start(format!("start again with {} Gateways", size.gateways), "");
    let (operator, cost) = meter.start(Operator::start(portico, session, meter.cloud), patience).await?;
    size.push("start: all there", cost);
    step.done();
    Ok(operator)
}

/// That the operator has done its work: a fast start that does nothing must not pass for a good one.
async fn programmed(objects: &Objects, gateways: usize) -> Result<()> {
    let all = objects.list("Gateway").await?;
    let ready =
        all.iter().filter(|it| crate::e2e::bench::condition(it.pointer("/status/conditions"), "Programmed").as_deref() == Some("True"));
    let count = ready.count();
    ensure!(count == gateways, "{count} of {gateways} Gateways are Programmed");
    let routes = objects.list("HTTPRoute").await?;
    let silent = routes.iter().filter(|it| it.pointer("/status/parents/0/conditions").is_none()).count();
    ensure!(silent == 0, "{silent} of {} routes have no status", routes.len());
    Ok(())
}

/// Single changes.
async fn changes(meter: &Meter<'_>, operator: &Operator, objects: &Objects, size: &mut Size, routes: usize) -> Result<()> {
    let step = progress::Step::start(format!("single changes among {} Gateways", size.gateways), "");
    let member = Member(0);
    // Each change differs from the one at the other size, or it would change nothing.
    let mark = size.gateways;
    let route = member.route(0, &format!("/changed-{mark}"));
    size.push("a route's match", meter.change(operator, 1, async { objects.apply(&route).await.map(drop) }).await?);

    let label = json!({"metadata": {"labels": {"colour": format!("c{mark}")}}});
    size.push("a route's label", meter.change(operator, 1, async { objects.merge(&route, &label).await.map(drop) }).await?);

    let more = member.slice(0, 3);
    size.push("an endpoint more", meter.change(operator, 1, async { objects.apply(&more).await.map(drop) }).await?);
    let fewer = member.slice(0, 2);
    size.push("an endpoint fewer", meter.change(operator, 1, async { objects.apply(&fewer).await.map(drop) }).await?);

    let new = member.route(routes, "/new");
    size.push("a route more", meter.change(operator, 1, async { objects.apply(&new).await.map(drop) }).await?);
    let gone = [new];
    size.push("a route fewer", meter.change(operator, 1, async { objects.delete_all(&gone, 1).await }).await?);

    let last = Member(size.gateways / 10);
    let gateway = [last.gateway()];
    size.push("a Gateway fewer", meter.change(operator, 1, async { objects.delete_all(&gateway, 1).await }).await?);
    let again = last.gateway();
    size.push("a Gateway more", meter.change(operator, 1, async { objects.apply(&again).await.map(drop) }).await?);
    step.done();
    Ok(())
}
