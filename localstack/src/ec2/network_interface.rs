//! Network interfaces: what holds an address, and which security groups guard it.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::describe::Resource;
use super::filter::Filters;
use super::{Ec2, describe as described, finish, required, security_group, subnet, success};
use crate::error::{Answer, ApiError};
use crate::id::Ids;
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Record};

pub mod association;
pub mod creation;

/// Who uses an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attachment {
    /// An instance, by its id and the number of the device.
    Instance {
        /// The instance.
        id: String,
        /// 0 for the primary interface.
        device: u8,
    },
    /// A load balancer, by its ARN.
    LoadBalancer(String),
    /// Nobody.
    Detached,
}

/// A network interface.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkInterface {
    /// Its id.
    pub id: String,
    /// Its account.
    pub owner: String,
    /// Its VPC.
    pub vpc: String,
    /// Its subnet.
    pub subnet: String,
    /// Its zone's name.
    pub zone: String,
    /// Its primary address.
    pub address: IpAddr,
    /// Its other addresses, in the order in which they were assigned.
    #[serde(default)]
    pub secondary: Vec<IpAddr>,
    /// Prefixes delegated to it, whose addresses its pods have. On AWS these are /28 each; here one may be a whole pod network.
    pub prefixes: Vec<IpNet>,
    /// Its security groups.
    pub groups: Vec<String>,
    /// Its description; a load balancer's is `ELB app/<name>/<id>`.
    pub description: String,
    /// Who uses it.
    pub attachment: Attachment,
    /// The public address that Amazon gave a load balancer for it. Elastic IP addresses know their interfaces by themselves.
    #[serde(default)]
    pub public: Option<Ipv4Addr>,
    /// When it will vanish: the interfaces of a deleted load balancer live on for a while.
    pub gone_at: Option<Timestamp>,
    /// The client token of the call that created it.
    #[serde(default)]
    pub token: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

impl NetworkInterface {
    /// Whether packets for this address arrive here.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.address == address || self.secondary.contains(&address) || self.prefixes.iter().any(|prefix| prefix.contains(&address))
    }

    /// Its private DNS name.
    pub fn dns_name(&self) -> String {
        format!("ip-{}.ec2.internal", self.address.to_string().replace(['.', ':'], "-"))
    }

    /// Its security groups as records.
    pub fn group_records(&self, ec2: &Ec2) -> Vec<Record> {
        let name = |id: &String| ec2.security_groups.get(id).map(|group| group.name.clone()).unwrap_or_default();
        self.groups.iter().map(|id| Record::new().with("groupId", id).with("groupName", name(id))).collect()
    }

    fn is_managed(&self) -> bool {
        matches!(self.attachment, Attachment::LoadBalancer(_))
    }

    fn status(&self) -> &'static str {
        if self.attachment == Attachment::Detached { "available" } else { "in-use" }
    }

    /// All addresses but those of prefixes, the primary one first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        [self.address].into_iter().chain(self.secondary.iter().copied())
    }
}

