//! The provider as an operator uses it, on loopback.

use crate::keys::Keys;
use crate::plans;
use portico_envoy_xds::{Envoy, Operation, Progress as Acknowledged, Stack};
use portico_providers::{
    Change, Endpoint, Leadership, LoadBalancerState, Outcome, Plan, Progress, Provider, ProviderError, ServiceTargets,
};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

struct Nobody;

impl Leadership for Nobody {
    fn is_leader(&self) -> bool {
        false
    }
}

impl Progress<Operation> for Nobody {
    fn begin(&self, _change: &Change<Operation>) {}
    fn end(&self, _change: &Change<Operation>, _error: Option<&ProviderError>) {}
}

/// One replica.
pub struct Replica {
    pub envoy: Envoy,
    pub keys: Arc<Keys>,
    pub at: SocketAddr,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
}

impl Replica {
    /// Listens at an address; port 0 for any.
    pub async fn start(at: &str, keys: Arc<Keys>) -> Self {
        let envoy = Envoy::new();
        envoy.read_keys_from(keys.clone());
        let listener = TcpListener::bind(at).await.unwrap();
        let at = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(envoy.serve(listener, None, stop.clone()));
        Self { envoy, keys, at, stop, server }
    }

    /// Ends in order.
    pub async fn stop(self) {
        self.stop.cancel();
        self.server.await.unwrap();
    }

    /// A pass over a unit, with the endpoints that `endpoints` gives each Service (`namespace/name`).
    pub async fn pass(&self, plan: &Plan, endpoints: &dyn Fn(&str) -> Vec<SocketAddr>) -> Stack {
        let compiled = self.envoy.compile(&plans::cluster(), plan);
        let leadership: Arc<dyn Leadership> = Arc::new(Nobody);
        for binding in &compiled.bindings {
            let of = endpoints(&binding.source.service.to_string());
            let targets = ServiceTargets { binding: binding.clone(), endpoints: of.into_iter().map(endpoint).collect::<BTreeSet<_>>() };
            self.envoy.sync_targets(&targets, &leadership).await.unwrap();
        }
        let observed = self.envoy.observe(&compiled.stack, false).await.unwrap();
        let changes = self.envoy.diff(&compiled.stack, &observed).unwrap();
        self.envoy.execute(&compiled.stack, changes, &leadership, &Nobody).await.unwrap();
        compiled.stack
    }

    /// Waits until something holds of a unit's progress.
    pub async fn until(&self, stack: &Stack, what: &str, holds: impl Fn(&Acknowledged) -> bool) -> Acknowledged {
        let start = Instant::now();
        loop {
            let progress = self.envoy.progress(&stack.fleet, &stack.unit);
            if holds(&progress) {
                return progress;
            }
            assert!(start.elapsed() < PATIENCE, "{what}: {progress:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until every proxy has acknowledged a unit.
    pub async fn acknowledged(&self, stack: &Stack) {
        let progress = self.until(stack, "acknowledged", |it| {
            !it.refusals.is_empty() || (it.acknowledged > 0 && it.waiting == 0 && it.proxies == it.acknowledged)
        });
        let progress = progress.await;
        assert!(progress.refusals.is_empty(), "{}: {:#?}", stack.unit, progress.refusals);
        let Outcome { state, .. } = self.envoy.outcome(stack).await.unwrap();
        assert_eq!(state, LoadBalancerState::Active);
    }
}

fn endpoint(at: SocketAddr) -> Endpoint {
    Endpoint { address: at.ip(), port: at.port(), ready: true, serving: true, terminating: false, node: None, zone: None, target_ref: None }
}
