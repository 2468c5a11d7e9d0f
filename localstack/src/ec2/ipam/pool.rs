//! Pools of IPAM: what CIDRs are provisioned to, and addresses are taken from.

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::super::describe::Resource;
use super::super::filter::Filters;
use super::super::{Ec2, describe as described, finish, required, tagging};
use super::cidr::PoolCidr;
use super::request::{combination, netmask, one_of, optional, token};
use super::rule::{self, AllocationRules};
use super::scope::IpamScope;
use super::{Ipam, arn, limit_exceeded, space};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Record};

/// A pool of IPv4 addresses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IpamPool {
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
    /// Its scope.
    pub scope: String,
    /// Whether its scope is for public addresses.
    pub public: bool,
    /// The region whose resources can have addresses of it; none if only pools can.
    pub locale: Option<String>,
    /// The pool whose addresses it has.
    pub source: Option<String>,
    /// 1 for a pool without a source, one more than its source's for others.
    pub depth: usize,
    /// Its description.
    pub description: Option<String>,
    /// `ec2` or `global-services`: whose resources can have its addresses.
    pub service: Option<String>,
    /// `amazon` or `byoip`: whose its addresses are (public scopes).
    pub public_ip_source: Option<String>,
    /// What may be allocated.
    pub rules: AllocationRules,
    /// Its CIDRs, in the order in which they were provisioned.
    pub cidrs: Vec<PoolCidr>,
    /// Whether it was modified.
    pub modified: bool,
    /// The token of the call that created it.
    pub client_token: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

impl Resource for IpamPool {
    const FILTERS: &'static [&'static str] = &[
        "address-family",
        "aws-service",
        "ipam-arn",
        "ipam-pool-arn",
        "ipam-pool-id",
        "ipam-region",
        "ipam-scope-arn",
        "ipam-scope-id",
        "ipam-scope-type",
        "locale",
        "owner-id",
        "pool-depth",
        "public-ip-source",
        "source-ipam-pool-id",
        "state",
    ];
    const IDS: &'static str = "IpamPoolId";
    const SET: &'static str = "ipamPoolSet";

    described::identity!();

    fn attribute(&self, filter: &str, ec2: &Ec2) -> Vec<String> {
        let scope = ec2.ipam_scopes.get(&self.scope);
        vec![match filter {
            "address-family" => "ipv4".into(),
            "aws-service" => return self.service.iter().cloned().collect(),
            "ipam-arn" => return scope.and_then(|scope| scope.ipam_arn(ec2)).into_iter().collect(),
            "ipam-pool-arn" => self.arn.clone(),
            "ipam-pool-id" => self.id.clone(),
            "ipam-region" => self.region.clone(),
            "ipam-scope-arn" => return scope.map(|scope| scope.arn.clone()).into_iter().collect(),
            "ipam-scope-id" => self.scope.clone(),
            "ipam-scope-type" => return scope.map(|scope| scope.kind().into()).into_iter().collect(),
            "locale" => self.locale_word().into(),
            "owner-id" => self.owner.clone(),
            "pool-depth" => self.depth.to_string(),
            "public-ip-source" => return self.public_ip_source.iter().cloned().collect(),
            "source-ipam-pool-id" => return self.source.iter().cloned().collect(),
            _ => self.state().into(),
        }]
    }

    fn record(&self, ec2: &Ec2, _: &Filters) -> Record {
        self.in_state(ec2, self.state())
    }

    fn not_found(id: &str) -> ApiError {
        ApiError::new("InvalidIpamPoolId.NotFound", format!("The ipam-pool ID '{id}' does not exist"))
    }
}

