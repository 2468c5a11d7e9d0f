//! The benchmark of scale: what starts and single changes cost, and that a change costs the same however many Gateways there are.
//!
//! It counts calls, requests and allocations, which do not depend on the machine's mood; times are shown and decide nothing. It begins with a tenth of
//! the Gateways, measures changes, adds the others, and measures the same changes again. Of a class that proxies serve it runs a real one, and takes the time until an
//! endpoint gets requests.

mod fleet;
mod measure;
mod process;
mod reach;
mod report;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::daemon::{Daemon, Ends};
use crate::fleet::{OPERATOR, Programs, Proxy};
use crate::judge::Class;
use crate::objects::Objects;
use crate::session::Session;
use crate::{assets, cloud, progress};
use fleet::Shape;
use measure::Meter;
use process::Operator;
use report::{Report, Size};

/// How many objects are written at once.
const AT_ONCE: usize = 32;
/// How long a cold start may take for one Gateway and its routes, far above what it takes.
const PATIENCE_PER_OBJECT: Duration = Duration::from_millis(400);

/// How many routes one load balancer has room for, with some to spare. (AWS: 100 rules.)
const ROOM: u32 = 90;
/// Names an Envoy, for the benchmark that runs inside.
pub const ENVOY_VARIABLE: &str = "PORTICO_ENVOY";

/// Arguments of `lab scale`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The class of the Gateways.
    #[arg(long, value_enum, default_value_t = Class::PorticoAlb)]
    pub class: Class,
    /// How many Gateways there are at last; the benchmark begins with a tenth of them.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=1000))]
    gateways: u32,
    /// How many HTTPRoutes each of them has; no more than 90 of portico-alb.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    routes: u32,
    /// Also write the report as JSON into this file.
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
}

/// Runs the benchmark in the lab that we are in, which must have no operator of its own; the exit code is 1 if a single change grew, or endpoints get requests too late.
pub fn run(options: &Options) -> Result<u8> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let report = runtime.block_on(measure_all(Session::current()?, options))?;
    anstream::println!("{}", report.text());
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let (grown, late) = (report.grown(), report.late());
    for fault in grown.iter().chain(&late) {
        progress::bad(fault);
    }
    progress::verdict(grown.is_empty(), "the cost of one change does not grow with the number of Gateways");
    if options.class == Class::PorticoEnvoy {
        progress::verdict(late.is_empty(), "endpoints get requests within 100 ms of the write");
    }
    Ok(u8::from(!grown.is_empty() || !late.is_empty()))
}

async fn measure_all(session: Session, options: &Options) -> Result<Report> {
    ensure!(
        !session.operator,
        "the benchmark starts the operator itself: use `cargo lab run --operator none -- lab scale`, or `cargo lab scale`"
    );
    ensure!(
        options.class == Class::PorticoEnvoy || options.routes <= ROOM,
        "a load balancer of AWS has no room for more than {ROOM} routes"
    );
    let portico = assets::portico()?;
    let (ends, _ended) = tokio::sync::mpsc::unbounded_channel();
    let beside = match options.class {
        Class::PorticoAlb => {
            cloud::start_beside("scale-cloud", &portico, &["--settings", &settings(), "--log", "warn"], &session.logs, &ends).await?
        }
        Class::PorticoEnvoy => start_proxy(0, &portico, &session, &ends).await?,
    };
    let cloud = format!("http://{}", cloud::BESIDE);
    let objects = Objects::connect(&session).await?;
    let endpoints = endpoints().await?;
    let (all, shape) = (usize::try_from(options.gateways)?, Shape { class: options.class, routes: usize::try_from(options.routes)? });
    let few = all / 10;
    objects.apply_all(&fleet::namespaces(all), 8).await?;
    let meter = Meter { objects: &objects, cloud: (options.class == Class::PorticoAlb).then_some(cloud.as_str()) };

    let mut sizes = Vec::new();
    for members in [0..few, few..all] {
        let mut size = Size { gateways: members.end, routes: shape.routes, ..Size::default() };
        add(&objects, members, shape).await?;
        let operator = starts(&meter, &portico, &session, &mut size).await?;
        changes(&meter, &operator, &objects, &mut size, shape).await?;
        if options.class == Class::PorticoEnvoy {
            let another = async || start_proxy(1, &portico, &session, &ends).await;
            proxies(&meter, &operator, shape, another, &mut size).await?;
            size.proxy_peak_kib = Some(process::peak_memory(&beside)?);
        }
        size.peak_kib = operator.peak_memory()?;
        operator.stop().await;
        sizes.push(size);
    }
    beside.stop(Duration::from_secs(5)).await;
    endpoints.abort();
    Ok(Report { program: portico.display().to_string(), class: options.class, sizes })
}

