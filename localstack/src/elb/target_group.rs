//! Target groups.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::health_check::HealthCheck;
use super::target::{Target, TargetKey};
use super::{arn, attribute, protocol, tagging, validation};
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};

/// A target group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Its ARN.
    pub arn: String,
    /// Its name, unique in the account's region.
    pub name: String,
    /// `HTTP` or `HTTPS`; behind network load balancers `TCP`, `UDP`, `TLS`, `TCP_UDP`, `QUIC` or `TCP_QUIC`.
    pub protocol: String,
    /// `HTTP1`, `HTTP2` or `GRPC`; no meaning behind network load balancers.
    pub protocol_version: String,
    /// The port of targets that are registered without one.
    pub port: u16,
    /// Its VPC.
    pub vpc: Option<String>,
    /// `instance`, `ip` or `alb`.
    pub target_type: String,
    /// How targets are checked.
    pub health_check: HealthCheck,
    /// Attributes that were set.
    pub attributes: BTreeMap<String, String>,
    /// Its tags.
    pub tags: Tags,
    /// Its targets, draining ones too.
    #[serde(serialize_with = "serialize_targets", deserialize_with = "deserialize_targets")]
    pub targets: BTreeMap<TargetKey, Target>,
    /// The load balancers that use it (an index; AWS: at most one).
    pub load_balancers: BTreeSet<String>,
    /// Until when it still counts as used after its last use has gone.
    pub released: Option<Timestamp>,
}

fn serialize_targets<S: serde::Serializer>(targets: &BTreeMap<TargetKey, Target>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(targets.iter().map(|(key, target)| (format!("{}:{}", key.id, key.port), target)))
}

fn deserialize_targets<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<TargetKey, Target>, D::Error> {
    let named = BTreeMap::<String, Target>::deserialize(deserializer)?;
    let key = |name: String| {
        let (id, port) = name.rsplit_once(':')?;
        Some(TargetKey { id: id.into(), port: port.parse().ok()? })
    };
    let wrong = |name: &str| serde::de::Error::custom(format!("the target '{name}' is not ID:PORT"));
    named.into_iter().map(|(name, target)| Ok((key(name.clone()).ok_or_else(|| wrong(&name))?, target))).collect()
}

impl TargetGroup {
    /// An attribute, or its default.
    pub fn attribute(&self, key: &str) -> String {
        if protocol::is_network(&self.protocol) {
            return attribute::value(&attribute::target_group_table(self), &self.attributes, key);
        }
        attribute::value(attribute::TARGET_GROUP, &self.attributes, key)
    }

    fn record(&self) -> Record {
        let record = Record::new()
            .with("TargetGroupArn", &self.arn)
            .with("TargetGroupName", &self.name)
            .with("Protocol", &self.protocol)
            .with("Port", self.port)
            .maybe("VpcId", self.vpc.as_ref());
        self.health_check
            .add_to(record)
            .list("LoadBalancerArns", &self.load_balancers)
            .with("TargetType", &self.target_type)
            .maybe("ProtocolVersion", (!protocol::is_network(&self.protocol)).then_some(&self.protocol_version))
            .with("IpAddressType", "ipv4")
    }

    /// Whether two groups have the same settings (what idempotent creation compares).
    fn same_settings(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.protocol_version == other.protocol_version
            && self.port == other.port
            && self.vpc == other.vpc
            && self.target_type == other.target_type
            && self.health_check == other.health_check
            && self.tags == other.tags
    }
}

fn unserved(what: &str) -> ApiError {
    ApiError::new("InvalidConfigurationRequest", format!("{what} are not served by this cloud yet"))
}

