//! Target groups and targets while they run: health, requests in flight, pooled connections; and how a target is picked.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use http::HeaderMap;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    config::{Algorithm, FlowReach, Forward, Reachability, Target, TargetGroup, TargetGroupId, TargetId, TargetStickiness},
    connection::Pool,
    headers::cookie,
    health::{HealthBoard, HealthState, TargetHealth},
    probe::{ProbeTarget, watch_target},
    random::Random,
    stickiness::{self, Pin},
};

/// A target group in force.
#[derive(Debug)]
pub(super) struct TargetGroupState {
    pub(super) config: Arc<TargetGroup>,
    /// Zones of the load balancer that uses it; None: unreferenced.
    zones: Option<Box<[String]>>,
    targets: Vec<GroupTarget>,
    requests: Arc<AtomicU64>,
    turn: Arc<AtomicUsize>,
}

/// A target as its group holds it.
#[derive(Clone, Debug)]
pub(super) struct GroupTarget {
    pub(super) state: Arc<TargetState>,
    pub(super) reachability: Reachability,
    pub(super) flow_reach: Arc<FlowReach>,
    /// Its zone; None: outside of the VPC.
    pub(super) zone: Option<String>,
    /// Neither draining nor in a zone that is not enabled.
    registered: bool,
}

/// Where a target group is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage<'a> {
    /// No rule refers to it.
    Unreferenced,
    /// Rules of a load balancer with these zones do.
    Zones(&'a [String]),
}

impl TargetGroupState {
    /// Puts a group in force: takes over what its previous state knows of targets that stay, and makes health checks follow.
    pub(super) fn new(config: &Arc<TargetGroup>, usage: Usage<'_>, previous: Option<&Self>, shared: &Arc<Shared>) -> Self {
        let mut known: HashMap<(&TargetId, SocketAddr), &Arc<TargetState>> = previous
            .iter()
            .flat_map(|previous| &previous.targets)
            .map(|target| ((&target.state.id, target.state.address), &target.state))
            .collect();
        let targets = config
            .targets
            .iter()
            .map(|target| {
                let address = SocketAddr::new(target.address, target.port);
                let state = known
                    .remove(&(&target.id, address))
                    .map_or_else(|| Arc::new(TargetState::new(&config.id, &target.id, address, shared.board.clone())), Arc::clone);
                let zone_enabled = match (usage, &target.zone) {
                    (Usage::Unreferenced, _) => false,
                    (Usage::Zones(_), None) => true,
                    (Usage::Zones(zones), Some(zone)) => zones.contains(zone),
                };
                state.follow(config, target, zone_enabled, shared);
                GroupTarget {
                    state,
                    reachability: target.reachability,
                    flow_reach: Arc::clone(&target.flow_reach),
                    zone: target.zone.clone(),
                    registered: zone_enabled && !target.draining,
                }
            })
            .collect();
        Self {
            config: Arc::clone(config),
            zones: match usage {
                Usage::Unreferenced => None,
                Usage::Zones(zones) => Some(zones.into()),
            },
            targets,
            requests: previous.map(|previous| Arc::clone(&previous.requests)).unwrap_or_default(),
            turn: previous.map(|previous| Arc::clone(&previous.turn)).unwrap_or_default(),
        }
    }

    /// Whether the group is in force just so already.
    pub(super) fn is_current(&self, config: &Arc<TargetGroup>, usage: Usage<'_>) -> bool {
        let known = self.zones.as_deref().map_or(Usage::Unreferenced, Usage::Zones);
        known == usage && (Arc::ptr_eq(&self.config, config) || self.config == *config)
    }

    /// Ends its health checks and idle connections; requests in flight go on.
    pub(super) fn retire(&self) {
        for target in &self.targets {
            target.state.retire();
        }
    }

    /// Ends everything that runs for targets that its successor does not hold any more. To be called when the successor is in force.
    pub(super) fn hand_over(&self, successor: Option<&Self>) {
        let targets = || successor.iter().flat_map(|successor| &successor.targets);
        for target in &self.targets {
            if !targets().any(|kept| Arc::ptr_eq(&kept.state, &target.state)) {
                // Its place on the board may be its replacement's by now.
                target.state.remove(!targets().any(|other| other.state.id == target.state.id));
            }
        }
    }

