//! The election's loop against a Kubernetes API server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube_client::api::{Api, PostParams};
use kube_client::{Client, Error};
use portico_crds::kubernetes::{Lease, LeaseSpec, MicroTime, jiff};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Election, Holder, LeaseTimes, Record, Verdict};

/// The lease was held and is lost; the process must stop.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another replica took over, or renewals failed for too long.
    #[error("the lease {lease} is lost: {reason}")]
    Lost {
        /// `namespace/name`.
        lease: String,
        /// What happened.
        reason: String,
    },
}

/// Keeps one Lease held, or waits for it.
pub struct Elector {
    api: Api<Lease>,
    place: String,
    name: String,
    identity: String,
    times: LeaseTimes,
    holder: Arc<Holder>,
    leading: watch::Sender<bool>,
}

impl Elector {
    /// An elector for the Lease `namespace/name`. `identity` must be unique among the replicas.
    pub fn new(client: Client, namespace: &str, name: &str, identity: String, times: LeaseTimes, holder: Arc<Holder>) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            place: format!("{namespace}/{name}"),
            name: name.to_owned(),
            identity,
            times,
            holder,
            leading: watch::Sender::new(false),
        }
    }

    /// Whether this replica leads, as it changes.
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.leading.subscribe()
    }

    /// Competes until `stop`, then releases the lease. Ends with an error as soon as a lease that was held is lost.
    pub async fn run(self, stop: CancellationToken) -> Result<(), LeaseError> {
        let mut election = Election::new(self.identity.as_str());
        let mut told = String::new();
        loop {
            let pause = match self.step(&mut election, &mut told).await {
                Ok(pause) => pause,
                Err(error) => {
                    warn!(lease = %self.place, error = %error, "cannot read or write the lease");
                    self.times.retry.min(Duration::from_secs(1))
                }
            };
            let leads = *self.leading.borrow();
            if leads && !self.holder.holds_at(Instant::now()) {
                self.leading.send_replace(false);
                return Err(LeaseError::Lost { lease: self.place.clone(), reason: self.reason(&told) });
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => break,
            }
        }
        self.release().await;
        Ok(())
    }

    /// Why a lease that was held is lost: `taken_by` is the other holder that was seen, if any.
    fn reason(&self, taken_by: &str) -> String {
        if taken_by.is_empty() {
            format!("no renewal succeeded for {} s", self.times.deadline.as_secs())
        } else {
            format!("{taken_by} took it")
        }
    }

    async fn step(&self, election: &mut Election, told: &mut String) -> Result<Duration, Error> {
        // The promise counts from before the request: the server cannot have written earlier.
        let before = Instant::now();
        let limit = self.times.retry.max(Duration::from_secs(2));
        let lease = within(limit, self.api.get_opt(&self.name)).await?;
        let record = lease.as_ref().map(record);
        let verdict = election.evaluate(record.as_ref(), before);
        if let (Verdict::Wait(rest), Some(record)) = (verdict, &record) {
            if *self.leading.borrow() {
                self.holder.drop_lease();
            }
            if *told != record.holder {
                info!(lease = %self.place, holder = %record.holder, "another replica leads; standing by");
                told.clone_from(&record.holder);
            }
            return Ok(rest.min(self.times.retry));
        }
        let wanted = self.wanted(lease.as_ref(), verdict);
        let parameters = PostParams::default();
        let written = match verdict {
            Verdict::Create => within(limit, self.api.create(&parameters, &wanted)).await,
            _ => within(limit, self.api.replace(&self.name, &parameters, &wanted)).await,
        };
        match written {
            Ok(_) => {
                self.holder.extend(before + self.times.deadline);
                told.clear();
                if !self.leading.send_replace(true) {
                    info!(lease = %self.place, identity = %self.identity, "this replica leads");
                }
                Ok(self.times.renew)
            }
            // Someone wrote between our look and our write: look again.
            Err(Error::Api(status)) if status.code == 409 => Ok(Duration::from_millis(100)),
            Err(error) => Err(error),
        }
    }

    fn wanted(&self, lease: Option<&Lease>, verdict: Verdict) -> Lease {
        let mut wanted = lease.cloned().unwrap_or_default();
        wanted.metadata.name = Some(self.name.clone());
        let now = MicroTime(jiff::Timestamp::now());
        let old = wanted.spec.take().unwrap_or_default();
        wanted.spec = Some(match verdict {
            Verdict::Renew => LeaseSpec { renew_time: Some(now), lease_duration_seconds: Some(seconds(self.times.duration)), ..old },
            _ => LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(seconds(self.times.duration)),
                lease_transitions: Some(old.lease_transitions.map_or(0, |n| n.saturating_add(1))),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                ..old
            },
        });
        wanted
    }

    /// Gives the lease up, so that the next replica need not wait for its end.
    async fn release(&self) {
        let held = self.holder.holds_at(Instant::now());
        self.holder.drop_lease();
        self.leading.send_replace(false);
        if !held {
            return;
        }
        let limit = Duration::from_secs(3);
        let Ok(Some(mut lease)) = within(limit, self.api.get_opt(&self.name)).await else { return };
        if record(&lease).holder != self.identity {
            return;
        }
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(jiff::Timestamp::now()));
        }
        match within(limit, self.api.replace(&self.name, &PostParams::default(), &lease)).await {
            Ok(_) => info!(lease = %self.place, "lease released"),
            Err(error) => debug!(lease = %self.place, error = %error, "the lease was not released and will expire"),
        }
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.as_ref();
    let duration = spec.and_then(|s| s.lease_duration_seconds).and_then(|s| u64::try_from(s).ok()).unwrap_or(15);
    Record {
        holder: spec.and_then(|s| s.holder_identity.clone()).unwrap_or_default(),
        duration: Duration::from_secs(duration),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

/// The client retries by itself for minutes; an election cannot wait that long.
async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        Err(Error::Service(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer from the API server in time").into()))
    })
}
