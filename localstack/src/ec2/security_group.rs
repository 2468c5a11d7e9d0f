//! Security groups.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::describe::Resource;
use super::filter::Filters;
use super::permission::{Described, Peer, Permission, description_is_valid, records};
use super::security_group_rule::SecurityGroupRule;
use super::{Ec2, describe as described, finish, required, success, tagging, vpc};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Record};

/// A security group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Its id.
    pub id: String,
    /// Its account.
    pub owner: String,
    /// Its VPC.
    pub vpc: String,
    /// Its name, unique in its VPC.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its rules by id.
    pub rules: BTreeMap<String, SecurityGroupRule>,
    /// Its tags.
    pub tags: Tags,
}

impl SecurityGroup {
    /// A group without rules.
    pub fn new(id: String, vpc: &str, owner: &str, name: &str, description: &str, tags: Tags) -> Self {
        Self { id, owner: owner.into(), vpc: vpc.into(), name: name.into(), description: description.into(), rules: BTreeMap::new(), tags }
    }

    /// The default group of a VPC: lets its own members in and everything out. Takes the ids of its two rules.
    pub fn default_of(id: String, vpc: &str, owner: &str, rules: [String; 2]) -> Self {
        let mut group = Self::new(id.clone(), vpc, owner, "default", "default VPC security group", Tags::new());
        let [ingress, egress] = rules;
        group.add(ingress, Permission::all(false, Peer::Group(id)), None, Tags::new());
        group.add(egress, Permission::all(true, anywhere()), None, Tags::new());
        group
    }

    /// Adds a rule.
    pub fn add(&mut self, id: String, permission: Permission, description: Option<String>, tags: Tags) {
        let rule = SecurityGroupRule { id: id.clone(), group: self.id.clone(), owner: self.owner.clone(), permission, description, tags };
        self.rules.insert(id, rule);
    }

    /// What it allows in one direction.
    pub fn permissions(&self, egress: bool) -> impl Iterator<Item = &Permission> {
        self.rules.values().map(|rule| &rule.permission).filter(move |permission| permission.egress == egress)
    }

    fn described(&self, egress: bool) -> Vec<Described> {
        self.rules
            .values()
            .filter(|rule| rule.permission.egress == egress)
            .map(|rule| (rule.permission.clone(), rule.description.clone()))
            .collect()
    }
}

/// `0.0.0.0/0`.
pub fn anywhere() -> Peer {
    Peer::Cidr(IpNet::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0).unwrap_or_else(|_| IpNet::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))))
}

impl Resource for SecurityGroup {
    const FILTERS: &'static [&'static str] = &[
        "group-id",
        "group-name",
        "description",
        "vpc-id",
        "owner-id",
        "ip-permission.cidr",
        "ip-permission.from-port",
        "ip-permission.to-port",
        "ip-permission.protocol",
        "ip-permission.group-id",
        "egress.ip-permission.cidr",
        "egress.ip-permission.group-id",
    ];
    const IDS: &'static str = "GroupId";
    const SET: &'static str = "securityGroupInfo";

    described::identity!();

    fn attribute(&self, filter: &str, _: &Ec2) -> Vec<String> {
        let (egress, field) = match filter.strip_prefix("egress.") {
            Some(field) => (true, field),
            None => (false, filter),
        };
        let rules = || self.permissions(egress);
        match field {
            "group-id" => vec![self.id.clone()],
            "group-name" => vec![self.name.clone()],
            "description" => vec![self.description.clone()],
            "vpc-id" => vec![self.vpc.clone()],
            "owner-id" => vec![self.owner.clone()],
            "ip-permission.from-port" => rules().filter_map(|p| p.ports).map(|(from, _)| from.to_string()).collect(),
            "ip-permission.to-port" => rules().filter_map(|p| p.ports).map(|(_, to)| to.to_string()).collect(),
            "ip-permission.protocol" => rules().map(|p| p.protocol.clone()).collect(),
            "ip-permission.group-id" => rules().filter(|p| matches!(p.peer, Peer::Group(_))).map(|p| p.peer.to_string()).collect(),
            _ => rules().filter(|p| matches!(p.peer, Peer::Cidr(_))).map(|p| p.peer.to_string()).collect(),
        }
    }

    fn record(&self, _: &Ec2, _: &Filters) -> Record {
        Record::new()
            .with("groupId", &self.id)
            .with("groupName", &self.name)
            .with("groupDescription", &self.description)
            .with("ownerId", &self.owner)
            .with("vpcId", &self.vpc)
            .list("ipPermissions", records(&self.described(false), &self.owner))
            .list("ipPermissionsEgress", records(&self.described(true), &self.owner))
            .with("tagSet", tag::lower(&self.tags))
    }

    fn not_found(id: &str) -> ApiError {
        not_found(id)
    }
}

