//! Whether IPAM's scopes, pools and CIDRs fit together, and the public addresses that load balancers have from pools, or from Amazon.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use crate::ec2::ipam::cidr::PoolCidr;
use crate::ec2::ipam::space;
use crate::ec2::network_interface::Attachment;
use crate::elb::kind::LoadBalancerKind;
use crate::state::State;

/// What is wrong.
pub fn violations(state: &State, found: &mut Vec<String>) {
    scopes(state, found);
    pools(state, found);
    addresses(state, found);
    balancers(state, found);
}

fn scopes(state: &State, found: &mut Vec<String>) {
    let ec2 = &state.ec2;
    for (id, ipam) in &ec2.ipams {
        let has =
            |scope: &String, public: bool| ec2.ipam_scopes.get(scope).is_some_and(|scope| scope.ipam == *id && scope.public == public);
        if *id != ipam.id || !has(&ipam.public_scope, true) || !has(&ipam.private_scope, false) || !ipam.regions.contains(&ipam.region) {
            found.push(format!("{id}: its id, its scopes or its operating regions are wrong"));
        }
    }
    let of_ipams: BTreeSet<&String> = ec2.ipams.values().flat_map(|ipam| [&ipam.public_scope, &ipam.private_scope]).collect();
    if !ec2.ipam_scopes.iter().all(|(id, scope)| *id == scope.id && of_ipams.contains(id)) {
        found.push("a scope is no IPAM's".into());
    }
}

fn pools(state: &State, found: &mut Vec<String>) {
    let ec2 = &state.ec2;
    for (id, pool) in &ec2.ipam_pools {
        let mut fault = |what: &str| found.push(format!("{id}: {what}"));
        if *id != pool.id || ec2.ipam_scopes.get(&pool.scope).is_none_or(|scope| (&scope.ipam, scope.public) != (&pool.ipam, pool.public)) {
            fault("its id or its scope is wrong");
        }
        let source = pool.source.as_ref().map(|source| ec2.ipam_pools.get(source));
        if source.is_some_and(|source| source.is_none_or(|source| source.scope != pool.scope || source.depth + 1 != pool.depth)) {
            fault("its source pool does not exist, or is of another scope or depth");
        }
        let held: Vec<Ipv4Net> = pool.cidrs.iter().filter_map(PoolCidr::held).collect();
        let within = |cidr: &Ipv4Net| {
            source.flatten().is_none_or(|source| source.cidrs.iter().filter_map(PoolCidr::held).any(|range| range.contains(cidr)))
        };
        if !held.iter().all(within) {
            fault("a CIDR of it is not in its source pool");
        }
        // Two top-level pools of a scope, or two pools of one source, have nothing in common, nor have two CIDRs of one pool.
        let siblings = ec2.ipam_pools.values().filter(|other| other.id > *id && other.scope == pool.scope && other.source == pool.source);
        let others: Vec<Ipv4Net> = siblings.flat_map(|other| &other.cidrs).filter_map(PoolCidr::held).collect();
        if held.iter().enumerate().any(|(at, one)| others.iter().chain(held.iter().skip(at + 1)).any(|other| space::overlap(one, other))) {
            fault("a CIDR of it overlaps another");
        }
    }
}

/// Addresses of pools are in their CIDRs, and those that services manage are load balancers'.
fn addresses(state: &State, found: &mut Vec<String>) {
    let ec2 = &state.ec2;
    for (id, address) in &ec2.addresses {
        let mut fault = |what: String| found.push(format!("{id}: {what}"));
        if let Some(pool) = &address.pool {
            let known = ec2.ipam_pools.get(pool);
            let holds = known.is_some_and(|pool| pool.cidrs.iter().filter_map(PoolCidr::held).any(|cidr| cidr.contains(&address.public)));
            let within = ec2.ipam_pools.values().filter(|other| other.source.as_ref() == Some(pool));
            let given_on = within.flat_map(|other| &other.cidrs).filter_map(PoolCidr::held).any(|cidr| cidr.contains(&address.public));
            if !holds || given_on {
                fault(format!("its address {} is not the pool's {pool}, or another pool's, too", address.public));
            }
        }
        if address.service_managed {
            let interface = address.interface.as_ref().and_then(|interface| ec2.network_interfaces.get(interface));
            let balancer = interface.and_then(|interface| match &interface.attachment {
                Attachment::LoadBalancer(arn) => state.elb.load_balancers.get(arn),
                _ => None,
            });
            if address.pool.is_none() || balancer.is_none_or(|balancer| balancer.ipam_pool != address.pool) {
                fault("it is managed by a service, but no load balancer has it of its pool".into());
            }
        }
    }
    let mut publics = BTreeSet::new();
    for interface in ec2.network_interfaces.values().filter(|interface| interface.public.is_some()) {
        let managed = matches!(interface.attachment, Attachment::LoadBalancer(_)) && interface.gone_at.is_none();
        let elastic = ec2.addresses.values().any(|address| address.interface.as_ref() == Some(&interface.id));
        if !managed || elastic || !publics.insert(interface.public) {
            found.push(format!("{}: its public address of Amazon's is another's, too, or not to be", interface.id));
        }
    }
}

/// Whoever faces the internet over IPv4 has a public address in each zone, and nobody else has.
fn balancers(state: &State, found: &mut Vec<String>) {
    for (arn, balancer) in &state.elb.load_balancers {
        let outward = balancer.scheme == "internet-facing" && balancer.ip_address_type != "dualstack-without-public-ipv4";
        if state.ec2.interfaces_of_load_balancer(arn).any(|interface| interface.association(&state.ec2).is_some() != outward) {
            found.push(format!("{arn}: a node has a public address and should not, or the other way round"));
        }
        if let Some(pool) = &balancer.ipam_pool
            && (!state.ec2.ipam_pools.get(pool).is_some_and(|pool| pool.public)
                || balancer.kind != LoadBalancerKind::Application
                || !outward)
        {
            found.push(format!("{arn}: its IPAM pool {pool} does not exist, or is none for it"));
        }
    }
}
