//! Rules of security groups: authorize, revoke, describe.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::describe::Resource;
use super::filter::Filters;
use super::permission::{self, Described, Peer, Permission};
use super::{Ec2, describe as described, finish, prefix_list, required, security_group, success, tagging};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Record};

/// A rule of a security group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecurityGroupRule {
    /// Its id.
    pub id: String,
    /// Its group.
    pub group: String,
    /// Its account.
    pub owner: String,
    /// What it allows.
    pub permission: Permission,
    /// Its description.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

impl SecurityGroupRule {
    /// The members that describing and revoking a rule have in common.
    fn common(&self) -> Record {
        let permission = &self.permission;
        let cidr = |v4: bool| match &permission.peer {
            Peer::Cidr(cidr) if matches!(cidr, IpNet::V4(_)) == v4 => Some(cidr.to_string()),
            _ => None,
        };
        let list = match &permission.peer {
            Peer::PrefixList(id) => Some(id),
            _ => None,
        };
        Record::new()
            .with("securityGroupRuleId", &self.id)
            .with("groupId", &self.group)
            .with("isEgress", permission.egress)
            .with("ipProtocol", &permission.protocol)
            .with("fromPort", permission.ports.map_or(-1, |(from, _)| from))
            .with("toPort", permission.ports.map_or(-1, |(_, to)| to))
            .maybe("cidrIpv4", cidr(true))
            .maybe("cidrIpv6", cidr(false))
            .maybe("prefixListId", list)
            .maybe("description", self.description.as_ref())
    }

    fn group_peer(&self) -> Option<&String> {
        match &self.permission.peer {
            Peer::Group(id) => Some(id),
            _ => None,
        }
    }
}

impl Resource for SecurityGroupRule {
    const FILTERS: &'static [&'static str] = &["group-id", "security-group-rule-id"];
    const IDS: &'static str = "SecurityGroupRuleId";
    const SET: &'static str = "securityGroupRuleSet";

    described::identity!();

    fn attribute(&self, filter: &str, _: &Ec2) -> Vec<String> {
        vec![if filter == "group-id" { self.group.clone() } else { self.id.clone() }]
    }

    fn record(&self, ec2: &Ec2, _: &Filters) -> Record {
        let referenced = self.group_peer().map(|id| {
            let vpc = ec2.security_groups.get(id).map(|group| &group.vpc);
            Record::new().with("groupId", id).with("userId", &self.owner).maybe("vpcId", vpc)
        });
        self.common().with("groupOwnerId", &self.owner).maybe("referencedGroupInfo", referenced).with("tagSet", tag::lower(&self.tags))
    }

    fn not_found(id: &str) -> ApiError {
        ApiError::new("InvalidSecurityGroupRuleId.NotFound", format!("The security group rule ID '{id}' does not exist"))
    }
}

/// DescribeSecurityGroupRules.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let mut rules: Vec<&SecurityGroupRule> = state.ec2.security_groups.values().flat_map(|group| group.rules.values()).collect();
    rules.sort_by(|a, b| a.id.cmp(&b.id));
    described::run(input, &state.ec2, rules.into_iter())
}

/// AuthorizeSecurityGroupIngress.
pub fn authorize_ingress(state: &mut State, input: &Input) -> Answer<Record> {
    authorize(state, input, false)
}

/// AuthorizeSecurityGroupEgress.
pub fn authorize_egress(state: &mut State, input: &Input) -> Answer<Record> {
    authorize(state, input, true)
}

/// RevokeSecurityGroupIngress.
pub fn revoke_ingress(state: &mut State, input: &Input) -> Answer<Record> {
    revoke(state, input, false)
}

/// RevokeSecurityGroupEgress.
pub fn revoke_egress(state: &mut State, input: &Input) -> Answer<Record> {
    revoke(state, input, true)
}

