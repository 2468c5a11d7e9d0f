//! Elastic IP addresses.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::describe::Resource;
use super::filter::Filters;
use super::ipam::pool::IpamPool;
use super::network_interface::Attachment;
use super::{Ec2, finish, required, success, tagging};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Record};

/// An elastic IP address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Address {
    /// The id of its allocation.
    pub id: String,
    /// The address, of the ranges for documentation.
    pub public: Ipv4Addr,
    /// The id of its association.
    pub association: Option<String>,
    /// The network interface that it is associated with.
    pub interface: Option<String>,
    /// The IPAM pool that it was taken from; none if it is Amazon's.
    #[serde(default)]
    pub pool: Option<String>,
    /// Whether it is an application load balancer's, which took it and will release it.
    #[serde(default)]
    pub service_managed: bool,
    /// Its tags.
    pub tags: Tags,
}

const FILTERS: &[&str] = &[
    "allocation-id",
    "association-id",
    "domain",
    "instance-id",
    "network-border-group",
    "network-interface-id",
    "network-interface-owner-id",
    "private-ip-address",
    "public-ip",
];

fn not_found(id: &str) -> ApiError {
    ApiError::new("InvalidAllocationID.NotFound", format!("The allocation ID '{id}' does not exist"))
}

impl Address {
    fn instance<'a>(&self, ec2: &'a Ec2) -> Option<&'a String> {
        let interface = self.interface.as_ref()?;
        ec2.instances.values().find(|instance| instance.interfaces.contains(interface)).map(|instance| &instance.id)
    }

    fn private(&self, ec2: &Ec2) -> Option<String> {
        ec2.network_interfaces.get(self.interface.as_ref()?).map(|interface| interface.address.to_string())
    }

    fn attribute(&self, filter: &str, ec2: &Ec2, region: &str) -> Vec<String> {
        let one = |value: Option<&String>| value.cloned().into_iter().collect();
        match filter {
            "allocation-id" => vec![self.id.clone()],
            "association-id" => one(self.association.as_ref()),
            "domain" => vec!["vpc".into()],
            "instance-id" => one(self.instance(ec2)),
            "network-border-group" => vec![region.into()],
            "network-interface-id" => one(self.interface.as_ref()),
            "network-interface-owner-id" => {
                self.interface.iter().filter_map(|id| ec2.network_interfaces.get(id)).map(|i| i.owner.clone()).collect()
            }
            "private-ip-address" => self.private(ec2).into_iter().collect(),
            _ => vec![self.public.to_string()],
        }
    }

    fn record(&self, ec2: &Ec2, region: &str) -> Record {
        let owner = self.interface.as_ref().and_then(|id| ec2.network_interfaces.get(id)).map(|interface| &interface.owner);
        Record::new()
            .with("publicIp", self.public.to_string())
            .with("allocationId", &self.id)
            .with("domain", "vpc")
            .maybe("instanceId", self.instance(ec2))
            .maybe("associationId", self.association.as_ref())
            .maybe("networkInterfaceId", self.interface.as_ref())
            .maybe("networkInterfaceOwnerId", owner)
            .maybe("privateIpAddress", self.private(ec2))
            .with("publicIpv4Pool", self.pool.as_deref().unwrap_or("amazon"))
            .with("networkBorderGroup", region)
            .maybe("serviceManaged", self.service_managed.then_some("alb"))
            .with("tagSet", tag::lower(&self.tags))
    }
}

/// AllocateAddress.
pub fn allocate(state: &mut State, input: &Input) -> Answer<Record> {
    let domain = input.text("Domain").filter(|text| !text.is_empty()).unwrap_or("vpc").to_string();
    let group = input.text("NetworkBorderGroup").filter(|text| !text.is_empty()).map(str::to_string);
    let given_pool = input.text("PublicIpv4Pool").filter(|text| !text.is_empty()).map(str::to_string);
    let pool = given_pool.clone().unwrap_or_else(|| "amazon".into());
    let ipam_pool = input.text("IpamPoolId").filter(|text| !text.is_empty()).map(str::to_string);
    let wanted = input.text("Address").filter(|text| !text.is_empty()).map(str::to_string);
    let tags = tagging::specification(input, "elastic-ip")?;
    finish(input)?;
    if ipam_pool.is_some() && given_pool.is_some() {
        return Err(ApiError::new("InvalidParameterCombination", "PublicIpv4Pool cannot be used with IpamPoolId"));
    }
    let region = state.config.region.clone();
    for (name, given, only) in [
        ("Domain", Some(&domain), "vpc"),
        ("NetworkBorderGroup", group.as_ref(), region.as_str()),
        ("PublicIpv4Pool", Some(&pool), "amazon"),
    ] {
        if let Some(given) = given.filter(|given| given.as_str() != only) {
            return Err(ApiError::parameter_value(format!("Value ({given}) for parameter {name} is invalid; this cloud has only {only}")));
        }
    }
    if state.ec2.addresses.values().filter(|address| !address.service_managed).count() >= state.config.quotas.elastic_ip_addresses {
        return Err(ApiError::new("AddressLimitExceeded", "The maximum number of addresses has been reached."));
    }
    let public = match &ipam_pool {
        Some(pool) => from_pool(state, pool, wanted.as_deref(), &tags)?,
        None if wanted.is_some() => {
            return Err(ApiError::new(
                "InvalidParameterCombination",
                "Address is served with an IpamPoolId only by this cloud: addresses that were released cannot be recovered",
            ));
        }
        None => from_amazon(&state.ec2)?,
    };
    let id = state.ids.ec2("eipalloc");
    let record = Record::new()
        .with("publicIp", public.to_string())
        .with("allocationId", &id)
        .with("domain", "vpc")
        .with("publicIpv4Pool", ipam_pool.as_deref().unwrap_or("amazon"))
        .with("networkBorderGroup", region);
    let address = Address { id: id.clone(), public, association: None, interface: None, pool: ipam_pool, service_managed: false, tags };
    state.ec2.addresses.insert(id, address);
    Ok(record)
}

