//! Internet gateways.

use serde::{Deserialize, Serialize};

use super::describe::Resource;
use super::filter::Filters;
use super::{Ec2, describe as described};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Record};

/// An internet gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InternetGateway {
    /// Its id.
    pub id: String,
    /// Its account.
    pub owner: String,
    /// The VPC that it is attached to.
    pub vpc: String,
    /// Its tags.
    pub tags: Tags,
}

impl Resource for InternetGateway {
    const FILTERS: &'static [&'static str] = &["internet-gateway-id", "attachment.vpc-id", "attachment.state", "owner-id"];
    const IDS: &'static str = "InternetGatewayId";
    const SET: &'static str = "internetGatewaySet";

    described::identity!();

    fn attribute(&self, filter: &str, _: &Ec2) -> Vec<String> {
        vec![match filter {
            "internet-gateway-id" => self.id.clone(),
            "attachment.vpc-id" => self.vpc.clone(),
            "owner-id" => self.owner.clone(),
            _ => "available".into(),
        }]
    }

    fn record(&self, _: &Ec2, _: &Filters) -> Record {
        Record::new()
            .with("internetGatewayId", &self.id)
            .with("ownerId", &self.owner)
            .list("attachmentSet", [Record::new().with("vpcId", &self.vpc).with("state", "available")])
            .with("tagSet", tag::lower(&self.tags))
    }

    fn not_found(id: &str) -> ApiError {
        ApiError::new("InvalidInternetGatewayID.NotFound", format!("The internetGateway ID '{id}' does not exist"))
    }
}

/// DescribeInternetGateways.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    described::run(input, &state.ec2, state.ec2.internet_gateways.values())
}
