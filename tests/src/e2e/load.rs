//! Requests at a fixed rate, whatever becomes of those before (an open loop), half of them on kept connections and half on new ones. No request is sent twice.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::progress::human;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The most requests of one run, whatever goes on meanwhile.
const MOST: usize = 500_000;
/// How many failures are told in words.
const TOLD: usize = 5;

type Connection = SendRequest<Empty<Bytes>>;

/// Where requests go, and how many.
#[derive(Debug, Clone)]
pub struct Load {
    /// The address.
    pub at: SocketAddr,
    /// Path and query.
    pub path: String,
    /// Requests per second.
    pub rate: u32,
    /// How many are sent at least.
    pub least: usize,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Answered 200, on kept connections and on new ones.
    kept: usize,
    new: usize,
    /// What became of the others, and after how many requests.
    failed: Vec<String>,
    /// From the moment at which a request was due to its answer.
    latencies: Vec<Duration>,
    took: Duration,
}

impl Report {
    /// An error if any request failed, else a sentence.
    pub fn verdict(mut self) -> Result<String> {
        let total = self.kept + self.new + self.failed.len();
        let told = self.failed.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
        ensure!(self.failed.is_empty(), "{} of {total} requests failed: {told}", self.failed.len());
        self.latencies.sort_unstable();
        let rank =
            |per_mille: usize| human(self.latencies.get(total * per_mille / 1000).or(self.latencies.last()).copied().unwrap_or_default());
        Ok(format!(
            "{total} requests ({} on kept connections, {} on new ones) at {:.0}/s, none failed; median {}, 99 % within {}, all within {}",
            self.kept,
            self.new,
            total as f64 / self.took.as_secs_f64().max(0.001),
            rank(500),
            rank(990),
            rank(1000),
        ))
    }
}

/// Connections that wait for their next request.
type Pool = Arc<Mutex<Vec<Connection>>>;

impl Load {
    /// Sends requests while `meanwhile` goes on, and until there were enough. An error of `meanwhile` ends it.
    pub async fn during(&self, meanwhile: impl Future<Output = Result<()>>) -> Result<Report> {
        let done = AtomicBool::new(false);
        let changes = async {
            let outcome = meanwhile.await;
            done.store(true, Ordering::Relaxed);
            outcome
        };
        let (outcome, report) = tokio::join!(changes, self.send(&done));
        // What failed explains why something did not come about.
        match (outcome, report?) {
            (Ok(()), report) => Ok(report),
            (Err(error), report) => match report.failed.first() {
                Some(failure) => Err(error.context(format!("{} requests failed, the first one: {failure}", report.failed.len()))),
                None => Err(error),
            },
        }
    }

    async fn send(&self, done: &AtomicBool) -> Result<Report> {
        let began = Instant::now();
        let pool = Pool::default();
        let mut due = tokio::time::interval(Duration::from_secs(1) / self.rate.max(1));
        // Late ones are made up for: the rate does not depend on the answers.
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut under_way, mut report) = (JoinSet::new(), Report::default());
        for number in 0..MOST {
            if number >= self.least && done.load(Ordering::Relaxed) {
                break;
            }
            let at = due.tick().await.into_std();
            under_way.spawn(one(self.clone(), number, at, Arc::clone(&pool)));
            while let Some(ended) = under_way.try_join_next() {
                report.add(ended.context("a request")?);
            }
        }
        while let Some(ended) = under_way.join_next().await {
            report.add(ended.context("a request")?);
        }
        report.took = began.elapsed();
        Ok(report)
    }
}

/// What became of a request.
struct Ended {
    number: usize,
    kept: bool,
    latency: Duration,
    outcome: Result<()>,
}

impl Report {
    fn add(&mut self, ended: Ended) {
        match ended.outcome {
            Ok(()) => {
                *if ended.kept { &mut self.kept } else { &mut self.new } += 1;
                self.latencies.push(ended.latency);
            }
            Err(error) => {
                let kind = if ended.kept { "a kept" } else { "a new" };
                self.failed.push(format!("request {} on {kind} connection after {}: {error:#}", ended.number, human(ended.latency)));
            }
        }
    }
}

async fn one(load: Load, number: usize, due: Instant, pool: Pool) -> Ended {
    let kept = number % 2 == 1;
    let exchange = tokio::time::timeout(ANSWER_WITHIN, exchange(&load, kept, &pool)).await;
    let outcome = exchange.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer")));
    Ended { number, kept, latency: due.elapsed(), outcome }
}

async fn exchange(load: &Load, kept: bool, pool: &Pool) -> Result<()> {
    let waiting = if kept { take(pool) } else { None };
    let mut connection = match waiting {
        Some(connection) => connection,
        None => connect(load.at).await?,
    };
    let request = http::Request::get(&load.path).header("host", "fleet.example.com");
    let request = if kept { request } else { request.header("connection", "close") };
    let answer = connection.send_request(request.body(Empty::new())?).await.context("no answer")?;
    let status = answer.status();
    let body = answer.into_body().collect().await.context("half an answer")?.to_bytes();
    ensure!(status.is_success(), "answered {status}: {}", String::from_utf8_lossy(&body));
    // A server that wants to end the connection has said so with the answer.
    if kept && connection.ready().await.is_ok() {
        pool.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
    Ok(())
}

/// A connection that waits and was not ended meanwhile.
fn take(pool: &Pool) -> Option<Connection> {
    let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(connection) = pool.pop() {
        if connection.is_ready() {
            return Some(connection);
        }
    }
    None
}

async fn connect(at: SocketAddr) -> Result<Connection> {
    let stream = TcpStream::connect(at).await.context("cannot connect")?;
    stream.set_nodelay(true).context("no delay")?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.context("cannot speak HTTP")?;
    tokio::spawn(async move {
        // Its end is seen by whoever sends on it.
        let _ = connection.await;
    });
    Ok(sender)
}
