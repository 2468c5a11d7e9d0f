//! Where a load balancer is: its subnets, zones, network interfaces and security groups.

use std::collections::BTreeSet;

use crate::clock;
use crate::ec2::Ec2;
use crate::ec2::network_interface::Attachment;
use crate::ec2::subnet::Subnet;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

use super::validation;

/// Checked subnets and security groups.
#[derive(Debug)]
pub struct Placement {
    /// The VPC.
    pub vpc: String,
    /// The subnets.
    pub subnets: Vec<String>,
    /// The security groups; the VPC's default one if none were given.
    pub security_groups: Vec<String>,
}

/// Reads `Subnets` or `SubnetMappings`.
pub fn read_subnets(input: &Input) -> Answer<Vec<String>> {
    let subnets = input.strings("Subnets");
    let mut mapped = Vec::new();
    for mapping in input.items("SubnetMappings") {
        mapped.push(mapping.required("SubnetId")?.to_string());
        for other in ["AllocationId", "PrivateIPv4Address", "IPv6Address", "SourceNatIpv6Prefix"] {
            if mapping.text(other).is_some() {
                return Err(ApiError::validation(format!("'{other}' cannot be specified for load balancers of type 'application'")));
            }
        }
    }
    if !subnets.is_empty() && !mapped.is_empty() {
        return Err(ApiError::validation("You can specify either subnets or subnet mappings, but not both"));
    }
    Ok(if subnets.is_empty() { mapped } else { subnets })
}

impl Placement {
    /// Checks subnets and security groups for a load balancer of this scheme.
    pub fn of(state: &State, subnets: &[String], groups: Option<&[String]>, scheme: &str) -> Answer<Self> {
        let vpc = check_subnets(&state.ec2, subnets, scheme)?;
        let security_groups = match groups.filter(|groups| !groups.is_empty()) {
            Some(groups) => {
                check_groups(state, groups, &vpc)?;
                groups.to_vec()
            }
            None => state
                .ec2
                .security_groups
                .values()
                .filter(|group| group.vpc == vpc && group.name == "default")
                .map(|group| group.id.clone())
                .collect(),
        };
        Ok(Self { vpc, subnets: subnets.to_vec(), security_groups })
    }
}

/// Whether these subnets can hold a load balancer; answers with their VPC.
fn check_subnets(ec2: &Ec2, subnets: &[String], scheme: &str) -> Answer<String> {
    let mut found: Vec<&Subnet> = Vec::new();
    for id in subnets {
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
    if zones.len() < 2 {
        return Err(ApiError::validation("At least two subnets in two different Availability Zones must be specified"));
    }
    let vpc = found.first().map(|subnet| subnet.vpc.clone()).unwrap_or_default();
    if found.iter().any(|subnet| subnet.vpc != vpc) {
        return Err(ApiError::new("InvalidConfigurationRequest", format!("All subnets must belong to the same VPC: '{vpc}'")));
    }
    if scheme == "internet-facing" && !ec2.internet_gateways.values().any(|gateway| gateway.vpc == vpc) {
        return Err(ApiError::new("InvalidSubnet", format!("VPC {vpc} has no internet gateway")));
    }
    if let Some(small) = found.iter().find(|subnet| subnet.cidr.prefix_len() > 27) {
        return Err(ApiError::new("InvalidSubnet", format!("The CIDR block of subnet '{}' must be at least /27", small.id)));
    }
    Ok(vpc)
}

/// AWS: at least 8 free addresses in each subnet.
pub fn check_free_addresses(ec2: &Ec2, subnets: &[String]) -> Answer<()> {
    match subnets.iter().filter_map(|id| ec2.subnets.get(id)).find(|subnet| subnet.free() < 8) {
        Some(full) => Err(ApiError::new(
            "InvalidSubnet",
            format!("Not enough IP space available in {}. ELB requires at least 8 free IP addresses in each subnet.", full.id),
        )),
        None => Ok(()),
    }
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

/// Whether a load balancer of this scheme can have this IP address type here.
pub fn check_ip_address_type(kind: &str, scheme: &str) -> Answer<()> {
    validation::one_of(kind, "ipAddressType", &["ipv4", "dualstack", "dualstack-without-public-ipv4"])?;
    if kind == "dualstack-without-public-ipv4" && scheme == "internal" {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            "'dualstack-without-public-ipv4' requires an internet-facing load balancer",
        ));
    }
    if kind != "ipv4" {
        return Err(ApiError::new("InvalidConfigurationRequest", "You must specify subnets with an associated IPv6 CIDR block."));
    }
    Ok(())
}

