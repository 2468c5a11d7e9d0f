//! CIDRs of pools: provisioned, deprovisioned, and what of them is allocated.
//!
//! Provisioning and its end take a moment on AWS, which is why what goes wrong is told by the CIDR's state, and not by an error.

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::super::describe::Resource;
use super::super::filter::Filters;
use super::super::{Ec2, address, finish, required};
use super::pool::IpamPool;
use super::request::{combination, netmask, one_of, optional, token};
use super::{limit_exceeded, space};
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};

/// AWS: Amazon's contiguous blocks have 4 or 8 addresses.
const CONTIGUOUS: std::ops::RangeInclusive<u8> = 29..=30;
/// Where Amazon's contiguous blocks lie: nobody has addresses of 240.0.0.0/4.
const AMAZON: ([u8; 4], u8) = ([241, 0, 0, 0], 8);
/// AWS, "Bring your own IP addresses": the most specific IPv4 range is /24.
const LONGEST_OWN: u8 = 24;

/// Why a CIDR is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whether its provisioning failed, and not its end.
    pub provision: bool,
    /// `cidr-not-available` or `limit-exceeded`, if AWS gives a code.
    pub code: Option<String>,
    /// In words.
    pub message: String,
}

/// A CIDR of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolCidr {
    /// Its id.
    pub id: String,
    /// The CIDR; none if there was none to be had.
    pub cidr: Option<Ipv4Net>,
    /// The length that was asked for.
    pub length: u8,
    /// What went wrong.
    pub failure: Option<Failure>,
    /// The token of the call that asked for it.
    pub client_token: Option<String>,
}

impl PoolCidr {
    /// The CIDR, if it is the pool's: also one whose end failed.
    pub fn held(&self) -> Option<Ipv4Net> {
        self.cidr.filter(|_| self.failure.as_ref().is_none_or(|failure| !failure.provision))
    }

    fn state(&self) -> &'static str {
        match &self.failure {
            None => "provisioned",
            Some(failure) if failure.provision => "failed-provision",
            Some(_) => "failed-deprovision",
        }
    }

    fn record(&self, state: &str) -> Record {
        let failure = self.failure.as_ref().filter(|_| state.starts_with("failed"));
        Record::new()
            .maybe("cidr", self.cidr.map(|cidr| cidr.to_string()))
            .with("state", state)
            .maybe(
                "failureReason",
                failure.map(|failure| Record::new().maybe("code", failure.code.as_ref()).with("message", &failure.message)),
            )
            .with("ipamPoolCidrId", &self.id)
            .with("netmaskLength", self.length)
    }
}

/// What a call asks for.
struct Asked {
    cidr: Option<Ipv4Net>,
    length: Option<u8>,
    /// The message and the signature by which somebody shows that the addresses are theirs.
    authorization: Option<(String, String)>,
}

fn ipv4(text: &str) -> Answer<Ipv4Net> {
    let wrong =
        || ApiError::parameter_value(format!("Value ({text}) for parameter Cidr is invalid. This is not a valid CIDR block of IPv4."));
    let cidr: Ipv4Net = text.parse().map_err(|_| wrong())?;
    // AWS takes no CIDR whose address has more bits than its netmask.
    if cidr.trunc() == cidr { Ok(cidr) } else { Err(wrong()) }
}

fn authorization(input: &Input) -> Answer<Option<(String, String)>> {
    let Some(context) = input.child("CidrAuthorizationContext") else { return Ok(None) };
    match (optional(context, "Message"), optional(context, "Signature")) {
        (Some(message), Some(signature)) => Ok(Some((message, signature))),
        (None, None) => Ok(None),
        _ => Err(combination("The CidrAuthorizationContext must contain a Message and a Signature")),
    }
}

