//! The judge: random routes, random requests, and an evaluator of the Gateway API that says what the answers must be.
//!
//! ```text
//!  generator ─▶ API server ─▶ operator ─▶ cloud ─▶ data plane ─▶ received ─┐
//!      └──────▶ objects as stored ─▶ evaluator ─▶ expected ────────────────┴─▶ comparison
//! ```
//!
//! Rounds run on one control plane; each changes what the one before it left, so that transitions are judged, too. What the operator refuses (as
//! `portico plan` says) is counted apart: its requests must get 500, or fall through as the refusal announces, and the conditions of its route must name the field.

mod answer;
mod api;
mod attachment;
mod bench;
mod call;
mod comparison;
mod cors;
mod evaluator;
mod generator;
mod headers;
mod matching;
mod reading;
mod request;
mod telling;
mod timeout;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value;

use crate::session::Session;
use crate::{conformance, fleet, progress};
use api::{Cluster, Gateway};
use bench::{Bench, TRACE};
use comparison::{Expected, Outcome, Received, Refusals};
use generator::Generator;
use request::Request;

/// How many requests are under way at once.
const AT_ONCE: usize = 16;
/// How often a request that was answered wrongly is sent again, a second apart: the cloud may take a moment.
const REPETITIONS: usize = 4;
/// How many differences of a round are shown.
const SHOWN: usize = 10;

/// A class of Gateways that can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Class {
    /// Application load balancers of the embedded cloud.
    PorticoAlb,
    /// The fleet of Envoy proxies.
    PorticoEnvoy,
}

impl Class {
    /// Its GatewayClass.
    pub fn name(self) -> &'static str {
        match self {
            Self::PorticoAlb => conformance::ALB,
            Self::PorticoEnvoy => fleet::CLASS,
        }
    }
}

/// Arguments of `lab judge`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The class of the Gateways.
    #[arg(long, value_enum, default_value_t = Class::PorticoAlb)]
    pub class: Class,
    /// How many requests are sent in all.
    #[arg(long, default_value_t = 10_000)]
    pub requests: usize,
    /// How many different sets of routes they are sent to.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Seed of every random choice; the same seed makes the same routes and requests [default: a new one, which is printed].
    #[arg(long)]
    pub seed: Option<u64>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Summary {
    /// The seed.
    pub seed: u64,
    /// How many answers counted as what.
    pub outcomes: BTreeMap<Outcome, usize>,
    /// How many were right only when asked again.
    pub late: usize,
    /// How many of the requests were looked for in the logs of those who may have got them.
    pub traced: usize,
    /// How many refused fields the conditions of their routes name.
    pub told: usize,
    /// How many refused fields they do not name; each is printed as it is found.
    pub untold: usize,
    /// How many answers differ; each is printed as it is found, at most ten a round.
    pub differences: usize,
}

impl Summary {
    /// `10000 requests: 9100 forwarded; 900 refused, answered 500; 7000 looked for in backends' logs; 0 differences; 60 refused fields told on their routes, 0 not (seed 7)`.
    pub fn text(&self) -> String {
        let total = self.outcomes.values().sum::<usize>() + self.differences;
        let parts: Vec<String> = self.outcomes.iter().map(|(outcome, count)| format!("{count} {}", outcome.name())).collect();
        let late = if self.late == 0 { String::new() } else { format!(", {} of them late", self.late) };
        let Self { traced, told, untold, differences, seed, .. } = self;
        let fields = format!("{told} refused fields told on their routes, {untold} not");
        format!(
            "{total} requests: {}{late}; {traced} looked for in backends' logs; {differences} differences; {fields} (seed {seed})",
            parts.join("; ")
        )
    }

    /// Whether all is as it should be.
    pub fn is_good(&self) -> bool {
        self.differences == 0 && self.untold == 0
    }
}

/// Runs the judge in the lab that we are in; the exit code is 1 if any answer differs.
pub fn run(options: &Options) -> Result<u8> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let summary = runtime.block_on(judge(Session::current()?, options))?;
    progress::verdict(summary.is_good(), &summary.text());
    Ok(u8::from(!summary.is_good()))
}

