//! Where a load balancer is: its subnets, zones, network interfaces and security groups.

use std::collections::BTreeSet;

use crate::clock;
use crate::ec2::Ec2;
use crate::ec2::address::Address;
use crate::ec2::network_interface::Attachment;
use crate::ec2::subnet::Subnet;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

use super::dualstack;
use super::ip_pool;
use super::kind::LoadBalancerKind;
use super::load_balancer::LoadBalancer;
use super::node::{self, Mapping, Node};
use super::validation;

/// Checked subnets and security groups.
#[derive(Debug)]
pub struct Placement {
    /// The VPC.
    pub vpc: String,
    /// The subnets, with the addresses that were chosen in them.
    pub mappings: Vec<Mapping>,
    /// The security groups. If none were given, an application load balancer gets the VPC's default one, a network load balancer none.
    pub security_groups: Vec<String>,
}

impl Placement {
    /// Checks subnets and security groups for a load balancer of this type and scheme.
    pub fn of(state: &State, kind: LoadBalancerKind, mappings: Vec<Mapping>, groups: Option<&[String]>, scheme: &str) -> Answer<Self> {
        let vpc = check_subnets(&state.ec2, kind, &mappings, scheme)?;
        let security_groups = match groups.filter(|groups| !groups.is_empty()) {
            Some(groups) => {
                check_groups(state, groups, &vpc)?;
                groups.to_vec()
            }
            None if kind == LoadBalancerKind::Network => Vec::new(),
            None => state
                .ec2
                .security_groups
                .values()
                .filter(|group| group.vpc == vpc && group.name == "default")
                .map(|group| group.id.clone())
                .collect(),
        };
        Ok(Self { vpc, mappings, security_groups })
    }

    /// The ids of its subnets.
    pub fn subnets(&self) -> Vec<String> {
        self.mappings.iter().map(|mapping| mapping.subnet.clone()).collect()
    }
}

/// Whether these subnets can hold a load balancer; answers with their VPC.
fn check_subnets(ec2: &Ec2, kind: LoadBalancerKind, mappings: &[Mapping], scheme: &str) -> Answer<String> {
    let mut found: Vec<&Subnet> = Vec::new();
    for Mapping { subnet: id, .. } in mappings {
        let subnet = ec2.subnets.get(id);
        found.push(subnet.ok_or_else(|| ApiError::new("SubnetNotFound", format!("The subnet ID '{id}' does not exist")))?);
    }
    let zones: BTreeSet<&str> = found.iter().map(|subnet| subnet.zone.as_str()).collect();
    if zones.len() < found.len() {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
        ));
    }
    if kind == LoadBalancerKind::Application && zones.len() < 2 {
        return Err(ApiError::validation("At least two subnets in two different Availability Zones must be specified"));
    }
    if zones.is_empty() {
        return Err(ApiError::validation("At least one subnet must be specified"));
    }
    let vpc = found.first().map(|subnet| subnet.vpc.clone()).unwrap_or_default();
    if found.iter().any(|subnet| subnet.vpc != vpc) {
        return Err(ApiError::new("InvalidConfigurationRequest", format!("All subnets must belong to the same VPC: '{vpc}'")));
    }
    if scheme == "internet-facing" && !ec2.internet_gateways.values().any(|gateway| gateway.vpc == vpc) {
        return Err(ApiError::new("InvalidSubnet", format!("VPC {vpc} has no internet gateway")));
    }
    if let Some(small) = found.iter().find(|subnet| kind == LoadBalancerKind::Application && subnet.cidr.prefix_len() > 27) {
        return Err(ApiError::new("InvalidSubnet", format!("The CIDR block of subnet '{}' must be at least /27", small.id)));
    }
    Ok(vpc)
}

/// Whether there is room for new nodes. AWS: at least 8 free addresses in each subnet, unless the caller chose a private address there; 1200
/// network interfaces of network load balancers per VPC.
pub fn check_room(state: &State, kind: LoadBalancerKind, vpc: &str, added: &[Mapping]) -> Answer<()> {
    node::check_addresses(&state.ec2, added)?;
    let automatic = added.iter().filter(|mapping| mapping.private_address.is_none());
    if let Some(full) = automatic.filter_map(|mapping| state.ec2.subnets.get(&mapping.subnet)).find(|subnet| subnet.free() < 8) {
        return Err(ApiError::new(
            "InvalidSubnet",
            format!("Not enough IP space available in {}. ELB requires at least 8 free IP addresses in each subnet.", full.id),
        ));
    }
    if kind == LoadBalancerKind::Application {
        return Ok(());
    }
    let others = state.elb.load_balancers.values().filter(|other| other.kind == kind && other.vpc == vpc);
    let limit = state.config.quotas.network_load_balancer_interfaces_per_vpc;
    if others.map(|other| other.subnets.len()).sum::<usize>() + added.len() > limit {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            format!("The maximum number of network interfaces of network load balancers per VPC has been reached: [{limit}]"),
        ));
    }
    Ok(())
}

