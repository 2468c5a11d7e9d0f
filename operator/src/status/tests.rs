use std::collections::BTreeSet;
use std::time::Duration;

use portico_crds::CONTROLLER_NAME;
use portico_providers::{RouteId, RouteKind};
use portico_translate::{Impact, translate};
use serde_json::json;
use tokio::sync::mpsc;

use super::*;
use crate::cluster::{Cluster, MemoryCluster};
use crate::keeper::{Keeper, SharedWorld};
use crate::lease::Holder;
use crate::watch::Sighting;

/// A cluster in memory with one Gateway and one route, and a writer.
struct Lab {
    cluster: Arc<MemoryCluster>,
    keeper: Keeper,
    seen: mpsc::UnboundedReceiver<Sighting>,
    writer: StatusWriter,
    metrics: Arc<Metrics>,
    world: SharedWorld,
}

fn unit() -> UnitId {
    UnitId::Gateway(NamespacedName::new("a", "g"))
}

fn place() -> Place {
    (Kind::HttpRoute, NamespacedName::new("a", "r"))
}

impl Lab {
    fn new() -> Self {
        let (out, seen) = mpsc::unbounded_channel();
        let cluster = Arc::new(MemoryCluster::new(out));
        let world = SharedWorld::default();
        let keeper = Keeper::new(world.clone(), BTreeSet::new());
        let objects = Arc::new(Objects::new(world.clone(), cluster.clone()));
        let metrics = Arc::new(Metrics::default());
        let writer = StatusWriter::new(objects, Arc::new(Holder::unrivalled()), metrics.clone());
        cluster.apply(Kind::GatewayClass, json!({"metadata": {"name": "c"}, "spec": {"controllerName": CONTROLLER_NAME}}));
        let listener = json!({"name": "http", "port": 80, "protocol": "HTTP"});
        cluster.apply(
            Kind::Gateway,
            json!({"metadata": {"name": "g", "namespace": "a"}, "spec": {"gatewayClassName": "c", "listeners": [listener]}}),
        );
        cluster.apply(Kind::HttpRoute, json!({"metadata": {"name": "r", "namespace": "a"}, "spec": {"parentRefs": [{"name": "g"}]}}));
        let mut lab = Self { cluster, keeper, seen, writer, metrics, world };
        lab.events();
        lab
    }

    /// How many statuses wait to be written.
    fn waiting(&self) -> i64 {
        self.metrics.depth("statuses").get()
    }

    /// Takes in what the watch shows, as the operator does.
    fn events(&mut self) -> Impact {
        let seen = &mut self.seen;
        let impact = self.keeper.take(std::iter::from_fn(|| seen.try_recv().ok()));
        for place in &impact.statuses {
            self.writer.look(place);
        }
        impact
    }

    fn say(&self) {
        let report = translate(&self.world.read(), &unit()).unwrap().report;
        let statuses = report.statuses(&self.world.read());
        self.writer.say(&Some(unit()), statuses);
    }

    /// Writes everything that is due now; says how much was written.
    async fn write(&mut self) -> usize {
        let mut writes = 0;
        while !self.writer.queue().is_settled() {
            let place = self.writer.queue().next().await;
            let before = self.cluster.read(place.0, &place.1);
            let finish = self.writer.write(&place).await;
            self.writer.queue().finish(&place, finish);
            writes += usize::from(self.cluster.read(place.0, &place.1) != before);
        }
        writes
    }

    async fn rewrite(&self, change: impl Fn(&mut Value)) {
        let (kind, key) = place();
        let object = self.cluster.read(kind, &key).unwrap();
        let mut status = object["status"].clone();
        change(&mut status);
        self.cluster.write_status(kind, &object, status).await.unwrap();
    }

    fn entries(&self) -> Vec<String> {
        let (kind, key) = place();
        let route = self.cluster.read(kind, &key).unwrap();
        let entries = route["status"]["parents"].as_array().unwrap();
        entries.iter().map(|it| it["controllerName"].as_str().unwrap().to_owned()).collect()
    }
}