/// Judges in a lab, and leaves nothing there.
pub async fn judge(session: Session, options: &Options) -> Result<Summary> {
    let seed = options.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    let bench = Bench::new(session).await?;
    let mut summary = Summary { seed, ..Summary::default() };
    let rounds = u64::from(options.rounds);
    let mut left = options.requests;
    for round in 0..rounds {
        let share = left.div_ceil(usize::try_from(rounds - round)?.max(1));
        left -= share;
        one_round(&bench, options.class, round, share, &mut summary).await.with_context(|| format!("seed {seed}, round {round}"))?;
    }
    bench.clear().await?;
    Ok(summary)
}

/// Another set of routes, and its share of the requests.
async fn one_round(bench: &Bench, class: Class, round: u64, requests: usize, summary: &mut Summary) -> Result<()> {
    let began = Instant::now();
    // Each round begins anew, so that its routes do not depend on how many requests the others had.
    let mut generator = Generator::new(summary.seed.wrapping_mul(1_000_003).wrapping_add(round), class);
    bench.replace(&generator.objects()).await?;
    let objects = bench.settled().await?;
    let settled = began.elapsed();
    let folder = folder(bench, summary.seed, round);
    let refusals = bench.refusals(&objects, &folder).await?;
    let cluster = Cluster { by_proxies: class == Class::PorticoEnvoy, ..Cluster::from_objects(&objects)? };
    let mut places = Vec::new();
    for gateway in &cluster.gateways {
        let refusals = refusals.get(&gateway.metadata.key()).cloned().unwrap_or_default();
        places.push(Place { gateway, refusals, address: bench.address(&objects, &gateway.metadata.name).await? });
    }
    let cases: Vec<Case<'_>> = (0..requests)
        .filter_map(|number| {
            let place = places.get(number % places.len().max(1))?;
            let request = generator::request(&mut generator, &cluster, place.gateway, &format!("{round}.{number}"))?;
            let expected = Expected::of(&cluster, place.gateway, &place.refusals, &request);
            Some(Case { place, request, expected })
        })
        .collect();
    let answers = stream::iter(&cases).map(|case| ask(bench, case)).buffer_unordered(AT_ONCE);
    let answers: Vec<(&Case<'_>, Judged)> = answers.try_collect().await?;
    let (mut differences, mut traced) = (0, Vec::new());
    for (case, judged) in answers {
        match judged {
            Judged::Right(outcome, late, received) => {
                *summary.outcomes.entry(outcome).or_default() += 1;
                summary.late += usize::from(late);
                // What was sent more than once was perhaps answered in several ways.
                if let Some(trace) = case.request.parameter(TRACE).filter(|_| !late) {
                    traced.push((case, trace, received));
                }
            }
            Judged::Wrong(received) => {
                differences += 1;
                if differences <= SHOWN {
                    anstream::println!("{}", case.difference(&objects, &received, summary.seed, round));
                }
            }
        }
    }
    for (case, received, why) in misled(bench, &traced).await? {
        differences += 1;
        if differences <= SHOWN {
            anstream::println!("{}  but       {why}", case.difference(&objects, received, summary.seed, round));
        }
    }
    summary.traced += traced.len();
    let hidden = untold(&objects, &places);
    for line in &hidden {
        anstream::println!("UNTOLD (--seed {}, round {round}) {line}", summary.seed);
    }
    summary.told += places.iter().map(|place| place.refusals.fields.len()).sum::<usize>() - hidden.len();
    summary.untold += hidden.len();
    summary.differences += differences;
    if differences == 0 && hidden.is_empty() {
        // What explains a difference explains nothing where there is none.
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let refused: usize = places.iter().map(|it| it.refusals.answered.len() + it.refusals.fallen.len()).sum();
    let routes = cluster.routes.len();
    progress::note(&format!(
        "round {round}: {routes} routes, {refused} refusals, settled in {}, {} requests in {}, {differences} differences",
        progress::human(settled),
        cases.len(),
        progress::human(began.elapsed() - settled),
    ));
    Ok(())
}

/// Requests that reached others than they should have: those who answer and those who get copies, and nobody else. Copies take a moment.
async fn misled<'a, 'b>(
    bench: &Bench,
    traced: &'b [(&'a Case<'a>, &'a str, Received)],
) -> Result<Vec<(&'a Case<'a>, &'b Received, String)>> {
    let mut wrong = Vec::new();
    for repetition in 0..=REPETITIONS {
        if repetition > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let found = if traced.is_empty() { BTreeMap::new() } else { bench.traces().await? };
        let nobody = BTreeSet::new();
        let why = |(case, trace, received): &'b (&'a Case<'a>, &'a str, Received)| {
            let got = found.get(*trace).unwrap_or(&nobody);
            Some((*case, received, case.expected.misled(&case.request, received, got)?))
        };
        wrong = traced.iter().filter_map(why).collect();
        if wrong.is_empty() {
            break;
        }
    }
    Ok(wrong)
}