impl IpamPool {
    fn state(&self) -> &'static str {
        if self.modified { "modify-complete" } else { "create-complete" }
    }

    fn locale_word(&self) -> &str {
        self.locale.as_deref().unwrap_or("None")
    }

    fn in_state(&self, ec2: &Ec2, state: &str) -> Record {
        let scope = ec2.ipam_scopes.get(&self.scope);
        Record::new()
            .with("ownerId", &self.owner)
            .with("ipamPoolId", &self.id)
            .maybe("sourceIpamPoolId", self.source.as_ref())
            .with("ipamPoolArn", &self.arn)
            .maybe("ipamScopeArn", scope.map(|scope| &scope.arn))
            .maybe("ipamScopeType", scope.map(IpamScope::kind))
            .maybe("ipamArn", scope.and_then(|scope| scope.ipam_arn(ec2)))
            .with("ipamRegion", &self.region)
            .with("locale", self.locale_word())
            .with("poolDepth", i64::try_from(self.depth).unwrap_or_default())
            .with("state", state)
            .maybe("description", self.description.as_ref())
            .with("autoImport", false)
            .with("addressFamily", "ipv4")
            .maybe("allocationMinNetmaskLength", self.rules.min)
            .maybe("allocationMaxNetmaskLength", self.rules.max)
            .maybe("allocationDefaultNetmaskLength", self.rules.default)
            .list(
                "allocationResourceTagSet",
                self.rules.tags.iter().map(|(key, value)| Record::new().with("key", key).with("value", value)),
            )
            .with("tagSet", tag::lower(&self.tags))
            .maybe("awsService", self.service.as_ref())
            .maybe("publicIpSource", self.public_ip_source.as_ref())
    }

    /// Why resources of a region cannot have public addresses of this pool; none if they can.
    pub fn unusable(&self, region: &str) -> Option<String> {
        if !self.public {
            return Some("it is in a private scope".into());
        }
        if self.locale.as_deref() != Some(region) {
            return Some(format!("its locale is {}, and not {region}", self.locale_word()));
        }
        (self.service.as_deref() != Some("ec2")).then(|| "its AWS service is not ec2".into())
    }

    /// The CIDRs from which there can be addresses and pools.
    pub fn provisioned(&self) -> impl Iterator<Item = Ipv4Net> {
        self.cidrs.iter().filter(|cidr| cidr.failure.is_none()).filter_map(|cidr| cidr.cidr)
    }

    /// What of its CIDRs somebody has: pools and addresses.
    pub fn taken(&self, ec2: &Ec2) -> Vec<Ipv4Net> {
        let pools = ec2.ipam_pools.values().filter(|pool| pool.source.as_ref() == Some(&self.id)).flat_map(|pool| &pool.cidrs);
        let addresses = ec2.addresses.values().filter(|address| address.pool.as_ref() == Some(&self.id));
        pools.filter_map(PoolCidr::held).chain(addresses.map(|address| Ipv4Net::from(address.public))).collect()
    }

    /// A free address, the lowest of the CIDR that was provisioned first.
    pub fn free_address(&self, ec2: &Ec2) -> Option<std::net::Ipv4Addr> {
        let taken = self.taken(ec2);
        self.provisioned().find_map(|cidr| space::first_free(&cidr, 32, &taken)).map(|free| free.addr())
    }
}

/// `AutoImport`, which can only be off: nothing discovers resources here.
fn auto_import(input: &Input) -> Answer<Option<bool>> {
    match input.flag("AutoImport")? {
        Some(true) => Err(combination("AutoImport is not served by this cloud: nothing discovers resources")),
        off => Ok(off),
    }
}

/// What a pool is to be for.
struct Wanted {
    locale: Option<String>,
    service: Option<String>,
    public_ip_source: Option<String>,
    advertisable: Option<bool>,
}

/// What can be asked for depends on the scope, and on the pool whose addresses it has.
fn check_use(wanted: &Wanted, ipam: &Ipam, public: bool, source: Option<&IpamPool>) -> Answer<()> {
    if wanted.advertisable.is_some() {
        return Err(combination(
            "The request can only contain PubliclyAdvertisable if the AddressFamily is IPv6 and PublicIpSource is byoip.",
        ));
    }
    if let Some(locale) = &wanted.locale {
        if !ipam.regions.contains(locale) {
            return Err(ApiError::parameter_value(format!("The Locale {locale} is not an operating region of the IPAM {}", ipam.id)));
        }
        if ipam.tier == "free" && *locale != ipam.region {
            return Err(combination(format!("The Locale of pools of an IPAM in the free tier must be its home region {}", ipam.region)));
        }
    }
    if !public && wanted.service.is_some() {
        return Err(combination("The request can only contain AwsService if the pool is in a public scope"));
    }
    if !public && wanted.public_ip_source.is_some() {
        return Err(combination("The request can only contain PublicIpSource if the pool is in a public scope"));
    }
    let amazon = wanted.public_ip_source.as_deref() == Some("amazon");
    if amazon && source.is_none() && (wanted.locale.is_none() || wanted.service.as_deref() != Some("ec2")) {
        return Err(combination("A pool with the PublicIpSource amazon must have a Locale, and the AwsService ec2"));
    }
    let Some(source) = source else { return Ok(()) };
    if source.locale.is_some() && source.locale != wanted.locale {
        return Err(combination(format!("The Locale of the pool must be that of its source pool {}", source.id)));
    }
    if source.public_ip_source != wanted.public_ip_source {
        return Err(combination(format!("The PublicIpSource of the pool must be that of its source pool {}", source.id)));
    }
    Ok(())
}

