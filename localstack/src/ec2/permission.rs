//! Permissions: what a rule of a security group allows, as it comes in and goes out.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::dataplane::config::Transport;
use crate::error::{Answer, ApiError};
use crate::wire::{Input, Record};

/// Whom a rule allows to send (ingress) or be sent to (egress).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Peer {
    /// Addresses.
    Cidr(IpNet),
    /// The network interfaces of a security group, by its id.
    Group(String),
    /// A managed prefix list, by its id.
    PrefixList(String),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cidr(cidr) => cidr.fmt(f),
            Self::Group(id) | Self::PrefixList(id) => id.fmt(f),
        }
    }
}

/// What a rule allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Permission {
    /// Out of the group's interfaces, rather than into them.
    pub egress: bool,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, another protocol's number, or `-1` for all.
    pub protocol: String,
    /// First and last port (for ICMP: type and code); `None` for all.
    pub ports: Option<(i32, i32)>,
    /// The other side.
    pub peer: Peer,
}

impl Permission {
    /// Everything to or from a peer.
    pub fn all(egress: bool, peer: Peer) -> Self {
        Self { egress, protocol: "-1".into(), ports: None, peer }
    }

    /// Whether it covers this port.
    pub fn covers(&self, transport: Transport, port: u16) -> bool {
        self.covered_ports(transport).is_some_and(|(from, to)| (from..=to).contains(&port))
    }

    /// The ports that it covers.
    pub fn covered_ports(&self, transport: Transport) -> Option<(u16, u16)> {
        if self.protocol == "-1" {
            return Some((0, u16::MAX));
        }
        if self.protocol != transport.as_str() {
            return None;
        }
        match self.ports {
            None => Some((0, u16::MAX)),
            Some((from, to)) => Some((u16::try_from(from).ok()?, u16::try_from(to).ok()?)),
        }
    }

    /// Whether the peer is a CIDR with this address.
    pub fn holds(&self, address: IpAddr) -> bool {
        matches!(&self.peer, Peer::Cidr(cidr) if cidr.contains(&address))
    }
}

impl fmt::Display for Permission {
    /// As EC2 names a rule in its errors.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.protocol == "-1" { "ALL".into() } else { self.protocol.to_uppercase() };
        write!(f, "peer: {}, {protocol}, ", self.peer)?;
        if let Some((from, to)) = self.ports {
            write!(f, "from port: {from}, to port: {to}, ")?;
        }
        write!(f, "ALLOW")
    }
}

/// A permission as the caller gave it, with its description.
pub type Described = (Permission, Option<String>);

/// Reads `IpPermissions`, or the old flat parameters (`IpProtocol`, `FromPort`, `ToPort`, `CidrIp`).
pub fn read(input: &Input, egress: bool) -> Answer<Vec<Described>> {
    let mut permissions = Vec::new();
    if let Some(protocol) = input.text("IpProtocol").filter(|protocol| !protocol.is_empty()) {
        let (protocol, ports) = protocol_and_ports(input, protocol)?;
        if let Some(text) = input.text("CidrIp") {
            permissions.push((Permission { egress, protocol: protocol.clone(), ports, peer: Peer::Cidr(cidr(text)?) }, None));
        }
    }
    for item in input.items("IpPermissions") {
        let protocol = item
            .text("IpProtocol")
            .filter(|protocol| !protocol.is_empty())
            .ok_or_else(|| ApiError::new("MissingParameter", "The request must contain the parameter ipProtocol"))?;
        let (protocol, ports) = protocol_and_ports(item, protocol)?;
        let mut add = |peer: Peer, entry: &Input| -> Answer<()> {
            let description = entry.text("Description").map(str::to_string).filter(|text| !text.is_empty());
            if let Some(text) = description.as_deref().filter(|text| !description_is_valid(text)) {
                return Err(ApiError::parameter_value(format!(
                    "Invalid rule description '{text}'. Valid descriptions are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{{}}!$*"
                )));
            }
            permissions.push((Permission { egress, protocol: protocol.clone(), ports, peer }, description));
            Ok(())
        };
        for entry in item.items("IpRanges") {
            add(Peer::Cidr(cidr(entry.text("CidrIp").unwrap_or_default())?), entry)?;
        }
        for entry in item.items("Ipv6Ranges") {
            add(Peer::Cidr(cidr(entry.text("CidrIpv6").unwrap_or_default())?), entry)?;
        }
        for entry in item.items("PrefixListIds") {
            add(Peer::PrefixList(entry.text("PrefixListId").unwrap_or_default().into()), entry)?;
        }
        for entry in item.items("Groups") {
            for ignored in ["UserId", "VpcId", "VpcPeeringConnectionId", "PeeringStatus", "GroupName"] {
                entry.text(ignored);
            }
            let id =
                entry.text("GroupId").ok_or_else(|| ApiError::new("MissingParameter", "The request must contain the parameter groupId"))?;
            add(Peer::Group(id.into()), entry)?;
        }
    }
    Ok(permissions)
}

