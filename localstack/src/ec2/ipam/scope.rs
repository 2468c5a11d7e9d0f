//! Scopes: an IPAM has a public and a private one. (CreateIpamScope makes more private ones, which load balancers have no use for.)

use serde::{Deserialize, Serialize};

use super::super::describe::Resource;
use super::super::filter::Filters;
use super::super::{Ec2, describe as described};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Record};

/// A scope: the address space of one network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IpamScope {
    /// Its id.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Its account.
    pub owner: String,
    /// The region of its IPAM.
    pub region: String,
    /// Its IPAM.
    pub ipam: String,
    /// Whether it is for public addresses.
    pub public: bool,
    /// Its tags.
    pub tags: Tags,
}

impl IpamScope {
    /// `public` or `private`.
    pub fn kind(&self) -> &'static str {
        if self.public { "public" } else { "private" }
    }

    /// The ARN of its IPAM.
    pub fn ipam_arn(&self, ec2: &Ec2) -> Option<String> {
        ec2.ipams.get(&self.ipam).map(|ipam| ipam.arn.clone())
    }
}

impl Resource for IpamScope {
    const FILTERS: &'static [&'static str] =
        &["ipam-arn", "ipam-region", "ipam-scope-arn", "ipam-scope-id", "ipam-scope-type", "is-default", "owner-id", "state"];
    const IDS: &'static str = "IpamScopeId";
    const SET: &'static str = "ipamScopeSet";

    described::identity!();

    fn attribute(&self, filter: &str, ec2: &Ec2) -> Vec<String> {
        vec![match filter {
            "ipam-arn" => return self.ipam_arn(ec2).into_iter().collect(),
            "ipam-region" => self.region.clone(),
            "ipam-scope-arn" => self.arn.clone(),
            "ipam-scope-id" => self.id.clone(),
            "ipam-scope-type" => self.kind().into(),
            "is-default" => "true".into(),
            "owner-id" => self.owner.clone(),
            _ => "create-complete".into(),
        }]
    }

    fn record(&self, ec2: &Ec2, _: &Filters) -> Record {
        let pools = ec2.ipam_pools.values().filter(|pool| pool.scope == self.id).count();
        Record::new()
            .with("ownerId", &self.owner)
            .with("ipamScopeId", &self.id)
            .with("ipamScopeArn", &self.arn)
            .maybe("ipamArn", self.ipam_arn(ec2))
            .with("ipamRegion", &self.region)
            .with("ipamScopeType", self.kind())
            .with("isDefault", true)
            .with("poolCount", i64::try_from(pools).unwrap_or_default())
            .with("state", "create-complete")
            .with("tagSet", tag::lower(&self.tags))
    }

    fn not_found(id: &str) -> ApiError {
        ApiError::new("InvalidIpamScopeId.NotFound", format!("The ipam-scope ID '{id}' does not exist"))
    }
}

/// DescribeIpamScopes.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    described::run(input, &state.ec2, state.ec2.ipam_scopes.values())
}
