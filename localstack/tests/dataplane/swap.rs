//! Changes of the configuration while clients send.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use portico_cloud::dataplane::health::HealthState::Healthy;
use tokio::task::JoinSet;

use super::harness::{Backend, Client, World, fixed, forward, get, group, listener, path, rule, target};

/// Requests that one client sends at most.
const REQUESTS: usize = 20_000;

/// Clients that send on kept-alive connections until told to stop; each answer must be a backend's.
struct Load {
    clients: JoinSet<usize>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
}

impl Load {
    fn start(at: SocketAddr, clients: usize) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            set.spawn(async move {
                let mut client = Client::connect(at).await;
                let mut served = 0;
                while served < REQUESTS && !stop.load(Ordering::Relaxed) {
                    let reply = client.get("h", "/x").await;
                    assert_eq!(reply.status, 200, "request {served}: {reply:?}");
                    assert!(["a", "b"].contains(&reply.from()), "{reply:?}");
                    served += 1;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                served
            });
        }
        Self { clients: set, stop, sent }
    }

    /// Lets some more requests pass.
    async fn proceed(&self, count: usize) {
        let goal = self.sent.load(Ordering::Relaxed) + count;
        super::harness::soon(async {
            while self.sent.load(Ordering::Relaxed) < goal {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut total = 0;
        while let Some(served) = self.clients.join_next().await {
            total += served.unwrap();
        }
        total
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_when_rules_change() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let mut world = World::new();
    world.groups = vec![group("a", &[a.address]), group("b", &[b.address])];
    let at = world.serve(vec![], forward(&[("a", 1), ("b", 0)])).await;
    let load = Load::start(at, 8);
    for round in 0..40 {
        let (now, later) = if round % 2 == 0 { ("b", "a") } else { ("a", "b") };
        let listener = &mut world.load_balancers[0].listeners[0];
        listener.default_rule.action = forward(&[(now, 1), (later, 0)]);
        listener.rules = (1..=round % 7).map(|priority| rule(priority, vec![path(&["/other/*"])], fixed("other"))).collect();
        world.apply().await;
        // The next request is served by the new configuration.
        assert_eq!(get(at, "h", "/").await.from(), now);
        load.proceed(20).await;
    }
    assert!(load.end().await >= 800);
    world.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_when_targets_and_listeners_come_and_go() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let mut world = World::new();
    world.groups = vec![group("g", &[a.address])];
    let at = world.serve(vec![], forward(&[("g", 1)])).await;
    let load = Load::start(at, 6);
    for round in 0..15 {
        let (old, new) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        // Register, wait until healthy, drain, and remove when nothing is in flight any more: as an operator should.
        world.groups[0].targets.push(target(new.address));
        world.load_balancers[0].listeners.push(listener(18081, vec![], fixed("second")));
        world.apply().await;
        world.until("g", new.address, Healthy).await;
        world.groups[0].targets[0].draining = true;
        world.apply().await;
        load.proceed(10).await;
        super::harness::soon(old.busy.clone().wait_for(|busy| *busy == 0)).await.unwrap();
        // The backend is done; its last responses are on their way to the clients.
        load.proceed(20).await;
        world.groups[0].targets.remove(0);
        world.load_balancers[0].listeners.pop();
        world.apply().await;
        load.proceed(10).await;
    }
    assert!(load.end().await >= 600);
    world.plane.shutdown().await;
}
