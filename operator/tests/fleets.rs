//! `portico plan` for Envoy fleets: what it prints is what an operator then publishes, and where each of it comes from. No proxy is needed for that.

mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use portico::clouds::Clouds;
use portico::cluster::{MemoryCluster, key_of};
use portico::keeper::{Keeper, SharedWorld};
use portico::lease::Holder;
use portico::manifests::Manifests;
use portico::metrics::Metrics;
use portico::operator::{Limits, Operator, OperatorParts};
use portico::plan::{self, Fleets};
use portico::secrets::ClusterSecrets;
use portico::watch::{Seen, Sighting};
use portico::witness::{Step, Witness, action_word};
use portico_aws_api::{Aws, AwsOptions};
use portico_crds::{Kind, NamespacedName};
use portico_envoy_xds::{Acknowledgement, Envoy};
use portico_providers::{ClusterId, ProviderError};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::harness::{LIMIT, parse};

/// What was published, in words.
#[derive(Clone, Debug, Default)]
struct Recorded(Arc<Mutex<Vec<String>>>);

impl Witness for Recorded {
    fn changed(&self, step: &Step, error: Option<&ProviderError>) {
        assert_eq!(error, None);
        self.0.lock().unwrap().push(format!("{} {}", action_word(step.action), step.operation));
    }
}

type Objects = BTreeMap<(Kind, NamespacedName), Value>;

/// An operator that serves fleets, on a cluster in memory.
struct Bench {
    cluster: Arc<MemoryCluster>,
    operator: Operator<Clouds>,
    recorded: Recorded,
    stop: CancellationToken,
}

async fn clouds() -> Clouds {
    // Nobody is there: what is asked of AWS is an error.
    let (region, endpoint) = (Some("us-east-1".into()), Some("http://127.0.0.1:1".into()));
    Clouds::new(Aws::connect(AwsOptions { region, endpoint, emulated: true, ..AwsOptions::default() }).await, Envoy::new())
}

fn cluster_id() -> ClusterId {
    ClusterId("test".into())
}

