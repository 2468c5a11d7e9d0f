//! The target loop: brings target groups to hold the endpoints that can take requests.
//!
//! What a target group holds is remembered, so that a change costs the calls that it needs and no others: a new endpoint is one RegisterTargets.

use crate::budget::Kind;
use crate::error::{Class, Failure};
use crate::fence;
use crate::region::Region;
use crate::{Aws, lock};
use aws_sdk_elasticloadbalancingv2::types as sdk;
use backon::{BackoffBuilder, ExponentialBuilder};
use ipnet::IpNet;
use portico_aws::{Observed, Stack};
use portico_providers::{
    Leadership, Presence, ProviderError, RejectedTarget, ServiceTargets, TargetHealth, TargetSetId, TargetState, TargetsReport,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Targets of one call. AWS documents no limit, but rejects large calls now and then.
const BATCH: usize = 200;
/// For how long a target group's content is believed, so that what somebody else did to it is found at last.
const BELIEVED: Duration = Duration::from_secs(600);
/// For how long an address is not offered again that AWS did not take.
const REJECTED: Duration = Duration::from_secs(290);

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
    /// Whether the content is to be read again before it is believed.
    doubted: Arc<AtomicBool>,
}

/// What a target group holds.
#[derive(Clone, Debug)]
struct Content {
    read: Instant,
    registered: BTreeSet<Target>,
    /// Taken out, but still finishing requests.
    draining: BTreeSet<Target>,
    /// Not taken by AWS: since when, and why.
    rejected: BTreeMap<Target, (Instant, String)>,
}

impl Content {
    fn new(registered: BTreeSet<Target>, draining: BTreeSet<Target>) -> Self {
        Self { read: Instant::now(), registered, draining, rejected: BTreeMap::new() }
    }
}

/// What is to be done to a target group.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    register: Vec<Target>,
    deregister: Vec<Target>,
    waiting: Vec<Target>,
    /// Known not to be taken.
    rejected: Vec<RejectedTarget>,
}

/// AWS: an address whose deregistration still runs cannot be registered again before it is over, and a target group holds `limit` targets. Those that are registered
/// stay before others come.
fn difference(wanted: &BTreeSet<Target>, content: &Content, limit: usize) -> Difference {
    let mut change = Difference { deregister: content.registered.difference(wanted).copied().collect(), ..Difference::default() };
    let mut room = limit.saturating_sub(content.registered.intersection(wanted).count());
    for target in wanted.difference(&content.registered) {
        let known = content.rejected.get(target).filter(|(read, _)| read.elapsed() < REJECTED);
        if content.draining.contains(target) {
            change.waiting.push(*target);
        } else if let Some((_, reason)) = known {
            change.rejected.push(rejected(target, reason));
        } else if room == 0 {
            change.rejected.push(rejected(target, &format!("needs {} targets, the target group allows {limit}", wanted.len())));
        } else {
            room -= 1;
            change.register.push(*target);
        }
    }
    change
}

fn rejected((address, port): &Target, reason: &str) -> RejectedTarget {
    RejectedTarget { address: *address, port: *port, reason: reason.to_owned() }
}

impl TargetSets {
    /// Remembers which of a stack's target groups exist. With `fresh`, what is remembered of their content is not believed any more.
    pub fn learn(&self, region: &Region, stack: &Stack, observed: &Observed, fresh: bool) {
        let mut sets = lock(&self.sets);
        let wanted = stack.target_groups.iter().map(|group| &group.name);
        for (name, there) in wanted.filter_map(|name| Some((name, observed.target_groups.get(name)?))) {
            match there {
                Presence::Unknown => {}
                Presence::Absent => drop(sets.remove(name)),
                Presence::Present(group) => match sets.get(name).filter(|set| set.arn == group.arn) {
                    Some(known) => drop(known.doubted.fetch_or(fresh, Ordering::Relaxed)),
                    None => drop(sets.insert(name.clone(), TargetSet::new(&region.name, &group.arn, &group.vpc, None))),
                },
            }
        }
    }

    /// Remembers a target group that was just made: it holds nothing.
    pub fn created(&self, name: &TargetSetId, region: &str, arn: &str, vpc: &str) {
        let content = Content::new(BTreeSet::new(), BTreeSet::new());
        lock(&self.sets).insert(name.clone(), TargetSet::new(region, arn, vpc, Some(content)));
    }

    /// Forgets a target group that is gone from a region.
    pub fn forget(&self, name: &TargetSetId, region: &str) {
        let mut sets = lock(&self.sets);
        if sets.get(name).is_some_and(|set| set.region == region) {
            sets.remove(name);
        }
    }

    fn get(&self, name: &TargetSetId) -> Result<TargetSet, ProviderError> {
        let set = lock(&self.sets).get(name).cloned();
        set.ok_or_else(|| ProviderError::NotReady { message: format!("target group {name} does not exist yet") })
    }
}