impl Resource for NetworkInterface {
    const FILTERS: &'static [&'static str] = &[
        "network-interface-id",
        "vpc-id",
        "subnet-id",
        "availability-zone",
        "description",
        "group-id",
        "group-name",
        "private-ip-address",
        "addresses.private-ip-address",
        "addresses.primary",
        "addresses.association.owner-id",
        "addresses.association.public-ip",
        "association.allocation-id",
        "association.association-id",
        "association.ip-owner-id",
        "association.public-dns-name",
        "association.public-ip",
        "ipv4-prefix.ipv4-prefix",
        "attachment.instance-id",
        "attachment.instance-owner-id",
        "attachment.status",
        "attachment.device-index",
        "interface-type",
        "requester-id",
        "requester-managed",
        "owner-id",
        "status",
        "mac-address",
        "private-dns-name",
    ];
    const IDS: &'static str = "NetworkInterfaceId";
    const SET: &'static str = "networkInterfaceSet";

    described::identity!();

    fn attribute(&self, filter: &str, ec2: &Ec2) -> Vec<String> {
        let one = |text: &str| vec![text.to_string()];
        match filter {
            "network-interface-id" => one(&self.id),
            "vpc-id" => one(&self.vpc),
            "subnet-id" => one(&self.subnet),
            "availability-zone" => one(&self.zone),
            "description" => one(&self.description),
            "group-id" => self.groups.clone(),
            "group-name" => self.groups.iter().filter_map(|id| ec2.security_groups.get(id)).map(|group| group.name.clone()).collect(),
            "private-ip-address" => one(&self.address.to_string()),
            "addresses.private-ip-address" => self.addresses().map(|address| address.to_string()).collect(),
            name if name.contains("association.") => self.association(ec2).and_then(|found| found.attribute(name)).into_iter().collect(),
            "addresses.primary" => (0..=self.secondary.len().min(1)).map(|place| (place == 0).to_string()).collect(),
            "ipv4-prefix.ipv4-prefix" => self.prefixes.iter().map(ToString::to_string).collect(),
            "attachment.instance-id" => match &self.attachment {
                Attachment::Instance { id, .. } => one(id),
                Attachment::LoadBalancer(_) | Attachment::Detached => vec![],
            },
            name if name.starts_with("attachment.") && self.attachment == Attachment::Detached => vec![],
            "attachment.instance-owner-id" => one(if self.is_managed() { "amazon-elb" } else { &self.owner }),
            "attachment.status" => one("attached"),
            "attachment.device-index" => match self.attachment {
                Attachment::Instance { device, .. } => one(&device.to_string()),
                Attachment::LoadBalancer(_) => one("1"),
                Attachment::Detached => vec![],
            },
            "interface-type" => one("interface"),
            "requester-id" => self.is_managed().then(|| "amazon-elb".to_string()).into_iter().collect(),
            "requester-managed" => one(&self.is_managed().to_string()),
            "owner-id" => one(&self.owner),
            "mac-address" => one(&mac(&self.id)),
            "private-dns-name" => one(&self.dns_name()),
            _ => one(self.status()),
        }
    }

    fn record(&self, ec2: &Ec2, filters: &Filters) -> Record {
        let address = |address: IpAddr, primary: bool| Record::new().with("privateIpAddress", address.to_string()).with("primary", primary);
        let association = self.association(ec2).map(|found| found.record());
        let first = address(self.address, true).maybe("association", association.clone());
        let secondary = filters
            .values("addresses.private-ip-address")
            .filter_map(|text| text.parse::<IpAddr>().ok())
            .filter(|asked| self.holds(*asked) && self.addresses().all(|own| own != *asked));
        let secondary = self.secondary.iter().copied().chain(secondary).map(|own| address(own, false));
        let attachment = match &self.attachment {
            Attachment::Detached => None,
            Attachment::Instance { id, device } => Some(
                Record::new()
                    .with("attachmentId", self.id.replacen("eni-", "eni-attach-", 1))
                    .with("deviceIndex", *device)
                    .with("instanceId", id)
                    .with("instanceOwnerId", &self.owner)
                    .with("status", "attached")
                    .with("deleteOnTermination", true),
            ),
            Attachment::LoadBalancer(_) => Some(
                Record::new()
                    .with("attachmentId", self.id.replacen("eni-", "ela-attach-", 1))
                    .with("deviceIndex", 1_u16)
                    .with("instanceOwnerId", "amazon-elb")
                    .with("status", "attached")
                    .with("deleteOnTermination", false),
            ),
        };
        let managed = self.is_managed();
        Record::new()
            .with("networkInterfaceId", &self.id)
            .with("subnetId", &self.subnet)
            .with("vpcId", &self.vpc)
            .with("availabilityZone", &self.zone)
            .with("description", &self.description)
            .with("ownerId", &self.owner)
            .maybe("requesterId", managed.then_some("amazon-elb"))
            .with("requesterManaged", managed)
            .with("status", self.status())
            .with("macAddress", mac(&self.id))
            .with("privateIpAddress", self.address.to_string())
            .with("privateDnsName", self.dns_name())
            .with("sourceDestCheck", !managed)
            .with("interfaceType", "interface")
            .list("groupSet", self.group_records(ec2))
            .maybe("attachment", attachment)
            .maybe("association", association)
            .list("privateIpAddressesSet", [first].into_iter().chain(secondary))
            .list("ipv4PrefixSet", self.prefixes.iter().map(|prefix| Record::new().with("ipv4Prefix", prefix.to_string())))
            .list("ipv6AddressesSet", Vec::<Record>::new())
            .with("tagSet", tag::lower(&self.tags))
    }

    fn not_found(id: &str) -> ApiError {
        not_found(id)
    }
}

/// A hardware address that follows from the id.
fn mac(id: &str) -> String {
    let digits: Vec<char> = id.chars().rev().take(10).collect();
    let pairs: Vec<String> = digits.chunks(2).map(|pair| pair.iter().collect()).collect();
    format!("02:{}", pairs.join(":"))
}

fn not_found(id: &str) -> ApiError {
    ApiError::new("InvalidNetworkInterfaceID.NotFound", format!("The networkInterface ID '{id}' does not exist"))
}

