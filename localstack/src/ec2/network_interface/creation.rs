//! Network interfaces of one's own: CreateNetworkInterface, DeleteNetworkInterface, and their secondary addresses.

use std::net::IpAddr;

use super::super::{describe::Resource, filter::Filters, finish, required, subnet, success, tagging};
use super::{Attachment, NetworkInterface, check_groups, not_found};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

/// Addresses that a call asks for: these, and so many more.
fn addresses(input: &Input, list: &str) -> Answer<(Vec<String>, usize)> {
    let count: Option<usize> = input.parse("SecondaryPrivateIpAddressCount")?;
    let named = input.strings(list);
    if count.is_some() && !named.is_empty() {
        return Err(ApiError::new(
            "InvalidParameterCombination",
            "The parameter privateIpAddress cannot be used with the parameter secondaryPrivateIpAddressCount",
        ));
    }
    Ok((named, count.unwrap_or_default()))
}

/// CreateNetworkInterface: one that nothing uses.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let subnet_id = required(input, "SubnetId")?.to_string();
    let groups = input.strings("SecurityGroupId");
    let description = input.text("Description").unwrap_or_default().to_string();
    let token = input.text("ClientToken").filter(|text| !text.is_empty()).map(str::to_string);
    let mut primary = input.text("PrivateIpAddress").filter(|text| !text.is_empty()).map(str::to_string);
    let mut secondary = Vec::new();
    for item in input.items("PrivateIpAddresses") {
        let (address, first) = (required(item, "PrivateIpAddress")?.to_string(), item.flag("Primary")?.unwrap_or(false));
        if !first {
            secondary.push(address);
        } else if primary.replace(address).is_some() {
            return Err(ApiError::new("InvalidParameterCombination", "Only one primary private IP address can be specified."));
        }
    }
    let (_, count) = addresses(input, "")?;
    let kind = input.text("InterfaceType").unwrap_or("interface").to_string();
    let tags = tagging::specification(input, "network-interface")?;
    finish(input)?;
    if kind != "interface" {
        return Err(ApiError::parameter_value(format!("Interfaces of type '{kind}' are not served by this cloud (InterfaceType)")));
    }
    if count > 0 && !secondary.is_empty() {
        return Err(ApiError::new(
            "InvalidParameterCombination",
            "The parameter PrivateIpAddresses cannot be used with the parameter SecondaryPrivateIpAddressCount",
        ));
    }
    let known = |one: &&NetworkInterface| token.is_some() && one.token == token;
    if let Some(known) = state.ec2.network_interfaces.values().find(known) {
        let record = known.record(&state.ec2, &Filters::default());
        return Ok(Record::new().with("networkInterface", record).maybe("clientToken", token));
    }
    let subnet = state.ec2.subnets.get(&subnet_id).ok_or_else(|| subnet::not_found(&subnet_id))?;
    let groups = if groups.is_empty() { state.ec2.default_group(&subnet.vpc) } else { groups };
    check_groups(&state.ec2, &groups, &subnet.vpc, state.config.quotas.security_groups_per_interface)?;
    let primary = primary.map(|text| subnet.free_address(&text)).transpose()?;
    let chosen = chosen(state, &subnet_id, primary, &secondary, count)?;
    let id = match primary {
        Some(address) => state.ec2.add_interface_at(&mut state.ids, &subnet_id, address, groups, description, Attachment::Detached)?,
        None => state.ec2.add_interface(&mut state.ids, &subnet_id, groups, description, Attachment::Detached)?,
    };
    give(state, &id, &chosen, count);
    let Some(interface) = state.ec2.network_interfaces.get_mut(&id) else { return Err(not_found(&id)) };
    (interface.tags, interface.token) = (tags, token.clone());
    let record = state.ec2.network_interfaces.get(&id).map(|interface| interface.record(&state.ec2, &Filters::default()));
    Ok(Record::new().maybe("networkInterface", record).maybe("clientToken", token))
}

/// The addresses that are named, if all are free and there is room for so many more and a primary one.
fn chosen(state: &State, subnet_id: &str, primary: Option<IpAddr>, named: &[String], count: usize) -> Answer<Vec<IpAddr>> {
    let subnet = state.ec2.subnets.get(subnet_id).ok_or_else(|| subnet::not_found(subnet_id))?;
    let mut chosen: Vec<IpAddr> = Vec::new();
    for text in named {
        let address = subnet.free_address(text)?;
        if Some(address) == primary || chosen.contains(&address) {
            return Err(ApiError::parameter_value(format!("The private IP address {address} is specified more than once")));
        }
        chosen.push(address);
    }
    let needed = chosen.len() + count + 1;
    if usize::try_from(subnet.free()).unwrap_or(usize::MAX) < needed {
        return Err(ApiError::new("InsufficientFreeAddressesInSubnet", format!("The subnet '{subnet_id}' has no free addresses")));
    }
    Ok(chosen)
}

