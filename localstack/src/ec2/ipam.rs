//! IPAM, as far as load balancers take public addresses from it: the manager itself; its scopes, pools and their CIDRs are below.

use serde::{Deserialize, Serialize};

use super::describe::Resource;
use super::filter::Filters;
use super::{Ec2, describe as described, finish, required, tagging};
use crate::error::{Answer, ApiError};
use crate::id::Ids;
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Record};

pub mod cidr;
pub mod pool;
pub mod request;
pub mod rule;
pub mod scope;
pub mod space;

use pool::IpamPool;
use request::{optional, token};
use scope::IpamScope;

/// AWS: operating regions of an IPAM.
const REGIONS: usize = 50;

/// An IP address manager.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ipam {
    /// Its id.
    pub id: String,
    /// Its ARN, which names no region.
    pub arn: String,
    /// Its account.
    pub owner: String,
    /// Its region.
    pub region: String,
    /// Its public scope.
    pub public_scope: String,
    /// Its private scope.
    pub private_scope: String,
    /// Its description.
    pub description: Option<String>,
    /// Where it manages addresses: its own region, and others.
    pub regions: Vec<String>,
    /// `free` or `advanced`.
    pub tier: String,
    /// Whether its private scopes take global unicast addresses.
    pub private_gua: bool,
    /// Who pays: `ipam-owner` or `resource-owner`.
    pub metered_account: String,
    /// The token of the call that created it.
    pub client_token: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

impl Resource for Ipam {
    const FILTERS: &'static [&'static str] = &[
        "description",
        "ipam-arn",
        "ipam-id",
        "ipam-region",
        "owner-id",
        "private-default-scope-id",
        "public-default-scope-id",
        "state",
        "tier",
    ];
    const IDS: &'static str = "IpamId";
    const SET: &'static str = "ipamSet";

    described::identity!();

    fn attribute(&self, filter: &str, _: &Ec2) -> Vec<String> {
        vec![match filter {
            "description" => return self.description.iter().cloned().collect(),
            "ipam-arn" => self.arn.clone(),
            "ipam-id" => self.id.clone(),
            "ipam-region" => self.region.clone(),
            "owner-id" => self.owner.clone(),
            "private-default-scope-id" => self.private_scope.clone(),
            "public-default-scope-id" => self.public_scope.clone(),
            "state" => "create-complete".into(),
            _ => self.tier.clone(),
        }]
    }

    fn record(&self, ec2: &Ec2, _: &Filters) -> Record {
        self.in_state(ec2, "create-complete")
    }

    fn not_found(id: &str) -> ApiError {
        ApiError::new("InvalidIpamId.NotFound", format!("The ipam ID '{id}' does not exist"))
    }
}

impl Ipam {
    fn in_state(&self, ec2: &Ec2, state: &str) -> Record {
        let scopes = ec2.ipam_scopes.values().filter(|scope| scope.ipam == self.id).count();
        let digits = self.id.trim_start_matches("ipam-");
        Record::new()
            .with("ownerId", &self.owner)
            .with("ipamId", &self.id)
            .with("ipamArn", &self.arn)
            .with("ipamRegion", &self.region)
            .with("publicDefaultScopeId", &self.public_scope)
            .with("privateDefaultScopeId", &self.private_scope)
            .with("scopeCount", i64::try_from(scopes).unwrap_or_default())
            .maybe("description", self.description.as_ref())
            .list("operatingRegionSet", self.regions.iter().map(|region| Record::new().with("regionName", region)))
            .with("state", state)
            .with("tagSet", tag::lower(&self.tags))
            // The default discovery of resources comes with the IPAM; its ids follow from the IPAM's.
            .with("defaultResourceDiscoveryId", format!("ipam-res-disco-{digits}"))
            .with("defaultResourceDiscoveryAssociationId", format!("ipam-res-disco-assoc-{digits}"))
            .with("resourceDiscoveryAssociationCount", 1)
            .with("tier", &self.tier)
            .with("enablePrivateGua", self.private_gua)
            .with("meteredAccount", &self.metered_account)
    }
}

/// An ARN of IPAM's, which names no region.
fn arn(account: &str, id: &str) -> String {
    let kind = id.rsplit_once('-').map_or(id, |(kind, _)| kind);
    format!("arn:aws:ec2::{account}:{kind}/{id}")
}

/// The error for one too many of something: AWS counts it with the name of its operation's object.
pub fn limit_exceeded(what: &str, count: usize, limit: usize) -> ApiError {
    ApiError::new(
        "ResourceLimitExceeded",
        format!("You've reached the limit for {what}. You have created {count} {what} and you are limited to {limit}."),
    )
}

