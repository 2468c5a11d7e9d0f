//! Targets: register and deregister.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::kind::LoadBalancerKind;
use super::target_group::TargetGroup;
use super::usage::zones_of;
use super::{Event, quic_server, validation};
use crate::clock;
use crate::config::Reregistration;
use crate::ec2::account::subnet_of;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

/// What tells a target apart from others of its group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TargetKey {
    /// The address, the instance's id or the load balancer's ARN.
    pub id: String,
    /// The port.
    pub port: u16,
}

/// A registered target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Where it is; `None` for a load balancer, which is where its nodes are, and for an instance that has ended.
    pub address: Option<IpAddr>,
    /// Its zone's name, or `all` outside of the VPC and for load balancers.
    pub zone: String,
    /// Its server id, for target groups that carry QUIC.
    pub quic_server: Option<String>,
    /// Until when it drains; `None` while it is registered.
    pub draining: Option<Timestamp>,
}

impl TargetGroup {
    /// Ends the deregistration of a target, unless it was registered again.
    pub fn finish_draining(&mut self, key: &TargetKey, now: Timestamp) {
        if self.targets.get(key).is_some_and(|target| target.draining.is_some_and(|until| until <= now)) {
            self.targets.remove(key);
        }
    }
}

/// A target as a call names it.
#[derive(Debug)]
pub struct TargetDescription {
    /// What tells it apart.
    pub key: TargetKey,
    /// The zone that the caller gave.
    pub zone: Option<String>,
    /// `QuicServerId`.
    pub quic_server: Option<String>,
}

/// Reads `Targets`.
pub fn read(input: &Input, default_port: u16) -> Answer<Vec<TargetDescription>> {
    let mut targets = Vec::new();
    for item in input.items("Targets") {
        let id = item.required("Id")?.to_string();
        let port: Option<i64> = item.parse("Port")?;
        if let Some(port) = port {
            validation::within(port, "targets.1.member.port", 1, 65535)?;
        }
        let quic_server = item.text("QuicServerId").filter(|id| !id.is_empty()).map(str::to_string);
        let zone = item.text("AvailabilityZone").filter(|zone| !zone.is_empty()).map(str::to_string);
        let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(default_port);
        targets.push(TargetDescription { key: TargetKey { id, port }, zone, quic_server });
    }
    Ok(targets)
}

/// The parameters of a call that is about targets of a group: the group's ARN, the targets.
fn parameters(state: &State, input: &Input) -> Answer<(String, Vec<TargetDescription>)> {
    let arn = input.required("TargetGroupArn")?.to_string();
    let wanted = read(input, state.elb.target_group(&arn)?.port)?;
    input.done()?;
    if wanted.is_empty() {
        return Err(ApiError::validation("You must specify at least one target"));
    }
    Ok((arn, wanted))
}

