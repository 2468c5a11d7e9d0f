//! The network of a fresh account that has an EKS cluster: one VPC, a public and a private subnet per zone, pod subnets, nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;

use super::Ec2;
use super::instance::{self, Instance};
use super::internet_gateway::InternetGateway;
use super::network_interface::Attachment;
use super::permission::{Peer, Permission};
use super::route_table::RouteTable;
use super::security_group::{SecurityGroup, anywhere};
use super::subnet::Subnet;
use super::vpc::Vpc;
use super::zone::Zone;
use crate::config::CloudConfig;
use crate::error::CloudError;
use crate::id::Ids;
use crate::tag::Tags;

/// Builds the network.
pub fn build(config: &CloudConfig, ids: &mut Ids, now: Timestamp) -> Result<Ec2, CloudError> {
    let mut builder = Builder { config, ids, ec2: Ec2::default(), vpc: String::new() };
    builder.zones();
    builder.vpc();
    builder.subnets()?;
    builder.nodes(now)?;
    Ok(builder.ec2)
}

struct Builder<'a> {
    config: &'a CloudConfig,
    ids: &'a mut Ids,
    ec2: Ec2,
    vpc: String,
}

impl Builder<'_> {
    fn zones(&mut self) {
        // AWS's short code of a region in zone ids: us-east-1 → use1.
        let mut parts = self.config.region.split('-');
        let short: String = match (parts.next(), parts.next(), parts.next()) {
            (Some(continent), Some(direction), Some(number)) => {
                format!("{continent}{}{number}", direction.chars().next().unwrap_or_default())
            }
            _ => self.config.region.clone(),
        };
        let zone = |(index, letter): (usize, &char)| Zone {
            name: format!("{}{letter}", self.config.region),
            id: format!("{short}-az{}", index + 1),
        };
        self.ec2.zones = self.config.zones.iter().enumerate().map(zone).collect();
    }

    fn vpc(&mut self) {
        self.vpc = self.ids.ec2("vpc");
        let owner = self.config.account.clone();
        let vpc = Vpc {
            id: self.vpc.clone(),
            owner: owner.clone(),
            cidrs: self.config.vpc_cidrs.clone(),
            ipv6: None,
            default: false,
            tags: self.tags(&format!("{}/VPC", self.config.cluster), &[]),
        };
        let (group, first, second) = (self.ids.ec2("sg"), self.ids.ec2("sgr"), self.ids.ec2("sgr"));
        let group = SecurityGroup::default_of(group, &self.vpc, &owner, [first, second]);
        self.ec2.security_groups.insert(group.id.clone(), group);
        self.ec2.vpcs.insert(vpc.id.clone(), vpc);
    }

    /// A public and a private subnet per zone in the primary CIDR, and one subnet per pod network.
    fn subnets(&mut self) -> Result<(), CloudError> {
        let primary = match self.config.vpc_cidrs.first() {
            Some(IpNet::V4(cidr)) if cidr.prefix_len() <= 20 => *cidr,
            _ => return Err(CloudError::Config("the first VPC CIDR must be an IPv4 CIDR of /20 or larger".into())),
        };
        let gateway = self.ids.ec2("igw");
        let (mut public, mut private) = (Vec::new(), Vec::new());
        for (index, zone) in self.ec2.zones.clone().into_iter().enumerate() {
            for (side, list, role) in [(0, &mut public, "kubernetes.io/role/elb"), (1, &mut private, "kubernetes.io/role/internal-elb")] {
                let word = if side == 0 { "public" } else { "private" };
                let cidr = part(primary, side, index)?;
                let tags = self.tags(&format!("{}/{word}-{}", self.config.cluster, zone.name), &[(role, "1")]);
                list.push(self.subnet(cidr, &zone, side == 0, tags));
            }
        }
        for pods in self.config.pod_networks.clone() {
            let name = format!("{}{}", self.config.region, pods.zone);
            let zone = self.ec2.zones.iter().find(|zone| zone.name == name).cloned();
            let zone = zone.ok_or_else(|| CloudError::Config(format!("pod network {} is in the unknown zone {name}", pods.cidr)))?;
            if !self.config.vpc_cidrs.iter().any(|cidr| cidr.contains(&pods.cidr)) {
                return Err(CloudError::Config(format!("pod network {} lies outside of the VPC", pods.cidr)));
            }
            if self.ec2.subnets.values().any(|other| other.cidr.contains(&pods.cidr) || pods.cidr.contains(&other.cidr)) {
                return Err(CloudError::Config(format!("pod network {} overlaps another subnet", pods.cidr)));
            }
            let tags = self.tags(&format!("{}/pods-{}", self.config.cluster, pods.cidr), &[]);
            private.push(self.subnet(pods.cidr, &zone, false, tags));
        }
        let owner = self.config.account.clone();
        for (name, main, subnets, out) in [("public", false, public, Some(gateway.clone())), ("private", true, private, None)] {
            let id = self.ids.ec2("rtb");
            let tags = self.tags(&format!("{}/{name}", self.config.cluster), &[]);
            let local = self.config.vpc_cidrs.clone();
            let table =
                RouteTable { id: id.clone(), owner: owner.clone(), vpc: self.vpc.clone(), main, subnets, local, gateway: out, tags };
            self.ec2.route_tables.insert(id, table);
        }
        let tags = self.tags(&format!("{}/InternetGateway", self.config.cluster), &[]);
        let gateway = InternetGateway { id: gateway, owner, vpc: self.vpc.clone(), tags };
        self.ec2.internet_gateways.insert(gateway.id.clone(), gateway);
        Ok(())
    }

    fn subnet(&mut self, cidr: IpNet, zone: &Zone, public: bool, tags: Tags) -> String {
        let id = self.ids.ec2("subnet");
        let subnet = Subnet {
            id: id.clone(),
            arn: format!("arn:aws:ec2:{}:{}:subnet/{id}", self.config.region, self.config.account),
            owner: self.config.account.clone(),
            vpc: self.vpc.clone(),
            cidr: cidr.trunc(),
            ipv6: None,
            zone: zone.name.clone(),
            zone_id: zone.id.clone(),
            public,
            used: BTreeSet::new(),
            tags,
        };
        self.ec2.subnets.insert(id.clone(), subnet);
        id
    }

    /// The nodes' security group, and per node an instance with an interface in its zone and one per pod network.
    fn nodes(&mut self, now: Timestamp) -> Result<(), CloudError> {
        let cluster = self.config.cluster.clone();
        let owner = self.config.account.clone();
        let group_id = self.ids.ec2("sg");
        let tags = self.tags(&format!("{cluster}/nodes"), &[(&format!("kubernetes.io/cluster/{cluster}"), "owned")]);
        let mut group = SecurityGroup::new(group_id.clone(), &self.vpc, &owner, "nodes", "Nodes and pods of the cluster", tags);
        group.add(self.ids.ec2("sgr"), Permission::all(false, Peer::Group(group_id.clone())), None, Tags::new());
        group.add(self.ids.ec2("sgr"), Permission::all(true, anywhere()), None, Tags::new());
        if self.config.open_nodes {
            group.add(
                self.ids.ec2("sgr"),
                Permission::all(false, anywhere()),
                Some("open_nodes of the embedded cloud".into()),
                Tags::new(),
            );
        }
        self.ec2.security_groups.insert(group_id.clone(), group);
        let mut networks: BTreeMap<String, Vec<(IpNet, char)>> = BTreeMap::new();
        for pods in &self.config.pod_networks {
            networks.entry(pods.node.clone()).or_default().push((pods.cidr, pods.zone));
        }
        for (node, pods) in networks {
            let zone = pods.first().map(|(_, zone)| format!("{}{zone}", self.config.region)).unwrap_or_default();
            let home = self.ec2.subnets.values().find(|s| s.zone == zone && s.tags.contains_key("kubernetes.io/role/internal-elb"));
            let home = home.map(|subnet| subnet.id.clone()).ok_or_else(|| CloudError::Config(format!("no subnet in zone {zone}")))?;
            let instance = self.ids.ec2("i");
            let mut interfaces = Vec::new();
            let cidrs = [None].into_iter().chain(pods.iter().map(|(cidr, _)| Some(*cidr)));
            for (device, cidr) in (0..).zip(cidrs) {
                let subnet = match cidr {
                    None => home.clone(),
                    Some(cidr) => self
                        .ec2
                        .subnets
                        .values()
                        .find(|subnet| subnet.cidr == cidr.trunc())
                        .map(|subnet| subnet.id.clone())
                        .ok_or_else(|| CloudError::Config(format!("no subnet for pod network {cidr}")))?,
                };
                let attachment = Attachment::Instance { id: instance.clone(), device };
                let description = if device == 0 { String::new() } else { format!("aws-K8S-{instance}") };
                let interface = self
                    .ec2
                    .add_interface(self.ids, &subnet, vec![group_id.clone()], description, attachment)
                    .map_err(|error| CloudError::Config(error.to_string()))?;
                if let Some(interface) = self.ec2.network_interfaces.get_mut(&interface) {
                    interface.prefixes = cidr.into_iter().collect();
                }
                interfaces.push(interface);
            }
            let tags = self.tags(&node, &[(&format!("kubernetes.io/cluster/{cluster}"), "owned")]);
            let reservation = self.ids.ec2("r");
            let made = Instance {
                id: instance.clone(),
                owner: owner.clone(),
                reservation,
                interfaces,
                zone,
                launched: now,
                image: instance::image(),
                instance_type: instance::instance_type(),
                token: None,
                terminated: None,
                tags,
            };
            self.ec2.instances.insert(instance, made);
        }
        Ok(())
    }

    /// A `Name`, the cluster's tag for everything that is shared with it, and more.
    fn tags(&self, name: &str, more: &[(&str, &str)]) -> Tags {
        let mut tags = Tags::from([("Name".to_string(), name.to_string())]);
        tags.insert(format!("kubernetes.io/cluster/{}", self.config.cluster), "shared".into());
        tags.extend(more.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())));
        tags
    }
}

/// The sixteenth of the primary CIDR that a zone's public (side 0) or private (side 1) subnet gets.
fn part(primary: Ipv4Net, side: u32, index: usize) -> Result<IpNet, CloudError> {
    let fault = || CloudError::Config("the primary VPC CIDR has no room for so many zones".into());
    let prefix = primary.prefix_len() + 4;
    let number = side * 8 + u32::try_from(index).map_err(|_| fault())?;
    if index >= 8 {
        return Err(fault());
    }
    let address = u32::from(primary.network()) + (number << (32 - u32::from(prefix)));
    Ipv4Net::new(Ipv4Addr::from(address), prefix).map(IpNet::V4).map_err(|_| fault())
}

/// The zone's name and the subnet of an address of a VPC, if a subnet holds it.
pub fn subnet_of<'a>(ec2: &'a Ec2, vpc: &str, address: IpAddr) -> Option<&'a Subnet> {
    ec2.subnets.values().find(|subnet| subnet.vpc == vpc && subnet.cidr.contains(&address))
}