/// The error for a group that does not exist.
pub fn not_found(id: &str) -> ApiError {
    if id.starts_with("sg-") {
        ApiError::new("InvalidGroup.NotFound", format!("The security group '{id}' does not exist"))
    } else {
        ApiError::new("InvalidGroupId.Malformed", format!("Invalid id: \"{id}\" (expecting \"sg-...\")"))
    }
}

/// DescribeSecurityGroups.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let names = input.strings("GroupName");
    for name in &names {
        if !state.ec2.security_groups.values().any(|group| group.name == *name) {
            return Err(ApiError::new("InvalidGroup.NotFound", format!("The security group '{name}' does not exist")));
        }
    }
    let groups = state.ec2.security_groups.values().filter(|group| names.is_empty() || names.contains(&group.name));
    described::run(input, &state.ec2, groups)
}

/// CreateSecurityGroup: the new group lets nothing in and everything out.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let (name, description) = (required(input, "GroupName")?, required(input, "GroupDescription")?);
    let vpc_id = input.text("VpcId").map(str::to_string);
    let tags = tagging::specification(input, "security-group")?;
    finish(input)?;
    let vpc_id = match vpc_id.or_else(|| state.ec2.vpcs.values().find(|vpc| vpc.default).map(|vpc| vpc.id.clone())) {
        Some(id) if state.ec2.vpcs.contains_key(&id) => id,
        Some(id) => return Err(vpc::not_found(&id)),
        None => return Err(ApiError::new("VPCIdNotSpecified", "No default VPC for this user")),
    };
    for (what, text) in [("groupName", name), ("groupDescription", description)] {
        if !description_is_valid(text) {
            return Err(ApiError::parameter_value(format!(
                "Value ({text}) for parameter {what} is invalid. Character sets beyond ASCII are not supported, or it is longer than 255 characters."
            )));
        }
    }
    if name.starts_with("sg-") {
        return Err(ApiError::parameter_value(format!(
            "Value ({name}) for parameter groupName is invalid. Group names may not be in the format sg-*."
        )));
    }
    if name == "default" {
        return Err(ApiError::new("InvalidParameterValue", "Cannot use reserved security group name: default"));
    }
    if state.ec2.security_groups.values().any(|group| group.vpc == vpc_id && group.name == name) {
        return Err(ApiError::new("InvalidGroup.Duplicate", format!("The security group '{name}' already exists for VPC '{vpc_id}'")));
    }
    if state.ec2.security_groups.len() >= state.config.quotas.security_groups {
        return Err(ApiError::new("SecurityGroupLimitExceeded", "The maximum number of security groups has been reached."));
    }
    let (id, rule) = (state.ids.ec2("sg"), state.ids.ec2("sgr"));
    let mut group = SecurityGroup::new(id.clone(), &vpc_id, &state.config.account, name, description, tags.clone());
    group.add(rule, Permission::all(true, anywhere()), None, Tags::new());
    state.ec2.security_groups.insert(id.clone(), group);
    Ok(Record::new().with("groupId", id).with("tagSet", tag::lower(&tags)))
}

/// DeleteSecurityGroup: refused while an interface or a rule of another group refers to it.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let (id, name) = (input.text("GroupId"), input.text("GroupName"));
    finish(input)?;
    let id = match (id, name) {
        (Some(id), _) => id.to_string(),
        (None, Some(name)) => {
            return Err(ApiError::new(
                "InvalidGroup.NotFound",
                format!("The security group '{name}' does not exist in default VPC 'null'"),
            ));
        }
        (None, None) => return Err(ApiError::new("MissingParameter", "The request must contain the parameter GroupName or GroupId")),
    };
    let ec2 = &mut state.ec2;
    let group = ec2.security_groups.get(&id).ok_or_else(|| not_found(&id))?;
    if group.name == "default" {
        return Err(ApiError::new("CannotDelete", format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user")));
    }
    let held = ec2.network_interfaces.values().any(|interface| interface.groups.contains(&id));
    let named = ec2
        .security_groups
        .values()
        .filter(|other| other.id != id)
        .flat_map(|other| other.rules.values())
        .any(|rule| rule.permission.peer == Peer::Group(id.clone()));
    if held || named {
        return Err(ApiError::new("DependencyViolation", format!("resource {id} has a dependent object")));
    }
    ec2.security_groups.remove(&id);
    Ok(success().with("groupId", id))
}