fn foreign() -> Value {
    json!({"controllerName": "example.com/other", "parentRef": {"name": "theirs"}, "conditions": []})
}

#[tokio::test]
async fn what_others_take_away_is_said_again_and_the_rest_costs_nothing() {
    let mut lab = Lab::new();
    lab.say();
    assert_eq!(lab.write().await, 2, "the Gateway and the route");
    // Our own writes come back as events.
    assert_eq!(lab.events().statuses.len(), 2);
    assert_eq!(lab.waiting(), 0);
    // A foreign entry is nobody's business.
    lab.rewrite(|status| status["parents"].as_array_mut().unwrap().insert(0, foreign())).await;
    let impact = lab.events();
    assert!(impact.statuses.contains(&place()) && impact.units.is_empty(), "{impact:?}");
    assert_eq!(lab.waiting(), 0);
    // Ours altered, and ours deleted: there again, each after one write, and the foreign one stays.
    lab.rewrite(|status| status["parents"][1]["conditions"][0]["status"] = json!("False")).await;
    lab.events();
    assert_eq!(lab.write().await, 1);
    lab.events();
    assert_eq!(lab.entries(), ["example.com/other", CONTROLLER_NAME]);
    assert_eq!(lab.waiting(), 0);
    lab.rewrite(|status| drop(status["parents"].as_array_mut().unwrap().pop())).await;
    assert_eq!(lab.entries(), ["example.com/other"]);
    let impact = lab.events();
    assert!(impact.units.is_empty(), "no pass is needed");
    assert_eq!(lab.waiting(), 1, "it waits: it is the second time");
    assert!(lab.writer.queue().is_settled(), "and is not due yet");
    tokio::time::timeout(Duration::from_secs(30), lab.writer.queue().next()).await.unwrap();
    lab.writer.write(&place()).await;
    assert_eq!(lab.entries(), ["example.com/other", CONTROLLER_NAME]);
}

#[tokio::test]
async fn what_stands_is_not_looked_at_again_until_the_object_or_the_words_change() {
    let mut lab = Lab::new();
    lab.say();
    lab.write().await;
    // Before and after the watch shows it.
    lab.say();
    assert_eq!(lab.waiting(), 0);
    lab.events();
    lab.say();
    assert_eq!(lab.waiting(), 0);
    // Another word, and the former one before that is written: the last one counts.
    let (_, key) = place();
    let report = translate(&lab.world.read(), &unit()).unwrap().report;
    let meant = report.statuses(&lab.world.read());
    let mut other = report.clone();
    other.fail(&portico_providers::ProviderError::Settings { message: "no".into() });
    let other = other.statuses(&lab.world.read());
    assert_ne!(meant, other);
    lab.writer.say(&Some(unit()), other);
    assert!(lab.waiting() > 0);
    lab.writer.say(&Some(unit()), meant);
    assert_eq!(lab.write().await, 0, "{key}: what was said last stands already");
    // Somebody else changes the object.
    lab.events();
    lab.rewrite(|status| status["parents"][0]["conditions"][0]["status"] = json!("False")).await;
    lab.events();
    lab.say();
    assert_eq!(lab.write().await, 1);
}

#[tokio::test]
async fn what_no_longer_holds_is_not_said_again() {
    let mut lab = Lab::new();
    lab.say();
    lab.write().await;
    lab.events();
    // The route loses its parent: its entry goes, and somebody's write later does not bring it back.
    lab.cluster
        .apply(Kind::HttpRoute, json!({"metadata": {"name": "r", "namespace": "a"}, "spec": {"parentRefs": [{"name": "elsewhere"}]}}));
    let impact = lab.events();
    assert!(impact.routes.contains(&RouteId { kind: RouteKind::Http, key: place().1 }), "{impact:?}");
    lab.rewrite(|status| *status = json!({"parents": [foreign()]})).await;
    lab.events();
    assert_eq!(lab.waiting(), 0);
    lab.writer.look(&place());
    assert_eq!(lab.waiting(), 0);
}
