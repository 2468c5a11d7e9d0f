//! IPv6 blocks of VPCs and subnets: one each, Amazon's own. Load balancers of the type `dualstack` need them; nothing listens at their addresses.

use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::{finish, required, subnet, vpc};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

/// AWS: length of the prefix that Amazon gives a VPC.
const VPC_PREFIX: u8 = 56;
/// The length of subnets' prefixes. (AWS has others, too, in steps of four.)
const SUBNET_PREFIX: u8 = 64;

/// A block that belongs to a VPC or a subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Block {
    /// The association's id.
    pub id: String,
    /// The addresses.
    pub cidr: IpNet,
}

impl Ipv6Block {
    /// The association as answers show it; of a VPC with the pool that it is from.
    pub fn record(&self, of_vpc: bool) -> Record {
        let record = Record::new()
            .with("associationId", &self.id)
            .with("ipv6CidrBlock", self.cidr.to_string())
            .with("ipv6CidrBlockState", Record::new().with("state", "associated"));
        if of_vpc { record.with("ipv6Pool", "Amazon") } else { record }
    }
}

/// A block of Amazon's for a VPC.
pub fn amazons(state: &mut State) -> Ipv6Block {
    let number = u128::from_str_radix(&state.ids.hex(6), 16).unwrap_or_default();
    // 2600:1f00::/24 is Amazon's.
    let network = (0x2600_1f00_u128 << 96) | (number << 72);
    let cidr = Ipv6Net::new(network.into(), VPC_PREFIX).unwrap_or_default().trunc();
    Ipv6Block { id: format!("vpc-cidr-assoc-0{}", state.ids.hex(16)), cidr: cidr.into() }
}

/// A block for a subnet of a VPC, if it can have it.
pub fn for_subnet(state: &mut State, vpc_id: &str, text: &str) -> Answer<Ipv6Block> {
    let id = format!("subnet-cidr-assoc-0{}", state.ids.hex(16));
    let vpc = state.ec2.vpcs.get(vpc_id).ok_or_else(|| vpc::not_found(vpc_id))?;
    let range = || ApiError::new("InvalidSubnet.Range", format!("The IPv6 CIDR '{text}' is invalid."));
    let cidr: IpNet = text.parse::<Ipv6Net>().map_err(|_| range())?.trunc().into();
    if cidr.prefix_len() != SUBNET_PREFIX || !vpc.ipv6.as_ref().is_some_and(|block| block.cidr.contains(&cidr)) {
        return Err(range());
    }
    if state.ec2.subnets.values().any(|other| other.ipv6.as_ref().is_some_and(|block| block.cidr == cidr)) {
        return Err(ApiError::new("InvalidSubnet.Conflict", format!("The IPv6 CIDR '{text}' conflicts with another subnet")));
    }
    Ok(Ipv6Block { id, cidr })
}

fn limit(id: &str) -> ApiError {
    ApiError::new("CidrLimitExceeded", format!("This network '{id}' has met its maximum number of allowed CIDRs: 1"))
}

/// AssociateVpcCidrBlock: Amazon's IPv6 blocks only.
pub fn associate_vpc(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "VpcId")?.to_string();
    let amazon = input.flag("AmazonProvidedIpv6CidrBlock")?.unwrap_or(false);
    finish(input)?;
    let vpc = state.ec2.vpcs.get(&id).ok_or_else(|| vpc::not_found(&id))?;
    if !amazon {
        return Err(ApiError::new("MissingParameter", "The request must contain the parameter AmazonProvidedIpv6CidrBlock"));
    }
    if vpc.ipv6.is_some() {
        return Err(limit(&id));
    }
    let block = amazons(state);
    let record = block.record(true);
    if let Some(vpc) = state.ec2.vpcs.get_mut(&id) {
        vpc.ipv6 = Some(block);
    }
    Ok(Record::new().with("vpcId", &id).with("ipv6CidrBlockAssociation", record))
}

/// DisassociateVpcCidrBlock: refused while a subnet has a part of it.
pub fn disassociate_vpc(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "AssociationId")?.to_string();
    finish(input)?;
    let found = state.ec2.vpcs.values().find(|vpc| vpc.ipv6.as_ref().is_some_and(|block| block.id == id)).map(|vpc| vpc.id.clone());
    let missing =
        || ApiError::new("InvalidVpcCidrBlockAssociationID.NotFound", format!("The vpc CIDR block association ID '{id}' does not exist"));
    let vpc_id = found.ok_or_else(missing)?;
    if state.ec2.subnets.values().any(|subnet| subnet.vpc == vpc_id && subnet.ipv6.is_some()) {
        return Err(ApiError::new("InvalidCidrBlock.InUse", format!("The vpc {vpc_id} currently has a subnet within the IPv6 CIDR block")));
    }
    let block = state.ec2.vpcs.get_mut(&vpc_id).and_then(|vpc| vpc.ipv6.take());
    Ok(Record::new().with("vpcId", &vpc_id).maybe("ipv6CidrBlockAssociation", block.map(|block| block.record(true))))
}

/// AssociateSubnetCidrBlock.
pub fn associate_subnet(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "SubnetId")?.to_string();
    let text = required(input, "Ipv6CidrBlock")?.to_string();
    finish(input)?;
    let subnet = state.ec2.subnets.get(&id).ok_or_else(|| subnet::not_found(&id))?;
    if subnet.ipv6.is_some() {
        return Err(limit(&id));
    }
    let vpc_id = subnet.vpc.clone();
    let block = for_subnet(state, &vpc_id, &text)?;
    let record = block.record(false);
    if let Some(subnet) = state.ec2.subnets.get_mut(&id) {
        subnet.ipv6 = Some(block);
    }
    Ok(Record::new().with("subnetId", &id).with("ipv6CidrBlockAssociation", record))
}

/// DisassociateSubnetCidrBlock: refused while a load balancer has addresses of it.
pub fn disassociate_subnet(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "AssociationId")?.to_string();
    finish(input)?;
    let found =
        state.ec2.subnets.values().find(|subnet| subnet.ipv6.as_ref().is_some_and(|block| block.id == id)).map(|one| one.id.clone());
    let missing = || {
        ApiError::new("InvalidSubnetCidrBlockAssociationID.NotFound", format!("The subnet CIDR block association ID '{id}' does not exist"))
    };
    let subnet_id = found.ok_or_else(missing)?;
    if state.elb.load_balancers.values().any(|balancer| balancer.ip_address_type != "ipv4" && balancer.subnets.contains(&subnet_id)) {
        return Err(ApiError::new(
            "InvalidCidrBlock.InUse",
            format!("The IPv6 CIDR block of subnet '{subnet_id}' is in use by a load balancer"),
        ));
    }
    let block = state.ec2.subnets.get_mut(&subnet_id).and_then(|subnet| subnet.ipv6.take());
    Ok(Record::new().with("subnetId", &subnet_id).maybe("ipv6CidrBlockAssociation", block.map(|block| block.record(false))))
}
