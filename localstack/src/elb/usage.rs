//! Which load balancers use which target groups, and the limits on that.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Action, ActionKind};
use super::kind::LoadBalancerKind;
use super::load_balancer::LoadBalancer;
use super::protocol as protocols;
use super::target_group::TargetGroup;
use crate::clock;
use crate::error::{Answer, ApiError};
use crate::state::State;

impl State {
    /// Brings the index of used target groups up to date after the listeners or rules of a load balancer changed.
    pub fn reindex(&mut self, arn: &str) {
        let Some(balancer) = self.elb.load_balancers.get_mut(arn) else { return };
        let used = kept_without(balancer, &[]);
        let before = std::mem::replace(&mut balancer.target_groups, used.clone());
        self.take_into_use(arn, used.difference(&before));
        let released = clock::after(self.now, self.config.times.target_group_delete_lag);
        for group in before.difference(&used) {
            if let Ok(group) = self.elb.target_group_mut(group) {
                group.load_balancers.remove(arn);
                group.released = Some(released);
            }
        }
    }

    /// The same after a rule changed that named some target groups `before` and names others `after`: all other rules are looked at only if it does
    /// not name one any more.
    pub fn reindex_rule(&mut self, arn: &str, before: &BTreeSet<String>, after: &BTreeSet<String>) {
        if !before.is_subset(after) {
            return self.reindex(arn);
        }
        let Some(balancer) = self.elb.load_balancers.get_mut(arn) else { return };
        let new: Vec<String> = after.iter().filter(|group| balancer.target_groups.insert((*group).clone())).cloned().collect();
        self.take_into_use(arn, new.iter());
    }