/// CreateTargetGroup. With the settings of an existing one it answers with that one.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let name = input.required("Name")?.to_string();
    let target_type = input.text("TargetType").unwrap_or("instance").to_string();
    let group_protocol = input.text("Protocol").unwrap_or_default().to_string();
    let protocol_version = input.text("ProtocolVersion").filter(|text| !text.is_empty());
    let has_version = protocol_version.is_some();
    let protocol_version = protocol_version.unwrap_or("HTTP1").to_string();
    let port: Option<i64> = input.parse("Port")?;
    let vpc = input.text("VpcId").filter(|text| !text.is_empty()).map(str::to_string);
    let family = input.text("IpAddressType").filter(|text| !text.is_empty()).unwrap_or("ipv4");
    let control_port = input.text("TargetControlPort").is_some_and(|text| !text.is_empty());
    let tags = tagging::read(input)?;
    validation::name("Target group", &name)?;
    validation::one_of(&target_type, "targetType", &["instance", "ip", "lambda", "alb"])?;
    if target_type == "lambda" {
        return Err(unserved(&format!("Target groups of type '{target_type}'")));
    }
    if group_protocol.is_empty() {
        return Err(ApiError::validation("A protocol must be specified"));
    }
    validation::one_of(&group_protocol, "protocol", &["HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP", "GENEVE", "QUIC", "TCP_QUIC"])?;
    if group_protocol == "GENEVE" {
        return Err(unserved(&format!("Target groups of protocol '{group_protocol}'")));
    }
    let network = protocol::is_network(&group_protocol);
    if target_type == "alb" && group_protocol != "TCP" {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            format!("Target type 'alb' is not supported for target groups with the {group_protocol} protocol"),
        ));
    }
    validation::one_of(&protocol_version, "protocolVersion", &["HTTP1", "HTTP2", "GRPC"])?;
    if network && has_version {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            format!("A protocol version cannot be specified for target groups with the {group_protocol} protocol"),
        ));
    }
    let port = port.ok_or_else(|| ApiError::validation("A port must be specified"))?;
    validation::within(port, "port", 1, 65535)?;
    let vpc = vpc.ok_or_else(|| ApiError::validation("A VPC ID must be specified"))?;
    if !state.ec2.vpcs.contains_key(&vpc) {
        return Err(ApiError::validation(format!("The VPC ID '{vpc}' is not found")));
    }
    validation::one_of(family, "ipAddressType", &["ipv4", "ipv6"])?;
    if family == "ipv6" {
        return Err(unserved("IPv6 target groups"));
    }
    if control_port {
        return Err(unserved("Target groups with a target control port"));
    }
    let check_protocol = input.text("HealthCheckProtocol").filter(|text| !text.is_empty());
    let health_check = match network {
        true => HealthCheck::network_default_for(check_protocol, &target_type),
        false => HealthCheck::default_for(&protocol_version),
    };
    let health_check = health_check.updated(input, &target_type)?;
    input.done()?;
    let mut group = TargetGroup {
        arn: String::new(),
        name,
        protocol: group_protocol,
        protocol_version,
        port: u16::try_from(port).unwrap_or_default(),
        vpc: Some(vpc),
        target_type,
        health_check,
        attributes: BTreeMap::new(),
        tags,
        targets: BTreeMap::new(),
        load_balancers: BTreeSet::new(),
        released: None,
    };
    if let Some(existing) = state.elb.target_groups.values().find(|other| other.name == group.name) {
        if existing.same_settings(&group) {
            return Ok(Record::new().list("TargetGroups", [existing.record()]));
        }
        return Err(ApiError::new(
            "DuplicateTargetGroupName",
            format!("A target group with the same name '{}' exists, but with different settings", group.name),
        ));
    }
    let limit = state.config.quotas.target_groups;
    if state.elb.target_groups.len() >= limit {
        return Err(ApiError::new("TooManyTargetGroups", format!("The maximum number of target groups has been reached: [{limit}]")));
    }
    group.arn = format!("{}targetgroup/{}/{}", arn::prefix(&state.config), group.name, state.ids.hex(16));
    let record = group.record();
    state.elb.dirty.target_groups.insert(group.arn.clone());
    state.elb.target_groups.insert(group.arn.clone(), group);
    Ok(Record::new().list("TargetGroups", [record]))
}

/// ModifyTargetGroup: health check settings.
pub fn modify(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("TargetGroupArn")?.to_string();
    let group = state.elb.target_group(&arn)?;
    let health_check = group.health_check.updated(input, &group.target_type)?;
    input.done()?;
    let group = state.elb.target_group_mut(&arn)?;
    group.health_check = health_check;
    Ok(Record::new().list("TargetGroups", [group.record()]))
}

/// DeleteTargetGroup: refused while a listener or rule names it, and for a configured while afterwards. Succeeds if it does not exist.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("TargetGroupArn")?.to_string();
    input.done()?;
    arn::check(&arn, arn::Kind::TargetGroup)?;
    let Some(group) = state.elb.target_groups.get(&arn) else { return Ok(Record::new()) };
    if !group.load_balancers.is_empty() || group.released.is_some_and(|until| until > state.now) {
        return Err(ApiError::new("ResourceInUse", format!("Target group '{arn}' is currently in use by a listener or a rule")));
    }
    state.elb.target_groups.remove(&arn);
    state.elb.dirty.target_groups.insert(arn);
    Ok(Record::new())
}

/// DescribeTargetGroups: all, of a load balancer, by ARN or by name.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let balancer = input.text("LoadBalancerArn").filter(|arn| !arn.is_empty()).map(str::to_string);
    let (arns, names) = (input.strings("TargetGroupArns"), input.strings("Names"));
    let (marker, size) = validation::paging(input)?;
    input.done()?;
    if [balancer.is_some(), !arns.is_empty(), !names.is_empty()].into_iter().filter(|given| *given).count() > 1 {
        return Err(ApiError::validation(
            "Target group names, target group ARNs, and a load balancer ARN cannot be specified at the same time",
        ));
    }
    validation::at_most_twenty(&arns, "target groups")?;
    validation::at_most_twenty(&names, "target groups")?;
    let all = &state.elb.target_groups;
    if let Some(arn) = &balancer {
        state.elb.load_balancer(arn)?;
    }
    for arn in &arns {
        state.elb.target_group(arn)?;
    }
    if names.iter().any(|name| !all.values().any(|group| group.name == *name)) {
        return Err(super::target_group_not_found());
    }
    let chosen: Vec<&TargetGroup> = all
        .values()
        .filter(|group| balancer.as_ref().is_none_or(|arn| group.load_balancers.contains(arn)))
        .filter(|group| arns.is_empty() || arns.contains(&group.arn))
        .filter(|group| names.is_empty() || names.contains(&group.name))
        .collect();
    let (shown, next) = page::page(chosen, |group| group.arn.clone(), marker.as_deref(), size)?;
    Ok(Record::new().list("TargetGroups", shown.into_iter().map(TargetGroup::record)).maybe("NextMarker", next))
}