impl TargetSet {
    fn new(region: &str, arn: &str, vpc: &str, content: Option<Content>) -> Self {
        let content = Arc::new(tokio::sync::Mutex::new(content));
        Self { region: region.to_owned(), arn: arn.to_owned(), vpc: vpc.to_owned(), content, doubted: Arc::default() }
    }
}

impl Aws {
    pub(crate) async fn sync(&self, targets: &ServiceTargets, leadership: &Arc<dyn Leadership>) -> Result<TargetsReport, ProviderError> {
        let name = &targets.binding.sink;
        let set = self.shared.target_sets.get(name)?;
        let region = self.in_region(Some(&set.region));
        let wanted: BTreeSet<Target> = targets.in_use();
        let mut memory = set.content.lock().await;
        // Whether a drain is over only AWS knows.
        let doubtful = set.doubted.swap(false, Ordering::Relaxed)
            || memory.as_ref().is_none_or(|content| content.read.elapsed() > BELIEVED || !wanted.is_disjoint(&content.draining));
        if doubtful {
            let before = memory.take();
            let mut content = self.read_content(&region, name, &set).await?;
            content.rejected = before.map(|before| before.rejected).unwrap_or_default();
            *memory = Some(content);
        }
        let Some(content) = memory.as_mut() else { return Ok(TargetsReport::default()) };
        content.rejected.retain(|target, _| wanted.contains(target));
        let limit = region.limits().targets_per_target_group as usize;
        let change = difference(&wanted, content, limit);
        let ranges =
            if change.register.is_empty() && change.deregister.is_empty() { Vec::new() } else { region.vpc_ranges(&set.vpc).await? };
        let calls = TargetCalls { region: &region, set: &set, ranges: &ranges, leadership };
        let mut report = TargetsReport { waiting: change.waiting.len(), rejected: change.rejected, ..TargetsReport::default() };
        let result = calls.register(change.register, content, &mut report).await;
        let mut result = result.map(|registered| report.registered = registered);
        for batch in change.deregister.chunks(BATCH) {
            if result.is_err() {
                break;
            }
            result = calls.repeat(Call::Deregister, batch).await;
            if result.is_ok() {
                content.registered.retain(|target| !batch.contains(target));
                content.draining.extend(batch);
                report.deregistered += batch.len();
            }
        }
        report.held = content.registered.len();
        report.rejected.sort();
        match result {
            Ok(()) => Ok(report),
            Err(failure) => {
                // What the failed call left behind is read before the next one.
                *memory = None;
                if failure.class() == Class::NotFound {
                    self.shared.target_sets.forget(name, &set.region);
                    return Err(ProviderError::NotReady { message: format!("target group {name} is gone") });
                }
                Err(failure.into())
            }
        }
    }

    async fn read_content(&self, region: &Region, name: &TargetSetId, set: &TargetSet) -> Result<Content, ProviderError> {
        let found = match region.targets(&set.arn).await {
            Ok(found) => found,
            Err(failure) if failure.class() == Class::NotFound => {
                self.shared.target_sets.forget(name, &set.region);
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

/// A call for targets.
#[derive(Clone, Copy)]
enum Call {
    Register,
    Deregister,
}

/// Calls for one target group's targets.
struct TargetCalls<'a> {
    region: &'a Region,
    set: &'a TargetSet,
    ranges: &'a [IpNet],
    leadership: &'a Arc<dyn Leadership>,
}

impl TargetCalls<'_> {
    /// Registers targets, batch by batch. AWS takes all of a batch or none: where it refuses one, the addresses that its words name are left out, or else the batch is
    /// halved, until only those are left out that AWS does not take.
    async fn register(&self, targets: Vec<Target>, content: &mut Content, report: &mut TargetsReport) -> Result<usize, Failure> {
        let mut batches: Vec<Vec<Target>> = targets.chunks(BATCH).rev().map(<[Target]>::to_vec).collect();
        let mut registered = 0;
        while let Some(batch) = batches.pop() {
            let failure = match self.repeat(Call::Register, &batch).await {
                Ok(()) => {
                    registered += batch.len();
                    content.registered.extend(batch);
                    continue;
                }
                Err(failure) if matches!(failure.class(), Class::Invalid | Class::Limit) => failure,
                Err(failure) => return Err(failure),
            };
            let (named, rest): (Vec<_>, Vec<_>) = batch.iter().copied().partition(|target| names(&failure.message, target));
            if named.is_empty() && batch.len() > 1 {
                let (first, second) = batch.split_at(batch.len() / 2);
                batches.extend([second.to_vec(), first.to_vec()]);
                continue;
            }
            let (blamed, rest) = if named.is_empty() { (rest, named) } else { (named, rest) };
            if is_draining(&failure) {
                content.draining.extend(&blamed);
                report.waiting += blamed.len();
            } else {
                let reason = format!("{}: {}", failure.code, failure.message);
                report.rejected.extend(blamed.iter().map(|target| rejected(target, &reason)));
                content.rejected.extend(blamed.into_iter().map(|target| (target, (Instant::now(), reason.clone()))));
            }
            // Fewer than before, each time: it comes to an end.
            if !rest.is_empty() {
                batches.push(rest);
            }
        }
        Ok(registered)
    }

    async fn once(&self, call: Call, batch: &[Target]) -> Result<(), Failure> {
        let (region, arn) = (self.region, &self.set.arn);
        let targets = Some(batch.iter().map(|target| description(target, self.ranges)).collect());
        match call {
            Call::Register => {
                let call = region.elb.register_targets().target_group_arn(arn).set_targets(targets);
                region.change(Kind::ElbTargets, "RegisterTargets", call.send()).await.map(drop)
            }
            Call::Deregister => {
                let call = region.elb.deregister_targets().target_group_arn(arn).set_targets(targets);
                region.change(Kind::ElbTargets, "DeregisterTargets", call.send()).await.map(drop)
            }
        }
    }

    /// Registration and deregistration may be repeated as they are: what is registered stays registered.
    async fn repeat(&self, call: Call, batch: &[Target]) -> Result<(), Failure> {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(4))
            .with_max_times(6)
            .with_jitter()
            .build();
        loop {
            self.region.calls.admit(Kind::ElbTargets).await;
            let failure = match fence::behind(self.leadership, self.once(call, batch)).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let again = matches!(failure.class(), Class::Throttled | Class::Unclear | Class::Soon);
            match pauses.next().filter(|_| again) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(failure),
            }
        }
    }
}