/// Adds all rules or none.
fn authorize(state: &mut State, input: &Input, egress: bool) -> Answer<Record> {
    let id = required(input, "GroupId")?.to_string();
    let permissions = permission::read(input, egress)?;
    let tags = tagging::specification(input, "security-group-rule")?;
    finish(input)?;
    if permissions.is_empty() {
        return Err(ApiError::new("MissingParameter", "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided."));
    }
    let ec2 = &state.ec2;
    let group = ec2.security_groups.get(&id).ok_or_else(|| security_group::not_found(&id))?;
    for (at, (permission, _)) in permissions.iter().enumerate() {
        if permissions.iter().take(at).any(|(earlier, _)| earlier == permission) {
            return Err(ApiError::parameter_value("The same permission must not appear multiple times"));
        }
        if group.permissions(egress).any(|existing| existing == permission) {
            return Err(ApiError::new("InvalidPermission.Duplicate", format!("the specified rule \"{permission}\" already exists")));
        }
        if let Peer::Group(peer) = &permission.peer {
            let other = ec2.security_groups.get(peer).ok_or_else(|| security_group::not_found(peer))?;
            if other.vpc != group.vpc {
                return Err(ApiError::new(
                    "InvalidGroup.NotFound",
                    format!("You have specified two resources that belong to different networks. '{peer}'"),
                ));
            }
        }
    }
    let lists = permissions.iter().filter_map(|(permission, _)| match &permission.peer {
        Peer::PrefixList(list) => Some(list),
        _ => None,
    });
    if let Some(missing) = lists.into_iter().find(|list| !ec2.prefix_lists.contains_key(*list)) {
        return Err(prefix_list::not_found(missing));
    }
    // AWS: a prefix list counts as many rules as it can have entries.
    let weight = |permission: &Permission| match &permission.peer {
        Peer::PrefixList(list) => ec2.prefix_lists.get(list).map_or(1, |list| list.max_entries),
        _ => 1,
    };
    // AWS: the quota holds for IPv4 and for IPv6; what names a group or a prefix list counts for both.
    let of_family = |ipv6: bool| {
        let all = group.permissions(egress).chain(permissions.iter().map(|(permission, _)| permission));
        all.filter(|permission| !matches!(&permission.peer, Peer::Cidr(cidr) if matches!(cidr, IpNet::V6(_)) != ipv6))
            .map(weight)
            .sum::<usize>()
    };
    if of_family(false).max(of_family(true)) > state.config.quotas.rules_per_security_group {
        return Err(ApiError::new(
            "RulesPerSecurityGroupLimitExceeded",
            "The maximum number of rules per security group has been reached.",
        ));
    }
    state.ec2.rules_changed(&id, permissions.iter().map(|(permission, _)| &permission.peer));
    let mut added = Vec::new();
    for (permission, description) in permissions {
        let rule = state.ids.ec2("sgr");
        if let Some(group) = state.ec2.security_groups.get_mut(&id) {
            group.add(rule.clone(), permission, description, tags.clone());
        }
        added.push(rule);
    }
    let rules = state.ec2.security_groups.get(&id).map(|group| &group.rules);
    let records = added.iter().filter_map(|rule| rules?.get(rule)).map(|rule| rule.record(&state.ec2, &Filters::default()));
    Ok(success().list("securityGroupRuleSet", records))
}

/// Removes all rules that are named, by id or by content, or none.
fn revoke(state: &mut State, input: &Input, egress: bool) -> Answer<Record> {
    let id = required(input, "GroupId")?.to_string();
    let permissions: Vec<Described> = permission::read(input, egress)?;
    let ids = input.strings("SecurityGroupRuleId");
    finish(input)?;
    if permissions.is_empty() && ids.is_empty() {
        return Err(ApiError::new("MissingParameter", "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided."));
    }
    let group = state.ec2.security_groups.get_mut(&id).ok_or_else(|| security_group::not_found(&id))?;
    let mut doomed = Vec::new();
    for rule in ids {
        match group.rules.get(&rule).filter(|found| found.permission.egress == egress) {
            Some(_) => doomed.push(rule),
            None => return Err(SecurityGroupRule::not_found(&rule)),
        }
    }
    for (permission, _) in permissions {
        match group.rules.values().find(|rule| rule.permission == permission) {
            Some(rule) => doomed.push(rule.id.clone()),
            None => {
                return Err(ApiError::new("InvalidPermission.NotFound", "The specified rule does not exist in this security group."));
            }
        }
    }
    let removed: Vec<SecurityGroupRule> = doomed.iter().filter_map(|rule| group.rules.remove(rule)).collect();
    state.ec2.rules_changed(&id, removed.iter().map(|rule| &rule.permission.peer));
    let records = removed.iter().map(|rule| rule.common().maybe("referencedGroupId", rule.group_peer()));
    Ok(success().list("revokedSecurityGroupRuleSet", records))
}
