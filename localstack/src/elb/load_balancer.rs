//! Load balancers: create, delete, describe.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::attribute;
use super::capacity::Capacity;
use super::certificate::ListenerTls;
use super::dualstack;
use super::ip_pool;
use super::kind::LoadBalancerKind;
use super::listener::Listener;
use super::node::{self, Node};
use super::placement::{self, Placement};
use super::{Event, arn, tagging, validation};
use crate::clock;
use crate::ec2::Ec2;
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};

/// A load balancer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Its ARN.
    pub arn: String,
    /// Its type.
    pub kind: LoadBalancerKind,
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
    /// Its security groups. Empty: a network load balancer that was created without, which everybody reaches.
    pub security_groups: Vec<String>,
    /// Whether its security groups judge traffic from PrivateLink (network load balancers; this cloud has no PrivateLink).
    pub enforce_on_private_link: bool,
    /// `ipv4`, `dualstack` or `dualstack-without-public-ipv4`. It listens at IPv4 addresses only, whatever it is.
    pub ip_address_type: String,
    /// The IPAM pool whose addresses its nodes have (application load balancers that face the internet).
    #[serde(default)]
    pub ipam_pool: Option<String>,
    /// Whether it sends UDP over IPv6 from prefixes of its subnets (network load balancers).
    #[serde(default)]
    pub source_nat: bool,
    /// When it was created.
    pub created: Timestamp,
    /// When it becomes active.
    pub active_at: Timestamp,
    /// Where it listens: at one address for all zones, or (network load balancers) at one per zone.
    pub nodes: Vec<Node>,
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
    /// The address at which it listens; of a network load balancer, that in its first zone.
    pub fn address(&self) -> Option<IpAddr> {
        self.nodes.first().map(|node| node.listens_at)
    }

    /// An attribute, or its default.
    pub fn attribute(&self, key: &str) -> String {
        attribute::value(attribute::load_balancer_table(self), &self.attributes, key)
    }

    /// Whether its nodes send to targets of all zones, unless a target group says otherwise.
    pub fn is_cross_zone(&self) -> bool {
        self.attribute("load_balancing.cross_zone.enabled") == "true"
    }

    /// `app/<name>/<id>` or `net/<name>/<id>`.
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
                let zone = Record::new()
                    .with("ZoneName", &subnet.zone)
                    .with("SubnetId", &subnet.id)
                    .list("LoadBalancerAddresses", self.node_in(&subnet.id).map(|node| node.records(ec2)).unwrap_or_default());
                match self.source_prefix(ec2, &subnet.id) {
                    Some(prefix) => zone.list("SourceNatIpv6Prefixes", [prefix.to_string()]),
                    None => zone,
                }
            })
            .collect()
    }

    /// From where it sends UDP over IPv6 in a subnet.
    fn source_prefix(&self, ec2: &Ec2, subnet: &str) -> Option<IpNet> {
        let chosen = self.node_in(subnet).and_then(|node| node.source_prefix);
        dualstack::source_prefix(ec2, subnet, chosen).filter(|_| self.source_nat)
    }

    /// `EnablePrefixForIpv6SourceNat`; None if it cannot have it.
    pub fn source_nat_word(&self) -> Option<&'static str> {
        (self.kind == LoadBalancerKind::Network).then_some(if self.source_nat { "on" } else { "off" })
    }

    /// Its node for a subnet alone.
    pub fn node_in(&self, subnet: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.subnet.as_deref() == Some(subnet))
    }

    fn record(&self, ec2: &Ec2, region: &str, now: Timestamp) -> Record {
        let code = if self.active_at <= now { "active" } else { "provisioning" };
        let network = self.kind == LoadBalancerKind::Network;
        let enforced = if self.enforce_on_private_link { "on" } else { "off" };
        Record::new()
            .with("LoadBalancerArn", &self.arn)
            .with("DNSName", &self.dns_name)
            .with("CanonicalHostedZoneId", self.kind.hosted_zone(region))
            .with("CreatedTime", self.created)
            .with("LoadBalancerName", &self.name)
            .with("Scheme", &self.scheme)
            .with("VpcId", &self.vpc)
            .with("State", Record::new().with("Code", code))
            .with("Type", self.kind.word())
            .list("AvailabilityZones", self.zone_records(ec2))
            .list("SecurityGroups", &self.security_groups)
            .with("IpAddressType", &self.ip_address_type)
            .maybe(
                "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic",
                (network && !self.security_groups.is_empty()).then_some(enforced),
            )
            .maybe("EnablePrefixForIpv6SourceNat", self.source_nat_word())
            .maybe("IpamPools", self.ipam_pool.as_ref().map(|pool| ip_pool::record(Some(pool))))
    }
}