    fn take_into_use<'a>(&mut self, arn: &str, groups: impl Iterator<Item = &'a String>) {
        for group in groups {
            if let Ok(group) = self.elb.target_group_mut(group) {
                group.load_balancers.insert(arn.to_string());
                group.released = None;
            }
        }
    }

    /// Whether a listener of this load balancer may have these actions, in place of `replaced` ones: target groups exist, fit the
    /// listener and no other load balancer has them, and the load balancer's limits hold.
    pub fn check_actions(&self, arn: &str, protocol: &str, actions: &[Action], replaced: &[Action]) -> Answer<()> {
        let balancer = self.elb.load_balancer(arn)?;
        let wanted: BTreeSet<&String> = actions.iter().flat_map(Action::target_groups).collect();
        let (mut taken, mut unfit) = (Vec::new(), Vec::new());
        for group_arn in &wanted {
            let group = self.elb.target_group(group_arn)?;
            if group.load_balancers.iter().any(|other| other != arn) {
                taken.push(group_arn.as_str());
            }
            if !protocols::can_forward(protocol, &group.protocol, &group.target_type) {
                unfit.push(group_arn.as_str());
                continue;
            }
            if group.vpc.as_deref() != Some(&balancer.vpc) {
                return Err(ApiError::new(
                    "InvalidConfigurationRequest",
                    format!("The target group '{group_arn}' is not in the VPC '{}' of the load balancer", balancer.vpc),
                ));
            }
            if group.protocol_version != "HTTP1" && protocol == "HTTP" {
                return Err(ApiError::new(
                    "InvalidLoadBalancerAction",
                    format!(
                        "Listener protocol '{protocol}' is not supported with a target group with the protocol-version '{}'",
                        group.protocol_version
                    ),
                ));
            }
        }
        if !unfit.is_empty() {
            return Err(ApiError::new(
                "IncompatibleProtocols",
                format!("The listener and the following target groups have incompatible protocols: {}", unfit.join(", ")),
            ));
        }
        let asks = actions.iter().any(|action| matches!(action.kind, ActionKind::Authenticate(_)));
        let other_version = |arn: &&&String| self.elb.target_groups.get(**arn).is_some_and(|group| group.protocol_version != "HTTP1");
        if let Some(group) = wanted.iter().find(other_version).filter(|_| asks) {
            // AWS: a target group with the protocol version HTTP/2 or gRPC takes only actions that forward.
            return Err(ApiError::new(
                "InvalidLoadBalancerAction",
                format!("Actions that authenticate cannot precede the target group '{group}', whose protocol version is not HTTP1"),
            ));
        }
        if !taken.is_empty() {
            return Err(ApiError::new(
                "TargetGroupAssociationLimit",
                format!("The following target groups cannot be associated with more than one load balancer: {}", taken.join(", ")),
            ));
        }
        self.check_stickiness(actions)?;
        if wanted.iter().all(|group| balancer.target_groups.contains(*group)) {
            // What it has already is within the limits.
            return Ok(());
        }
        let kept = kept_without(balancer, replaced);
        self.check_totals(balancer, &kept.union(&wanted.into_iter().cloned().collect()).cloned().collect())
    }

    fn check_stickiness(&self, actions: &[Action]) -> Answer<()> {
        for action in actions {
            let groups = action.target_groups();
            // Clients of network load balancers are told by their addresses, which needs no cookies to be in step.
            let network = |arn: &&String| self.elb.target_groups.get(*arn).is_some_and(|group| protocols::is_network(&group.protocol));
            if groups.iter().any(network) {
                continue;
            }
            let app_cookie = |arn: &&String| {
                self.elb.target_groups.get(*arn).is_some_and(|group| {
                    group.attribute("stickiness.enabled") == "true" && group.attribute("stickiness.type") == "app_cookie"
                })
            };
            if groups.len() > 1 && groups.iter().any(app_cookie) {
                return Err(ApiError::validation(
                    "When configuring a rule with multiple target groups, none of them can have stickiness of type 'app_cookie' enabled",
                ));
            }
            let sticky =
                |arn: &&String| self.elb.target_groups.get(*arn).is_some_and(|group| group.attribute("stickiness.enabled") == "true");
            if groups.len() > 1 && groups.iter().any(sticky) && !action.is_sticky() {
                return Err(ApiError::validation(
                    "You must enable target group stickiness in an action with multiple target groups if one of them has stickiness enabled",
                ));
            }
        }
        Ok(())
    }

    /// Whether a load balancer may use all of these target groups.
    fn check_totals(&self, balancer: &LoadBalancer, groups: &BTreeSet<String>) -> Answer<()> {
        let quotas = &self.config.quotas;
        if balancer.kind == LoadBalancerKind::Application && groups.len() > quotas.target_groups_per_load_balancer {
            return Err(ApiError::new(
                "TooManyUniqueTargetGroupsPerLoadBalancer",
                format!(
                    "You have reached the maximum number of unique target groups that you can associate with a load balancer of type 'application': [{}]",
                    quotas.target_groups_per_load_balancer
                ),
            ));
        }
        match balancer.kind {
            LoadBalancerKind::Application => self.check_targets(groups, 0, &[]),
            LoadBalancerKind::Network => {
                let groups = groups.iter().filter_map(|arn| self.elb.target_groups.get(arn));
                self.check_network_targets(balancer, groups.flat_map(zones_of))
            }
        }
    }

    /// Whether a network load balancer may have targets in these zones, one entry per target (AWS: an application load balancer counts as 50
    /// targets, or as 100 with cross-zone load balancing; a target outside of the VPC counts in no zone).
    pub fn check_network_targets<'a>(&self, balancer: &LoadBalancer, zones: impl Iterator<Item = (&'a str, usize)>) -> Answer<()> {
        let quotas = &self.config.quotas;
        let cross_zone = balancer.is_cross_zone();
        let per_zone = quotas.targets_per_zone_per_network_load_balancer;
        let all =
            if cross_zone { quotas.targets_per_network_load_balancer.min(per_zone) } else { quotas.targets_per_network_load_balancer };
        let (mut total, mut by_zone) = (0, BTreeMap::<&str, usize>::new());
        for (zone, weight) in zones {
            let weight = if cross_zone && weight > 1 { 2 * weight } else { weight };
            total += weight;
            if zone != "all" {
                *by_zone.entry(zone).or_default() += weight;
            }
        }
        if total > all {
            return Err(ApiError::new(
                "TooManyTargets",
                format!("The maximum number of targets per load balancer has been reached: [{all}]"),
            ));
        }
        match by_zone.into_iter().find(|(_, count)| *count > per_zone) {
            Some((zone, _)) => Err(ApiError::new(
                "TooManyTargets",
                format!("The maximum number of targets per Availability Zone has been reached in '{zone}': [{per_zone}]"),
            )),
            None => Ok(()),
        }
    }

    /// Whether the targets of these groups, with `more` new ones, are within the load balancer's limits.
    pub fn check_targets(&self, groups: &BTreeSet<String>, more: usize, ids: &[&str]) -> Answer<()> {
        let quotas = &self.config.quotas;
        let mut total = more;
        let mut registrations: BTreeMap<&str, usize> = BTreeMap::new();
        for id in ids {
            *registrations.entry(id).or_default() += 1;
        }
        for group in groups.iter().filter_map(|arn| self.elb.target_groups.get(arn)) {
            total += group.targets.len();
            for key in group.targets.keys() {
                *registrations.entry(&key.id).or_default() += 1;
            }
        }
        if total > quotas.targets_per_load_balancer {
            return Err(ApiError::new(
                "TooManyTargets",
                format!("The maximum number of targets per load balancer has been reached: [{}]", quotas.targets_per_load_balancer),
            ));
        }
        match registrations.iter().find(|(_, count)| **count > quotas.registrations_per_target) {
            Some((id, _)) => Err(ApiError::new(
                "TooManyRegistrationsForTargetId",
                format!("The maximum number of registrations of target '{id}' has been reached: [{}]", quotas.registrations_per_target),
            )),
            None => Ok(()),
        }
    }
}

/// The zones of a group's targets, with how many targets each counts for.
pub fn zones_of(group: &TargetGroup) -> impl Iterator<Item = (&str, usize)> {
    let weight = if group.target_type == "alb" { 50 } else { 1 };
    group.targets.values().map(move |target| (target.zone.as_str(), weight))
}

/// The target groups that a load balancer's actions name, but without what only the `replaced` actions name (they are told by their place in memory).
fn kept_without(balancer: &LoadBalancer, replaced: &[Action]) -> BTreeSet<String> {
    balancer
        .listeners
        .values()
        .flat_map(|listener| [&listener.default_actions].into_iter().chain(listener.rules.values().map(|rule| &rule.actions)))
        .filter(|actions| replaced.is_empty() || !std::ptr::eq(actions.as_slice(), replaced))
        .flatten()
        .flat_map(Action::target_groups)
        .cloned()
        .collect()
}
