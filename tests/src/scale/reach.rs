//! How long an endpoint takes to get requests: from the write of an EndpointSlice until a request through the proxy comes from the new endpoint.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;

use super::fleet::Member;
use crate::objects::Objects;

/// The header in which an endpoint says which one it is.
pub const ENDPOINT_HEADER: &str = "x-endpoint";
/// What is asked for.
const PATH: &str = "/reach";
/// How often it is measured.
const ROUNDS: usize = 20;
/// Between two changes, so that each stands for itself.
const APART: Duration = Duration::from_millis(300);
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(1);
/// How long an endpoint may take at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// Times of several changes of one kind, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Times {
    /// What changed.
    pub change: &'static str,
    /// How often.
    pub count: usize,
    /// Half of them took no longer.
    pub median: f64,
    /// Nine of ten took no longer.
    pub ninth: f64,
    /// The longest.
    pub longest: f64,
}

impl Times {
    fn of(change: &'static str, mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |share: f64| {
            let index = (times.len() as f64 * share).ceil() as usize;
            times.get(index.saturating_sub(1)).copied().unwrap_or_default().as_secs_f64() * 1000.0
        };
        Self { change, count: times.len(), median: at(0.5), ninth: at(0.9), longest: at(1.0) }
    }
}

/// The way to a Gateway's endpoints.
struct Way {
    client: Client<HttpConnector, Empty<Bytes>>,
    url: String,
    host: String,
}

/// Changes the endpoints of a Gateway's first Service, and measures how long each change takes.
pub async fn measure(objects: &Objects, member: Member) -> Result<Vec<Times>> {
    let way = Way {
        client: Client::builder(TokioExecutor::new()).build_http(),
        url: format!("http://{}{PATH}", SocketAddr::new(address(objects, member).await?, 80)),
        host: member.hostname(0).context("routes of this class have no hostname")?,
    };
    objects.apply(&member.route(0, PATH)).await?;
    way.until(Instant::now(), |_| true).await?;
    let (mut more, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        more.push(way.change(objects, member, 0..3, 2..3).await?);
        others.push(way.change(objects, member, 3..4, 3..4).await?);
        others.push(way.change(objects, member, 0..2, 0..2).await?);
    }
    Ok(vec![Times::of("an endpoint more", more), Times::of("all endpoints replaced", others)])
}

impl Way {
    /// Gives the Service these endpoints, and returns how long it takes until one of the awaited ones answers.
    async fn change(
        &self,
        objects: &Objects,
        member: Member,
        endpoints: std::ops::Range<usize>,
        awaited: std::ops::Range<usize>,
    ) -> Result<Duration> {
        tokio::time::sleep(APART).await;
        let awaited: Vec<String> = awaited.map(|at| member.endpoint(0, at).to_string()).collect();
        let slice = member.slice(0, endpoints);
        let began = Instant::now();
        objects.apply(&slice).await?;
        self.until(began, |answered| awaited.iter().any(|it| it == answered)).await
    }

    /// Sends requests, one after the other, until the right endpoint answers; returns how long that took since it began.
    async fn until(&self, began: Instant, is_right: impl Fn(&str) -> bool) -> Result<Duration> {
        let mut last = String::new();
        while began.elapsed() < PATIENCE {
            match self.ask().await {
                Ok(endpoint) if is_right(&endpoint) => return Ok(began.elapsed()),
                Ok(endpoint) => last = endpoint,
                Err(error) => last = format!("{error:#}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("the endpoint gets no requests after {PATIENCE:?}; the last answer of {}: {last}", self.url)
    }

    /// The endpoint that answers a request.
    async fn ask(&self) -> Result<String> {
        let request = Request::get(&self.url).header("host", &self.host).body(Empty::new()).context("request")?;
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request)).await.context("no answer")?.context("no answer")?;
        let (head, body) = answer.into_parts();
        body.collect().await.context("no whole answer")?;
        let endpoint = head.headers.get(ENDPOINT_HEADER).and_then(|it| it.to_str().ok());
        endpoint.map(str::to_owned).with_context(|| format!("status {}, from no endpoint", head.status))
    }
}

/// The address that its status gives a Gateway.
async fn address(objects: &Objects, member: Member) -> Result<IpAddr> {
    let all = objects.list("Gateway").await?;
    let name = member.name();
    let gateway =
        all.iter().find(|it| it.pointer("/metadata/name").is_some_and(|it| *it == *name)).with_context(|| format!("no {name}"))?;
    let address = gateway.pointer("/status/addresses/0/value").and_then(serde_json::Value::as_str);
    address.with_context(|| format!("{name} has no address"))?.parse().context("no address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_times_is_among_them() {
        let times = Times::of("a change", (1..=10).rev().map(Duration::from_millis).collect());
        assert_eq!((times.count, times.median, times.ninth, times.longest), (10, 5.0, 9.0, 10.0));
        assert_eq!(Times::of("nothing", Vec::new()).count, 0);
    }
}
