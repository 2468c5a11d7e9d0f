//! IP pools: the public IPv4 addresses of an application load balancer's nodes (user guide, "IPAM IP address pools").

use std::net::Ipv4Addr;

use super::kind::LoadBalancerKind;
use super::load_balancer::LoadBalancer;
use crate::ec2::Ec2;
use crate::ec2::address::Address;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};

/// The first of the addresses that Amazon gives load balancers: nobody has addresses of 240.0.0.0/4.
const AMAZON: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 1);
/// API reference, `IpamPools`: the greatest length of a pool's id.
const LONGEST: usize = 1000;

fn fault<T>(message: impl Into<String>) -> Answer<T> {
    Err(ApiError::new("InvalidConfigurationRequest", message.into()))
}

/// `IpamPools`: the pool that a caller names.
pub fn read(input: &Input) -> Answer<Option<String>> {
    let id = input.child("IpamPools").and_then(|pools| pools.text("Ipv4IpamPoolId")).filter(|id| !id.is_empty());
    let Some(id) = id else { return Ok(None) };
    let tail = id.strip_prefix("ipam-pool-").unwrap_or_default();
    if tail.is_empty() || !tail.chars().all(|letter| letter.is_ascii_alphanumeric()) || id.len() > LONGEST {
        return Err(ApiError::validation(format!(
            "1 validation error detected: Value '{id}' at 'ipamPools.ipv4IpamPoolId' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(ipam-pool-)[a-zA-Z0-9]+$"
        )));
    }
    Ok(Some(id.into()))
}

/// Whether a load balancer of this kind can have pools at all.
fn check_kind(kind: LoadBalancerKind, scheme: &str) -> Answer<()> {
    kind.only(LoadBalancerKind::Application, "'IpamPools'")?;
    if scheme != "internet-facing" {
        return fault("IPAM pools can be used by internet-facing load balancers only");
    }
    Ok(())
}

/// Whether a load balancer can take addresses from a pool.
pub fn check(state: &State, pool: Option<&String>, kind: LoadBalancerKind, scheme: &str, ip_address_type: &str, tags: &Tags) -> Answer<()> {
    let Some(id) = pool else { return Ok(()) };
    check_kind(kind, scheme)?;
    check_type(pool, ip_address_type)?;
    let Some(pool) = state.ec2.ipam_pools.get(id) else { return fault(format!("The IPAM pool '{id}' does not exist")) };
    if let Some(reason) = pool.unusable(&state.config.region) {
        return fault(format!("The IPAM pool '{id}' cannot be used by load balancers: {reason}"));
    }
    if !pool.rules.admit_address(tags) {
        return fault(format!("The allocation rules of the IPAM pool '{id}' do not admit the addresses of the load balancer"));
    }
    Ok(())
}

/// Whether a load balancer with this pool can have this IP address type.
pub fn check_type(pool: Option<&String>, ip_address_type: &str) -> Answer<()> {
    match pool {
        Some(id) if ip_address_type == "dualstack-without-public-ipv4" => {
            fault(format!("The IPAM pool '{id}' cannot be used with the IP address type 'dualstack-without-public-ipv4'"))
        }
        _ => Ok(()),
    }
}

/// A pool as answers show it.
pub fn record(pool: Option<&String>) -> Record {
    Record::new().maybe("Ipv4IpamPoolId", pool)
}

/// ModifyIpPools: another pool, or none any more. The nodes' addresses follow at once.
pub fn modify(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("LoadBalancerArn")?.to_string();
    let wanted = read(input)?;
    let removed = input.strings("RemoveIpamPools");
    input.done()?;
    for kind in &removed {
        super::validation::one_of(kind, "removeIpamPools", &["ipv4"])?;
    }
    let balancer = state.elb.load_balancer(&arn)?;
    check_kind(balancer.kind, &balancer.scheme)?;
    if wanted.is_some() != removed.is_empty() {
        return Err(ApiError::validation("You must specify either 'IpamPools' or 'RemoveIpamPools'"));
    }
    check(state, wanted.as_ref(), balancer.kind, &balancer.scheme, &balancer.ip_address_type, &balancer.tags)?;
    let shown = record(wanted.as_ref());
    state.elb.load_balancer_mut(&arn)?.ipam_pool = wanted;
    settle(state, &arn);
    Ok(Record::new().with("IpamPools", shown))
}

/// The free address of Amazon's that comes next.
fn amazon_address(ec2: &Ec2) -> Option<Ipv4Addr> {
    let last = ec2.network_interfaces.values().filter_map(|interface| interface.public).max();
    last.map_or(Some(AMAZON), |last| u32::from(last).checked_add(1).map(Ipv4Addr::from))
}

/// Gives each interface of a load balancer the public address that it is to have: of its pool while there are any, or Amazon's; and takes away what it is not to
/// have any more. Elastic IP addresses that the caller chose stay.
pub fn settle(state: &mut State, arn: &str) {
    let Some(balancer) = state.elb.load_balancers.get(arn) else { return };
    let LoadBalancer { scheme, ip_address_type, ipam_pool, tags, .. } = balancer;
    let outward = scheme == "internet-facing" && ip_address_type != "dualstack-without-public-ipv4";
    let (pool, tags) = (ipam_pool.clone().filter(|_| outward), tags.clone());
    let interfaces: Vec<String> = state.ec2.interfaces_of_load_balancer(arn).map(|interface| interface.id.clone()).collect();
    for id in interfaces {
        let of_interface = |address: &Address| address.interface.as_ref() == Some(&id);
        state.ec2.addresses.retain(|_, address| !(address.service_managed && of_interface(address) && address.pool != pool));
        let mut elastic = state.ec2.addresses.values().any(of_interface);
        let free = pool.as_ref().filter(|_| !elastic).and_then(|pool| state.ec2.ipam_pools.get(pool));
        if let Some(public) = free.filter(|pool| pool.rules.admit_address(&tags)).and_then(|pool| pool.free_address(&state.ec2)) {
            let (allocation, association) = (state.ids.ec2("eipalloc"), state.ids.ec2("eipassoc"));
            let address = Address {
                id: allocation.clone(),
                public,
                association: Some(association),
                interface: Some(id.clone()),
                pool: pool.clone(),
                service_managed: true,
                tags: Tags::new(),
            };
            state.ec2.addresses.insert(allocation, address);
            elastic = true;
        }
        let amazon = amazon_address(&state.ec2);
        if let Some(interface) = state.ec2.network_interfaces.get_mut(&id) {
            interface.public = if outward && !elastic { interface.public.or(amazon) } else { None };
        }
    }
}

/// Gives those load balancers public addresses that a state kept without them.
pub fn resume(state: &mut State) {
    let bare = |arn: &&String| state.ec2.interfaces_of_load_balancer(arn).any(|interface| interface.association(&state.ec2).is_none());
    let arns: Vec<String> = state.elb.load_balancers.keys().filter(bare).cloned().collect();
    arns.iter().for_each(|arn| settle(state, arn));
}
