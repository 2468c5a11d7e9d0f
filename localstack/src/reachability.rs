//! Who reaches whom: security groups and zones decide, as on AWS.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::dataplane::config::{IngressRule, Reach, Reachability, Transport};
use crate::ec2::Ec2;
use crate::ec2::network_interface::{Attachment, NetworkInterface};
use crate::ec2::permission::{Peer, Permission};
use crate::elb::load_balancer::LoadBalancer;

/// Whether a load balancer serves targets of this zone. `all` is the zone of targets outside of the VPC.
pub fn is_zone_enabled(ec2: &Ec2, balancer: &LoadBalancer, zone: &str) -> bool {
    zone == "all" || balancer.subnets.iter().filter_map(|id| ec2.subnets.get(id)).any(|subnet| subnet.zone == zone)
}

/// An index of network interfaces; holds until one comes, goes or gets other groups.
#[derive(Debug, Default)]
pub struct Interfaces {
    by_address: HashMap<IpAddr, String>,
    with_prefixes: Vec<String>,
    /// The addresses of a load balancer's interfaces, by its ARN.
    sources: HashMap<String, Vec<IpAddr>>,
}

impl Interfaces {
    /// Indexes the interfaces.
    pub fn of(ec2: &Ec2) -> Self {
        let mut index = Self::default();
        for interface in ec2.network_interfaces.values().filter(|interface| interface.gone_at.is_none()) {
            if let Attachment::LoadBalancer(arn) = &interface.attachment {
                index.sources.entry(arn.clone()).or_default().push(interface.address);
            }
            if !interface.prefixes.is_empty() {
                index.with_prefixes.push(interface.id.clone());
            }
            index.by_address.extend(interface.addresses().map(|address| (address, interface.id.clone())));
        }
        index
    }
}

/// Answers many questions about one state.
#[derive(Clone, Copy, Debug)]
pub struct Network<'a> {
    ec2: &'a Ec2,
    interfaces: &'a Interfaces,
}

impl<'a> Network<'a> {
    /// The network of a state, with its interfaces.
    pub fn new(ec2: &'a Ec2, interfaces: &'a Interfaces) -> Self {
        Self { ec2, interfaces }
    }