/// CreateIpamPool.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let scope_id = required(input, "IpamScopeId")?.to_string();
    required(input, "AddressFamily")?;
    let family = one_of(input, "AddressFamily", &["ipv4", "ipv6"])?;
    let locale = optional(input, "Locale").filter(|locale| locale != "None");
    let source_id = optional(input, "SourceIpamPoolId");
    let description = optional(input, "Description");
    auto_import(input)?;
    let advertisable = input.flag("PubliclyAdvertisable")?;
    let rules = AllocationRules {
        min: netmask(input, "AllocationMinNetmaskLength")?,
        max: netmask(input, "AllocationMaxNetmaskLength")?,
        default: netmask(input, "AllocationDefaultNetmaskLength")?,
        tags: rule::tags(input, "AllocationResourceTag")?,
    };
    let service = one_of(input, "AwsService", &["ec2", "global-services"])?;
    let public_ip_source = one_of(input, "PublicIpSource", &["amazon", "byoip"])?;
    let tags = tagging::specification(input, "ipam-pool")?;
    let client_token = token(input)?;
    if input.child("SourceResource").is_some_and(|resource| {
        ["ResourceId", "ResourceType", "ResourceRegion", "ResourceOwner"].iter().any(|name| resource.text(name).is_some())
    }) {
        return Err(combination("SourceResource is not served by this cloud: there are no resource planning pools"));
    }
    finish(input)?;
    if family.as_deref() == Some("ipv6") {
        return Err(ApiError::parameter_value("Pools of the AddressFamily ipv6 are not served by this cloud"));
    }
    let ec2 = &state.ec2;
    let again = |pool: &&IpamPool| client_token.is_some() && pool.client_token == client_token;
    if let Some(existing) = ec2.ipam_pools.values().find(again) {
        return Ok(Record::new().with("ipamPool", existing.in_state(ec2, existing.state())));
    }
    let scope = ec2.ipam_scopes.get(&scope_id).ok_or_else(|| IpamScope::not_found(&scope_id))?;
    let ipam = ec2.ipams.get(&scope.ipam).ok_or_else(|| Ipam::not_found(&scope.ipam))?;
    let source = source_id.as_ref().map(|id| ec2.ipam_pools.get(id).ok_or_else(|| IpamPool::not_found(id))).transpose()?;
    if source.is_some_and(|source| source.scope != scope_id) {
        return Err(combination("The SourceIpamPoolId must name a pool of the same scope"));
    }
    // A pool has the locale of the pool that it is part of, and its addresses come from where that one's do.
    let locale = locale.or_else(|| source.and_then(|source| source.locale.clone()));
    let default = || if source.is_some() { None } else { scope.public.then(|| "byoip".to_string()) };
    let public_ip_source = public_ip_source.or_else(|| source.and_then(|source| source.public_ip_source.clone())).or_else(default);
    let wanted = Wanted { locale, service, public_ip_source, advertisable };
    check_use(&wanted, ipam, scope.public, source)?;
    rules.check()?;
    let depth = source.map_or(1, |source| source.depth + 1);
    let (count, limits) = (ec2.ipam_pools.values().filter(|pool| pool.scope == scope_id).count(), &state.config.quotas);
    if count >= limits.ipam_pools_per_scope {
        return Err(limit_exceeded("ipam-pools", count, limits.ipam_pools_per_scope));
    }
    if depth > limits.ipam_pool_depth {
        return Err(limit_exceeded("ipam-pools within pools", depth - 1, limits.ipam_pool_depth));
    }
    let id = state.ids.ec2("ipam-pool");
    let pool = IpamPool {
        arn: arn(&state.config.account, &id),
        id: id.clone(),
        owner: state.config.account.clone(),
        region: scope.region.clone(),
        ipam: scope.ipam.clone(),
        scope: scope_id,
        public: scope.public,
        locale: wanted.locale,
        source: source_id,
        depth,
        description,
        service: wanted.service,
        public_ip_source: wanted.public_ip_source,
        rules,
        cidrs: Vec::new(),
        modified: false,
        client_token,
        tags,
    };
    let record = pool.in_state(ec2, "create-in-progress");
    state.ec2.ipam_pools.insert(id, pool);
    Ok(Record::new().with("ipamPool", record))
}