/// ProvisionIpamPoolCidr.
pub fn provision(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "IpamPoolId")?.to_string();
    let cidr = optional(input, "Cidr").map(|text| ipv4(&text)).transpose()?;
    let length = netmask(input, "NetmaskLength")?;
    let authorization = authorization(input)?;
    let method = one_of(input, "VerificationMethod", &["remarks-x509", "dns-token"])?;
    let verification = optional(input, "IpamExternalResourceVerificationTokenId");
    let client_token = token(input)?;
    finish(input)?;
    let pool = state.ec2.ipam_pools.get(&id).ok_or_else(|| IpamPool::not_found(&id))?;
    if let Some(verification) = verification {
        return Err(ApiError::new(
            "InvalidIpamExternalResourceVerificationTokenId.NotFound",
            format!("The IpamExternalResourceVerificationTokenId '{verification}' does not exist"),
        ));
    }
    if method.as_deref() == Some("dns-token") {
        return Err(combination("The VerificationMethod dns-token requires an IpamExternalResourceVerificationTokenId"));
    }
    let again = |known: &&PoolCidr| client_token.is_some() && known.client_token == client_token;
    if let Some(known) = pool.cidrs.iter().find(again) {
        return Ok(Record::new().with("ipamPoolCidr", known.record(known.state())));
    }
    if cidr.is_some() == length.is_some() {
        return Err(combination("The request must contain either Cidr or NetmaskLength"));
    }
    let asked = Asked { cidr, length, authorization };
    let amazon = pool.public && pool.source.is_none() && pool.public_ip_source.as_deref() == Some("amazon");
    let own = pool.public && pool.source.is_none() && !amazon;
    if !own && (asked.authorization.is_some() || method.is_some()) {
        return Err(combination(
            "CidrAuthorizationContext and VerificationMethod are for CIDRs that are brought to top-level pools of a public scope",
        ));
    }
    let held = pool.cidrs.iter().filter(|cidr| cidr.held().is_some()).count();
    if held >= state.config.quotas.ipam_cidrs_per_pool {
        return Err(limit_exceeded("ipam-pool-cidrs", held, state.config.quotas.ipam_cidrs_per_pool));
    }
    let found = match &pool.source {
        Some(source) => from_source(&state.ec2, source, &asked),
        None if amazon => contiguous(state, pool, &asked)?,
        None if own => brought(state, &asked)?,
        None => private(&state.ec2, pool, &asked)?,
    };
    let (known, failure) = match found {
        Ok(cidr) => (Some(cidr), None),
        Err(failure) => (cidr, Some(failure)),
    };
    let made = PoolCidr {
        id: format!("ipam-pool-cidr-0{}", state.ids.hex(32)),
        cidr: known,
        length: length.or(cidr.map(|cidr| cidr.prefix_len())).unwrap_or_default(),
        failure,
        client_token,
    };
    // "This value will be null if you specify NetmaskLength and will be filled in during the provisioning process."
    let record = PoolCidr { cidr, ..made.clone() }.record("pending-provision");
    if let Some(pool) = state.ec2.ipam_pools.get_mut(&id) {
        // What failed before is forgotten.
        pool.cidrs.retain(|cidr| cidr.held().is_some());
        pool.cidrs.push(made);
    }
    Ok(Record::new().with("ipamPoolCidr", record))
}

/// A CIDR, or why there is none.
type Found = Result<Ipv4Net, Failure>;

fn not_available(message: impl Into<String>) -> Found {
    Err(Failure { provision: true, code: Some("cidr-not-available".into()), message: message.into() })
}

/// Part of the CIDRs of the pool that it has for a source.
fn from_source(ec2: &Ec2, source: &str, asked: &Asked) -> Found {
    let Some(source) = ec2.ipam_pools.get(source) else { return not_available("The source pool does not exist.") };
    let taken = source.taken(ec2);
    let length = asked.length.unwrap_or(32);
    let found = match asked.cidr {
        Some(cidr) => source
            .provisioned()
            .any(|range| range.contains(&cidr))
            .then_some(cidr)
            .filter(|cidr| !taken.iter().any(|other| space::overlap(other, cidr))),
        None => source.provisioned().find_map(|range| space::first_free(&range, length, &taken)),
    };
    found.map_or_else(|| not_available(format!("The CIDR is not available in the source pool {}.", source.id)), Ok)
}

/// The CIDRs of all pools of a scope that have no source.
fn top_level<'a>(ec2: &'a Ec2, chosen: impl Fn(&IpamPool) -> bool + 'a) -> impl Iterator<Item = Ipv4Net> + 'a {
    ec2.ipam_pools
        .values()
        .filter(move |pool| pool.source.is_none() && chosen(pool))
        .flat_map(|pool| &pool.cidrs)
        .filter_map(PoolCidr::held)
}

/// One of Amazon's contiguous blocks (user guide of IPAM, "Allocate sequential Elastic IP addresses from an IPAM pool", "Quotas for your IPAM").
fn contiguous(state: &State, pool: &IpamPool, asked: &Asked) -> Answer<Found> {
    let Some(length) = asked.length else {
        return Err(combination("A pool with the PublicIpSource amazon takes a NetmaskLength, and no Cidr"));
    };
    let limited = |message: String| Ok(Err(Failure { provision: true, code: Some("limit-exceeded".into()), message }));
    if !CONTIGUOUS.contains(&length) {
        return limited(format!(
            "Account {} cannot provision an IPv4 contiguous block of size /{length} in locale {}. Please check IPAM documentation to raise the limit.",
            pool.owner,
            pool.locale.as_deref().unwrap_or_default()
        ));
    }
    let taken: Vec<Ipv4Net> = top_level(&state.ec2, |pool| pool.public && pool.public_ip_source.as_deref() == Some("amazon")).collect();
    let limit = state.config.quotas.ipam_contiguous_blocks;
    if taken.len() >= limit {
        return limited(format!("Account {} has reached the limit of {limit} IPv4 contiguous blocks.", pool.owner));
    }
    let range = Ipv4Net::new(AMAZON.0.into(), AMAZON.1).ok();
    let found = range.and_then(|range| space::first_free(&range, length, &taken));
    Ok(found.map_or_else(|| not_available("There is no contiguous block left."), Ok))
}

