//! EC2, as far as load balancing needs it: networks, security groups, network interfaces, instances and tags.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::CloudConfig;
use crate::error::{Answer, ApiError, CloudError};
use crate::id::Ids;
use crate::operation::{Kind, Operation};
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};

pub mod absent;
pub mod account;
pub mod address;
pub mod describe;
pub mod filter;
pub mod instance;
pub mod internet_gateway;
pub mod ipam;
pub mod ipv6;
pub mod network_interface;
pub mod permission;
pub mod prefix_list;
pub mod route_table;
pub mod security_group;
pub mod security_group_rule;
pub mod subnet;
pub mod tagging;
pub mod vpc;
pub mod zone;

use address::Address;
use instance::{Instance, lifecycle};
use internet_gateway::InternetGateway;
use ipam::pool::IpamPool;
use ipam::scope::IpamScope;
use ipam::{Ipam, cidr, pool, scope};
use network_interface::{Attachment, NetworkInterface, creation};
use permission::Peer;
use prefix_list::PrefixList;
use route_table::RouteTable;
use security_group::SecurityGroup;
use subnet::Subnet;
use vpc::Vpc;
use zone::Zone;

/// The state of EC2 in the account's region. Maps are keyed by resource id.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ec2 {
    /// Availability zones.
    pub zones: Vec<Zone>,
    /// VPCs.
    pub vpcs: BTreeMap<String, Vpc>,
    /// Subnets.
    pub subnets: BTreeMap<String, Subnet>,
    /// Route tables.
    pub route_tables: BTreeMap<String, RouteTable>,
    /// Internet gateways.
    pub internet_gateways: BTreeMap<String, InternetGateway>,
    /// Security groups with their rules.
    pub security_groups: BTreeMap<String, SecurityGroup>,
    /// Network interfaces of nodes and of load balancers.
    pub network_interfaces: BTreeMap<String, NetworkInterface>,
    /// Instances: the nodes.
    pub instances: BTreeMap<String, Instance>,
    /// Elastic IP addresses by the ids of their allocations.
    pub addresses: BTreeMap<String, Address>,
    /// Managed prefix lists.
    pub prefix_lists: BTreeMap<String, PrefixList>,
    /// IP address managers.
    #[serde(default)]
    pub ipams: BTreeMap<String, Ipam>,
    /// Their scopes.
    #[serde(default)]
    pub ipam_scopes: BTreeMap<String, IpamScope>,
    /// Pools of addresses in their scopes.
    #[serde(default)]
    pub ipam_pools: BTreeMap<String, IpamPool>,
    /// Network interfaces that will go, in order.
    pub leaving: BTreeSet<(Timestamp, String)>,
    /// Whose reach may have changed since the data plane was last brought in step.
    #[serde(skip)]
    pub reach: ReachChanges,
}

/// Whose reach may have changed.
#[derive(Clone, Debug, Default)]
pub struct ReachChanges {
    /// Everybody's.
    pub all: bool,
    /// That of the load balancers that have one of these security groups.
    pub groups: BTreeSet<String>,
    /// That of those which load balancers' own interfaces matter for.
    pub interfaces: bool,
}