/// Gives a load balancer its network interface in a subnet.
pub fn attach(state: &mut State, arn: &str, subnet: &str) -> Answer<()> {
    let Some(balancer) = state.elb.load_balancers.get(arn) else { return Ok(()) };
    let (groups, description) = (balancer.security_groups.clone(), format!("ELB {}", balancer.full_name()));
    state.ec2.add_interface(&mut state.ids, subnet, groups, description, Attachment::LoadBalancer(arn.into()))?;
    Ok(())
}

/// Takes all network interfaces of a load balancer away, after the configured lag.
pub fn detach_all(state: &mut State, arn: &str) {
    let ids: Vec<String> = state.ec2.interfaces_of_load_balancer(arn).map(|interface| interface.id.clone()).collect();
    detach(state, &ids);
}

fn detach(state: &mut State, ids: &[String]) {
    let lag = state.config.times.network_interface_lag;
    for id in ids {
        if lag.is_zero() {
            state.ec2.remove_interface(id);
        } else if let Some(interface) = state.ec2.network_interfaces.get_mut(id) {
            let gone = clock::after(state.now, lag);
            interface.gone_at = Some(gone);
            state.ec2.leaving.insert((gone, id.clone()));
            state.ec2.reach.interfaces = true;
        }
    }
}

/// SetSubnets: replaces the load balancer's subnets.
pub fn set_subnets(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("LoadBalancerArn")?.to_string();
    let subnets = read_subnets(input)?;
    let kind = input.text("IpAddressType").map(str::to_string);
    input.text("EnablePrefixForIpv6SourceNat");
    input.done()?;
    let balancer = state.elb.load_balancer(&arn)?;
    let (old, vpc, scheme) = (balancer.subnets.clone(), balancer.vpc.clone(), balancer.scheme.clone());
    if let Some(kind) = &kind {
        check_ip_address_type(kind, &scheme)?;
    }
    if check_subnets(&state.ec2, &subnets, &scheme)? != vpc {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            format!("All subnets must belong to the VPC '{vpc}' of the load balancer"),
        ));
    }
    let added: Vec<String> = subnets.iter().filter(|id| !old.contains(id)).cloned().collect();
    check_free_addresses(&state.ec2, &added)?;
    let dropped: Vec<String> = state
        .ec2
        .interfaces_of_load_balancer(&arn)
        .filter(|interface| !subnets.contains(&interface.subnet))
        .map(|interface| interface.id.clone())
        .collect();
    state.elb.load_balancer_mut(&arn)?.subnets = subnets;
    state.elb.placed_anew(&arn);
    detach(state, &dropped);
    for subnet in &added {
        attach(state, &arn, subnet)?;
    }
    let balancer = state.elb.load_balancer(&arn)?;
    Ok(Record::new().list("AvailabilityZones", balancer.zone_records(&state.ec2)).with("IpAddressType", &balancer.ip_address_type))
}

/// SetSecurityGroups: replaces the load balancer's security groups, on its network interfaces too.
pub fn set_security_groups(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("LoadBalancerArn")?.to_string();
    let groups = input.required_strings("SecurityGroups")?;
    let enforce = input.text("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic").is_some_and(|text| !text.is_empty());
    input.done()?;
    let vpc = state.elb.load_balancer(&arn)?.vpc.clone();
    if enforce {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            "'EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic' is valid for network load balancers only",
        ));
    }
    check_groups(state, &groups, &vpc)?;
    state.elb.load_balancer_mut(&arn)?.security_groups = groups.clone();
    state.elb.placed_anew(&arn);
    let interfaces: Vec<String> = state.ec2.interfaces_of_load_balancer(&arn).map(|interface| interface.id.clone()).collect();
    for id in interfaces {
        if let Some(interface) = state.ec2.network_interfaces.get_mut(&id) {
            interface.groups = groups.clone();
            state.ec2.reach.interfaces = true;
        }
    }
    Ok(Record::new().list("SecurityGroupIds", groups))
}

/// SetIpAddressType.
pub fn set_ip_address_type(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("LoadBalancerArn")?.to_string();
    let kind = input.required("IpAddressType")?.to_string();
    input.done()?;
    let balancer = state.elb.load_balancer_mut(&arn)?;
    check_ip_address_type(&kind, &balancer.scheme)?;
    balancer.ip_address_type = kind.clone();
    Ok(Record::new().with("IpAddressType", kind))
}