/// Whether AWS's words name an address, and not only one that begins with it.
fn names(message: &str, (address, _): &Target) -> bool {
    let text = address.to_string();
    let part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
    message.match_indices(&text).any(|(at, _)| {
        let before = message.get(..at).unwrap_or_default().chars().next_back();
        let mut after = message.get(at + text.len()..).unwrap_or_default().chars();
        let (first, second) = (after.next(), after.next());
        // A full stop ends the sentence, unless a digit follows.
        let goes_on = first.is_some_and(part) && (first != Some('.') || second.is_some_and(|c| c.is_ascii_digit()));
        !(before.is_some_and(part) || goes_on)
    })
}

/// Whether an address is refused only because its deregistration still runs.
fn is_draining(failure: &Failure) -> bool {
    let message = failure.message.to_ascii_lowercase();
    message.contains("deregist") || message.contains("draining")
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
        let change = difference(&targets(&[2, 3, 4]), &content, 1000);
        assert_eq!(change.register, targets(&[4]).into_iter().collect::<Vec<_>>());
        assert_eq!(change.deregister, targets(&[1]).into_iter().collect::<Vec<_>>());
        assert_eq!(change.waiting, targets(&[3]).into_iter().collect::<Vec<_>>());
        assert_eq!(difference(&targets(&[1, 2]), &content, 1000), Difference::default());
    }

    #[test]
    fn what_has_no_room_or_was_refused_lately_is_reported() {
        let mut content = Content::new(targets(&[9]), targets(&[]));
        content.rejected.extend(targets(&[1]).into_iter().map(|target| (target, (Instant::now(), "bad".to_owned()))));
        let change = difference(&targets(&[1, 2, 3, 9]), &content, 2);
        assert_eq!(change.register, targets(&[2]).into_iter().collect::<Vec<_>>());
        let reasons: Vec<_> = change.rejected.iter().map(|it| it.reason.as_str()).collect();
        assert_eq!(reasons, ["bad", "needs 4 targets, the target group allows 2"]);
    }

    #[test]
    fn addresses_are_found_in_words_as_a_whole() {
        let at = |text: &str| (text.parse::<IpAddr>().unwrap(), 80);
        for (message, address, expected) in [
            ("The IP address '10.0.0.1' is not valid", "10.0.0.1", true),
            ("not valid: 10.0.0.1, 10.0.0.2.", "10.0.0.2", true),
            ("The IP address '10.0.0.12' is not valid", "10.0.0.1", false),
            ("The IP address '110.0.0.1' is not valid", "10.0.0.1", false),
            ("The IP address 'fd00::1' is not valid", "fd00::1", true),
            ("Something else", "10.0.0.1", false),
        ] {
            assert_eq!(names(message, &at(address)), expected, "{message}: {address}");
        }
    }

    #[test]
    fn addresses_outside_the_vpc_are_for_all_zones() {
        let ranges = ["10.0.0.0/16".parse().unwrap(), "fd00::/56".parse().unwrap()];
        for (address, zone) in [("10.0.3.4", None), ("192.168.0.1", Some("all")), ("fd00::1", None), ("fd01::1", Some("all"))] {
            assert_eq!(description(&(address.parse().unwrap(), 80), &ranges).availability_zone(), zone, "{address}");
        }
    }
}