/// Gives new nodes the addresses at which they listen: all or none.
pub fn take_nodes(state: &mut State, kind: LoadBalancerKind, mappings: &[Mapping]) -> Answer<Vec<Node>> {
    let all_zones = [Mapping::default()];
    let wanted = if kind == LoadBalancerKind::Application { &all_zones } else { mappings };
    let mut nodes = Vec::new();
    for mapping in wanted {
        let Some(listens_at) = state.elb.addresses.take() else {
            for node in nodes {
                let Node { listens_at, .. } = node;
                state.elb.addresses.release(listens_at);
            }
            return Err(ApiError::with_status("InternalFailure", "This cloud has no free address for another load balancer", 500));
        };
        let subnet = (kind == LoadBalancerKind::Network).then(|| mapping.subnet.clone());
        let Mapping { private_address, allocation, ipv6, source_prefix, .. } = mapping.clone();
        nodes.push(Node { subnet, listens_at, private_address, allocation, ipv6, source_prefix });
    }
    Ok(nodes)
}

fn check_groups(state: &State, groups: &[String], vpc: &str) -> Answer<()> {
    for id in groups {
        let group = state.ec2.security_groups.get(id);
        let group = group.ok_or_else(|| ApiError::new("InvalidSecurityGroup", format!("The security group '{id}' does not exist")))?;
        if group.vpc != vpc {
            return Err(ApiError::new("InvalidConfigurationRequest", "One or more security groups are invalid"));
        }
    }
    let limit = state.config.quotas.security_groups_per_interface;
    if groups.len() > limit {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            format!("The maximum number of security groups per load balancer has been reached: [{limit}]"),
        ));
    }
    Ok(())
}

/// Gives a load balancer its network interface in a subnet.
pub fn attach(state: &mut State, arn: &str, subnet: &str) -> Answer<()> {
    let Some(balancer) = state.elb.load_balancers.get(arn) else { return Ok(()) };
    let (groups, description) = (balancer.security_groups.clone(), format!("ELB {}", balancer.full_name()));
    let attachment = Attachment::LoadBalancer(arn.into());
    let node = balancer.node_in(subnet);
    let allocation = node.and_then(|node| node.allocation.clone());
    let interface = match node.and_then(|node| node.private_address) {
        Some(address) => state.ec2.add_interface_at(&mut state.ids, subnet, address, groups, description, attachment)?,
        None => state.ec2.add_interface(&mut state.ids, subnet, groups, description, attachment)?,
    };
    let association = state.ids.ec2("eipassoc");
    if let Some(address) = allocation.and_then(|id| state.ec2.addresses.get_mut(&id)) {
        (address.interface, address.association) = (Some(interface), Some(association));
    }
    Ok(())
}

/// Takes all network interfaces of a load balancer away, after the configured lag.
pub fn detach_all(state: &mut State, arn: &str) {
    let ids: Vec<String> = state.ec2.interfaces_of_load_balancer(arn).map(|interface| interface.id.clone()).collect();
    detach(state, &ids);
}

fn detach(state: &mut State, ids: &[String]) {
    // Elastic addresses are free at once, however long the interfaces remain; those of pools go back.
    let theirs = |address: &Address| address.interface.as_ref().is_some_and(|id| ids.contains(id));
    state.ec2.addresses.retain(|_, address| !(address.service_managed && theirs(address)));
    for address in state.ec2.addresses.values_mut().filter(|address| theirs(address)) {
        (address.interface, address.association) = (None, None);
    }
    let lag = state.config.times.network_interface_lag;
    for id in ids {
        if lag.is_zero() {
            state.ec2.remove_interface(id);
        } else if let Some(interface) = state.ec2.network_interfaces.get_mut(id) {
            let gone = clock::after(state.now, lag);
            (interface.gone_at, interface.public) = (Some(gone), None);
            state.ec2.leaving.insert((gone, id.clone()));
            state.ec2.reach.interfaces = true;
        }
    }
}