impl Ec2 {
    /// Notes that rules of a security group came or went, with these peers.
    pub fn rules_changed<'a>(&mut self, group: &str, peers: impl IntoIterator<Item = &'a Peer>) {
        self.reach.groups.insert(group.to_string());
        let guards = |interface: &NetworkInterface| {
            matches!(interface.attachment, Attachment::Instance { .. }) && interface.groups.iter().any(|id| id == group)
        };
        if self.network_interfaces.values().any(guards) {
            for peer in peers {
                match peer {
                    Peer::Group(id) => drop(self.reach.groups.insert(id.clone())),
                    Peer::Cidr(_) | Peer::PrefixList(_) => self.reach.all = true,
                }
            }
        }
    }

    /// The default network of a fresh account that has an EKS cluster.
    pub fn new(config: &CloudConfig, ids: &mut Ids, now: Timestamp) -> Result<Self, CloudError> {
        account::build(config, ids, now)
    }

    /// Removes network interfaces and instances whose time has come.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while self.leaving.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, id)) = self.leaving.pop_first() {
                self.remove_interface(&id);
            }
            any = true;
        }
        let before = self.instances.len();
        self.instances.retain(|_, instance| instance.terminated.is_none_or(|until| now < until));
        any || self.instances.len() < before
    }

    /// The security group of a VPC that what names none gets.
    pub fn default_group(&self, vpc: &str) -> Vec<String> {
        self.security_groups.values().filter(|group| group.vpc == vpc && group.name == "default").map(|group| group.id.clone()).collect()
    }

    /// Takes the elastic address of an interface away from it.
    pub fn free_elastic_address(&mut self, interface: &str) {
        for address in self.addresses.values_mut().filter(|address| address.interface.as_deref() == Some(interface)) {
            (address.interface, address.association) = (None, None);
        }
    }

    /// When the next network interface or instance will go.
    pub fn next_event(&self) -> Option<Timestamp> {
        let instances = self.instances.values().filter_map(|instance| instance.terminated);
        self.leaving.first().map(|(at, _)| *at).into_iter().chain(instances).min()
    }

    /// The tags of any resource, with its type as DescribeTags names it.
    pub fn tags_mut(&mut self, id: &str) -> Option<&mut Tags> {
        match id.rsplit_once('-').map(|(prefix, _)| prefix)? {
            "vpc" => self.vpcs.get_mut(id).map(|r| &mut r.tags),
            "subnet" => self.subnets.get_mut(id).map(|r| &mut r.tags),
            "rtb" => self.route_tables.get_mut(id).map(|r| &mut r.tags),
            "igw" => self.internet_gateways.get_mut(id).map(|r| &mut r.tags),
            "sg" => self.security_groups.get_mut(id).map(|r| &mut r.tags),
            "sgr" => self.security_groups.values_mut().find_map(|group| group.rules.get_mut(id)).map(|r| &mut r.tags),
            "eni" => self.network_interfaces.get_mut(id).map(|r| &mut r.tags),
            "eipalloc" => self.addresses.get_mut(id).map(|r| &mut r.tags),
            "ipam" => self.ipams.get_mut(id).map(|r| &mut r.tags),
            "ipam-scope" => self.ipam_scopes.get_mut(id).map(|r| &mut r.tags),
            "ipam-pool" => self.ipam_pools.get_mut(id).map(|r| &mut r.tags),
            "pl" => self.prefix_lists.get_mut(id).map(|r| &mut r.tags),
            "i" => self.instances.get_mut(id).map(|r| &mut r.tags),
            _ => None,
        }
    }
}