/// Addresses that somebody brings. Nobody asks a registry whose they are, but the message must say it.
fn brought(state: &State, asked: &Asked) -> Answer<Found> {
    let Some(cidr) = asked.cidr else {
        return Err(combination("NetmaskLength cannot be used to provision BYOIP CIDRs to top-level pools; use Cidr"));
    };
    if !space::is_public(&cidr) || cidr.prefix_len() > LONGEST_OWN {
        return Err(ApiError::parameter_value(format!(
            "Value ({cidr}) for parameter Cidr is invalid. It must be a public IPv4 range of /{LONGEST_OWN} or larger."
        )));
    }
    let Some((message, _)) = &asked.authorization else {
        return Err(combination("The request must contain a CidrAuthorizationContext"));
    };
    // User guide, "Onboard your address range": 1|aws|account|cidr|YYYYMMDD|SHA256|RSAPSS.
    let parts: Vec<&str> = message.split('|').collect();
    let [version, provider, account, range, expiry, digest, scheme] = parts.as_slice() else { return Err(wrong_message()) };
    let fits = (*version, *provider, *digest, *scheme) == ("1", "aws", "SHA256", "RSAPSS")
        && *account == state.config.account
        && *range == cidr.to_string()
        && expiry.len() == 8
        && expiry.chars().all(|digit| digit.is_ascii_digit());
    if !fits {
        return Err(wrong_message());
    }
    let others = top_level(&state.ec2, |pool| pool.public).chain(address::amazon_ranges());
    Ok(match others.into_iter().find(|other| space::overlap(other, &cidr)) {
        Some(other) => not_available(format!("The CIDR {cidr} overlaps {other}, which is provisioned already.")),
        None => Ok(cidr),
    })
}

fn wrong_message() -> ApiError {
    ApiError::parameter_value(
        "The Message of the CidrAuthorizationContext must be 1|aws|ACCOUNT|CIDR|YYYYMMDD|SHA256|RSAPSS with this account and the Cidr",
    )
}

/// Addresses of a private network.
fn private(ec2: &Ec2, pool: &IpamPool, asked: &Asked) -> Answer<Found> {
    let Some(cidr) = asked.cidr else {
        return Err(combination("NetmaskLength can only be used for pools that have a source pool; use Cidr"));
    };
    let overlapping = top_level(ec2, |other| other.scope == pool.scope).find(|other| space::overlap(other, &cidr));
    Ok(match overlapping {
        Some(other) => not_available(format!("The CIDR {cidr} overlaps {other}, which is provisioned already.")),
        None => Ok(cidr),
    })
}

/// DeprovisionIpamPoolCidr: fails, which the CIDR's state tells, while something of it is allocated.
pub fn deprovision(state: &mut State, input: &Input) -> Answer<Record> {
    let id = required(input, "IpamPoolId")?.to_string();
    let cidr = ipv4(required(input, "Cidr")?)?;
    finish(input)?;
    let pool = state.ec2.ipam_pools.get(&id).ok_or_else(|| IpamPool::not_found(&id))?;
    let missing = || ApiError::parameter_value(format!("The Cidr {cidr} is not provisioned to the pool {id}"));
    let found = pool.cidrs.iter().find(|known| known.cidr == Some(cidr)).ok_or_else(missing)?.clone();
    let in_use = found.held().is_some() && pool.taken(&state.ec2).iter().any(|other| space::overlap(other, &cidr));
    if let Some(pool) = state.ec2.ipam_pools.get_mut(&id) {
        if in_use {
            let failure = Failure { provision: false, code: None, message: "The CIDR has one or more allocations.".into() };
            pool.cidrs.iter_mut().filter(|known| known.id == found.id).for_each(|known| known.failure = Some(failure.clone()));
        } else {
            pool.cidrs.retain(|known| known.id != found.id);
        }
    }
    Ok(Record::new().with("ipamPoolCidr", found.record("pending-deprovision")))
}

