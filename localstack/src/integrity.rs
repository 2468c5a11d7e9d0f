//! Whether the state holds together: every reference leads somewhere, every index is right. (Limits are no part of it: they can be
//! lowered below what is there, as on AWS.)

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;

use crate::ec2::address::Address;
use crate::ec2::network_interface::{Attachment, NetworkInterface};
use crate::ec2::permission::Peer;
use crate::elb::Event;
use crate::elb::action::Action;
use crate::elb::certificate::ListenerTls;
use crate::elb::kind::LoadBalancerKind;
use crate::elb::load_balancer::LoadBalancer;
use crate::elb::protocol;
use crate::state::State;

mod ipam;
mod neighbours;

/// What is wrong; empty if nothing is. Checked after every mutation in debug builds, and by the admin API.
pub fn violations(state: &State) -> Vec<String> {
    let mut found = Vec::new();
    load_balancers(state, &mut found);
    target_groups(state, &mut found);
    trust_stores(state, &mut found);
    events(state, &mut found);
    network(state, &mut found);
    neighbours::violations(state, &mut found);
    ipam::violations(state, &mut found);
    found
}

fn load_balancers(state: &State, found: &mut Vec<String>) {
    let (elb, ec2) = (&state.elb, &state.ec2);
    let mut interfaces: BTreeMap<&String, Vec<&NetworkInterface>> = BTreeMap::new();
    for interface in ec2.network_interfaces.values().filter(|interface| interface.gone_at.is_none()) {
        if let Attachment::LoadBalancer(arn) = &interface.attachment {
            interfaces.entry(arn).or_default().push(interface);
        }
    }
    let (mut addresses, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (arn, balancer) in &elb.load_balancers {
        let mut fault = |what: String| found.push(format!("{arn}: {what}"));
        if balancer.nodes.iter().any(|node| !addresses.insert(node.listens_at)) || !names.insert(&balancer.name) {
            fault("its address or name is another's too".into());
        }
        if let Some(id) = balancer.subnets.iter().find(|id| ec2.subnets.get(*id).is_none_or(|subnet| subnet.vpc != balancer.vpc)) {
            fault(format!("subnet {id} is not in its VPC"));
        }
        if let Some(id) = balancer.security_groups.iter().find(|id| !ec2.security_groups.contains_key(*id)) {
            fault(format!("security group {id} does not exist"));
        }
        let interfaces = interfaces.remove(arn).unwrap_or_default();
        let mut held: Vec<&String> = interfaces.iter().map(|interface| &interface.subnet).collect();
        let mut wanted: Vec<&String> = balancer.subnets.iter().collect();
        nodes(balancer, &interfaces, &ec2.addresses, &mut fault);
        held.sort();
        wanted.sort();
        if held != wanted {
            fault(format!("has interfaces in {held:?}, but subnets {wanted:?}"));
        }
        let tls = balancer.listeners.values().filter_map(|listener| listener.tls.as_ref());
        if let Some(arn) = tls.flat_map(ListenerTls::all).find(|arn| !state.acm.certificates.contains_key(*arn)) {
            fault(format!("certificate {arn} does not exist"));
        }
        let stores = balancer.listeners.values().filter_map(|listener| listener.tls.as_ref()?.mutual.trust_store());
        if let Some(store) = stores.into_iter().find(|store| !elb.trust_stores.contains_key(*store)) {
            fault(format!("trust store {store} does not exist"));
        }
        if balancer.listeners.values().any(|listener| protocol::has_certificates(&listener.protocol) != listener.tls.is_some()) {
            fault("an HTTPS or TLS listener has no certificate, or another one has".into());
        }
        if balancer.listeners.values().any(|listener| protocol::check_listener(balancer.kind, &listener.protocol).is_err()) {
            fault("a listener's protocol is that of another type of load balancer".into());
        }
        let mut used = BTreeSet::new();
        let mut ports = BTreeSet::new();
        for listener in balancer.listeners.values() {
            if !ports.insert(listener.port) {
                fault(format!("has two listeners at port {}", listener.port));
            }
            let mut priorities = BTreeSet::new();
            if listener.rules.values().any(|rule| !priorities.insert(rule.priority)) {
                fault(format!("two rules of {} have one priority", listener.arn));
            }
            let actions = listener.default_actions.iter().chain(listener.rules.values().flat_map(|rule| &rule.actions));
            let named: BTreeSet<String> = actions.flat_map(Action::target_groups).cloned().collect();
            let groups = || named.iter().filter_map(|arn| elb.target_groups.get(arn));
            if let Some(group) = groups().find(|group| !protocol::can_forward(&listener.protocol, &group.protocol, &group.target_type)) {
                fault(format!("{} forwards to {}, whose protocol does not fit", listener.arn, group.arn));
            }
            used.extend(named);
        }
        if let Some(group) = used.iter().find(|group| !elb.target_groups.contains_key(*group)) {
            fault(format!("target group {group} does not exist"));
        }
        if used != balancer.target_groups {
            fault("its index of target groups is wrong".into());
        }
    }
}

/// Where a load balancer listens: a network load balancer once per subnet, with the address that was chosen there; others once.
fn nodes(balancer: &LoadBalancer, interfaces: &[&NetworkInterface], addresses: &BTreeMap<String, Address>, fault: &mut impl FnMut(String)) {
    if balancer.kind == LoadBalancerKind::Application {
        if balancer.nodes.iter().map(|node| &node.subnet).collect::<Vec<_>>() != [&None] {
            fault("does not have exactly one node for all zones".into());
        }
        return;
    }
    let placed: BTreeSet<&String> = balancer.nodes.iter().filter_map(|node| node.subnet.as_ref()).collect();
    if placed.len() != balancer.nodes.len() || placed != balancer.subnets.iter().collect() {
        fault(format!("has nodes in {placed:?}, but subnets {:?}", balancer.subnets));
    }
    for node in &balancer.nodes {
        let holds = |address: &IpAddr| interfaces.iter().any(|held| Some(&held.subnet) == node.subnet.as_ref() && held.address == *address);
        let elastic = node.allocation.as_ref().map(|id| addresses.get(id).and_then(|address| address.interface.as_ref()));
        if elastic.is_some_and(|interface| {
            !interface.is_some_and(|id| interfaces.iter().any(|held| held.id == *id && Some(&held.subnet) == node.subnet.as_ref()))
        }) {
            fault(format!("its elastic address {:?} is not that of an interface of it", node.allocation));
        }
        if let Some(address) = node.private_address.filter(|address| !holds(address)) {
            fault(format!("no interface holds its private address {address}"));
        }
    }
}

fn target_groups(state: &State, found: &mut Vec<String>) {
    let mut names = BTreeSet::new();
    let mut users: BTreeMap<&String, BTreeSet<String>> = BTreeMap::new();
    for balancer in state.elb.load_balancers.values() {
        for group in &balancer.target_groups {
            users.entry(group).or_default().insert(balancer.arn.clone());
        }
    }
    for (arn, group) in &state.elb.target_groups {
        let mut fault = |what: String| found.push(format!("{arn}: {what}"));
        let users = users.remove(arn).unwrap_or_default();
        if users != group.load_balancers || users.len() > 1 {
            fault(format!("is used by {users:?}, but holds {:?}", group.load_balancers));
        }
        if !names.insert(&group.name) {
            fault("its name is another's too".into());
        }
        let is_balancer = |id: &String| state.elb.load_balancers.contains_key(id);
        if group.target_type == "alb" && !group.targets.keys().all(|key| is_balancer(&key.id)) {
            fault("its target does not exist".into());
        }
        if group.vpc.as_ref().is_none_or(|vpc| !state.ec2.vpcs.contains_key(vpc)) {
            fault("its VPC does not exist".into());
        }
    }
}

fn trust_stores(state: &State, found: &mut Vec<String>) {
    let mut names = BTreeSet::new();
    for (arn, store) in &state.elb.trust_stores {
        let mut fault = |what: &str| found.push(format!("{arn}: {what}"));
        if !names.insert(&store.name) {
            fault("its name is another's too");
        }
        if store.revocations.values().any(|revocation| revocation.lists.is_empty()) {
            fault("a revocation list cannot be read");
        }
        let lists: usize = store.revocations.values().map(|revocation| revocation.lists.len()).sum();
        if store.material.authorities.is_empty() {
            fault("it has no authority");
        }
        if store.material.revocations.len() != lists || store.revocations.keys().any(|id| *id > store.last_revocation) {
            fault("what listeners verify by is not what it holds");
        }
    }
}

/// What time will do, and the addresses that are taken.
fn events(state: &State, found: &mut Vec<String>) {
    let elb = &state.elb;
    for group in elb.target_groups.values() {
        for (key, target) in &group.targets {
            let due = |until: Timestamp| elb.events.contains(&(until, Event::Drained(group.arn.clone(), key.clone())));
            if target.draining.is_some_and(|until| !due(until)) {
                found.push(format!("{}: nothing will end the deregistration of {key:?}", group.arn));
            }
        }
    }
    let awaited: BTreeSet<&String> =
        elb.events.iter().filter_map(|(_, event)| if let Event::Found(arn) = event { Some(arn) } else { None }).collect();
    if let Some(arn) = elb.unfound.iter().find(|arn| !awaited.contains(arn)) {
        found.push(format!("{arn}: it will never be found"));
    }
    let nodes: BTreeSet<IpAddr> = elb.load_balancers.values().flat_map(|balancer| &balancer.nodes).map(|node| node.listens_at).collect();
    if nodes != *elb.addresses.used() {
        found.push(format!("load balancers listen at {nodes:?}, but {:?} are taken", elb.addresses.used()));
    }
}

fn network(state: &State, found: &mut Vec<String>) {
    let ec2 = &state.ec2;
    let mut used: BTreeMap<&String, BTreeSet<_>> = BTreeMap::new();
    for interface in ec2.network_interfaces.values() {
        let mut fault = |what: String| found.push(format!("{}: {what}", interface.id));
        if !interface.addresses().all(|address| used.entry(&interface.subnet).or_default().insert(address)) {
            fault("one of its addresses is another's too".into());
        }
        if let Attachment::Instance { id, .. } = &interface.attachment
            && !ec2.instances.get(id).is_some_and(|instance| instance.interfaces.contains(&interface.id))
        {
            fault(format!("is not an interface of its instance {id}"));
        }
        if let Some(id) = interface.groups.iter().find(|id| !ec2.security_groups.contains_key(*id)) {
            fault(format!("security group {id} does not exist"));
        }
        if let Attachment::LoadBalancer(arn) = &interface.attachment
            && interface.gone_at.is_none()
            && !state.elb.load_balancers.contains_key(arn)
        {
            fault(format!("its load balancer {arn} does not exist"));
        }
    }
    for subnet in ec2.subnets.values() {
        if used.remove(&subnet.id).unwrap_or_default() != subnet.used || !ec2.vpcs.contains_key(&subnet.vpc) {
            found.push(format!("{}: its used addresses or its VPC are wrong", subnet.id));
        }
    }
    if let Some(id) = used.keys().next() {
        found.push(format!("{id}: has interfaces, but does not exist"));
    }
    for group in ec2.security_groups.values() {
        for rule in group.rules.values() {
            if let Peer::PrefixList(list) = &rule.permission.peer
                && !ec2.prefix_lists.contains_key(list)
            {
                found.push(format!("{}: names the prefix list {list}, which does not exist", rule.id));
            }
            if let Peer::Group(peer) = &rule.permission.peer
                && !ec2.security_groups.contains_key(peer)
            {
                found.push(format!("{}: names the group {peer}, which does not exist", rule.id));
            }
        }
    }
}