/// Gives an interface secondary addresses: these, and so many free ones. Answers with all of them.
fn give(state: &mut State, id: &str, chosen: &[IpAddr], count: usize) -> Vec<IpAddr> {
    let ec2 = &mut state.ec2;
    let Some(interface) = ec2.network_interfaces.get_mut(id) else { return Vec::new() };
    let Some(subnet) = ec2.subnets.get_mut(&interface.subnet) else { return Vec::new() };
    subnet.used.extend(chosen);
    let given: Vec<IpAddr> = chosen.iter().copied().chain((0..count).map_while(|_| subnet.take())).collect();
    interface.secondary.extend(&given);
    ec2.reach.all = true;
    given
}

/// DeleteNetworkInterface: refused while something uses it.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "NetworkInterfaceId")?.to_string();
    finish(input)?;
    let interface = state.ec2.network_interfaces.get(&id).ok_or_else(|| not_found(&id))?;
    if interface.attachment != Attachment::Detached {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("Network interface '{id}' is currently in use and cannot be deleted or attached to another instance."),
        ));
    }
    state.ec2.free_elastic_address(&id);
    state.ec2.remove_interface(&id);
    state.ec2.reach.all = true;
    Ok(success())
}

/// AssignPrivateIpAddresses: these, or so many free ones. AWS lets addresses of another interface be taken if the caller says so.
pub fn assign(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "NetworkInterfaceId")?.to_string();
    let (named, count) = addresses(input, "PrivateIpAddress")?;
    let again = input.flag("AllowReassignment")?.unwrap_or(false);
    finish(input)?;
    let interface = own(state, &id)?;
    if named.is_empty() && count == 0 {
        return Err(ApiError::new("MissingParameter", "Either privateIpAddress or secondaryPrivateIpAddressCount must be specified"));
    }
    let (subnet_id, held) = (interface.subnet.clone(), interface.secondary.clone());
    let asked: Vec<IpAddr> = named.iter().filter_map(|text| text.parse().ok()).collect();
    let takes = |other: &&mut NetworkInterface| other.id != id && other.subnet == subnet_id;
    if again {
        let others = state.ec2.network_interfaces.values().filter(|other| other.id != id && other.subnet == subnet_id);
        let lost: Vec<IpAddr> = others.flat_map(|other| &other.secondary).filter(|address| asked.contains(address)).copied().collect();
        for other in state.ec2.network_interfaces.values_mut().filter(takes) {
            other.secondary.retain(|address| !lost.contains(address));
        }
        if let Some(subnet) = state.ec2.subnets.get_mut(&subnet_id) {
            subnet.used.retain(|address| !lost.contains(address));
        }
    }
    // What it has already stays.
    let new: Vec<String> = named.into_iter().filter(|text| text.parse().map_or(true, |address| !held.contains(&address))).collect();
    let chosen = chosen(state, &subnet_id, None, &new, count)?;
    let given = give(state, &id, &chosen, count);
    let records = given.iter().map(|address| Record::new().with("privateIpAddress", address.to_string()));
    Ok(Record::new().with("networkInterfaceId", &id).list("assignedPrivateIpAddressesSet", records.collect::<Vec<_>>()))
}

/// UnassignPrivateIpAddresses: secondary ones only.
pub fn unassign(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "NetworkInterfaceId")?.to_string();
    let named = input.strings("PrivateIpAddress");
    finish(input)?;
    let interface = own(state, &id)?;
    if named.is_empty() {
        return Err(ApiError::new("MissingParameter", "The request must contain the parameter privateIpAddress"));
    }
    let mut gone: Vec<IpAddr> = Vec::new();
    for text in &named {
        match text.parse().ok().filter(|address| interface.secondary.contains(address)) {
            Some(address) => gone.push(address),
            None => {
                return Err(ApiError::parameter_value(format!("Some of the addresses are not assigned to interface {id}: {text}")));
            }
        }
    }
    let subnet_id = interface.subnet.clone();
    if let Some(interface) = state.ec2.network_interfaces.get_mut(&id) {
        interface.secondary.retain(|address| !gone.contains(address));
    }
    if let Some(subnet) = state.ec2.subnets.get_mut(&subnet_id) {
        subnet.used.retain(|address| !gone.contains(address));
    }
    state.ec2.reach.all = true;
    Ok(success())
}

/// An interface that is not a load balancer's.
fn own<'a>(state: &'a State, id: &str) -> Answer<&'a NetworkInterface> {
    let interface = state.ec2.network_interfaces.get(id).ok_or_else(|| not_found(id))?;
    if interface.is_managed() {
        return Err(ApiError::new("OperationNotPermitted", "You are not allowed to manage 'ela-attach' attachments."));
    }
    Ok(interface)
}
