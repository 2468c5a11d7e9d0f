//! What AWS documents, row by row: a request over TCP and what must come of it. Every expectation is typed from the page that its table
//! names (paths below <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/>), none is recorded from this program.

use std::net::SocketAddr;

use portico_cloud::dataplane::config::{
    Action, Condition, FixedResponse, LoadBalancerAttributes, Patterns, QueryPattern, Redirect, Rewrite, Transform,
};
use portico_cloud::dataplane::health::HealthState::Healthy;

use super::harness::{Backend, Client, Reply, World, address, fixed, forward, group, listener, load_balancer, rule};

mod actions;
mod attributes;
mod conditions;
mod headers;
mod network;
mod statuses;

/// `path /a /b*`, `host …`, `header NAME …`, `method …`, `query KEY=VALUE =VALUE`, `source CIDR`; with `~` behind the word, regular expressions.
fn condition(text: &str) -> Condition {
    let mut words = text.split(' ');
    let kind = words.next().unwrap();
    let name = kind.starts_with("header").then(|| words.next().unwrap().to_owned());
    // An underscore stands for a space.
    let values: Vec<String> = words.map(|word| word.replace('_', " ")).collect();
    let patterns = if kind.ends_with('~') { Patterns::Regexes(values.clone()) } else { Patterns::Globs(values.clone()) };
    match kind.trim_end_matches('~') {
        "path" => Condition::PathPattern(patterns),
        "host" => Condition::HostHeader(patterns),
        "header" => Condition::HttpHeader { name: name.unwrap(), values: patterns },
        "method" => Condition::HttpRequestMethod(values),
        "source" => Condition::SourceIp(values.iter().map(|cidr| cidr.parse().unwrap()).collect()),
        "query" => Condition::QueryString(
            values
                .iter()
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap();
                    QueryPattern { key: (!key.is_empty()).then(|| key.to_owned()), value: value.to_owned() }
                })
                .collect(),
        ),
        other => panic!("no condition {other}"),
    }
}

/// `GET host/path?query | Name: value | …` as bytes of HTTP/1.1.
fn request(text: &str) -> String {
    let mut parts = text.split(" | ");
    let (method, url) = parts.next().unwrap().split_once(' ').unwrap();
    let (host, path) = url.split_at(url.find('/').unwrap());
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    for header in parts {
        request += &format!("{header}\r\n");
    }
    request + "\r\n"
}

/// A world with one listener, whose rules and attributes rows change.
struct Table {
    world: World,
    backend: Backend,
    rows: usize,
}

impl Table {
    async fn new(port: u16) -> Self {
        let backend = Backend::start("target").await;
        let mut world = World::new();
        world.groups = vec![group("g", &[backend.address])];
        world.load_balancers.push(load_balancer(address(), vec![listener(port, vec![], forward(&[("g", 1)]))]));
        world.apply().await;
        world.until("g", backend.address, Healthy).await;
        Self { world, backend, rows: 0 }
    }

    /// Where the listener listens; a stand-in port where its own is not permitted.
    fn at(&self) -> SocketAddr {
        *self.world.plane.bound()[0].bound.as_ref().unwrap()
    }

    /// One rule in front of the default action, which forwards.
    async fn rule(&mut self, conditions: Vec<Condition>, transforms: Vec<Transform>, action: Action) {
        let mut made = rule(1, conditions, action);
        made.transforms = transforms;
        self.world.listener().rules = vec![made.into()];
        self.world.apply().await;
    }

    async fn attributes(&mut self, attributes: LoadBalancerAttributes) {
        self.world.load_balancers[0].attributes = attributes;
        self.world.apply().await;
    }

    /// The answer to a request on a connection of its own.
    async fn ask(&mut self, bytes: &str) -> Reply {
        self.rows += 1;
        Client::connect(self.at()).await.send(bytes).await
    }

    async fn end(self, at_least: usize) {
        assert!(self.rows >= at_least, "{} rows", self.rows);
        self.world.plane.shutdown().await;
        drop(self.backend);
    }
}