/// The operation with this name.
pub fn operation(name: &str) -> Option<Operation> {
    use Kind::{Read, Write};
    Some(match name {
        "DescribeVpcs" => Operation::new(Read, vpc::describe),
        "CreateVpc" => Operation::new(Write, vpc::create),
        "DeleteVpc" => Operation::new(Write, vpc::delete),
        "AssociateVpcCidrBlock" => Operation::new(Write, ipv6::associate_vpc),
        "DisassociateVpcCidrBlock" => Operation::new(Write, ipv6::disassociate_vpc),
        "AssociateSubnetCidrBlock" => Operation::new(Write, ipv6::associate_subnet),
        "DisassociateSubnetCidrBlock" => Operation::new(Write, ipv6::disassociate_subnet),
        "DescribeSubnets" => Operation::new(Read, subnet::describe),
        "CreateSubnet" => Operation::new(Write, subnet::create),
        "DeleteSubnet" => Operation::new(Write, subnet::delete),
        "DescribeAvailabilityZones" => Operation::new(Read, zone::describe),
        "DescribeRouteTables" => Operation::new(Read, route_table::describe),
        "DescribeInternetGateways" => Operation::new(Read, internet_gateway::describe),
        "DescribeSecurityGroups" => Operation::new(Read, security_group::describe),
        "CreateSecurityGroup" => Operation::new(Write, security_group::create),
        "DeleteSecurityGroup" => Operation::new(Write, security_group::delete),
        "DescribeSecurityGroupRules" => Operation::new(Read, security_group_rule::describe),
        "AuthorizeSecurityGroupIngress" => Operation::new(Write, security_group_rule::authorize_ingress),
        "AuthorizeSecurityGroupEgress" => Operation::new(Write, security_group_rule::authorize_egress),
        "RevokeSecurityGroupIngress" => Operation::new(Write, security_group_rule::revoke_ingress),
        "RevokeSecurityGroupEgress" => Operation::new(Write, security_group_rule::revoke_egress),
        "DescribeNetworkInterfaces" => Operation::new(Read, network_interface::describe),
        "CreateNetworkInterface" => Operation::new(Write, creation::create),
        "DeleteNetworkInterface" => Operation::new(Write, creation::delete),
        "AssignPrivateIpAddresses" => Operation::new(Write, creation::assign),
        "UnassignPrivateIpAddresses" => Operation::new(Write, creation::unassign),
        "ModifyNetworkInterfaceAttribute" => Operation::new(Write, network_interface::modify),
        "AllocateAddress" => Operation::new(Write, address::allocate),
        "DescribeAddresses" => Operation::new(Read, address::describe),
        "ReleaseAddress" => Operation::new(Write, address::release),
        "AssociateAddress" => Operation::new(Write, address::associate),
        "DisassociateAddress" => Operation::new(Write, address::disassociate),
        "CreateManagedPrefixList" => Operation::new(Write, prefix_list::create),
        "DescribeManagedPrefixLists" => Operation::new(Read, prefix_list::describe),
        "GetManagedPrefixListEntries" => Operation::new(Read, prefix_list::get_entries),
        "ModifyManagedPrefixList" => Operation::new(Write, prefix_list::modify),
        "DeleteManagedPrefixList" => Operation::new(Write, prefix_list::delete),
        "CreateIpam" => Operation::new(Write, ipam::create),
        "DescribeIpams" => Operation::new(Read, ipam::describe),
        "DeleteIpam" => Operation::new(Write, ipam::delete),
        "DescribeIpamScopes" => Operation::new(Read, scope::describe),
        "CreateIpamPool" => Operation::new(Write, pool::create),
        "DescribeIpamPools" => Operation::new(Read, pool::describe),
        "ModifyIpamPool" => Operation::new(Write, pool::modify),
        "DeleteIpamPool" => Operation::new(Write, pool::delete),
        "ProvisionIpamPoolCidr" => Operation::new(Write, cidr::provision),
        "DeprovisionIpamPoolCidr" => Operation::new(Write, cidr::deprovision),
        "GetIpamPoolCidrs" => Operation::new(Read, cidr::list),
        "GetIpamPoolAllocations" => Operation::new(Read, cidr::list_allocations),
        "DescribeVpcPeeringConnections" => Operation::new(Read, absent::peering_connections),
        "DescribeCoipPools" => Operation::new(Read, absent::coip_pools),
        "GetCoipPoolUsage" => Operation::new(Read, absent::coip_pool_usage),
        "DescribeAccountAttributes" => Operation::new(Read, absent::account_attributes),
        "GetSecurityGroupsForVpc" => Operation::new(Read, absent::groups_for_vpc),
        "RunInstances" => Operation::new(Write, lifecycle::run),
        "TerminateInstances" => Operation::new(Write, lifecycle::terminate),
        "DescribeInstances" => Operation::new(Read, instance::describe),
        "CreateTags" => Operation::new(Write, tagging::create),
        "DeleteTags" => Operation::new(Write, tagging::delete),
        "DescribeTags" => Operation::new(Read, tagging::describe),
        _ => return None,
    })
}

/// Runs an operation: EC2 spells the errors of parameters in its own way, and every operation has a dry run.
pub fn run(operation: Operation, state: &mut State, input: &Input) -> Answer<Record> {
    let unknown = |path: &str| ApiError::new("UnknownParameter", format!("The parameter {} is not recognized", path.trim_matches('\'')));
    (operation.run)(state, input).map_err(|error| error.respelled(unknown, ApiError::parameter_value))
}

/// Ends the reading of parameters: unknown ones are errors, and a dry run ends here.
pub fn finish(input: &Input) -> Answer<()> {
    let dry = input.flag("DryRun")?.unwrap_or(false);
    input.done()?;
    if dry {
        return Err(ApiError::with_status("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412));
    }
    Ok(())
}

/// A required parameter.
pub fn required<'a>(input: &'a Input, name: &str) -> Answer<&'a str> {
    input
        .text(name)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| ApiError::new("MissingParameter", format!("The request must contain the parameter {name}")))
}

/// `<return>true</return>`, the answer of calls that have nothing to say.
pub fn success() -> Record {
    Record::new().with("return", true)
}
