//! Envoy, the streams: what fleets of proxies are told, and what they answer.
//!
//! [`Envoy`] implements [`portico_providers::Provider`]. What to tell is decided in [`portico_envoy`]; here is how: a store of resources by unit with versions that are hashes of
//! their content, and the aggregated discovery service (ADS), in both of its forms, over gRPC.
//!
//! Of tonic only the codec is used, over hyper: its server and its client would turn on features of `tower` that the AWS SDKs are built with.

mod ads;
mod discovery;
mod identity;
mod metrics;
mod patience;
mod peers;
mod provider;
#[cfg(test)]
mod proxy;
mod publish;
mod resource;
mod routes;
mod server;
mod store;
mod stream;

pub use identity::TokenReviewer;
pub use peers::Acknowledgement;
pub use portico_envoy::{Observed, Operation, Stack, supported};
pub use server::ServerTls;
pub use store::Progress;

use ads::Ads;
use metrics::Counters;
use patience::Patience;
use peers::Peers;
use portico_providers::{Secrets, UnitId};
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

type Tell = Arc<dyn Fn(&UnitId) + Send + Sync>;

/// Fleets of Envoy proxies. Cheap to clone; clones share what they tell.
#[derive(Clone)]
pub struct Envoy {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<Store>,
    counters: Arc<Counters>,
    secrets: OnceLock<Arc<dyn Secrets>>,
    reviewer: Arc<OnceLock<Arc<dyn TokenReviewer>>>,
    tell: OnceLock<Tell>,
    complete: CancellationToken,
    peers: Mutex<Peers>,
    patience: Mutex<Patience>,
    /// Units whose pass is under way and looks at its proxies by itself.
    looking: Mutex<BTreeSet<UnitId>>,
    /// Counts changes of units' progress, for those who wait for one.
    progress: watch::Sender<u64>,
    /// Whether this process serves proxies at all.
    serves: AtomicBool,
}

impl fmt::Debug for Envoy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envoy").field("units", &self.shared.store.units()).finish_non_exhaustive()
    }
}

impl Default for Envoy {
    fn default() -> Self {
        Self::new()
    }
}

impl Envoy {
    /// Tells nothing yet, and hears nobody.
    pub fn new() -> Self {
        let shared = Shared {
            store: Arc::default(),
            counters: Arc::default(),
            secrets: OnceLock::new(),
            reviewer: Arc::default(),
            tell: OnceLock::new(),
            complete: CancellationToken::new(),
            peers: Mutex::default(),
            patience: Mutex::new(Patience::begin(Instant::now())),
            looking: Mutex::default(),
            progress: watch::Sender::new(0),
            serves: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Says where certificates and keys come from, once, before anything is executed.
    pub fn read_keys_from(&self, secrets: Arc<dyn Secrets>) {
        if self.shared.secrets.set(secrets).is_err() {
            tracing::warn!("the source of private keys was set before, and stays");
        }
    }

    /// Says who reviews the tokens of ServiceAccounts, once.
    pub fn review_tokens_by(&self, reviewer: Arc<dyn TokenReviewer>) {
        if self.shared.reviewer.set(reviewer).is_err() {
            tracing::warn!("the reviewer of tokens was set before, and stays");
        }
    }

    /// Shows in a registry what is counted of streams: `xds_streams`, `xds_responses`, `xds_resources`, `xds_bytes`, `xds_acknowledged`, `xds_refused`.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.shared.counters.register(registry);
    }

    /// Serves proxies until `stop` is cancelled: in clear text, or with the given TLS, which checks client certificates if proxies have to show one. Proxies are heard from the
    /// moment when [`portico_providers::Provider::is_complete`] was called.
    pub fn serve(&self, listener: TcpListener, tls: Option<ServerTls>, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        self.shared.serves.store(true, Ordering::Relaxed);
        let envoy = self.clone();
        let ads = Ads {
            store: self.shared.store.clone(),
            counters: self.shared.counters.clone(),
            reviewer: self.shared.reviewer.clone(),
            complete: self.shared.complete.clone(),
            stop: stop.clone(),
            news: Arc::new(move || envoy.tell_news()),
        };
        server::serve(ads, listener, tls, stop)
    }

    /// How far this replica's proxies are, unit by unit: for the leader.
    pub fn acknowledgements(&self) -> Vec<Acknowledgement> {
        let all = self.shared.store.all_progress().into_iter();
        all.map(|(fleet, unit, progress)| Acknowledgement { fleet, unit, progress }).collect()
    }

    /// Takes what another replica says of its proxies, in the place of all that it said before; nothing once it is gone.
    pub fn hear_replica(&self, replica: &str, said: Vec<Acknowledgement>) {
        let units = lock(&self.shared.peers).set(replica, said);
        self.tell(&units);
    }

    /// How far all proxies are with a unit, as far as this replica knows.
    pub fn progress(&self, fleet: &str, unit: &UnitId) -> Progress {
        let own = self.shared.store.progress(fleet, unit);
        lock(&self.shared.peers).merge(fleet, unit, own)
    }

    /// Changes whenever [`Self::acknowledgements`] may have.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.progress.subscribe()
    }

    /// Comes back once everything that the cluster holds has been published: what this replica then does not tell does not exist.
    pub async fn completed(&self) {
        self.shared.complete.cancelled().await;
    }

    fn begin_to_wait(&self) {
        *lock(&self.shared.patience) = Patience::begin(Instant::now());
    }

    fn tell_news(&self) {
        let units: Vec<UnitId> = self.shared.store.take_news().into_iter().collect();
        self.tell(&units);
    }

    fn tell(&self, units: &[UnitId]) {
        if units.is_empty() {
            return;
        }
        self.shared.progress.send_modify(|count| *count += 1);
        let looked_at = lock(&self.shared.looking).clone();
        units.iter().filter(|unit| !looked_at.contains(unit)).for_each(|unit| self.wake(unit));
    }

    fn wake(&self, unit: &UnitId) {
        if let Some(tell) = self.shared.tell.get() {
            tell(unit);
        }
    }

    /// Begins to look at a unit's proxies: what happens to it wakes nobody else until the end.
    fn look(&self, unit: &UnitId) -> Looking<'_> {
        lock(&self.shared.looking).insert(unit.clone());
        Looking { envoy: self, unit: unit.clone() }
    }
}

/// A look at a unit's proxies, until this is dropped.
struct Looking<'a> {
    envoy: &'a Envoy,
    unit: UnitId,
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        lock(&self.envoy.shared.looking).remove(&self.unit);
    }
}

/// A lock whose holder never panics while holding it; what a panic elsewhere left is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
