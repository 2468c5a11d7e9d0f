//! What this cloud has none of, and clients ask for: peering connections, Outposts' address pools; and what an account is like.

use super::filter::Filters;
use super::{finish, required, vpc};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag;
use crate::wire::{Input, Record};

/// Answers with an empty list: ids that are asked for do not exist.
fn none(input: &Input, ids: &str, filters: &[&str], set: &'static str, code: &'static str) -> Answer<Record> {
    Filters::read(input, filters)?;
    let ids = input.strings(ids);
    let small = input.parse::<usize>("MaxResults")?.is_some_and(|size| size < 5);
    let token = input.text("NextToken").filter(|token| !token.is_empty()).map(str::to_string);
    finish(input)?;
    if let Some(id) = ids.first() {
        return Err(ApiError::new(code, format!("The ID '{id}' does not exist")));
    }
    if small {
        return Err(ApiError::parameter_value("Value for parameter maxResults is invalid. Expecting a value greater than 5."));
    }
    if token.is_some() {
        return Err(ApiError::new("InvalidNextToken", "The NextToken is not valid"));
    }
    Ok(Record::new().list(set, Vec::<Record>::new()))
}

/// DescribeVpcPeeringConnections.
pub fn peering_connections(_: &mut State, input: &Input) -> Answer<Record> {
    let filters = [
        "accepter-vpc-info.cidr-block",
        "accepter-vpc-info.owner-id",
        "accepter-vpc-info.vpc-id",
        "expiration-time",
        "requester-vpc-info.cidr-block",
        "requester-vpc-info.owner-id",
        "requester-vpc-info.vpc-id",
        "status-code",
        "status-message",
        "vpc-peering-connection-id",
    ];
    none(input, "VpcPeeringConnectionId", &filters, "vpcPeeringConnectionSet", "InvalidVpcPeeringConnectionID.NotFound")
}

/// DescribeCoipPools.
pub fn coip_pools(_: &mut State, input: &Input) -> Answer<Record> {
    none(input, "PoolId", &["coip-pool.local-gateway-route-table-id", "coip-pool.pool-id"], "coipPoolSet", "InvalidPoolID.NotFound")
}

/// GetCoipPoolUsage: there is no pool.
pub fn coip_pool_usage(_: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "PoolId")?.to_string();
    Filters::read(
        input,
        &[
            "coip-address-usage.allocation-id",
            "coip-address-usage.aws-account-id",
            "coip-address-usage.aws-service",
            "coip-address-usage.co-ip",
        ],
    )?;
    input.parse::<usize>("MaxResults")?;
    let token = input.text("NextToken").is_some_and(|token| !token.is_empty());
    finish(input)?;
    if token {
        return Err(ApiError::new("InvalidNextToken", "The NextToken is not valid"));
    }
    Err(ApiError::new("InvalidPoolID.NotFound", format!("The pool ID '{id}' does not exist")))
}

/// DescribeAccountAttributes.
pub fn account_attributes(state: &mut State, input: &Input) -> Answer<Record> {
    let names = input.strings("AttributeName");
    finish(input)?;
    let addresses = state.config.quotas.elastic_ip_addresses.to_string();
    let default = state.ec2.vpcs.values().find(|vpc| vpc.default).map_or("none", |vpc| vpc.id.as_str()).to_string();
    // AWS: the defaults of a new account; security groups of EC2-Classic are no more.
    let all = [
        ("supported-platforms", "VPC".to_string()),
        ("default-vpc", default),
        ("max-instances", "20".into()),
        ("vpc-max-security-groups-per-interface", state.config.quotas.security_groups_per_interface.to_string()),
        ("max-elastic-ips", addresses.clone()),
        ("vpc-max-elastic-ips", addresses),
    ];
    if let Some(wrong) = names.iter().find(|name| !all.iter().any(|(known, _)| known == name)) {
        return Err(ApiError::parameter_value(format!("Value ({wrong}) for parameter attributeName is invalid")));
    }
    let chosen = all.into_iter().filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name));
    let records = chosen.map(|(name, value)| {
        Record::new().with("attributeName", name).list("attributeValueSet", [Record::new().with("attributeValue", value)])
    });
    Ok(Record::new().list("accountAttributeSet", records))
}

/// GetSecurityGroupsForVpc: its own; none is shared.
pub fn groups_for_vpc(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "VpcId")?.to_string();
    let filters = Filters::read(input, &["group-id", "description", "group-name", "owner-id", "primary-vpc-id"])?;
    let size: usize = input.parse("MaxResults")?.unwrap_or(1000);
    let token = input.text("NextToken").map(str::to_string);
    finish(input)?;
    if !state.ec2.vpcs.contains_key(&id) {
        return Err(vpc::not_found(&id));
    }
    let groups = state.ec2.security_groups.values().filter(|group| group.vpc == id);
    let chosen = groups.filter(|group| {
        filters.accept(&group.tags, |filter| {
            vec![match filter {
                "group-id" => group.id.clone(),
                "description" => group.description.clone(),
                "group-name" => group.name.clone(),
                "owner-id" => group.owner.clone(),
                _ => group.vpc.clone(),
            }]
        })
    });
    let (shown, next) = crate::page::page(chosen.collect(), |group| group.id.clone(), token.as_deref(), size.clamp(1, 1000))
        .map_err(|_| ApiError::new("InvalidNextToken", "The NextToken is not valid"))?;
    let records = shown.into_iter().map(|group| {
        Record::new()
            .with("description", &group.description)
            .with("groupName", &group.name)
            .with("ownerId", &group.owner)
            .with("groupId", &group.id)
            .with("tagSet", tag::lower(&group.tags))
            .with("primaryVpcId", &group.vpc)
    });
    Ok(Record::new().list("securityGroupForVpcSet", records).maybe("nextToken", next))
}
