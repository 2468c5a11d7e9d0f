//! The target loop: brings target groups to hold the endpoints that can take requests.
//!
//! What a target group holds is remembered, so that a change costs the calls that it needs and no others: a new endpoint is one RegisterTargets.

use crate::error::{Class, Failure, Named};
use crate::region::Region;
use crate::{Aws, lock};
use aws_sdk_elasticloadbalancingv2::types as sdk;
use backon::{BackoffBuilder, ExponentialBuilder};
use ipnet::IpNet;
use portico_aws::Observed;
use portico_providers::{Leadership, Presence, ProviderError, ServiceTargets, TargetHealth, TargetSetId, TargetState, TargetsReport};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Targets of one call. AWS documents no limit, but rejects large calls now and then.
const BATCH: usize = 200;
/// For how long a target group's content is believed, so that what somebody else did to it is found at last.
const BELIEVED: Duration = Duration::from_secs(600);

type Target = (IpAddr, u16);

/// What is remembered of all target groups.
#[derive(Debug, Default)]
pub(crate) struct TargetSets {
    sets: Mutex<BTreeMap<TargetSetId, TargetSet>>,
}

#[derive(Clone, Debug)]
struct TargetSet {
    region: String,
    arn: String,
    vpc: String,
    /// Held while targets are registered, so that two calls for one group never meet.
    content: Arc<tokio::sync::Mutex<Option<Content>>>,
}

/// What a target group holds.
#[derive(Clone, Debug)]
struct Content {
    read: Instant,
    registered: BTreeSet<Target>,
    /// Taken out, but still finishing requests.
    draining: BTreeSet<Target>,
}

impl Content {
    fn new(registered: BTreeSet<Target>, draining: BTreeSet<Target>) -> Self {
        Self { read: Instant::now(), registered, draining }
    }
}

/// What is to be done to a target group.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    register: Vec<Target>,
    deregister: Vec<Target>,
    waiting: Vec<Target>,
}

/// AWS: an address whose deregistration still runs cannot be registered again before it is over.
fn difference(wanted: &BTreeSet<Target>, content: &Content) -> Difference {
    let missing = wanted.difference(&content.registered).copied();
    let (waiting, register) = missing.partition(|target| content.draining.contains(target));
    Difference { register, deregister: content.registered.difference(wanted).copied().collect(), waiting }
}

impl TargetSets {
    /// Remembers which target groups exist.
    pub fn learn(&self, region: &Region, observed: &Observed) {
        let mut sets = lock(&self.sets);
        for (name, there) in &observed.target_groups {
            match there {
                Presence::Unknown => {}
                Presence::Absent => drop(sets.remove(name)),
                Presence::Present(group) => {
                    if sets.get(name).is_none_or(|set| set.arn != group.arn) {
                        sets.insert(name.clone(), TargetSet::new(&region.name, &group.arn, &group.vpc, None));
                    }
                }
            }
        }
    }

    /// Remembers a target group that was just made: it holds nothing.
    pub fn created(&self, name: &TargetSetId, region: &str, arn: &str, vpc: &str) {
        let content = Content::new(BTreeSet::new(), BTreeSet::new());
        lock(&self.sets).insert(name.clone(), TargetSet::new(region, arn, vpc, Some(content)));
    }

    /// Forgets a target group that is gone.
    pub fn forget(&self, name: &TargetSetId) {
        lock(&self.sets).remove(name);
    }

    fn get(&self, name: &TargetSetId) -> Result<TargetSet, ProviderError> {
        let set = lock(&self.sets).get(name).cloned();
        set.ok_or_else(|| ProviderError::NotReady { message: format!("target group {name} does not exist yet") })
    }
}

impl TargetSet {
    fn new(region: &str, arn: &str, vpc: &str, content: Option<Content>) -> Self {
        Self { region: region.to_owned(), arn: arn.to_owned(), vpc: vpc.to_owned(), content: Arc::new(tokio::sync::Mutex::new(content)) }
    }
}

