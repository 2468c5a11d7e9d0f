//! Route tables: what makes a subnet public.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::describe::Resource;
use super::filter::Filters;
use super::{Ec2, describe as described};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::tag::{self, Tags};
use crate::wire::{Input, Record};

/// A route table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RouteTable {
    /// Its id.
    pub id: String,
    /// Its account.
    pub owner: String,
    /// Its VPC.
    pub vpc: String,
    /// Whether subnets without a table of their own use it.
    pub main: bool,
    /// The subnets that use it explicitly.
    pub subnets: Vec<String>,
    /// The CIDRs that stay in the VPC.
    pub local: Vec<IpNet>,
    /// The internet gateway of its default route, if it has one.
    pub gateway: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

impl Resource for RouteTable {
    const FILTERS: &'static [&'static str] = &[
        "route-table-id",
        "vpc-id",
        "owner-id",
        "association.main",
        "association.subnet-id",
        "association.route-table-id",
        "route.gateway-id",
        "route.destination-cidr-block",
        "route.state",
    ];
    const IDS: &'static str = "RouteTableId";
    const SET: &'static str = "routeTableSet";

    described::identity!();

    fn attribute(&self, filter: &str, _: &Ec2) -> Vec<String> {
        match filter {
            "route-table-id" | "association.route-table-id" => vec![self.id.clone()],
            "vpc-id" => vec![self.vpc.clone()],
            "owner-id" => vec![self.owner.clone()],
            "association.main" => vec![self.main.to_string()],
            "association.subnet-id" => self.subnets.clone(),
            "route.gateway-id" => self.gateway.iter().cloned().chain(["local".to_string()]).collect(),
            "route.destination-cidr-block" => {
                self.local.iter().map(ToString::to_string).chain(self.gateway.iter().map(|_| "0.0.0.0/0".to_string())).collect()
            }
            _ => vec!["active".into()],
        }
    }

    fn record(&self, _: &Ec2, _: &Filters) -> Record {
        let association = |main: bool, subnet: Option<&String>| {
            Record::new()
                .with("routeTableAssociationId", format!("rtbassoc-{}", subnet.unwrap_or(&self.id).rsplit('-').next().unwrap_or_default()))
                .with("routeTableId", &self.id)
                .maybe("subnetId", subnet)
                .with("main", main)
                .with("associationState", Record::new().with("state", "associated"))
        };
        let route = |destination: String, gateway: &str, origin: &str| {
            Record::new()
                .with("destinationCidrBlock", destination)
                .with("gatewayId", gateway)
                .with("state", "active")
                .with("origin", origin)
        };
        let main = self.main.then(|| association(true, None));
        let local = self.local.iter().map(|cidr| route(cidr.to_string(), "local", "CreateRouteTable"));
        let out = self.gateway.iter().map(|gateway| route("0.0.0.0/0".into(), gateway, "CreateRoute"));
        Record::new()
            .with("routeTableId", &self.id)
            .with("vpcId", &self.vpc)
            .with("ownerId", &self.owner)
            .list("routeSet", local.chain(out))
            .list("associationSet", main.into_iter().chain(self.subnets.iter().map(|subnet| association(false, Some(subnet)))))
            .list("propagatingVgwSet", Vec::<Record>::new())
            .with("tagSet", tag::lower(&self.tags))
    }

    fn not_found(id: &str) -> ApiError {
        ApiError::new("InvalidRouteTableID.NotFound", format!("The routeTable ID '{id}' does not exist"))
    }
}

/// DescribeRouteTables.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    described::run(input, &state.ec2, state.ec2.route_tables.values())
}
