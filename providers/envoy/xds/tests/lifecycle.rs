//! A real Envoy through changes, refusals and restarts.

use crate::backend::Backend;
use crate::behaviour::{at, pass, serve};
use crate::client::get;
use crate::fleet::{PATIENCE, Replica};
use crate::keys::Keys;
use crate::plans;
use crate::proxy::{Form, Proxy};
use portico_envoy_xds::Envoy;
use portico_providers::Provider;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Requests one after another, each on a connection of its own, until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    client: std::thread::JoinHandle<Vec<String>>,
}

impl Load {
    pub fn start(to: SocketAddr) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = std::thread::spawn({
            let (stop, answered) = (stop.clone(), answered.clone());
            move || {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match get(to, "www.example.com", "/") {
                        Ok(answer) if answer.status == 200 => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        other => failures.push(format!("{other:?}")),
                    }
                }
                failures
            }
        });
        Self { stop, answered, client }
    }

    /// Waits for more answers.
    pub fn go_on(&self, count: usize) {
        let (start, before) = (Instant::now(), self.answered.load(Ordering::Relaxed));
        while self.answered.load(Ordering::Relaxed) < before + count && !self.client.is_finished() {
            assert!(start.elapsed() < PATIENCE, "requests are not answered");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Stops; no request may have failed.
    pub fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        assert_eq!(self.client.join().unwrap(), Vec::<String>::new());
    }
}

fn to(service: &str) -> String {
    format!("ports: [{{ listeners: [{{ rules: [{{ backends: [\"team-a/{service}:80\"] }}] }}] }}]")
}

/// What a counter of streams says for a kind of resources.
pub fn count(envoy: &Envoy, metric: &str, kind: &str) -> u64 {
    let mut registry = Registry::default();
    envoy.register_metrics(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let lines = text.lines().filter(|line| line.starts_with(&format!("{metric}{{")) && line.contains(&format!("kind=\"{kind}\"")));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn changes_and_restarts_lose_no_request() {
    let (first, second) = (Backend::start("first"), Backend::start("second"));
    let names: Vec<String> = (0..12).map(|number| format!("team-a/s{number}")).collect();
    let backends = names.iter().enumerate().map(|(index, name)| (name.as_str(), vec![if index % 2 == 0 { first.at } else { second.at }]));
    let endpoints: BTreeMap<&str, Vec<SocketAddr>> = backends.collect();
    let here = "127.92.0.3";
    let served = serve(here, &to("s0"), &endpoints).await;
    let (mut replica, proxy) = (served.replica, served.proxy);
    let load = Load::start(at(here, 80));
    load.go_on(20);

    // Each change brings a Service that the proxy has never heard of, and takes one away.
    for number in 1..12 {
        let stack = pass(&replica, here, &to(&format!("s{number}")), &endpoints).await;
        replica.acknowledged(&stack).await;
        load.go_on(5);
    }
    let start = Instant::now();
    while proxy.counter("cluster_manager.active_clusters") > 2 {
        assert!(start.elapsed() < PATIENCE, "clusters that nobody needs stay");
        std::thread::sleep(Duration::from_millis(20));
    }

    // Another process in the place of the replica: the proxy has everything already.
    for _ in 0..2 {
        let (address, keys) = (replica.at.to_string(), replica.keys.clone());
        replica.stop().await;
        load.go_on(5);
        replica = Replica::start(&address, keys).await;
        let stack = pass(&replica, here, &to("s11"), &endpoints).await;
        replica.envoy.is_complete();
        replica.acknowledged(&stack).await;
        for kind in ["cluster", "listener", "routes", "virtual-host"] {
            assert_eq!(count(&replica.envoy, "xds_resources_total", kind), 0, "{kind}");
        }
        load.go_on(5);
    }

    // Endpoints change without a pass, and cost nobody anything else.
    let moved = BTreeMap::from([("team-a/s11", vec![first.at])]);
    let before = first.seen("GET /");
    let stack = pass(&replica, here, &to("s11"), &moved).await;
    replica.acknowledged(&stack).await;
    let start = Instant::now();
    while first.seen("GET /") == before {
        assert!(start.elapsed() < PATIENCE, "no request comes to the new endpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(count(&replica.envoy, "xds_resources_total", "endpoints"), 1);
    assert_eq!(count(&replica.envoy, "xds_resources_total", "routes"), 0);
    assert_eq!(count(&replica.envoy, "xds_resources_total", "virtual-host"), 0);
    load.end();
    drop(proxy);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn what_is_refused_is_told_and_costs_nothing_else() {
    let backend = Backend::start("only");
    let endpoints = BTreeMap::from([("team-a/a", vec![backend.at]), ("team-a/b", vec![backend.at])]);
    let here = "127.92.0.4";
    let served = serve(here, &to("a"), &endpoints).await;
    let (replica, proxy) = (served.replica, served.proxy);
    let load = Load::start(at(here, 80));
    load.go_on(10);
    let bad = format!("profile: {{ accessLog: {{ path: /dev/null, format: \"%NONSENSE(\" }} }}\n{}", to("b"));
    let stack = pass(&replica, here, &bad, &endpoints).await;
    let progress = replica.until(&stack, "refused", |progress| !progress.refusals.is_empty()).await;
    assert!(progress.refusals.iter().any(|text| text.starts_with("listener gateway/infra/web/80: ")), "{progress:?}");
    load.go_on(10);
    // A proxy that comes now serves the last good configuration.
    let late = Proxy::start(&[replica.at], Form::Delta, "late");
    replica.until(&stack, "two proxies", |progress| progress.proxies == 2).await;
    let start = Instant::now();
    while late.counter("listener_manager.total_listeners_active") == 0 {
        assert!(start.elapsed() < PATIENCE, "the last good listener does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
    let stack = pass(&replica, here, &to("b"), &endpoints).await;
    replica.until(&stack, "mended", |progress| progress.refusals.is_empty() && progress.acknowledged == 2).await;
    load.end();
    drop((proxy, late));
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn a_proxy_may_come_before_the_first_gateway_and_stays_after_the_last() {
    let backend = Backend::start("only");
    let endpoints = BTreeMap::from([("team-a/a", vec![backend.at])]);
    let here = "127.92.0.5";
    let replica = Replica::start("127.0.0.1:0", Arc::new(Keys::new(&["a.example.com"]))).await;
    replica.envoy.is_complete();
    let proxy = Proxy::start(&[replica.at], Form::Delta, "early");
    let start = Instant::now();
    while proxy.admin().is_none() {
        assert!(start.elapsed() < PATIENCE, "the proxy does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..2 {
        let stack = pass(&replica, here, &to("a"), &endpoints).await;
        replica.acknowledged(&stack).await;
        assert_eq!(get(at(here, 80), "www.example.com", "/").unwrap().status, 200);
        // The Gateway goes, and with it everything that the proxy had for it.
        replica.pass(&plans::plan("gateways: [{ key: infra/web }]"), &|_| Vec::new()).await;
        replica.until(&stack, "gone", |progress| progress.version.is_none()).await;
        assert!(get(at(here, 80), "www.example.com", "/").is_err());
        assert_eq!(proxy.counter("cluster_manager.active_clusters"), 1);
    }
    drop(proxy);
    replica.stop().await;
}