    /// Requests sent to one of its targets.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The targets that get new requests or flows if they are healthy.
    pub(super) fn registered(&self) -> impl Iterator<Item = &GroupTarget> + Clone {
        self.targets.iter().filter(|target| target.registered)
    }

    /// Counts a request or flow to one of its targets.
    pub(super) fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Picks the target of a request; None without registered targets.
    pub(super) fn pick(&self, headers: &HeaderMap, now: Timestamp, random: &Random) -> Option<&GroupTarget> {
        let registered = || self.registered();
        let total = registered().count();
        if total == 0 {
            return None;
        }
        let healthy = registered().filter(|target| target.state.serves()).count();
        let fail_open = healthy < self.minimum_healthy(total);
        let usable = || registered().filter(move |target| fail_open || target.state.serves());
        let pinned = self.pin(headers, now).and_then(|pin| usable().find(|target| pin.names(target.state.id.as_str())));
        let picked = pinned.or_else(|| {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let count = usable().count().max(1);
            match self.config.algorithm {
                Algorithm::RoundRobin if !self.config.slow_start.is_zero() => {
                    let duration = u64::try_from(self.config.slow_start.as_millis()).unwrap_or(u64::MAX);
                    usable().nth(random.weighted(usable().map(|target| target.state.slow_start_share(duration, now)))?)
                }
                Algorithm::RoundRobin => usable().nth(turn % count),
                Algorithm::WeightedRandom => usable().nth(usize::try_from(random.below(count as u64)).unwrap_or_default()),
                Algorithm::LeastOutstandingRequests => {
                    // Of equals, the next in turn.
                    let rotated = usable().cycle().skip(turn % count).take(count);
                    rotated.min_by_key(|target| target.state.outstanding.load(Ordering::Relaxed))
                }
            }
        });
        // A probe may have changed a state since the count.
        let picked = picked.or_else(|| registered().next());
        if picked.is_some() {
            self.count();
        }
        picked
    }

    /// With fewer healthy targets of so many, all of them are used.
    pub(super) fn minimum_healthy(&self, total: usize) -> usize {
        let percentage = self.config.minimum_healthy_percentage.map_or(0, |percentage| (total * usize::from(percentage)).div_ceil(100));
        percentage.max(self.config.minimum_healthy_count as usize)
    }

    fn pin(&self, headers: &HeaderMap, now: Timestamp) -> Option<Pin> {
        match self.config.stickiness.as_ref()? {
            TargetStickiness::LoadBalancerCookie { .. } => Pin::read(headers, &stickiness::TARGET, now),
            TargetStickiness::ApplicationCookie { name, .. } => {
                cookie(headers, name)?;
                Pin::read(headers, &stickiness::APPLICATION, now)
            }
        }
    }
}

/// Picks the target group of a forward: by cookie if its group still gets requests, else at random by weight. None if all weights are 0.
pub(super) fn pick_group<'a>(forward: &'a Forward, headers: &HeaderMap, now: Timestamp, random: &Random) -> Option<&'a TargetGroupId> {
    if forward.stickiness.is_some()
        && let Some(pin) = Pin::read(headers, &stickiness::TARGET_GROUP, now)
        && let Some(group) = forward.target_groups.iter().find(|group| group.weight > 0 && pin.names(group.target_group.as_str()))
    {
        return Some(&group.target_group);
    }
    let index = match forward.target_groups.as_slice() {
        // A single group takes all, and no random number.
        [only] if only.weight > 0 => 0,
        groups => random.weighted(groups.iter().map(|group| group.weight.into()))?,
    };
    forward.target_groups.get(index).map(|group| &group.target_group)
}

/// A target while it is registered.
#[derive(Debug)]
pub(super) struct TargetState {
    group: TargetGroupId,
    pub(super) id: TargetId,
    pub(super) address: SocketAddr,
    /// Requests in flight.
    pub(super) outstanding: AtomicUsize,
    pub(super) pool: Pool,
    /// Cancelled when the target is gone: requests still in flight then end with 502.
    pub(super) gone: CancellationToken,
    /// Healthy, or never checked.
    serves: AtomicBool,
    /// What its health check says.
    health: watch::Sender<HealthState>,
    /// When it became healthy, in milliseconds since the epoch.
    healthy_since: AtomicU64,
    checker: Mutex<Checker>,
    board: HealthBoard,
}