/// RegisterTargets: all or none.
pub fn register(state: &mut State, input: &Input) -> Answer<Record> {
    let (arn, wanted) = parameters(state, input)?;
    let group = state.elb.target_group(&arn)?;
    let mut resolved = Vec::new();
    let (mut busy, mut kept) = (Vec::new(), Vec::new());
    if group.target_type == "alb"
        && wanted.len() + group.targets.keys().filter(|key| wanted.iter().all(|other| other.key != **key)).count() > 1
    {
        return Err(ApiError::new("TooManyTargets", "The maximum number of targets per target group of type 'alb' has been reached: [1]"));
    }
    quic_server::check(state, group, &wanted)?;
    for description in wanted {
        let target = Target { quic_server: description.quic_server.clone(), ..locate(state, group, &description)? };
        match group.targets.get(&description.key) {
            Some(existing) if existing.draining.is_some() => match state.config.reregistration {
                Reregistration::Reject => busy.push(format!("'{}'", description.key.id)),
                Reregistration::KeepDraining => kept.push(description.key),
                Reregistration::Accept => resolved.push((description.key, target)),
            },
            _ => resolved.push((description.key, target)),
        }
    }
    if !busy.is_empty() {
        return Err(ApiError::new(
            "InvalidTarget",
            format!("The following targets are still being deregistered and cannot be registered: {}", busy.join(", ")),
        ));
    }
    let mut new: Vec<&str> = Vec::new();
    let mut zones: Vec<&str> = Vec::new();
    for (at, (key, target)) in resolved.iter().enumerate() {
        if !group.targets.contains_key(key) && !resolved.iter().take(at).any(|(earlier, _)| earlier == key) {
            new.push(&key.id);
            zones.push(&target.zone);
        }
    }
    let limit = state.config.quotas.targets_per_target_group;
    if group.targets.len() + new.len() > limit {
        return Err(ApiError::new("TooManyTargets", format!("The maximum number of targets per target group has been reached: [{limit}]")));
    }
    for balancer in group.load_balancers.iter().filter_map(|arn| state.elb.load_balancers.get(arn)) {
        match balancer.kind {
            LoadBalancerKind::Application => state.check_targets(&balancer.target_groups, new.len(), &new)?,
            LoadBalancerKind::Network => {
                let weight = if group.target_type == "alb" { 50 } else { 1 };
                let all = balancer.target_groups.iter().filter_map(|arn| state.elb.target_groups.get(arn)).flat_map(zones_of);
                state.check_network_targets(balancer, all.chain(zones.iter().map(|zone| (*zone, weight))))?;
            }
        }
    }
    state.elb.target_group_mut(&arn)?.targets.extend(resolved);
    Ok(Record::new())
}

/// Where a target is, if it may be registered.
fn locate(state: &State, group: &TargetGroup, description: &TargetDescription) -> Answer<Target> {
    let vpc = group.vpc.as_deref().unwrap_or_default();
    let id = &description.key.id;
    if group.target_type == "instance" {
        let instance = state.ec2.instances.get(id);
        let interface = instance.and_then(|instance| state.ec2.network_interfaces.get(instance.interfaces.first()?));
        if instance.is_some_and(|instance| instance.terminated.is_some()) {
            return Err(ApiError::new(
                "InvalidTarget",
                format!("The following targets are not in a running state and cannot be registered: '{id}'"),
            ));
        }
        let interface = interface.ok_or_else(|| ApiError::new("InvalidTarget", format!("The following targets do not exist: '{id}'")))?;
        if interface.vpc != vpc {
            return Err(ApiError::new("InvalidTarget", format!("The following targets are not in the target group VPC '{vpc}': '{id}'")));
        }
        if description.zone.is_some() {
            return Err(ApiError::validation("You cannot specify an Availability Zone for targets of type 'instance'"));
        }
        return Ok(Target { address: Some(interface.address), zone: interface.zone.clone(), quic_server: None, draining: None });
    }
    if group.target_type == "alb" {
        return locate_load_balancer(state, group, description);
    }
    let address: IpAddr = id
        .parse()
        .ok()
        .filter(IpAddr::is_ipv4)
        .ok_or_else(|| ApiError::validation(format!("The IP address '{id}' is not a valid IPv4 address")))?;
    match (subnet_of(&state.ec2, vpc, address), description.zone.as_deref()) {
        (Some(subnet), Some("all")) => Err(ApiError::validation(format!(
            "The IP address '{id}' is within the VPC, and cannot have its Availability Zone overridden to 'all' from '{}'",
            subnet.zone
        ))),
        (Some(subnet), Some(zone)) if zone != subnet.zone => Err(ApiError::validation(format!(
            "The IP address '{id}' is in the Availability Zone '{}', and cannot have it overridden to '{zone}'",
            subnet.zone
        ))),
        (Some(subnet), _) => Ok(Target { address: Some(address), zone: subnet.zone.clone(), quic_server: None, draining: None }),
        (None, _) if !is_private(address) => {
            Err(ApiError::validation(format!("The IP address '{id}' must be in the VPC, or in a private range (RFC 1918 or RFC 6598)")))
        }
        (None, Some("all")) => Ok(Target { address: Some(address), zone: "all".into(), quic_server: None, draining: None }),
        (None, Some(_)) => Err(ApiError::validation(format!(
            "You must specify a valid Availability Zone or select 'all' for all enabled Availability zones, since the IP address '{id}' is outside the VPC"
        ))),
        (None, None) => {
            Err(ApiError::validation(format!("The Availability Zone is required for IP address '{id}' because it is not in the VPC")))
        }
    }
}