/// Refusals that the statuses do not tell of.
fn untold(objects: &[Value], places: &[Place<'_>]) -> Vec<String> {
    let all = places.iter().flat_map(|place| place.refusals.fields.iter().map(|(rule, field)| (place.gateway.metadata.key(), rule, field)));
    all.filter_map(|(gateway, rule, field)| {
        let why = telling::untold(objects, &gateway, rule, field)?;
        Some(format!("on Gateway {gateway}: {rule} is refused, but {why}"))
    })
    .collect()
}

fn folder(bench: &Bench, seed: u64, round: u64) -> PathBuf {
    bench.session.logs.join(format!("judge-{seed}-{round}"))
}

/// A Gateway under judgement.
struct Place<'a> {
    gateway: &'a Gateway,
    refusals: Refusals,
    address: String,
}

/// One request with what is expected of it.
struct Case<'a> {
    place: &'a Place<'a>,
    request: Request,
    expected: Expected,
}

enum Judged {
    /// As expected; whether only when asked again.
    Right(Outcome, bool, Received),
    /// Not as expected.
    Wrong(Received),
}

async fn ask<'a>(bench: &Bench, case: &'a Case<'a>) -> Result<(&'a Case<'a>, Judged)> {
    let mut received = bench.ask(&case.place.address, &case.request).await?;
    for repetition in 0..=REPETITIONS {
        if let Some(outcome) = case.expected.judge(&case.request, &received) {
            return Ok((case, Judged::Right(outcome, repetition > 0, received)));
        }
        if repetition < REPETITIONS {
            tokio::time::sleep(Duration::from_secs(1)).await;
            received = bench.ask(&case.place.address, &case.request).await?;
        }
    }
    Ok((case, Judged::Wrong(received)))
}

impl Case<'_> {
    /// The difference, with what is needed to understand it: the request, both answers, and the routes that they come from.
    fn difference(&self, objects: &[Value], received: &Received, seed: u64, round: u64) -> String {
        let key = self.place.gateway.metadata.key();
        let mut text = format!("DIFFERENCE (--seed {seed}, round {round}) on Gateway {key}\n  request   {}\n", self.request);
        let _ = writeln!(text, "  expected  {}\n  received  {received}", self.expected);
        let winners = self.expected.verdicts.iter().filter_map(|verdict| verdict.winner.as_ref());
        let winners: Vec<String> = winners.map(|winner| format!("{} {}", winner.kind, winner.route)).collect();
        for object in objects {
            let of = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let name = format!("{}/{}", of("/metadata/namespace"), of("/metadata/name"));
            let shown = match of("/kind") {
                "HTTPRoute" | "GRPCRoute" => winners.contains(&format!("{} {name}", of("/kind"))),
                "Gateway" => name == key,
                "ListenerSet" => true,
                _ => false,
            };
            if shown {
                let (kind, created) = (of("/kind"), of("/metadata/creationTimestamp"));
                let _ = writeln!(text, "  {kind} {name} of {created}: {}", object.get("spec").unwrap_or(&Value::Null));
            }
        }
        text
    }
}