/// The operating regions: the home region is one of them, whether it is named or not.
fn regions(input: &Input, home: &str) -> Answer<Vec<String>> {
    let mut regions = vec![home.to_string()];
    let mut named: Vec<String> = Vec::new();
    for item in input.items("OperatingRegion") {
        let region = required(item, "RegionName")?.to_string();
        let parts: Vec<&str> = region.split('-').collect();
        let last = parts.last().copied().unwrap_or_default();
        let letters = |part: &&str| !part.is_empty() && part.chars().all(|letter| letter.is_ascii_lowercase());
        if parts.len() < 3 || !parts.iter().rev().skip(1).all(letters) || !matches!(last.as_bytes(), [b'1'..=b'9']) {
            return Err(ApiError::parameter_value(format!("Value ({region}) for parameter RegionName is invalid")));
        }
        if named.contains(&region) {
            return Err(ApiError::parameter_value(format!("The operating region {region} was specified more than once")));
        }
        named.push(region);
    }
    if named.len() > REGIONS {
        return Err(ApiError::parameter_value(format!("OperatingRegion can have at most {REGIONS} members")));
    }
    regions.extend(named.into_iter().filter(|region| region != home));
    Ok(regions)
}

/// CreateIpam, with its two default scopes.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let description = optional(input, "Description");
    let regions = regions(input, &state.config.region)?;
    let tier = request::one_of(input, "Tier", &["advanced", "free"])?.unwrap_or_else(|| "advanced".into());
    let private_gua = input.flag("EnablePrivateGua")?.unwrap_or(false);
    let metered_account =
        request::one_of(input, "MeteredAccount", &["ipam-owner", "resource-owner"])?.unwrap_or_else(|| "ipam-owner".into());
    let tags = tagging::specification(input, "ipam")?;
    let client_token = token(input)?;
    finish(input)?;
    let again = |ipam: &&Ipam| client_token.is_some() && ipam.client_token == client_token;
    if let Some(existing) = state.ec2.ipams.values().find(again) {
        return Ok(Record::new().with("ipam", existing.in_state(&state.ec2, "create-complete")));
    }
    let (count, limit) = (state.ec2.ipams.len(), state.config.quotas.ipams);
    if count >= limit {
        return Err(limit_exceeded("ipams", count, limit));
    }
    let (account, region) = (state.config.account.clone(), state.config.region.clone());
    let id = state.ids.ec2("ipam");
    let [public_scope, private_scope] =
        [true, false].map(|public| add_scope(&mut state.ec2, &mut state.ids, &account, &region, &id, public));
    let ipam = Ipam {
        arn: arn(&account, &id),
        id: id.clone(),
        owner: account,
        region,
        public_scope,
        private_scope,
        description,
        regions,
        tier,
        private_gua,
        metered_account,
        client_token,
        tags,
    };
    let record = ipam.in_state(&state.ec2, "create-in-progress");
    state.ec2.ipams.insert(id, ipam);
    Ok(Record::new().with("ipam", record))
}

fn add_scope(ec2: &mut Ec2, ids: &mut Ids, account: &str, region: &str, ipam: &str, public: bool) -> String {
    let id = ids.ec2("ipam-scope");
    let scope = IpamScope {
        id: id.clone(),
        arn: arn(account, &id),
        owner: account.into(),
        region: region.into(),
        ipam: ipam.into(),
        public,
        tags: Tags::new(),
    };
    ec2.ipam_scopes.insert(id.clone(), scope);
    id
}

/// DescribeIpams.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    described::run(input, &state.ec2, state.ec2.ipams.values())
}

/// DeleteIpam: refused while there are pools in it; with `Cascade` those of private scopes go with it.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "IpamId")?.to_string();
    let cascade = input.flag("Cascade")?.unwrap_or(false);
    finish(input)?;
    let ipam = state.ec2.ipams.get(&id).ok_or_else(|| Ipam::not_found(&id))?;
    let stays = |pool: &&IpamPool| pool.ipam == id && (!cascade || pool.public);
    if let Some(pool) = state.ec2.ipam_pools.values().find(stays) {
        return Err(ApiError::new(
            "DependencyViolation",
            format!("The specified action is not valid for {id}. There are one or more pools in the scope {}.", pool.scope),
        ));
    }
    let record = ipam.in_state(&state.ec2, "delete-in-progress");
    state.ec2.ipam_pools.retain(|_, pool| pool.ipam != id);
    state.ec2.ipam_scopes.retain(|_, scope| scope.ipam != id);
    state.ec2.ipams.remove(&id);
    Ok(Record::new().with("ipam", record))
}
