//! Subnets and their addresses.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::describe::Resource;
use super::filter::Filters;
use super::ipv6::{self, Ipv6Block};
use super::{Ec2, describe as described, finish, required, success, tagging, vpc};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Output, Record};

/// A subnet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subnet {
    /// Its id.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Its account.
    pub owner: String,
    /// Its VPC.
    pub vpc: String,
    /// Its addresses.
    pub cidr: IpNet,
    /// Its IPv6 addresses.
    #[serde(default)]
    pub ipv6: Option<Ipv6Block>,
    /// Its zone's name.
    pub zone: String,
    /// Its zone's id.
    pub zone_id: String,
    /// Whether instances started in it get public addresses.
    pub public: bool,
    /// Addresses that interfaces hold.
    pub used: BTreeSet<IpAddr>,
    /// Its tags.
    pub tags: Tags,
}

impl Subnet {
    /// How many addresses are free. AWS keeps five of every subnet for itself.
    pub fn free(&self) -> u64 {
        let bits = self.cidr.max_prefix_len().saturating_sub(self.cidr.prefix_len()).min(62);
        (1_u64 << bits).saturating_sub(5).saturating_sub(self.used.len() as u64)
    }

    /// Whether an interface could have this address. AWS keeps the first four addresses and the last one for itself.
    pub fn can_hold(&self, address: IpAddr) -> bool {
        let (IpAddr::V4(network), IpAddr::V4(last), IpAddr::V4(address)) = (self.cidr.network(), self.cidr.broadcast(), address) else {
            return false;
        };
        (u32::from(network).saturating_add(4)..u32::from(last)).contains(&u32::from(address))
    }

    /// The address that a caller chose, if an interface can have it.
    pub fn free_address(&self, text: &str) -> Answer<IpAddr> {
        let address: IpAddr = text.parse().map_err(|_| {
            ApiError::parameter_value(format!("Value ({text}) for parameter privateIpAddress is invalid. Invalid IPv4 address."))
        })?;
        if !self.can_hold(address) {
            return Err(ApiError::parameter_value(format!("Address {address} does not fall within the subnet's address range")));
        }
        if self.used.contains(&address) {
            return Err(ApiError::new("InvalidIPAddress.InUse", format!("The specified address is already in use: {address}")));
        }
        Ok(address)
    }

    /// Takes a free address.
    pub fn take(&mut self) -> Option<IpAddr> {
        let IpAddr::V4(network) = self.cidr.network() else { return None };
        let IpAddr::V4(last) = self.cidr.broadcast() else { return None };
        // The first four addresses and the last one are AWS's own.
        let address = (u32::from(network).checked_add(4)?..u32::from(last))
            .map(|number| IpAddr::V4(Ipv4Addr::from(number)))
            .find(|address| !self.used.contains(address))?;
        self.used.insert(address);
        Some(address)
    }
}

impl Resource for Subnet {
    const FILTERS: &'static [&'static str] = &[
        "subnet-id",
        "vpc-id",
        "availability-zone",
        "availabilityZone",
        "availability-zone-id",
        "availabilityZoneId",
        "cidr-block",
        "cidr",
        "cidrBlock",
        "default-for-az",
        "defaultForAz",
        "map-public-ip-on-launch",
        "owner-id",
        "state",
        "subnet-arn",
        "available-ip-address-count",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.state",
    ];
    const IDS: &'static str = "SubnetId";
    const SET: &'static str = "subnetSet";

    described::identity!();

    fn attribute(&self, filter: &str, _: &Ec2) -> Vec<String> {
        if let Some(part) = filter.strip_prefix("ipv6-cidr-block-association.") {
            let value = |block: &Ipv6Block| match part {
                "association-id" => block.id.clone(),
                "ipv6-cidr-block" => block.cidr.to_string(),
                _ => "associated".into(),
            };
            return self.ipv6.iter().map(value).collect();
        }
        vec![match filter {
            "subnet-id" => self.id.clone(),
            "vpc-id" => self.vpc.clone(),
            "availability-zone" | "availabilityZone" => self.zone.clone(),
            "availability-zone-id" | "availabilityZoneId" => self.zone_id.clone(),
            "cidr-block" | "cidr" | "cidrBlock" => self.cidr.to_string(),
            "map-public-ip-on-launch" => self.public.to_string(),
            "owner-id" => self.owner.clone(),
            "subnet-arn" => self.arn.clone(),
            "available-ip-address-count" => self.free().to_string(),
            "default-for-az" | "defaultForAz" => "false".into(),
            _ => "available".into(),
        }]
    }

    fn record(&self, _: &Ec2, _: &Filters) -> Record {
        Record::new()
            .with("subnetId", &self.id)
            .with("subnetArn", &self.arn)
            .with("state", "available")
            .with("vpcId", &self.vpc)
            .with("ownerId", &self.owner)
            .with("cidrBlock", self.cidr.to_string())
            .list("ipv6CidrBlockAssociationSet", self.ipv6.iter().map(|block| block.record(false)))
            .with("availableIpAddressCount", i64::try_from(self.free()).unwrap_or(i64::MAX))
            .with("availabilityZone", &self.zone)
            .with("availabilityZoneId", &self.zone_id)
            .with("defaultForAz", false)
            .with("mapPublicIpOnLaunch", self.public)
            .with("assignIpv6AddressOnCreation", false)
            .with("ipv6Native", false)
            .with("tagSet", tag::lower(&self.tags))
    }

    fn not_found(id: &str) -> ApiError {
        not_found(id)
    }
}

