//! An operator on a cluster in memory and an embedded cloud, in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use portico::cluster::MemoryCluster;
use portico::keeper::{Keeper, SharedWorld};
use portico::lease::Holder;
use portico::manifests::Manifests;
use portico::metrics::Metrics;
use portico::operator::{Limits, Operator, OperatorParts};
use portico::witness::LogWitness;
use portico_aws_api::{Aws, AwsOptions};
use portico_cloud::{Cloud, CloudConfig};
use portico_crds::{Kind, NamespacedName};
use portico_providers::ClusterId;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The binary under test.
pub const PORTICO: &str = env!("CARGO_BIN_EXE_portico");

/// Longest wait for anything: only a hanging test sees its end.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Bench {
    pub cloud: Cloud,
    pub cluster: Arc<MemoryCluster>,
    pub operator: Operator<Aws>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Bench {
    pub async fn start() -> Self {
        let cloud = Cloud::start(CloudConfig::default()).await.unwrap();
        let options = AwsOptions { region: Some("us-east-1".into()), endpoint: Some(cloud.endpoint()), vpc: None, emulated: true };
        let provider = Arc::new(Aws::connect(options).await.unwrap());
        let (out, mut sightings) = mpsc::unbounded_channel();
        let (cluster, world) = (Arc::new(MemoryCluster::new(out)), SharedWorld::default());
        let operator = Operator::new(OperatorParts {
            provider,
            cluster_id: ClusterId("test".into()),
            world: world.clone(),
            cluster: cluster.clone(),
            leadership: Arc::new(Holder::unrivalled()),
            metrics: Arc::new(Metrics::default()),
            witness: Arc::new(LogWitness),
        });
        // Endpoints of these tests answer no health checks: changes that wait for healthy ones go on soon.
        operator.targets().set_patience(Duration::from_secs(2));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (events, received) = mpsc::channel(64);
        tasks.spawn(async move {
            while let Some(sighting) = sightings.recv().await {
                if events.send(sighting).await.is_err() {
                    return;
                }
            }
        });
        let keeper = Keeper::new(world, BTreeSet::new());
        let concerned = operator.clone();
        tasks.spawn(keeper.run(received, stop.clone(), move |impact| concerned.concern(impact)));
        let (working, stopped) = (operator.clone(), stop.clone());
        tasks.spawn(async move { working.run(Limits::default(), stopped).await });
        Self { cloud, cluster, operator, stop, tasks }
    }

    /// Applies manifests and waits until there is nothing left to do.
    pub async fn apply(&self, manifests: &str) {
        for (kind, object) in Manifests::parse([("test.yaml", manifests)]).unwrap().objects {
            self.cluster.apply(kind, object);
        }
        self.settle().await;
    }

    pub async fn settle(&self) {
        assert!(self.operator.settle(LIMIT).await, "the operator does not come to rest");
    }

    /// Calls by operation that `action` costs.
    pub async fn cost(&self, action: impl AsyncFnOnce(&Self)) -> BTreeMap<String, u64> {
        let before = self.cloud.calls().operations;
        action(self).await;
        self.settle().await;
        let after = self.cloud.calls().operations;
        let cost = |(name, count): (String, u64)| {
            let more = count - before.get(&name).copied().unwrap_or_default();
            (more > 0).then_some((name, more))
        };
        after.into_iter().filter_map(cost).collect()
    }

    pub fn condition(&self, kind: Kind, key: &str, pointer: &str, name: &str) -> String {
        let object = self.cluster.read(kind, &key.parse::<NamespacedName>().unwrap()).unwrap_or_default();
        let conditions = object.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
        let found = conditions.into_iter().find(|condition| condition.get("type") == Some(&json!(name))).unwrap_or_default();
        let text = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or("-").to_owned();
        format!("{} {}", text("status"), text("reason"))
    }

    pub async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        drop((self.operator, self.cluster));
        let _ = tokio::time::timeout(Duration::from_secs(10), self.tasks.wait()).await;
        self.cloud.shutdown().await;
    }
}

/// A class, a Gateway and a route to a Service with endpoints at the given addresses.
pub fn shop(label: &str, endpoints: &[&str]) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|it| format!("{{addresses: [{it}], conditions: {{ready: true}}}}")).collect();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: alb}}
spec: {{controllerName: portico.dev/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec: {{gatewayClassName: alb, listeners: [{{name: http, port: 80, protocol: HTTP}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 3000}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-1, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
endpoints: [{}]
ports: [{{name: '', port: 3000, protocol: TCP}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web, namespace: shop, labels: {{label: '{label}'}}}}
spec:
  parentRefs: [{{name: edge}}]
  rules: [{{backendRefs: [{{name: web, port: 80}}]}}]
",
        endpoints.join(", ")
    )
}

/// One call of the ELBv2 query API, as anyone with the account could make it.
pub async fn call(cloud: &Cloud, action: &str, parameters: &[(&str, &str)]) {
    use http_body_util::Full;
    use hyper::body::Bytes;
    let escape = |text: &str| text.replace('%', "%25").replace(':', "%3A").replace('/', "%2F");
    let mut body = format!("Action={action}&Version=2015-12-01");
    for (name, value) in parameters {
        body.push_str(&format!("&{name}={}", escape(value)));
    }
    let stream = tokio::net::TcpStream::connect(cloud.address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let signature =
        "AWS4-HMAC-SHA256 Credential=someone/20260101/us-east-1/elasticloadbalancing/aws4_request, SignedHeaders=host, Signature=00";
    let request = http::Request::post("/")
        .header("host", cloud.address().to_string())
        .header("authorization", signature)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert!(response.status().is_success(), "{action}: {}", response.status());
    connection.abort();
}