/// SetSubnets: replaces the load balancer's subnets. A network load balancer's nodes in zones that stay keep their addresses.
pub fn set_subnets(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("LoadBalancerArn")?.to_string();
    let balancer = state.elb.load_balancer(&arn)?;
    let (kind, vpc, scheme) = (balancer.kind, balancer.vpc.clone(), balancer.scheme.clone());
    let (known_type, known_nat) = (balancer.ip_address_type.clone(), balancer.source_nat);
    let mappings = node::read(input, kind, &scheme)?;
    let ip_address_type = input.text("IpAddressType").map(str::to_string);
    let source_nat = dualstack::read_source_nat(input, kind)?;
    input.done()?;
    if let Some(wanted) = &ip_address_type {
        dualstack::check_type(wanted, kind, &scheme)?;
    }
    let ip_address_type = ip_address_type.unwrap_or(known_type);
    let source_nat = source_nat.unwrap_or(known_nat && ip_address_type != "ipv4");
    if check_subnets(&state.ec2, kind, &mappings, &scheme)? != vpc {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            format!("All subnets must belong to the VPC '{vpc}' of the load balancer"),
        ));
    }
    if kind == LoadBalancerKind::Network {
        check_kept_zones(&state.ec2, balancer, &mappings)?;
    }
    let added: Vec<Mapping> = mappings.iter().filter(|mapping| !balancer.subnets.contains(&mapping.subnet)).cloned().collect();
    check_room(state, kind, &vpc, &added)?;
    let others: Vec<&LoadBalancer> = state.elb.load_balancers.values().filter(|other| other.arn != arn).collect();
    dualstack::check(&state.ec2, &others, &ip_address_type, source_nat, &mappings)?;
    check_listeners(balancer, &ip_address_type, source_nat)?;
    ip_pool::check_type(balancer.ipam_pool.as_ref(), &ip_address_type)?;
    let subnets: Vec<String> = mappings.iter().map(|mapping| mapping.subnet.clone()).collect();
    let dropped: Vec<String> = state
        .ec2
        .interfaces_of_load_balancer(&arn)
        .filter(|interface| !subnets.contains(&interface.subnet))
        .map(|interface| interface.id.clone())
        .collect();
    let new_nodes = if kind == LoadBalancerKind::Network { take_nodes(state, kind, &added)? } else { Vec::new() };
    let balancer = state.elb.load_balancer_mut(&arn)?;
    let (kept, gone): (Vec<Node>, Vec<Node>) = std::mem::take(&mut balancer.nodes)
        .into_iter()
        .partition(|node| node.subnet.as_ref().is_none_or(|subnet| subnets.contains(subnet)));
    balancer.nodes = kept.into_iter().chain(new_nodes).collect();
    balancer.subnets = subnets;
    (balancer.ip_address_type, balancer.source_nat) = (ip_address_type, source_nat);
    for mapping in &mappings {
        for node in balancer.nodes.iter_mut().filter(|node| node.subnet.as_deref() == Some(mapping.subnet.as_str())) {
            node.ipv6 = mapping.ipv6.or(node.ipv6);
            node.source_prefix = mapping.source_prefix.or(node.source_prefix);
        }
    }
    for node in gone {
        state.elb.addresses.release(node.listens_at);
    }
    state.elb.placed_anew(&arn);
    detach(state, &dropped);
    for mapping in &added {
        attach(state, &arn, &mapping.subnet)?;
    }
    ip_pool::settle(state, &arn);
    let balancer = state.elb.load_balancer(&arn)?;
    Ok(Record::new()
        .list("AvailabilityZones", balancer.zone_records(&state.ec2))
        .with("IpAddressType", &balancer.ip_address_type)
        .maybe("EnablePrefixForIpv6SourceNat", balancer.source_nat_word()))
}

