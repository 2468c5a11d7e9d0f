//! Availability zones.

use serde::{Deserialize, Serialize};

use super::finish;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};

use super::filter::Filters;

/// An availability zone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Zone {
    /// Its name, such as `us-east-1a`.
    pub name: String,
    /// Its id, such as `use1-az1`, the same in every account.
    pub id: String,
}

const FILTERS: &[&str] = &["zone-name", "zone-id", "state", "region-name", "zone-type", "opt-in-status", "group-name"];

/// DescribeAvailabilityZones.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let filters = Filters::read(input, FILTERS)?;
    let (names, ids) = (input.strings("ZoneName"), input.strings("ZoneId"));
    input.flag("AllAvailabilityZones")?;
    finish(input)?;
    let zones = &state.ec2.zones;
    let region = state.config.region.clone();
    for name in &names {
        if !zones.iter().any(|zone| zone.name == *name) {
            return Err(ApiError::parameter_value(format!("Invalid availability zone: [{name}]")));
        }
    }
    for id in &ids {
        if !zones.iter().any(|zone| zone.id == *id) {
            return Err(ApiError::parameter_value(format!("Invalid availability zone-id: [{id}]")));
        }
    }
    let chosen = zones.iter().filter(|zone| {
        (names.is_empty() || names.contains(&zone.name))
            && (ids.is_empty() || ids.contains(&zone.id))
            && filters.accept(&Tags::new(), |filter| {
                vec![match filter {
                    "zone-name" => zone.name.clone(),
                    "zone-id" => zone.id.clone(),
                    "state" => "available".into(),
                    "zone-type" => "availability-zone".into(),
                    "opt-in-status" => "opt-in-not-required".into(),
                    "group-name" => format!("{region}-zg-1"),
                    _ => region.clone(),
                }]
            })
    });
    Ok(Record::new().list(
        "availabilityZoneInfo",
        chosen.map(|zone| {
            Record::new()
                .with("zoneName", &zone.name)
                .with("zoneId", &zone.id)
                .with("zoneState", "available")
                .with("zoneType", "availability-zone")
                .with("regionName", &region)
                .with("groupName", format!("{region}-zg-1"))
                .with("networkBorderGroup", &region)
                .with("optInStatus", "opt-in-not-required")
                .list("messageSet", Vec::<Record>::new())
        }),
    ))
}