/// What only a class has that proxies serve: how soon endpoints get requests, and what a proxy costs that has nothing yet.
async fn proxies(
    meter: &Meter<'_>,
    operator: &Operator,
    shape: Shape,
    another: impl AsyncFnOnce() -> Result<Daemon>,
    size: &mut Size,
) -> Result<()> {
    let step = progress::Step::start(format!("endpoints at {} routes", size.gateways * size.routes), "");
    size.reach = reach::measure(meter.objects, shape.member(0)).await?;
    step.done();
    let step = progress::Step::start("a proxy more", "");
    let mut started = None;
    let start = async {
        started = Some(another().await?);
        Ok(())
    };
    size.push("start: a proxy more", meter.proxy(operator, start).await?);
    if let Some(started) = started {
        started.stop(Duration::from_secs(5)).await;
    }
    step.done();
    Ok(())
}

/// Starts a proxy of the class; several are told apart by their numbers.
async fn start_proxy(number: u16, portico: &Path, session: &Session, ends: &Ends) -> Result<Daemon> {
    let envoy = std::env::var_os(ENVOY_VARIABLE).with_context(|| format!("{ENVOY_VARIABLE} names no Envoy"))?;
    let programs = Programs { envoy: envoy.into(), portico: portico.to_path_buf() };
    Proxy::alone(number, OPERATOR).start(&programs, &session.logs, ends).await
}

/// Answers health checks and requests for all endpoints.
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
                let Ok(endpoint) = stream.local_addr() else { return };
                let (name, endpoint) = (reach::ENDPOINT_HEADER, endpoint.ip());
                // What is asked fits one read; whether whoever asks likes the answer is his business.
                if stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                    let answer = format!("HTTP/1.1 200 OK\r\n{name}: {endpoint}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes()).await;
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
async fn add(objects: &Objects, members: std::ops::Range<usize>, shape: Shape) -> Result<()> {
    let (count, began, mut written) = (members.len(), Instant::now(), 0);
    let step = progress::Step::start(format!("{count} Gateways with {} routes each", shape.routes), "");
    for member in members.map(|number| shape.member(number)) {
        let mut all: Vec<Value> = member.services().chain(member.slices()).chain(std::iter::once(member.gateway())).collect();
        all.extend(member.routes());
        written += all.len();
        objects.apply_all(&all, AT_ONCE).await?;
    }
    let rate = written as f64 / began.elapsed().as_secs_f64();
    step.done_with(&format!("{rate:.0} objects per second"));
    Ok(())
}

/// A start with everything there, and another one when the cloud has it all already. The second operator runs on.
async fn starts(meter: &Meter<'_>, portico: &Path, session: &Session, size: &mut Size) -> Result<Operator> {
    let patience = PATIENCE_PER_OBJECT * u32::try_from(size.gateways * (size.routes + 5))? + Duration::from_secs(120);
    let step = progress::Step::start(format!("start with {} Gateways", size.gateways), "");
    let (operator, cost) = meter.start(Operator::start(portico, session, meter.cloud), patience).await?;
    size.peak_kib = operator.peak_memory()?;
    size.push("start: new Gateways", cost);
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
async fn changes(meter: &Meter<'_>, operator: &Operator, objects: &Objects, size: &mut Size, shape: Shape) -> Result<()> {
    let step = progress::Step::start(format!("single changes among {} Gateways", size.gateways), "");
    let member = shape.member(0);
    // Each change differs from the one at the other size, or it would change nothing.
    let mark = size.gateways;
    let route = member.route(0, &format!("/changed-{mark}"));
    size.push("a route's match", meter.change(operator, 1, async { objects.apply(&route).await.map(drop) }).await?);

    let label = json!({"metadata": {"labels": {"colour": format!("c{mark}")}}});
    size.push("a route's label", meter.change(operator, 1, async { objects.merge(&route, &label).await.map(drop) }).await?);

    let more = member.slice(0, 0..3);
    size.push("an endpoint more", meter.change(operator, 1, async { objects.apply(&more).await.map(drop) }).await?);
    let fewer = member.slice(0, 0..2);
    size.push("an endpoint fewer", meter.change(operator, 1, async { objects.apply(&fewer).await.map(drop) }).await?);

    let new = member.route(shape.routes, "/new");
    size.push("a route more", meter.change(operator, 1, async { objects.apply(&new).await.map(drop) }).await?);
    let gone = [new];
    size.push("a route fewer", meter.change(operator, 1, async { objects.delete_all(&gone, 1).await }).await?);

    let last = shape.member(size.gateways / 10);
    let gateway = [last.gateway()];
    size.push("a Gateway fewer", meter.change(operator, 1, async { objects.delete_all(&gateway, 1).await }).await?);
    let again = last.gateway();
    size.push("a Gateway more", meter.change(operator, 1, async { objects.apply(&again).await.map(drop) }).await?);
    step.done();
    Ok(())
}
