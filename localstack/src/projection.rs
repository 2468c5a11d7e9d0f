//! The control plane's state as the data plane's configuration.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::dataplane::config::{self as plane, Changes, DataPlaneConfig, ServerCertificate, TargetGroupId, TargetId};
use crate::ec2::ReachChanges;
use crate::elb::load_balancer::LoadBalancer;
use crate::elb::target::TargetKey;
use crate::elb::{Dirty, arn};
use crate::reachability::{Interfaces, Network};
use crate::state::State;

mod authentication;
mod load_balancer;
mod network;
mod rule;
mod target_group;
mod tls;

use network::is_network;
use target_group::any_target_group;

/// The data plane's name of a target group.
pub fn target_group_id(arn: &str) -> TargetGroupId {
    arn.into()
}

/// The data plane's name of a target.
pub fn target_id(key: &TargetKey) -> TargetId {
    format!("{}:{}", key.id, key.port).into()
}

/// All that is to be served now.
pub fn project(state: &State) -> DataPlaneConfig {
    let mut projector = Projector::default();
    projector.note_fronts(state, state.elb.target_groups.keys());
    let interfaces = Interfaces::of(&state.ec2);
    let network = Network::new(&state.ec2, &interfaces);
    let active = || state.elb.load_balancers.values().filter(|balancer| balancer.active_at <= state.now);
    DataPlaneConfig {
        revision: state.revision,
        load_balancers: active()
            .filter(|balancer| !is_network(balancer))
            .map(|balancer| Arc::new(projector.load_balancer(state, &network, balancer)))
            .collect(),
        network_load_balancers: active()
            .filter(|balancer| is_network(balancer))
            .map(|balancer| Arc::new(projector.network_load_balancer(state, &network, balancer)))
            .collect(),
        target_groups: state
            .elb
            .target_groups
            .values()
            .map(|group| (target_group_id(&group.arn), Arc::new(any_target_group(state, &network, group))))
            .collect(),
    }
}

/// Projects again and again, and only what may have changed, so that a change costs as much as it changes.
#[derive(Debug, Default)]
pub struct Projector {
    started: bool,
    /// Load balancers that let members of a security group in.
    by_members: BTreeSet<String>,
    /// Target groups with targets that are not on instances.
    foreign: BTreeSet<String>,
    /// Target groups whose target is an application load balancer, with that.
    fronts: BTreeMap<String, String>,
    interfaces: Interfaces,
    /// The revision of ACM that was seen last.
    acm: u64,
    certificates: HashMap<String, (u64, Arc<ServerCertificate>)>,
    /// The application load balancers that are served, by ARN.
    served: HashMap<String, Arc<plane::LoadBalancer>>,
}