impl Bench {
    async fn start() -> Self {
        let (out, mut sightings) = mpsc::unbounded_channel();
        let cluster = Arc::new(MemoryCluster::new(out));
        let (world, recorded, stop) = (SharedWorld::default(), Recorded::default(), CancellationToken::new());
        let provider = clouds().await;
        provider.read_keys_from(&Arc::new(ClusterSecrets::new(cluster.clone())));
        let operator = Operator::new(OperatorParts {
            provider: Arc::new(provider),
            cluster_id: cluster_id(),
            world: world.clone(),
            cluster: cluster.clone(),
            leadership: Arc::new(Holder::unrivalled()),
            metrics: Arc::new(Metrics::default()),
            witness: Arc::new(recorded.clone()),
        });
        let (events_in, events) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Some(sighting) = sightings.recv().await {
                if events_in.send(sighting).await.is_err() {
                    return;
                }
            }
        });
        let concerned = operator.clone();
        tokio::spawn(Keeper::new(world, BTreeSet::new()).run(events, stop.clone(), move |impact| concerned.concern(impact)));
        let (working, until) = (operator.clone(), stop.clone());
        tokio::spawn(async move { working.run(Limits::default(), until).await });
        Self { cluster, operator, recorded, stop }
    }

    fn objects(&self) -> Objects {
        let of_kind = |kind: Kind| self.cluster.keys(kind).into_iter().map(move |key| (kind, key));
        let read = |place: (Kind, NamespacedName)| Some((place.clone(), self.cluster.read(place.0, &place.1)?));
        Kind::ALL.into_iter().flat_map(of_kind).filter_map(read).collect()
    }

    /// What the replica tells the others.
    fn said(&self) -> Vec<Vec<Acknowledgement>> {
        vec![self.operator.engine().provider().envoy().acknowledgements()]
    }

    /// The cluster's objects with these laid over them.
    fn overlaid(&self, overlay: &[(Kind, Value)]) -> Objects {
        let mut objects = self.objects();
        for (kind, object) in overlay {
            let mut object = object.clone();
            let there = objects.get(&(*kind, key_of(&object)));
            if let Some(status) = there.and_then(|it| it.get("status")) {
                object["status"] = status.clone();
            }
            for kept in ["uid", "generation", "creationTimestamp"] {
                if let Some(value) = there.and_then(|it| it.pointer(&format!("/metadata/{kept}"))) {
                    object["metadata"][kept] = value.clone();
                }
            }
            objects.insert((*kind, key_of(&object)), object);
        }
        objects
    }

    /// What `portico plan` says of the cluster with these objects laid over it.
    async fn plan(&self, overlay: &[(Kind, Value)], said: Result<&[Vec<Acknowledgement>], &str>) -> Value {
        self.plan_of(self.overlaid(overlay), said).await
    }

    /// What `portico plan` says of these objects, were they the cluster's.
    async fn plan_of(&self, objects: Objects, said: Result<&[Vec<Acknowledgement>], &str>) -> Value {
        let (now, then) = (world(self.objects()), world(objects));
        let fleets = Fleets::of(&now, &cluster_id(), said);
        // What is served now, and is gone then, is withdrawn.
        let units: BTreeSet<_> = now.read().units().chain(then.read().units()).collect();
        let (world, units) = (then, units.into_iter().collect());
        let document = plan::make_against(&world, &cluster_id(), units, BTreeSet::new(), Some(&clouds().await), &fleets).await;
        serde_json::to_value(&document).unwrap()
    }

    /// Applies objects: what is published then is what was planned before. Returns each change with its sources.
    async fn apply(&self, objects: Vec<(Kind, Value)>) -> Vec<(String, Vec<String>)> {
        let planned = changes(&self.plan(&objects, Ok(&self.said())).await);
        for (kind, object) in objects {
            self.cluster.apply(kind, object);
        }
        self.follows(&planned, &[]).await;
        planned
    }

    /// What is published now is what was planned, and a plan of it is empty. Of units in doubt nothing was planned.
    async fn follows(&self, planned: &[(String, Vec<String>)], in_doubt: &[String]) {
        let mut still = 0;
        let settled = async {
            while still < 10 {
                still = if self.operator.is_settled() { still + 1 } else { 0 };
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LIMIT, settled).await.unwrap();
        let mut made = std::mem::take(&mut *self.recorded.0.lock().unwrap());
        made.retain(|change| !in_doubt.iter().any(|unit| change.contains(unit)));
        made.sort();
        assert_eq!(made, planned.iter().map(|(change, _)| change.clone()).collect::<Vec<_>>());
        let again = changes(&self.plan(&[], Ok(&self.said())).await);
        assert_eq!(again, [], "a plan of what is published");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn world(objects: Objects) -> SharedWorld {
    let world = SharedWorld::default();
    let seen = objects.into_iter().map(|((kind, _), object)| Sighting { kind, seen: Seen::Applied(object) });
    Keeper::new(world.clone(), BTreeSet::new()).take(seen);
    world
}

/// The changes of a plan, ordered: what is done, and its sources.
fn changes(document: &Value) -> Vec<(String, Vec<String>)> {
    let each = document["units"].as_array().unwrap().iter().flat_map(|unit| unit["changes"].as_array().unwrap());
    let mut changes: Vec<(String, Vec<String>)> = each
        .map(|change| {
            let sources = change["sources"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect();
            (format!("{} {}", change["action"].as_str().unwrap(), change["operation"].as_str().unwrap()), sources)
        })
        .collect();
    changes.sort();
    changes
}

fn example() -> Vec<(Kind, Value)> {
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/");
    Manifests::load(&["envoy", "teams"].map(|folder| format!("{demo}{folder}").into())).unwrap().objects
}

fn route(weights: (u32, u32)) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: cart, namespace: shop}}, spec: {{parentRefs: \
         [{{name: public, namespace: platform}}], hostnames: [shop.example.com], rules: [{{name: testers, matches: [{{path: {{type: PathPrefix, value: /cart}}, \
         headers: [{{name: x-track, value: canary}}]}}], backendRefs: [{{name: cart-canary, port: 80}}]}}, {{name: everyone, matches: [{{path: {{type: PathPrefix, \
         value: /cart}}}}], backendRefs: [{{name: cart-stable, port: 80, weight: {}}}, {{name: cart-canary, port: 80, weight: {}}}]}}]}}}}",
        weights.0, weights.1
    )
}

/// The object of a manifest, without the namespace that it takes for granted.
fn only(manifest: &str) -> Vec<(Kind, Value)> {
    parse(manifest).into_iter().filter(|(kind, _)| *kind != Kind::Namespace).collect()
}

fn expected(changes: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    changes.iter().map(|(change, sources)| ((*change).to_owned(), sources.iter().map(|it| (*it).to_owned()).collect())).collect()
}