/// Whether EC2 accepts a description of a group or rule: at most 255 characters of a limited set.
pub fn description_is_valid(text: &str) -> bool {
    text.chars().count() <= 255 && text.chars().all(|c| c.is_ascii_alphanumeric() || ". _-:/()#,@[]+=&;{}!$*".contains(c))
}

fn cidr(text: &str) -> Answer<IpNet> {
    let parsed: Result<IpNet, _> = text.parse();
    parsed.map(|cidr| cidr.trunc()).map_err(|_| ApiError::parameter_value(format!("CIDR block {text} is malformed")))
}

fn protocol_and_ports(input: &Input, protocol: &str) -> Answer<(String, Option<(i32, i32)>)> {
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "6" => "tcp".to_string(),
        "17" => "udp".into(),
        "1" => "icmp".into(),
        "58" => "icmpv6".into(),
        "all" => "-1".into(),
        known @ ("tcp" | "udp" | "icmp" | "icmpv6" | "-1") => known.into(),
        number if number.parse::<u8>().is_ok() => number.into(),
        other => return Err(ApiError::parameter_value(format!("Invalid value '{other}' for IP protocol. Unknown protocol."))),
    };
    let (from, to): (Option<i32>, Option<i32>) = (input.parse("FromPort")?, input.parse("ToPort")?);
    let ports = match protocol.as_str() {
        "tcp" | "udp" => {
            let (Some(from), Some(to)) = (from, to) else {
                return Err(ApiError::parameter_value("Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange."));
            };
            if !(0..=65535).contains(&from) || !(0..=65535).contains(&to) || from > to {
                return Err(ApiError::parameter_value(format!("Invalid {} port range ({from},{to})", protocol.to_uppercase())));
            }
            Some((from, to))
        }
        "icmp" | "icmpv6" => Some((from.unwrap_or(-1), to.unwrap_or(-1))),
        _ => None,
    };
    Ok((protocol, ports))
}

/// Permissions of one direction as DescribeSecurityGroups shows them: merged by protocol and ports.
pub fn records(permissions: &[Described], owner: &str) -> Vec<Record> {
    let mut keys: Vec<(&String, Option<(i32, i32)>)> = permissions.iter().map(|(p, _)| (&p.protocol, p.ports)).collect();
    keys.sort();
    keys.dedup();
    let record = |(protocol, ports): (&String, Option<(i32, i32)>)| {
        let peers: Vec<&Described> = permissions.iter().filter(|(p, _)| p.protocol == *protocol && p.ports == ports).collect();
        let cidrs = |v4: bool, name: &'static str| {
            peers.iter().filter_map(move |(p, description)| match &p.peer {
                Peer::Cidr(cidr) if matches!(cidr, IpNet::V4(_)) == v4 => {
                    Some(Record::new().with(name, cidr.to_string()).maybe("description", description.as_ref()))
                }
                _ => None,
            })
        };
        let groups = peers.iter().filter_map(|(p, description)| match &p.peer {
            Peer::Group(id) => Some(Record::new().with("userId", owner).with("groupId", id).maybe("description", description.as_ref())),
            _ => None,
        });
        let lists = peers.iter().filter_map(|(p, description)| match &p.peer {
            Peer::PrefixList(id) => Some(Record::new().with("prefixListId", id).maybe("description", description.as_ref())),
            _ => None,
        });
        Record::new()
            .with("ipProtocol", protocol)
            .maybe("fromPort", ports.map(|(from, _)| from))
            .maybe("toPort", ports.map(|(_, to)| to))
            .list("groups", groups)
            .list("ipRanges", cidrs(true, "cidrIp"))
            .list("ipv6Ranges", cidrs(false, "cidrIpv6"))
            .list("prefixListIds", lists)
    };
    keys.into_iter().map(record).collect()
}