impl Projector {
    /// What is to be served otherwise than after the last call.
    pub fn changes(&mut self, state: &mut State) -> Changes {
        let Dirty { load_balancers, target_groups, rules } = std::mem::take(&mut state.elb.dirty);
        let reach = std::mem::take(&mut state.ec2.reach);
        let state = &*state;
        if state.acm.changes != self.acm {
            self.certificates.retain(|arn, _| state.acm.certificates.contains_key(arn));
        }
        let whole = reach.all || !std::mem::replace(&mut self.started, true);
        let (balancers, groups) = if whole {
            self.by_members.clear();
            self.foreign.clear();
            self.fronts.clear();
            self.served.clear();
            (state.elb.load_balancers.keys().cloned().collect(), state.elb.target_groups.keys().cloned().collect())
        } else {
            self.affected(state, (load_balancers, target_groups), &reach)
        };
        self.acm = state.acm.changes;
        self.note_fronts(state, groups.iter());
        if whole || reach.interfaces {
            self.interfaces = Interfaces::of(&state.ec2);
        }
        let interfaces = std::mem::take(&mut self.interfaces);
        let network = Network::new(&state.ec2, &interfaces);
        let mut changes = Changes { revision: state.revision, whole, ..Changes::default() };
        for (arn, rules) in by_load_balancer(rules) {
            // One that is not served yet is brought as a whole when it is; so is one of which more than rules may have changed.
            let (Some(served), Some(balancer)) = (self.served.get_mut(&arn), state.elb.load_balancers.get(&arn)) else { continue };
            if !balancers.contains(&arn) {
                *served = Arc::new(load_balancer::with_rules(served, balancer, &rules));
                changes.load_balancers.push((served.id.clone(), Some(Arc::clone(served))));
            }
        }
        for arn in balancers {
            let balancer = state.elb.load_balancers.get(&arn).filter(|balancer| balancer.active_at <= state.now);
            let id: plane::LoadBalancerId = arn.as_str().into();
            self.served.remove(&arn);
            match balancer {
                Some(balancer) if is_network(balancer) => {
                    let made = Arc::new(self.network_load_balancer(state, &network, balancer));
                    changes.network_load_balancers.push((id, Some(made)));
                }
                Some(balancer) => {
                    let made = Arc::new(self.load_balancer(state, &network, balancer));
                    self.served.insert(arn.clone(), Arc::clone(&made));
                    changes.load_balancers.push((id, Some(made)));
                }
                None if arn.contains(":loadbalancer/net/") => changes.network_load_balancers.push((id, None)),
                None => changes.load_balancers.push((id, None)),
            }
            note(&mut self.by_members, arn, balancer.is_some_and(|balancer| network.depends_on_members(balancer)));
        }
        for arn in groups {
            let group = state.elb.target_groups.get(&arn);
            let made = group.map(|group| Arc::new(any_target_group(state, &network, group)));
            changes.target_groups.push((target_group_id(&arn), made));
            let foreign = group.is_some_and(|group| {
                group.targets.values().any(|target| !target.address.is_some_and(|address| network.is_instances(address)))
            });
            note(&mut self.foreign, arn, foreign);
        }
        self.interfaces = interfaces;
        changes
    }

    /// The load balancers and target groups that may have to be served otherwise.
    fn affected(
        &self,
        state: &State,
        (mut balancers, mut groups): (BTreeSet<String>, BTreeSet<String>),
        reach: &ReachChanges,
    ) -> (BTreeSet<String>, BTreeSet<String>) {
        let all = || state.elb.load_balancers.values();
        if !reach.groups.is_empty() {
            let has = |balancer: &&LoadBalancer| balancer.security_groups.iter().any(|id| reach.groups.contains(id));
            for balancer in all().filter(has) {
                balancers.insert(balancer.arn.clone());
                groups.extend(balancer.target_groups.iter().cloned());
            }
        }
        if reach.interfaces {
            balancers.extend(self.by_members.iter().cloned());
            balancers.extend(self.fronts.values().cloned());
        }
        // As it was, and as it will be.
        balancers.extend(groups.iter().filter_map(|group| self.fronts.get(group)).cloned());
        balancers.extend(groups.iter().filter_map(|group| network::front(state, group)).cloned());
        if reach.interfaces || !reach.groups.is_empty() {
            groups.extend(self.foreign.iter().cloned());
        }
        if state.acm.changes != self.acm {
            let renewed = |arn: &String| state.acm.certificates.get(arn).is_some_and(|certificate| certificate.revision > self.acm);
            let has = |balancer: &&LoadBalancer| {
                let mut tls = balancer.listeners.values().filter_map(|listener| listener.tls.as_ref());
                tls.any(|tls| tls.all().any(renewed))
            };
            balancers.extend(all().filter(has).map(|balancer| balancer.arn.clone()));
        }
        (balancers, groups)
    }
}

/// Rules, by listener, by the load balancer that has it.
fn by_load_balancer(rules: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut sorted: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (listener, rules) in rules {
        sorted.entry(arn::load_balancer_of(&listener)).or_default().insert(listener, rules);
    }
    sorted
}

fn note(set: &mut BTreeSet<String>, arn: String, holds: bool) {
    if holds {
        set.insert(arn);
    } else {
        set.remove(&arn);
    }
}