/// The error for a subnet that does not exist.
pub fn not_found(id: &str) -> ApiError {
    ApiError::new("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist"))
}

/// DescribeSubnets.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    described::run(input, &state.ec2, state.ec2.subnets.values())
}

/// CreateSubnet.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let (vpc_id, block) = (required(input, "VpcId")?, required(input, "CidrBlock")?);
    let wanted = input.text("AvailabilityZone").map(str::to_string);
    let wanted_id = input.text("AvailabilityZoneId").map(str::to_string);
    let wide = input.text("Ipv6CidrBlock").filter(|text| !text.is_empty()).map(str::to_string);
    let tags = tagging::specification(input, "subnet")?;
    finish(input)?;
    let ec2 = &state.ec2;
    let vpc = ec2.vpcs.get(vpc_id).ok_or_else(|| vpc::not_found(vpc_id))?;
    let cidr: IpNet = block.parse().map_err(|_| {
        ApiError::parameter_value(format!("Value ({block}) for parameter cidrBlock is invalid. This is not a valid CIDR block."))
    })?;
    if cidr.prefix_len() > 28 || !vpc.cidrs.iter().any(|outer| outer.contains(&cidr)) {
        return Err(ApiError::new("InvalidSubnet.Range", format!("The CIDR '{block}' is invalid.")));
    }
    if ec2.subnets.values().any(|other| other.vpc == vpc_id && (other.cidr.contains(&cidr) || cidr.contains(&other.cidr))) {
        return Err(ApiError::new("InvalidSubnet.Conflict", format!("The CIDR '{block}' conflicts with another subnet")));
    }
    let zone = ec2
        .zones
        .iter()
        .find(|zone| wanted.as_ref().is_none_or(|name| *name == zone.name) && wanted_id.as_ref().is_none_or(|id| *id == zone.id))
        .cloned()
        .ok_or_else(|| {
            ApiError::parameter_value("Value for parameter availabilityZone is invalid. Subnets can only be created in the region's zones")
        })?;
    let (vpc_id, cidr) = (vpc_id.to_string(), cidr.trunc());
    let ipv6 = wide.map(|text| ipv6::for_subnet(state, &vpc_id, &text)).transpose()?;
    let id = state.ids.ec2("subnet");
    let owner = state.config.account.clone();
    let subnet = Subnet {
        arn: format!("arn:aws:ec2:{}:{owner}:subnet/{id}", state.config.region),
        id: id.clone(),
        owner,
        vpc: vpc_id,
        cidr,
        ipv6,
        zone: zone.name,
        zone_id: zone.id,
        public: false,
        used: BTreeSet::new(),
        tags,
    };
    let record = subnet.record(&state.ec2, &Filters::default());
    state.ec2.reach.all = true;
    state.ec2.subnets.insert(id, subnet);
    Ok(Record::new().with("subnet", Output::from(record)))
}

/// DeleteSubnet: refused while an interface holds one of its addresses.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "SubnetId")?;
    finish(input)?;
    let ec2 = &mut state.ec2;
    if !ec2.subnets.contains_key(id) {
        return Err(not_found(id));
    }
    if ec2.network_interfaces.values().any(|interface| interface.subnet == id) {
        return Err(ApiError::new("DependencyViolation", format!("The subnet '{id}' has dependencies and cannot be deleted.")));
    }
    ec2.reach.all = true;
    ec2.subnets.remove(id);
    for table in ec2.route_tables.values_mut() {
        table.subnets.retain(|subnet| subnet != id);
    }
    Ok(success())
}