/// What SetSubnets may not change of the zones that stay (network user guide, "Availability Zones"): their addresses, and, in one call with
/// its removal, their subnet.
fn check_kept_zones(ec2: &Ec2, balancer: &LoadBalancer, mappings: &[Mapping]) -> Answer<()> {
    let fault = |message: String| Err(ApiError::new("InvalidConfigurationRequest", message));
    let zone = |subnet: &str| ec2.subnets.get(subnet).map(|subnet| subnet.zone.as_str());
    for mapping in mappings {
        match balancer.node_in(&mapping.subnet) {
            Some(node)
                if mapping.private_address.is_some() && mapping.private_address != node.private_address
                    || mapping.allocation.is_some() && mapping.allocation != node.allocation =>
            {
                return fault(format!("The IPv4 address of subnet '{}' cannot be changed", mapping.subnet));
            }
            Some(_) => {}
            None => {
                if let Some(same) = balancer.subnets.iter().find(|subnet| zone(subnet) == zone(&mapping.subnet)) {
                    return fault(format!(
                        "The subnet '{same}' must be removed before the subnet '{}' of the same Availability Zone can be added",
                        mapping.subnet
                    ));
                }
            }
        }
    }
    Ok(())
}

/// SetSecurityGroups: replaces the load balancer's security groups, on its network interfaces too.
pub fn set_security_groups(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("LoadBalancerArn")?.to_string();
    let groups = input.required_strings("SecurityGroups")?;
    let enforce = input.text("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic").filter(|text| !text.is_empty()).map(str::to_string);
    input.done()?;
    let balancer = state.elb.load_balancer(&arn)?;
    let (vpc, kind) = (balancer.vpc.clone(), balancer.kind);
    if let Some(wanted) = &enforce {
        kind.only(LoadBalancerKind::Network, "'EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic'")?;
        validation::one_of(wanted, "enforceSecurityGroupInboundRulesOnPrivateLinkTraffic", &["on", "off"])?;
    }
    if balancer.security_groups.is_empty() {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            "Security groups cannot be set for a load balancer of type 'network' that was created without security groups",
        ));
    }
    check_groups(state, &groups, &vpc)?;
    let balancer = state.elb.load_balancer_mut(&arn)?;
    balancer.security_groups = groups.clone();
    if let Some(wanted) = enforce {
        balancer.enforce_on_private_link = wanted == "on";
    }
    let enforced = if balancer.enforce_on_private_link { "on" } else { "off" };
    state.elb.placed_anew(&arn);
    let interfaces: Vec<String> = state.ec2.interfaces_of_load_balancer(&arn).map(|interface| interface.id.clone()).collect();
    for id in interfaces {
        if let Some(interface) = state.ec2.network_interfaces.get_mut(&id) {
            interface.groups = groups.clone();
            state.ec2.reach.interfaces = true;
        }
    }
    let network = kind == LoadBalancerKind::Network;
    Ok(Record::new()
        .list("SecurityGroupIds", groups)
        .maybe("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic", network.then_some(enforced)))
}

/// Whether the listeners that are there can be served with this IP address type.
fn check_listeners(balancer: &LoadBalancer, ip_address_type: &str, source_nat: bool) -> Answer<()> {
    if balancer.kind == LoadBalancerKind::Network && ip_address_type == "ipv4" && balancer.rule_count() > 0 {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            format!("The IP address type of '{}' must be 'dualstack' as long as its listeners have rules", balancer.arn),
        ));
    }
    let changed = LoadBalancer { ip_address_type: ip_address_type.into(), source_nat, ..balancer.clone() };
    balancer.listeners.values().try_for_each(|listener| dualstack::check_listener(&changed, &listener.protocol))
}

/// SetIpAddressType.
pub fn set_ip_address_type(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("LoadBalancerArn")?.to_string();
    let wanted = input.required("IpAddressType")?.to_string();
    input.done()?;
    let balancer = state.elb.load_balancer(&arn)?;
    dualstack::check_type(&wanted, balancer.kind, &balancer.scheme)?;
    let source_nat = balancer.source_nat && wanted != "ipv4";
    let mappings: Vec<Mapping> = balancer.subnets.iter().map(|subnet| Mapping { subnet: subnet.clone(), ..Mapping::default() }).collect();
    dualstack::check(&state.ec2, &[], &wanted, source_nat, &mappings)?;
    check_listeners(balancer, &wanted, source_nat)?;
    ip_pool::check_type(balancer.ipam_pool.as_ref(), &wanted)?;
    let balancer = state.elb.load_balancer_mut(&arn)?;
    (balancer.ip_address_type, balancer.source_nat) = (wanted.clone(), source_nat);
    ip_pool::settle(state, &arn);
    Ok(Record::new().with("IpAddressType", wanted))
}