/// Where Amazon's elastic IP addresses lie: ranges for documentation, /24 each.
const AMAZON: [[u8; 3]; 2] = [[203, 0, 113], [198, 51, 100]];

/// The ranges in which Amazon's elastic IP addresses lie.
pub fn amazon_ranges() -> impl Iterator<Item = Ipv4Net> {
    AMAZON.into_iter().filter_map(|[a, b, c]| Ipv4Net::new(Ipv4Addr::new(a, b, c, 0), 24).ok())
}

fn exhausted() -> ApiError {
    ApiError::new("InsufficientAddressCapacity", "Not enough available addresses to satisfy your request.")
}

fn from_amazon(ec2: &Ec2) -> Answer<Ipv4Addr> {
    let used: BTreeSet<Ipv4Addr> = ec2.addresses.values().map(|address| address.public).collect();
    let mut all = AMAZON.into_iter().flat_map(|[a, b, c]| (1..=254).map(move |last| Ipv4Addr::new(a, b, c, last)));
    all.find(|address| !used.contains(address)).ok_or_else(exhausted)
}

/// An address of an IPAM pool: this one, or any.
fn from_pool(state: &State, id: &str, wanted: Option<&str>, tags: &Tags) -> Answer<Ipv4Addr> {
    let pool = state.ec2.ipam_pools.get(id).ok_or_else(|| IpamPool::not_found(id))?;
    if let Some(reason) = pool.unusable(&state.config.region) {
        return Err(ApiError::parameter_value(format!("The IPAM pool {id} cannot be used for elastic IP addresses: {reason}")));
    }
    if !pool.rules.admit_address(tags) {
        return Err(ApiError::parameter_value(format!("The allocation rules of the IPAM pool {id} do not admit the address")));
    }
    let Some(wanted) = wanted else { return pool.free_address(&state.ec2).ok_or_else(exhausted) };
    let address = wanted.parse().ok().filter(|address: &Ipv4Addr| pool.provisioned().any(|cidr| cidr.contains(address)));
    let address =
        address.ok_or_else(|| ApiError::parameter_value(format!("The Address {wanted} is not provisioned to the IPAM pool {id}")))?;
    if pool.taken(&state.ec2).iter().any(|taken| taken.contains(&address)) {
        return Err(ApiError::new("InvalidIPAddress.InUse", format!("Address {address} is in use.")));
    }
    Ok(address)
}

/// DescribeAddresses: all in one answer, as on AWS.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let filters = Filters::read(input, FILTERS)?;
    let (ids, publics) = (input.strings("AllocationId"), input.strings("PublicIp"));
    finish(input)?;
    let ec2 = &state.ec2;
    for id in &ids {
        ec2.addresses.get(id).ok_or_else(|| not_found(id))?;
    }
    if let Some(missing) = publics.iter().find(|public| !ec2.addresses.values().any(|address| address.public.to_string() == **public)) {
        return Err(ApiError::new("InvalidAddress.NotFound", format!("Address '{missing}' not found.")));
    }
    let region = &state.config.region;
    let chosen = ec2
        .addresses
        .values()
        .filter(|address| ids.is_empty() || ids.contains(&address.id))
        .filter(|address| publics.is_empty() || publics.contains(&address.public.to_string()))
        .filter(|address| filters.accept(&address.tags, |filter| address.attribute(filter, ec2, region)));
    Ok(Record::new().list("addressesSet", chosen.map(|address| address.record(ec2, region))))
}

/// The id of the allocation that a call names by that or by the address.
fn named(state: &State, input: &Input) -> Answer<String> {
    let (id, public) = (input.text("AllocationId").filter(|id| !id.is_empty()), input.text("PublicIp").filter(|text| !text.is_empty()));
    let found = match (id, public) {
        (Some(id), None) => state.ec2.addresses.get(id).ok_or_else(|| not_found(id))?,
        (None, Some(public)) => state
            .ec2
            .addresses
            .values()
            .find(|address| address.public.to_string() == public)
            .ok_or_else(|| ApiError::new("InvalidAddress.NotFound", format!("Address '{public}' not found.")))?,
        (None, None) => return Err(ApiError::new("MissingParameter", "Either public IP or allocation id must be specified")),
        (Some(_), Some(_)) => {
            return Err(ApiError::new(
                "InvalidParameterCombination",
                "You may specify public IP or allocation id, but not both in the same call",
            ));
        }
    };
    Ok(found.id.clone())
}

