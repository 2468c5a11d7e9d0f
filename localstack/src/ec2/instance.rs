//! Instances: the cluster's nodes, and those that calls start.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::describe::Resource;
use super::filter::Filters;
use super::{Ec2, describe as described};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Record};

pub mod lifecycle;

/// An instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Its account.
    pub owner: String,
    /// Its reservation's id.
    pub reservation: String,
    /// Its network interfaces, the primary one first.
    pub interfaces: Vec<String>,
    /// Its zone's name.
    pub zone: String,
    /// When it was started.
    pub launched: Timestamp,
    /// Its image.
    #[serde(default = "image")]
    pub image: String,
    /// Its type.
    #[serde(default = "instance_type")]
    pub instance_type: String,
    /// The client token of the call that started it.
    #[serde(default)]
    pub token: Option<String>,
    /// Terminated: until when it is still shown.
    #[serde(default)]
    pub terminated: Option<Timestamp>,
    /// Its tags.
    pub tags: Tags,
}

/// The image of nodes.
pub fn image() -> String {
    "ami-00000000000000000".into()
}

/// The type of nodes.
pub fn instance_type() -> String {
    "m5.large".into()
}

impl Instance {
    /// Code and name of its state.
    pub fn state(&self) -> (u16, &'static str) {
        if self.terminated.is_some() { (48, "terminated") } else { (16, "running") }
    }

    /// The instance in this state.
    fn shown(&self, ec2: &Ec2, filters: &Filters, (code, name): (u16, &str)) -> Record {
        let interfaces: Vec<_> = self.interfaces.iter().filter_map(|id| ec2.network_interfaces.get(id)).collect();
        let primary = interfaces.first();
        Record::new()
            .with("instanceId", &self.id)
            .with("imageId", &self.image)
            .with("instanceState", Record::new().with("code", code).with("name", name))
            .with("instanceType", &self.instance_type)
            .with("launchTime", self.launched)
            .with("placement", Record::new().with("availabilityZone", &self.zone).with("tenancy", "default"))
            .with("architecture", "x86_64")
            .maybe("clientToken", self.token.as_ref())
            .maybe("privateDnsName", primary.map(|interface| interface.dns_name()))
            .maybe("privateIpAddress", primary.map(|interface| interface.address.to_string()))
            .maybe("subnetId", primary.map(|interface| &interface.subnet))
            .maybe("vpcId", primary.map(|interface| &interface.vpc))
            .list("groupSet", primary.map(|interface| interface.group_records(ec2)).unwrap_or_default())
            .list("networkInterfaceSet", interfaces.iter().map(|interface| interface.record(ec2, filters).without(IN_INSTANCES)))
            .with("tagSet", tag::lower(&self.tags))
    }
}

/// What an interface does not show as a part of its instance.
const IN_INSTANCES: &[&str] = &["availabilityZone", "instanceId", "instanceOwnerId", "requesterId", "requesterManaged", "tagSet"];

impl Resource for Instance {
    const FILTERS: &'static [&'static str] = &[
        "instance-id",
        "vpc-id",
        "subnet-id",
        "availability-zone",
        "private-ip-address",
        "private-dns-name",
        "image-id",
        "instance-state-code",
        "instance-state-name",
        "instance-type",
        "reservation-id",
        "instance.group-id",
        "network-interface.network-interface-id",
        "network-interface.addresses.private-ip-address",
        "owner-id",
    ];
    const IDS: &'static str = "InstanceId";
    const SET: &'static str = "reservationSet";

    described::identity!();

    fn attribute(&self, filter: &str, ec2: &Ec2) -> Vec<String> {
        let interfaces = || self.interfaces.iter().filter_map(|id| ec2.network_interfaces.get(id));
        let primary = || interfaces().take(1);
        match filter {
            "instance-id" => vec![self.id.clone()],
            "vpc-id" => primary().map(|interface| interface.vpc.clone()).collect(),
            "subnet-id" => primary().map(|interface| interface.subnet.clone()).collect(),
            "availability-zone" => vec![self.zone.clone()],
            "private-ip-address" => primary().map(|interface| interface.address.to_string()).collect(),
            "private-dns-name" => primary().map(|interface| interface.dns_name()).collect(),
            "instance.group-id" => interfaces().flat_map(|interface| interface.groups.clone()).collect(),
            "network-interface.network-interface-id" => self.interfaces.clone(),
            "network-interface.addresses.private-ip-address" => {
                interfaces().flat_map(|interface| interface.addresses()).map(|address| address.to_string()).collect()
            }
            "owner-id" => vec![self.owner.clone()],
            "image-id" => vec![self.image.clone()],
            "instance-type" => vec![self.instance_type.clone()],
            "instance-state-code" => vec![self.state().0.to_string()],
            "reservation-id" => vec![self.reservation.clone()],
            _ => vec![self.state().1.into()],
        }
    }

    fn record(&self, ec2: &Ec2, filters: &Filters) -> Record {
        Record::new()
            .with("reservationId", &self.reservation)
            .with("ownerId", &self.owner)
            .list("groupSet", Vec::<Record>::new())
            .list("instancesSet", [self.shown(ec2, filters, self.state())])
    }

    fn not_found(id: &str) -> ApiError {
        ApiError::new("InvalidInstanceID.NotFound", format!("The instance ID '{id}' does not exist"))
    }
}

/// DescribeInstances.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    input.flag("IncludeManagedResources")?;
    described::run(input, &state.ec2, state.ec2.instances.values())
}