impl Aws {
    pub(crate) async fn sync(&self, targets: &ServiceTargets, leadership: &dyn Leadership) -> Result<TargetsReport, ProviderError> {
        let name = &targets.binding.sink;
        let set = self.shared.target_sets.get(name)?;
        let region = self.in_region(Some(&set.region));
        let wanted: BTreeSet<Target> = targets.in_use();
        let mut memory = set.content.lock().await;
        // Whether a drain is over only AWS knows.
        let doubtful = memory.as_ref().is_none_or(|content| content.read.elapsed() > BELIEVED || !wanted.is_disjoint(&content.draining));
        if doubtful {
            *memory = None;
            *memory = Some(self.read_content(&region, name, &set).await?);
        }
        let Some(content) = memory.as_mut() else { return Ok(TargetsReport::default()) };
        let change = difference(&wanted, content);
        let ranges =
            if change.register.is_empty() && change.deregister.is_empty() { Vec::new() } else { region.vpc_ranges(&set.vpc).await? };
        let mut report = TargetsReport { waiting: change.waiting.len(), ..TargetsReport::default() };
        let mut result = Ok(());
        for batch in change.register.chunks(BATCH) {
            result = repeat(leadership, || register(&region, &set, batch, &ranges)).await;
            if result.is_err() {
                break;
            }
            content.registered.extend(batch);
            report.registered += batch.len();
        }
        for batch in change.deregister.chunks(BATCH) {
            if result.is_err() {
                break;
            }
            result = repeat(leadership, || deregister(&region, &set, batch, &ranges)).await;
            if result.is_ok() {
                content.registered.retain(|target| !batch.contains(target));
                content.draining.extend(batch);
                report.deregistered += batch.len();
            }
        }
        match result {
            Ok(()) => Ok(report),
            Err(error) => {
                // What the failed call left behind is read before the next one.
                *memory = None;
                if matches!(&error, Repeated::Failed(failure) if failure.class() == Class::NotFound) {
                    self.shared.target_sets.forget(name);
                    return Err(ProviderError::NotReady { message: format!("target group {name} is gone") });
                }
                Err(error.into())
            }
        }
    }

    async fn read_content(&self, region: &Region, name: &TargetSetId, set: &TargetSet) -> Result<Content, ProviderError> {
        let found = match region.targets(&set.arn).await {
            Ok(found) => found,
            Err(failure) if failure.class() == Class::NotFound => {
                self.shared.target_sets.forget(name);
                return Err(ProviderError::NotReady { message: format!("target group {name} is gone") });
            }
            Err(failure) => return Err(failure.into()),
        };
        let mut content = Content::new(BTreeSet::new(), BTreeSet::new());
        for health in found.iter().filter_map(read_health) {
            let target = (health.address, health.port);
            if health.state == TargetState::Draining {
                content.draining.insert(target)
            } else {
                content.registered.insert(target)
            };
        }
        Ok(content)
    }

    pub(crate) async fn health(&self, name: &TargetSetId) -> Result<Vec<TargetHealth>, ProviderError> {
        let set = self.shared.target_sets.get(name)?;
        let found = self.in_region(Some(&set.region)).targets(&set.arn).await?;
        Ok(found.iter().filter_map(read_health).collect())
    }
}

/// AWS: an address outside the VPC is registered for all zones.
fn description((address, port): &Target, ranges: &[IpNet]) -> sdk::TargetDescription {
    let inside = ranges.is_empty() || ranges.iter().any(|range| range.contains(address));
    let zone = (!inside).then(|| "all".to_owned());
    sdk::TargetDescription::builder().id(address.to_string()).port(i32::from(*port)).set_availability_zone(zone).build()
}

async fn register(region: &Region, set: &TargetSet, batch: &[Target], ranges: &[IpNet]) -> Result<(), Failure> {
    let targets = batch.iter().map(|target| description(target, ranges)).collect();
    region.elb_once.register_targets().target_group_arn(&set.arn).set_targets(Some(targets)).send().await.named("RegisterTargets").map(drop)
}