/// ReleaseAddress: refused while it is associated.
pub fn release(state: &mut State, input: &Input) -> Answer<Record> {
    let id = named(state, input)?;
    let group = input.text("NetworkBorderGroup").filter(|text| !text.is_empty()).map(str::to_string);
    finish(input)?;
    if let Some(group) = group.filter(|group| *group != state.config.region) {
        return Err(ApiError::new("InvalidNetworkBorderGroup", format!("The NetworkBorderGroup '{group}' is not the address's")));
    }
    if state.ec2.addresses.get(&id).is_some_and(|address| address.service_managed) {
        refuse_managed(&state.ec2, state.ec2.addresses.get(&id).and_then(|address| address.interface.as_ref()))?;
    }
    if let Some(address) = state.ec2.addresses.get(&id).filter(|address| address.interface.is_some()) {
        return Err(ApiError::new("InvalidIPAddress.InUse", format!("Address {} is in use.", address.public)));
    }
    state.ec2.addresses.remove(&id);
    Ok(success())
}

/// The addresses of load balancers are the load balancers' own as long as they have them.
fn refuse_managed(ec2: &Ec2, interface: Option<&String>) -> Answer<()> {
    match interface.and_then(|id| ec2.network_interfaces.get(id)).map(|interface| &interface.attachment) {
        Some(Attachment::LoadBalancer(_)) => {
            Err(ApiError::new("AuthFailure", "You do not have permission to access the specified resource."))
        }
        _ => Ok(()),
    }
}

/// AssociateAddress, with a network interface or an instance's primary one.
pub fn associate(state: &mut State, input: &Input) -> Answer<Record> {
    let id = named(state, input)?;
    let instance = input.text("InstanceId").filter(|text| !text.is_empty()).map(str::to_string);
    let interface = input.text("NetworkInterfaceId").filter(|text| !text.is_empty()).map(str::to_string);
    let private = input.text("PrivateIpAddress").filter(|text| !text.is_empty()).map(str::to_string);
    let again = input.flag("AllowReassociation")?.unwrap_or(true);
    finish(input)?;
    let interface = match (instance, interface) {
        (None, Some(interface)) => interface,
        (Some(instance), None) => {
            let found = state.ec2.instances.get(&instance).ok_or_else(|| super::instance::Instance::not_found(&instance))?;
            found.interfaces.first().cloned().unwrap_or_default()
        }
        (None, None) => return Err(ApiError::new("MissingParameter", "Either instance ID or network interface id must be specified")),
        (Some(_), Some(_)) => {
            return Err(ApiError::new(
                "InvalidParameterCombination",
                "You may specify an InstanceId or a NetworkInterfaceId, but not both",
            ));
        }
    };
    let found =
        state.ec2.network_interfaces.get(&interface).ok_or_else(|| super::network_interface::NetworkInterface::not_found(&interface))?;
    if let Some(private) = private.filter(|private| found.address.to_string() != *private) {
        return Err(ApiError::parameter_value(format!("PrivateIpAddress {private} is not the interface's primary address")));
    }
    refuse_managed(&state.ec2, Some(&interface))?;
    refuse_managed(&state.ec2, state.ec2.addresses.get(&id).and_then(|address| address.interface.as_ref()))?;
    let association = state.ids.ec2("eipassoc");
    for other in state.ec2.addresses.values_mut() {
        let taken = other.interface.as_ref() == Some(&interface) || other.id == id && other.interface.is_some();
        if taken && !again {
            return Err(ApiError::new(
                "Resource.AlreadyAssociated",
                format!("resource {} is already associated with associate-id {}", other.id, other.association.clone().unwrap_or_default()),
            ));
        }
        if taken {
            (other.interface, other.association) = (None, None);
        }
    }
    if let Some(address) = state.ec2.addresses.get_mut(&id) {
        (address.interface, address.association) = (Some(interface), Some(association.clone()));
    }
    Ok(Record::new().with("associationId", association))
}

/// DisassociateAddress.
pub fn disassociate(state: &mut State, input: &Input) -> Answer<Record> {
    let association = match input.text("PublicIp").filter(|text| !text.is_empty()) {
        Some(public) => {
            let found = state.ec2.addresses.values().find(|address| address.public.to_string() == public);
            found.and_then(|address| address.association.clone()).unwrap_or_default()
        }
        None => required(input, "AssociationId")?.to_string(),
    };
    finish(input)?;
    let found = state.ec2.addresses.values().find(|address| address.association.as_ref() == Some(&association));
    let address = found
        .ok_or_else(|| ApiError::new("InvalidAssociationID.NotFound", format!("The association ID '{association}' does not exist")))?;
    let id = address.id.clone();
    refuse_managed(&state.ec2, address.interface.as_ref())?;
    if let Some(address) = state.ec2.addresses.get_mut(&id) {
        (address.interface, address.association) = (None, None);
    }
    Ok(success())
}