/// CreateLoadBalancer. With the settings of an existing one it answers with that one.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let name = input.required("Name")?.to_string();
    let kind = LoadBalancerKind::read(input.text("Type").unwrap_or("application"))?;
    let scheme = input.text("Scheme").unwrap_or("internet-facing").to_string();
    let ip_address_type = input.text("IpAddressType").unwrap_or("ipv4").to_string();
    let mappings = node::read(input, kind, &scheme)?;
    let groups = input.texts("SecurityGroups");
    let tags = tagging::read(input)?;
    let source_nat = dualstack::read_source_nat(input, kind)?.unwrap_or(false);
    if input.text("CustomerOwnedIpv4Pool").is_some_and(|text| !text.is_empty()) {
        return Err(ApiError::validation(format!(
            "'CustomerOwnedIpv4Pool' is not valid for load balancers of type '{}' in this region",
            kind.word()
        )));
    }
    let ipam_pool = ip_pool::read(input)?;
    input.done()?;
    validation::name("Load balancer", &name)?;
    if name.starts_with("internal-") {
        return Err(ApiError::validation(format!("Load balancer name '{name}' cannot begin with 'internal-'")));
    }
    validation::one_of(&scheme, "scheme", &["internal", "internet-facing"])?;
    dualstack::check_type(&ip_address_type, kind, &scheme)?;
    let placement = Placement::of(state, kind, mappings, groups.as_deref(), &scheme)?;
    ip_pool::check(state, ipam_pool.as_ref(), kind, &scheme, &ip_address_type, &tags)?;
    let others: Vec<&LoadBalancer> = state.elb.load_balancers.values().filter(|other| other.name != name).collect();
    dualstack::check(&state.ec2, &others, &ip_address_type, source_nat, &placement.mappings)?;
    if let Some(existing) = state.elb.load_balancers.values().find(|other| other.name == name) {
        let same = existing.kind == kind
            && existing.scheme == scheme
            && same_members(&existing.subnets, &placement.subnets())
            && placement.mappings.iter().all(|mapping| {
                existing.node_in(&mapping.subnet).is_none_or(|node| {
                    (node.private_address, &node.allocation, node.ipv6) == (mapping.private_address, &mapping.allocation, mapping.ipv6)
                })
            })
            && same_members(&existing.security_groups, &placement.security_groups)
            && (&existing.ip_address_type, existing.source_nat, &existing.ipam_pool) == (&ip_address_type, source_nat, &ipam_pool)
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
    check_count(state, kind)?;
    placement::check_room(state, kind, &placement.vpc, &placement.mappings)?;
    let nodes = placement::take_nodes(state, kind, &placement.mappings)?;
    let id = state.ids.hex(16);
    let arn = format!("{}loadbalancer/{}/{name}/{id}", arn::prefix(&state.config), kind.segment());
    let dns_name = kind.dns_name(&name, &id, &scheme, &state.config.region, &mut state.ids);
    let active_at = clock::after(state.now, state.config.times.provisioning);
    let balancer = LoadBalancer {
        arn: arn.clone(),
        kind,
        name,
        dns_name,
        scheme,
        subnets: placement.subnets(),
        vpc: placement.vpc,
        security_groups: placement.security_groups,
        enforce_on_private_link: true,
        ip_address_type,
        ipam_pool,
        source_nat,
        created: state.now,
        active_at,
        nodes,
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
    for mapping in &placement.mappings {
        placement::attach(state, &arn, &mapping.subnet)?;
    }
    ip_pool::settle(state, &arn);
    Ok(Record::new().list("LoadBalancers", [record]))
}

/// Whether there may be another load balancer of this type.
fn check_count(state: &State, kind: LoadBalancerKind) -> Answer<()> {
    let limit = match kind {
        LoadBalancerKind::Application => state.config.quotas.load_balancers,
        LoadBalancerKind::Network => state.config.quotas.network_load_balancers,
    };
    if state.elb.load_balancers.values().filter(|balancer| balancer.kind == kind).count() >= limit {
        return Err(ApiError::new("TooManyLoadBalancers", format!("The maximum number of load balancers has been reached: [{limit}]")));
    }
    Ok(())
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
    // Network user guide, "Application Load Balancers as targets": it must be deregistered from all target groups before.
    if state.elb.target_groups.values().any(|group| group.target_type == "alb" && group.targets.keys().any(|key| key.id == arn)) {
        return Err(ApiError::new(
            "ResourceInUse",
            format!("Load balancer '{arn}' cannot be deleted because it is currently registered as a target"),
        ));
    }
    let gone = state.elb.load_balancers.get_mut(&arn).map(|balancer| std::mem::take(&mut balancer.listeners)).unwrap_or_default();
    state.reindex(&arn);
    state.elb.dirty.load_balancers.insert(arn.clone());
    state.release_certificates(gone.values().filter_map(|listener| listener.tls.as_ref()).flat_map(ListenerTls::all));
    if let Some(balancer) = state.elb.load_balancers.remove(&arn) {
        for node in &balancer.nodes {
            state.elb.addresses.release(node.listens_at);
        }
        placement::detach_all(state, &arn);
        state.wafv2.associations.remove(&arn);
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
