//! Load balancers with IPv6 addresses: who may have them, and which. They are kept and told; nothing listens there.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

use super::kind::LoadBalancerKind;
use super::load_balancer::LoadBalancer;
use super::node::Mapping;
use super::{protocol, validation};
use crate::ec2::Ec2;
use crate::error::{Answer, ApiError};
use crate::wire::Input;

/// AWS: length of the prefixes from which a network load balancer sends UDP over IPv6.
const SOURCE_PREFIX: u8 = 80;

fn fault<T>(message: impl Into<String>) -> Answer<T> {
    Err(ApiError::new("InvalidConfigurationRequest", message.into()))
}

/// Whether a load balancer of this type and scheme can have this IP address type.
pub fn check_type(wanted: &str, kind: LoadBalancerKind, scheme: &str) -> Answer<()> {
    validation::one_of(wanted, "ipAddressType", &["ipv4", "dualstack", "dualstack-without-public-ipv4"])?;
    if wanted == "dualstack-without-public-ipv4" {
        kind.only(LoadBalancerKind::Application, "IP address type 'dualstack-without-public-ipv4'")?;
        if scheme == "internal" {
            return fault("'dualstack-without-public-ipv4' requires an internet-facing load balancer");
        }
    }
    Ok(())
}

/// `EnablePrefixForIpv6SourceNat`, if it is given.
pub fn read_source_nat(input: &Input, kind: LoadBalancerKind) -> Answer<Option<bool>> {
    let Some(wanted) = input.text("EnablePrefixForIpv6SourceNat").filter(|text| !text.is_empty()) else { return Ok(None) };
    validation::one_of(wanted, "enablePrefixForIpv6SourceNat", &["on", "off"])?;
    kind.only(LoadBalancerKind::Network, "'EnablePrefixForIpv6SourceNat'")?;
    Ok(Some(wanted == "on"))
}

/// The address and the prefix for sources that a caller chose in a subnet.
pub fn read_mapping(address: Option<&str>, prefix: Option<&str>) -> Answer<(Option<IpAddr>, Option<IpNet>)> {
    let parse = |text: &str| {
        text.parse()
            .ok()
            .filter(IpAddr::is_ipv6)
            .ok_or_else(|| ApiError::validation(format!("The IPv6 address '{text}' is not a valid IPv6 address")))
    };
    let address = address.map(parse).transpose()?;
    let prefix = match prefix.filter(|text| *text != "auto_assigned") {
        None => None,
        Some(text) => match text.parse::<Ipv6Net>() {
            Ok(prefix) if prefix.prefix_len() == SOURCE_PREFIX => Some(IpNet::from(prefix.trunc())),
            _ => {
                return Err(ApiError::validation(format!(
                    "The source NAT IPv6 prefix '{text}' must be an IPv6 CIDR block of /{SOURCE_PREFIX}"
                )));
            }
        },
    };
    Ok((address, prefix))
}

/// Whether subnets, and what was chosen there, fit the IP address type.
pub fn check(ec2: &Ec2, others: &[&LoadBalancer], ip_address_type: &str, source_nat: bool, mappings: &[Mapping]) -> Answer<()> {
    let dualstack = ip_address_type != "ipv4";
    if source_nat && !dualstack {
        return fault("'EnablePrefixForIpv6SourceNat' can be 'on' only for load balancers with the IP address type 'dualstack'");
    }
    for mapping in mappings {
        let block = ec2.subnets.get(&mapping.subnet).and_then(|subnet| subnet.ipv6.as_ref());
        let asks = dualstack || mapping.ipv6.is_some() || mapping.source_prefix.is_some();
        let Some(block) = block.filter(|_| dualstack || !asks) else {
            if asks {
                return fault("You must specify subnets with an associated IPv6 CIDR block.");
            }
            continue;
        };
        if let Some(address) = mapping.ipv6 {
            if !block.cidr.contains(&address) {
                return fault(format!("The IPv6 address '{address}' is not in the IPv6 CIDR block of subnet '{}'", mapping.subnet));
            }
            if others.iter().flat_map(|other| &other.nodes).any(|node| node.ipv6 == Some(address)) {
                return Err(ApiError::new("ResourceInUse", format!("The IPv6 address '{address}' is already in use")));
            }
        }
        if let Some(prefix) = mapping.source_prefix {
            if !source_nat {
                return fault("'SourceNatIpv6Prefix' requires 'EnablePrefixForIpv6SourceNat' to be 'on'");
            }
            if !block.cidr.contains(&prefix) {
                return fault(format!(
                    "The source NAT IPv6 prefix '{prefix}' is not in the IPv6 CIDR block of subnet '{}'",
                    mapping.subnet
                ));
            }
        }
    }
    Ok(())
}

/// Whether a listener of this protocol can be served over IPv6 (network user guide, "IP address type": UDP needs prefixes for source NAT).
pub fn check_listener(balancer: &LoadBalancer, listener_protocol: &str) -> Answer<()> {
    if balancer.kind == LoadBalancerKind::Network
        && balancer.ip_address_type != "ipv4"
        && !balancer.source_nat
        && protocol::has_datagrams(listener_protocol)
    {
        return fault(format!(
            "Listeners with the protocol '{listener_protocol}' of load balancers with the IP address type 'dualstack' require 'EnablePrefixForIpv6SourceNat' to be 'on'"
        ));
    }
    Ok(())
}

/// The prefix for sources of a node: the chosen one, or the last of the subnet's.
pub fn source_prefix(ec2: &Ec2, subnet: &str, chosen: Option<IpNet>) -> Option<IpNet> {
    let block = ec2.subnets.get(subnet)?.ipv6.as_ref()?;
    let last = || match block.cidr.broadcast() {
        IpAddr::V6(address) => Ipv6Net::new(address, SOURCE_PREFIX).ok().map(|prefix| prefix.trunc().into()),
        IpAddr::V4(_) => None,
    };
    chosen.or_else(last)
}