/// The application load balancer that is a target: it must be in the same VPC and have a listener at the port.
fn locate_load_balancer(state: &State, group: &TargetGroup, description: &TargetDescription) -> Answer<Target> {
    let TargetKey { id, port } = &description.key;
    let invalid = |why: &str| ApiError::new("InvalidTarget", format!("The following targets {why}: '{id}'"));
    let balancer = state.elb.load_balancers.get(id).ok_or_else(|| invalid("do not exist"))?;
    if balancer.kind != LoadBalancerKind::Application {
        return Err(invalid("are not Application Load Balancers"));
    }
    if group.vpc.as_deref() != Some(&balancer.vpc) {
        return Err(invalid(&format!("are not in the target group VPC '{}'", group.vpc.as_deref().unwrap_or_default())));
    }
    if description.zone.is_some() {
        return Err(ApiError::validation("You cannot specify an Availability Zone for targets of type 'alb'"));
    }
    if !balancer.listeners.values().any(|listener| listener.port == *port) {
        return Err(ApiError::validation(
            "If the target type is ALB, the target must have at least one listener that matches the target group port or any specified port overrides",
        ));
    }
    Ok(Target { address: None, zone: "all".into(), quic_server: None, draining: None })
}

/// AWS: outside of the VPC only RFC 1918 and RFC 6598 (100.64.0.0/10) addresses can be targets.
fn is_private(address: IpAddr) -> bool {
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"]
        .iter()
        .filter_map(|text| text.parse::<IpNet>().ok())
        .any(|range| range.contains(&address))
}

/// Notes that an instance has ended: it stays registered, without an address.
pub fn instance_ended(state: &mut State, id: &str) {
    let on_it = |group: &&TargetGroup| group.target_type == "instance" && group.targets.keys().any(|key| key.id == id);
    let groups: Vec<String> = state.elb.target_groups.values().filter(on_it).map(|group| group.arn.clone()).collect();
    for arn in groups {
        let Ok(group) = state.elb.target_group_mut(&arn) else { continue };
        for (_, target) in group.targets.iter_mut().filter(|(key, _)| key.id == id) {
            target.address = None;
        }
    }
}

/// DeregisterTargets: targets drain for the group's deregistration delay; those of an unused group go at once. Targets that are not
/// registered do not matter.
pub fn deregister(state: &mut State, input: &Input) -> Answer<Record> {
    let (arn, wanted) = parameters(state, input)?;
    let group = state.elb.target_group(&arn)?;
    quic_server::check_named(group, &wanted)?;
    let seconds: u64 = group.attribute("deregistration_delay.timeout_seconds").parse().unwrap_or(300);
    let delay = Duration::from_secs(seconds).mul_f64(state.config.times.deregistration_scale.max(0.0));
    let delay = if group.load_balancers.is_empty() { Duration::ZERO } else { delay };
    let until = clock::after(state.now, delay);
    let group = state.elb.target_group_mut(&arn)?;
    let mut events = Vec::new();
    for TargetDescription { key, .. } in wanted {
        if delay.is_zero() {
            group.targets.remove(&key);
        } else if let Some(target) = group.targets.get_mut(&key).filter(|target| target.draining.is_none()) {
            target.draining = Some(until);
            events.push((until, Event::Drained(arn.clone(), key)));
        }
    }
    state.elb.events.extend(events);
    Ok(Record::new())
}
