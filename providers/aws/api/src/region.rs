//! One region: its clients, and what is remembered of it.

use crate::cache::{Fresh, UnitKey, UnitState};
use crate::inventory::Inventory;
use aws_config::timeout::TimeoutConfig;
use aws_config::{Region as RegionName, SdkConfig};
use aws_sdk_ec2 as ec2;
use aws_sdk_elasticloadbalancingv2 as elb;
use aws_smithy_types::retry::RetryConfig;
use ipnet::IpNet;
use portico_aws::observed::{Limits, Subnet};
use portico_providers::ClusterId;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// For how long subnets are believed: they change rarely, and every unit of the region shares one reading.
const SUBNETS: Duration = Duration::from_secs(60);
/// For how long the account's limits are believed.
const LIMITS: Duration = Duration::from_secs(3600);
/// For how long a VPC's address ranges are believed.
const VPCS: Duration = Duration::from_secs(600);

/// Clients and caches of one region.
pub(crate) struct Region {
    /// For reading; the SDK repeats failed calls.
    pub elb: elb::Client,
    /// For reading; the SDK repeats failed calls.
    pub ec2: ec2::Client,
    /// For changing: never repeated by the SDK, since an answer that was lost has to be looked into first.
    pub elb_once: elb::Client,
    /// For changing: never repeated by the SDK.
    pub ec2_once: ec2::Client,
    pub name: String,
    /// VPC that the operator was told to work in.
    pub vpc: Option<String>,
    pub units: Mutex<BTreeMap<UnitKey, UnitState>>,
    pub inventories: tokio::sync::Mutex<BTreeMap<ClusterId, Inventory>>,
    pub subnets: tokio::sync::Mutex<Fresh<Vec<Subnet>>>,
    pub limits: tokio::sync::Mutex<Fresh<Limits>>,
    pub vpc_ranges: tokio::sync::Mutex<BTreeMap<String, Fresh<Vec<IpNet>>>>,
}

impl Region {
    pub fn new(config: &SdkConfig, name: &str, vpc: Option<String>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(30))
            .operation_attempt_timeout(Duration::from_secs(40))
            .build();
        let with = |retries| {
            let here = config.to_builder().region(RegionName::new(name.to_owned())).timeout_config(timeouts.clone());
            here.retry_config(retries).build()
        };
        let reading = with(RetryConfig::standard().with_max_attempts(5));
        let writing = with(RetryConfig::disabled());
        Self {
            elb: elb::Client::new(&reading),
            ec2: ec2::Client::new(&reading),
            elb_once: elb::Client::new(&writing),
            ec2_once: ec2::Client::new(&writing),
            name: name.to_owned(),
            vpc,
            units: Mutex::default(),
            inventories: tokio::sync::Mutex::default(),
            subnets: tokio::sync::Mutex::new(Fresh::for_at_most(SUBNETS)),
            limits: tokio::sync::Mutex::new(Fresh::for_at_most(LIMITS)),
            vpc_ranges: tokio::sync::Mutex::default(),
        }
    }

    /// An empty memory of a VPC's ranges.
    pub fn no_ranges() -> Fresh<Vec<IpNet>> {
        Fresh::for_at_most(VPCS)
    }
}
