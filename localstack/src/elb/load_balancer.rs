//! Load balancers: create, delete, describe.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::capacity::Capacity;
use super::certificate::ListenerTls;
use super::listener::Listener;
use super::placement::{self, Placement};
use super::{Event, arn, tagging, validation};
use crate::clock;
use crate::ec2::Ec2;
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};

/// An application load balancer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Its ARN.
    pub arn: String,
    /// Its name, unique in the account's region.
    pub name: String,
    /// Its DNS name.
    pub dns_name: String,
    /// `internet-facing` or `internal`.
    pub scheme: String,
    /// Its VPC.
    pub vpc: String,
    /// Its subnets, one per zone.
    pub subnets: Vec<String>,
    /// Its security groups.
    pub security_groups: Vec<String>,
    /// `ipv4` (IPv6 needs subnets with IPv6 addresses, which this cloud does not have).
    pub ip_address_type: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it becomes active.
    pub active_at: Timestamp,
    /// Where it listens.
    pub address: IpAddr,
    /// Attributes that were set; the others have their defaults.
    pub attributes: BTreeMap<String, String>,
    /// Its reserved capacity.
    pub capacity: Capacity,
    /// Its tags.
    pub tags: Tags,
    /// Its listeners by ARN.
    pub listeners: BTreeMap<String, Listener>,
    /// The target groups that its actions name (an index of its listeners and rules).
    pub target_groups: BTreeSet<String>,
}

impl LoadBalancer {
    /// `app/<name>/<id>`.
    pub fn full_name(&self) -> &str {
        self.arn.split_once("loadbalancer/").map_or("", |(_, tail)| tail)
    }

    /// The names of its zones.
    pub fn zones(&self, ec2: &Ec2) -> Vec<String> {
        self.subnets.iter().filter_map(|id| ec2.subnets.get(id)).map(|subnet| subnet.zone.clone()).collect()
    }

    /// The rules of all listeners, default rules excluded.
    pub fn rule_count(&self) -> usize {
        self.listeners.values().map(|listener| listener.rules.len()).sum()
    }

    /// Its subnets as `AvailabilityZones`.
    pub fn zone_records(&self, ec2: &Ec2) -> Vec<Record> {
        self.subnets
            .iter()
            .filter_map(|id| ec2.subnets.get(id))
            .map(|subnet| {
                Record::new()
                    .with("ZoneName", &subnet.zone)
                    .with("SubnetId", &subnet.id)
                    .list("LoadBalancerAddresses", Vec::<Record>::new())
            })
            .collect()
    }

    fn record(&self, ec2: &Ec2, region: &str, now: Timestamp) -> Record {
        let code = if self.active_at <= now { "active" } else { "provisioning" };
        Record::new()
            .with("LoadBalancerArn", &self.arn)
            .with("DNSName", &self.dns_name)
            .with("CanonicalHostedZoneId", hosted_zone(region))
            .with("CreatedTime", self.created)
            .with("LoadBalancerName", &self.name)
            .with("Scheme", &self.scheme)
            .with("VpcId", &self.vpc)
            .with("State", Record::new().with("Code", code))
            .with("Type", "application")
            .list("AvailabilityZones", self.zone_records(ec2))
            .list("SecurityGroups", &self.security_groups)
            .with("IpAddressType", &self.ip_address_type)
    }
}

/// The hosted zone of application load balancers' DNS names (from AWS's list of endpoints; other regions get a made-up one).
fn hosted_zone(region: &str) -> &'static str {
    match region {
        "us-east-1" => "Z35SXDOTRQ7X7K",
        "us-east-2" => "Z3AADJGX6KTTL2",
        "us-west-1" => "Z368ELLRRE2KJ0",
        "us-west-2" => "Z1H1FL5HABSF5",
        "eu-west-1" => "Z32O12XQLNTSW2",
        "eu-central-1" => "Z215JYRZR1TBD5",
        _ => "Z00000000000000000000",
    }
}

