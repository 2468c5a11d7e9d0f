//! DescribeTargetHealth: what the control plane knows of a target, else what the data plane's probes found.

use super::quic_server;
use super::target::{self, Target, TargetDescription, TargetKey};
use super::target_group::TargetGroup;
use crate::dataplane::health::HealthState;
use crate::error::{Answer, ApiError};
use crate::projection::{target_group_id, target_id};
use crate::reachability::is_zone_enabled;
use crate::state::State;
use crate::wire::{Input, Record};

/// State, reason and description of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Such as `healthy`.
    pub state: &'static str,
    /// Such as `Target.Timeout`; none if healthy.
    pub reason: Option<String>,
    /// A sentence; none if healthy.
    pub description: Option<String>,
}

impl Health {
    fn new(state: &'static str, reason: &str, description: &str) -> Self {
        Self { state, reason: Some(reason.into()), description: Some(description.into()) }
    }
}

/// The health of a target of a group.
pub fn of(state: &State, group: &TargetGroup, key: &TargetKey) -> Health {
    let Some(found) = group.targets.get(key) else {
        return Health::new("unused", "Target.NotRegistered", "Target is not registered to the target group");
    };
    if found.draining.is_some() {
        return Health::new("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress");
    }
    if let Some(health) = unused(state, group, found) {
        return health;
    }
    let initial = || Health::new("initial", "Elb.RegistrationInProgress", "Target registration is in progress");
    match state.health.get(&target_group_id(&group.arn), &target_id(key)) {
        // The probes may not have seen yet that the target is in use.
        None => initial(),
        Some(health) if matches!(health.state, HealthState::Unused | HealthState::Draining) => initial(),
        Some(health) => Health { state: health.state.as_str(), reason: health.reason.map(str::to_string), description: health.description },
    }
}

fn unused(state: &State, group: &TargetGroup, target: &Target) -> Option<Health> {
    let balancer = group.load_balancers.iter().find_map(|arn| state.elb.load_balancers.get(arn));
    match balancer {
        None => Some(Health::new("unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer")),
        Some(balancer) if !is_zone_enabled(&state.ec2, balancer, &target.zone) => {
            Some(Health::new("unused", "Target.NotInUse", "Target is in an Availability Zone that is not enabled for the load balancer"))
        }
        Some(_) if group.target_type == "instance" && target.address.is_none() => {
            Some(Health::new("unused", "Target.InvalidState", "Target is in the terminated state"))
        }
        Some(_) => None,
    }
}

/// DescribeTargetHealth.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("TargetGroupArn")?.to_string();
    let group = state.elb.target_group(&arn)?;
    let asked = input.list("Targets").filter(|items| !items.is_empty()).is_some();
    let wanted = target::read(input, group.port)?;
    let include = input.strings("Include");
    input.done()?;
    for word in &include {
        super::validation::one_of(word, "include", &["AnomalyDetection", "All"])?;
    }
    quic_server::check_named(group, &wanted)?;
    for TargetDescription { key, .. } in &wanted {
        if group.target_type == "ip" && key.id.parse::<std::net::IpAddr>().is_err() {
            return Err(ApiError::new("InvalidTarget", format!("The following targets are not valid: '{}'", key.id)));
        }
    }
    let keys: Vec<TargetKey> =
        if asked { wanted.into_iter().map(|target| target.key).collect() } else { group.targets.keys().cloned().collect() };
    let records = keys.iter().map(|key| {
        let health = of(state, group, key);
        let target = group.targets.get(key);
        let zone = target.filter(|_| group.target_type == "ip").map(|target| &target.zone);
        let checked = if group.health_check.port == "traffic-port" { key.port.to_string() } else { group.health_check.port.clone() };
        let described = Record::new().with("Id", &key.id).with("Port", key.port).maybe("AvailabilityZone", zone);
        let anomaly = Record::new().with("Result", "normal").with("MitigationInEffect", "no");
        Record::new()
            .with("Target", described.maybe("QuicServerId", target.and_then(|target| target.quic_server.as_ref())))
            .maybe("HealthCheckPort", target.map(|_| checked))
            .with(
                "TargetHealth",
                Record::new().with("State", health.state).maybe("Reason", health.reason).maybe("Description", health.description),
            )
            .maybe("AnomalyDetection", (!include.is_empty()).then_some(anomaly))
    });
    Ok(Record::new().list("TargetHealthDescriptions", records))
}