#[derive(Debug, Default)]
struct Checker {
    /// Counts starts and ends, so that a checker that was ended cannot publish any more.
    generation: u64,
    running: Option<(watch::Sender<ProbeTarget>, CancellationToken)>,
}

impl TargetState {
    fn new(group: &TargetGroupId, id: &TargetId, address: SocketAddr, board: HealthBoard) -> Self {
        Self {
            group: group.clone(),
            id: id.clone(),
            address,
            outstanding: AtomicUsize::new(0),
            pool: Pool::default(),
            gone: CancellationToken::new(),
            serves: AtomicBool::new(false),
            health: watch::Sender::new(HealthState::Initial),
            healthy_since: AtomicU64::new(0),
            checker: Mutex::default(),
            board,
        }
    }

    /// Whether it is healthy, or never checked.
    pub(super) fn serves(&self) -> bool {
        self.serves.load(Ordering::Relaxed)
    }

    /// Its state, to follow it.
    pub(super) fn health(&self) -> watch::Receiver<HealthState> {
        self.health.subscribe()
    }

    /// Its share during slow start: from 1 to 1000, linear in time.
    fn slow_start_share(&self, duration: u64, now: Timestamp) -> u64 {
        let now = u64::try_from(now.as_millisecond()).unwrap_or_default();
        let elapsed = now.saturating_sub(self.healthy_since.load(Ordering::Relaxed));
        (elapsed.saturating_mul(1000) / duration.max(1)).clamp(1, 1000)
    }

    /// Makes the health check follow the configuration.
    fn follow(self: &Arc<Self>, group: &TargetGroup, target: &Target, in_use: bool, shared: &Arc<Shared>) {
        let idle = if target.draining {
            Some(TargetHealth::draining())
        } else if !in_use {
            Some(TargetHealth::not_in_use())
        } else if !group.health_check.enabled {
            Some(TargetHealth::check_disabled())
        } else {
            None
        };
        let mut checker = self.checker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(health) = idle {
            checker.stop();
            self.publish(&health);
            return;
        }
        let probed = ProbeTarget {
            address: SocketAddr::new(target.address, group.health_check.port.unwrap_or(target.port)),
            version: group.version,
            reachability: target.check_reachability,
            check: group.health_check.clone(),
        };
        if let Some((targets, _)) = &checker.running {
            targets.send_if_modified(|current| {
                let changed = *current != probed;
                if changed {
                    *current = probed;
                }
                changed
            });
            return;
        }
        checker.generation += 1;
        self.publish(&TargetHealth::registering());
        let (sender, receiver) = watch::channel(probed);
        let cancel = shared.hard_stop.child_token();
        shared.tracker.spawn(watch_target(Arc::clone(self), checker.generation, receiver, Arc::clone(shared), cancel.clone()));
        checker.running = Some((sender, cancel));
    }

    /// Publishes what a checker found, unless that checker has been ended meanwhile.
    pub(super) fn publish_probed(&self, generation: u64, health: &TargetHealth) {
        let checker = self.checker.lock().unwrap_or_else(PoisonError::into_inner);
        if checker.generation == generation && checker.running.is_some() {
            self.publish(health);
        }
    }

    fn publish(&self, health: &TargetHealth) {
        let serves = matches!(health.state, HealthState::Healthy | HealthState::Unavailable);
        if serves && !self.serves.swap(serves, Ordering::Relaxed) {
            let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
            self.healthy_since.store(now, Ordering::Relaxed);
        }
        self.serves.store(serves, Ordering::Relaxed);
        self.health.send_if_modified(|state| std::mem::replace(state, health.state) != health.state);
        self.board.publish(&self.group, &self.id, health);
    }

    /// Closes pooled connections that the target closed or that were idle for too long.
    pub(super) fn prune_pool(&self) {
        self.pool.prune();
    }

    fn retire(&self) {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner).stop();
        self.pool.close();
    }

    fn remove(&self, from_board: bool) {
        self.retire();
        self.gone.cancel();
        if from_board {
            self.board.remove(&self.group, &self.id);
        }
    }
}

impl Checker {
    fn stop(&mut self) {
        if let Some((_, cancel)) = self.running.take() {
            self.generation += 1;
            cancel.cancel();
        }
    }
}

#[cfg(test)]
mod tests;
