//! One region: its clients, and what is remembered of it.

use crate::account::AccountMemory;
use crate::cache::{Fresh, UnitKey, UnitState};
use crate::calls::Calls;
use crate::fence::Fence;
use crate::inventory::Inventories;
use crate::metrics::Counters;
use aws_config::timeout::TimeoutConfig;
use aws_config::{Region as RegionName, SdkConfig};
use aws_sdk_acm as acm;
use aws_sdk_ec2 as ec2;
use aws_sdk_elasticloadbalancingv2 as elb;
use aws_smithy_types::retry::RetryConfig;
use ipnet::IpNet;
use portico_aws::observed::{Limits, Subnet};
use portico_aws::stack::BackendGroups;
use portico_providers::Secrets;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// For how long subnets, and groups of nodes and pods, are believed: they change rarely, and every unit of the region shares one reading.
const NETWORK: Duration = Duration::from_secs(60);
/// For how long the account's limits are believed.
const LIMITS: Duration = Duration::from_secs(3600);
/// For how long a VPC's address ranges are believed.
const VPCS: Duration = Duration::from_secs(600);

/// The source of private keys, which all regions share.
pub(crate) type KeySource = Arc<OnceLock<Arc<dyn Secrets>>>;

/// Clients and caches of one region.
pub(crate) struct Region {
    /// Elastic Load Balancing v2. The SDK repeats nothing: an answer that was lost has to be looked into first, and every try is part of the budget.
    pub elb: elb::Client,
    /// EC2.
    pub ec2: ec2::Client,
    /// Certificate Manager.
    pub acm: acm::Client,
    /// Where private keys come from; not set for a provider that only looks.
    pub secrets: KeySource,
    /// The budget of calls.
    pub calls: Calls,
    pub name: String,
    /// VPC that the operator was told to work in.
    pub vpc: Option<String>,
    /// What compile needs to know of the account, limits apart.
    pub account: AccountMemory,
    pub units: Mutex<BTreeMap<UnitKey, UnitState>>,
    pub inventories: tokio::sync::Mutex<Inventories>,
    /// Groups of nodes and pods, by how they are selected.
    pub selected_groups: tokio::sync::Mutex<BTreeMap<BackendGroups, Fresh<Vec<ec2::types::SecurityGroup>>>>,
    pub subnets: tokio::sync::Mutex<Fresh<Vec<Subnet>>>,
    /// The account's limits as last read, and when that must be done again.
    pub limits: Mutex<Option<Limits>>,
    pub limits_read: tokio::sync::Mutex<Fresh<()>>,
    pub vpc_ranges: tokio::sync::Mutex<BTreeMap<String, Fresh<Vec<IpNet>>>>,
}

impl Region {
    pub fn new(config: &SdkConfig, name: &str, vpc: Option<String>, counters: Arc<Counters>, secrets: KeySource) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(30))
            .operation_attempt_timeout(Duration::from_secs(40))
            .build();
        let here = config.to_builder().region(RegionName::new(name.to_owned())).timeout_config(timeouts);
        let here = here.retry_config(RetryConfig::disabled()).build();
        Self {
            elb: elb::Client::from_conf(elb::config::Builder::from(&here).interceptor(Fence).build()),
            ec2: ec2::Client::from_conf(ec2::config::Builder::from(&here).interceptor(Fence).build()),
            acm: acm::Client::from_conf(acm::config::Builder::from(&here).interceptor(Fence).build()),
            secrets,
            calls: Calls::new(counters),
            name: name.to_owned(),
            vpc,
            account: AccountMemory::default(),
            units: Mutex::default(),
            inventories: tokio::sync::Mutex::default(),
            selected_groups: tokio::sync::Mutex::default(),
            subnets: tokio::sync::Mutex::new(Fresh::for_at_most(NETWORK)),
            limits: Mutex::default(),
            limits_read: tokio::sync::Mutex::new(Fresh::for_at_most(LIMITS)),
            vpc_ranges: tokio::sync::Mutex::default(),
        }
    }

    /// An empty memory of groups.
    pub fn no_groups() -> Fresh<Vec<ec2::types::SecurityGroup>> {
        Fresh::for_at_most(NETWORK)
    }

    /// An empty memory of a VPC's ranges.
    pub fn no_ranges() -> Fresh<Vec<IpNet>> {
        Fresh::for_at_most(VPCS)
    }
}
