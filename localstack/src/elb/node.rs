//! Nodes of load balancers: where they listen. A network load balancer has one per zone, whose address stays the same for as long as the
//! zone is enabled; an application load balancer has one for all zones.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::dualstack;
use super::kind::LoadBalancerKind;
use crate::ec2::Ec2;
use crate::error::{Answer, ApiError};
use crate::wire::{Input, Record};

/// A node of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its subnet; `None` if it serves all zones of the load balancer.
    pub subnet: Option<String>,
    /// The address of this machine at which it listens.
    pub listens_at: IpAddr,
    /// The private address that the caller chose for it.
    pub private_address: Option<IpAddr>,
    /// The allocation of the elastic IP address that the caller chose for it.
    pub allocation: Option<String>,
    /// The IPv6 address that the caller chose for it.
    #[serde(default)]
    pub ipv6: Option<IpAddr>,
    /// From where it sends UDP over IPv6.
    #[serde(default)]
    pub source_prefix: Option<IpNet>,
}

impl Node {
    /// As `LoadBalancerAddresses` shows it: only what the caller chose.
    pub fn records(&self, ec2: &Ec2) -> Vec<Record> {
        let private = self.private_address.iter().map(|address| Record::new().with("PrivateIPv4Address", address.to_string()));
        let elastic = self.allocation.iter().filter_map(|id| ec2.addresses.get(id));
        let elastic = elastic.map(|address| Record::new().with("IpAddress", address.public.to_string()).with("AllocationId", &address.id));
        let wide = self.ipv6.map(|address| address.to_string());
        let mut records: Vec<Record> = private.chain(elastic).collect();
        match (records.pop(), wide) {
            (Some(first), wide) => records.push(first.maybe("IPv6Address", wide)),
            (None, Some(wide)) => records.push(Record::new().with("IPv6Address", wide)),
            (None, None) => {}
        }
        records
    }
}

/// A subnet as a caller maps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// The subnet.
    pub subnet: String,
    /// `PrivateIPv4Address`.
    pub private_address: Option<IpAddr>,
    /// `AllocationId`.
    pub allocation: Option<String>,
    /// `IPv6Address`.
    pub ipv6: Option<IpAddr>,
    /// `SourceNatIpv6Prefix`, unless it is to be assigned.
    pub source_prefix: Option<IpNet>,
}

/// Reads `Subnets` or `SubnetMappings` for a load balancer of this type and scheme.
pub fn read(input: &Input, kind: LoadBalancerKind, scheme: &str) -> Answer<Vec<Mapping>> {
    let subnets = input.strings("Subnets");
    let mut mapped = Vec::new();
    for item in input.items("SubnetMappings") {
        mapped.push(one(item, kind, scheme)?);
    }
    if !subnets.is_empty() && !mapped.is_empty() {
        return Err(ApiError::validation("You can specify either subnets or subnet mappings, but not both"));
    }
    if mapped.is_empty() {
        return Ok(subnets.into_iter().map(|subnet| Mapping { subnet, ..Mapping::default() }).collect());
    }
    Ok(mapped)
}

fn one(item: &Input, kind: LoadBalancerKind, scheme: &str) -> Answer<Mapping> {
    let subnet = item.required("SubnetId")?.to_string();
    let given = |name| item.text(name).filter(|text| !text.is_empty());
    let (allocation, private) = (given("AllocationId"), given("PrivateIPv4Address"));
    let (ipv6, prefix) = (given("IPv6Address"), given("SourceNatIpv6Prefix"));
    if kind == LoadBalancerKind::Application {
        let named = [("AllocationId", allocation), ("PrivateIPv4Address", private), ("IPv6Address", ipv6), ("SourceNatIpv6Prefix", prefix)];
        if let Some((name, _)) = named.iter().find(|(_, value)| value.is_some()) {
            return Err(ApiError::validation(format!("'{name}' cannot be specified for load balancers of type 'application'")));
        }
    }
    let (ipv6, source_prefix) = dualstack::read_mapping(ipv6, prefix)?;
    if let Some(allocation) = allocation {
        if scheme == "internal" {
            return Err(ApiError::new(
                "InvalidConfigurationRequest",
                "Elastic IP addresses can be specified for internet-facing load balancers only",
            ));
        }
        if private.is_some() {
            return Err(ApiError::validation(
                "You can specify either an allocation ID or a private IPv4 address for a subnet, but not both",
            ));
        }
        return Ok(Mapping { subnet, private_address: None, allocation: Some(allocation.to_string()), ipv6, source_prefix });
    }
    let Some(private) = private else { return Ok(Mapping { subnet, ipv6, source_prefix, ..Mapping::default() }) };
    if scheme != "internal" {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            "Private IPv4 addresses can be specified for internal load balancers only",
        ));
    }
    let address: IpAddr = private
        .parse()
        .ok()
        .filter(IpAddr::is_ipv4)
        .ok_or_else(|| ApiError::validation(format!("The private IPv4 address '{private}' is not a valid IPv4 address")))?;
    Ok(Mapping { subnet, private_address: Some(address), allocation: None, ipv6, source_prefix })
}

/// Whether new nodes can have the private and elastic addresses that were chosen for them.
pub fn check_addresses(ec2: &Ec2, mappings: &[Mapping]) -> Answer<()> {
    for (at, id) in mappings.iter().enumerate().filter_map(|(at, mapping)| Some((at, mapping.allocation.as_ref()?))) {
        let missing = || ApiError::new("AllocationIdNotFound", format!("The allocation ID '{id}' does not exist"));
        let address = ec2.addresses.get(id).ok_or_else(missing)?;
        if address.interface.is_some() || mappings.iter().take(at).any(|other| other.allocation.as_ref() == Some(id)) {
            return Err(ApiError::new("ResourceInUse", format!("The allocation IDs are not available for use: '{id}'")));
        }
    }
    for mapping in mappings {
        let (Some(address), Some(subnet)) = (mapping.private_address, ec2.subnets.get(&mapping.subnet)) else { continue };
        if !subnet.can_hold(address) {
            return Err(ApiError::new(
                "InvalidConfigurationRequest",
                format!("The private IPv4 address '{address}' is not in the range of available addresses of subnet '{}'", subnet.id),
            ));
        }
        if subnet.used.contains(&address) {
            return Err(ApiError::new("ResourceInUse", format!("The private IPv4 address '{address}' is already in use")));
        }
    }
    Ok(())
}