    fn interface(&self, address: IpAddr) -> Option<&'a NetworkInterface> {
        let known = |id: &String| self.ec2.network_interfaces.get(id);
        let prefixed = || self.interfaces.with_prefixes.iter().filter_map(known).find(|interface| interface.holds(address));
        self.interfaces.by_address.get(&address).and_then(known).or_else(prefixed)
    }

    /// Whether an instance's interface holds this address, so that load balancers' interfaces do not matter for it.
    pub fn is_instances(&self, address: IpAddr) -> bool {
        self.interface(address).is_some_and(|interface| matches!(interface.attachment, Attachment::Instance { .. }))
    }

    fn permissions(&self, groups: &'a [String], egress: bool) -> impl Iterator<Item = &'a Permission> {
        let ec2 = self.ec2;
        groups.iter().filter_map(|id| ec2.security_groups.get(id)).flat_map(move |group| group.permissions(egress))
    }

    /// Whether the groups of a load balancer let its packets out to a port of an address, held by this interface. A load balancer without groups
    /// lets all of them out.
    fn lets_out(
        &self,
        balancer: &'a LoadBalancer,
        address: IpAddr,
        interface: Option<&NetworkInterface>,
        transport: Transport,
        port: u16,
    ) -> bool {
        balancer.security_groups.is_empty()
            || self.permissions(&balancer.security_groups, true).any(|permission| {
                permission.covers(transport, port)
                    && (self.holds(permission, address) || interface.is_some_and(|interface| names(permission, &interface.groups)))
            })
    }

    /// The same for a port of another load balancer, at any of its interfaces.
    pub fn lets_out_to(&self, balancer: &'a LoadBalancer, to: &LoadBalancer, transport: Transport, port: u16) -> bool {
        self.ec2
            .interfaces_of_load_balancer(&to.arn)
            .any(|interface| self.lets_out(balancer, interface.address, Some(interface), transport, port))
    }

    /// Whose packets arrive at a port of a target if they keep their addresses: the balancer's groups must let them out, and the groups of the
    /// interface that holds the address let their sources in, or all that the balancer's groups send.
    pub fn reached_by(&self, balancer: &'a LoadBalancer, address: IpAddr, transport: Transport, port: u16) -> Reach {
        let Some(interface) = self.interface(address).filter(|interface| interface.vpc == balancer.vpc) else { return Reach::Nobody };
        if !self.lets_out(balancer, address, Some(interface), transport, port) {
            return Reach::Nobody;
        }
        let open: Vec<&Permission> = self.permissions(&interface.groups, false).filter(|p| p.covers(transport, port)).collect();
        if open.iter().any(|permission| names(permission, &balancer.security_groups)) {
            return Reach::Everybody;
        }
        Reach::From(open.into_iter().flat_map(|permission| self.sources(permission)).collect())
    }

    /// By the private address of each of a network load balancer's interfaces, the address at which its node listens and from which it sends.
    pub fn sending_addresses(&self, balancer: &LoadBalancer) -> Vec<(IpAddr, IpAddr)> {
        let interfaces = self.ec2.interfaces_of_load_balancer(&balancer.arn);
        interfaces.filter_map(|interface| Some((interface.address, balancer.node_in(&interface.subnet)?.listens_at))).collect()
    }

    /// Whether packets of a load balancer arrive at a port of an address: its own groups must let them out, and the groups of the
    /// interface that holds the address must let them in from every one of its interfaces. An address of the VPC that no interface holds
    /// is never reached; outside of the VPC only the way out is judged.
    pub fn reaches(&self, balancer: &'a LoadBalancer, address: IpAddr, transport: Transport, port: u16, outside: bool) -> Reachability {
        let interface = self.interface(address).filter(|interface| interface.vpc == balancer.vpc);
        let out = self.lets_out(balancer, address, interface, transport, port);
        let within = match interface {
            None => outside,
            Some(interface) => {
                let open: Vec<&Permission> = self.permissions(&interface.groups, false).filter(|p| p.covers(transport, port)).collect();
                let sources = self.interfaces.sources.get(balancer.arn.as_str()).map(Vec::as_slice).unwrap_or_default();
                open.iter().any(|permission| names(permission, &balancer.security_groups))
                    || !sources.is_empty() && sources.iter().all(|source| open.iter().any(|permission| self.holds(permission, *source)))
            }
        };
        if out && within { Reachability::Allowed } else { Reachability::Blocked }
    }

    /// Whether who may connect to a load balancer depends on the interfaces of a security group.
    pub fn depends_on_members(&self, balancer: &'a LoadBalancer) -> bool {
        self.permissions(&balancer.security_groups, false).any(|permission| matches!(permission.peer, Peer::Group(_)))
    }

    /// Who may connect to a load balancer. A group as a source stands for the addresses of its interfaces.
    pub fn ingress(&self, balancer: &'a LoadBalancer, transport: Transport) -> Vec<IngressRule> {
        let mut rules = Vec::new();
        for permission in self.permissions(&balancer.security_groups, false) {
            let Some((from_port, to_port)) = permission.covered_ports(transport) else { continue };
            let sources = self.sources(permission);
            rules.extend(sources.into_iter().map(|source| IngressRule { from_port, to_port, source }));
        }
        rules
    }

    /// The addresses of a permission's peer.
    fn sources(&self, permission: &Permission) -> Vec<IpNet> {
        match &permission.peer {
            Peer::Cidr(cidr) => vec![*cidr],
            Peer::Group(group) => self.members(group),
            Peer::PrefixList(list) => self.ec2.prefix_lists.get(list).map(|list| list.cidrs().collect()).unwrap_or_default(),
        }
    }

    /// Whether a permission's peer is a CIDR, or a prefix list with one, that holds this address.
    fn holds(&self, permission: &Permission, address: IpAddr) -> bool {
        match &permission.peer {
            Peer::PrefixList(list) => self.ec2.prefix_lists.get(list).is_some_and(|list| list.holds(address)),
            _ => permission.holds(address),
        }
    }

    fn members(&self, group: &str) -> Vec<IpNet> {
        self.interfaces
            .by_address
            .values()
            .filter_map(|id| self.ec2.network_interfaces.get(id))
            .filter(|interface| interface.groups.iter().any(|id| id == group))
            .flat_map(|interface| interface.prefixes.iter().copied().chain([IpNet::from(interface.address)]))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect()
    }
}

fn names(permission: &Permission, groups: &[String]) -> bool {
    matches!(&permission.peer, Peer::Group(id) if groups.contains(id))
}