/// DescribeNetworkInterfaces. An address of a delegated prefix finds its interface, as a secondary address does on AWS.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let filters = Filters::read(input, NetworkInterface::FILTERS)?;
    input.flag("IncludeManagedResources")?;
    let ec2 = &state.ec2;
    let asked: Vec<IpAddr> = filters.values("addresses.private-ip-address").filter_map(|text| text.parse().ok()).collect();
    if asked.is_empty() {
        return described::run(input, ec2, ec2.network_interfaces.values());
    }
    let size: Option<usize> = input.parse("MaxResults")?;
    let (ids, _) = (input.strings("NetworkInterfaceId"), input.text("NextToken"));
    finish(input)?;
    if let Some(missing) = ids.iter().find(|id| !ec2.network_interfaces.contains_key(id.as_str())) {
        return Err(not_found(missing));
    }
    let others = Filters(filters.0.iter().filter(|filter| filter.name != "addresses.private-ip-address").cloned().collect());
    let found = ec2
        .network_interfaces
        .values()
        .filter(|interface| ids.is_empty() || ids.contains(&interface.id))
        .filter(|interface| asked.iter().any(|address| interface.holds(*address)))
        .filter(|interface| others.accept(&interface.tags, |filter| interface.attribute(filter, ec2)))
        .take(size.unwrap_or(1000));
    Ok(Record::new().list(NetworkInterface::SET, found.map(|interface| interface.record(ec2, &filters))))
}

/// ModifyNetworkInterfaceAttribute: security groups and the description.
pub fn modify(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "NetworkInterfaceId")?;
    let groups = input.texts("SecurityGroupId");
    let description = input.child("Description").and_then(|child| child.text("Value")).map(str::to_string);
    finish(input)?;
    let ec2 = &mut state.ec2;
    let interface = ec2.network_interfaces.get(id).ok_or_else(|| not_found(id))?;
    if interface.is_managed() {
        return Err(ApiError::new("OperationNotPermitted", "You are not allowed to manage 'ela-attach' attachments."));
    }
    if let Some(groups) = &groups {
        check_groups(ec2, groups, &interface.vpc, state.config.quotas.security_groups_per_interface)?;
    }
    ec2.reach.all = true;
    if let Some(interface) = ec2.network_interfaces.get_mut(id) {
        if let Some(groups) = groups {
            interface.groups = groups;
        }
        if let Some(description) = description {
            interface.description = description;
        }
    }
    Ok(success())
}

/// Whether these groups can guard an interface in this VPC.
pub fn check_groups(ec2: &Ec2, groups: &[String], vpc: &str, limit: usize) -> Answer<()> {
    if groups.len() > limit {
        return Err(ApiError::new(
            "SecurityGroupsPerInterfaceLimitExceeded",
            "The maximum number of security groups per interface has been reached.",
        ));
    }
    for id in groups {
        let group = ec2.security_groups.get(id).ok_or_else(|| security_group::not_found(id))?;
        if group.vpc != vpc {
            return Err(ApiError::parameter_value(format!(
                "You have specified two resources that belong to different networks: {id}, {vpc}"
            )));
        }
    }
    Ok(())
}

impl Ec2 {
    /// Makes an interface with a free address of the subnet.
    pub fn add_interface(
        &mut self,
        ids: &mut Ids,
        subnet_id: &str,
        groups: Vec<String>,
        description: String,
        attachment: Attachment,
    ) -> Answer<String> {
        let subnet = self.subnets.get_mut(subnet_id).ok_or_else(|| subnet::not_found(subnet_id))?;
        let address = subnet
            .take()
            .ok_or_else(|| ApiError::new("InsufficientFreeAddressesInSubnet", format!("The subnet '{subnet_id}' has no free addresses")))?;
        self.add_interface_at(ids, subnet_id, address, groups, description, attachment)
    }

    /// Makes an interface with this address of the subnet.
    pub fn add_interface_at(
        &mut self,
        ids: &mut Ids,
        subnet_id: &str,
        address: IpAddr,
        groups: Vec<String>,
        description: String,
        attachment: Attachment,
    ) -> Answer<String> {
        let subnet = self.subnets.get_mut(subnet_id).ok_or_else(|| subnet::not_found(subnet_id))?;
        subnet.used.insert(address);
        let interface = NetworkInterface {
            id: ids.ec2("eni"),
            owner: subnet.owner.clone(),
            vpc: subnet.vpc.clone(),
            subnet: subnet_id.into(),
            zone: subnet.zone.clone(),
            address,
            secondary: Vec::new(),
            prefixes: Vec::new(),
            groups,
            description,
            attachment,
            public: None,
            gone_at: None,
            token: None,
            tags: Tags::new(),
        };
        let id = interface.id.clone();
        self.reach.interfaces = true;
        self.network_interfaces.insert(id.clone(), interface);
        Ok(id)
    }

    /// Removes an interface and frees its address.
    pub fn remove_interface(&mut self, id: &str) {
        self.reach.interfaces = true;
        if let Some(interface) = self.network_interfaces.remove(id)
            && let Some(subnet) = self.subnets.get_mut(&interface.subnet)
        {
            subnet.used.retain(|address| interface.addresses().all(|own| own != *address));
        }
    }

    /// The interfaces of a load balancer that still exists.
    pub fn interfaces_of_load_balancer(&self, arn: &str) -> impl Iterator<Item = &NetworkInterface> {
        self.network_interfaces
            .values()
            .filter(move |i| i.gone_at.is_none() && matches!(&i.attachment, Attachment::LoadBalancer(owner) if owner == arn))
    }
}