async fn deregister(region: &Region, set: &TargetSet, batch: &[Target], ranges: &[IpNet]) -> Result<(), Failure> {
    let targets = batch.iter().map(|target| description(target, ranges)).collect();
    region
        .elb_once
        .deregister_targets()
        .target_group_arn(&set.arn)
        .set_targets(Some(targets))
        .send()
        .await
        .named("DeregisterTargets")
        .map(drop)
}

enum Repeated {
    NotLeader,
    Failed(Failure),
}

impl From<Repeated> for ProviderError {
    fn from(error: Repeated) -> Self {
        match error {
            Repeated::NotLeader => Self::NotLeader,
            Repeated::Failed(failure) => failure.into(),
        }
    }
}

/// Registration and deregistration may be repeated as they are: what is registered stays registered.
async fn repeat<F: Future<Output = Result<(), Failure>>>(leadership: &dyn Leadership, call: impl Fn() -> F) -> Result<(), Repeated> {
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(4))
        .with_max_times(6)
        .with_jitter()
        .build();
    loop {
        if !leadership.is_leader() {
            return Err(Repeated::NotLeader);
        }
        let failure = match call().await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let again = matches!(failure.class(), Class::Throttled | Class::Unclear | Class::Soon);
        match pauses.next().filter(|_| again) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(Repeated::Failed(failure)),
        }
    }
}

/// A target's state; nothing for one that is no IP target.
fn read_health(found: &sdk::TargetHealthDescription) -> Option<TargetHealth> {
    let target = found.target()?;
    let health = found.target_health();
    let state = match health.and_then(|health| health.state()) {
        Some(sdk::TargetHealthStateEnum::Healthy) => TargetState::Healthy,
        Some(sdk::TargetHealthStateEnum::Initial) => TargetState::Initial,
        Some(sdk::TargetHealthStateEnum::Unhealthy | sdk::TargetHealthStateEnum::UnhealthyDraining) => TargetState::Unhealthy,
        Some(sdk::TargetHealthStateEnum::Draining) => TargetState::Draining,
        Some(sdk::TargetHealthStateEnum::Unused) => TargetState::Unused,
        _ => TargetState::Unavailable,
    };
    let reason = health.and_then(|health| {
        let code = health.reason().map(|reason| reason.as_str());
        let words: Vec<_> = code.into_iter().chain(health.description()).collect();
        (!words.is_empty()).then(|| words.join(": "))
    });
    Some(TargetHealth { address: target.id()?.parse().ok()?, port: u16::try_from(target.port()?).ok()?, state, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(last: &[u8]) -> BTreeSet<Target> {
        last.iter().map(|n| (IpAddr::from([10, 0, 0, *n]), 8080)).collect()
    }

    #[test]
    fn an_address_that_still_drains_waits() {
        let content = Content::new(targets(&[1, 2]), targets(&[3]));
        let change = difference(&targets(&[2, 3, 4]), &content);
        assert_eq!(change.register, targets(&[4]).into_iter().collect::<Vec<_>>());
        assert_eq!(change.deregister, targets(&[1]).into_iter().collect::<Vec<_>>());
        assert_eq!(change.waiting, targets(&[3]).into_iter().collect::<Vec<_>>());
        assert_eq!(difference(&targets(&[1, 2]), &content), Difference::default());
    }

    #[test]
    fn addresses_outside_the_vpc_are_for_all_zones() {
        let ranges = ["10.0.0.0/16".parse().unwrap(), "fd00::/56".parse().unwrap()];
        for (address, zone) in [("10.0.3.4", None), ("192.168.0.1", Some("all")), ("fd00::1", None), ("fd01::1", Some("all"))] {
            assert_eq!(description(&(address.parse().unwrap(), 80), &ranges).availability_zone(), zone, "{address}");
        }
    }
}
