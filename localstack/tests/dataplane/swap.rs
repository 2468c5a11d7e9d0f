//! Changes of the configuration while clients send.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use portico_cloud::dataplane::health::HealthState::Healthy;
use tokio::{sync::watch, task::JoinSet};

use super::harness::{Backend, Client, World, fixed, forward, get, group, listener, path, rule, soon, target};

/// Requests that one client sends at most.
const REQUESTS: usize = 20_000;

/// Clients that send on kept-alive connections until told to stop; each answer must be a backend's.
struct Load {
    clients: JoinSet<()>,
    stop: Arc<AtomicBool>,
    /// Requests answered, by client.
    served: Vec<watch::Receiver<usize>>,
}

impl Load {
    fn start(at: SocketAddr, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut load = Self { clients: JoinSet::new(), stop: Arc::clone(&stop), served: Vec::new() };
        for _ in 0..clients {
            let stop = Arc::clone(&stop);
            let (sender, receiver) = watch::channel(0);
            load.served.push(receiver);
            load.clients.spawn(async move {
                let mut client = Client::connect(at).await;
                for served in 0..REQUESTS {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let reply = client.get("h", "/x").await;
                    assert_eq!(reply.status, 200, "request {served}: {reply:?}");
                    assert!(["a", "b"].contains(&reply.from()), "{reply:?}");
                    sender.send_replace(served + 1);
                }
            });
        }
        load
    }

    /// Waits until every client has had two more answers: the request that it had in flight, and one that it began afterwards.
    async fn proceed(&self) {
        for client in &self.served {
            let mut client = client.clone();
            let goal = *client.borrow() + 2;
            soon(client.wait_for(|served| *served >= goal)).await.expect("the client still sends");
        }
    }

    async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        self.served.iter().map(|served| *served.borrow()).sum()
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
        let listener = world.listener();
        listener.default_rule.action = forward(&[(now, 1), (later, 0)]);
        listener.rules = (1..=round % 7).map(|priority| rule(priority, vec![path(&["/other/*"])], fixed("other")).into()).collect();
        world.apply().await;
        // The next request is served by the new configuration.
        assert_eq!(get(at, "h", "/").await.from(), now);
        load.proceed().await;
    }
    assert!(load.end().await >= 40 * 8 * 2);
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
        let new = if round % 2 == 0 { &b } else { &a };
        // Register, wait until healthy, drain, and remove when nothing is in flight any more: as an operator should.
        world.groups[0].targets.push(target(new.address));
        world.load_balancers[0].listeners.push(listener(18081, vec![], fixed("second")).into());
        world.apply().await;
        world.until("g", new.address, Healthy).await;
        world.groups[0].targets[0].draining = true;
        world.apply().await;
        load.proceed().await;
        world.groups[0].targets.remove(0);
        world.load_balancers[0].listeners.pop();
        world.apply().await;
        load.proceed().await;
    }
    assert!(load.end().await >= 15 * 6 * 4);
    world.plane.shutdown().await;
}
