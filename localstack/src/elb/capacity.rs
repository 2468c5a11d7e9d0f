//! Capacity reservations: DescribeCapacityReservation and ModifyCapacityReservation. They are kept and shown; this cloud's capacity does not
//! depend on them.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::load_balancer::LoadBalancer;
use crate::ec2::Ec2;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

/// AWS: the smallest reservation of an application load balancer.
const LOWEST: i64 = 100;
/// AWS: capacity units per application load balancer.
const HIGHEST: i64 = 15_000;
/// AWS: how often a reservation can be made smaller in a day.
const DECREASES: usize = 2;

/// A load balancer's reservation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// The reserved units; `None` if nothing is reserved.
    pub units: Option<i64>,
    /// When it changed last.
    pub modified: Option<Timestamp>,
    /// When it was made smaller in the last day.
    pub decreases: Vec<Timestamp>,
}

impl Capacity {
    fn record(&self, balancer: &LoadBalancer, ec2: &Ec2) -> Record {
        let reserved = self.units.map(|units| Record::new().with("CapacityUnits", units));
        let record = Record::new()
            .maybe("LastModifiedTime", self.modified)
            .with("DecreaseRequestsRemaining", i64::try_from(DECREASES.saturating_sub(self.decreases.len())).unwrap_or_default())
            .maybe("MinimumLoadBalancerCapacity", reserved);
        let Some(units) = self.units else { return record.list("CapacityReservationState", Vec::<Record>::new()) };
        let zones = balancer.zones(ec2);
        let share = units / i64::try_from(zones.len()).unwrap_or(1).max(1);
        record.list(
            "CapacityReservationState",
            zones.into_iter().map(|zone| {
                Record::new()
                    .with("State", Record::new().with("Code", "provisioned"))
                    .with("AvailabilityZone", zone)
                    .with("EffectiveCapacityUnits", share)
            }),
        )
    }
}

/// DescribeCapacityReservation.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("LoadBalancerArn")?;
    input.done()?;
    let balancer = state.elb.load_balancer(arn)?;
    Ok(balancer.capacity.record(balancer, &state.ec2))
}

/// ModifyCapacityReservation: reserves, or with `ResetCapacityReservation` gives back.
pub fn modify(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("LoadBalancerArn")?.to_string();
    let wanted: Option<i64> = match input.child("MinimumLoadBalancerCapacity") {
        Some(capacity) => capacity.parse("CapacityUnits")?,
        None => None,
    };
    let reset = input.flag("ResetCapacityReservation")?.unwrap_or(false);
    input.done()?;
    let balancer = state.elb.load_balancer(&arn)?;
    if wanted.is_some() && balancer.listeners.values().any(|listener| listener.protocol == "TLS") {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            "Capacity reservations are not supported on network load balancers with TLS listeners",
        ));
    }
    let mut capacity = balancer.capacity.clone();
    match (wanted, reset) {
        (None, false) => {
            return Err(ApiError::validation("You must specify either 'MinimumLoadBalancerCapacity' or 'ResetCapacityReservation'"));
        }
        (Some(_), true) => {
            return Err(ApiError::validation("You cannot specify both 'MinimumLoadBalancerCapacity' and 'ResetCapacityReservation'"));
        }
        (Some(units), false) if units < LOWEST => {
            return Err(ApiError::new("InvalidConfigurationRequest", format!("The minimum capacity must be at least '{LOWEST}' units")));
        }
        (Some(units), false) if units > HIGHEST => {
            return Err(ApiError::new(
                "CapacityUnitsLimitExceeded",
                format!("The limit of capacity units per load balancer is [{HIGHEST}]"),
            ));
        }
        _ => {}
    }
    let day = state.now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
    capacity.decreases.retain(|at| *at > day);
    if wanted < capacity.units && !reset {
        if capacity.decreases.len() >= DECREASES {
            return Err(ApiError::new(
                "CapacityDecreaseRequestLimitExceeded",
                format!("The capacity of a load balancer can be decreased '{DECREASES}' times a day"),
            ));
        }
        capacity.decreases.push(state.now);
    }
    capacity.units = wanted;
    capacity.modified = Some(state.now);
    state.elb.load_balancer_mut(&arn)?.capacity = capacity;
    let balancer = state.elb.load_balancer(&arn)?;
    Ok(balancer.capacity.record(balancer, &state.ec2))
}