/// What a listing has in common: filters, pages of so many rows, ids in order.
fn listing<T>(
    input: &Input,
    names: &[&str],
    sizes: std::ops::RangeInclusive<usize>,
    rows: impl FnOnce(&str) -> Answer<Vec<T>>,
    key: impl Fn(&T) -> String,
    attribute: impl Fn(&T, &str) -> Option<String>,
) -> Answer<(Vec<T>, Option<String>)> {
    let id = required(input, "IpamPoolId")?;
    let filters = Filters::read(input, names)?;
    let size: usize = input.parse("MaxResults")?.unwrap_or(*sizes.end());
    let after = optional(input, "NextToken");
    finish(input)?;
    let rows = rows(id)?;
    if !sizes.contains(&size) {
        return Err(ApiError::parameter_value(format!(
            "Value ( {size} ) for parameter maxResults is invalid. Expecting {} to {}.",
            sizes.start(),
            sizes.end()
        )));
    }
    let chosen = rows.into_iter().filter(|row| filters.accept(&Tags::new(), |name| attribute(row, name).into_iter().collect()));
    page::page(chosen.collect(), key, after.as_deref(), size).map_err(|_| ApiError::new("InvalidNextToken", "The token is not valid"))
}

/// GetIpamPoolCidrs.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    let pools = &state.ec2.ipam_pools;
    let rows = |id: &str| {
        let mut rows: Vec<&PoolCidr> = pools.get(id).ok_or_else(|| IpamPool::not_found(id))?.cidrs.iter().collect();
        rows.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(rows)
    };
    let attribute = |row: &&PoolCidr, name: &str| match name {
        "cidr" => row.cidr.map(|cidr| cidr.to_string()),
        "ipam-pool-cidr-id" => Some(row.id.clone()),
        _ => Some(row.state().into()),
    };
    let (shown, next) = listing(input, &["cidr", "ipam-pool-cidr-id", "state"], 5..=1000, rows, |row| row.id.clone(), attribute)?;
    Ok(Record::new().list("ipamPoolCidrSet", shown.into_iter().map(|row| row.record(row.state()))).maybe("nextToken", next))
}

/// An allocation: a CIDR of a pool that a resource has.
struct Allocation {
    id: String,
    cidr: Ipv4Net,
    resource: String,
    kind: &'static str,
}

/// The allocations of a pool; their ids follow from those of what was allocated.
fn allocations(ec2: &Ec2, pool: &str) -> Vec<Allocation> {
    let within = ec2.ipam_pools.values().filter(|other| other.source.as_deref() == Some(pool));
    let pools = within.flat_map(|other| other.cidrs.iter().filter_map(|cidr| Some((&other.id, cidr, cidr.held()?))));
    let pools = pools.map(|(other, cidr, held)| Allocation {
        id: cidr.id.replacen("ipam-pool-cidr-", "ipam-pool-alloc-", 1),
        cidr: held,
        resource: other.clone(),
        kind: "ipam-pool",
    });
    let addresses = ec2.addresses.values().filter(|address| address.pool.as_deref() == Some(pool)).map(|address| {
        let digits = address.id.trim_start_matches("eipalloc-");
        let id = format!("ipam-pool-alloc-{digits}{}", digits.get(1..).unwrap_or_default());
        Allocation { id, cidr: Ipv4Net::from(address.public), resource: address.id.clone(), kind: "eip" }
    });
    pools.chain(addresses).collect()
}

/// GetIpamPoolAllocations: the pools and the elastic IP addresses that have part of a pool; those of load balancers are among them.
pub fn list_allocations(state: &mut State, input: &Input) -> Answer<Record> {
    let wanted = optional(input, "IpamPoolAllocationId");
    let (account, region, ec2) = (state.config.account.clone(), state.config.region.clone(), &state.ec2);
    let rows = |id: &str| {
        ec2.ipam_pools.get(id).ok_or_else(|| IpamPool::not_found(id))?;
        let mut rows = allocations(ec2, id);
        if let Some(wanted) = &wanted {
            rows.retain(|row| row.id == *wanted);
            if rows.is_empty() {
                return Err(ApiError::new(
                    "InvalidIpamPoolAllocationId.NotFound",
                    format!("The IPAM pool allocation ({wanted}) does not exist."),
                ));
            }
        }
        rows.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(rows)
    };
    let attribute = |row: &Allocation, name: &str| {
        Some(match name {
            "cidr" => row.cidr.to_string(),
            "ipam-pool-allocation-id" => row.id.clone(),
            "resource-id" => row.resource.clone(),
            "resource-owner" => account.clone(),
            "resource-region" => region.clone(),
            _ => row.kind.into(),
        })
    };
    let names = ["cidr", "ipam-pool-allocation-id", "resource-id", "resource-owner", "resource-region", "resource-type"];
    let (shown, next) = listing(input, &names, 1000..=100_000, rows, |row| row.id.clone(), attribute)?;
    let records = shown.iter().map(|row| {
        Record::new()
            .with("cidr", row.cidr.to_string())
            .with("ipamPoolAllocationId", &row.id)
            .with("resourceId", &row.resource)
            .with("resourceType", row.kind)
            .with("resourceRegion", &region)
            .with("resourceOwner", &account)
    });
    Ok(Record::new().list("ipamPoolAllocationSet", records).maybe("nextToken", next))
}