/// DescribeIpamPools.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    described::run(input, &state.ec2, state.ec2.ipam_pools.values())
}

/// ModifyIpamPool: its description, and what may be allocated.
pub fn modify(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "IpamPoolId")?.to_string();
    let description = optional(input, "Description");
    let auto_import = auto_import(input)?;
    let [min, max, default] =
        ["AllocationMinNetmaskLength", "AllocationMaxNetmaskLength", "AllocationDefaultNetmaskLength"].map(|name| netmask(input, name));
    let (min, max, default) = (min?, max?, default?);
    let clear = input.flag("ClearAllocationDefaultNetmaskLength")?.unwrap_or(false);
    let added = rule::tags(input, "AddAllocationResourceTag")?;
    let removed = rule::tags(input, "RemoveAllocationResourceTag")?;
    finish(input)?;
    let pool = state.ec2.ipam_pools.get(&id).ok_or_else(|| IpamPool::not_found(&id))?;
    let lengths = [min, max, default].iter().any(Option::is_some) || clear;
    if description.is_none() && auto_import.is_none() && !lengths && added.is_empty() && removed.is_empty() {
        return Err(combination("The request must contain a modification to the ipam pool"));
    }
    if clear && default.is_some() {
        return Err(combination("AllocationDefaultNetmaskLength cannot be used with ClearAllocationDefaultNetmaskLength"));
    }
    let mut rules = pool.rules.clone();
    rules.min = min.or(rules.min);
    rules.max = max.or(rules.max);
    rules.default = default.or(rules.default.filter(|_| !clear));
    if let Some((key, _)) = removed.iter().find(|(key, value)| rules.tags.get(*key) != Some(value)) {
        return Err(ApiError::parameter_value(format!("RemoveAllocationResourceTag: the pool {id} does not ask for the tag {key}")));
    }
    rules.tags.retain(|key, _| !removed.contains_key(key));
    rules.tags.extend(added);
    rules.check()?;
    let mut changed = pool.clone();
    (changed.rules, changed.modified) = (rules, true);
    changed.description = description.or(changed.description);
    let record = changed.in_state(&state.ec2, "modify-in-progress");
    state.ec2.ipam_pools.insert(id, changed);
    Ok(Record::new().with("ipamPool", record))
}

/// DeleteIpamPool: refused while it has CIDRs, other pools have it for a source, or a load balancer names it; with `Cascade`, which is for private scopes,
/// its CIDRs and the pools in it go with it.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "IpamPoolId")?.to_string();
    let cascade = input.flag("Cascade")?.unwrap_or(false);
    finish(input)?;
    let pool = state.ec2.ipam_pools.get(&id).ok_or_else(|| IpamPool::not_found(&id))?;
    if cascade && pool.public {
        return Err(combination("Cascade can only be used for pools in a private scope"));
    }
    let within: Vec<String> =
        state.ec2.ipam_pools.values().filter(|other| other.source.as_ref() == Some(&id)).map(|other| other.id.clone()).collect();
    let refused = |what: &str| Err(ApiError::new("DependencyViolation", format!("The specified action is not valid for {id}. {what}")));
    if !cascade && pool.cidrs.iter().any(|cidr| cidr.held().is_some()) {
        return refused("There are one or more pool cidrs provisioned in the pool.");
    }
    if !cascade && !within.is_empty() {
        return refused("There are one or more pools in the pool.");
    }
    if let Some(balancer) = state.elb.load_balancers.values().find(|balancer| balancer.ipam_pool.as_ref() == Some(&id)) {
        return refused(&format!("The load balancer {} takes its addresses from the pool.", balancer.name));
    }
    let record = pool.in_state(&state.ec2, "delete-in-progress");
    state.ec2.ipam_pools.remove(&id);
    let mut orphans = within;
    while let Some(orphan) = orphans.pop() {
        state.ec2.ipam_pools.remove(&orphan);
        orphans.extend(state.ec2.ipam_pools.values().filter(|other| other.source.as_ref() == Some(&orphan)).map(|other| other.id.clone()));
    }
    Ok(Record::new().with("ipamPool", record))
}
