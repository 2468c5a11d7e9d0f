//! VPCs.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::describe::Resource;
use super::filter::Filters;
use super::ipv6::{self, Ipv6Block};
use super::security_group::SecurityGroup;
use super::{Ec2, describe as described, finish, required, success, tagging};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Output, Record};

/// A VPC.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Vpc {
    /// Its id.
    pub id: String,
    /// Its account.
    pub owner: String,
    /// Its CIDRs, the primary one first.
    pub cidrs: Vec<IpNet>,
    /// Its IPv6 addresses.
    #[serde(default)]
    pub ipv6: Option<Ipv6Block>,
    /// Whether it is the account's default VPC.
    pub default: bool,
    /// Its tags.
    pub tags: Tags,
}

impl Resource for Vpc {
    const FILTERS: &'static [&'static str] = &[
        "vpc-id",
        "cidr",
        "cidr-block-association.cidr-block",
        "cidr-block-association.state",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.state",
        "is-default",
        "isDefault",
        "owner-id",
        "state",
    ];
    const IDS: &'static str = "VpcId";
    const SET: &'static str = "vpcSet";

    described::identity!();

    fn attribute(&self, filter: &str, _: &Ec2) -> Vec<String> {
        match filter {
            "vpc-id" => vec![self.id.clone()],
            "cidr" => self.cidrs.first().map(ToString::to_string).into_iter().collect(),
            "cidr-block-association.cidr-block" => self.cidrs.iter().map(ToString::to_string).collect(),
            "cidr-block-association.state" => vec!["associated".into()],
            "ipv6-cidr-block-association.association-id" => self.ipv6.iter().map(|block| block.id.clone()).collect(),
            "ipv6-cidr-block-association.ipv6-cidr-block" => self.ipv6.iter().map(|block| block.cidr.to_string()).collect(),
            "ipv6-cidr-block-association.state" => self.ipv6.iter().map(|_| "associated".into()).collect(),
            "is-default" | "isDefault" => vec![self.default.to_string()],
            "owner-id" => vec![self.owner.clone()],
            _ => vec!["available".into()],
        }
    }

    fn record(&self, _: &Ec2, _: &Filters) -> Record {
        let associations = self.cidrs.iter().enumerate().map(|(index, cidr)| {
            Record::new()
                .with(
                    "associationId",
                    format!("vpc-cidr-assoc-{index:08x}{}", self.id.trim_start_matches("vpc-0").get(..9).unwrap_or_default()),
                )
                .with("cidrBlock", cidr.to_string())
                .with("cidrBlockState", Record::new().with("state", "associated"))
        });
        Record::new()
            .with("vpcId", &self.id)
            .with("ownerId", &self.owner)
            .with("state", "available")
            .with("cidrBlock", self.cidrs.first().map(ToString::to_string).unwrap_or_default())
            .list("cidrBlockAssociationSet", associations)
            .list("ipv6CidrBlockAssociationSet", self.ipv6.iter().map(|block| block.record(true)))
            .with("dhcpOptionsId", "default")
            .with("instanceTenancy", "default")
            .with("isDefault", self.default)
            .with("tagSet", tag::lower(&self.tags))
    }

    fn not_found(id: &str) -> ApiError {
        not_found(id)
    }
}

/// The error for a VPC that does not exist.
pub fn not_found(id: &str) -> ApiError {
    ApiError::new("InvalidVpcID.NotFound", format!("The vpc ID '{id}' does not exist"))
}

/// DescribeVpcs.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    described::run(input, &state.ec2, state.ec2.vpcs.values())
}

/// CreateVpc, with the default security group that every VPC has.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let block = required(input, "CidrBlock")?;
    let tags = tagging::specification(input, "vpc")?;
    let amazon = input.flag("AmazonProvidedIpv6CidrBlock")?.unwrap_or(false);
    let tenancy = input.text("InstanceTenancy").unwrap_or("default").to_string();
    finish(input)?;
    if tenancy != "default" {
        return Err(ApiError::parameter_value(format!(
            "Value ({tenancy}) for parameter instanceTenancy is invalid. This cloud serves the tenancy 'default' only."
        )));
    }
    let cidr: IpNet = block.parse().map_err(|_| {
        ApiError::parameter_value(format!("Value ({block}) for parameter cidrBlock is invalid. This is not a valid CIDR block."))
    })?;
    if !(16..=28).contains(&cidr.prefix_len()) {
        return Err(ApiError::new("InvalidVpc.Range", format!("The CIDR '{block}' is invalid.")));
    }
    let (id, group) = (state.ids.ec2("vpc"), state.ids.ec2("sg"));
    let owner = state.config.account.clone();
    let rule = state.ids.ec2("sgr");
    let ipv6 = amazon.then(|| ipv6::amazons(state));
    let vpc = Vpc { id: id.clone(), owner: owner.clone(), cidrs: vec![cidr.trunc()], ipv6, default: false, tags };
    let group = SecurityGroup::default_of(group, &id, &owner, [state.ids.ec2("sgr"), rule]);
    let record = vpc.record(&state.ec2, &Filters::default());
    state.ec2.security_groups.insert(group.id.clone(), group);
    state.ec2.reach.all = true;
    state.ec2.vpcs.insert(id, vpc);
    Ok(Record::new().with("vpc", Output::from(record)))
}

/// DeleteVpc: refused while it holds subnets or security groups other than the default one.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "VpcId")?;
    finish(input)?;
    let ec2 = &mut state.ec2;
    if !ec2.vpcs.contains_key(id) {
        return Err(not_found(id));
    }
    let busy = ec2.subnets.values().any(|subnet| subnet.vpc == id)
        || ec2.security_groups.values().any(|group| group.vpc == id && group.name != "default")
        || ec2.internet_gateways.values().any(|gateway| gateway.vpc == id)
        || state.elb.target_groups.values().any(|group| group.vpc.as_deref() == Some(id));
    if busy {
        return Err(ApiError::new("DependencyViolation", format!("The vpc '{id}' has dependencies and cannot be deleted.")));
    }
    ec2.reach.all = true;
    ec2.vpcs.remove(id);
    ec2.security_groups.retain(|_, group| group.vpc != id);
    ec2.route_tables.retain(|_, table| table.vpc != id);
    Ok(success())
}