#[tokio::test]
async fn what_a_plan_prints_is_what_is_published() {
    let bench = Bench::start().await;
    let begun = bench.apply(example()).await;
    assert_eq!(
        begun,
        expected(&[
            ("create publish cluster gateway/news/preview/service/news/articles:8080", &["Service news/articles"]),
            ("create publish cluster gateway/platform/public/service/news/articles:8080", &["Service news/articles"]),
            ("create publish cluster gateway/platform/public/service/shop/cart-canary:80", &["Service shop/cart-canary"]),
            ("create publish cluster gateway/platform/public/service/shop/cart-stable:80", &["Service shop/cart-stable"]),
            ("create publish listener gateway/news/preview/8088", &["Gateway news/preview"]),
            ("create publish listener gateway/platform/public/80", &["Gateway platform/public"]),
            ("create publish routes gateway/news/preview/8088/*", &["Gateway news/preview"]),
            ("create publish routes gateway/platform/public/80/*", &["Gateway platform/public"]),
            ("create publish virtual-host gateway/news/preview/8088/*/*", &["HTTPRoute news/preview rules[0].matches[0]"]),
            ("create publish virtual-host gateway/platform/public/80/*/*.example.com", &["Gateway platform/public"]),
            ("create publish virtual-host gateway/platform/public/80/*/news.example.com", &["HTTPRoute news/articles rules[0].matches[0]"]),
            (
                "create publish virtual-host gateway/platform/public/80/*/shop.example.com",
                &["HTTPRoute shop/cart rules[0].matches[0]", "HTTPRoute shop/cart rules[1].matches[0]"]
            ),
        ])
    );
    // A label comes to nothing.
    let mut labelled = only(&route((90, 10)));
    labelled[0].1["metadata"]["labels"] = json!({"team": "shop"});
    assert_eq!(bench.apply(labelled).await, []);
    // Of a route that changes the rule is named that does.
    let routes =
        ("update publish virtual-host gateway/platform/public/80/*/shop.example.com", &["HTTPRoute shop/cart rules[1].matches[0]"][..]);
    assert_eq!(bench.apply(only(&route((80, 20)))).await, expected(&[routes]));
    // A backend that nobody needs any more is named as what it was.
    let canary = ("delete withdraw cluster gateway/platform/public/service/shop/cart-stable:80", &["Service shop/cart-stable"][..]);
    assert_eq!(bench.apply(only(&route((80, 20)).replace("name: cart-stable", "name: cart-canary"))).await, expected(&[canary, routes]));
    assert_eq!(bench.apply(only(&route((80, 20)))).await.len(), 2);
    // A port more.
    let gateway = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: preview, namespace: news}, spec: {gatewayClassName: \
                   portico, listeners: [{name: http, port: 8088, protocol: HTTP}, {name: more, port: 8089, protocol: HTTP}]}}";
    assert_eq!(
        bench.apply(only(gateway)).await,
        expected(&[
            ("create publish listener gateway/news/preview/8089", &["Gateway news/preview"]),
            ("create publish routes gateway/news/preview/8089/*", &["Gateway news/preview"]),
            ("create publish virtual-host gateway/news/preview/8089/*/*", &["HTTPRoute news/preview rules[0].matches[0]"]),
        ])
    );
}

#[tokio::test]
async fn what_nobody_says_is_not_made_up() {
    let bench = Bench::start().await;
    bench.apply(example()).await;
    let notes = |document: &Value| -> Vec<String> {
        document["units"].as_array().unwrap().iter().filter_map(|unit| Some(unit.get("note")?.as_str()?.to_owned())).collect()
    };
    let said = bench.said();
    assert_eq!(notes(&bench.plan(&[], Ok(&said)).await), Vec::<String>::new());
    // Nobody is there.
    let alone = bench.plan(&[], Ok(&[])).await;
    assert_eq!((changes(&alone).len(), notes(&alone).len()), (12, 2));
    assert!(notes(&alone)[0].contains("Nobody says what the fleet demo is told"), "{alone}");
    // A replica that lags behind.
    let mut behind = said.clone();
    behind.push(
        said[0]
            .iter()
            .take(1)
            .cloned()
            .map(|mut it| {
                it.progress.version = None;
                it
            })
            .collect(),
    );
    let document = bench.plan(&[], Ok(&behind)).await;
    assert_eq!(notes(&document).len(), 1);
    assert!(notes(&document)[0].contains("not what the cluster's objects come to"), "{document}");
    // Nobody can be asked.
    let refused = bench.plan(&[], Err("ConfigMaps may not be listed")).await;
    assert!(notes(&refused).iter().all(|note| note.starts_with("ConfigMaps may not be listed.")), "{refused}");
}