/// CreateLoadBalancer. With the settings of an existing one it answers with that one.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let name = input.required("Name")?.to_string();
    let kind = input.text("Type").unwrap_or("application");
    let scheme = input.text("Scheme").unwrap_or("internet-facing").to_string();
    let ip_address_type = input.text("IpAddressType").unwrap_or("ipv4").to_string();
    let subnets = placement::read_subnets(input)?;
    let groups = input.texts("SecurityGroups");
    let tags = tagging::read(input)?;
    for unserved in ["CustomerOwnedIpv4Pool", "EnablePrefixForIpv6SourceNat"] {
        if input.text(unserved).is_some_and(|text| !text.is_empty()) {
            return Err(ApiError::validation(format!("'{unserved}' is not valid for load balancers of type 'application' in this region")));
        }
    }
    if input.child("IpamPools").is_some_and(|pools| pools.text("Ipv4IpamPoolId").is_some()) {
        return Err(ApiError::new("InvalidConfigurationRequest", "'IpamPools' are not served by this cloud"));
    }
    input.done()?;
    validation::one_of(kind, "type", &["application", "network", "gateway"])?;
    if kind != "application" {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            format!("Load balancers of type '{kind}' are not served by this cloud yet; only type 'application' is"),
        ));
    }
    validation::name("Load balancer", &name)?;
    if name.starts_with("internal-") {
        return Err(ApiError::validation(format!("Load balancer name '{name}' cannot begin with 'internal-'")));
    }
    validation::one_of(&scheme, "scheme", &["internal", "internet-facing"])?;
    placement::check_ip_address_type(&ip_address_type, &scheme)?;
    let placement = Placement::of(state, &subnets, groups.as_deref(), &scheme)?;
    if let Some(existing) = state.elb.load_balancers.values().find(|other| other.name == name) {
        let same = existing.scheme == scheme
            && same_members(&existing.subnets, &placement.subnets)
            && same_members(&existing.security_groups, &placement.security_groups)
            && existing.ip_address_type == ip_address_type
            && existing.tags == tags;
        if same {
            let record = existing.record(&state.ec2, &state.config.region, state.now);
            return Ok(Record::new().list("LoadBalancers", [record]));
        }
        return Err(ApiError::new(
            "DuplicateLoadBalancerName",
            format!("A load balancer with the same name '{name}' exists, but with different settings"),
        ));
    }
    if state.elb.load_balancers.len() >= state.config.quotas.load_balancers {
        return Err(ApiError::new(
            "TooManyLoadBalancers",
            format!("The maximum number of load balancers has been reached: [{}]", state.config.quotas.load_balancers),
        ));
    }
    placement::check_free_addresses(&state.ec2, &placement.subnets)?;
    let address = state
        .elb
        .addresses
        .take()
        .ok_or_else(|| ApiError::with_status("InternalFailure", "This cloud has no free address for another load balancer", 500))?;
    let arn = format!("{}loadbalancer/app/{name}/{}", arn::prefix(&state.config), state.ids.hex(16));
    let prefix = if scheme == "internal" { "internal-" } else { "" };
    let dns_name = format!("{prefix}{name}-{}.{}.elb.amazonaws.com", state.ids.digits(10), state.config.region);
    let active_at = clock::after(state.now, state.config.times.provisioning);
    let balancer = LoadBalancer {
        arn: arn.clone(),
        name,
        dns_name,
        scheme,
        vpc: placement.vpc,
        subnets: placement.subnets.clone(),
        security_groups: placement.security_groups,
        ip_address_type,
        created: state.now,
        active_at,
        address,
        attributes: BTreeMap::new(),
        capacity: Capacity::default(),
        tags,
        listeners: BTreeMap::new(),
        target_groups: BTreeSet::new(),
    };
    if active_at > state.now {
        state.elb.events.insert((active_at, Event::Active(arn.clone())));
    }
    let record = balancer.record(&state.ec2, &state.config.region, if active_at == state.now { Timestamp::MIN } else { state.now });
    state.elb.load_balancers.insert(arn.clone(), balancer);
    state.elb.dirty.load_balancers.insert(arn.clone());
    for subnet in placement.subnets {
        placement::attach(state, &arn, &subnet)?;
    }
    Ok(Record::new().list("LoadBalancers", [record]))
}

fn same_members(a: &[String], b: &[String]) -> bool {
    a.iter().collect::<BTreeSet<_>>() == b.iter().collect::<BTreeSet<_>>()
}

/// DeleteLoadBalancer, with its listeners and rules. Succeeds if it does not exist.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("LoadBalancerArn")?.to_string();
    input.done()?;
    arn::check(&arn, arn::Kind::LoadBalancer)?;
    let Some(balancer) = state.elb.load_balancers.get(&arn) else { return Ok(Record::new()) };
    if balancer.attributes.get("deletion_protection.enabled").is_some_and(|value| value == "true") {
        return Err(ApiError::new(
            "OperationNotPermitted",
            format!("Load balancer '{arn}' cannot be deleted because deletion protection is enabled"),
        ));
    }
    let gone = state.elb.load_balancers.get_mut(&arn).map(|balancer| std::mem::take(&mut balancer.listeners)).unwrap_or_default();
    state.reindex(&arn);
    state.release_certificates(gone.values().filter_map(|listener| listener.tls.as_ref()).flat_map(ListenerTls::all));
    if let Some(balancer) = state.elb.load_balancers.remove(&arn) {
        state.elb.addresses.release(balancer.address);
        placement::detach_all(state, &arn);
    }
    Ok(Record::new())
}

/// DescribeLoadBalancers.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let (arns, names) = (input.strings("LoadBalancerArns"), input.strings("Names"));
    let (marker, size) = validation::paging(input)?;
    input.done()?;
    if !arns.is_empty() && !names.is_empty() {
        return Err(ApiError::validation("Load balancer names and load balancer ARNs cannot be specified at the same time"));
    }
    validation::at_most_twenty(&arns, "load balancers")?;
    validation::at_most_twenty(&names, "load balancers")?;
    let all = &state.elb.load_balancers;
    for arn in &arns {
        arn::check(arn, arn::Kind::LoadBalancer)?;
    }
    if arns.iter().any(|arn| !all.contains_key(arn)) {
        return Err(ApiError::new("LoadBalancerNotFound", "One or more load balancers not found"));
    }
    let absent: Vec<&str> = names.iter().filter(|name| !all.values().any(|balancer| balancer.name == **name)).map(String::as_str).collect();
    if !absent.is_empty() {
        return Err(ApiError::new("LoadBalancerNotFound", format!("Load balancers '[{}]' not found", absent.join(", "))));
    }
    let chosen: Vec<&LoadBalancer> = all
        .values()
        .filter(|balancer| arns.is_empty() || arns.contains(&balancer.arn))
        .filter(|balancer| names.is_empty() || names.contains(&balancer.name))
        .collect();
    let (shown, next) = page::page(chosen, |balancer| balancer.arn.clone(), marker.as_deref(), size)?;
    let records = shown.into_iter().map(|balancer| balancer.record(&state.ec2, &state.config.region, state.now));
    Ok(Record::new().list("LoadBalancers", records).maybe("NextMarker", next))
}
